// In place of native/cuda/launch.h where there is no GPU: a launch runs its functor on the host, at once and in order, and is counted.
#pragma once

#include <cstdint>

#include "fake.h"

#define HOST_DEVICE

namespace partialconv::cuda {

inline constexpr int kBlockSize = 256;

template <class F>
int launch_each(unsigned blocks, CUstream_st* stream, int64_t n, F f) {
  if (const int status = fake::count_launch(blocks, stream, n)) return status;
  for (int64_t i = 0; i < n; ++i) f(i);
  return 0;
}

}  // namespace partialconv::cuda
