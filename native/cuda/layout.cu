// Into cuDNN's layout and out of it.
#include "../divisor.h"
#include "../padding.h"
#include "../vectors.h"
#include "gate.h"
#include "tiles.h"

namespace partialconv::cuda {
namespace {

struct Position {
  int64_t sample, channel, row, column;
};

// Where element i of [samples, channels, cells], or of [samples, cells, channels], is.
struct Positions {
  Divisor channels, cells, columns;
  bool channels_last;

  explicit Positions(const Image& m) : channels(m.c_padded), cells(m.cells), columns(m.pitch), channels_last(m.channels_last) {}
  explicit Positions(const WeightImage& m) : channels(m.c_padded), cells(m.taps), columns(1), channels_last(m.channels_last) {}

  HOST_DEVICE Position at(int64_t i) const {
    const int64_t outer = channels_last ? i / channels : i / cells, inner = channels_last ? i % channels : i % cells;
    const int64_t sample = channels_last ? outer / cells : outer / channels, rest = channels_last ? outer % cells : outer % channels;
    const int64_t cell = channels_last ? rest : inner;
    return {sample, channels_last ? inner : rest, cell / columns, cell % columns};
  }
};

// y[lane] = value(lane) of the first `there` lanes; zeros behind. x is what value() reads.
template <int64_t kLanes, class T, class F>
HOST_DEVICE inline void put(int64_t there, const T*& x, T* y, F value) {
  const T zero = store<T>(Compute<T>(0));
  const auto values = [&] { each_lane<kLanes>([&](int64_t lane) { y[lane] = lane < there ? value(lane) : zero; }); };
  const auto zeros = [&] { each_lane<kLanes>([&](int64_t lane) { y[lane] = zero; }); };
  if (there > 0) in_registers<kLanes>(0, values, Operand(x), Operand(y));
  else in_registers<kLanes>(0, zeros, Operand(y));
}

// A thread has kLanes channels of a cell, or cells of a channel, which are neighbours in both images; or one element.
template <class T, int64_t kLanes>
struct Layout {
  Positions positions;
  Gate gate;
  bool gate_vectors;

  HOST_DEVICE auto gates(const Image& m, int64_t there, int64_t sample, int64_t channel, int64_t cell) const {
    Gates<Compute<T>, kLanes> values;
    if (m.channels_last) values.read_channels(gate, there, sample, channel, m.c, cell, m.h * m.w);
    else values.read_cells(gate, gate_vectors, gate_index(gate, sample, channel, m.c, cell, m.h * m.w));
    return values;
  }
};

template <class T, int64_t kLanes>
struct ToImage {
  Image in, m;
  Layout<T, kLanes> layout;
  const T* x;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto position = layout.positions.at(i * kLanes);
    const int64_t sample = position.sample, channel = position.channel, row = position.row, column = position.column;
    int64_t h = -1, w = -1;
    if (channel < m.c && row < m.rows && column < m.columns) {
      h = source_index(row - m.top, m.h, m.padding_mode), w = source_index(column - m.left, m.w, m.padding_mode);
    }
    const int64_t there = h < 0 || w < 0 ? 0 : m.channels_last ? m.c - channel : kLanes;
    const T* px = x;
    Gates<Compute<T>, kLanes> gates;
    if (there > 0) px += image_index(in, sample, channel, h, w), gates = layout.gates(m, there, sample, channel, h * m.w + w);
    put<kLanes>(there, px, to + i * kLanes, [&](int64_t lane) { return gates.gated(lane, px[lane]); });
  }
};

template <class T, int64_t kLanes>
struct FromImage {
  Image m, out;
  Layout<T, kLanes> layout;
  const T* bias;
  const T* from;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto position = layout.positions.at(i * kLanes);
    const int64_t sample = position.sample, channel = position.channel, h = position.row, w = position.column;
    const int64_t there = w >= m.w ? 0 : m.channels_last ? m.c - channel : kLanes;
    const T* values = from;
    Gates<Compute<T>, kLanes> gates;
    if (there > 0) values += image_index(m, sample, channel, h, w), gates = layout.gates(m, there, sample, channel, h * m.w + w);
    put<kLanes>(there, values, y + i * kLanes, [&](int64_t lane) {
      const Compute<T> offset = bias == nullptr ? Compute<T>(0) : load(bias[m.channels_last ? channel + lane : channel]);
      return gates.opened(lane, values[lane], offset);
    });
  }
};

// Of each row [pitch, c_padded], what lies behind the last column, then behind the last channel of the others.
template <class T>
struct ClearPadding {
  Image m;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t behind = (m.pitch - m.w) * m.c_padded, extra = m.c_padded - m.c, in_row = behind + m.w * extra;
    const int64_t row = i / in_row, at = i % in_row;
    const int64_t in_image = at < behind ? m.w * m.c_padded + at : (at - behind) / extra * m.c_padded + m.c + (at - behind) % extra;
    y[row * m.pitch * m.c_padded + in_image] = store<T>(Compute<T>(0));
  }
};

