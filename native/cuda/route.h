// How a convolution is run on CUDA: with cuDNN or with our own kernel, in which layout, on what rounded-up shape. Pure functions of the
// geometry: the same answer on every machine, with or without a GPU.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "../ops.h"

namespace partialconv::cuda {

// Columns of an image are a multiple of this: zeros behind the last one change no output that is kept, so few plans serve all lengths.
inline constexpr int64_t kColumnStep = 64;

enum class ConvPass : int64_t { kForward, kBackwardInput, kBackwardWeight };

// What the multiplications are done in. 16-bit and TF32 accumulate in float.
enum class Math : int64_t { kFloat32, kTf32, kFloat64, kFloat16, kBFloat16 };

// Of x, weight and y: kNchw keeps our tensors' order; kNhwc has channels innermost (weight [o, kh, kw, c]).
enum class Layout : int64_t { kNchw, kNhwc };

// What follows the convolution in the same kernel. Forward: (conv * ratio + bias) * updated; backward_input: conv * mask. Where updated
// or mask is 0 the result is 0, even if the convolution is infinite or NaN.
// Operands of samples 1 are shared by the batch; 0: absent. All but bias are [samples, 1, h, w] in float.
struct Tail {
  int64_t ratio_n = 0, updated_n = 0, mask_n = 0;
  int64_t bias = 0, relu = 0;
  bool empty() const { return ratio_n == 0 && updated_n == 0 && mask_n == 0 && bias == 0 && relu == 0; }
  auto operator<=>(const Tail&) const = default;
};

// A convolution as cuDNN is given it; also the key of its plan.
struct Shape {
  ConvPass pass = ConvPass::kForward;
  Math math = Math::kFloat32;
  Layout layout = Layout::kNchw;
  int64_t deterministic = 1;
  int64_t n = 0, c = 0, h = 0, w = 0, o = 0, kh = 0, kw = 0, ho = 0, wo = 0;
  int64_t stride_h = 1, stride_w = 1, pre_h = 0, pre_w = 0, post_h = 0, post_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;
  Tail tail;
  auto operator<=>(const Shape&) const = default;
  std::string text() const;  // one line, for the names of files and for errors
};

struct Request {
  ConvPass pass = ConvPass::kForward;
  DType dtype = DType::kFloat32;
  bool allow_tf32 = true;
  bool deterministic = true;
  bool has_bias = false;
};

enum class Engine { kNothing, kOwn, kCudnn };

struct Route {
  Engine engine = Engine::kOwn;
  Shape shape;           // of the plain plan (engine kCudnn), tail empty
  bool fusable = false;  // a plan with fused.tail may replace the plain one and our epilogue kernel
  Tail fused;
  bool dilation_view = false;  // shape is the 2-D view of a dilated 1-D convolution: h = w / dilation, w = dilation
  int64_t copied_w = 0;        // what the layout kernel writes for a row of x: shape's, before the view
};

Math math_of(DType dtype, bool allow_tf32);
// Channels of a 16-byte vector: 8 of 16 bits, 4 of TF32; 1 where layout is kNchw.
int64_t channel_alignment(Math math);
Layout layout_of(Math math);

// Depthwise, or fewer than 8 channels to sum over: cuDNN is known to be ten times slower than it should be.
bool needs_own_kernel(const ConvGeometry& g);

Route choose(const ConvGeometry& g, const Request& request);

}  // namespace partialconv::cuda
