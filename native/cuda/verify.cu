// Every element of a plan's result once more: the sum of products in double, straight from the plan's operands as they lie.
#include "verify.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "../dtype.h"
#include "../groups.h"

namespace partialconv::cuda {
namespace {

constexpr int64_t kMostParts = 1 << 16;

// A value, and the sum of the absolute values of its terms.
struct Sum {
  double value = 0, scale = 0;

  HOST_DEVICE void add(double term) { value += term, scale += term < 0 ? -term : term; }
  HOST_DEVICE void multiply(double factor) { value *= factor, scale *= factor < 0 ? -factor : factor; }
  // What is under a 0 is not looked at.
  HOST_DEVICE void gate(double open) {
    if (open == 0) value = scale = 0;
    else multiply(open);
  }
};

template <class T>
struct PlanError {
  Shape s;
  const T *x, *weight, *y, *bias;
  const float *ratio, *updated, *mask;
  double tolerance, least;  // least: a number of T's smallest exponent cannot be exact
  int64_t total, parts;
  float* worst;

  HOST_DEVICE void operator()(int64_t i) const {
    double largest = 0;
    for (int64_t e = i; e < total; e += parts) {
      const double error = s.pass == ConvPass::kForward ? of_y(e) : s.pass == ConvPass::kBackwardInput ? of_x(e) : of_weight(e);
      largest = error > largest ? error : largest;
    }
    worst[i] = static_cast<float>(largest);
  }

  HOST_DEVICE int64_t at(int64_t channels, int64_t rows, int64_t columns, int64_t a, int64_t b, int64_t i, int64_t j) const {
    if (s.layout == Layout::kNhwc) return ((a * rows + i) * columns + j) * channels + b;
    return ((a * channels + b) * rows + i) * columns + j;
  }
  HOST_DEVICE double x_at(int64_t n, int64_t c, int64_t h, int64_t w) const {
    if (h < 0 || h >= s.h || w < 0 || w >= s.w) return 0;
    return load(x[at(s.c, s.h, s.w, n, c, h, w)]);
  }
  HOST_DEVICE double y_at(int64_t n, int64_t o, int64_t i, int64_t j) const { return load(y[at(s.o, s.ho, s.wo, n, o, i, j)]); }
  HOST_DEVICE double weight_at(int64_t o, int64_t c, int64_t kh, int64_t kw) const {
    return load(weight[at(s.c / s.groups, s.kh, s.kw, o, c, kh, kw)]);
  }
  HOST_DEVICE static double plane_at(const float* plane, int64_t samples, int64_t n, int64_t area, int64_t cell) {
    return plane == nullptr ? 1.0 : plane[(samples == 1 ? 0 : n) * area + cell];
  }
  HOST_DEVICE int64_t row_of(int64_t i, int64_t kh) const { return i * s.stride_h - s.pre_h + kh * s.dilation_h; }
  HOST_DEVICE int64_t column_of(int64_t j, int64_t kw) const { return j * s.stride_w - s.pre_w + kw * s.dilation_w; }

  HOST_DEVICE double error(double got, const Sum& expected) const {
    const double magnitude = expected.value < 0 ? -expected.value : expected.value;
    if (!(expected.scale + magnitude < largest())) return 0;  // no number of T: nothing to compare
    const double difference = got - expected.value, bound = tolerance * (expected.scale + magnitude) + least;
    if (difference != difference) return 1e300;
    return (difference < 0 ? -difference : difference) / bound;
  }
  HOST_DEVICE static double largest() { return std::is_same_v<T, Half> ? 65504.0 : 3e38; }

  HOST_DEVICE double of_y(int64_t e) const {
    const int64_t j = e % s.wo, i = e / s.wo % s.ho, o = e / s.wo / s.ho % s.o, n = e / s.wo / s.ho / s.o, channels = s.c / s.groups;
    const int64_t first = o / (s.o / s.groups) * channels, area = s.ho * s.wo, cell = i * s.wo + j;
    Sum sum;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t kh = 0; kh < s.kh; ++kh) {
        for (int64_t kw = 0; kw < s.kw; ++kw) sum.add(x_at(n, first + c, row_of(i, kh), column_of(j, kw)) * weight_at(o, c, kh, kw));
      }
    }
    sum.multiply(plane_at(ratio, s.tail.ratio_n, n, area, cell));
    if (bias != nullptr) sum.add(load(bias[o]));
    sum.gate(plane_at(updated, s.tail.updated_n, n, area, cell));
    if (s.tail.relu != 0 && sum.value < 0) sum.value = 0;
    return error(y_at(n, o, i, j), sum);
  }