struct PadPlanes {
  Gate planes;
  int64_t width, padded_width;
  float *gate, *scale;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t column = i % padded_width, at = i / padded_width * width + column;
    const bool there = column < width;
    if (gate != nullptr) gate[i] = there ? gate_at<float>(planes, at) : 0.0f;
    if (scale != nullptr) scale[i] = there ? scale_at<float>(planes, at) : 0.0f;
  }
};

template <class T>
struct PadBias {
  const T* bias;
  int64_t channels;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const { to[i] = i < channels ? bias[i] : store<T>(Compute<T>(0)); }
};

template <class T>
struct Pack {
  WeightImage m;
  Positions positions;
  const T* weight;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto [o, c, tap, zero] = positions.at(i);
    to[i] = o < m.o && c < m.c ? weight[(o * m.c + c) * m.taps + tap] : store<T>(Compute<T>(0));
  }
};

template <class T>
struct Unpack {
  WeightImage m;
  const T* from;
  T* weight;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t tap = i % m.taps, c = i / m.taps % m.c, o = i / m.taps / m.c;
    weight[i] = from[m.channels_last ? (o * m.taps + tap) * m.c_padded + c : (o * m.c_padded + c) * m.taps + tap];
  }
};

}  // namespace

Image dense_image(int64_t n, int64_t c, int64_t h, int64_t w) {
  Image image{n, c, h, w};
  image.c_padded = c, image.cells = h * w, image.pitch = w;
  image.rows = h, image.columns = w;
  return image;
}

Image channels_last_image(int64_t n, int64_t c, int64_t h, int64_t w, int64_t alignment) {
  Image image{n, c, h, w};
  image.c_padded = (c + alignment - 1) / alignment * alignment;
  image.pitch = (w + kColumnStep - 1) / kColumnStep * kColumnStep;
  image.cells = h * image.pitch;
  image.channels_last = true;
  image.rows = h, image.columns = w;
  return image;
}

void to_image(Context& context, const Image& from, const Image& image, const Gate& gate, Span x, void* to) {
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    constexpr int64_t kLanes = kLanesOf<T>;
    const T* data = x.as<const T>();
    T* out = static_cast<T*>(to);
    const bool vectors = gate_in_vectors<Compute<T>, kLanes>(gate, image.h * image.w);
    const Positions positions(image);
    const Tiles tiles(image, kLanes);
    if (in_tiles<T>(from, data, image, out)) each(context, tiles.count(), ToImageTiles<T, kLanes>{image, gate, vectors, tiles, data, out});
    else if (in_runs<T>(from, data, image, out))
      each(context, image.size() / kLanes, ToImage<T, kLanes>{from, image, {positions, gate, vectors}, data, out});
    else each(context, image.size(), ToImage<T, 1>{from, image, {positions, gate, false}, data, out});
  });
}

void from_image(Context& context, const Image& image, const Image& to, const Gate& gate, const void* bias, const void* from, Span y) {
  visit_real(y.dtype, [&]<class T>(TypeTag<T>) {
    constexpr int64_t kLanes = kLanesOf<T>;
    const T *data = static_cast<const T*>(from), *offsets = static_cast<const T*>(bias);
    T* out = y.as<T>();
    const bool vectors = gate_in_vectors<Compute<T>, kLanes>(gate, image.h * image.w);
    const Positions positions(to);
    const Tiles tiles(to, kLanes);
    if (in_tiles<T>(to, out, image, data))
      each(context, tiles.count(), FromImageTiles<T, kLanes>{image, gate, vectors, tiles, offsets, data, out});
    else if (in_runs<T>(image, data, to, out))
      each(context, to.size() / kLanes, FromImage<T, kLanes>{image, to, {positions, gate, vectors}, offsets, data, out});
    else each(context, to.size(), FromImage<T, 1>{image, to, {positions, gate, false}, offsets, data, out});
  });
}

void clear_padding(Context& context, const Image& image, Span y) {
  if (!image.channels_last) return;
  const int64_t in_row = (image.pitch - image.w) * image.c_padded + image.w * (image.c_padded - image.c);
  visit_real(y.dtype, [&]<class T>(TypeTag<T>) { each(context, image.n * image.h * in_row, ClearPadding<T>{image, y.as<T>()}); });
}

void pad_planes(Context& context, const Gate& planes, int64_t rows, int64_t width, int64_t padded_width, float* gate, float* scale) {
  each(context, rows * padded_width, PadPlanes{planes, width, padded_width, gate, scale});
}

void pad_bias(Context& context, Span bias, int64_t padded_channels, void* to) {
  visit_real(bias.dtype, [&]<class T>(TypeTag<T>) {
    each(context, padded_channels, PadBias<T>{bias.as<const T>(), bias.size, static_cast<T*>(to)});
  });
}

void pack(Context& context, const WeightImage& image, Span weight, void* to) {
  visit_real(weight.dtype, [&]<class T>(TypeTag<T>) {
    each(context, image.size(), Pack<T>{image, Positions(image), weight.as<const T>(), static_cast<T*>(to)});
  });
}

void unpack(Context& context, const WeightImage& image, const void* from, Span weight) {
  visit_real(weight.dtype, [&]<class T>(TypeTag<T>) {
    each(context, image.o * image.c * image.taps, Unpack<T>{image, static_cast<const T*>(from), weight.as<T>()});
  });
}

}  // namespace partialconv::cuda
