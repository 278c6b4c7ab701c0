// What the convolution kernels share: reading a gate's planes, and when they have vectors of channels.
#pragma once

#include "../dtype.h"
#include "../groups.h"
#include "../vectors.h"
#include "conv_kernels.h"

namespace partialconv::cuda {

// Index of a cell in planes [n or 1, channels, area] for channel i of a tensor with c channels.
HOST_DEVICE inline int64_t gate_index(const Gate& gate, int64_t sample, int64_t channel, int64_t c, int64_t cell, int64_t area) {
  const int64_t plane = gate.channels == 1 ? 0 : channel / (c / gate.channels);
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

// Whether a thread may have kLanesOf<T> channels of both: they are innermost and padded to vectors.
template <class T>
bool in_vectors(const Image& a, const T* a_data, const Image& b, const T* b_data) {
  constexpr int64_t kLanes = kLanesOf<T>;
  const bool padded = a.c_padded % kLanes == 0 && b.c_padded % kLanes == 0;
  return a.channels_last && b.channels_last && padded && aligned<kLanes>(a_data, b_data);
}

}  // namespace partialconv::cuda
