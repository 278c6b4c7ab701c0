// The direct convolution: for depthwise layers and few input channels, where there is nothing for a matrix unit to do. Neighbouring
// threads have neighbouring columns, so that their reads are one access.
#include <algorithm>

#include "../divisor.h"
#include "../padding.h"
#include "../partial_sums.h"
#include "gate.h"

namespace partialconv::cuda {
namespace {

// Where element i of a tensor [n, c, h, w] is.
struct Elements {
  struct At {
    int64_t sample, channel, cell, row, column;
  };

  Divisor channels, area, columns;

  Elements(int64_t c, int64_t h, int64_t w) : channels(c), area(h * w), columns(w) {}

  HOST_DEVICE At at(int64_t i) const {
    const int64_t plane = i / area, cell = i % area;
    return {plane / channels, plane % channels, cell, cell / columns, cell % columns};
  }
};

template <class T>
struct Forward {
  ConvGeometry g;
  Elements elements;
  Divisor group;  // outputs of one
  Gate mask, ratio;
  const T *x, *weight, *bias;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const auto [sample, o, cell, row, column] = elements.at(i);
    const int64_t k = gate_index(ratio, sample, o, g.o, cell, g.ho * g.wo);
    const A open = gate_at<A>(ratio, k);
    if (open == 0) {
      y[i] = store<T>(A(0));
      return;
    }
    const A offset = bias == nullptr ? A(0) : load(bias[o]);
    y[i] = store<T>((sum(sample, o, row, column) * scale_at<A>(ratio, k) + offset) * open);
  }

  HOST_DEVICE Compute<T> sum(int64_t sample, int64_t o, int64_t row, int64_t column) const {
    const int64_t channels = g.c / g.groups, first = o / group * channels, area = g.h * g.w;
    const T* tap = weight + o * channels * g.kh * g.kw;
    Compute<T> total = 0;
    for (int64_t c = first; c < first + channels; ++c) {
      for (int64_t kh = 0; kh < g.kh; ++kh) {
        const int64_t h = source_index(row * g.stride_h - g.pad_h + kh * g.dilation_h, g.h, g.padding_mode);
        for (int64_t kw = 0; kw < g.kw; ++kw, ++tap) {
          const int64_t w = source_index(column * g.stride_w - g.pad_w + kw * g.dilation_w, g.w, g.padding_mode);
          if (h < 0 || w < 0) continue;
          const int64_t at = h * g.w + w;
          total += load(*tap) * gated(mask, gate_index(mask, sample, c, g.c, at, area), x + (sample * g.c + c) * area + at);
        }
      }
    }
    return total;
  }
};

template <class T>
struct BackwardInput {
  ConvGeometry g;
  Elements elements;
  Divisor group, stride_h, stride_w;  // group: inputs of one
  Gate mask, ratio;
  const T *dy, *weight;
  T* dx;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const auto [sample, c, cell, h, w] = elements.at(i);
    const A open = gate_at<A>(mask, gate_index(mask, sample, c, g.c, cell, g.h * g.w));
    dx[i] = store<T>(open == 0 ? A(0) : sum(sample, c, h, w) * open);
  }

  // The output along one axis that reads input t through tap k, or -1.
  HOST_DEVICE static int64_t output(int64_t t, int64_t k, const Divisor& stride, int64_t pad, int64_t dilation, int64_t outputs) {
    const int64_t scaled = t + pad - k * dilation;
    return scaled >= 0 && scaled % stride == 0 && scaled / stride < outputs ? scaled / stride : -1;
  }

  HOST_DEVICE Compute<T> sum(int64_t sample, int64_t c, int64_t h, int64_t w) const {
    const int64_t outputs = g.o / g.groups, first = c / group * outputs, area = g.ho * g.wo;
    Compute<T> total = 0;
    for (int64_t o = first; o < first + outputs; ++o) {
      const T* tap = weight + (o * group + c % group) * g.kh * g.kw;
      for (int64_t kh = 0; kh < g.kh; ++kh) {
        const int64_t row = output(h, kh, stride_h, g.pad_h, g.dilation_h, g.ho);
        for (int64_t kw = 0; kw < g.kw; ++kw, ++tap) {
          const int64_t column = output(w, kw, stride_w, g.pad_w, g.dilation_w, g.wo);
          if (row < 0 || column < 0) continue;
          const int64_t at = row * g.wo + column;
          total += load(*tap) * gated(ratio, gate_index(ratio, sample, o, g.o, at, area), dy + (sample * g.o + o) * area + at);
        }
      }
    }
    return total;
  }
};

