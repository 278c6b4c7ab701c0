// Dense images to channels last and back: a thread has kLanes channels of kLanes neighbouring cells, which it reads and writes in vectors
// of 16 bytes and turns in registers.
#pragma once

#include "../vectors.h"
#include "gate.h"

namespace partialconv::cuda {

// The tiles of an image. Of 32 neighbouring threads four have neighbouring channels, each of those eight neighbouring cells (where there
// are as many): so all that is read, and all that is written, are whole sectors of 32 bytes.
struct Tiles {
  struct Corner {
    int64_t sample, channel, cell;
  };

  int64_t lanes, channels, cells, beside, samples;  // of a sample, in tiles; tiles of neighbouring channels in turn

  Tiles(const Image& image, int64_t lanes)
      : lanes(lanes),
        channels((image.c_padded + lanes - 1) / lanes),
        cells(image.cells / lanes),
        beside(channels % 4 == 0   ? 4
               : channels % 2 == 0 ? 2
                                   : 1),
        samples(image.n) {}

  int64_t count() const { return samples * channels * cells; }

  HOST_DEVICE Corner at(int64_t i) const {
    const int64_t outer = channels / beside, rest = i / beside;
    return {rest / cells / outer, (rest / cells % outer * beside + i % beside) * lanes, rest % cells * lanes};
  }
};

// The gate's values at kLanes neighbouring cells.
template <class A, int64_t kLanes>
struct GateRow {
  A open[kLanes], scale[kLanes];

  HOST_DEVICE void read(const Gate& gate, int64_t first) {
    each_lane<kLanes>([&](int64_t lane) { open[lane] = gate_at<A>(gate, first + lane), scale[lane] = scale_at<A>(gate, first + lane); });
  }
};

// x [n, c, h, w] gated, in image m with channels last. A tile lies in the tensor or outside of it.
template <class T, int64_t kLanes>
struct ToImageTiles {
  Image m;
  Gate gate;
  Tiles tiles;
  const T* x;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const auto [sample, channel, cell] = tiles.at(i);
    const int64_t h = cell / m.pitch, w = cell % m.pitch, area = m.h * m.w;
    const bool inside = h < m.rows && w < m.columns;
    Vector<T, kLanes> cells[kLanes];
    GateRow<A, kLanes> row;
    each_lane<kLanes>([&](int64_t a) {
      const bool there = inside && channel + a < m.c;
      Vector<T, kLanes> values{};
      if (there) values = read_vector<kLanes>(x + ((sample * m.c + channel + a) * m.h + h) * m.w + w);
      if (there && (a == 0 || gate.channels > 1)) row.read(gate, gate_index(gate, sample, channel + a, m.c, h * m.w + w, area));
      each_lane<kLanes>([&](int64_t b) {
        const bool open = there && row.open[b] != 0;
        cells[b].elements[a] = store<T>(open ? load(values.elements[b]) * row.scale[b] * row.open[b] : A(0));
      });
    });
    T* first = to + (sample * m.cells + cell) * m.c_padded + channel;
    each_lane<kLanes>([&](int64_t b) { write_vector(first + b * m.c_padded, cells[b]); });
  }
};

// And back, to y [n, c, h, w]: updated == 0 ? 0 : (image * ratio + bias) * updated.
template <class T, int64_t kLanes>
struct FromImageTiles {
  Image m;
  Gate gate;
  Tiles tiles;
  const T* bias;
  const T* from;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const auto [sample, channel, cell] = tiles.at(i);
    const int64_t h = cell / m.w, w = cell % m.w, area = m.h * m.w;
    const T* first = from + image_index(m, sample, channel, h, w);
    Vector<T, kLanes> cells[kLanes];
    each_lane<kLanes>([&](int64_t b) { cells[b] = read_vector<kLanes>(first + b * m.c_padded); });
    GateRow<A, kLanes> row;
    each_lane<kLanes>([&](int64_t a) {
      if (channel + a >= m.c) return;
      if (a == 0 || gate.channels > 1) row.read(gate, gate_index(gate, sample, channel + a, m.c, cell, area));
      const A offset = bias == nullptr ? A(0) : load(bias[channel + a]);
      Vector<T, kLanes> values;
      each_lane<kLanes>([&](int64_t b) {
        const A value = (load(cells[b].elements[a]) * row.scale[b] + offset) * row.open[b];
        values.elements[b] = store<T>(row.open[b] == 0 ? A(0) : value);
      });
      write_vector(y + (sample * m.c + channel + a) * area + cell, values);
    });
  }
};

// Whether whole vectors of cells are in the tensor or outside of it, in an image of it.
template <class T>
bool whole_cells(const Image& m) {
  constexpr int64_t kLanes = kLanesOf<T>;
  const bool whole = m.w % kLanes == 0 && m.pitch % kLanes == 0 && m.cells % kLanes == 0 && m.columns % kLanes == 0;
  return kLanes > 1 && whole && m.padding_mode == PaddingMode::kZeros && m.top == 0 && m.left == 0;
}

// Whether tiles cover both images of a tensor, of which one is dense and the other has channels last.
template <class T>
bool in_tiles(const Image& dense, const T* dense_data, const Image& m, const T* data) {
  return !dense.channels_last && m.channels_last && whole_cells<T>(dense) && whole_cells<T>(m) && m.c_padded % kLanesOf<T> == 0 &&
         aligned<kLanesOf<T>>(dense_data, data);
}

// Whether a thread may have kLanesOf<T> neighbours of both images, which have the same order: channels or cells.
template <class T>
bool in_runs(const Image& a, const T* a_data, const Image& b, const T* b_data) {
  if (a.channels_last || b.channels_last) return in_vectors(a, a_data, b, b_data);
  return whole_cells<T>(a) && whole_cells<T>(b) && aligned<kLanesOf<T>>(a_data, b_data);
}

}  // namespace partialconv::cuda
