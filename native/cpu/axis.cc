// Lays an axis out: each tap's segment and offset, for the tile that the plan chooses.
#include "axis.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace partialconv {
namespace {

int64_t floor_mod(int64_t a, int64_t b) { return ((a % b) + b) % b; }

}  // namespace

void Axis::set_forward(int64_t in_size, int64_t out_size, int64_t count, int64_t stride, int64_t pad, int64_t dilation) {
  in = in_size, out = out_size, step = stride, phases = 1;
  taps.resize(count);
  position_.resize(count);
  for (int64_t k = 0; k < count; ++k) {
    taps[k].phase = 0;
    position_[k] = k * dilation - pad;
  }
  // Positions are equal modulo the stride every stride / gcd taps, and then lie dilation / gcd cells apart.
  const int64_t divisor = std::gcd(stride, dilation);
  classes_ = std::min(count, stride / divisor);
  extra_ = (count - 1) / classes_ * (dilation / divisor);
  low = -pad, high = (count - 1) * dilation - pad;
}

void Axis::set_backward_input(int64_t in_size, int64_t out_size, int64_t count, int64_t stride, int64_t pad, int64_t dilation) {
  in = in_size, out = out_size, step = 1, phases = stride;
  taps.resize(count);
  position_.resize(count);
  for (int64_t k = 0; k < count; ++k) {
    taps[k].phase = floor_mod(k * dilation - pad, stride);
    position_[k] = (taps[k].phase + pad - k * dilation) / stride;
    low = k == 0 ? position_[k] : std::min(low, position_[k]);
    high = k == 0 ? position_[k] : std::max(high, position_[k]);
  }
  classes_ = 1;
  extra_ = high - low;
}

void Axis::set_tile(int64_t size) {
  tile = size;
  tiles = (count(0) + tile - 1) / tile;
  cells = cells_for(tile);
  const bool share = shared(tile);
  segments.resize(segments_for(tile));
  for (int64_t s = 0; s < segments.size(); ++s) segments[s] = {std::numeric_limits<int64_t>::max(), 0};
  for (int64_t k = 0; k < taps.size(); ++k) {
    taps[k].segment = share ? k % classes_ : k;
    Segment& segment = segments[taps[k].segment];
    segment.start = std::min(segment.start, position_[k]);
  }
  for (int64_t k = 0; k < taps.size(); ++k) {
    Segment& segment = segments[taps[k].segment];
    taps[k].offset = (position_[k] - segment.start) / step;
    segment.extra = std::max(segment.extra, taps[k].offset);
  }
}

void TileInput::set_tile(int64_t rows, int64_t cols) {
  row.set_tile(rows);
  col.set_tile(cols);
  channel_cells = row.segments.size() * row.cells * col.segments.size() * col.cells;
}

int64_t* TileInput::tap_offsets(int64_t phase, int64_t* to) const {
  const int64_t row_cells = row.segments.size() * row.cells;
  for (int64_t i = 0; i < row.taps.size(); ++i) {
    if (row.taps[i].phase != phase / col.phases) continue;
    const int64_t r = row.taps[i].segment * row.cells + row.taps[i].offset;
    for (int64_t j = 0; j < col.taps.size(); ++j) {
      if (col.taps[j].phase != phase % col.phases) continue;
      *to++ = (col.taps[j].segment * row_cells + r) * col.cells + col.taps[j].offset;
    }
  }
  return to;
}

}  // namespace partialconv
