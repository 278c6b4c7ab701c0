// Losses: per element e = (x - target)^2 or |x - target|, weighted by a mask, and their mean, sum or themselves.
//   mean = sum of w e / sum of w (w: 1, or the mask's value; nothing where that is 0);  dx = de/dx w dy / sum of w;  dtarget = -dx
// What lies under a 0 of the mask is never used. Sums are in double, in an order that depends on the shape alone.
#include <cmath>

#include "../device.h"
#include "../dtype.h"
#include "../ops.h"
#include "../partial_sums.h"
#include "../runs.h"

namespace partialconv {
namespace {

HOST_DEVICE inline double weight_of(uint8_t m) { return m != 0; }
HOST_DEVICE inline double weight_of(float m) { return m; }
HOST_DEVICE inline double weight_of(double m) { return m; }

// Weights of neighbouring elements, as the kinds of rows that a dense mask broadcast to x has: absent, repeated, dense.
struct Ones {
  HOST_DEVICE double operator()(int64_t) const { return 1; }
};
struct Repeated {
  double weight;
  HOST_DEVICE double operator()(int64_t) const { return weight; }
};
template <class M>
struct Dense {
  const M* mask;
  HOST_DEVICE double operator()(int64_t j) const { return weight_of(mask[j]); }
};

inline constexpr int64_t kChunk = kHostMemory ? 4096 : 64;

// The weights of all elements in row-major order: a mask broadcast to x, or none.
template <class M>
struct Weights {
  const M* mask;
  Walk<1> walk;
  int64_t size;

  // f(weights, first, length) for each row, or what of it is in the chunk. f is compiled for every kind of row.
  template <class F>
  HOST_DEVICE void each_row(int64_t chunk, const F& f) const {
    const int64_t begin = chunk * kChunk, end = size - begin < kChunk ? size : begin + kChunk;
    if (mask == nullptr) return f(Ones{}, begin, end - begin);
    const int64_t last = walk.rank - 1, inner = walk.shape[last], stride = walk.strides[0][last];
    // Of a dense mask the innermost stride is 0 or 1.
    for (int64_t i = begin, length; i < end; i += length) {
      int64_t rest = i / inner, offset = (i - rest * inner) * stride;
      length = inner - i % inner < end - i ? inner - i % inner : end - i;
      for (int64_t d = last - 1; d >= 0; --d) {
        offset += rest % walk.shape[d] * walk.strides[0][d];
        rest /= walk.shape[d];
      }
      if (stride == 0) f(Repeated{weight_of(mask[offset])}, i, length);
      else f(Dense<M>{mask + offset}, i, length);
    }
  }
};

// w e of an element. The product is made in any case, so that the choice is one between values.
template <bool kSquared>
HOST_DEVICE inline double term(double w, double d) {
  const double error = w * (kSquared ? d * d : std::fabs(d));
  return w != 0 ? error : 0.0;
}

// Element-wise: y = w e.
template <class T, class M, bool kSquared>
struct LossKernel {
  const T* x;
  const T* target;
  T* y;
  Weights<M> weights;

  HOST_DEVICE void operator()(int64_t chunk) const {
    weights.each_row(chunk, [&](const auto& weight, int64_t first, int64_t length) {
      for (int64_t j = 0; j < length; ++j) {
        const int64_t i = first + j;
        y[i] = store<T>(term<kSquared>(weight(j), load(x[i]) - load(target[i])));
      }
    });
  }
};

// partials[chunk] = {sum of w e, sum of w} of a chunk, each in interleaved sums.
template <class T, class M, bool kSquared>
struct LossSum {
  static constexpr int64_t kLanes = kHostMemory ? 8 : 1;

  const T* x;
  const T* target;
  double* partials;
  Weights<M> weights;

  HOST_DEVICE void operator()(int64_t chunk) const {
    double sums[kLanes] = {}, counts[kLanes] = {};
    weights.each_row(chunk, [&](const auto& weight, int64_t first, int64_t length) {
      const T* px = x + first;
      const T* pt = target + first;
      int64_t j = 0;
      for (; j + kLanes <= length; j += kLanes) {
        for (int64_t k = 0; k < kLanes; ++k) sums[k] += term<kSquared>(weight(j + k), load(px[j + k]) - load(pt[j + k]));
        for (int64_t k = 0; k < kLanes; ++k) counts[k] += weight(j + k);
      }
      for (int64_t k = 0; j < length; ++j, ++k) {
        sums[k] += term<kSquared>(weight(j), load(px[j]) - load(pt[j]));
        counts[k] += weight(j);
      }
    });
    double sum = 0, count = 0;
    for (int64_t k = 0; k < kLanes; ++k) {
      sum += sums[k];
      count += counts[k];
    }
    partials[2 * chunk] = sum;
    partials[2 * chunk + 1] = count;
  }
};

// y from {sum, weight}. Without a valid element a mean is 0; without any element at all it is 0 / 0, as in PyTorch.
template <class T>
struct FinishLoss {
  const double* sums;
  T* y;
  double* weight;
  bool mean, masked;

