// The images of conv_images.h, and the forms of tensors that conv.h knows.
#include "conv_images.h"

#include <algorithm>

#include "../conv.h"

namespace partialconv {
namespace cuda {
namespace {

bool is_bytes(DType dtype) { return dtype == DType::kUInt8 || dtype == DType::kBool; }

}  // namespace

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

Image given_image(const ImageShape& s, bool channels_last, DType dtype) {
  if (!channels_last) return dense_image(s.n, s.c, s.h, s.w);
  // Float32 has this form in TF32 alone; it stays what it is when that is switched off.
  return channels_last_image(s.n, s.c, s.h, s.w, channel_alignment(math_of(dtype, true)));
}

Image given_x(const ConvGeometry& g, DType dtype) { return given_image({g.n, g.c, g.h, g.w}, g.x_channels_last != 0, dtype); }
Image given_y(const ConvGeometry& g, DType dtype) { return given_image({g.n, g.o, g.ho, g.wo}, g.y_channels_last != 0, dtype); }

bool same_bytes(const Image& a, const Image& b) {
  return a.channels_last == b.channels_last && a.c_padded == b.c_padded && a.cells == b.cells && a.top == b.top && a.left == b.left &&
         (a.pitch == b.pitch || a.h == 1);
}

namespace {

bool needs_plane(const Gate& gate, bool whole) { return !whole || gate.bytes || gate.gate == nullptr; }
bool needs_scale(const Gate& gate, bool whole) { return gate.scale != nullptr && !whole; }

}  // namespace

TailPlanes::TailPlanes(Context& context, const Gate& gate, int64_t samples, int64_t rows, int64_t width, int64_t padded_width)
    : gate_scratch_(context, needs_plane(gate, width == padded_width) ? size_t_of(samples * rows * padded_width) * sizeof(float) : 0),
      scale_scratch_(context, needs_scale(gate, width == padded_width) ? size_t_of(samples * rows * padded_width) * sizeof(float) : 0) {
  const bool own_gate = needs_plane(gate, width == padded_width), own_scale = needs_scale(gate, width == padded_width);
  gate_ = own_gate ? gate_scratch_.as<void>() : const_cast<void*>(gate.gate);
  scale_ = own_scale ? scale_scratch_.as<void>() : const_cast<void*>(gate.scale);
  if (!own_gate && !own_scale) return;
  pad_planes(context, gate, samples * rows, width, padded_width, own_gate ? gate_scratch_.as<float>() : nullptr,
             own_scale ? scale_scratch_.as<float>() : nullptr);
}

}  // namespace cuda

int64_t channels_last_size(const ImageShape& shape, DType dtype) {
  if (dtype > DType::kBFloat16 || cuda::layout_of(cuda::math_of(dtype, allow_tf32())) == cuda::Layout::kNchw) return 0;
  return cuda::given_image(shape, true, dtype).size();
}

int64_t conv_formats(const ConvGeometry& g, Pass pass, DType dtype) {
  using namespace cuda;
  static constexpr ConvPass kPasses[] = {ConvPass::kForward, ConvPass::kBackwardInput, ConvPass::kBackwardWeight};
  if (dtype > DType::kBFloat16) return 0;
  const Route route = route_of(g, kPasses[static_cast<int64_t>(pass)], dtype);
  if (route.engine != Engine::kCudnn || route.shape.layout != Layout::kNhwc) return 0;
  if (pass == Pass::kForward) return 3;
  // Gradients only where plans have them as they lie.
  const bool x = pass == Pass::kBackwardWeight || same_bytes(given_image({g.n, g.c, g.h, g.w}, true, dtype), x_image(g, route));
  const bool y = same_bytes(given_image({g.n, g.o, g.ho, g.wo}, true, dtype), y_image(g, route));
  return (x ? 1 : 0) + (y ? 2 : 0);
}

void to_dense(Context& context, const ImageShape& shape, Span x, Span y) {
  using namespace cuda;
  from_image(context, given_image(shape, true, y.dtype), given_image(shape, false, y.dtype), {}, nullptr, x.data, y);
}

}  // namespace partialconv
