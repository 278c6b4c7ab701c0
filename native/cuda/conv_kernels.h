// The kernels round a convolution: into cuDNN's layout (select, scale, pad, round up), back out of it (ratio, bias, updated or mask),
// packing of weights, the bias gradient, and the direct convolution for what cuDNN is slow at.
#pragma once

#include "../ops.h"
#include "device.h"
#include "route.h"

namespace partialconv::cuda {

// Threads that a launch should have: as many as a large GPU runs at once.
inline constexpr int64_t kThreads = 1 << 18;

// v -> gate == 0 ? 0 : v * scale * gate. Planes [n or 1, channels, h, w]; channel i of the tensor uses i / (c / channels). What is
// absent counts as 1. gate is bytes (non-zero counts as 1) or accumulators, scale is accumulators.
struct Gate {
  const void* gate = nullptr;
  const void* scale = nullptr;
  bool bytes = false;
  int64_t n = 1, channels = 1;
};

// Our tensor [n, c, h, w] and the image of it that cuDNN reads or writes: `cells` positions of a sample, cell row * pitch + column
// holding what is at (row - top, column - left); channels innermost (c_padded of them) or, with rows of channels, outermost.
struct Image {
  int64_t n = 0, c = 0, h = 0, w = 0;
  int64_t c_padded = 0, cells = 0, pitch = 0, top = 0, left = 0;
  bool channels_last = false;
  PaddingMode padding_mode = PaddingMode::kZeros;  // what lies outside; beyond the padding all is zero
  int64_t rows = 0, columns = 0;                   // of the image that are not zero: the tensor and its padding

  int64_t size() const { return n * c_padded * cells; }
};

// The image that every other op sees: dense, row-major. And the one that stays between convolutions (conv.h): columns rounded up to
// kColumnStep, channels to `alignment`.
Image dense_image(int64_t n, int64_t c, int64_t h, int64_t w);
Image channels_last_image(int64_t n, int64_t c, int64_t h, int64_t w, int64_t alignment);

// Where an element lies in an image whose cell (h, w) is at row h + top, column w + left.
HOST_DEVICE inline int64_t image_index(const Image& m, int64_t sample, int64_t channel, int64_t h, int64_t w) {
  const int64_t cell = (h + m.top) * m.pitch + w + m.left;
  return m.channels_last ? (sample * m.cells + cell) * m.c_padded + channel : (sample * m.c_padded + channel) * m.cells + cell;
}

// The same tensor from one of those two images to cuDNN's, gated, and zeros round it.
void to_image(Context& context, const Image& from, const Image& image, const Gate& gate, Span x, void* to);

// And back, y = ratio and updated absent: image + bias; else updated == 0 ? 0 : (image * ratio + bias) * updated. As a mask, gate has no
// scale. What of y is no tensor becomes zero.
void from_image(Context& context, const Image& image, const Image& to, const Gate& gate, const void* bias, const void* from, Span y);

// Zeros round the tensor in an image with channels last: a plan leaves there what the tensor's last columns lead to, and NaN or infinity
// times the zeros of a padded operand is NaN. Does nothing to another image.
void clear_padding(Context& context, const Image& image, Span y);

// The operands of a fused plan's tail, rounded up as the plan's result is: the gate and scale of rows [rows, width], shared by all
// channels, as floats [rows, padded_width] with zeros behind (an absent gate: ones before them); a null destination is left out. And a
// bias with zeros behind the last channel.
void pad_planes(Context& context, const Gate& planes, int64_t rows, int64_t width, int64_t padded_width, float* gate, float* scale);
void pad_bias(Context& context, Span bias, int64_t padded_channels, void* to);

// weight [o, c / groups, kh, kw] -> [o_padded, kh, kw, c_padded], and back.
struct WeightImage {
  int64_t o = 0, c = 0, taps = 0;  // c: of a group
  int64_t o_padded = 0, c_padded = 0;
  bool channels_last = false;
  int64_t size() const { return o_padded * c_padded * taps; }
};
void pack(Context& context, const WeightImage& image, Span weight, void* to);
void unpack(Context& context, const WeightImage& image, const void* from, Span weight);

// q = dy gated, in image `to` of what lies as `from` (a null q is left out; images with channels last are alike), and db[o] = the sum of
// dy * updated (an absent one, or accumulators), in an order that depends on the image alone.
void gate_and_sum(Context& context, const Image& from, const Image& to, const Gate& gate, Span dy, void* q, Span db);

// The formulas of conv.h, one thread an output (for dw: an output and a part of the positions).
void direct_forward(Context& context, const ConvGeometry& g, Span x, const Gate& mask, const void* weight, const void* bias,
                    const Gate& ratio, Span y);
void direct_backward_input(Context& context, const ConvGeometry& g, Span dy, const void* weight, const Gate& mask, const Gate& ratio,
                           Span dx);
void direct_backward_weight(Context& context, const ConvGeometry& g, Span x, const Gate& mask, Span dy, const Gate& ratio, Span dw);

}  // namespace partialconv::cuda