  HOST_DEVICE void operator()(int64_t) const {
    *weight = sums[1];
    if (!mean) *y = store<T>(sums[0]);
    else *y = store<T>(masked && sums[1] == 0 ? 0.0 : sums[0] / sums[1]);
  }
};

template <class T, class M, bool kSquared>
struct LossGradient {
  using C = Compute<T>;

  const T* x;
  const T* target;
  const T* dy;           // one element, or as many as x
  const double* weight;  // the mean's divisor, else null
  T* dx;                 // null where not needed
  T* dtarget;
  Weights<M> weights;
  bool each_dy;

  HOST_DEVICE void operator()(int64_t chunk) const {
    const double scale = (kSquared ? 2.0 : 1.0) * (weight == nullptr ? 1.0 : *weight != 0 ? 1 / *weight : 0.0);
    weights.each_row(chunk, [&](const auto& w, int64_t first, int64_t length) {
      if (each_dy) row(w, first, length, [&](int64_t j) { return static_cast<C>(scale) * load(dy[first + j]); });
      else row(w, first, length, [factor = static_cast<C>(scale * load(dy[0]))](int64_t) { return factor; });
    });
  }

  template <class W, class F>
  HOST_DEVICE void row(const W& w, int64_t first, int64_t length, const F& factor) const {
    for (int result = 0; result < 2; ++result) {
      T* to = result == 0 ? dx : dtarget;
      if (to == nullptr) continue;
      to += first;
      const T* a = (result == 0 ? x : target) + first;
      const T* b = (result == 0 ? target : x) + first;
      for (int64_t j = 0; j < length; ++j) to[j] = store<T>(slope(static_cast<C>(w(j)), load(a[j]) - load(b[j]), factor(j)));
    }
  }

  HOST_DEVICE static C slope(C w, C d, C factor) {
    const C direction = kSquared ? d : (d > 0 ? C(1) : d < 0 ? C(-1) : C(0));
    const C gradient = w * factor * direction;
    return w != 0 ? gradient : C(0);
  }
};

template <class M>
Weights<M> weights_of(const MaskLayout& layout, Span mask, int64_t size) {
  Weights<M> weights{mask.as<const M>(), {layout.rank, {}, {}}, size};
  for (int64_t d = 0; d < layout.rank; ++d) {
    weights.walk.shape[d] = layout.shape[d];
    weights.walk.strides[0][d] = layout.strides[d];
  }
  weights.walk.collapse();
  return weights;
}

// f(element type of x, weights, whether the loss is the squared one). A mask is of bytes or of the type that x is computed in.
template <class F>
void each_type(LossOp op, const MaskLayout& layout, Span x, Span mask, F&& f) {
  visit(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto with = [&](const auto& weights) {
      if (op == LossOp::kSquared) f(tag, weights, std::true_type{});
      else f(tag, weights, std::false_type{});
    };
    const bool bytes = !mask || mask.dtype == DType::kBool || mask.dtype == DType::kUInt8;
    if constexpr (kIsComplex<T> || kIsInteger<T>) throw std::invalid_argument("a loss does not support this dtype");
    else if (bytes) with(weights_of<uint8_t>(layout, mask, x.size));
    else with(weights_of<Compute<T>>(layout, mask, x.size));
  });
}

inline int64_t chunks_of(int64_t size) { return (size + kChunk - 1) / kChunk; }

}  // namespace

void loss(Context& context, LossOp op, LossReduction reduction, const MaskLayout& layout, Span x, Span target, Span mask, Span y,
          Span weight) {
  const int64_t chunks = chunks_of(x.size);
  each_type(op, layout, x, mask, [&]<class M>(auto tag, const Weights<M>& weights, auto squared) {
    using T = typename decltype(tag)::type;
    const T* px = x.as<const T>();
    const T* pt = target.as<const T>();
    if (reduction == LossReduction::kNone) {
      return each_run(context, chunks, kChunk, LossKernel<T, M, squared.value>{px, pt, y.as<T>(), weights});
    }
    Scratch scratch(context, static_cast<std::size_t>(partial_entries(chunks)) * 2 * sizeof(double));
    double* partials = scratch.as<double>();
    each_run(context, chunks, kChunk, LossSum<T, M, squared.value>{px, pt, partials, weights});
    const double* sums = sum_partials<2>(context, chunks, partials);
    each(context, 1, FinishLoss<T>{sums, y.as<T>(), weight.as<double>(), reduction == LossReduction::kMean, static_cast<bool>(mask)});
  });
}

void loss_backward(Context& context, LossOp op, LossReduction reduction, const MaskLayout& layout, Span x, Span target, Span mask,
                   Span weight, Span dy, Span dx, Span dtarget) {
  const double* divisor = reduction == LossReduction::kMean ? weight.as<const double>() : nullptr;
  each_type(op, layout, x, mask, [&]<class M>(auto tag, const Weights<M>& weights, auto squared) {
    using T = typename decltype(tag)::type;
    each_run(context, chunks_of(x.size), kChunk,
             LossGradient<T, M, squared.value>{x.as<const T>(), target.as<const T>(), dy.as<const T>(), divisor, dx.as<T>(),
                                               dtarget.as<T>(), weights, reduction == LossReduction::kNone});
  });
}

}  // namespace partialconv
