// Moving elements: between dtypes (cast), one value everywhere (fill), between strided views (strided_copy).
#include <algorithm>

#include "../device.h"
#include "../dtype.h"
#include "../ops.h"
#include "../runs.h"

namespace partialconv {
namespace {

template <class X, class Y>
struct Cast {
  const X* x;
  Y* y;
  HOST_DEVICE void operator()(int64_t i) const {
    if constexpr (std::is_same_v<X, Y>) y[i] = x[i];
    else y[i] = store<Y>(load(x[i]));
  }
};

template <class Y>
struct Fill {
  Y value;
  Y* y;
  HOST_DEVICE void operator()(int64_t i) const { y[i] = value; }
};

// Elements are moved as words of their size.
struct Word16 {
  uint64_t low, high;
};

template <class W>
struct CopyRuns {
  static constexpr int64_t kLanes = kHostMemory ? 1 : kLanesOf<W>;

  const W* x;
  W* y;
  Runs<2> runs;

  HOST_DEVICE void operator()(int64_t i) const {
    const Run<2> run = runs.at(i);
    const W* px = x + run.offset[0];
    W* py = y + run.offset[1];
    [[maybe_unused]] const int64_t n = run.length, sx = runs.stride(0), sy = runs.stride(1);
    if constexpr (kLanes > 1) {
      const auto lanes = [&] { each_lane<kLanes>([&](int64_t j) { py[j] = px[j]; }); };
      if (n == kLanes) return in_registers<kLanes>(0, lanes, Operand(px, true, sx == 0), Operand(py));
    }
    if (kHostMemory && sx == 1 && sy == 1) {
      for (int64_t j = 0; j < n; ++j) py[j] = px[j];
    } else if (kHostMemory && sx == 0 && sy == 1) {
      const W value = px[0];
      for (int64_t j = 0; j < n; ++j) py[j] = value;
    } else {
      for (int64_t j = 0; j < n; ++j) py[j * sy] = px[j * sx];
    }
  }
};

// A transposition, where y is contiguous along the last dimension and x along another: square tiles over the two. A CPU's use every cache
// line whole. A GPU's thread turns one of vectors in registers, or has one element.
template <class W, int64_t kLanes>
struct CopyTiles {
  static constexpr int64_t kTile = kHostMemory ? 16 : kLanes;
  // Tiles along x in turn: what neighbouring threads read are whole sectors of 32 bytes.
  static constexpr int64_t kBeside = kLanes > 1 ? 2 : 1;

  const W* x;
  W* y;
  Walk<2> walk;                               // its last two dimensions: x's contiguous one, then y's
  Divisor across, down, outer[kMaxRank - 1];  // tiles over y's and over x's contiguous dimension, so many in turn; the other dimensions

  CopyTiles(const W* x, W* y, const Walk<2>& walk)
      : x(x), y(y), walk(walk), across((walk.shape[walk.rank - 1] + kTile - 1) / kTile), down(tiles_down() / kBeside) {
    for (int64_t d = 0; d < walk.rank - 2; ++d) outer[d] = Divisor(walk.shape[d]);
  }

  int64_t tiles_down() const { return (walk.shape[walk.rank - 2] + kTile - 1) / kTile; }
  int64_t count() const {
    int64_t tiles = across * tiles_down();
    for (int64_t d = 0; d < walk.rank - 2; ++d) tiles *= walk.shape[d];
    return tiles;
  }

  // Whether all tiles are whole ones of vectors.
  bool in_vectors() const {
    bool fit = aligned<kLanes>(x) && aligned<kLanes>(y) && tiles_down() % kBeside == 0;
    for (int64_t d = walk.rank - 2; d < walk.rank; ++d) fit = fit && walk.shape[d] % kLanes == 0;
    for (int64_t d = 0; d < walk.rank; ++d) {
      if (d != walk.rank - 2) fit = fit && walk.strides[0][d] % kLanes == 0;
      if (d != walk.rank - 1) fit = fit && walk.strides[1][d] % kLanes == 0;
    }
    return fit;
  }

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t r = walk.rank, turn = i / kBeside, rest = turn / across;
    const int64_t c0 = turn % across * kTile, r0 = (rest % down * kBeside + i % kBeside) * kTile;
    int64_t sample = rest / down, from = 0, to = 0;
    for (int64_t d = r - 3; d >= 0; --d) {
      const int64_t index = sample % outer[d];
      sample = sample / outer[d];
      from += index * walk.strides[0][d];
      to += index * walk.strides[1][d];
    }
    const int64_t x_column = walk.strides[0][r - 1], y_row = walk.strides[1][r - 2];
    const W* px = x + from + r0 + c0 * x_column;
    W* py = y + to + r0 * y_row + c0;
    if constexpr (kLanes > 1) turn_vectors(px, x_column, py, y_row);
    else copy(px, x_column, py, y_row, walk.shape[r - 2] - r0, walk.shape[r - 1] - c0);
  }

