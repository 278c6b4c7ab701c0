// Padding along one axis, and its gradient.
//   y[o, j, i] = x[o, source(j - before), i], or value where the source is none
//   dx[o, s, i] = sum of dy[o, j, i] over all j with source(j - before) = s
#include "../padding.h"

#include "../device.h"
#include "../divisor.h"
#include "../dtype.h"
#include "../runs.h"

namespace partialconv {
namespace {

// Neighbours in what is written that have neighbours in what is read: `length` elements from `at` on, which is element `within` of a
// line's cell.
struct Piece {
  int64_t at, line, cell, within, length;
  bool plain;
};

// What is written, [outer, cells, inner], as lines of cells * inner elements, in runs: long ones on a CPU, on a GPU vectors, or elements
// where they are not aligned. A run goes across the ends of lines, so that there are vectors whatever a line's length is.
template <class T>
struct Lines {
  static constexpr int64_t kLanes = kHostMemory ? 1 : kLanesOf<T>;

  int64_t n, run;
  Divisor line, inner;
  int64_t begin, end;  // of a line: in between neighbours have neighbours
  bool outside;        // before and behind, too; else within a cell

  Lines(const T* data, const PadAxis& p, int64_t cells, int64_t first, int64_t last, bool outside)
      : n(p.outer * cells * p.inner),
        run(kHostMemory || !aligned<kLanes>(data) ? kRun : kLanes),
        line(cells * p.inner),
        inner(p.inner),
        begin(first * p.inner),
        end(last * p.inner),
        outside(outside) {}

  int64_t count() const { return (n + run - 1) / run; }
  int64_t work() const { return n < run ? n : run; }

  // f(Piece) for the pieces of run i.
  template <class F>
  HOST_DEVICE void each_piece(int64_t i, F f) const {
    const int64_t stop = n - i * run < run ? n : (i + 1) * run;
    int64_t at = i * run, o = at / line, in_line = at - o * line;
    while (at < stop) {
      const int64_t cell = in_line / inner, within = in_line - cell * inner;
      const bool plain = in_line >= begin && in_line < end;
      int64_t length = inner - within;
      if (plain) length = (end < line ? end : line) - in_line;
      else if (outside) length = (in_line < begin && begin < line ? begin : line) - in_line;
      if (length > stop - at) length = stop - at;
      f(Piece{at, o, cell, within, length, plain});
      at += length, in_line += length;
      if (in_line == line) in_line = 0, ++o;
    }
  }
};

// kLanes neighbours, aligned or not.
template <int64_t kLanes, class T>
HOST_DEVICE inline Vector<T, kLanes> read_neighbours(const T* from) {
  if (aligned<kLanes>(from)) return read_vector<kLanes>(from);
  Vector<T, kLanes> values;
  each_lane<kLanes>([&](int64_t lane) { values.elements[lane] = from[lane]; });
  return values;
}
template <int64_t kLanes, class T>
HOST_DEVICE inline void write_neighbours(T* to, const Vector<T, kLanes>& values) {
  if (aligned<kLanes>(to)) return write_vector(to, values);
  each_lane<kLanes>([&](int64_t lane) { to[lane] = values.elements[lane]; });
}

template <class T>
struct Pad {
  static constexpr int64_t kLanes = Lines<T>::kLanes;

  PadAxis p;
  Lines<T> lines;
  const T* x;
  T* y;
  const T* value;  // null: zero

  HOST_DEVICE void operator()(int64_t run) const {
    const T filler = value == nullptr ? store<T>(0.0f) : *value;
    lines.each_piece(run, [&](const Piece& piece) {
      const int64_t s = source_index(piece.cell - p.before, p.size, p.mode);
      const T* from = s < 0 ? nullptr : x + (piece.line * p.size + s) * p.inner + piece.within;
      T* to = y + piece.at;
      if (kLanes > 1 && piece.length == kLanes) {
        Vector<T, kLanes> values;
        if (from == nullptr) each_lane<kLanes>([&](int64_t lane) { values.elements[lane] = filler; });
        else values = read_neighbours<kLanes>(from);
        write_vector(to, values);
      } else {
        for (int64_t k = 0; k < piece.length; ++k) to[k] = from == nullptr ? filler : from[k];
      }
    });
  }
};

template <class T>
struct Fold {
  static constexpr int64_t kLanes = kHostMemory ? 4 : kLanesOf<T>;

