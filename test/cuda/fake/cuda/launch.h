// In place of native/cuda/launch.h where there is no GPU: a launch is counted and queued, and runs its functor on the host, in order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "fake.h"

#define HOST_DEVICE
#define CHECK_VECTOR(pointer, bytes) fake::check_vector(pointer, bytes)

namespace partialconv::cuda {

inline constexpr int kBlockSize = 256;

template <class F>
int launch_each(unsigned blocks, CUstream_st* stream, int64_t n, F f) {
  static_assert(std::is_trivially_copyable_v<F>, "the arguments of a launch are copied as bytes");
  if (const int status = fake::count_launch(blocks, stream, n, __PRETTY_FUNCTION__)) return status;
  const auto run = [](int64_t count, const void* functor) {
    for (int64_t i = 0; i < count; ++i) (*static_cast<const F*>(functor))(i);
  };
  fake::enqueue_launch(stream, n, run, &f, sizeof f);
  return 0;
}

}  // namespace partialconv::cuda
