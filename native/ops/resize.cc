// Resize of planes [h, w] to [ho, wo]: linear in each dimension with aligned corners, nearest, or the least cell that linear reads.
//   linear: output i lies at i (size - 1) / (out - 1) between the cells low and low + 1 (at 0 where out is 1)
//   nearest: output i shows the cell floor(i scale), as PyTorch in float32
#include <algorithm>
#include <cmath>

#include "../device.h"
#include "../divisor.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"

namespace partialconv {
namespace {

// Outputs along one axis: output = (1 - fraction) cell low + fraction cell low + 1; where fraction is 0, nothing else is read.
struct Axis {
  int64_t size, out;
  float scale;  // of nearest; 0: linear
  double* fraction;
  int32_t* low;
  int32_t* starts;  // starts[k]: the first output whose low is at least k - 1, so that outputs [starts[k], starts[k + 2]) read cell k

  HOST_DEVICE void find_tap(int64_t i) const {
    int64_t cell = 0, rest = 0;
    if (scale != 0) {
      cell = static_cast<int64_t>(floorf(static_cast<float>(i) * scale));
      if (cell > size - 1) cell = size - 1;
    } else if (out > 1) {
      cell = i * (size - 1) / (out - 1);
      rest = i * (size - 1) % (out - 1);
    }
    low[i] = static_cast<int32_t>(cell);
    fraction[i] = rest > 0 ? double(rest) / double(out - 1) : 0.0;
  }

  HOST_DEVICE void find_start(int64_t k) const {
    int64_t begin = 0, end = out;
    while (begin < end) {
      const int64_t middle = (begin + end) / 2;
      if (low[middle] < k - 1) begin = middle + 1;
      else end = middle;
    }
    starts[k] = static_cast<int32_t>(begin);
  }
};

struct FindTaps {
  Axis rows, cols;
  HOST_DEVICE void operator()(int64_t i) const { i < rows.out ? rows.find_tap(i) : cols.find_tap(i - rows.out); }
};

struct FindStarts {
  Axis rows, cols;
  HOST_DEVICE void operator()(int64_t k) const { k < rows.size + 2 ? rows.find_start(k) : cols.find_start(k - rows.size - 2); }
};

// The taps of both axes, in scratch memory.
class Axes {
 public:
  Axes(Context& context, const Resize& r, double row_scale, double col_scale, bool backward)
      : taps_(context, (r.ho + r.wo) * (sizeof(double) + sizeof(int32_t))),
        starts_(context, (backward ? r.h + r.w + 4 : 0) * sizeof(int32_t)) {
    double* const fraction = taps_.as<double>();
    int32_t *const low = reinterpret_cast<int32_t*>(fraction + r.ho + r.wo), *const starts = backward ? starts_.as<int32_t>() : nullptr;
    rows = {r.h, r.ho, static_cast<float>(row_scale), fraction, low, starts};
    cols = {r.w, r.wo, static_cast<float>(col_scale), fraction + r.ho, low + r.ho, backward ? starts + r.h + 2 : nullptr};
    each(context, r.ho + r.wo, FindTaps{rows, cols});
    if (backward) each(context, r.h + r.w + 4, FindStarts{rows, cols});
  }

  Axis rows, cols;

 private:
  Scratch taps_, starts_;
};

// Columns [begin, begin + length) of lines [line, end).
struct Patch {
  int64_t line, end, begin, length;
};

// Rows of all planes, one after the other, in patches that a functor call takes: neighbouring lines share what they read.
template <int64_t kColumns>
struct Patches {
  static constexpr int64_t kLines = 8;

  int64_t lines, width;
  Divisor across;

  Patches(int64_t lines, int64_t width) : lines(lines), width(width), across((width + kColumns - 1) / kColumns) {}
  int64_t count() const { return width == 0 ? 0 : (lines + kLines - 1) / kLines * across; }
  int64_t work() const { return kLines * std::min(width, kColumns); }

  HOST_DEVICE Patch at(int64_t i) const {
    const int64_t down = i / across, line = down * kLines, begin = (i - down * across) * kColumns;
    const int64_t end = lines - line < kLines ? lines : line + kLines;
    // A GPU's are whole ones.
    return {line, end, begin, kHostMemory && width - begin < kColumns ? width - begin : kColumns};
  }
};

// What an output shows of the two neighbours that it lies between.
struct Between {
  template <class C, class Weight>
  HOST_DEVICE C operator()(C low, C high, Weight near, Weight far) const {
    if constexpr (std::is_floating_point_v<C>) return near * low + far * high;
    else return low;
  }
};
struct Least {
  template <class C, class Weight>
  HOST_DEVICE C operator()(C low, C high, Weight, Weight) const {
    return low < high ? low : high;
  }
};

// Outputs in vectors, or single ones, of several lines. A row of x is read, and interpolated along itself, once for the lines that show it.
template <class T, int64_t kLanes>
struct Interpolate {
  static constexpr int64_t kColumns = kHostMemory ? 1024 : kLanes;
  using C = Compute<T>;
  using Weight = std::conditional_t<std::is_floating_point_v<C>, C, float>;

  // A row of x under the columns of a patch.
  struct Cells {
    int64_t row = -1;
    C values[kColumns];
  };
  struct Taps {
    int32_t low[kColumns];
    Weight near[kColumns], far[kColumns];
  };

  ResizeMode mode;
  Patches<kColumns> patches;
  Divisor ho;
  Axis rows, cols;
  const T* x;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const Patch patch = patches.at(i);
    Taps taps;
    each_in_row<kLanes>(patch.length, [&](int64_t j) {
      const double fraction = cols.fraction[patch.begin + j];
      taps.low[j] = cols.low[patch.begin + j];
      taps.near[j] = static_cast<Weight>(1 - fraction), taps.far[j] = static_cast<Weight>(fraction);
    });
    if (mode == ResizeMode::kLeast) lines(patch, taps, Least{});
    else lines(patch, taps, Between{});
  }

