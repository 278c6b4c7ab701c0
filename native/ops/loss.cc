// Losses: per element e = (x - target)^2 or |x - target|, weighted by a mask, and their mean, sum or themselves.
//   mean = sum of w e / sum of w (w: 1, or the mask's value; nothing where that is 0);  dx = de/dx w dy / sum of w;  dtarget = -dx
// What lies under a 0 of the mask is never used. Sums are in double, in an order that depends on the shape alone.
#include <cmath>

#include "../choose.h"
#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"
#include "../partial_sums.h"
#include "../runs.h"

namespace partialconv {
namespace {

// Weights of neighbouring elements, as the kinds of rows that a dense mask broadcast to x has: absent, repeated, dense (on a GPU, to
// compile less, that too where it is repeated). with_operand(f) is f(what of them a vector is read from).
struct Ones {
  HOST_DEVICE double operator()(int64_t) const { return 1; }
  template <class F>
  HOST_DEVICE void with_operand(const F& f) const {
    f();
  }
};
struct Repeated {
  double weight;
  HOST_DEVICE double operator()(int64_t) const { return weight; }
  template <class F>
  HOST_DEVICE void with_operand(const F& f) const {
    f();
  }
};
template <class M, int64_t kLanes>
struct Dense {
  const M* mask;
  int64_t stride;
  HOST_DEVICE double operator()(int64_t j) const { return mask_value(mask, kHostMemory || kLanes > 1 ? j : j * stride); }
  template <class F>
  HOST_DEVICE void with_operand(const F& f) {
    f(Operand(mask, true, stride == 0));
  }
};

// Elements that are added up at once, and those that a functor call writes.
inline constexpr int64_t kChunk = 4096;
template <int64_t kLanes>
inline constexpr int64_t kBlock = kHostMemory ? 4096 : kLanes;

// The weights of all elements in row-major order: a mask broadcast to x, or none.
template <class M>
struct Weights {
  const M* mask;
  Walk<1> walk;
  int64_t size;
  Divisor sizes[kMaxRank];  // the walk's shape

  // f(weights, first, length) for each row, or what of it is in piece i of so many elements. f is compiled for every kind of row.
  template <int64_t kPiece, int64_t kLanes, class F>
  HOST_DEVICE void each_row(int64_t piece, const F& f) const {
    constexpr bool kOne = kPiece == kLanes;  // a vector, or an element
    const int64_t begin = piece * kPiece, end = kOne || size - begin >= kPiece ? begin + kPiece : size;
    if constexpr (!kMasked<M>) {
      f(Ones{}, begin, kOne ? kPiece : end - begin);
    } else {
      const int64_t last = walk.rank - 1, stride = walk.strides[0][last];
      const Divisor& inner = sizes[last];
      // Of a dense mask the innermost stride is 0 or 1.
      for (int64_t i = begin, length; i < end; i += length) {
        int64_t rest = i / inner, offset = (i - rest * inner) * stride;
        length = kOne ? kPiece : inner - i % inner < end - i ? inner - i % inner : end - i;
        for (int64_t d = last - 1; d >= 0; --d) {
          offset += rest % sizes[d] * walk.strides[0][d];
          rest = rest / sizes[d];
        }
        if (kHostMemory && stride == 0) f(Repeated{mask_value(mask, offset)}, i, length);
        else f(Dense<M, kLanes>{mask + offset, stride}, i, length);
        if (kOne) return;
      }
    }
  }

  // Elements that are whole vectors where those of x are: a row, after which the mask jumps, or all.
  int64_t row() const { return kMasked<M> ? walk.shape[walk.rank - 1] : size; }
};

// w e of an element. The product is made in any case, so that the choice is one between values.
HOST_DEVICE inline double term(bool squared, double w, double d) {
  const double error = w * (squared ? d * d : std::fabs(d));
  return w != 0 ? error : 0.0;
}

// Element-wise: y = w e.
template <class T, class M, int64_t kLanes>
struct LossKernel {
  const T* x;
  const T* target;
  T* y;
  Weights<M> weights;
  bool is_squared;

