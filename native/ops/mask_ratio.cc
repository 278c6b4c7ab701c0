// Mask -> ratio and updated mask of a partial convolution.
//   count = weight * sum over channels (of a group) and window of mask;  ratio = count > 0 ? window / (count + eps) : 0
//   updated = min(count, 1)
#include <algorithm>
#include <type_traits>

#include "../device.h"
#include "../divisor.h"
#include "../padding.h"
#include "../vectors.h"

namespace partialconv {
namespace {

template <class T>
HOST_DEVICE inline T value_of(const T* mask, int64_t i) {
  return mask[i];
}
template <class T>
HOST_DEVICE inline T value_of(const uint8_t* mask, int64_t i) {
  return static_cast<T>(mask[i] != 0);
}

// sum[j] += how many channels, area apart, are valid at position j < count. Counted in bytes, as many as cannot overflow: 16 lanes of
// a vector where float32 has 4.
template <int64_t kRun, class T>
void count_channels(T* sum, const uint8_t* from, int64_t area, int64_t channels, int64_t count) {
  for (int64_t left = channels; left > 0; left -= UINT8_MAX) {
    uint8_t part[kRun] = {};
    for (int64_t c = 0; c < left && c < UINT8_MAX; ++c, from += area) {
      for (int64_t j = 0; j < count; ++j) part[j] = static_cast<uint8_t>(part[j] + (from[j] != 0));
    }
    for (int64_t j = 0; j < count; ++j) sum[j] += part[j];
  }
}

// sums[n, r, slice, p] = sum of a slice of the mask's channels of group r at position p: one read of the mask. A functor call has
// neighbouring positions: a GPU's kLanes, in vectors; the CPU's so many that each channel is read in long runs.
template <class T, class M, int64_t kLanes>
struct SumChannels {
  static constexpr int64_t kRun = kHostMemory ? 256 : kLanes;

  const M* mask;
  T* sums;
  int64_t all, of_slice, area;  // channels of a group, those of a slice (the last one has what is left), h * w
  Divisor slices, blocks;       // of a group; area in blocks of kRun

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t plane = i / blocks, start = i % blocks * kRun, group = plane / slices, first = plane % slices * of_slice;
    const int64_t count = !kHostMemory || area - start >= kRun ? kRun : area - start,
                  channels = all - first < of_slice ? all - first : of_slice;
    const M* from = mask + (group * all + first) * area + start;
    T* to = sums + plane * area + start;
    T sum[kRun] = {};
    if constexpr (kHostMemory && std::is_same_v<M, uint8_t>) {
      count_channels<kRun>(sum, from, area, channels, count);
    } else {
      for (int64_t c = 0; c < channels; ++c, from += area) {
        each_in_row<kLanes>(
            count, [&](int64_t j) { sum[j] += value_of<T>(from, j); }, Operand(from));
      }
    }
    each_in_row<kLanes>(
        count, [&](int64_t j) { to[j] = sum[j]; }, Operand(to));
  }
};

// The window sum of a plane [h, w] (null: all ones), then ratio and updated. A functor call has neighbouring outputs: a GPU's kVector, the
// CPU's enough for its registers.
template <class T, class M, int64_t kVector>
struct CountWindow {
  static constexpr int64_t kLanes = kHostMemory ? 16 : kVector;

  ConvGeometry g;
  T window, weight, eps;
  const M* mask;
  T* ratio;
  T* updated;
  Divisor blocks, rows;  // blocks of kLanes in an output row, output rows

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t start = i % blocks * kLanes, row = i / blocks;
    const int64_t y = row % rows, plane = row / rows;
    const int64_t lanes = !kHostMemory || g.wo - start >= kLanes ? kLanes : g.wo - start;
    T count[kLanes] = {};
    for (int64_t kh = 0; kh < g.kh; ++kh) {
      const int64_t h = source_index(y * g.stride_h - g.pad_h + kh * g.dilation_h, g.h, g.padding_mode);
      if (h < 0) continue;
      for (int64_t kw = 0; kw < g.kw; ++kw) add_tap(count, plane, h, start * g.stride_w - g.pad_w + kw * g.dilation_w, lanes);
    }
    const int64_t out = (plane * g.ho + y) * g.wo + start;
    T *ratios = ratio + out, *opened = updated + out;
    const auto put = [&](int64_t j) {
      const T sum = count[j] * weight;
      ratios[j] = sum > 0 ? window / (sum + eps) : T(0);
      opened[j] = sum > 0 ? (sum < 1 ? sum : T(1)) : T(0);
    };
    each_in_row<kVector>(lanes, put, Operand(ratios), Operand(opened));
  }