  template <class Join>
  HOST_DEVICE void lines(const Patch& patch, const Taps& taps, Join join) const {
    Cells low{}, high{};
    for (int64_t line = patch.line; line < patch.end; ++line) {
      const int64_t plane = line / ho, row = line - plane * ho, first = plane * rows.size + rows.low[row];
      const double fraction = rows.fraction[row];
      const T* from = x + first * cols.size;
      T* to = y + line * cols.out + patch.begin;
      if (fraction == 0) {
        each_in_row<kLanes>(
            patch.length, [&](int64_t j) { to[j] = store<T>(along(from, taps, join, j)); }, Operand(to));
        continue;
      }
      show(first, patch.length, taps, join, low, high);
      show(first + 1, patch.length, taps, join, high, low);
      const Weight near = static_cast<Weight>(1 - fraction), far = static_cast<Weight>(fraction);
      each_in_row<kLanes>(
          patch.length, [&](int64_t j) { to[j] = store<T>(join(low.values[j], high.values[j], near, far)); }, Operand(to));
    }
  }

  // cells become those of a row, which `others` may have.
  template <class Join>
  HOST_DEVICE void show(int64_t row, int64_t length, const Taps& taps, Join join, Cells& cells, const Cells& others) const {
    if (cells.row == row) return;
    cells.row = row;
    const T* from = x + row * cols.size;
    if (others.row == row) each_in_row<kLanes>(length, [&](int64_t j) { cells.values[j] = others.values[j]; });
    else each_in_row<kLanes>(length, [&](int64_t j) { cells.values[j] = along(from, taps, join, j); });
  }

  // What column j of a patch shows of a row.
  template <class Join>
  HOST_DEVICE C along(const T* row, const Taps& taps, Join join, int64_t j) const {
    const T* cell = row + taps.low[j];
    return taps.far[j] == 0 ? load(cell[0]) : join(load(cell[0]), load(cell[1]), taps.near[j], taps.far[j]);
  }
};

// Cells of several lines of x gather from the outputs that read them. A row of dy is summed along itself once for the two lines that it
// lies between. Single columns on a GPU: those of a warp are neighbours, and read dy closer together than if each thread had several.
template <class T>
struct Gather {
  static constexpr int64_t kColumns = kHostMemory ? 1024 : 1;

  Patches<kColumns> patches;
  Divisor h;
  Axis rows, cols;
  const T* dy;
  T* dx;

  HOST_DEVICE void operator()(int64_t i) const {
    const Patch patch = patches.at(i);
    double sums[kColumns], next[kColumns];  // of a line, and what it leaves to the next one
    for (int64_t line = patch.line; line < patch.end; ++line) {
      const int64_t plane = line / h, row = line - plane * h;
      const bool follows = line > patch.line && row > 0;
      for (int64_t j = 0; j < patch.length; ++j) sums[j] = follows ? next[j] : 0, next[j] = 0;
      const int32_t* starts = rows.starts + row;  // outputs [0] to [1] lie before the line, to [2] on it or behind
      for (int64_t p = starts[follows ? 1 : 0]; p < starts[2]; ++p) {
        const double far = rows.fraction[p], near = 1 - far;
        const T* from = dy + (plane * rows.out + p) * cols.out;
        for (int64_t j = 0; j < patch.length; ++j) {
          const double sum = along(from, patch.begin + j);
          sums[j] += (p < starts[1] ? far : near) * sum;
          if (p >= starts[1]) next[j] += far * sum;
        }
      }
      for (int64_t j = 0; j < patch.length; ++j) dx[line * cols.size + patch.begin + j] = store<T>(sums[j]);
    }
  }

  // What a row of outputs gives to a column.
  HOST_DEVICE double along(const T* from, int64_t column) const {
    const int32_t *starts = cols.starts + column, middle = starts[1], end = starts[2];
    double sum = 0;
    for (int32_t q = starts[0]; q < end; ++q) sum += (q < middle ? cols.fraction[q] : 1 - cols.fraction[q]) * load(from[q]);
    return sum;
  }
};

}  // namespace

void resize(Context& context, const Resize& r, double row_scale, double col_scale, Span x, Span y) {
  const Axes axes(context, r, row_scale, col_scale, false);
  visit(x.dtype, [&]<class T>(TypeTag<T>) {
    if constexpr (kIsComplex<T>) throw std::invalid_argument("resize supports real dtypes only");
    else {
      const auto launch = [&]<int64_t kLanes> {
        using F = Interpolate<T, kLanes>;
        const Patches<F::kColumns> patches(r.planes * r.ho, r.wo);
        each(context, patches.count(), F{r.mode, patches, Divisor(r.ho), axes.rows, axes.cols, x.as<const T>(), y.as<T>()}, patches.work());
      };
      with_lanes<kLanesOf<T, double>>(r.wo, launch, y.as<T>());
    }
  });
}

void resize_backward(Context& context, const Resize& r, double row_scale, double col_scale, Span dy, Span dx) {
  const Axes axes(context, r, row_scale, col_scale, true);
  visit_real(dy.dtype, [&]<class T>(TypeTag<T>) {
    using F = Gather<T>;
    const Patches<F::kColumns> patches(r.planes * r.h, r.w);
    const int64_t count = patches.count(), work = patches.work() + (count == 0 ? 0 : r.planes * r.ho * r.wo / count);
    each(context, count, F{patches, Divisor(r.h), axes.rows, axes.cols, dy.as<const T>(), dx.as<T>()}, work);
  });
}

}  // namespace partialconv