  HOST_DEVICE static void turn_vectors(const W* px, int64_t x_column, W* py, int64_t y_row) {
    Vector<W, kLanes> rows[kLanes];
    each_lane<kLanes>([&](int64_t column) {
      const auto read = read_vector<kLanes>(px + column * x_column);
      each_lane<kLanes>([&](int64_t row) { rows[row].elements[column] = read.elements[row]; });
    });
    each_lane<kLanes>([&](int64_t row) { write_vector(py + row * y_row, rows[row]); });
  }

  HOST_DEVICE static void copy(const W* px, int64_t x_column, W* py, int64_t y_row, int64_t rows_left, int64_t columns_left) {
    const int64_t rows = rows_left < kTile ? rows_left : kTile, columns = columns_left < kTile ? columns_left : kTile;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) py[row * y_row + column] = px[row + column * x_column];
    }
  }
};

// The dimension before the last along which x is contiguous while y is along the last, or -1.
int64_t transposed_dimension(const Walk<2>& walk) {
  if (walk.strides[1][walk.rank - 1] != 1 || walk.strides[0][walk.rank - 1] <= 1) return -1;
  for (int64_t d = walk.rank - 2; d >= 0; --d) {
    if (walk.strides[0][d] == 1 && walk.shape[d] > 1) return d;
  }
  return -1;
}

template <class W>
void copy_runs(Context& context, const Runs<2>& runs, const W* x, W* y) {
  CopyRuns<W> kernel{x, y, runs};
  if constexpr (constexpr int64_t kLanes = decltype(kernel)::kLanes; kLanes > 1) {
    if (runs.in_vectors<kLanes>(0, x) && runs.in_vectors<kLanes>(1, y)) kernel.runs.take_vectors(kLanes);
  }
  each(context, kernel.runs.count, kernel, kernel.runs.cost());
}

template <class W>
void copy_words(Context& context, const Runs<2>& runs, const W* x, W* y) {
  Walk<2> walk = runs.walk;
  const int64_t d = transposed_dimension(walk);
  if (d < 0) return copy_runs(context, runs, x, y);
  const auto exchange = [](int64_t* values, int64_t i, int64_t j) {
    const int64_t kept = values[i];
    values[i] = values[j];
    values[j] = kept;
  };
  exchange(walk.shape, d, walk.rank - 2);
  exchange(walk.strides[0], d, walk.rank - 2);
  exchange(walk.strides[1], d, walk.rank - 2);
  const auto launch = [&](const auto& tiles) { each(context, tiles.count(), tiles, tiles.kTile * tiles.kTile); };
  const CopyTiles<W, kHostMemory ? 1 : std::min<int64_t>(8, kLanesOf<W>)> vectors(x, y, walk);
  if (!kHostMemory && vectors.in_vectors()) launch(vectors);
  else launch(CopyTiles<W, 1>(x, y, walk));
}

}  // namespace

void cast(Context& context, Span x, Span y) {
  visit(x.dtype, [&](auto from) {
    visit(y.dtype, [&](auto to) {
      using X = typename decltype(from)::type;
      using Y = typename decltype(to)::type;
      using Kernel = Cast<X, Y>;
      each_vector<&Kernel::x, &Kernel::y>(context, y.size, Kernel{x.as<const X>(), y.as<Y>()});
    });
  });
}

void fill(Context& context, double re, double im, Span y) {
  visit(y.dtype, [&](auto tag) {
    using Y = typename decltype(tag)::type;
    using Kernel = Fill<Y>;
    each_vector<&Kernel::y>(context, y.size, Kernel{store<Y>(Complex<double>{re, im}), y.as<Y>()});
  });
}

void strided_copy(Context& context, const StridedCopy& copy, Span x, Span y) {
  Walk<2> walk{copy.rank, {}, {}};
  for (int64_t d = 0; d < copy.rank; ++d) {
    walk.shape[d] = copy.shape[d];
    walk.strides[0][d] = copy.x_strides[d];
    walk.strides[1][d] = copy.y_strides[d];
  }
  const Runs<2> runs(walk);
  if (runs.count == 0) return;
  visit(y.dtype, [&](auto tag) {
    constexpr std::size_t bytes = sizeof(typename decltype(tag)::type);
    using Narrow = std::conditional_t<bytes == 1, uint8_t, std::conditional_t<bytes == 2, uint16_t, uint32_t>>;
    using W = std::conditional_t<bytes <= 4, Narrow, std::conditional_t<bytes == 8, uint64_t, Word16>>;
    copy_words<W>(context, runs, x.as<const W>() + copy.x_offset, y.as<W>() + copy.y_offset);
  });
}

}  // namespace partialconv
