// The engine for what every machine of the architecture has: SSE2, or NEON.
#include "engine.h"

#define PARTIALCONV_LEVEL "baseline"
#define PARTIALCONV_VECTOR_BYTES 16
#if defined(__aarch64__)
#define PARTIALCONV_WIDE_REGISTERS 1
#else
#define PARTIALCONV_WIDE_REGISTERS 0
#endif
#define PARTIALCONV_F16C 0

namespace partialconv::baseline {
namespace {
#include "engine.inc"
}  // namespace
const Engine& engine = kEngine;
}  // namespace partialconv::baseline
