// Vectors of elements, which a GPU thread reads and writes in accesses of 16 bytes. On a CPU the compiler makes vectors of plain loops.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "device.h"

// A test build without a GPU looks here at what is read and written as a vector.
#ifndef CHECK_VECTOR
#define CHECK_VECTOR(pointer) static_cast<void>(0)
#endif

namespace partialconv {

// How many elements a thread takes of operands of these types: 16 bytes of the narrowest, but no more than 64 of the widest.
template <class... T>
inline constexpr int64_t kLanesOf = std::max<int64_t>(1, std::min<int64_t>(16 / std::min({sizeof(T)...}), 64 / std::max({sizeof(T)...})));

template <class T, int64_t kLanes>
inline constexpr std::size_t kVectorAlignment = kLanes == 1 ? alignof(T) : std::min<std::size_t>(16, kLanes * sizeof(T));

template <class T, int64_t kLanes>
struct alignas(kVectorAlignment<T, kLanes>) Vector {
  T elements[kLanes];
};

// Whether vectors may start at all of these addresses.
template <int64_t kLanes, class... T>
HOST_DEVICE inline bool aligned(const T*... data) {
  return ((reinterpret_cast<std::uintptr_t>(data) % kVectorAlignment<T, kLanes> == 0) && ...);
}

// f(lane) for every lane, unrolled: only what constants index stays in registers.
template <int64_t kLanes, class F>
HOST_DEVICE inline void each_lane(F f) {
  const auto unrolled = [&]<int64_t... kLane>(std::integer_sequence<int64_t, kLane...>) { (f(kLane), ...); };
  unrolled(std::make_integer_sequence<int64_t, kLanes>());
}

template <class V>
HOST_DEVICE inline void store_vector(V* at, const V& vector) {
  if constexpr (alignof(V) == 16) {
    if (store_in_16_bytes(at, vector)) return;
  }
  *at = vector;
}

// kLanes neighbouring elements.
template <int64_t kLanes, class T>
HOST_DEVICE inline Vector<T, kLanes> read_vector(const T* at) {
  const auto* vector = reinterpret_cast<const Vector<T, kLanes>*>(at);
  if constexpr (kLanes > 1) CHECK_VECTOR(vector);
  return *vector;
}
template <int64_t kLanes, class T>
HOST_DEVICE inline void write_vector(T* at, const Vector<T, kLanes>& vector) {
  auto* to = reinterpret_cast<Vector<T, kLanes>*>(at);
  if constexpr (kLanes > 1) CHECK_VECTOR(to);
  store_vector(to, vector);
}

// An operand of in_registers(): used or left alone; a vector of its elements, or its first one in all lanes.
template <class T>
struct Operand {
  T*& pointer;
  bool used, repeats;
  HOST_DEVICE explicit Operand(T*& pointer, bool used = true, bool repeats = false) : pointer(pointer), used(used), repeats(repeats) {}
};

template <int64_t kLanes, class F>
HOST_DEVICE inline void in_registers(int64_t, F f) {
  f();
}

// f() with every operand's pointer at a copy of its elements [begin, begin + kLanes); what f changes there is then written back.
// (Where f sets them all, the compiler does not read them.)
template <int64_t kLanes, class F, class T, class... Rest>
HOST_DEVICE inline void in_registers(int64_t begin, F f, Operand<T> first, Operand<Rest>... rest) {
  using V = Vector<std::remove_const_t<T>, kLanes>;
  if (!first.used) return in_registers<kLanes>(begin, f, rest...);
  T* const memory = first.pointer;
  V copy;
  if (first.repeats) {
    const T value = memory[0];
    each_lane<kLanes>([&](int64_t lane) { copy.elements[lane] = value; });
  } else {
    const V* from = reinterpret_cast<const V*>(memory + begin);
    if constexpr (kLanes > 1) CHECK_VECTOR(from);
    copy = *from;
  }
  first.pointer = copy.elements;
  in_registers<kLanes>(begin, f, rest...);
  first.pointer = memory;
  if constexpr (!std::is_const_v<T>) {
    V* to = reinterpret_cast<V*>(memory + begin);
    if constexpr (kLanes > 1) CHECK_VECTOR(to);
    store_vector(to, copy);
  }
}

// f(j) for every j in [0, length) in order: by vectors, which are whole ones, or by element where kLanes is 1.
template <int64_t kLanes, class F, class... T>
HOST_DEVICE inline void each_in_row(int64_t length, F f, [[maybe_unused]] Operand<T>... operands) {
  if constexpr (kLanes == 1) {
    for (int64_t j = 0; j < length; ++j) f(j);
  } else {
    for (int64_t j = 0; j < length; j += kLanes)
      in_registers<kLanes>(
          j, [&] { each_lane<kLanes>(f); }, operands...);
  }
}

// whole(begin) for the units of kUnit among n elements that one of several lanes has, every lanes-th, so that what neighbouring lanes read
// at once are neighbours; rest(begin, length) for a last one that is shorter. kAtOnce of them may be read before the first is used.
template <int64_t kUnit, int64_t kAtOnce = 1, class Whole, class Rest>
HOST_DEVICE inline void each_of_lane(int64_t n, int64_t lane, int64_t lanes, Whole whole, Rest rest) {
  const int64_t step = lanes * kUnit;
  int64_t begin = lane * kUnit;
  if constexpr (kAtOnce > 1) {
    for (; begin + (kAtOnce - 1) * step + kUnit <= n; begin += kAtOnce * step)
      each_lane<kAtOnce>([&](int64_t k) { whole(begin + k * step); });
  }
  for (; begin + kUnit <= n; begin += step) whole(begin);
  if (begin < n) rest(begin, n - begin);
}

// f.operator()<kLanes>(), which takes rows of s elements one after the other of its operands: in vectors where all of these are whole ones,
// else (and on a CPU) by element, with a kLanes of 1.
template <int64_t kVector, class F, class... Data>
void with_lanes(int64_t s, F f, const Data*... data) {
  constexpr int64_t kLanes = kHostMemory ? 1 : kVector;
  if (s % kLanes == 0 && aligned<kLanes>(data...)) f.template operator()<kLanes>();
  else f.template operator()<1>();
}

// A functor over [0, n) by runs of `lanes` elements: kLanes, and whole runs in registers, or 1.
template <class F, int64_t kLanes, auto... kOperands>
struct Vectors {
  F f;
  int64_t n, lanes;

  HOST_DEVICE void operator()(int64_t run) const {
    const int64_t begin = run * lanes, end = n - begin < lanes ? n : begin + lanes;
    if (kLanes > 1 && end - begin == kLanes) {
      F on = f;
      in_registers<kLanes>(
          begin, [&] { each_lane<kLanes>([&](int64_t lane) { on(lane); }); }, Operand(on.*kOperands)...);
    } else {
      for (int64_t i = begin; i < end; ++i) f(i);
    }
  }
};

// each() for a functor that takes element i of each of its operands (members of it, pointers) and writes no others: in vectors where all
// of them are aligned.
template <auto... kOperands, class F>
void each_vector(Context& context, int64_t n, F f, int64_t work = 1) {
  if constexpr (kHostMemory) {
    each(context, n, f, work);
  } else {
    constexpr int64_t kLanes = kLanesOf<std::remove_pointer_t<std::remove_reference_t<decltype(f.*kOperands)>>...>;
    const int64_t lanes = aligned<kLanes>(f.*kOperands...) ? kLanes : 1;
    each(context, (n + lanes - 1) / lanes, Vectors<F, kLanes, kOperands...>{f, n, lanes});
  }
}

}  // namespace partialconv