  HOST_DEVICE void add_tap(T* count, int64_t plane, int64_t h, int64_t first, int64_t lanes) const {
    const M* row = mask == nullptr ? nullptr : mask + (plane * g.h + h) * g.w;
    if (row != nullptr && g.stride_w == 1 && lanes == kLanes && first >= 0 && first + kLanes <= g.w) {
      const M* from = row + first;
      const auto add = [&](int64_t j) { count[j] += value_of<T>(from, j); };
      if (kVector > 1 && aligned<kVector>(from)) return each_in_row<kVector>(kLanes, add, Operand(from));
      // In two loops: bytes may alias the counts, and one loop is slower for it.
      T values[kLanes];
      for (int64_t j = 0; j < kLanes; ++j) values[j] = value_of<T>(from, j);
      for (int64_t j = 0; j < kLanes; ++j) count[j] += values[j];
      return;
    }
    for (int64_t j = 0; j < lanes; ++j) {
      const int64_t w = source_index(first + j * g.stride_w, g.w, g.padding_mode);
      if (w >= 0) count[j] += row == nullptr ? T(1) : value_of<T>(row, w);
    }
  }
};

template <class T, class M>
void count_windows(Context& context, const ConvGeometry& g, const MaskCount& count, double eps, const M* mask, Span ratio, Span updated) {
  T *ratios = ratio.as<T>(), *opened = updated.as<T>();
  const auto launch = [&]<int64_t kVector> {
    using Kernel = CountWindow<T, M, kVector>;
    const Divisor blocks((g.wo + Kernel::kLanes - 1) / Kernel::kLanes);
    const Kernel kernel{g, T(count.window), T(count.weight), T(eps), mask, ratios, opened, blocks, Divisor(g.ho)};
    each(context, g.ratio_n * g.ratio_c * g.ho * blocks, kernel, Kernel::kLanes * g.kh * g.kw);
  };
  with_lanes<kLanesOf<T>>(g.wo, launch, ratios, opened);
}

// sums[plane, slice, p] of planes of so many channels, in slices of so many.
template <class T, class M>
void sum_slices(Context& context, int64_t planes, int64_t area, int64_t channels, int64_t of_slice, const M* mask, T* sums) {
  const auto launch = [&]<int64_t kLanes> {
    using Kernel = SumChannels<T, M, kLanes>;
    const Divisor blocks((area + Kernel::kRun - 1) / Kernel::kRun), slices((channels + of_slice - 1) / of_slice);
    const Kernel kernel{mask, sums, channels, of_slice, area, slices, blocks};
    each(context, planes * slices * blocks, kernel, Kernel::kRun * of_slice);
  };
  with_lanes<kLanesOf<T>>(area, launch, mask, sums);
}

// sums[n, r, p]. A GPU is not filled by the positions of a small mask: there, slices of its channels are summed first.
template <class T, class M>
void sum_channels(Context& context, const ConvGeometry& g, const M* mask, T* sums) {
  constexpr int64_t kThreads = 1 << 17, kLeast = 16;  // threads that are wanted; channels of a slice at least
  const int64_t area = g.h * g.w, planes = g.mask_n * g.ratio_c, channels = g.mask_c / g.ratio_c;
  const int64_t wanted = kThreads * kLanesOf<T> / (planes * area + 1) + 1;
  const int64_t of_slice = kHostMemory ? channels : std::max(kLeast, (channels + wanted - 1) / wanted);
  const int64_t slices = (channels + of_slice - 1) / of_slice;
  if (slices == 1) return sum_slices<T>(context, planes, area, channels, channels, mask, sums);
  const Scratch partial(context, static_cast<std::size_t>(planes * slices * area) * sizeof(T));
  sum_slices<T>(context, planes, area, channels, of_slice, mask, partial.as<T>());
  sum_slices<T>(context, planes, area, slices, slices, static_cast<const T*>(partial.as<T>()), sums);
}

template <class T, class M>
void ratio_of(Context& context, const ConvGeometry& g, const MaskCount& count, double eps, Span mask, Span ratio, Span updated) {
  if (g.mask_c <= g.ratio_c) return count_windows<T>(context, g, count, eps, mask.as<const M>(), ratio, updated);
  Scratch scratch(context, g.mask_n * g.ratio_c * g.h * g.w * sizeof(T));
  T* sums = scratch.as<T>();
  sum_channels<T>(context, g, mask.as<const M>(), sums);
  count_windows<T>(context, g, count, eps, static_cast<const T*>(sums), ratio, updated);
}

}  // namespace

void mask_ratio(Context& context, const ConvGeometry& g, const MaskCount& count, double eps, Span mask, Span ratio, Span updated) {
  const bool bytes = mask.dtype == DType::kBool || mask.dtype == DType::kUInt8;
  if (ratio.dtype == DType::kFloat64) {
    bytes ? ratio_of<double, uint8_t>(context, g, count, eps, mask, ratio, updated)
          : ratio_of<double, double>(context, g, count, eps, mask, ratio, updated);
  } else {
    bytes ? ratio_of<float, uint8_t>(context, g, count, eps, mask, ratio, updated)
          : ratio_of<float, float>(context, g, count, eps, mask, ratio, updated);
  }
}

}  // namespace partialconv
