// What the convolution kernels share: reading a gate's planes, and when they have vectors of channels.
#pragma once

#include "../dtype.h"
#include "../groups.h"
#include "../vectors.h"
#include "conv_kernels.h"

namespace partialconv::cuda {

// Index of a cell in planes [n or 1, channels, area] for channel i of a tensor with c channels.
HOST_DEVICE inline int64_t gate_index(const Gate& gate, int64_t sample, int64_t channel, int64_t c, int64_t cell, int64_t area) {
  const int64_t plane = gate.channels == 1 ? 0 : gate.channels == c ? channel : channel / (c / gate.channels);
  return ((gate.n == 1 ? 0 : sample) * gate.channels + plane) * area + cell;
}

template <class A>
HOST_DEVICE inline A gate_at(const Gate& gate, int64_t i) {
  if (gate.gate == nullptr) return A(1);
  if (gate.bytes) return static_cast<const uint8_t*>(gate.gate)[i] != 0 ? A(1) : A(0);
  return static_cast<const A*>(gate.gate)[i];
}

template <class A>
HOST_DEVICE inline A scale_at(const Gate& gate, int64_t i) {
  return gate.scale == nullptr ? A(1) : static_cast<const A*>(gate.scale)[i];
}

// The gated value; what is under a 0 is not looked at.
template <class T>
HOST_DEVICE inline Compute<T> gated(const Gate& gate, int64_t i, const T* value) {
  using A = Compute<T>;
  const A open = gate_at<A>(gate, i);
  return open == 0 ? A(0) : load(*value) * scale_at<A>(gate, i) * open;
}

// A gate's values for kLanes neighbours of a tensor with c channels and planes of `area` cells.
template <class A, int64_t kLanes>
struct Gates {
  A open[kLanes], scale[kLanes];

  // What a gate makes of a value in front of a convolution, and behind it. What is under a 0 is not used.
  template <class T>
  HOST_DEVICE T gated(int64_t lane, T value) const {
    return store<T>(open[lane] == 0 ? A(0) : load(value) * scale[lane] * open[lane]);
  }
  template <class T>
  HOST_DEVICE T opened(int64_t lane, T value, A bias) const {
    return store<T>(open[lane] == 0 ? A(0) : (load(value) * scale[lane] + bias) * open[lane]);
  }

  // Of cells of one channel, in vectors where gate_in_vectors() says so.
  HOST_DEVICE void read_cells(const Gate& gate, bool in_vectors, int64_t first) {
    if (in_vectors) {
      if (gate.bytes) read_plane<uint8_t>(gate.gate, first, open);
      else read_plane<A>(gate.gate, first, open);
      read_plane<A>(gate.scale, first, scale);
    } else {
      each_lane<kLanes>([&](int64_t lane) { open[lane] = gate_at<A>(gate, first + lane), scale[lane] = scale_at<A>(gate, first + lane); });
    }
  }

  // Of the first `there` channels from `channel` on at one cell.
  HOST_DEVICE void read_channels(const Gate& gate, int64_t there, int64_t sample, int64_t channel, int64_t c, int64_t cell, int64_t area) {
    const int64_t first = gate_index(gate, sample, channel, c, cell, area);
    const A opens = gate_at<A>(gate, first), scales = scale_at<A>(gate, first);
    each_lane<kLanes>([&](int64_t lane) { open[lane] = opens, scale[lane] = scales; });
    if (gate.channels == 1) return;
    each_lane<kLanes>([&](int64_t lane) {
      if (lane == 0 || lane >= there) return;
      const int64_t i = gate_index(gate, sample, channel + lane, c, cell, area);
      open[lane] = gate_at<A>(gate, i), scale[lane] = scale_at<A>(gate, i);
    });
  }

 private:
  template <class M>
  HOST_DEVICE static void read_plane(const void* plane, int64_t first, A* values) {
    if (plane == nullptr) {
      each_lane<kLanes>([&](int64_t lane) { values[lane] = A(1); });
      return;
    }
    const auto vector = read_vector<kLanes>(static_cast<const M*>(plane) + first);
    each_lane<kLanes>(
        [&](int64_t lane) { values[lane] = std::is_same_v<M, uint8_t> ? A(vector.elements[lane] != 0) : A(vector.elements[lane]); });
  }
};

// Whether vectors of kLanes cells may be read of a gate, the first of them being a multiple of kLanes in its plane.
template <class A, int64_t kLanes>
bool gate_in_vectors(const Gate& gate, int64_t area) {
  const bool gates =
      gate.bytes ? aligned<kLanes>(static_cast<const uint8_t*>(gate.gate)) : aligned<kLanes>(static_cast<const A*>(gate.gate));
  return area % kLanes == 0 && gates && aligned<kLanes>(static_cast<const A*>(gate.scale));
}

// Whether a thread may have kLanesOf<T> channels of both: they are innermost and padded to vectors.
template <class T>
bool in_vectors(const Image& a, const T* a_data, const Image& b, const T* b_data) {
  constexpr int64_t kLanes = kLanesOf<T>;
  const bool padded = a.c_padded % kLanes == 0 && b.c_padded % kLanes == 0;
  return a.channels_last && b.channels_last && padded && aligned<kLanes>(a_data, b_data);
}

}  // namespace partialconv::cuda
