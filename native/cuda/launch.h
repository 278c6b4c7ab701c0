// The one kernel: a functor over an index range. A test build without a GPU puts its own cuda/launch.h in front of this one.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>
#include <device_launch_parameters.h>

#define HOST_DEVICE __host__ __device__

namespace partialconv::cuda {

inline constexpr int kBlockSize = 256;

template <class F>
__global__ void each_kernel(int64_t n, F f) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}

// The call without <<<>>>, so that a host compiler can read this header too. Returns a cudaError_t.
template <class F>
int launch_each(unsigned blocks, CUstream_st* stream, int64_t n, F f) {
  void* arguments[] = {&n, &f};
  return cudaLaunchKernel(reinterpret_cast<const void*>(&each_kernel<F>), dim3(blocks), dim3(kBlockSize), arguments, 0, stream);
}

}  // namespace partialconv::cuda