  HOST_DEVICE double of_x(int64_t e) const {
    const int64_t w = e % s.w, h = e / s.w % s.h, c = e / s.w / s.h % s.c, n = e / s.w / s.h / s.c;
    const int64_t channels = s.c / s.groups, outputs = s.o / s.groups, first = c / channels * outputs;
    Sum sum;
    for (int64_t o = first; o < first + outputs; ++o) {
      for (int64_t kh = 0; kh < s.kh; ++kh) {
        for (int64_t kw = 0; kw < s.kw; ++kw) {
          const int64_t row = h + s.pre_h - kh * s.dilation_h, column = w + s.pre_w - kw * s.dilation_w;
          if (row < 0 || column < 0 || row % s.stride_h != 0 || column % s.stride_w != 0) continue;
          if (row / s.stride_h >= s.ho || column / s.stride_w >= s.wo) continue;
          sum.add(y_at(n, o, row / s.stride_h, column / s.stride_w) * weight_at(o, c % channels, kh, kw));
        }
      }
    }
    sum.gate(plane_at(mask, s.tail.mask_n, n, s.h * s.w, h * s.w + w));
    return error(load(x[at(s.c, s.h, s.w, n, c, h, w)]), sum);
  }

  HOST_DEVICE double of_weight(int64_t e) const {
    const int64_t channels = s.c / s.groups, kw = e % s.kw, kh = e / s.kw % s.kh, c = e / s.kw / s.kh % channels;
    const int64_t o = e / s.kw / s.kh / channels, channel = o / (s.o / s.groups) * channels + c;
    Sum sum;
    for (int64_t p = 0; p < s.n * s.ho * s.wo; ++p) {
      const int64_t j = p % s.wo, i = p / s.wo % s.ho, n = p / s.wo / s.ho;
      sum.add(x_at(n, channel, row_of(i, kh), column_of(j, kw)) * y_at(n, o, i, j));
    }
    return error(weight_at(o, c, kh, kw), sum);
  }
};

const void* operand(std::span<const Binding> bindings, TensorId id) {
  const auto found = std::find_if(bindings.begin(), bindings.end(), [&](const Binding& b) { return b.id == id; });
  return found == bindings.end() ? nullptr : found->data;
}

int64_t results(const Shape& s) {
  if (s.pass == ConvPass::kForward) return s.n * s.o * s.ho * s.wo;
  if (s.pass == ConvPass::kBackwardInput) return s.n * s.c * s.h * s.w;
  return s.o * (s.c / s.groups) * s.kh * s.kw;
}

}  // namespace

double tolerance_of(Math math) {
  switch (math) {
    case Math::kFloat64: return 1e-12;
    case Math::kFloat32: return 1e-5;
    case Math::kTf32: return 2e-3;
    case Math::kFloat16: return 4e-3;
    default: return 2e-2;
  }
}

double error_of(Context& context, const Shape& shape, std::span<const Binding> bindings) {
  const int64_t total = results(shape), parts = std::min(total, kMostParts);
  const double least = shape.math == Math::kFloat16 ? 1e-7 : 1e-37;
  std::vector<float> worst(static_cast<std::size_t>(parts));
  const Scratch scratch(context, worst.size() * sizeof(float));
  const Tail& tail = shape.tail;
  const auto plane = [&](TensorId id, int64_t samples) {
    return static_cast<const float*>(samples == 0 ? nullptr : operand(bindings, id));
  };
  visit_real(dtype_of(shape.math), [&]<class T>(TypeTag<T>) {
    const auto of = [&](TensorId id) { return static_cast<const T*>(operand(bindings, id)); };
    const T* bias = tail.bias == 0 ? nullptr : of(kBias);
    each(context, parts,
         PlanError<T>{shape, of(kX), of(kWeight), of(kY), bias, plane(kRatio, tail.ratio_n), plane(kUpdated, tail.updated_n),
                      plane(kMask, tail.mask_n), tolerance_of(shape.math), least, total, parts, scratch.as<float>()});
  });
  context.read(worst.data(), scratch.as<void>(), worst.size() * sizeof(float));
  return worst.empty() ? 0 : *std::max_element(worst.begin(), worst.end());
}

}  // namespace partialconv::cuda
