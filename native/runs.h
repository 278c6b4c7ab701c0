// A walk over strided operands in runs along the innermost dimension, one functor call a run: long ones on a CPU, on a GPU one element
// or one vector (vectors.h).
#pragma once

#include <cstdint>

#include "device.h"
#include "divisor.h"
#include "vectors.h"

namespace partialconv {

// Elements that one functor call covers at most, where no vectors are asked for: enough for vector loops on a CPU.
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
  int64_t inner, count;
  int64_t lanes = 1;                     // of a GPU's runs
  Divisor per_row, sizes[kMaxRank - 1];  // runs of a row, and the shape of what is round it

  explicit Runs(Walk<N> w) : walk(w) {
    walk.collapse();
    inner = walk.shape[walk.rank - 1];
    for (int64_t d = 0; d < walk.rank - 1; ++d) sizes[d] = Divisor(walk.shape[d]);
    split();
  }

  // From now on a run is a vector, but for the last of a row. For a GPU.
  void take_vectors(int64_t of) {
    lanes = of;
    split();
  }

  // Whether the vectors of operand k, which starts at data, are aligned, or are one element each.
  template <int64_t kLanes, class T>
  bool in_vectors(int k, const T* data) const {
    if (walk.rank > 1 && inner < kLanes) return false;
    if (stride(k) == 0) return true;
    bool fit = stride(k) == 1 && aligned<kLanes>(data);
    for (int64_t d = 0; d < walk.rank - 1; ++d) fit = fit && walk.strides[k][d] % kLanes == 0;
    return fit;
  }
  // The same for one that is dense in the order of the walk.
  template <int64_t kLanes, class T>
  bool dense_in_vectors(const T* data) const {
    return aligned<kLanes>(data) && (walk.rank == 1 || inner % kLanes == 0);
  }

  // Elements a run has at most.
  HOST_DEVICE int64_t length() const { return kHostMemory ? kRun : lanes; }
  int64_t cost() const { return inner < length() ? inner : length(); }

  HOST_DEVICE int64_t stride(int k) const { return walk.strides[k][walk.rank - 1]; }

  HOST_DEVICE Run<N> at(int64_t i) const {
    int64_t row = i / per_row;
    const int64_t first = (i - row * per_row) * length();
    Run<N> run;
    run.start = row * inner + first;
    run.length = inner - first < length() ? inner - first : length();
    for (int k = 0; k < N; ++k) run.offset[k] = first * stride(k);
    for (int64_t d = walk.rank - 2; d >= 0; --d) {
      const int64_t above = row / sizes[d], index = row - above * sizes[d];
      row = above;
      for (int k = 0; k < N; ++k) run.offset[k] += index * walk.strides[k][d];
    }
    return run;
  }

 private:
  void split() {
    count = (inner + length() - 1) / length();
    per_row = Divisor(count);
    for (int64_t d = 0; d < walk.rank - 1; ++d) count *= walk.shape[d];
  }
};

}  // namespace partialconv
