// The exports that make and copy device memory: deviceCount, deviceAbsence, allocate, upload, download. The CPU addon has them too, and
// says that it has no devices.
#pragma once

#include <stdexcept>
#include <string>

#include "bind.h"
#include "device_buffer.h"

namespace partialconv {

// A template, so that the CPU's Context need not have what only device memory asks for.
template <class C>
struct DeviceMemory {
  static napi_value count(napi_env env, napi_callback_info) {
    napi_value result;
    int devices = 0;
    if constexpr (!kHostMemory) devices = C::device_count();
    napi_create_int32(env, devices, &result);
    return result;
  }

  // Why count() is 0.
  static napi_value absence(napi_env env, napi_callback_info) {
    napi_value result;
    std::string text = "this is the CPU addon";
    if constexpr (!kHostMemory) text = C::device_absence();
    napi_create_string_utf8(env, text.c_str(), text.size(), &result);
    return result;
  }

  // allocate(device, bytes): DeviceBuffer. The device is then the one that this environment's ops run on.
  static napi_value allocate(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      const int device = arguments.read<int>();
      const int64_t bytes = arguments.read<int64_t>();
      if constexpr (kHostMemory) {
        throw std::invalid_argument("the CPU addon has no device " + std::to_string(device) + " to put " + std::to_string(bytes) +
                                    " bytes on");
      } else {
        C& context = Environment::of(env).context;
        context.select(device);
        return DeviceBuffer::make(env, context.allocate(static_cast<std::size_t>(bytes)), bytes);
      }
    });
  }

  // upload(array, dtype, buffer) and download(array, dtype, buffer): the whole array, at the buffer's start. A download waits.
  template <bool kUpload>
  static napi_value copy(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      const Span host = arguments.read<Span>();
      const DeviceBuffer* buffer = DeviceBuffer::of(env, arguments.at(2));
      if (!host || buffer == nullptr) throw std::invalid_argument("expected a typed array and a device buffer");
      const int64_t bytes = host.size * dtype_bytes(host.dtype);
      if (bytes > buffer->bytes()) throw std::invalid_argument("the array is larger than the device buffer");
      if constexpr (!kHostMemory) {
        C& context = Environment::of(env).context;
        if (kUpload) context.write(buffer->data(), host.data, static_cast<std::size_t>(bytes));
        else context.read(host.data, buffer->data(), static_cast<std::size_t>(bytes));
      }
      return nullptr;
    });
  }
};

inline void export_device_memory(Napi::Object& exports) {
  using Memory = DeviceMemory<Context>;
  const napi_env env = exports.Env();
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    exports.Set(name, Napi::Value(env, function));
  };
  add("deviceCount", Memory::count);
  add("deviceAbsence", Memory::absence);
  add("allocate", Memory::allocate);
  add("upload", Memory::copy<true>);
  add("download", Memory::copy<false>);
}

}  // namespace partialconv
