// What the passes on CUDA share: the route of a geometry, the images of its operands as tensors and as plans have them, their gates.
#pragma once

#include <cstddef>

#include "conv_kernels.h"
#include "device.h"
#include "route.h"

namespace partialconv::cuda {

inline std::size_t size_t_of(int64_t value) { return static_cast<std::size_t>(value); }
inline std::size_t element_bytes(DType dtype) { return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2; }

// None where the operands are absent.
Gate mask_gate(const ConvGeometry& g, Span mask);
Gate ratio_gate(const ConvGeometry& g, Span ratio, Span updated);
inline bool open(const Gate& gate) { return gate.gate == nullptr && gate.scale == nullptr; }

Route route_of(const ConvGeometry& g, ConvPass pass, DType dtype);

// x (or dx), y (or dy) and weight as the plan has them. Padding that the plan does not do itself is part of x's image.
Image x_image(const ConvGeometry& g, const Route& route);
Image y_image(const ConvGeometry& g, const Route& route);
WeightImage weight_image(const ConvGeometry& g, const Route& route);

// x or y as it lies in memory.
Image given_image(const ImageShape& shape, bool channels_last, DType dtype);
Image given_x(const ConvGeometry& g, DType dtype);
Image given_y(const ConvGeometry& g, DType dtype);

bool same_bytes(const Image& a, const Image& b);

// An image in scratch memory, or the tensor itself where they are the same bytes.
class Placed {
 public:
  Placed(Context& context, const Image& image, Span tensor, bool as_it_is)
      : scratch_(context, as_it_is ? 0 : size_t_of(image.size()) * element_bytes(tensor.dtype)),
        data_(as_it_is ? tensor.data : scratch_.as<void>()) {}
  void* data() const { return data_; }

 private:
  Scratch scratch_;
  void* data_;
};

// The planes of a gate that is shared by all channels, as a fused plan reads them: floats, `samples` of them with `rows` rows of a padded
// width. In scratch memory, with zeros behind the last column, or the operands themselves where they are that already.
class TailPlanes {
 public:
  TailPlanes(Context& context, const Gate& gate, int64_t samples, int64_t rows, int64_t width, int64_t padded_width);
  void* gate() const { return gate_; }
  void* scale() const { return scale_; }

 private:
  Scratch gate_scratch_, scale_scratch_;
  void *gate_, *scale_;
};

}  // namespace partialconv::cuda
