// The engine for AVX-512 (F, BW, VL, DQ).
#include "engine.h"

#if defined(__x86_64__)

#define PARTIALCONV_LEVEL "avx512"
#define PARTIALCONV_VECTOR_BYTES 64
#define PARTIALCONV_WIDE_REGISTERS 1
#define PARTIALCONV_F16C 1

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#endif

namespace partialconv::avx512 {
namespace {
#include "engine.inc"
}  // namespace
const Engine& engine = kEngine;
}  // namespace partialconv::avx512

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
