// Into cuDNN's layout and out of it; the bias gradient.
#include <algorithm>
#include <cmath>

#include "../padding.h"
#include "../vectors.h"
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

// y[lane] = value(lane) of the first `there` lanes; zeros behind. x is what value() reads.
template <int64_t kLanes, class T, class F>
HOST_DEVICE inline void put(int64_t there, const T*& x, T* y, F value) {
  using A = Compute<T>;
  const auto values = [&] { each_lane<kLanes>([&](int64_t lane) { y[lane] = store<T>(lane < there ? value(lane) : A(0)); }); };
  const auto zeros = [&] { each_lane<kLanes>([&](int64_t lane) { y[lane] = store<T>(A(0)); }); };
  if (there > 0) in_registers<kLanes>(0, values, Operand(x), Operand(y));
  else in_registers<kLanes>(0, zeros, Operand(y));
}

// A thread has kLanes channels of a cell, which are neighbours in both images, or one element.
template <class T, int64_t kLanes>
struct ToImage {
  Image in, m;
  Gate gate;
  const T* x;
  T* to;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto position = position_of(i * kLanes, m.c_padded, m.cells, m.channels_last);
    const int64_t sample = position.sample, channel = position.channel;
    const int64_t row = position.cell / m.pitch, column = position.cell % m.pitch;
    int64_t h = -1, w = -1;
    if (channel < m.c && row < m.rows && column < m.columns) {
      h = source_index(row - m.top, m.h, m.padding_mode), w = source_index(column - m.left, m.w, m.padding_mode);
    }
    const int64_t there = h < 0 || w < 0 ? 0 : m.c - channel;
    const T* px = x + (there > 0 ? image_index(in, sample, channel, h, w) : 0);
    put<kLanes>(there, px, to + i * kLanes, [&](int64_t lane) {
      return gated(gate, gate_index(gate, sample, channel + lane, m.c, h * m.w + w, m.h * m.w), px + lane);
    });
  }
};

template <class T, int64_t kLanes>
struct FromImage {
  Image m, out;
  Gate gate;
  const T* bias;
  const T* from;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const auto position = position_of(i * kLanes, out.c_padded, out.cells, out.channels_last);
    const int64_t sample = position.sample, channel = position.channel;
    const int64_t h = position.cell / out.pitch, w = position.cell % out.pitch;
    const int64_t there = w < m.w ? m.c - channel : 0;
    const T* values = from + (there > 0 ? image_index(m, sample, channel, h, w) : 0);
    put<kLanes>(there, values, y + i * kLanes, [&](int64_t lane) {
      using A = Compute<T>;
      const int64_t k = gate_index(gate, sample, channel + lane, m.c, h * m.w + w, m.h * m.w);
      const A open = gate_at<A>(gate, k);
      if (open == 0) return A(0);
      const A offset = bias == nullptr ? A(0) : load(bias[channel + lane]);
      return (load(values[lane]) * scale_at<A>(gate, k) + offset) * open;
    });
  }
};

// Whether a thread may have kLanesOf<T> channels of both: they are innermost and padded to vectors.
template <class T>
bool in_vectors(const Image& a, const T* a_data, const Image& b, const T* b_data) {
  constexpr int64_t kLanes = kLanesOf<T>;
  const bool padded = a.c_padded % kLanes == 0 && b.c_padded % kLanes == 0;
  return a.channels_last && b.channels_last && padded && aligned<kLanes>(a_data, b_data);
}

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

// partial[run, channel]: of `run` cells of all samples.
template <class T>
struct GateAndSum {
  Image in, m;
  Gate gate;
  int64_t run, runs;
  const T* dy;
  T* q;
  Compute<T>* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    // Neighbouring threads have what are neighbours in memory, or nearly.
    const int64_t channel = m.channels_last ? i % m.c_padded : i / runs, index = m.channels_last ? i / m.c_padded : i % runs;
    const int64_t total = m.n * m.cells, end = (index + 1) * run < total ? (index + 1) * run : total;
    A sum = 0;
    for (int64_t p = index * run; p < end; ++p) {
      const int64_t sample = p / m.cells, h = p % m.cells / m.pitch, w = p % m.cells % m.pitch;
      A value = 0;
      if (channel < m.c && w < m.w) {
        const int64_t k = gate_index(gate, sample, channel, m.c, h * m.w + w, m.h * m.w);
        const A open = gate_at<A>(gate, k);
        const A counted = open == 0 ? A(0) : load(dy[image_index(in, sample, channel, h, w)]) * open;
        sum += counted;
        value = open == 0 ? A(0) : counted * scale_at<A>(gate, k);
      }
      if (q != nullptr) q[image_index(m, sample, channel, h, w)] = store<T>(value);
    }
    partial[index * m.c_padded + channel] = sum;
  }
};

template <class T>
struct BiasTotal {
  const Compute<T>* partial;
  int64_t runs, channels;
  T* db;

  HOST_DEVICE void operator()(int64_t o) const {
    Compute<T> sum = 0;
    for (int64_t k = 0; k < runs; ++k) sum += partial[k * channels + o];
    db[o] = store<T>(sum);
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
    const auto run = [&]<int64_t kLanes> {
      each(context, image.size() / kLanes, ToImage<T, kLanes>{from, image, gate, x.as<const T>(), static_cast<T*>(to)});
    };
    if (in_vectors(from, x.as<const T>(), image, static_cast<const T*>(to))) run.template operator()<kLanesOf<T>>();
    else run.template operator()<1>();
  });
}

void from_image(Context& context, const Image& image, const Image& to, const Gate& gate, const void* bias, const void* from, Span y) {
  visit_real(y.dtype, [&]<class T>(TypeTag<T>) {
    const T* values = static_cast<const T*>(from);
    const auto run = [&]<int64_t kLanes> {
      each(context, to.size() / kLanes, FromImage<T, kLanes>{image, to, gate, static_cast<const T*>(bias), values, y.as<T>()});
    };
    if (in_vectors(image, values, to, y.as<const T>())) run.template operator()<kLanesOf<T>>();
    else run.template operator()<1>();
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
    each(context, image.size(), Pack<T>{image, weight.as<const T>(), static_cast<T*>(to)});
  });
}

void unpack(Context& context, const WeightImage& image, const void* from, Span weight) {
  visit_real(weight.dtype, [&]<class T>(TypeTag<T>) {
    each(context, image.o * image.c * image.taps, Unpack<T>{image, static_cast<const T*>(from), weight.as<T>()});
  });
}

void gate_and_sum(Context& context, const Image& from, const Image& to, const Gate& gate, Span dy, void* q, Span db) {
  visit_real(dy.dtype, [&]<class T>(TypeTag<T>) {
    // As many cells in a run as there are runs: neither of the two sums is long. At least 64, so that the partial sums are few.
    const int64_t cells = to.n * to.cells, run = std::max<int64_t>(64, std::llround(std::sqrt(static_cast<double>(cells))));
    const int64_t runs = (cells + run - 1) / run;
    Scratch scratch(context, static_cast<std::size_t>(to.c_padded * runs) * sizeof(Compute<T>));
    Compute<T>* partial = scratch.as<Compute<T>>();
    each(context, to.c_padded * runs, GateAndSum<T>{from, to, gate, run, runs, dy.as<const T>(), static_cast<T*>(q), partial});
    each(context, to.c, BiasTotal<T>{partial, runs, to.c_padded, db.as<T>()});
  });
}

}  // namespace partialconv::cuda
