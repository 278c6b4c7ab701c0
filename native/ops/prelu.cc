// PReLU with a slope a for each channel, or one for all.
//   y = x > 0 ? x : a x      dx = x > 0 ? dy : a dy      da = sum over x <= 0 of dy x
#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"
#include "../partial_sums.h"

namespace partialconv {
namespace {

// y = (x > 0 ? 1 : a) from, which is x, or dy where y is the gradient.
template <class T, int64_t kLanes>
struct Slope {
  Blocks<kLanes> blocks;
  bool shared;
  const T *x, *a, *from;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const Row row = blocks.at(i);
    using C = Compute<T>;
    const C slope = load(a[shared ? 0 : row.channel]);
    const T *px = x + row.offset, *pfrom = from + row.offset;
    T* py = y + row.offset;
    const auto sloped = [&](int64_t j) { py[j] = store<T>((load(px[j]) > 0 ? C(1) : slope) * load(pfrom[j])); };
    each_in_block<kLanes>(row, sloped, Operand(px), Operand(pfrom), Operand(py));
  }
};

template <class T, int64_t kLanes>
struct ChunkSlopeGradient {
  using Sum = double;

  Groups<T> groups;
  const T *x, *dy;
  double* partial;

  HOST_DEVICE double part(int64_t i, int64_t lane, int64_t lanes) const {
    Sums<1> sum;
    groups.each_row(i, lane, lanes, [&](const Row& row) {
      const T *px = x + row.offset, *pdy = dy + row.offset;
      const auto terms = [&](int64_t j, double* t) {
        const Compute<T> value = load(px[j]);
        t[0] = static_cast<double>(value > 0 ? 0 : value) * load(pdy[j]);
      };
      sum.add<kLanes>(row.length, terms, Operand(px), Operand(pdy));
    });
    return sum.total(0);
  }
  HOST_DEVICE void put(int64_t i, double sum) const { partial[i] = sum; }
};

template <class T>
void run_slope(Context& context, const Slopes& p, const T* x, const T* a, const T* from, T* y) {
  const auto launch = [&]<int64_t kLanes> {
    const Blocks<kLanes> blocks(p.n, p.c, p.s);
    each(context, blocks.count(), Slope<T, kLanes>{blocks, p.slopes == 1, x, a, from, y}, blocks.work());
  };
  with_lanes<kLanesOf<T>>(p.s, launch, x, from, y);
}

}  // namespace

void prelu(Context& context, const Slopes& p, Span x, Span weight, Span y) {
  visit_real(x.dtype,
             [&]<class T>(TypeTag<T>) { run_slope<T>(context, p, x.as<const T>(), weight.as<const T>(), x.as<const T>(), y.as<T>()); });
}

void prelu_backward(Context& context, const Slopes& p, Span x, Span weight, Span dy, Span dx, Span dweight) {
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    const T *px = x.as<const T>(), *pdy = dy.as<const T>();
    if (dx) run_slope<T>(context, p, px, weight.as<const T>(), pdy, dx.as<T>());
    if (!dweight) return;
    const Groups<T> groups(p.n, p.c, p.s, false);
    Scratch scratch(context, groups.chunks() * sizeof(double));
    double* partial = scratch.as<double>();
    const auto sum = [&]<int64_t kLanes> {
      each_sum(context, groups.chunks(), groups.units(), ChunkSlopeGradient<T, kLanes>{groups, px, pdy, partial}, groups.work());
    };
    with_lanes<kLanesOf<T>>(p.s, sum, px, pdy);
    merge_partials(context, p.slopes, p.slopes == 0 ? 0 : groups.chunks() / p.slopes, partial, StoreSum<T>{dweight.as<T>()});
  });
}

}  // namespace partialconv
