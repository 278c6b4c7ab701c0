// Sums that chunks of an array left behind, added in an order that depends on their number alone: the bits are the same for
// any number of threads.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vectors.h"

namespace partialconv {

// add(sum, x) for the part of a chunk's n contiguous elements that a lane has (each_sum()): on a CPU that is all of them, in 8 interleaved
// sums; on a GPU vectors of kUnit, read as such where the caller says so and else by element, in the same order.
template <class S, int64_t kUnit, class X, class F>
HOST_DEVICE inline S part_of_chunk(const X* x, int64_t n, [[maybe_unused]] int64_t lane, [[maybe_unused]] int64_t lanes,
                                   [[maybe_unused]] bool in_vectors, F add) {
  if constexpr (kHostMemory) {
    S sums[8] = {};
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) {
      for (int64_t k = 0; k < 8; ++k) add(sums[k], x[j + k]);
    }
    for (int64_t k = 0; j < n; ++j, ++k) add(sums[k], x[j]);
    for (int64_t width = 4; width > 0; width /= 2) {
      for (int64_t k = 0; k < width; ++k) sums[k] = sums[k] + sums[k + width];
    }
    return sums[0];
  } else {
    S sum{};
    const X* unit = x;
    const auto add_one = [&](int64_t j) { add(sum, unit[j]); };
    const auto elements = [&](int64_t begin, int64_t length) {
      unit = x + begin;
      each_in_row<1>(length, add_one);
    };
    const auto vector = [&](int64_t begin) {
      unit = x + begin;
      each_in_row<kUnit>(kUnit, add_one, Operand(unit));
    };
    if (in_vectors) each_of_lane<kUnit, 4>(n, lane, lanes, vector, elements);
    else
      each_of_lane<kUnit>(
          n, lane, lanes, [&](int64_t begin) { elements(begin, kUnit); }, elements);
    return sum;
  }
}

// Entries that are added up at once: on a CPU by one functor call, on a GPU by a block's lanes.
inline constexpr int64_t kFan = kHostMemory ? 256 : 8192;

// Entries that sum_partials uses for n partial sums: these, and the sums of every level above.
inline int64_t partial_entries(int64_t n) {
  int64_t entries = n;
  do {
    n = (n + kFan - 1) / kFan;
    entries += n > 0 ? n : 1;
  } while (n > 1);
  return entries;
}

// N sums in double, kept together.
template <int N>
struct Doubles {
  double values[N];

  HOST_DEVICE friend Doubles operator+(Doubles a, const Doubles& b) {
    for (int k = 0; k < N; ++k) a.values[k] += b.values[k];
    return a;
  }
};

// Ends of a merge: y[i] = the sum, as it is or rounded.
template <class S>
struct KeepSum {
  S* y;
  HOST_DEVICE void operator()(int64_t i, const S& sum) const { y[i] = sum; }
};
template <class T>
struct StoreSum {
  T* y;
  template <class S>
  HOST_DEVICE void operator()(int64_t i, S sum) const {
    y[i] = store<T>(sum);
  }
};

// put_sum(i, the sum of `fan` neighbours, or as many as there are), `pieces` times for each `count` entries.
template <class S, class Put>
struct MergePieces {
  using Sum = S;
  const S* entries;
  int64_t count, pieces, fan;
  Put put_sum;

  HOST_DEVICE S part(int64_t i, int64_t lane, int64_t lanes) const {
    const int64_t first = i / pieces * count, begin = first + i % pieces * fan;
    const int64_t end = first + count - begin < fan ? first + count : begin + fan;
    S sum{};
    int64_t j = begin + lane;
    const auto add = [&](int64_t) {
      sum = sum + entries[j];
      j += lanes;
    };
    while (j + 3 * lanes < end) each_lane<4>(add);  // four reads under way
    while (j < end) add(0);
    return sum;
  }
  HOST_DEVICE void put(int64_t i, const S& sum) const { put_sum(i, sum); }
};

// put(i, the sum of entries [i * count, (i + 1) * count)) for every i in [0, n). Many entries of a GPU's are first merged to few.
template <class S, class Put>
void merge_partials(Context& context, int64_t n, int64_t count, const S* entries, Put put) {
  if (kHostMemory || count <= kFan) {
    each_sum(context, n, count, MergePieces<S, Put>{entries, count, 1, count, put}, count);
  } else {
    const int64_t pieces = (count + kFan - 1) / kFan;
    Scratch scratch(context, static_cast<std::size_t>(n * pieces) * sizeof(S));
    S* merged = scratch.as<S>();
    each_sum(context, n * pieces, kFan, MergePieces<S, KeepSum<S>>{entries, count, pieces, kFan, {merged}});
    merge_partials(context, n, pieces, static_cast<const S*>(merged), put);
  }
}

// The sum of n entries (0 of none); its address lies in `partials`, which has room for partial_entries(n).
template <int N>
const Doubles<N>* sum_partials(Context& context, int64_t n, Doubles<N>* partials) {
  do {
    Doubles<N>* above = partials + n;
    const int64_t groups = n > 0 ? (n + kFan - 1) / kFan : 1;
    each_sum(context, groups, n < kFan ? n : kFan, MergePieces<Doubles<N>, KeepSum<Doubles<N>>>{partials, n, groups, kFan, {above}}, kFan);
    partials = above;
    n = groups;
  } while (n > 1);
  return partials;
}

}  // namespace partialconv
