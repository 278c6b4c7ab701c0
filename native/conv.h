// The convolution engine: three passes, one body per backend (cpu/, cuda/).
//
//   y[n,o,l] = updated[l] == 0 ? 0 : (ratio[l] * sum_{c,k} weight[o,c,k] * select(mask, x)[n,c, l*stride - pad + k*dilation]
//                                     + bias[o]) * updated[l]          with select(m, x) = (m == 0 ? 0 : x * m)
//
// An absent mask, ratio or updated counts as 1, an absent bias as 0. A value of x under a 0 of the mask is never used.
// The accumulator T is double for float64 and float for float32, float16 and bfloat16 (which are rounded once, at the end; on a
// GPU without a fused plan also before the epilogue, see cuda/conv.cc).
// mask is uint8 or bool (non-zero counts as 1) or T; ratio, updated are T. x, weight, bias and y share one dtype.
#pragma once

#include "ops.h"

namespace partialconv {

// weight as the pass reads it: T elements, laid out for this machine's instruction set.
int64_t packed_weight_size(const ConvGeometry& g, Pass pass);
void pack_weight(Context& context, const ConvGeometry& g, Pass pass, Span weight, Span packed);

// Channels last: the form that matrix units want, which a backend may keep between convolutions: [n, h, w', c'], zeros beyond w and c.
// The size of a tensor in it, in elements; 0 where the backend has no such form for the dtype.
int64_t channels_last_size(const ImageShape& shape, DType dtype);

// Whether a pass takes x (bit 0) and y (bit 1) channels last; in the backward passes dx and dy.
int64_t conv_formats(const ConvGeometry& g, Pass pass, DType dtype);

void to_dense(Context& context, const ImageShape& shape, Span x, Span y);

struct ConvInput {
  Span x, mask;
};
struct ConvEpilogue {
  Span bias, ratio, updated;
};

// y, from x and the weight packed for Pass::kForward.
void forward(Context& context, const ConvGeometry& g, const ConvInput& input, Span packed, const ConvEpilogue& epilogue, Span y);

// With q = dy * ratio * updated (0 where updated is 0):
//   dx[n,c,t] = mask[t] * sum_{o,l,k: l*stride - pad + k*dilation = t} weight[o,c,k] * q[n,o,l], exactly 0 under a 0 of the mask.
// packed: for Pass::kBackwardInput. padding_mode must be kZeros: other modes fold the gradient of a padded x back (ops/pad.cc).
void backward_input(Context& context, const ConvGeometry& g, Span dy, Span packed, Span mask, Span ratio, Span updated, Span dx);

// q, channels last, and db as below; either may be empty. So a backend whose passes take dy channels last makes q once for both.
void output_gradient(Context& context, const ConvGeometry& g, Span dy, Span ratio, Span updated, Span q, Span db);

//   dw[o,c,k] = sum_{n,l} q[n,o,l] * select(mask, x)[n,c, l*stride - pad + k*dilation]
//   db[o] = sum_{n,l} dy[n,o,l] * updated[l]
// dw or db may be empty (not needed). Deterministic: the same bits for the same number of threads or any other.
void backward_weight(Context& context, const ConvGeometry& g, const ConvInput& input, Span dy, Span ratio, Span updated, Span dw, Span db);

}  // namespace partialconv
