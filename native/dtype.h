// Element types as C++ types, exact conversions between them, and the one dispatch from a DType to its type.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "complex.h"
#include "device.h"

namespace partialconv {

struct Half {
  uint16_t bits;  // IEEE binary16: sign, 5 exponent bits, 10 fraction bits
};
struct BFloat16 {
  uint16_t bits;  // the upper half of a float
};
struct Bool {
  uint8_t byte;  // any byte but 0 is true (a caller's memory may hold any)
};

HOST_DEVICE inline float to_float(Half h) {
  if (float converted; half_to_float(h.bits, converted)) return converted;
  const uint32_t magnitude = h.bits & 0x7fffu;
  const uint32_t shifted = magnitude << 13;
  const uint32_t normal = magnitude >= 0x7c00u ? shifted | 0x7f800000u : shifted + (112u << 23);
  // Subnormals as integers times 2^-24: correct even where the thread flushes subnormal floats to zero.
  const float value =
      magnitude < 0x400u ? static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f : __builtin_bit_cast(float, normal);
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, value) | (h.bits & 0x8000u) << 16);
}

HOST_DEVICE inline float to_float(BFloat16 b) { return __builtin_bit_cast(float, static_cast<uint32_t>(b.bits) << 16); }

// To the nearest, ties to even; a NaN keeps its sign and becomes quiet (0x7e00; on a GPU 0x7fff).
HOST_DEVICE inline Half to_half(float f) {
  if (Half converted; float_to_half(f, converted.bits)) return converted;
  const uint32_t bits = __builtin_bit_cast(uint32_t, f);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
  // Below 2^-14 the last place of a half is 2^-24, which is that of a float in [0.5, 1): the addition rounds.
  const uint32_t subnormal = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude) + 0.5f) - 0x3f000000u;
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // 65520 and above round to infinity
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  return {static_cast<uint16_t>(half | (bits >> 16 & 0x8000u))};
}

// To the nearest, ties to even; every NaN becomes 0x7fc0 (on a GPU 0x7fff).
HOST_DEVICE inline BFloat16 to_bfloat16(float f) {
  if (BFloat16 converted; float_to_bfloat16(f, converted.bits)) return converted;
  const uint32_t bits = __builtin_bit_cast(uint32_t, f);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return {static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded)};
}

// The type that arithmetic on T is done in: 16-bit floats in float, integers and bools in int32_t (wrapping when stored).
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<Half> {
  using type = float;
};
template <>
struct ComputeType<BFloat16> {
  using type = float;
};
template <>
struct ComputeType<uint8_t> {
  using type = int32_t;
};
template <>
struct ComputeType<Bool> {
  using type = int32_t;
};
template <class T>
using Compute = typename ComputeType<T>::type;

template <class T>
inline constexpr bool kIsComplex = std::is_same_v<T, Complex<float>> || std::is_same_v<T, Complex<double>>;
template <class T>
inline constexpr bool kIsInteger = std::is_same_v<Compute<T>, int32_t>;

template <class T>
HOST_DEVICE inline Compute<T> load(T value) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) return to_float(value);
  else if constexpr (std::is_same_v<T, Bool>) return value.byte != 0;
  else return value;
}

// Towards zero. What does not fit becomes the nearest integer that does, NaN becomes 0 (PyTorch leaves both undefined).
template <class R>
HOST_DEVICE inline int32_t truncate(R value, int32_t low, int32_t high) {
  if (value >= static_cast<R>(high)) return high;
  if (value <= static_cast<R>(low)) return low;
  return value == value ? static_cast<int32_t>(value) : 0;
}

// From a type of arithmetic (float, double, int32_t, int64_t or complex) to an element: floats round to nearest (a double reaches
// a 16-bit float by way of float, as in PyTorch), integers wrap, a complex number becomes real by losing its imaginary part, and
// whatever is not 0 (NaN too) is true.
template <class T, class C>
HOST_DEVICE inline T store(C value) {
  if constexpr (kIsComplex<T>) {
    if constexpr (kIsComplex<C>) return {static_cast<decltype(T::re)>(value.re), static_cast<decltype(T::re)>(value.im)};
    else return {static_cast<decltype(T::re)>(value), 0};
  } else if constexpr (std::is_same_v<T, Bool>) {
    if constexpr (kIsComplex<C>) return {static_cast<uint8_t>(!math::is_zero(value))};
    else return {static_cast<uint8_t>(value != 0)};
  } else if constexpr (kIsComplex<C>) {
    return store<T>(value.re);
  } else if constexpr (std::is_same_v<T, Half>) {
    return to_half(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, int32_t> && std::is_floating_point_v<C>) {
    return truncate(value, INT32_MIN, INT32_MAX);
  } else if constexpr (std::is_same_v<T, uint8_t> && std::is_floating_point_v<C>) {
    return static_cast<uint8_t>(truncate(value, 0, 255));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
struct TypeTag {
  using type = T;
};

// f(TypeTag<T>{}) with the element type of dtype.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat32: return f(TypeTag<float>{});
    case DType::kFloat64: return f(TypeTag<double>{});
    case DType::kFloat16: return f(TypeTag<Half>{});
    case DType::kBFloat16: return f(TypeTag<BFloat16>{});
    case DType::kComplex64: return f(TypeTag<Complex<float>>{});
    case DType::kComplex128: return f(TypeTag<Complex<double>>{});
    case DType::kInt32: return f(TypeTag<int32_t>{});
    case DType::kUInt8: return f(TypeTag<uint8_t>{});
    case DType::kBool: return f(TypeTag<Bool>{});
  }
  throw std::invalid_argument("unknown dtype");
}

}  // namespace partialconv
