// Padding along one axis, and its gradient.
//   y[o, j, i] = x[o, source(j - before), i], or value where the source is none
//   dx[o, s, i] = sum of dy[o, j, i] over all j with source(j - before) = s
#include "../padding.h"

#include "../device.h"
#include "../dtype.h"

namespace partialconv {
namespace {

template <class T>
struct PadCells {
  PadAxis p;
  const T* x;
  T* y;
  const T* value;  // null: zero

  HOST_DEVICE void operator()(int64_t row) const {
    const T filler = value == nullptr ? store<T>(0.0f) : *value;
    const int64_t j = row % p.out_size, o = row / p.out_size;
    const int64_t s = source_index(j - p.before, p.size, p.mode);
    T* to = y + row * p.inner;
    const T* from = s < 0 ? nullptr : x + (o * p.size + s) * p.inner;
    for (int64_t i = 0; i < p.inner; ++i) to[i] = from == nullptr ? filler : from[i];
  }
};

template <class T>
struct FoldCells {
  PadAxis p;
  const T* dy;
  T* dx;

  HOST_DEVICE void operator()(int64_t cell) const {
    const int64_t i = cell % p.inner, s = cell / p.inner % p.size, o = cell / p.inner / p.size;
    const T* line = dy + o * p.out_size * p.inner + i;
    Compute<T> sum = load(T{});
    add(sum, line, s);
    if (p.mode == PaddingMode::kReflect) {
      if (s > 0) add(sum, line, -s);
      if (s < p.size - 1) add(sum, line, 2 * (p.size - 1) - s);
    } else if (p.mode == PaddingMode::kCircular) {
      add(sum, line, s - p.size);
      add(sum, line, s + p.size);
    } else if (p.mode == PaddingMode::kReplicate) {
      for (int64_t k = -p.before; s == 0 && k < 0; ++k) add(sum, line, k);
      for (int64_t k = p.size; s == p.size - 1 && k < p.out_size - p.before; ++k) add(sum, line, k);
    }
    dx[cell] = store<T>(sum);
  }

  // Position k of the padded axis, counted from the first cell of x.
  HOST_DEVICE void add(Compute<T>& sum, const T* line, int64_t k) const {
    const int64_t j = k + p.before;
    if (j >= 0 && j < p.out_size) sum = sum + load(line[j * p.inner]);
  }
};

}  // namespace

void pad_axis(Context& context, const PadAxis& p, Span value, Span x, Span y) {
  visit(x.dtype, [&]<class T>(TypeTag<T>) {
    each(context, p.outer * p.out_size, PadCells<T>{p, x.as<const T>(), y.as<T>(), value.as<const T>()}, p.inner);
  });
}

void pad_axis_backward(Context& context, const PadAxis& p, Span dy, Span dx) {
  visit(dy.dtype, [&]<class T>(TypeTag<T>) { each(context, p.outer * p.size * p.inner, FoldCells<T>{p, dy.as<const T>(), dx.as<T>()}); });
}

}  // namespace partialconv
