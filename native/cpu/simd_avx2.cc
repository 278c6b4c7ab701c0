// The engine for AVX2 with FMA and F16C.
#include "engine.h"

#if defined(__x86_64__)

#define PARTIALCONV_LEVEL "avx2"
#define PARTIALCONV_VECTOR_BYTES 32
#define PARTIALCONV_WIDE_REGISTERS 0
#define PARTIALCONV_F16C 1

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

namespace partialconv::avx2 {
namespace {
#include "engine.inc"
}  // namespace
const Engine& engine = kEngine;
}  // namespace partialconv::avx2

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
