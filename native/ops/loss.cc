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

// The weights of elements in row-major order: a mask broadcast to x, all 1 where it is null.
template <class M>
struct Weights {
  const M* mask;
  Walk<1> walk;

  // The mask's elements from i on, `stride` apart, for `length` elements: to the end of the row, or to `end`.
  struct Row {
    const M* mask;
    int64_t stride, length;
    HOST_DEVICE double at(int64_t j) const {
      if (mask == nullptr) return 1;
      if constexpr (std::is_same_v<M, uint8_t>) return mask[j * stride] != 0;
      else return mask[j * stride];
    }
  };

  HOST_DEVICE Row row(int64_t i, int64_t end) const {
    const int64_t last = walk.rank - 1, inner = walk.shape[last];
    int64_t rest = i / inner;
    const int64_t column = i - rest * inner;
    int64_t offset = column * walk.strides[0][last];
    for (int64_t d = last - 1; d >= 0; --d) {
      offset += rest % walk.shape[d] * walk.strides[0][d];
      rest /= walk.shape[d];
    }
    const int64_t length = inner - column < end - i ? inner - column : end - i;
    return {mask == nullptr ? nullptr : mask + offset, walk.strides[0][last], length};
  }
};

template <class T>
HOST_DEVICE inline double difference(const T* x, const T* target, int64_t i) {
  return static_cast<double>(load(x[i])) - static_cast<double>(load(target[i]));
}

inline constexpr int64_t kChunk = kHostMemory ? 4096 : 64;

// Element-wise: y = w e.
template <class T, class M>
struct LossKernel {
  const T* x;
  const T* target;
  T* y;
  Weights<M> weights;
  int64_t size;
  bool squared;

  HOST_DEVICE void operator()(int64_t chunk) const {
    const int64_t end = (chunk + 1) * kChunk < size ? (chunk + 1) * kChunk : size;
    for (int64_t i = chunk * kChunk; i < end;) {
      const auto row = weights.row(i, end);
      for (int64_t j = 0; j < row.length; ++j, ++i) {
        const double w = row.at(j), d = difference(x, target, i);
        y[i] = store<T>(w != 0 ? w * (squared ? d * d : std::fabs(d)) : 0.0);
      }
    }
  }
};

// partials[chunk] = {sum of w e, sum of w} of a chunk, each in 8 interleaved sums.
template <class T, class M>
struct LossSum {
  static constexpr int64_t kLanes = kHostMemory ? 8 : 1;

  const T* x;
  const T* target;
  double* partials;
  Weights<M> weights;
  int64_t size;
  bool squared;

  HOST_DEVICE void operator()(int64_t chunk) const {
    const int64_t end = (chunk + 1) * kChunk < size ? (chunk + 1) * kChunk : size;
    double sums[2][kLanes] = {};
    for (int64_t i = chunk * kChunk; i < end;) {
      const auto row = weights.row(i, end);
      int64_t j = 0;
      for (; j + kLanes <= row.length; j += kLanes) {
        for (int64_t k = 0; k < kLanes; ++k) add(row.at(j + k), i + j + k, sums[0][k], sums[1][k]);
      }
      for (int64_t k = 0; j < row.length; ++j, ++k) add(row.at(j), i + j, sums[0][k], sums[1][k]);
      i += row.length;
    }
    for (int64_t s = 0; s < 2; ++s) {
      double total = 0;
      for (int64_t k = 0; k < kLanes; ++k) total += sums[s][k];
      partials[2 * chunk + s] = total;
    }
  }

