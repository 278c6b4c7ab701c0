// The convolution passes as ops: what crosses the binding, handed to the engine of conv.h.
#include "../conv.h"

#include "../device.h"

namespace partialconv {

void conv_pack_weight(Context& context, const ConvGeometry& g, Pass pass, Span weight, Span packed) {
  pack_weight(context, g, pass, weight, packed);
}

void conv_forward(Context& context, const ConvGeometry& g, Span x, Span mask, Span packed, Span bias, Span ratio, Span updated, Span y) {
  forward(context, g, {x, mask}, packed, {bias, ratio, updated}, y);
}

void conv_backward_input(Context& context, const ConvGeometry& g, Span dy, Span packed, Span mask, Span ratio, Span updated, Span dx) {
  backward_input(context, g, dy, packed, mask, ratio, updated, dx);
}

void conv_backward_weight(Context& context, const ConvGeometry& g, Span x, Span mask, Span dy, Span ratio, Span updated, Span dw, Span db) {
  backward_weight(context, g, {x, mask}, dy, ratio, updated, dw, db);
}

void conv_output_gradient(Context& context, const ConvGeometry& g, Span dy, Span ratio, Span updated, Span q, Span db) {
  output_gradient(context, g, dy, ratio, updated, q, db);
}

void conv_to_dense(Context& context, const ImageShape& shape, Span x, Span y) { to_dense(context, shape, x, y); }

}  // namespace partialconv
