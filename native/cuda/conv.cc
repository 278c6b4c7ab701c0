// The convolution engine on CUDA: our kernel into cuDNN's layout, cuDNN's plan, our kernel back; or our direct kernel for what cuDNN is
// slow at (route.h decides).
#include "../conv.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "conv_kernels.h"
#include "engine.h"
#include "route.h"

namespace partialconv {
namespace {

using namespace cuda;

void require(bool ok, const char* op, const char* what) {
  if (!ok) throw std::invalid_argument(std::string(op) + ": " + what);
}

std::size_t size_t_of(int64_t value) { return static_cast<std::size_t>(value); }
std::size_t element_bytes(DType dtype) { return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2; }
bool is_bytes(DType dtype) { return dtype == DType::kUInt8 || dtype == DType::kBool; }

Gate mask_gate(const ConvGeometry& g, Span mask) {
  if (!mask) return {};
  return {mask.data, nullptr, is_bytes(mask.dtype), g.mask_n, g.mask_c};
}

Gate ratio_gate(const ConvGeometry& g, Span ratio, Span updated) {
  if (!ratio && !updated) return {};
  return {updated.data, ratio.data, false, g.ratio_n, g.ratio_c};
}

Route route_of(const ConvGeometry& g, ConvPass pass, DType dtype) {
  Request request;
  request.pass = pass;
  request.dtype = dtype;
  request.allow_tf32 = allow_tf32();
  return choose(g, request);
}

// x (or dx) as the plan has it. Padding that the plan does not do itself is part of the image.
Image x_image(const ConvGeometry& g, const Route& route) {
  const Shape& s = route.shape;
  Image image{g.n, g.c, g.h, g.w};
  image.c_padded = s.c, image.cells = s.h * s.w, image.pitch = route.copied_w;
  image.channels_last = s.layout == Layout::kNhwc;
  image.padding_mode = g.padding_mode;
  const bool padded = g.padding_mode != PaddingMode::kZeros;
  image.top = padded ? g.pad_h : 0, image.left = padded ? g.pad_w : 0;
  image.rows = padded ? image.cells / image.pitch : g.h;
  image.columns = padded ? (g.wo - 1) * g.stride_w + (g.kw - 1) * g.dilation_w + 1 : g.w;
  image.columns = std::min(image.columns, image.pitch);
  return image;
}

Image y_image(const ConvGeometry& g, const Route& route) {
  const Shape& s = route.shape;
  Image image{g.n, g.o, g.ho, g.wo};
  image.c_padded = s.o, image.cells = s.ho * s.wo, image.pitch = route.dilation_view ? image.cells : s.wo;
  image.channels_last = s.layout == Layout::kNhwc;
  image.rows = g.ho, image.columns = g.wo;
  return image;
}

WeightImage weight_image(const ConvGeometry& g, const Route& route) {
  const Shape& s = route.shape;
  if (route.engine != Engine::kCudnn) return {g.o, g.c / g.groups, g.kh * g.kw, g.o, g.c / g.groups, false};
  return {g.o, g.c / g.groups, g.kh * g.kw, s.o, s.c / g.groups, s.layout == Layout::kNhwc};
}

// An image in scratch memory, or the tensor itself where they are the same bytes.
class Placed {
 public:
  Placed(Context& context, const Image& image, Span tensor, bool as_it_is)
      : scratch_(context, as_it_is ? 0 : static_cast<std::size_t>(image.size()) * element_bytes(tensor.dtype)),
        data_(as_it_is ? tensor.data : scratch_.as<void>()) {}
  void* data() const { return data_; }

