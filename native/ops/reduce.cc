// Sum and mean over the middle of [outer, reduced, inner]. Sums are kept in double (complex double, int64), in an order that depends
// on the shape alone: the bits are the same for any number of threads.
#include <cmath>

#include "../device.h"
#include "../dtype.h"
#include "../ops.h"
#include "../partial_sums.h"

namespace partialconv {
namespace {

template <class T>
using Sum = std::conditional_t<kIsComplex<T>, Complex<double>, std::conditional_t<kIsInteger<T>, int64_t, double>>;

HOST_DEVICE inline void add(double& sum, double x) { sum += x; }
HOST_DEVICE inline void add(int64_t& sum, int64_t x) { sum += x; }
template <class R>
HOST_DEVICE inline void add(Complex<double>& sum, Complex<R> x) {
  sum.re += x.re;
  sum.im += x.im;
}

HOST_DEVICE inline double scaled(int64_t sum, double divisor) { return static_cast<double>(sum) / divisor; }
HOST_DEVICE inline double scaled(double sum, double divisor) { return sum / divisor; }
HOST_DEVICE inline Complex<double> scaled(Complex<double> sum, double divisor) { return {sum.re / divisor, sum.im / divisor}; }

// The end of a chunk's sum: a partial sum for the next level, or the result.
template <class S>
struct PutPartial {
  S* partial;
  HOST_DEVICE void operator()(int64_t i, S sum) const { partial[i] = sum; }
};
template <class S, class Y>
struct PutResult {
  Y* y;
  double divisor;  // 0: a sum
  HOST_DEVICE void operator()(int64_t i, S sum) const { y[i] = divisor != 0 ? store<Y>(scaled(sum, divisor)) : store<Y>(sum); }
};

// inner == 1: chunks of contiguous elements.
template <class X, class S, class Put>
struct SumContiguous {
  using Sum = S;
  static constexpr int64_t kChunk = 8192, kUnit = kLanesOf<X, double>;

  const X* x;
  Put put_sum;
  int64_t reduced, chunks;
  bool in_vectors;

  HOST_DEVICE S part(int64_t i, int64_t lane, int64_t lanes) const {
    const int64_t begin = i % chunks * kChunk, n = reduced - begin < kChunk ? reduced - begin : kChunk;
    const X* p = x + i / chunks * reduced + begin;
    return part_of_chunk<S, kUnit>(p, n, lane, lanes, in_vectors, [](S& sum, X element) { add(sum, load(element)); });
  }
  HOST_DEVICE void put(int64_t i, S sum) const { put_sum(i, sum); }
};

// inner > 1: a block of columns, row by row. On a GPU a column, and few rows, so that many threads have work.
template <class X, class S, class Put>
struct SumColumns {
  static constexpr int64_t kChunk = kHostMemory ? 8192 : 64, kColumns = kHostMemory ? 128 : 1;

  const X* x;
  Put put;
  int64_t reduced, inner, rows, chunks, blocks;  // rows: of a chunk

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t column = i % blocks * kColumns;
    const int64_t chunk = i / blocks % chunks, outer = i / blocks / chunks;
    const int64_t width = inner - column < kColumns ? inner - column : kColumns;
    const int64_t begin = chunk * rows, end = begin + rows < reduced ? begin + rows : reduced;
    S sums[kColumns] = {};
    for (int64_t row = begin; row < end; ++row) {
      const X* p = x + (outer * reduced + row) * inner + column;
      for (int64_t j = 0; j < width; ++j) add(sums[j], load(p[j]));
    }
    for (int64_t j = 0; j < width; ++j) put((outer * chunks + chunk) * inner + column + j, sums[j]);
  }
};

// Rows of [reduced, inner] that make a chunk, and the number of chunks (1 for nothing to add).
struct Chunks {
  int64_t columns, rows, count;
  explicit Chunks(const Reduction& r) {
    using Contiguous = SumContiguous<double, double, PutPartial<double>>;
    using Columns = SumColumns<double, double, PutPartial<double>>;
    columns = r.inner < Columns::kColumns ? r.inner : Columns::kColumns;
    rows = r.inner == 1 ? Contiguous::kChunk : Columns::kChunk / columns;
    count = r.reduced <= rows ? 1 : (r.reduced + rows - 1) / rows;
  }
};

template <class X, class S, class Put>
void sum_chunks(Context& context, const Reduction& r, const X* x, Put put) {
  const Chunks chunks(r);
  const int64_t rows = r.reduced < chunks.rows ? r.reduced : chunks.rows, cost = rows * chunks.columns;
  if (r.inner == 1) {
    using Kernel = SumContiguous<X, S, Put>;
    constexpr int64_t kUnit = Kernel::kUnit;
    const bool in_vectors = aligned<kUnit>(x) && (r.outer == 1 || r.reduced % kUnit == 0);
    each_sum(context, r.outer * chunks.count, (rows + kUnit - 1) / kUnit, Kernel{x, put, r.reduced, chunks.count, in_vectors}, cost);
  } else {
    const int64_t blocks = (r.inner + chunks.columns - 1) / chunks.columns;
    const SumColumns<X, S, Put> kernel{x, put, r.reduced, r.inner, chunks.rows, chunks.count, blocks};
    each(context, r.outer * chunks.count * blocks, kernel, cost);
  }
}

// Level by level, until one chunk is left.
template <class X, class Y>
void run_reduce(Context& context, Reduction r, double divisor, const X* x, Y* y) {
  using S = Sum<X>;
  const PutResult<S, Y> result{y, divisor};
  int64_t count = Chunks(r).count;
  if (count == 1) return sum_chunks<X, S>(context, r, x, result);
  const Scratch first(context, static_cast<std::size_t>(r.outer * count * r.inner) * sizeof(S));
  sum_chunks<X, S>(context, r, x, PutPartial<S>{first.as<S>()});
  r.reduced = count;
  count = Chunks(r).count;
  const Scratch second(context, static_cast<std::size_t>(r.outer * count * r.inner) * sizeof(S));
  S *from = first.as<S>(), *to = second.as<S>();
  for (; count > 1; count = Chunks(r).count) {
    sum_chunks<S, S>(context, r, static_cast<const S*>(from), PutPartial<S>{to});
    r.reduced = count;
    S* const free = from;
    from = to;
    to = free;
  }
  sum_chunks<S, S>(context, r, static_cast<const S*>(from), result);
}

}  // namespace

void reduce(Context& context, ReduceOp op, const Reduction& r, Span x, Span y) {
  if (y.size == 0) return;
  // The mean of nothing is 0 / 0.
  const double divisor = op == ReduceOp::kSum ? 0 : r.reduced > 0 ? static_cast<double>(r.reduced) : NAN;
  visit(x.dtype, [&](auto from) {
    visit(y.dtype, [&](auto to) {
      using X = typename decltype(from)::type;
      using Y = typename decltype(to)::type;
      constexpr bool supported = kIsComplex<X> == kIsComplex<Y> && !std::is_same_v<Y, Bool> && (!kIsInteger<Y> || kIsInteger<X>);
      if constexpr (supported) run_reduce(context, r, divisor, x.as<const X>(), y.as<Y>());
      else throw std::invalid_argument("a reduction does not support these dtypes");
    });
  });
}

}  // namespace partialconv
