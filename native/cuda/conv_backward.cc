// The convolution engine on CUDA, backward: as conv.cc, with q = dy * ratio * updated in place of x.
#include <stdexcept>

#include "../conv.h"
#include "conv_images.h"
#include "engine.h"

namespace partialconv {

using namespace cuda;

namespace {

void set_zero(Context& context, Span tensor) {
  set_bytes(tensor.data, 0, size_t_of(tensor.size) * element_bytes(tensor.dtype), context.stream());
}

// dx = dgrad, gated by the mask, by one plan, where that is there already and its result lies as dx does.
bool run_fused(Context& context, const ConvGeometry& g, const Route& route, const void* q, Span packed, const Gate& mask, Span dx) {
  if (mask.channels > 1) return false;
  Shape shape = route.shape;
  // Without a mask, ones that end with the last column: behind it dx is zero.
  shape.tail.mask_n = open(mask) ? 1 : mask.n;
  Engines& engines = Engines::of(context);
  if (!engines.ready(shape)) return false;
  const TailPlanes planes(context, mask, shape.tail.mask_n, g.h, g.w, route.copied_w);
  const Binding bindings[] = {{kX, dx.data}, {kWeight, packed.data}, {kY, const_cast<void*>(q)}, {kMask, planes.gate()}};
  return engines.run(context, shape, bindings);
}

}  // namespace

void output_gradient(Context& context, const ConvGeometry& g, Span dy, Span ratio, Span updated, Span q, Span db) {
  const Image in = given_y(g, dy.dtype), to = q ? given_image({g.n, g.o, g.ho, g.wo}, true, dy.dtype) : in;
  const Gate gate = ratio_gate(g, ratio, updated);
  if (db) gate_and_sum(context, in, to, gate, dy, q.data, db);
  else if (q) to_image(context, in, to, gate, dy, q.data);
}

void backward_input(Context& context, const ConvGeometry& g, Span dy, Span packed, Span mask, Span ratio, Span updated, Span dx) {
  if (g.padding_mode != PaddingMode::kZeros) throw std::invalid_argument("backward_input: expected zero padding");
  if (dx.size == 0) return;
  const Route route = route_of(g, ConvPass::kBackwardInput, dx.dtype);
  const Gate at_x = mask_gate(g, mask), at_y = ratio_gate(g, ratio, updated);
  if (route.engine == Engine::kOwn) return direct_backward_input(context, g, dy, packed.data, at_x, at_y, dx);
  if (route.engine == Engine::kNothing) return set_zero(context, dx);
  const Image in = given_y(g, dx.dtype), from = y_image(g, route), out = given_x(g, dx.dtype), to = x_image(g, route);
  const bool dy_as_it_is = same_bytes(in, from) && open(at_y);
  // What a plan leaves behind the last column is the gradient of padding.
  const bool dx_as_it_is = same_bytes(out, to) && open(at_x) && g.w == out.pitch;
  const Placed q(context, from, dy, dy_as_it_is), result(context, to, dx, dx_as_it_is);
  if (!dy_as_it_is) to_image(context, in, from, at_y, dy, q.data());
  if (!dx_as_it_is && same_bytes(out, to) && out.channels_last && run_fused(context, g, route, q.data(), packed, at_x, dx))
    return clear_padding(context, out, dx);
  const Binding bindings[] = {{kX, result.data()}, {kWeight, packed.data}, {kY, q.data()}};
  Engines::of(context).run(context, route.shape, bindings);
  if (dx_as_it_is) clear_padding(context, out, dx);
  else from_image(context, to, out, at_x, nullptr, result.data(), dx);
}

void backward_weight(Context& context, const ConvGeometry& g, const ConvInput& input, Span dy, Span ratio, Span updated, Span dw, Span db) {
  const Gate at_x = mask_gate(g, input.mask), at_y = ratio_gate(g, ratio, updated);
  if (db) output_gradient(context, g, dy, {}, updated, {}, db);
  if (!dw || dw.size == 0) return;
  const Route route = route_of(g, ConvPass::kBackwardWeight, dw.dtype);
  if (route.engine == Engine::kOwn) return direct_backward_weight(context, g, input.x, at_x, dy, at_y, dw);
  if (route.engine == Engine::kNothing) return set_zero(context, dw);
  const Image in = given_x(g, dw.dtype), x_side = x_image(g, route), dy_in = given_y(g, dw.dtype), y_side = y_image(g, route);
  const bool x_as_it_is = same_bytes(in, x_side) && open(at_x) && g.padding_mode == PaddingMode::kZeros;
  const bool dy_as_it_is = same_bytes(dy_in, y_side) && open(at_y);
  const Placed x(context, x_side, input.x, x_as_it_is), q(context, y_side, dy, dy_as_it_is);
  if (!x_as_it_is) to_image(context, in, x_side, at_x, input.x, x.data());
  if (!dy_as_it_is) to_image(context, dy_in, y_side, at_y, dy, q.data());
  const WeightImage image = weight_image(g, route);
  const Scratch result(context, size_t_of(image.size()) * element_bytes(dw.dtype));
  const Binding bindings[] = {{kX, x.data()}, {kWeight, result.as<void>()}, {kY, q.data()}};
  Engines::of(context).run(context, route.shape, bindings);
  unpack(context, image, result.as<void>(), dw);
}

}  // namespace partialconv
