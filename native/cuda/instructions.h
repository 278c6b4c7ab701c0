// Instructions of a GPU that C++ has no words for. Each that has a result tells whether it did its work: it does not where a host compiler
// reads it, be it nvcc's for the host's half of a kernel's file or that of a test build without a GPU; then the caller has the same in
// arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/launch.h"

namespace partialconv {

// All threads of the block are here.
HOST_DEVICE inline void wait_for_block() {
#ifdef __CUDA_ARCH__
  __syncthreads();
#endif
}

// Between a float and the bits of a 16-bit float, rounded to nearest even. (PTX ISA, cvt; a NaN becomes 0x7fff.)
HOST_DEVICE inline bool half_to_float([[maybe_unused]] uint16_t half, [[maybe_unused]] float& value) {
#ifdef __CUDA_ARCH__
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return true;
#else
  return false;
#endif
}

HOST_DEVICE inline bool float_to_half([[maybe_unused]] float value, [[maybe_unused]] uint16_t& half) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return true;
#else
  return false;
#endif
}

HOST_DEVICE inline bool float_to_bfloat16([[maybe_unused]] float value, [[maybe_unused]] uint16_t& rounded) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(value));
  return true;
#else
  return false;
#endif
}

// Writes 16 bytes at a time. The compiler takes apart what a kernel has put together in registers, and stores that element by element.
template <class V>
HOST_DEVICE inline bool store_in_16_bytes([[maybe_unused]] V* at, [[maybe_unused]] const V& value) {
#ifdef __CUDA_ARCH__
  static_assert(sizeof(V) % 16 == 0);
  struct Words {
    uint4 words[sizeof(V) / 16];
  };
  const Words all = __builtin_bit_cast(Words, value);
#pragma unroll
  for (std::size_t i = 0; i < sizeof(V) / 16; ++i) __stwb(reinterpret_cast<uint4*>(at) + i, all.words[i]);
  return true;
#else
  return false;
#endif
}

}  // namespace partialconv
