// Into cuDNN's layout and out of it; the bias gradient.
#include "../padding.h"
#include "gate.h"

namespace partialconv::cuda {
namespace {

struct Position {
  int64_t sample, channel, cell;
};

// Where element i of [samples, channels, cells], or of [samples, cells, channels], is.
HOST_DEVICE inline Position position_of(int64_t i, int64_t channels, int64_t cells, bool channels_last) {
  if (channels_last) return {i / channels / cells, i % channels, i / channels % cells};
  return {i / cells / channels, i / cells % channels, i % cells};
}

template <class T>
struct ToImage {
  Image in, m;
  Gate gate;
  const T* x;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto [sample, channel, cell] = position_of(i, m.c_padded, m.cells, m.channels_last);
    const int64_t row = cell / m.pitch, column = cell % m.pitch;
    to[i] = store<T>(Compute<T>(0));
    if (channel >= m.c || row >= m.rows || column >= m.columns) return;
    const int64_t h = source_index(row - m.top, m.h, m.padding_mode), w = source_index(column - m.left, m.w, m.padding_mode);
    if (h < 0 || w < 0) return;
    const int64_t k = gate_index(gate, sample, channel, m.c, h * m.w + w, m.h * m.w);
    to[i] = store<T>(gated(gate, k, x + image_index(in, sample, channel, h, w)));
  }
};

template <class T>
struct FromImage {
  Image m, out;
  Gate gate;
  const T* bias;
  const T* from;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const auto [sample, channel, cell] = position_of(i, out.c_padded, out.cells, out.channels_last);
    const int64_t h = cell / out.pitch, w = cell % out.pitch;
    y[i] = store<T>(A(0));
    if (channel >= m.c || w >= m.w) return;
    const int64_t k = gate_index(gate, sample, channel, m.c, h * m.w + w, m.h * m.w);
    const A open = gate_at<A>(gate, k);
    if (open == 0) return;
    const A offset = bias == nullptr ? A(0) : load(bias[channel]);
    y[i] = store<T>((load(from[image_index(m, sample, channel, h, w)]) * scale_at<A>(gate, k) + offset) * open);
  }
};

template <class T>
struct PadTail {
  TailOperands o;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t cells = o.planes * o.padded_width;
    if (i >= cells) {
      const int64_t channel = i - cells;
      if (o.padded_bias == nullptr) return;
      static_cast<T*>(o.padded_bias)[channel] = channel < o.channels ? static_cast<const T*>(o.bias)[channel] : store<T>(Compute<T>(0));
      return;
    }
    const int64_t column = i % o.padded_width, at = i / o.padded_width * o.width + column;
    const bool there = column < o.width;
    if (o.padded_ratio != nullptr) o.padded_ratio[i] = there ? o.ratio[at] : 0.0f;
    if (o.padded_updated != nullptr) o.padded_updated[i] = !there ? 0.0f : o.updated == nullptr ? 1.0f : o.updated[at];
  }
};

template <class T>
struct Pack {
  WeightImage m;
  const T* weight;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto [o, c, tap] = position_of(i, m.c_padded, m.taps, m.channels_last);
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

constexpr int64_t kBiasChunk = 2048;

// partial[o, chunk]: of the n * area positions of channel o.
template <class T>
struct BiasPartial {
  const T* dy;
  Gate updated;
  int64_t n, o, area, chunks;
  Compute<T>* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t channel = i / chunks, first = i % chunks * kBiasChunk, total = n * area;
    const int64_t end = first + kBiasChunk < total ? first + kBiasChunk : total;
    Compute<T> sum = 0;
    for (int64_t p = first; p < end; ++p) {
      const int64_t sample = p / area, at = p % area;
      sum += gated(updated, gate_index(updated, sample, channel, o, at, area), dy + (sample * o + channel) * area + at);
    }
    partial[i] = sum;
  }
};

template <class T>
struct BiasTotal {
  const Compute<T>* partial;
  int64_t chunks;
  T* db;

  HOST_DEVICE void operator()(int64_t o) const {
    Compute<T> sum = 0;
    for (int64_t k = 0; k < chunks; ++k) sum += partial[o * chunks + k];
    db[o] = store<T>(sum);
  }
};

}  // namespace

Image dense_image(int64_t n, int64_t c, int64_t h, int64_t w) {
  Image image{n, c, h, w};
  image.c_padded = c, image.cells = h * w, image.pitch = w;
  return image;
}

Image channels_last_image(int64_t n, int64_t c, int64_t h, int64_t w, int64_t alignment) {
  Image image{n, c, h, w};
  image.c_padded = (c + alignment - 1) / alignment * alignment;
  image.pitch = (w + kColumnStep - 1) / kColumnStep * kColumnStep;
  image.cells = h * image.pitch;
  image.channels_last = true;
  return image;
}

void to_image(Context& context, const Image& from, const Image& image, const Gate& gate, Span x, void* to) {
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    each(context, image.size(), ToImage<T>{from, image, gate, x.as<const T>(), static_cast<T*>(to)});
  });
}

void from_image(Context& context, const Image& image, const Image& to, const Gate& gate, const void* bias, const void* from, Span y) {
  visit_real(y.dtype, [&]<class T>(TypeTag<T>) {
    each(context, to.size(), FromImage<T>{image, to, gate, static_cast<const T*>(bias), static_cast<const T*>(from), y.as<T>()});
  });
}

void pad_tail(Context& context, DType bias, const TailOperands& operands) {
  visit_real(bias, [&]<class T>(TypeTag<T>) {
    each(context, operands.planes * operands.padded_width + operands.padded_channels, PadTail<T>{operands});
  });
}

void pack(Context& context, const WeightImage& image, Span weight, void* to) {
  visit_real(weight.dtype, [&]<class T>(TypeTag<T>) {
    each(context, image.size(), Pack<T>{image, weight.as<const T>(), static_cast<T*>(to)});
  });
}

void unpack(Context& context, const WeightImage& image, const void* from, Span weight) {
  visit_real(weight.dtype, [&]<class T>(TypeTag<T>) {
    each(context, image.o * image.c * image.taps, Unpack<T>{image, static_cast<const T*>(from), weight.as<T>()});
  });
}

void bias_gradient(Context& context, const ConvGeometry& g, Span dy, const Gate& updated, Span db) {
  visit_real(dy.dtype, [&]<class T>(TypeTag<T>) {
    const int64_t area = g.ho * g.wo, chunks = (g.n * area + kBiasChunk - 1) / kBiasChunk;
    Scratch scratch(context, static_cast<std::size_t>(g.o * chunks) * sizeof(Compute<T>));
    Compute<T>* partial = scratch.as<Compute<T>>();
    each(context, g.o * chunks, BiasPartial<T>{dy.as<const T>(), updated, g.n, g.o, area, chunks, partial});
    each(context, g.o, BiasTotal<T>{partial, chunks, db.as<T>()});
  });
}

}  // namespace partialconv::cuda
