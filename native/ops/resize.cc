// Resize of planes [h, w] to [ho, wo]: linear in each dimension with aligned corners, nearest, or the least cell that linear reads.
//   linear: output i lies at i (size - 1) / (out - 1) between the cells low and low + 1 (at 0 where out is 1)
//   nearest: output i shows the cell floor(i scale), as PyTorch in float32
#include <cmath>

#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"

namespace partialconv {
namespace {

// Output = (1 - fraction) low + fraction high; where fraction is 0, high is low and nothing else is read.
struct Tap {
  int32_t low, high;
  double fraction;
};

// taps[i] of output i along an axis.
struct FindTaps {
  int64_t size, out;
  float scale;  // of nearest; 0: linear
  Tap* taps;

  HOST_DEVICE void operator()(int64_t i) const {
    int64_t low = 0, rest = 0;
    if (scale != 0) {
      low = static_cast<int64_t>(floorf(static_cast<float>(i) * scale));
      if (low > size - 1) low = size - 1;
    } else if (out > 1) {
      low = i * (size - 1) / (out - 1);
      rest = i * (size - 1) % (out - 1);
    }
    taps[i] = {static_cast<int32_t>(low), static_cast<int32_t>(rest > 0 ? low + 1 : low), rest > 0 ? double(rest) / double(out - 1) : 0.0};
  }
};

// starts[k]: the first output whose low is at least k - 1, so that outputs [starts[k], starts[k + 2]) read cell k.
struct FindStarts {
  int64_t out;
  const Tap* taps;
  int32_t* starts;

  HOST_DEVICE void operator()(int64_t k) const {
    int64_t begin = 0, end = out;
    while (begin < end) {
      const int64_t middle = (begin + end) / 2;
      if (taps[middle].low < k - 1) begin = middle + 1;
      else end = middle;
    }
    starts[k] = static_cast<int32_t>(begin);
  }
};

template <class C>
HOST_DEVICE inline C between(C low, C high, double fraction) {
  return fraction == 0 ? low : static_cast<C>(1 - fraction) * low + static_cast<C>(fraction) * high;
}

inline constexpr int64_t kLanes = kHostMemory ? 256 : 1;

// A block of an output row.
template <class T>
struct Interpolate {
  Resize r;
  int64_t blocks;
  const Tap *rows, *cols;
  const T* x;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t line = i / blocks, begin = i % blocks * kLanes, end = begin + kLanes < r.wo ? begin + kLanes : r.wo;
    const Tap row = rows[line % r.ho];
    const T* plane = x + line / r.ho * r.h * r.w;
    const T *low = plane + row.low * r.w, *high = plane + row.high * r.w;
    T* to = y + line * r.wo;
    for (int64_t j = begin; j < end; ++j) to[j] = at(low, high, row.fraction, cols[j]);
  }

  HOST_DEVICE T at(const T* low, const T* high, double fraction, const Tap& col) const {
    const auto a = load(low[col.low]), b = load(low[col.high]), c = load(high[col.low]), d = load(high[col.high]);
    if (r.mode == ResizeMode::kLeast) {
      const auto upper = a < b ? a : b, lower = c < d ? c : d;
      return store<T>(upper < lower ? upper : lower);
    }
    if constexpr (std::is_floating_point_v<Compute<T>>)
      return store<T>(between(between(a, b, col.fraction), between(c, d, col.fraction), fraction));
    else return store<T>(a);
  }
};

// A block of a row of x gathers from the outputs that read it.
template <class T>
struct Gather {
  Resize r;
  int64_t blocks;
  const Tap *rows, *cols;
  const int32_t *row_starts, *col_starts;
  const T* dy;
  T* dx;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t line = i / blocks, begin = i % blocks * kLanes, end = begin + kLanes < r.w ? begin + kLanes : r.w;
    const int64_t row = line % r.h;
    const T* plane = dy + line / r.h * r.ho * r.wo;
    for (int64_t col = begin; col < end; ++col) {
      double sum = 0;
      for (int64_t p = row_starts[row]; p < row_starts[row + 2]; ++p) {
        double inner = 0;
        for (int64_t q = col_starts[col]; q < col_starts[col + 2]; ++q) inner += share(cols[q], col) * load(plane[p * r.wo + q]);
        sum += share(rows[p], row) * inner;
      }
      dx[line * r.w + col] = store<T>(sum);
    }
  }

  // The weight of a cell in an output whose low is the cell or the one before.
  HOST_DEVICE static double share(const Tap& tap, int64_t cell) { return tap.low == cell ? 1 - tap.fraction : tap.fraction; }
};

// The taps of both axes, in scratch memory.
class Axes {
 public:
  Axes(Context& context, const Resize& r, double row_scale, double col_scale, bool backward)
      : taps_(context, (r.ho + r.wo) * sizeof(Tap)), starts_(context, (backward ? r.h + r.w + 4 : 0) * sizeof(int32_t)) {
    rows = taps_.as<Tap>();
    cols = rows + r.ho;
    each(context, r.ho, FindTaps{r.h, r.ho, static_cast<float>(row_scale), rows});
    each(context, r.wo, FindTaps{r.w, r.wo, static_cast<float>(col_scale), cols});
    if (!backward) return;
    row_starts = starts_.as<int32_t>();
    col_starts = row_starts + r.h + 2;
    each(context, r.h + 2, FindStarts{r.ho, rows, row_starts});
    each(context, r.w + 2, FindStarts{r.wo, cols, col_starts});
  }

  Tap *rows, *cols;
  int32_t *row_starts = nullptr, *col_starts = nullptr;

 private:
  Scratch taps_, starts_;
};

int64_t blocks_of(int64_t width) { return (width + kLanes - 1) / kLanes; }

}  // namespace

void resize(Context& context, const Resize& r, double row_scale, double col_scale, Span x, Span y) {
  const Axes axes(context, r, row_scale, col_scale, false);
  const int64_t blocks = blocks_of(r.wo);
  visit(x.dtype, [&]<class T>(TypeTag<T>) {
    if constexpr (kIsComplex<T>) throw std::invalid_argument("resize supports real dtypes only");
    else
      each(context, r.planes * r.ho * blocks, Interpolate<T>{r, blocks, axes.rows, axes.cols, x.as<const T>(), y.as<T>()},
           r.wo < kLanes ? r.wo : kLanes);
  });
}

void resize_backward(Context& context, const Resize& r, double row_scale, double col_scale, Span dy, Span dx) {
  const Axes axes(context, r, row_scale, col_scale, true);
  const int64_t blocks = blocks_of(r.w), work = r.h == 0 ? 1 : 1 + r.ho * r.wo / r.h;
  visit_real(dy.dtype, [&]<class T>(TypeTag<T>) {
    const Gather<T> gather{r, blocks, axes.rows, axes.cols, axes.row_starts, axes.col_starts, dy.as<const T>(), dx.as<T>()};
    each(context, r.planes * r.h * blocks, gather, work);
  });
}

}  // namespace partialconv
