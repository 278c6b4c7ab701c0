// The two kernels: a functor over an index range, and sums that threads of a block make together. A test build without a GPU puts its own
// cuda/launch.h in front of this one.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>
#include <device_launch_parameters.h>

#define HOST_DEVICE __host__ __device__

namespace partialconv {

HOST_DEVICE inline void wait_for_block();  // instructions.h

}  // namespace partialconv

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

// each_sum() with `lanes` threads a sum, a power of two: a block has kBlockSize / lanes of them.
template <class F>
__global__ void sum_kernel(int64_t n, int lanes, F f) {
  __shared__ typename F::Sum parts[kBlockSize];
  const int lane = static_cast<int>(threadIdx.x) % lanes, step = kBlockSize / lanes;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * step; first < n; first += static_cast<int64_t>(gridDim.x) * step) {
    const int64_t i = first + static_cast<int>(threadIdx.x) / lanes;
    if (i < n) parts[threadIdx.x] = f.part(i, lane, lanes);
    for (int width = lanes / 2; width > 0; width /= 2) {
      wait_for_block();
      if (lane < width && i < n) parts[threadIdx.x] = parts[threadIdx.x] + parts[threadIdx.x + width];
    }
    if (lane == 0 && i < n) f.put(i, parts[threadIdx.x]);
    wait_for_block();  // before the next parts are written
  }
}

template <class F>
int launch_sums(unsigned blocks, CUstream_st* stream, int64_t n, int lanes, F f) {
  void* arguments[] = {&n, &lanes, &f};
  return cudaLaunchKernel(reinterpret_cast<const void*>(&sum_kernel<F>), dim3(blocks), dim3(kBlockSize), arguments, 0, stream);
}

}  // namespace partialconv::cuda
