// Sums of double that chunks of an array left behind, added in an order that depends on their number alone: the bits are the same for
// any number of threads.
#pragma once

#include <cstdint>

#include "runs.h"

namespace partialconv {

// Entries that one functor call adds up.
inline constexpr int64_t kFan = 256;

// Entries that sum_partials uses for n partial sums: these, and the sums of every level above.
inline int64_t partial_entries(int64_t n) {
  int64_t entries = n;
  do {
    n = (n + kFan - 1) / kFan;
    entries += n > 0 ? n : 1;
  } while (n > 1);
  return entries;
}

// An entry is N doubles.
template <int N>
struct SumLevel {
  const double* from;
  double* to;
  int64_t count;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t begin = i * kFan, end = count - begin < kFan ? count : begin + kFan;
    double sums[N] = {};
    for (int64_t j = begin; j < end; ++j) {
      for (int k = 0; k < N; ++k) sums[k] += from[j * N + k];
    }
    for (int k = 0; k < N; ++k) to[i * N + k] = sums[k];
  }
};

// The sum of n entries (0 of none); its address lies in `partials`, which has room for partial_entries(n).
template <int N>
const double* sum_partials(Context& context, int64_t n, double* partials) {
  do {
    double* above = partials + n * N;
    const int64_t groups = n > 0 ? (n + kFan - 1) / kFan : 1;
    each_run(context, groups, kFan, SumLevel<N>{partials, above, n});
    partials = above;
    n = groups;
  } while (n > 1);
  return partials;
}

}  // namespace partialconv
