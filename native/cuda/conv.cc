// The convolution engine on CUDA, forward: our kernel into cuDNN's layout, cuDNN's plan, our kernel back; or our direct kernel for what
// cuDNN is slow at (route.h decides).
#include "../conv.h"

#include <stdexcept>
#include <vector>

#include "conv_images.h"
#include "engine.h"

namespace partialconv {

using namespace cuda;

// Enough for either layout, whatever the dtype: channels rounded up to 16 bytes.
int64_t packed_weight_size(const ConvGeometry& g, Pass) {
  const auto up = [](int64_t value) { return (value + 7) / 8 * 8; };
  return up(g.o) * up(g.c / g.groups) * g.kh * g.kw;
}

void pack_weight(Context& context, const ConvGeometry& g, Pass pass, Span weight, Span packed) {
  if (packed.size < packed_weight_size(g, pass)) throw std::invalid_argument("pack_weight: packed is too small");
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

  const int64_t samples = shape.tail.updated_n, pitch = g.ho > 0 ? plain.ho * plain.wo / g.ho : 0;
  const TailPlanes planes(context, ratio_gate(g, e.ratio, e.updated), samples, g.ho, g.wo, pitch);
  const bool pad_bias = e.bias && plain.o != g.o;
  const Scratch padded_bias(context, pad_bias ? size_t_of(plain.o) * element_bytes(y.dtype) : 0);
  if (pad_bias) cuda::pad_bias(context, e.bias, plain.o, padded_bias.as<void>());
  std::vector<Binding> bindings = {{kX, const_cast<void*>(x)}, {kWeight, packed.data}, {kY, y.data}};
  if (shape.tail.ratio_n > 0) bindings.push_back({kRatio, planes.scale()});
  if (shape.tail.updated_n > 0) bindings.push_back({kUpdated, planes.gate()});
  if (e.bias) bindings.push_back({kBias, pad_bias ? padded_bias.as<void>() : e.bias.data});
  return engines.run(context, shape, bindings);
}

}  // namespace

void forward(Context& context, const ConvGeometry& g, const ConvInput& input, Span packed, const ConvEpilogue& epilogue, Span y) {
  const Route route = route_of(g, ConvPass::kForward, y.dtype);
  const Gate mask = mask_gate(g, input.mask), ratio = ratio_gate(g, epilogue.ratio, epilogue.updated);
  if (route.engine == Engine::kOwn) return direct_forward(context, g, input.x, mask, packed.data, epilogue.bias.data, ratio, y);
  if (route.engine == Engine::kNothing) return;
  const Image in = given_x(g, y.dtype), from = x_image(g, route), out = given_y(g, y.dtype), to = y_image(g, route);
  const bool x_as_it_is = same_bytes(in, from) && open(mask) && g.padding_mode == PaddingMode::kZeros;
  // What a plan leaves behind the last column is no zero.
  const bool y_as_it_is = same_bytes(out, to) && open(ratio) && !epilogue.bias && g.wo == out.pitch;
  const Placed x(context, from, input.x, x_as_it_is), result(context, to, y, y_as_it_is);
  if (!x_as_it_is) to_image(context, in, from, mask, input.x, x.data());
  if (same_bytes(out, to) && out.channels_last && run_fused(context, g, route, x.data(), packed, epilogue, y))
    return clear_padding(context, out, y);
  // In 16 bits this rounds, and so does the epilogue: plans that give floats are compiled, as fused ones are, and not to be had everywhere.
  const Binding bindings[] = {{kX, x.data()}, {kWeight, packed.data}, {kY, result.data()}};
  Engines::of(context).run(context, route.shape, bindings);
  if (y_as_it_is) clear_padding(context, out, y);
  else from_image(context, to, out, ratio, epilogue.bias.data, result.data(), y);
}

}  // namespace partialconv
