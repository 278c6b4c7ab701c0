// A walk over strided operands in runs along the innermost dimension: one functor call a run on a CPU, one an element on a GPU.
#pragma once

#include <cstdint>

#include "device.h"

namespace partialconv {

// Elements that one functor call covers at most: enough for vector loops on a CPU.
inline constexpr int64_t kRun = kHostMemory ? 2048 : 1;

// f(i) for every i in [0, n), where one call costs about as much as `cost` elements of an element-wise op.
template <class F>
void each_run(Context& context, int64_t n, int64_t cost, F f) {
  each(context, n, f, cost);
}

// One shape that N operands are walked through, each by its own strides (in elements; 0 repeats).
template <int N>
struct Walk {
  int64_t rank;
  int64_t shape[kMaxRank];
  int64_t strides[N][kMaxRank];

  // Drops dimensions of size 1 and joins neighbours that no operand jumps between; at least one dimension stays.
  void collapse() {
    int64_t last = -1;
    for (int64_t d = 0; d < rank; ++d) {
      if (shape[d] == 1) continue;
      bool joins = last >= 0;
      for (int k = 0; k < N && joins; ++k) joins = strides[k][last] == strides[k][d] * shape[d];
      if (!joins) ++last;
      shape[last] = joins ? shape[last] * shape[d] : shape[d];
      for (int k = 0; k < N; ++k) strides[k][last] = strides[k][d];
    }
    if (last < 0) {
      last = 0;
      shape[0] = 1;
      for (int k = 0; k < N; ++k) strides[k][0] = 1;
    }
    rank = last + 1;
  }
};

template <int N>
struct Run {
  int64_t start, length;  // start: in the dense order of the walk
  int64_t offset[N];      // of the run's first element in each operand
};

template <int N>
struct Runs {
  Walk<N> walk;
  int64_t inner, per_row, count;

  explicit Runs(Walk<N> w) : walk(w) {
    walk.collapse();
    inner = walk.shape[walk.rank - 1];
    per_row = (inner + kRun - 1) / kRun;
    count = per_row;
    for (int64_t d = 0; d < walk.rank - 1; ++d) count *= walk.shape[d];
  }

  // Elements a run has at most.
  int64_t cost() const { return inner < kRun ? inner : kRun; }

  HOST_DEVICE int64_t stride(int k) const { return walk.strides[k][walk.rank - 1]; }

  HOST_DEVICE Run<N> at(int64_t i) const {
    int64_t row = i / per_row;
    const int64_t first = (i - row * per_row) * kRun;
    Run<N> run;
    run.start = row * inner + first;
    run.length = inner - first < kRun ? inner - first : kRun;
    for (int k = 0; k < N; ++k) run.offset[k] = first * stride(k);
    for (int64_t d = walk.rank - 2; d >= 0; --d) {
      const int64_t index = row % walk.shape[d];
      row /= walk.shape[d];
      for (int k = 0; k < N; ++k) run.offset[k] += index * walk.strides[k][d];
    }
    return run;
  }
};

}  // namespace partialconv