// partial[o, c, tap, chunk]: of so many positions. Neighbouring threads have other taps of the same ones.
template <class T>
struct WeightPartial {
  ConvGeometry g;
  Elements outputs;
  int64_t positions, size, chunks;  // size: of the weight
  Gate mask, ratio;
  const T *x, *dy;
  Compute<T>* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t channels = g.c / g.groups, taps = g.kh * g.kw;
    const int64_t tap = i % taps, o = i % size / taps / channels, c = o / (g.o / g.groups) * channels + i / taps % channels;
    const int64_t area = g.ho * g.wo, in_area = g.h * g.w, total = g.n * area, begin = i / size * positions;
    const int64_t end = begin + positions < total ? begin + positions : total;
    const int64_t tap_h = tap / g.kw * g.dilation_h - g.pad_h, tap_w = tap % g.kw * g.dilation_w - g.pad_w;
    Compute<T> sum = 0;
    for (int64_t p = begin; p < end; ++p) {
      const int64_t sample = p / outputs.area, at = p % outputs.area;
      const int64_t h = source_index(at / outputs.columns * g.stride_h + tap_h, g.h, g.padding_mode);
      const int64_t w = source_index(at % outputs.columns * g.stride_w + tap_w, g.w, g.padding_mode);
      if (h < 0 || w < 0) continue;
      const int64_t from = h * g.w + w;
      sum += gated(ratio, gate_index(ratio, sample, o, g.o, at, area), dy + (sample * g.o + o) * area + at) *
             gated(mask, gate_index(mask, sample, c, g.c, from, in_area), x + (sample * g.c + c) * in_area + from);
    }
    partial[i % size * chunks + i / size] = sum;
  }
};

}  // namespace

void direct_forward(Context& context, const ConvGeometry& g, Span x, const Gate& mask, const void* weight, const void* bias,
                    const Gate& ratio, Span y) {
  visit_real(y.dtype, [&]<class T>(TypeTag<T>) {
    each(context, g.n * g.o * g.ho * g.wo,
         Forward<T>{g, Elements(g.o, g.ho, g.wo), Divisor(g.o / g.groups), mask, ratio, x.as<const T>(), static_cast<const T*>(weight),
                    static_cast<const T*>(bias), y.as<T>()});
  });
}

void direct_backward_input(Context& context, const ConvGeometry& g, Span dy, const void* weight, const Gate& mask, const Gate& ratio,
                           Span dx) {
  visit_real(dx.dtype, [&]<class T>(TypeTag<T>) {
    each(context, g.n * g.c * g.h * g.w,
         BackwardInput<T>{g, Elements(g.c, g.h, g.w), Divisor(g.c / g.groups), Divisor(g.stride_h), Divisor(g.stride_w), mask, ratio,
                          dy.as<const T>(), static_cast<const T*>(weight), dx.as<T>()});
  });
}

void direct_backward_weight(Context& context, const ConvGeometry& g, Span x, const Gate& mask, Span dy, const Gate& ratio, Span dw) {
  visit_real(dw.dtype, [&]<class T>(TypeTag<T>) {
    const int64_t size = g.o * (g.c / g.groups) * g.kh * g.kw, total = g.n * g.ho * g.wo;
    // Fewer positions of a thread where there would not be threads for a GPU.
    const int64_t positions = std::clamp<int64_t>(total * size / kThreads, 64, 1024), chunks = (total + positions - 1) / positions;
    Scratch scratch(context, static_cast<std::size_t>(size * chunks) * sizeof(Compute<T>));
    Compute<T>* partial = scratch.as<Compute<T>>();
    const Elements outputs(g.o, g.ho, g.wo);
    each(context, size * chunks,
         WeightPartial<T>{g, outputs, positions, size, chunks, mask, ratio, x.as<const T>(), dy.as<const T>(), partial});
    merge_partials(context, size, chunks, partial, StoreSum<T>{dw.as<T>()});
  });
}

}  // namespace partialconv::cuda
