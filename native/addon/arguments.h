// The arguments of one JavaScript call, read in order and converted to what a native op takes.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <napi.h>

#include "../device.h"
#include "../ops.h"
#include "device_buffer.h"
#include "environment.h"

namespace partialconv {

inline int64_t dtype_bytes(DType dtype) {
  static constexpr int64_t kBytes[] = {4, 8, 2, 2, 8, 16, 4, 1, 1};
  return kBytes[static_cast<int32_t>(dtype)];
}

inline void check(napi_status status, const char* call) {
  if (status != napi_ok) throw std::invalid_argument(std::string(call) + " failed: an argument has the wrong type");
}

template <class T>
struct FieldType {
  using type = int64_t;
};
template <class T>
  requires requires { typename T::Field; }
struct FieldType<T> {
  using type = typename T::Field;
};

// While a graph is captured, it keeps the memory that its ops use.
template <class C>
void keep(C& context, const DeviceBuffer& buffer) {
  if constexpr (!kHostMemory) context.keep(buffer.memory());
}

// An op's own arguments are few; a Span takes two places (storage, dtype).
class Arguments {
 public:
  static constexpr std::size_t kMost = 32;

  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    count_ = kMost;
    check(napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr), "napi_get_cb_info");
  }

  template <class T>
  T read() {
    if constexpr (std::is_same_v<T, Span>) return span();
    else if constexpr (std::is_same_v<T, double>) return number();
    else if constexpr (std::is_same_v<T, bool>) return number() != 0;
    else if constexpr (std::is_enum_v<T>) return static_cast<T>(static_cast<int64_t>(number()));
    else if constexpr (std::is_integral_v<T>) return static_cast<T>(number());
    else return record<T>();
  }

  // A typed array, whatever the device.
  Span host_span() {
    const napi_value storage = next();
    const DType type = dtype();
    if (is_absent(storage)) return {};
    napi_typedarray_type element;
    std::size_t length = 0;
    void* data = nullptr;
    check(napi_get_typedarray_info(env_, storage, &element, &length, &data, nullptr, nullptr), "reading a typed array");
    const int64_t bytes = static_cast<int64_t>(length) * element_bytes(element);
    static char none;  // a zero-size array may have no address; it is still a present operand
    return {data != nullptr ? data : &none, bytes / dtype_bytes(type), type};
  }

  // Memory of the device; throws if it is something else.
  DeviceBuffer& device_buffer() {
    DeviceBuffer* buffer = DeviceBuffer::of(env_, next());
    if (buffer == nullptr) throw std::invalid_argument("expected memory of a device, but got something else");
    return *buffer;
  }

  napi_value at(std::size_t i) const { return values_[i]; }
  std::size_t consumed() const { return next_; }

 private:
  napi_value next() {
    if (next_ >= count_ || next_ >= kMost) throw std::invalid_argument("too few arguments");
    return values_[next_++];
  }

  double number() {
    double value = 0;
    check(napi_get_value_double(env_, next(), &value), "reading a number");
    return value;
  }

  DType dtype() {
    const auto dtype = static_cast<DType>(static_cast<int32_t>(number()));
    if (static_cast<int32_t>(dtype) < 0 || dtype > DType::kBool) throw std::invalid_argument("unknown dtype");
    return dtype;
  }

  // An op's operand: memory of the device that this addon computes on.
  Span span() {
    if constexpr (kHostMemory) return host_span();
    const napi_value storage = next();
    const DType type = dtype();
    if (is_absent(storage)) return {};
    const DeviceBuffer* buffer = DeviceBuffer::of(env_, storage);
    if (buffer == nullptr) throw std::invalid_argument("expected memory of a device, but got something else");
    keep(Environment::of(env_).context, *buffer);
    return {buffer->data(), buffer->bytes() / dtype_bytes(type), type};
  }

  bool is_absent(napi_value storage) {
    napi_valuetype type;
    check(napi_typeof(env_, storage, &type), "napi_typeof");
    return type == napi_null || type == napi_undefined;
  }

  // A struct of 64-bit integers (ConvGeometry, ...), or of doubles where it says so, from a Float64Array with one number a field.
  template <class T>
  T record() {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(int64_t) == 0);
    constexpr std::size_t kFields = sizeof(T) / sizeof(int64_t);
    napi_typedarray_type element;
    std::size_t length = 0;
    void* data = nullptr;
    check(napi_get_typedarray_info(env_, next(), &element, &length, &data, nullptr, nullptr), "reading a record");
    if (element != napi_float64_array || length != kFields) throw std::invalid_argument("a record has the wrong number of fields");
    typename FieldType<T>::type fields[kFields];
    for (std::size_t i = 0; i < kFields; ++i) fields[i] = static_cast<typename FieldType<T>::type>(static_cast<const double*>(data)[i]);
    return __builtin_bit_cast(T, fields);
  }

  static int64_t element_bytes(napi_typedarray_type type) {
    switch (type) {
      case napi_int16_array:
      case napi_uint16_array: return 2;
      case napi_int32_array:
      case napi_uint32_array:
      case napi_float32_array: return 4;
      case napi_float64_array:
      case napi_bigint64_array:
      case napi_biguint64_array: return 8;
      default: return 1;
    }
  }

  napi_env env_;
  std::size_t count_ = 0;
  std::size_t next_ = 0;
  napi_value values_[kMost];
};

}  // namespace partialconv
