// The direct convolution: for depthwise layers and few input channels, where there is nothing for a matrix unit to do. Neighbouring
// threads have neighbouring columns, so that their reads are one access.
#include "../padding.h"
#include "gate.h"

namespace partialconv::cuda {
namespace {

template <class T>
struct Forward {
  ConvGeometry g;
  Gate mask, ratio;
  const T *x, *weight, *bias;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const int64_t area = g.ho * g.wo, at = i % area, o = i / area % g.o, sample = i / area / g.o;
    const int64_t k = gate_index(ratio, sample, o, g.o, at, area);
    const A open = gate_at<A>(ratio, k);
    if (open == 0) {
      y[i] = store<T>(A(0));
      return;
    }
    const A offset = bias == nullptr ? A(0) : load(bias[o]);
    y[i] = store<T>((sum(sample, o, at / g.wo, at % g.wo) * scale_at<A>(ratio, k) + offset) * open);
  }

  HOST_DEVICE Compute<T> sum(int64_t sample, int64_t o, int64_t row, int64_t column) const {
    const int64_t channels = g.c / g.groups, first = o / (g.o / g.groups) * channels, area = g.h * g.w;
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
  Gate mask, ratio;
  const T *dy, *weight;
  T* dx;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const int64_t area = g.h * g.w, at = i % area, c = i / area % g.c, sample = i / area / g.c;
    const A open = gate_at<A>(mask, gate_index(mask, sample, c, g.c, at, area));
    dx[i] = store<T>(open == 0 ? A(0) : sum(sample, c, at / g.w, at % g.w) * open);
  }

  // The output along one axis that reads input t through tap k, or -1.
  HOST_DEVICE static int64_t output(int64_t t, int64_t k, int64_t stride, int64_t pad, int64_t dilation, int64_t outputs) {
    const int64_t scaled = t + pad - k * dilation;
    return scaled >= 0 && scaled % stride == 0 && scaled / stride < outputs ? scaled / stride : -1;
  }

  HOST_DEVICE Compute<T> sum(int64_t sample, int64_t c, int64_t h, int64_t w) const {
    const int64_t channels = g.c / g.groups, outputs = g.o / g.groups, first = c / channels * outputs, area = g.ho * g.wo;
    Compute<T> total = 0;
    for (int64_t o = first; o < first + outputs; ++o) {
      const T* tap = weight + (o * channels + c % channels) * g.kh * g.kw;
      for (int64_t kh = 0; kh < g.kh; ++kh) {
        const int64_t row = output(h, kh, g.stride_h, g.pad_h, g.dilation_h, g.ho);
        for (int64_t kw = 0; kw < g.kw; ++kw, ++tap) {
          const int64_t column = output(w, kw, g.stride_w, g.pad_w, g.dilation_w, g.wo);
          if (row < 0 || column < 0) continue;
          const int64_t at = row * g.wo + column;
          total += load(*tap) * gated(ratio, gate_index(ratio, sample, o, g.o, at, area), dy + (sample * g.o + o) * area + at);
        }
      }
    }
    return total;
  }
};

constexpr int64_t kPositions = 1024;  // that one thread adds up

// partial[chunk, o, c, tap]
template <class T>
struct WeightPartial {
  ConvGeometry g;
  Gate mask, ratio;
  const T *x, *dy;
  Compute<T>* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t channels = g.c / g.groups, taps = g.kh * g.kw, size = g.o * channels * taps;
    const int64_t tap = i % taps, o = i % size / taps / channels, c = o / (g.o / g.groups) * channels + i / taps % channels;
    const int64_t area = g.ho * g.wo, in_area = g.h * g.w, total = g.n * area, begin = i / size * kPositions;
    const int64_t end = begin + kPositions < total ? begin + kPositions : total;
    Compute<T> sum = 0;
    for (int64_t p = begin; p < end; ++p) {
      const int64_t sample = p / area, at = p % area;
      const int64_t h = source_index(at / g.wo * g.stride_h - g.pad_h + tap / g.kw * g.dilation_h, g.h, g.padding_mode);
      const int64_t w = source_index(at % g.wo * g.stride_w - g.pad_w + tap % g.kw * g.dilation_w, g.w, g.padding_mode);
      if (h < 0 || w < 0) continue;
      const int64_t from = h * g.w + w;
      sum += gated(ratio, gate_index(ratio, sample, o, g.o, at, area), dy + (sample * g.o + o) * area + at) *
             gated(mask, gate_index(mask, sample, c, g.c, from, in_area), x + (sample * g.c + c) * in_area + from);
    }
    partial[i] = sum;
  }
};

template <class T>
struct WeightTotal {
  const Compute<T>* partial;
  int64_t size, chunks;
  T* dw;

  HOST_DEVICE void operator()(int64_t i) const {
    Compute<T> sum = 0;
    for (int64_t k = 0; k < chunks; ++k) sum += partial[k * size + i];
    dw[i] = store<T>(sum);
  }
};

}  // namespace

void direct_forward(Context& context, const ConvGeometry& g, Span x, const Gate& mask, const void* weight, const void* bias,
                    const Gate& ratio, Span y) {
  visit_real(y.dtype, [&]<class T>(TypeTag<T>) {
    each(context, g.n * g.o * g.ho * g.wo,
         Forward<T>{g, mask, ratio, x.as<const T>(), static_cast<const T*>(weight), static_cast<const T*>(bias), y.as<T>()});
  });
}

void direct_backward_input(Context& context, const ConvGeometry& g, Span dy, const void* weight, const Gate& mask, const Gate& ratio,
                           Span dx) {
  visit_real(dx.dtype, [&]<class T>(TypeTag<T>) {
    each(context, g.n * g.c * g.h * g.w, BackwardInput<T>{g, mask, ratio, dy.as<const T>(), static_cast<const T*>(weight), dx.as<T>()});
  });
}

void direct_backward_weight(Context& context, const ConvGeometry& g, Span x, const Gate& mask, Span dy, const Gate& ratio, Span dw) {
  visit_real(dw.dtype, [&]<class T>(TypeTag<T>) {
    const int64_t size = g.o * (g.c / g.groups) * g.kh * g.kw, chunks = (g.n * g.ho * g.wo + kPositions - 1) / kPositions;
    Scratch scratch(context, static_cast<std::size_t>(size * chunks) * sizeof(Compute<T>));
    Compute<T>* partial = scratch.as<Compute<T>>();
    each(context, size * chunks, WeightPartial<T>{g, mask, ratio, x.as<const T>(), dy.as<const T>(), partial});
    each(context, size, WeightTotal<T>{partial, size, chunks, dw.as<T>()});
  });
}

}  // namespace partialconv::cuda
