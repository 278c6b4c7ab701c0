// What the convolution kernels share: reading a gate's planes.
#pragma once

#include "../dtype.h"
#include "../groups.h"
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

}  // namespace partialconv::cuda