  PadAxis p;
  Lines<T> lines;
  const T* dy;
  T* dx;

  HOST_DEVICE void operator()(int64_t run) const {
    lines.each_piece(run, [&](const Piece& piece) {
      int64_t k = 0;
      for (; k + kLanes <= piece.length; k += kLanes) sum<kLanes>(piece, k);
      for (; k < piece.length; ++k) sum<1>(piece, k);
    });
  }

  // kCount elements of a piece from its k-th on.
  template <int64_t kCount>
  HOST_DEVICE void sum(const Piece& piece, int64_t k) const {
    Vector<Compute<T>, kCount> sums;
    each_lane<kCount>([&](int64_t lane) { sums.elements[lane] = load(T{}); });
    const T* from = dy + piece.line * p.out_size * p.inner + piece.within + k;
    each_copy(piece, [&](int64_t position) {
      const int64_t j = position + p.before;
      if (j < 0 || j >= p.out_size) return;
      const auto values = read_neighbours<kCount>(from + j * p.inner);
      each_lane<kCount>([&](int64_t lane) { sums.elements[lane] = sums.elements[lane] + load(values.elements[lane]); });
    });
    Vector<T, kCount> stored;
    each_lane<kCount>([&](int64_t lane) { stored.elements[lane] = store<T>(sums.elements[lane]); });
    write_neighbours(dx + piece.at + k, stored);
  }

  // add(k) for every position of the padded axis, counted from the first cell of x, that shows cell s; and for others, outside of the axis.
  template <class F>
  HOST_DEVICE void each_copy(const Piece& piece, F add) const {
    const int64_t s = piece.cell;
    add(s);
    if (piece.plain) return;
    if (p.mode == PaddingMode::kReflect) {
      if (s > 0) add(-s);
      if (s < p.size - 1) add(2 * (p.size - 1) - s);
    } else if (p.mode == PaddingMode::kCircular) {
      add(s - p.size);
      add(s + p.size);
    } else if (p.mode == PaddingMode::kReplicate) {
      for (int64_t k = -p.before; s == 0 && k < 0; ++k) add(k);
      for (int64_t k = p.size; s == p.size - 1 && k < p.out_size - p.before; ++k) add(k);
    }
  }
};

// Cells at an edge of x that padding may repeat, where `here` cells are padded at this edge and `there` at the other.
int64_t repeated(PaddingMode mode, int64_t here, int64_t there) {
  switch (mode) {
    case PaddingMode::kReflect: return here + 1;
    case PaddingMode::kReplicate: return 1;
    case PaddingMode::kCircular: return there;
    default: return 0;
  }
}

}  // namespace

void pad_axis(Context& context, const PadAxis& p, Span value, Span x, Span y) {
  const bool outside = p.mode == PaddingMode::kZeros || p.mode == PaddingMode::kCircular;
  visit(x.dtype, [&]<class T>(TypeTag<T>) {
    const Lines<T> lines(y.as<T>(), p, p.out_size, p.before, p.before + p.size, outside);
    each(context, lines.count(), Pad<T>{p, lines, x.as<const T>(), y.as<T>(), value.as<const T>()}, lines.work());
  });
}

void pad_axis_backward(Context& context, const PadAxis& p, Span dy, Span dx) {
  // Of dx's cells, those that dy shows once.
  const int64_t after = p.out_size - p.before - p.size;
  const int64_t first = std::max({int64_t{0}, -p.before, repeated(p.mode, p.before, after)});
  const int64_t last = p.size - std::max({int64_t{0}, -after, repeated(p.mode, after, p.before)});
  visit(dy.dtype, [&]<class T>(TypeTag<T>) {
    const Lines<T> lines(dx.as<T>(), p, p.size, first, last, false);
    each(context, lines.count(), Fold<T>{p, lines, dy.as<const T>(), dx.as<T>()}, lines.work());
  });
}

}  // namespace partialconv