  HOST_DEVICE void add(double w, int64_t i, double& sum, double& weight) const {
    const double d = difference(x, target, i);
    sum += w != 0 ? w * (squared ? d * d : std::fabs(d)) : 0.0;
    weight += w;
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

template <class T, class M>
struct LossGradient {
  const T* x;
  const T* target;
  const T* dy;           // one element, or as many as x
  const double* weight;  // the mean's divisor, else null
  T* dx;                 // null where not needed
  T* dtarget;
  Weights<M> weights;
  int64_t size;
  bool squared, each_dy;

  HOST_DEVICE void operator()(int64_t chunk) const {
    const int64_t end = (chunk + 1) * kChunk < size ? (chunk + 1) * kChunk : size;
    const double scale = (squared ? 2.0 : 1.0) * (weight == nullptr ? 1.0 : *weight != 0 ? 1 / *weight : 0.0);
    const double common = each_dy ? scale : scale * load(dy[0]);
    for (int64_t i = chunk * kChunk; i < end;) {
      const auto row = weights.row(i, end);
      for (int64_t j = 0; j < row.length; ++j, ++i) {
        const double w = row.at(j), d = difference(x, target, i);
        const double slope = squared ? d : static_cast<double>((d > 0) - (d < 0));
        const double factor = each_dy ? common * load(dy[i]) : common;
        const double gradient = w != 0 ? w * factor * slope : 0.0;
        if (dx != nullptr) dx[i] = store<T>(gradient);
        if (dtarget != nullptr) dtarget[i] = store<T>(0.0 - gradient);  // +0 in holes
      }
    }
  }
};

template <class M>
Weights<M> weights_of(const MaskLayout& layout, Span mask) {
  Weights<M> weights{mask.as<const M>(), {layout.rank, {}, {}}};
  for (int64_t d = 0; d < layout.rank; ++d) {
    weights.walk.shape[d] = layout.shape[d];
    weights.walk.strides[0][d] = layout.strides[d];
  }
  weights.walk.collapse();
  return weights;
}

// f(element type of x, weights). A mask is of bytes, float or double (ts/ops/loss.ts converts).
template <class F>
void each_type(DType dtype, const MaskLayout& layout, Span mask, F&& f) {
  visit(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (kIsComplex<T> || kIsInteger<T>) throw std::invalid_argument("a loss does not support this dtype");
    else if (mask.dtype == DType::kFloat32 && mask) f(tag, weights_of<float>(layout, mask));
    else if (mask.dtype == DType::kFloat64 && mask) f(tag, weights_of<double>(layout, mask));
    else f(tag, weights_of<uint8_t>(layout, mask));
  });
}

}  // namespace

void loss(Context& context, LossOp op, LossReduction reduction, const MaskLayout& layout, Span x, Span target, Span mask, Span y,
          Span weight) {
  const bool squared = op == LossOp::kSquared;
  const int64_t chunks = (x.size + kChunk - 1) / kChunk;
  each_type(x.dtype, layout, mask, [&](auto tag, auto weights) {
    using T = typename decltype(tag)::type;
    using M = std::remove_const_t<std::remove_pointer_t<decltype(weights.mask)>>;
    if (reduction == LossReduction::kNone) {
      const LossKernel<T, M> kernel{x.as<const T>(), target.as<const T>(), y.as<T>(), weights, x.size, squared};
      return each_run(context, chunks, kChunk, kernel);
    }
    Scratch scratch(context, static_cast<std::size_t>(partial_entries(chunks)) * 2 * sizeof(double));
    double* partials = scratch.as<double>();
    each_run(context, chunks, kChunk, LossSum<T, M>{x.as<const T>(), target.as<const T>(), partials, weights, x.size, squared});
    const double* sums = sum_partials<2>(context, chunks, partials);
    each(context, 1, FinishLoss<T>{sums, y.as<T>(), weight.as<double>(), reduction == LossReduction::kMean, static_cast<bool>(mask)});
  });
}

void loss_backward(Context& context, LossOp op, LossReduction reduction, const MaskLayout& layout, Span x, Span target, Span mask,
                   Span weight, Span dy, Span dx, Span dtarget) {
  const double* divisor = reduction == LossReduction::kMean ? weight.as<const double>() : nullptr;
  each_type(x.dtype, layout, mask, [&](auto tag, auto weights) {
    using T = typename decltype(tag)::type;
    using M = std::remove_const_t<std::remove_pointer_t<decltype(weights.mask)>>;
    each_run(context, (x.size + kChunk - 1) / kChunk, kChunk,
             LossGradient<T, M>{x.as<const T>(), target.as<const T>(), dy.as<const T>(), divisor, dx.as<T>(), dtarget.as<T>(), weights,
                                x.size, op == LossOp::kSquared, reduction == LossReduction::kNone});
  });
}

}  // namespace partialconv
