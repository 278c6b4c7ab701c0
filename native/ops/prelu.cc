// PReLU with a slope a for each channel, or one for all.
//   y = x > 0 ? x : a x      dx = x > 0 ? dy : a dy      da = sum over x <= 0 of dy x
#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"

namespace partialconv {
namespace {

// With dy: the gradient, else y itself.
template <class T>
struct Slope {
  Blocks blocks;
  bool shared;
  const T *x, *a, *dy;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const Row row = blocks.at(i);
    using C = Compute<T>;
    const C slope = load(a[shared ? 0 : row.channel]);
    const T *px = x + row.offset, *from = (dy == nullptr ? x : dy) + row.offset;
    T* py = y + row.offset;
    for (int64_t j = 0; j < row.length; ++j) py[j] = store<T>((load(px[j]) > 0 ? C(1) : slope) * load(from[j]));
  }
};

template <class T>
struct ChunkSlopeGradient {
  Groups groups;
  const T *x, *dy;
  double* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    Sums<1> sum;
    groups.each_row(i, [&](const Row& row) {
      const T *px = x + row.offset, *pdy = dy + row.offset;
      sum.add(row.length, [=](int64_t j, double* t) {
        const Compute<T> value = load(px[j]);
        t[0] = static_cast<double>(value > 0 ? 0 : value) * load(pdy[j]);
      });
    });
    partial[i] = sum.total(0);
  }
};

template <class T>
struct MergeSlopeGradient {
  const double* partial;
  int64_t chunks;  // of one slope
  T* da;

  HOST_DEVICE void operator()(int64_t i) const {
    double sum = 0;
    for (int64_t k = 0; k < chunks; ++k) sum += partial[i * chunks + k];
    da[i] = store<T>(sum);
  }
};

}  // namespace

void prelu(Context& context, const Slopes& p, Span x, Span weight, Span y) {
  const Blocks blocks(p.n, p.c, p.s);
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    each(context, blocks.count(), Slope<T>{blocks, p.slopes == 1, x.as<const T>(), weight.as<const T>(), nullptr, y.as<T>()},
         blocks.work());
  });
}

void prelu_backward(Context& context, const Slopes& p, Span x, Span weight, Span dy, Span dx, Span dweight) {
  const Blocks blocks(p.n, p.c, p.s);
  const Groups groups(p.n, p.c, p.s, false);
  Scratch scratch(context, dweight ? groups.chunks() * sizeof(double) : 0);
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    const T *px = x.as<const T>(), *pdy = dy.as<const T>();
    if (dx) each(context, blocks.count(), Slope<T>{blocks, p.slopes == 1, px, weight.as<const T>(), pdy, dx.as<T>()}, blocks.work());
    if (!dweight) return;
    double* partial = scratch.as<double>();
    each(context, groups.chunks(), ChunkSlopeGradient<T>{groups, px, pdy, partial}, groups.work());
    const int64_t chunks = p.slopes == 0 ? 0 : groups.chunks() / p.slopes;
    each(context, p.slopes, MergeSlopeGradient<T>{partial, chunks, dweight.as<T>()}, chunks);
  });
}

}  // namespace partialconv
