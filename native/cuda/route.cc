// The rules of route.h.
#include "route.h"

#include <algorithm>
#include <initializer_list>
#include <numeric>

namespace partialconv::cuda {
namespace {

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

int64_t reach(int64_t taps, int64_t dilation) { return (taps - 1) * dilation + 1; }

// Cells of padding after the last, as the output's size implies; none where the convolution stops before the end.
int64_t padding_behind(int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  return std::max<int64_t>(0, (out - 1) * stride + reach(taps, dilation) - in - pad);
}

int64_t outputs(int64_t in, int64_t taps, int64_t stride, int64_t padding, int64_t dilation) {
  return (in + padding - reach(taps, dilation)) / stride + 1;
}

// A stride with which the convolution stops where it has to: that of a single output is given as 1, whatever follows it.
int64_t stopping_stride(int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  return out == 1 ? std::max(stride, in + pad - reach(taps, dilation) + 1) : stride;
}

// Other padding modes are written out by the layout kernel, so that cuDNN has nothing to pad.
void write_padding_out(Shape& s) {
  s.h += s.pre_h + s.post_h;
  s.w += s.pre_w + s.post_w;
  s.pre_h = s.post_h = s.pre_w = s.post_w = 0;
}

// The bytes of [n, c, 1, w] in NHWC are those of [n, c, w / d, d], where a dilation of d is a step of one row.
bool has_dilation_view(const Shape& s) {
  const bool one_row = s.h == 1 && s.kh == 1 && s.pre_h == 0 && s.post_h == 0;
  return one_row && s.layout == Layout::kNhwc && s.dilation_w > 1 && s.kw > 1 && s.stride_w == 1 && s.pre_w % s.dilation_w == 0;
}

void view_dilation(Shape& s) {
  const int64_t d = s.dilation_w;
  s.h = s.w / d, s.w = d;
  s.kh = s.kw, s.kw = 1;
  s.pre_h = s.pre_w / d, s.pre_w = 0;
  s.post_h = s.post_w / d, s.post_w = 0;
  s.ho = outputs(s.h, s.kh, 1, s.pre_h + s.post_h, 1), s.wo = d;
  s.dilation_w = 1;
}

// Padding behind the last column with which the rows of y end where those of a tensor with channels last do.
int64_t padding_to_step(const ConvGeometry& g, const Shape& s) {
  return (round_up(g.wo, kColumnStep) - 1) * s.stride_w + reach(s.kw, s.dilation_w) - s.w - s.pre_w;
}

Shape plain_shape(const ConvGeometry& g, const Request& request) {
  Shape s;
  s.pass = request.pass;
  s.math = math_of(request.dtype, request.allow_tf32);
  s.layout = layout_of(s.math);
  s.deterministic = request.deterministic;
  s.n = g.n, s.c = g.c, s.h = g.h, s.w = g.w, s.o = g.o, s.kh = g.kh, s.kw = g.kw, s.ho = g.ho, s.wo = g.wo;
  s.stride_w = g.stride_w, s.dilation_h = g.dilation_h, s.dilation_w = g.dilation_w, s.groups = g.groups;
  s.pre_h = g.pad_h, s.pre_w = g.pad_w;
  s.stride_h = stopping_stride(g.h, g.ho, g.kh, g.stride_h, g.pad_h, g.dilation_h);
  s.post_h = padding_behind(g.h, g.ho, g.kh, g.stride_h, g.pad_h, g.dilation_h);
  s.post_w = padding_behind(g.w, g.wo, g.kw, g.stride_w, g.pad_w, g.dilation_w);
  return s;
}

// Groups whose channels fill no 16-byte vectors are left as they lie.
bool misaligned_groups(const ConvGeometry& g, int64_t alignment) {
  return g.groups > 1 && (g.c / g.groups % alignment != 0 || g.o / g.groups % alignment != 0);
}

Tail fused_tail(const ConvGeometry& g, const Request& request) {
  Tail tail;
  if (request.pass == ConvPass::kForward) {
    tail.ratio_n = tail.updated_n = g.ratio_n;
    tail.bias = request.has_bias;
  } else if (request.pass == ConvPass::kBackwardInput) {
    tail.mask_n = g.mask_n;
  }
  return tail;
}

}  // namespace

std::string Shape::text() const {
  static constexpr const char* kPasses[] = {"forward", "backward_input", "backward_weight"};
  static constexpr const char* kMaths[] = {"f32", "tf32", "f64", "f16", "bf16"};
  std::string t = std::string(kPasses[static_cast<int64_t>(pass)]) + " " + kMaths[static_cast<int64_t>(math)];
  t += layout == Layout::kNhwc ? " nhwc" : " nchw";
  const auto add = [&](const char* name, std::initializer_list<int64_t> values) {
    char separator = ' ';
    for (const int64_t value : values) {
      t += separator;
      if (separator == ' ') t += name;
      t += std::to_string(value);
      separator = ',';
    }
  };
  add("x", {n, c, h, w});
  add("w", {o, c / groups, kh, kw});
  add("y", {ho, wo});
  add("s", {stride_h, stride_w});
  add("p", {pre_h, post_h, pre_w, post_w});
  add("d", {dilation_h, dilation_w});
  add("g", {groups});
  add("tail", {tail.ratio_n, tail.updated_n, tail.mask_n, tail.bias, tail.relu});
  add("det", {deterministic});
  return t;
}

Math math_of(DType dtype, bool allow_tf32) {
  switch (dtype) {
    case DType::kFloat64: return Math::kFloat64;
    case DType::kFloat16: return Math::kFloat16;
    case DType::kBFloat16: return Math::kBFloat16;
    default: return allow_tf32 ? Math::kTf32 : Math::kFloat32;
  }
}

int64_t channel_alignment(Math math) { return math == Math::kFloat16 || math == Math::kBFloat16 ? 8 : math == Math::kTf32 ? 4 : 1; }

Layout layout_of(Math math) { return math == Math::kFloat32 || math == Math::kFloat64 ? Layout::kNchw : Layout::kNhwc; }

bool needs_own_kernel(const ConvGeometry& g) { return g.c / g.groups < 8; }

Route choose(const ConvGeometry& g, const Request& request) {
  Route route;
  const bool no_x = g.n * g.c * g.h * g.w == 0, forward = request.pass == ConvPass::kForward;
  if (g.n * g.o * g.ho * g.wo == 0 || (no_x && !forward)) {
    route.engine = Engine::kNothing;
    return route;
  }
  if (no_x || needs_own_kernel(g)) return route;  // without x the outputs are the bias
  route.engine = Engine::kCudnn;
  Shape& s = route.shape = plain_shape(g, request);
  if (g.padding_mode != PaddingMode::kZeros) write_padding_out(s);
  const int64_t alignment = channel_alignment(s.math);
  if (misaligned_groups(g, alignment)) s.layout = Layout::kNchw;
  route.copied_w = s.w;
  if (s.layout == Layout::kNchw) {
    s.stride_w = stopping_stride(s.w, s.wo, s.kw, s.stride_w, s.pre_w, s.dilation_w);
    return route;
  }

  if (g.groups == 1) s.c = round_up(s.c, alignment), s.o = round_up(s.o, alignment);
  const bool view = has_dilation_view(s);
  // Zeros behind the last column change no output that is kept: so few plans serve all lengths.
  s.w = round_up(s.w, view ? kColumnStep * s.dilation_w / std::gcd(kColumnStep, s.dilation_w) : kColumnStep);
  if (view) s.post_w = round_up(s.post_w, s.dilation_w);
  else s.post_w = std::max(s.post_w, padding_to_step(g, s));
  route.copied_w = s.w;
  s.wo = outputs(s.w, s.kw, s.stride_w, s.pre_w + s.post_w, s.dilation_w);
  if (view) view_dilation(s);
  route.dilation_view = view;
  route.fused = fused_tail(g, request);
  // One ratio for each group's channels is no [n, 1, h, w] operand.
  const bool shared_ratio = g.ratio_c <= 1 && (request.pass != ConvPass::kBackwardInput || g.mask_c <= 1);
  route.fusable = shared_ratio && !route.fused.empty() && request.pass != ConvPass::kBackwardWeight;
  return route;
}

}  // namespace partialconv::cuda
