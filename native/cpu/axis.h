// One axis of a convolution pass, and the tensor that a task copies into scratch: where each tap finds its input there.
#pragma once

#include <memory>

#include "../ops.h"

namespace partialconv {

// A run-time sized array that needs no heap while it is small, so that a tiny call does not allocate.
template <class T, int kInline>
class SmallArray {
 public:
  SmallArray() = default;
  SmallArray(const SmallArray&) = delete;
  SmallArray& operator=(const SmallArray&) = delete;
  void resize(int64_t size) {
    if (size > kInline) heap_ = std::make_unique<T[]>(static_cast<std::size_t>(size));
    data_ = size > kInline ? heap_.get() : inline_;
    size_ = size;
  }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  T inline_[kInline];
  std::unique_ptr<T[]> heap_;
  T* data_ = inline_;
  int64_t size_ = 0;
};

struct Tap {
  int64_t phase;    // of the outputs that it belongs to
  int64_t segment;  // of the scratch that it reads
  int64_t offset;   // of output 0's cell in that segment
};

// Consecutive scratch cells: cell i holds the input at start + (first output of the tile + i) * step.
struct Segment {
  int64_t start;
  int64_t extra;  // cells needed beyond the number of outputs in the tile
};

// One axis (rows or columns). Output u of phase f, written at f + u*phases, reads input u*step + position(tap).
struct Axis {
  int64_t in = 0, out = 0;
  int64_t step = 1;           // forward: stride; backward_input: 1
  int64_t phases = 1;         // forward: 1; backward_input: stride
  int64_t low = 0, high = 0;  // the least and the greatest position of a tap
  int64_t tile = 0;           // outputs (of each phase) in a tile
  int64_t tiles = 0;
  int64_t cells = 0;  // of each segment
  SmallArray<Tap, 16> taps;
  SmallArray<Segment, 16> segments;

  // Of a convolution's input and output along this axis; for backward_input, in is y's size and out is x's.
  void set_forward(int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t pad, int64_t dilation);
  void set_backward_input(int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t pad, int64_t dilation);
  void set_tile(int64_t tile);

  int64_t count(int64_t phase) const { return (out - phase + phases - 1) / phases; }
  // Taps whose inputs differ by a multiple of step share a segment, unless dilation leaves too wide gaps between them.
  bool shared(int64_t tile) const { return classes_ * (tile + extra_) <= taps.size() * tile; }
  int64_t cells_for(int64_t tile) const { return shared(tile) ? tile + extra_ : tile; }
  int64_t segments_for(int64_t tile) const { return shared(tile) ? classes_ : taps.size(); }

 private:
  void set_positions();

  int64_t classes_ = 1;  // of taps, tap k being in class k % classes_
  int64_t extra_ = 0;    // cells that a class's segment needs beyond the tile
  SmallArray<int64_t, 16> position_;
};

// v -> gate == 0 ? 0 : v * scale * gate, by position of a plane; what is absent counts as 1. The planes of gate and scale are
// [n or 1, channels, h, w]; gate is bytes or accumulators, scale is accumulators.
struct Gate {
  const void* gate = nullptr;
  const void* scale = nullptr;
  bool bytes = false;
  int64_t plane = 0;
  int64_t batch_stride = 0;  // 0 if every sample shares the planes
  int64_t fan_out = 1;       // channels of the tensor to one of the gate

  int64_t row(int64_t sample, int64_t channel) const { return sample * batch_stride + channel / fan_out * plane; }
};

// The tensor that a task copies into scratch.
struct TileInput {
  DType dtype;
  PaddingMode padding_mode = PaddingMode::kZeros;
  const void* x = nullptr;
  Gate gate;
  int64_t channels = 0;  // of the whole tensor
  Axis row, col;
  int64_t channel_cells = 0;  // [column segment][row segment][row][column]

  // Where each tap of a phase reads in a channel's cells; returns the end of what it wrote.
  int64_t* tap_offsets(int64_t phase, int64_t* to) const;
  void set_tile(int64_t rows, int64_t cols);
};

}  // namespace partialconv
