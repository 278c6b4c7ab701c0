// In place of native/cuda/launch.h where there is no GPU: a launch is counted and queued, and runs its functor on the host, in order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "fake.h"

#define HOST_DEVICE
#define CHECK_VECTOR(pointer) fake::check_vector(pointer, alignof(decltype(*pointer)), sizeof *pointer)

namespace partialconv::cuda {

inline constexpr int kBlockSize = 256;

template <class F>
int launch_each(unsigned blocks, CUstream_st* stream, int64_t n, F f) {
  static_assert(std::is_trivially_copyable_v<F>, "the arguments of a launch are copied as bytes");
  if (const int status = fake::count_launch(blocks, stream, n, __PRETTY_FUNCTION__)) return status;
  const auto run = [](int64_t count, const void* functor) {
    const fake::Warps warps;
    for (int64_t i = 0; i < count; ++i) {
      fake::Warps::begin_thread(i);
      (*static_cast<const F*>(functor))(i);
    }
  };
  fake::enqueue_launch(stream, n, run, &f, sizeof f);
  return 0;
}

template <class F>
int launch_sums(unsigned blocks, CUstream_st* stream, int64_t n, int lanes, F f) {
  struct Sums {
    F f;
    int lanes;
  };
  static_assert(std::is_trivially_copyable_v<Sums>, "the arguments of a launch are copied as bytes");
  if (lanes < 1 || lanes > kBlockSize || (lanes & (lanes - 1)) != 0) return 9;
  if (const int status = fake::count_launch(blocks, stream, n * lanes, __PRETTY_FUNCTION__)) return status;
  const auto run = [](int64_t count, const void* functor) {
    const fake::Warps warps;
    const Sums& sums = *static_cast<const Sums*>(functor);
    for (int64_t i = 0; i < count; ++i) {
      typename F::Sum parts[kBlockSize];
      for (int lane = 0; lane < sums.lanes; ++lane) {
        fake::Warps::begin_thread(i * sums.lanes + lane);
        parts[lane] = sums.f.part(i, lane, sums.lanes);
      }
      for (int width = sums.lanes / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; ++lane) parts[lane] = parts[lane] + parts[lane + width];
      }
      sums.f.put(i, parts[0]);
    }
  };
  const Sums sums{f, lanes};
  fake::enqueue_launch(stream, n, run, &sums, sizeof sums);
  return 0;
}

}  // namespace partialconv::cuda