 private:
  Scratch scratch_;
  void* data_;
};

// x or y as it lies in memory.
Image given_image(int64_t n, int64_t c, int64_t h, int64_t w, bool channels_last, DType dtype) {
  if (!channels_last) return dense_image(n, c, h, w);
  return channels_last_image(n, c, h, w, channel_alignment(math_of(dtype, allow_tf32())));
}

bool same_bytes(const Image& a, const Image& b) {
  return a.channels_last == b.channels_last && a.c_padded == b.c_padded && a.cells == b.cells && a.top == b.top && a.left == b.left &&
         (a.pitch == b.pitch || a.h == 1);
}

bool open(const Gate& gate) { return gate.gate == nullptr && gate.scale == nullptr; }

}  // namespace

int64_t channels_last_size(const ImageShape& s, DType dtype) {
  if (dtype > DType::kBFloat16 || layout_of(math_of(dtype, allow_tf32())) == Layout::kNchw) return 0;
  return given_image(s.n, s.c, s.h, s.w, true, dtype).size();
}

int64_t conv_formats(const ConvGeometry& g, Pass pass, DType dtype) {
  static constexpr ConvPass kPasses[] = {ConvPass::kForward, ConvPass::kBackwardInput, ConvPass::kBackwardWeight};
  if (dtype > DType::kBFloat16 || pass == Pass::kBackwardInput) return 0;
  const Route route = route_of(g, kPasses[static_cast<int64_t>(pass)], dtype);
  if (route.engine != Engine::kCudnn || route.shape.layout != Layout::kNhwc) return 0;
  return pass == Pass::kForward ? 3 : 1;
}

void to_dense(Context& context, const ImageShape& s, Span x, Span y) {
  from_image(context, given_image(s.n, s.c, s.h, s.w, true, y.dtype), dense_image(s.n, s.c, s.h, s.w), {}, nullptr, x.data, y);
}

// Enough for either layout, whatever the dtype: channels rounded up to 16 bytes.
int64_t packed_weight_size(const ConvGeometry& g, Pass) {
  const auto up = [](int64_t value) { return (value + 7) / 8 * 8; };
  return up(g.o) * up(g.c / g.groups) * g.kh * g.kw;
}

void pack_weight(Context& context, const ConvGeometry& g, Pass pass, Span weight, Span packed) {
  require(packed.size >= packed_weight_size(g, pass), "pack_weight", "packed is too small");
  // A weight is packed once for inputs of any size.
  ConvGeometry any = g;
  any.n = any.h = any.w = any.ho = any.wo = 1;
  const Route route = route_of(any, pass == Pass::kForward ? ConvPass::kForward : ConvPass::kBackwardInput, weight.dtype);
  if (weight.size > 0) cuda::pack(context, weight_image(g, route), weight, packed.data);
}

namespace {

// The convolution and its epilogue by one plan, where that is there already and its result lies as y does.
bool run_fused(Context& context, const ConvGeometry& g, const Route& route, const void* x, Span packed, const ConvEpilogue& e, Span y) {
  const Shape& plain = route.shape;
  const bool whole = g.wo * g.ho == plain.wo * plain.ho && plain.o == g.o;
  if (!e.bias && !e.updated && whole) return false;
  if (g.ratio_c > 1 || (e.ratio && !e.updated)) return false;
  Shape shape = plain;
  shape.tail.ratio_n = e.ratio ? g.ratio_n : 0;
  // Without a mask, ones that end with the last column: behind it y is zero.
  shape.tail.updated_n = e.updated ? g.ratio_n : whole ? 0 : 1;
  shape.tail.bias = e.bias ? 1 : 0;
  Engines& engines = Engines::of(context);
  if (!engines.ready(shape)) return false;

  const int64_t cells = plain.ho * plain.wo, samples = shape.tail.updated_n;
  TailOperands o;
  o.planes = samples * g.ho, o.width = g.wo, o.padded_width = g.ho > 0 ? cells / g.ho : 0, o.channels = g.o;
  o.ratio = e.ratio.as<const float>(), o.updated = e.updated.as<const float>(), o.bias = e.bias.data;
  const std::size_t plane_bytes = size_t_of(whole ? 0 : samples * cells) * sizeof(float);
  const Scratch ratio(context, plane_bytes), updated(context, plane_bytes), bias(context, size_t_of(plain.o) * sizeof(float));
  if (!whole) {
    o.padded_channels = e.bias ? plain.o : 0;
    o.padded_ratio = e.ratio ? ratio.as<float>() : nullptr, o.padded_updated = updated.as<float>(), o.padded_bias = bias.as<void>();
    pad_tail(context, y.dtype, o);
  }
  std::vector<Binding> bindings = {{kX, const_cast<void*>(x)}, {kWeight, packed.data}, {kY, y.data}};
  if (shape.tail.ratio_n > 0) bindings.push_back({kRatio, whole ? e.ratio.data : ratio.as<void>()});
  if (shape.tail.updated_n > 0) bindings.push_back({kUpdated, whole ? e.updated.data : updated.as<void>()});
  if (e.bias) bindings.push_back({kBias, whole ? e.bias.data : bias.as<void>()});
  engines.run(context, shape, bindings);
  return true;
}

}  // namespace

void forward(Context& context, const ConvGeometry& g, const ConvInput& input, Span packed, const ConvEpilogue& epilogue, Span y) {
  const Route route = route_of(g, ConvPass::kForward, y.dtype);
  const Gate mask = mask_gate(g, input.mask), ratio = ratio_gate(g, epilogue.ratio, epilogue.updated);
  if (route.engine == Engine::kOwn) return direct_forward(context, g, input.x, mask, packed.data, epilogue.bias.data, ratio, y);
  if (route.engine == Engine::kNothing) return;
  const Image in = given_image(g.n, g.c, g.h, g.w, g.x_channels_last != 0, y.dtype), from = x_image(g, route);
  const Image out = given_image(g.n, g.o, g.ho, g.wo, g.y_channels_last != 0, y.dtype), to = y_image(g, route);
  const bool x_as_it_is = same_bytes(in, from) && open(mask) && g.padding_mode == PaddingMode::kZeros;
  // What a plan leaves behind the last column is no zero.
  const bool y_as_it_is = same_bytes(out, to) && open(ratio) && !epilogue.bias && g.wo == out.pitch;
  const Placed x(context, from, input.x, x_as_it_is), result(context, to, y, y_as_it_is);
  if (!x_as_it_is) to_image(context, in, from, mask, input.x, x.data());
  if (same_bytes(out, to) && out.channels_last && run_fused(context, g, route, x.data(), packed, epilogue, y))
    return clear_padding(context, out, y);
  const Binding bindings[] = {{kX, x.data()}, {kWeight, packed.data}, {kY, result.data()}};
  Engines::of(context).run(context, route.shape, bindings);
  if (y_as_it_is) clear_padding(context, out, y);
  else from_image(context, to, out, ratio, epilogue.bias.data, result.data(), y);
}

void backward_input(Context& context, const ConvGeometry& g, Span dy, Span packed, Span mask, Span ratio, Span updated, Span dx) {
  require(g.padding_mode == PaddingMode::kZeros, "backward_input", "expected zero padding");
  if (dx.size == 0) return;
  const Route route = route_of(g, ConvPass::kBackwardInput, dx.dtype);
  const Gate at_x = mask_gate(g, mask), at_y = ratio_gate(g, ratio, updated);
  if (route.engine == Engine::kOwn) return direct_backward_input(context, g, dy, packed.data, at_x, at_y, dx);
  if (route.engine == Engine::kNothing)
    return set_bytes(dx.data, 0, static_cast<std::size_t>(dx.size) * element_bytes(dx.dtype), context.stream());
  const Image dense_x = dense_image(g.n, g.c, g.h, g.w), dense_y = dense_image(g.n, g.o, g.ho, g.wo);
  const Image from = y_image(g, route), to = x_image(g, route);
  const bool dy_as_it_is = same_bytes(dense_y, from) && open(at_y), dx_as_it_is = same_bytes(to, dense_x) && open(at_x);
  const Placed q(context, from, dy, dy_as_it_is), result(context, to, dx, dx_as_it_is);
  if (!dy_as_it_is) to_image(context, dense_y, from, at_y, dy, q.data());
  const Binding bindings[] = {{kX, result.data()}, {kWeight, packed.data}, {kY, q.data()}};
  Engines::of(context).run(context, route.shape, bindings);
  if (!dx_as_it_is) from_image(context, to, dense_x, at_x, nullptr, result.data(), dx);
}

void backward_weight(Context& context, const ConvGeometry& g, const ConvInput& input, Span dy, Span ratio, Span updated, Span dw, Span db) {
  const Gate at_x = mask_gate(g, input.mask), at_y = ratio_gate(g, ratio, updated);
  if (db) {
    Gate only_updated = at_y;
    only_updated.scale = nullptr;
    bias_gradient(context, g, dy, only_updated, db);
  }
  if (!dw || dw.size == 0) return;
  const Route route = route_of(g, ConvPass::kBackwardWeight, dw.dtype);
  if (route.engine == Engine::kOwn) return direct_backward_weight(context, g, input.x, at_x, dy, at_y, dw);
  if (route.engine == Engine::kNothing)
    return set_bytes(dw.data, 0, static_cast<std::size_t>(dw.size) * element_bytes(dw.dtype), context.stream());
  const Image x_side = x_image(g, route), y_side = y_image(g, route);
  const Image in = given_image(g.n, g.c, g.h, g.w, g.x_channels_last != 0, dw.dtype), dense_y = dense_image(g.n, g.o, g.ho, g.wo);
  const bool x_as_it_is = same_bytes(in, x_side) && open(at_x) && g.padding_mode == PaddingMode::kZeros;
  const bool dy_as_it_is = same_bytes(dense_y, y_side) && open(at_y);
  const Placed x(context, x_side, input.x, x_as_it_is), q(context, y_side, dy, dy_as_it_is);
  if (!x_as_it_is) to_image(context, in, x_side, at_x, input.x, x.data());
  if (!dy_as_it_is) to_image(context, dense_y, y_side, at_y, dy, q.data());
  const WeightImage image = weight_image(g, route);
  const Scratch result(context, static_cast<std::size_t>(image.size()) * element_bytes(dw.dtype));
  const Binding bindings[] = {{kX, x.data()}, {kWeight, result.as<void>()}, {kY, q.data()}};
  Engines::of(context).run(context, route.shape, bindings);
  unpack(context, image, result.as<void>(), dw);
}

}  // namespace partialconv