  HOST_DEVICE void operator()(int64_t block) const {
    choose(is_squared, [&](auto squared) {
      weights.template each_row<kBlock<kLanes>, kLanes>(block, [&](auto weight, int64_t first, int64_t length) {
        const T *px = x + first, *pt = target + first;
        T* py = y + first;
        const auto f = [&](int64_t j) { py[j] = store<T>(term(squared, weight(j), load(px[j]) - load(pt[j]))); };
        weight.with_operand([&](auto... own) { each_in_row<kLanes>(length, f, Operand(px), Operand(pt), Operand(py), own...); });
      });
    });
  }
};

// partials[chunk] = {sum of w e, sum of w} of a chunk. A GPU's lane has every so many units of kUnit elements.
template <class T, class M, int64_t kLanes>
struct LossSum {
  using Sum = Doubles<2>;
  static constexpr int64_t kUnit = kHostMemory ? kChunk : kLanesOf<T>;

  const T* x;
  const T* target;
  Sum* partials;
  Weights<M> weights;
  bool is_squared;

  HOST_DEVICE Sum part(int64_t chunk, int64_t lane, int64_t lanes) const {
    const int64_t begin = chunk * kChunk, n = weights.size - begin < kChunk ? weights.size - begin : kChunk;
    Sums<2, 8> sums;
    choose(is_squared, [&](auto squared) {
      const auto add = [&](int64_t unit, int64_t = 0) {
        weights.template each_row<kUnit, kLanes>((begin + unit) / kUnit, [&](auto weight, int64_t first, int64_t length) {
          const T *px = x + first, *pt = target + first;
          const auto terms = [&](int64_t j, double* t) {
            t[0] = term(squared, weight(j), load(px[j]) - load(pt[j]));
            t[1] = weight(j);
          };
          weight.with_operand([&](auto... own) { sums.add<kLanes>(length, terms, Operand(px), Operand(pt), own...); });
        });
      };
      each_of_lane<kUnit>(n, lane, lanes, add, add);
    });
    return {{sums.total(0), sums.total(1)}};
  }
  HOST_DEVICE void put(int64_t chunk, const Sum& sum) const { partials[chunk] = sum; }
};

// y from {sum, weight}. Without a valid element a mean is 0; without any element at all it is 0 / 0, as in PyTorch.
template <class T>
struct FinishLoss {
  const Doubles<2>* sums;
  T* y;
  double* weight;
  bool mean, masked;

  HOST_DEVICE void operator()(int64_t) const {
    const auto [sum, weights] = sums->values;
    *weight = weights;
    if (!mean) *y = store<T>(sum);
    else *y = store<T>(masked && weights == 0 ? 0.0 : sum / weights);
  }
};

// to = the gradient of a, where the loss is one of a - b.
template <class T>
struct Difference {
  const T* a;
  const T* b;
  T* to;
};

template <class T, class M, int64_t kLanes>
struct LossGradient {
  using C = Compute<T>;

  Difference<T> results[2];
  int count;             // of results
  const T* dy;           // one element, or as many as x
  const double* weight;  // the mean's divisor, else null
  Weights<M> weights;
  bool is_squared, has_each_dy;

  HOST_DEVICE void operator()(int64_t block) const {
    const double scale = (is_squared ? 2.0 : 1.0) * (weight == nullptr ? 1.0 : *weight != 0 ? 1 / *weight : 0.0);
    choose(is_squared, [&](auto squared) {
      choose(has_each_dy, [&](auto each_dy) {
        weights.template each_row<kBlock<kLanes>, kLanes>(block, [&](auto w, int64_t first, int64_t length) {
          for (int i = 0; i < count; ++i) {
            const Difference<T>& r = results[i];
            row(squared, each_dy, scale, w, length, {r.a + first, r.b + first, r.to + first}, dy + (each_dy ? first : 0));
          }
        });
      });
    });
  }

  template <class S, class E, class W>
  HOST_DEVICE static void row(S squared, E each_dy, double scale, W w, int64_t length, Difference<T> on, const T* dy) {
    const T *a = on.a, *b = on.b;
    T* to = on.to;
    const C shared = static_cast<C>(scale * load(dy[0]));
    const auto f = [&](int64_t j) {
      const C factor = each_dy ? static_cast<C>(scale) * load(dy[j]) : shared;
      to[j] = store<T>(slope(squared, static_cast<C>(w(j)), load(a[j]) - load(b[j]), factor));
    };
    w.with_operand(
        [&](auto... own) { each_in_row<kLanes>(length, f, Operand(a), Operand(b), Operand(dy, true, !each_dy), Operand(to), own...); });
  }

