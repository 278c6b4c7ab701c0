// Dense images to channels last and back: a thread has kLanes channels of kLanes neighbouring cells, which it reads and writes in vectors
// of 16 bytes and turns in registers.
#pragma once

#include "../divisor.h"
#include "../vectors.h"
#include "gate.h"

namespace partialconv::cuda {

// The tiles of an image. Of 32 neighbouring threads four have neighbouring channels, each of those eight neighbouring cells (where there
// are as many): so all that is read, and all that is written, are whole sectors of 32 bytes.
struct Tiles {
  struct Corner {
    int64_t sample, channel, row, column;
  };

  int64_t lanes, samples;
  int shift;                      // 2^shift tiles of neighbouring channels in turn
  Divisor outer, cells, columns;  // such turns and vectors of cells of a sample, and vectors of a row

  Tiles(const Image& image, int64_t lanes) : Tiles(image, lanes, (image.c_padded + lanes - 1) / lanes) {}

  int64_t count() const { return samples * (outer << shift) * cells; }

  HOST_DEVICE Corner at(int64_t i) const {
    const int64_t rest = i >> shift, beside = i - (rest << shift), turn = rest / cells, cell = rest % cells, row = cell / columns;
    return {turn / outer, ((turn % outer << shift) + beside) * lanes, row, (cell - row * columns) * lanes};
  }

 private:
  Tiles(const Image& image, int64_t lanes, int64_t channels)
      : lanes(lanes),
        samples(image.n),
        shift(channels % 4 == 0   ? 2
              : channels % 2 == 0 ? 1
                                  : 0),
        outer(channels >> shift),
        cells(image.cells / lanes),
        columns(image.pitch / lanes) {}
};

// x [n, c, h, w] gated, in image m with channels last. A tile lies in the tensor or outside of it.
template <class T, int64_t kLanes>
struct ToImageTiles {
  Image m;
  Gate gate;
  bool gate_vectors;
  Tiles tiles;
  const T* x;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto corner = tiles.at(i);
    const int64_t sample = corner.sample, channel = corner.channel, h = corner.row, w = corner.column, area = m.h * m.w;
    const bool inside = h < m.rows && w < m.columns;
    Vector<T, kLanes> cells[kLanes];
    Gates<Compute<T>, kLanes> gates;
    each_lane<kLanes>([&](int64_t a) {
      const bool there = inside && channel + a < m.c;
      Vector<T, kLanes> values{};
      if (there) values = read_vector<kLanes>(x + ((sample * m.c + channel + a) * m.h + h) * m.w + w);
      const int64_t k = gate_index(gate, sample, channel + a, m.c, h * m.w + w, area);
      if (there && (a == 0 || gate.channels > 1)) gates.read_cells(gate, gate_vectors, k);
      each_lane<kLanes>([&](int64_t b) { cells[b].elements[a] = there ? gates.gated(b, values.elements[b]) : store<T>(Compute<T>(0)); });
    });
    T* first = to + image_index(m, sample, channel, h - m.top, w - m.left);
    each_lane<kLanes>([&](int64_t b) { write_vector(first + b * m.c_padded, cells[b]); });
  }
};

// And back, to y [n, c, h, w]: updated == 0 ? 0 : (image * ratio + bias) * updated.
template <class T, int64_t kLanes>
struct FromImageTiles {
  Image m;
  Gate gate;
  bool gate_vectors;
  Tiles tiles;
  const T* bias;
  const T* from;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const auto corner = tiles.at(i);
    const int64_t sample = corner.sample, channel = corner.channel, h = corner.row, w = corner.column;
    const int64_t cell = h * m.w + w, area = m.h * m.w;
    const T* first = from + image_index(m, sample, channel, h, w);
    Vector<T, kLanes> cells[kLanes];
    each_lane<kLanes>([&](int64_t b) { cells[b] = read_vector<kLanes>(first + b * m.c_padded); });
    Gates<A, kLanes> gates;
    each_lane<kLanes>([&](int64_t a) {
      if (channel + a >= m.c) return;
      if (a == 0 || gate.channels > 1) gates.read_cells(gate, gate_vectors, gate_index(gate, sample, channel + a, m.c, cell, area));
      const A offset = bias == nullptr ? A(0) : load(bias[channel + a]);
      Vector<T, kLanes> values;
      each_lane<kLanes>([&](int64_t b) { values.elements[b] = gates.opened(b, cells[b].elements[a], offset); });
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
