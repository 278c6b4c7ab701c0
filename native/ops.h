// The types that cross the binding and the declaration of every native op.
#pragma once

#include <cstdint>

namespace partialconv {

class Context;  // device.h: where an op runs (thread pool, or stream)

// Numbered as in ts/dtype.ts.
enum class DType : int32_t { kFloat32, kFloat64, kFloat16, kBFloat16, kComplex64, kComplex128, kInt32, kUInt8, kBool };

// A dense row-major buffer owned by JavaScript. An absent optional operand is an empty span (data == nullptr).
struct Span {
  void* data = nullptr;
  int64_t size = 0;  // in elements of dtype (a complex number is one element)
  DType dtype = DType::kFloat32;
  explicit operator bool() const { return data != nullptr; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

enum class PaddingMode : int64_t { kZeros, kReflect, kReplicate, kCircular };

// Which of the three convolution passes a buffer is packed for; kBackwardWeight has none.
enum class Pass : int64_t { kForward, kBackwardInput, kBackwardWeight };

// A validated convolution (ts/ops/conv_geometry.ts checks every field). 1-D is 2-D with h = kh = ho = 1.
// Crosses the binding as a Float64Array with the fields in this order.
struct ConvGeometry {
  int64_t n, c, h, w;                        // x [n, c, h, w]
  int64_t o, kh, kw;                         // weight [o, c / groups, kh, kw]
  int64_t ho, wo;                            // y [n, o, ho, wo]
  int64_t stride_h, stride_w, pad_h, pad_w;  // pad: cells before the first row and column; what follows the last is implied
  int64_t dilation_h, dilation_w, groups;
  PaddingMode padding_mode;
  // mask [mask_n, mask_c, h, w]: mask_n is 1 or n; channel i of x uses mask channel i / (c / mask_c). 0, 0: no mask.
  int64_t mask_n, mask_c;
  // ratio and updated [ratio_n, ratio_c, ho, wo]: ratio_n is 1 or n; channel i of y uses i / (o / ratio_c). 0, 0: none.
  int64_t ratio_n, ratio_c;
  // 1: x (y) lies channels last, as conv.h says; only where conv_formats() allows it. Else 0.
  int64_t x_channels_last, y_channels_last;
};

// A tensor [n, c, h, w].
struct ImageShape {
  int64_t n, c, h, w;
};

// How a mask is counted. ratio and updated have the geometry's ratio_n and ratio_c (1, or groups: a count for each group's channels).
struct MaskCount {
  int64_t window;  // cells of a full window: channels counted x kh x kw
  int64_t weight;  // counted channels that each channel of the mask stands for
};

inline constexpr int64_t kMaxRank = 8;

// A copy between two strided views of dense buffers (transpose, slice, concat, expand). Strides and offsets in elements.
struct StridedCopy {
  int64_t rank;
  int64_t x_offset, y_offset;
  int64_t shape[kMaxRank], x_strides[kMaxRank], y_strides[kMaxRank];
};

// Broadcast operands of an element-wise op: y is dense with this shape, a stride of 0 repeats.
struct Broadcast {
  int64_t rank;
  int64_t shape[kMaxRank], a_strides[kMaxRank], b_strides[kMaxRank];
};

// A reduction of the middle of [outer, reduced, inner].
struct Reduction {
  int64_t outer, reduced, inner;
};

// Padding of the middle of [outer, size, inner] to [outer, out_size, inner]; before may be negative (a crop).
struct PadAxis {
  int64_t outer, size, inner, before, out_size;
  PaddingMode mode;
};

// Numbered as in ts/native.ts. kIsNotNaN writes bools.
enum class UnaryOp : int64_t { kNeg, kAbs, kSqrt, kExp, kLog, kTanh, kSigmoid, kRelu, kConj, kIsNotNaN };

// Numbered as in ts/native.ts. From kMulConj on: parts of gradients, of float and complex dtypes only, where b is the gradient dy
// and a what the forward pass saved (its input x, or its output y), or for kPow* the base and b the exponent.
enum class BinaryOp : int64_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kPow,
  kMulConj,          // conj(a) * b
  kDivConj,          // b / conj(a)
  kAbsGrad,          // b * sign(x)
  kSqrtGrad,         // b / (2 conj(y))
  kTanhGrad,         // b * conj(1 - y^2)
  kSigmoidGrad,      // b * conj(y (1 - y))
  kReluGrad,         // y <= 0 ? 0 : b
  kPowBaseGrad,      // b a^(b - 1), 0 where b is 0
  kPowExponentGrad,  // a^b log(a), 0 where a is 0 and b >= 0
};
enum class ReduceOp : int64_t { kSum, kMean };

// Numbered as in ts/ops/loss.ts.
enum class LossOp : int64_t { kSquared, kAbsolute };
enum class LossReduction : int64_t { kNone, kMean, kSum };

// A mask broadcast to x: the strides (in elements, 0 repeats) by which it is read in the order of x, which is dense with this shape.
struct MaskLayout {
  int64_t rank;
  int64_t shape[kMaxRank], strides[kMaxRank];
};

// Options of one step of SGD. Flags are 0 or 1. A struct of doubles crosses the binding as a Float64Array, as those of integers do.
struct SgdOptions {
  using Field = double;
  double lr, momentum, dampening, weight_decay, nesterov;
  double first;  // no step before: the momentum buffer holds nothing yet
};

// Options of one step of Adam, or of AdamW, whose weight decay is decoupled from the gradient. step counts from 1.
struct AdamOptions {
  using Field = double;
  double lr, beta1, beta2, eps, weight_decay, decoupled, step;
};

// Normalisation of x [n, c, s] over groups: a channel of all samples, or of each (per_sample). Flags are 0 or 1.
struct Normalization {
  int64_t n, c, s;
  int64_t mask_n, mask_c;  // mask [mask_n, mask_c, s]: 1 or n, 1 or c; 0, 0: none
  int64_t per_sample;
  int64_t frozen;  // the running statistics normalise, as constants
};

// A mask [mask_n, mask_c, s] beside x [n, c, s]: 1 or n, 1 or c.
struct MaskShape {
  int64_t n, c, s;
  int64_t mask_n, mask_c;
};

// Numbered as in ts/native.ts; see ops/mask_apply.cc.
enum class MaskOp : int64_t { kSelect, kApply, kUnapply };

// x [n, c, s] with a slope for each channel, or one (slopes is 1).
struct Slopes {
  int64_t n, c, s, slopes;
};

// Numbered as in ts/native.ts. kLeast: the least of the cells that kLinear reads, for masks.
enum class ResizeMode : int64_t { kLinear, kNearest, kLeast };

// planes [h, w] to [ho, wo]
struct Resize {
  int64_t planes, h, w, ho, wo;
  ResizeMode mode;
};

// ops/conv.cc: the engine (conv.h) and the packing of weights
void conv_pack_weight(Context&, const ConvGeometry&, Pass, Span weight, Span packed);
void conv_forward(Context&, const ConvGeometry&, Span x, Span mask, Span packed, Span bias, Span ratio, Span updated, Span y);
void conv_backward_input(Context&, const ConvGeometry&, Span dy, Span packed, Span mask, Span ratio, Span updated, Span dx);
void conv_backward_weight(Context&, const ConvGeometry&, Span x, Span mask, Span dy, Span ratio, Span updated, Span dw, Span db);
// q channels last, q and db may be empty
void conv_output_gradient(Context&, const ConvGeometry&, Span dy, Span ratio, Span updated, Span q, Span db);
// x channels last -> y as every other op takes it
void conv_to_dense(Context&, const ImageShape&, Span x, Span y);

// ops/pad.cc: value is one element, or empty for zero
void pad_axis(Context&, const PadAxis&, Span value, Span x, Span y);
void pad_axis_backward(Context&, const PadAxis&, Span dy, Span dx);

// ops/mask_ratio.cc
void mask_ratio(Context&, const ConvGeometry&, const MaskCount&, double eps, Span mask, Span ratio, Span updated);

// ops/mask_bits.cc: bits[i] = mask[i] != 0 of a float32 or float64 mask; binary[0] = whether every value is 0 or 1
void mask_bits(Context&, Span mask, Span bits, Span binary);

// ops/elementwise.cc: y has x's dtype (kAbs of complex: the real one). In binary, b may be float32 where a is a 16-bit float (a
// scalar is not rounded). y may be x or a itself.
void unary(Context&, UnaryOp, Span x, Span y);
void binary(Context&, BinaryOp, const Broadcast&, Span a, Span b, Span y);

// ops/copy.cc: cast converts as dtype.h's store() says; a strided_copy keeps the dtype
void cast(Context&, Span x, Span y);
void fill(Context&, double re, double im, Span y);
void strided_copy(Context&, const StridedCopy&, Span x, Span y);

// ops/reduce.cc: sums are kept in float64 (complex128, int64) whatever the dtype of x, and rounded once to that of y
void reduce(Context&, ReduceOp, const Reduction&, Span x, Span y);

// ops/loss.cc: mask (bytes, or float64 where x is, else float32) may be empty. y has one element, or with kNone those of x; weight receives
// the sum of the mask (float64, one element), which the backward pass of a mean takes again. dx and dtarget may be empty.
void loss(Context&, LossOp, LossReduction, const MaskLayout&, Span x, Span target, Span mask, Span y, Span weight);
void loss_backward(Context&, LossOp, LossReduction, const MaskLayout&, Span x, Span target, Span mask, Span weight, Span dy, Span dx,
                   Span dtarget);

// ops/optimizer.cc: one step in place, of real dtypes (a complex parameter is handed over as its real view). The state is float32 for
// 16-bit parameters, else of the parameter's dtype; a gradient is of either. master (of 16-bit parameters), buffer (momentum) and largest
// (AMSGrad) may be empty. unscale sets y = factor x, which may be x, or float32 beside a 16-bit x; and found (int32, one element) to 1 if
// an x is not finite. sum_squares writes sums[index].
void sgd_step(Context&, const SgdOptions&, Span param, Span grad, Span master, Span buffer);
void adam_step(Context&, const AdamOptions&, Span param, Span grad, Span master, Span mean, Span square, Span largest);
void unscale(Context&, double factor, Span x, Span y, Span found);
void sum_squares(Context&, int64_t index, Span x, Span sums);

// ops/norm.cc: statistics (float64 [groups, 4]) is what the backward pass takes again. weight, bias and mask may be empty, and so may the
// running statistics unless frozen; dx, dweight and dbias too. mask: bytes, or float32 (float64 for a float64 x).
void norm_forward(Context&, const Normalization&, double eps, double momentum, Span x, Span mask, Span weight, Span bias, Span running_mean,
                  Span running_var, Span statistics, Span y);
void norm_backward(Context&, const Normalization&, Span x, Span mask, Span weight, Span statistics, Span dy, Span dx, Span dweight,
                   Span dbias);

// ops/mask_apply.cc
void mask_apply(Context&, MaskOp, const MaskShape&, double eps, Span x, Span mask, Span y);

// ops/prelu.cc: dx and dweight may be empty
void prelu(Context&, const Slopes&, Span x, Span weight, Span y);
void prelu_backward(Context&, const Slopes&, Span x, Span weight, Span dy, Span dx, Span dweight);

// ops/resize.cc: the scales are those of kNearest (input cells to an output), 0 for the other modes
void resize(Context&, const Resize&, double row_scale, double col_scale, Span x, Span y);
void resize_backward(Context&, const Resize&, double row_scale, double col_scale, Span dy, Span dx);

// ops/random.cc: state is the generator's 32-bit words (struct Generator there), kept by JavaScript and advanced in place
void random_seed(Context&, double seed_low32, Span state);
void random_uniform(Context&, double from, double to, Span state, Span y);
void random_normal(Context&, double mean, double std, Span state, Span y);

}  // namespace partialconv