  HOST_DEVICE static C slope(bool squared, C w, C d, C factor) {
    const C direction = squared ? d : (d > 0 ? C(1) : d < 0 ? C(-1) : C(0));
    const C gradient = w * factor * direction;
    return w != 0 ? gradient : C(0);
  }
};

template <class M>
Weights<M> weights_of(const MaskLayout& layout, Span mask, int64_t size) {
  Weights<M> weights{mask.as<const M>(), {layout.rank, {}, {}}, size, {}};
  for (int64_t d = 0; d < layout.rank; ++d) {
    weights.walk.shape[d] = layout.shape[d];
    weights.walk.strides[0][d] = layout.strides[d];
  }
  weights.walk.collapse();
  for (int64_t d = 0; d < weights.walk.rank; ++d) weights.sizes[d] = Divisor(weights.walk.shape[d]);
  return weights;
}

// f.operator()<T, kLanes>(weights) for the element type of x, and lanes of x and others of its type. A mask is of bytes or of the type that
// x is computed in.
template <class F, class... Others>
void each_type(const MaskLayout& layout, Span x, Span mask, F f, Others... others) {
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    visit_mask<T>(mask, [&]<class M>(TypeTag<M>) {
      const auto weights = weights_of<M>(layout, mask, x.size);
      const auto with = [&]<int64_t kLanes> { f.template operator()<T, kLanes>(weights); };
      with_lanes<kLanesOf<T>>(weights.row(), with, x.as<T>(), mask.as<M>(), others.template as<T>()...);
    });
  });
}

inline int64_t pieces_of(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

}  // namespace

void loss(Context& context, LossOp op, LossReduction reduction, const MaskLayout& layout, Span x, Span target, Span mask, Span y,
          Span weight) {
  const bool squared = op == LossOp::kSquared, mean = reduction == LossReduction::kMean;
  const auto run = [&]<class T, int64_t kLanes, class M>(const Weights<M>& weights) {
    const T *px = x.as<const T>(), *pt = target.as<const T>();
    if (reduction == LossReduction::kNone) {
      constexpr int64_t kPiece = kBlock<kLanes>;
      return each_run(context, pieces_of(x.size, kPiece), kPiece, LossKernel<T, M, kLanes>{px, pt, y.as<T>(), weights, squared});
    }
    const int64_t chunks = pieces_of(x.size, kChunk);
    Scratch scratch(context, static_cast<std::size_t>(partial_entries(chunks)) * 2 * sizeof(double));
    Doubles<2>* partials = scratch.as<Doubles<2>>();
    using Kernel = LossSum<T, M, kLanes>;
    const int64_t chunk = x.size < kChunk ? x.size : kChunk;
    each_sum(context, chunks, (chunk + Kernel::kUnit - 1) / Kernel::kUnit, Kernel{px, pt, partials, weights, squared}, kChunk);
    const Doubles<2>* sums = sum_partials(context, chunks, partials);
    each(context, 1, FinishLoss<T>{sums, y.as<T>(), weight.as<double>(), mean, static_cast<bool>(mask)});
  };
  if (reduction == LossReduction::kNone) each_type(layout, x, mask, run, target, y);
  else each_type(layout, x, mask, run, target);
}

void loss_backward(Context& context, LossOp op, LossReduction reduction, const MaskLayout& layout, Span x, Span target, Span mask,
                   Span weight, Span dy, Span dx, Span dtarget) {
  const double* divisor = reduction == LossReduction::kMean ? weight.as<const double>() : nullptr;
  const bool each_dy = reduction == LossReduction::kNone;
  const auto run = [&]<class T, int64_t kLanes, class M>(const Weights<M>& weights) {
    LossGradient<T, M, kLanes> kernel{{}, 0, dy.as<const T>(), divisor, weights, op == LossOp::kSquared, each_dy};
    const T *px = x.as<const T>(), *pt = target.as<const T>();
    if (dx) kernel.results[kernel.count++] = {px, pt, dx.as<T>()};
    if (dtarget) kernel.results[kernel.count++] = {pt, px, dtarget.as<T>()};
    each_run(context, pieces_of(x.size, kBlock<kLanes>), kBlock<kLanes>, kernel);
  };
  each_type(layout, x, mask, run, target, each_dy ? dy : Span{}, dx, dtarget);
}

}  // namespace partialconv
