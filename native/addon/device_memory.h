// The exports about devices: how many there are and why none, their names, which one the next ops run on; memory, copies, graphs.
// The CPU addon has them too, and says that it has no devices.
#pragma once

#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>

#include "bind.h"
#include "device_buffer.h"

namespace partialconv {

// A template, so that the CPU's Context need not have what only device memory asks for.
template <class C>
struct DeviceMemory {
  static napi_value text(napi_env env, const std::string& value) {
    napi_value result;
    napi_create_string_utf8(env, value.c_str(), value.size(), &result);
    return result;
  }

  [[noreturn]] static void refuse(const char* what) { throw std::invalid_argument(std::string("the CPU addon has no device ") + what); }

  static napi_value count(napi_env env, napi_callback_info) {
    napi_value result;
    int devices = 0;
    if constexpr (!kHostMemory) devices = C::device_count();
    napi_create_int32(env, devices, &result);
    return result;
  }

  // Why count() is 0.
  static napi_value absence(napi_env env, napi_callback_info) {
    if constexpr (kHostMemory) return text(env, "this is the CPU addon");
    else return text(env, C::device_absence());
  }

  // deviceName(device): string
  static napi_value name(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      const int device = Arguments(env, info).read<int>();
      if constexpr (kHostMemory) refuse("to name");
      else return text(env, C::device_name(device));
    });
  }

  // What the addon opens at run time: version and place, or why it cannot.
  static napi_value libraries(napi_env env, napi_callback_info) {
    if constexpr (kHostMemory) return text(env, "");
    else return text(env, C::libraries());
  }

  // selectDevice(device): where the next ops and allocations of this environment go.
  static napi_value select(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      const int device = Arguments(env, info).read<int>();
      if constexpr (kHostMemory) refuse("to select");
      else static_cast<C&>(Environment::of(env).context).select(device);
      return nullptr;
    });
  }

  // allocate(bytes, length): DeviceBuffer on the selected device, contents undefined.
  static napi_value allocate(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      const auto bytes = arguments.read<int64_t>(), length = arguments.read<int64_t>();
      if constexpr (kHostMemory) refuse("memory");
      else {
        C& context = Environment::of(env).context;
        return DeviceBuffer::make(env, context.allocate(static_cast<std::size_t>(bytes)), bytes, length, context.device());
      }
    });
  }

  // upload(array, dtype, buffer) and download(array, dtype, buffer): the whole array, at the buffer's start. A download waits.
  template <bool kUpload>
  static napi_value copy(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      const Copy copy(arguments);
      if constexpr (!kHostMemory) {
        C& context = Environment::of(env).context;
        if (kUpload) context.write(copy.device, copy.host, copy.bytes);
        else context.read(copy.host, copy.device, copy.bytes);
      }
      return nullptr;
    });
  }

  // copyBuffer(from, to): the start of `from`, on this GPU or another, fills `to`.
  static napi_value copy_buffer(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      const DeviceBuffer &from = arguments.device_buffer(), &to = arguments.device_buffer();
      if (from.bytes() < to.bytes()) throw std::invalid_argument("the source of a copy is smaller than what it has to fill");
      if constexpr (!kHostMemory) {
        C& context = Environment::of(env).context;
        keep(context, from);
        keep(context, to);
        context.copy(to.data(), to.device(), from.data(), from.device(), static_cast<std::size_t>(to.bytes()));
      }
      return nullptr;
    });
  }

  // beginCapture(), endCapture(): graph, abandonCapture(), launchGraph(graph), waitForPlans(): of the selected device.
  static napi_value begin_capture(napi_env env, napi_callback_info) {
    return guarded(env, [&]() -> napi_value {
      if constexpr (kHostMemory) refuse("graphs");
      else static_cast<C&>(Environment::of(env).context).begin_capture();
      return nullptr;
    });
  }

  static napi_value end_capture(napi_env env, napi_callback_info) {
    return guarded(env, [&]() -> napi_value {
      if constexpr (kHostMemory) refuse("graphs");
      else {
        C& context = Environment::of(env).context;
        const auto graph = context.end_capture();
        return DeviceBuffer::make(env, graph, static_cast<int64_t>(graph->bytes()), 0, graph->device(), DeviceBuffer::Kind::kGraph);
      }
    });
  }

  static napi_value abandon_capture(napi_env env, napi_callback_info) {
    return guarded(env, [&]() -> napi_value {
      if constexpr (!kHostMemory) static_cast<C&>(Environment::of(env).context).abandon_capture();
      return nullptr;
    });
  }

  static napi_value launch_graph(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      const DeviceBuffer& buffer = Arguments(env, info).device_buffer();
      if constexpr (kHostMemory) refuse("graphs");
      else {
        C& context = Environment::of(env).context;
        context.launch(buffer.memory(DeviceBuffer::Kind::kGraph));
      }
      return nullptr;
    });
  }

  static napi_value wait_for_plans(napi_env env, napi_callback_info) {
    return guarded(env, [&]() -> napi_value {
      if constexpr (!kHostMemory) static_cast<C&>(Environment::of(env).context).wait_for_plans();
      return nullptr;
    });
  }

  // stopPlans(): at the end of the process.
  static napi_value stop_plans(napi_env env, napi_callback_info) {
    return guarded(env, [&]() -> napi_value {
      if constexpr (!kHostMemory) C::stop_plans(true);
      return nullptr;
    });
  }

  // The last environment to go stops what compiles: its process may end next, or start another one.
  static void count_environment(napi_env env) {
    if constexpr (!kHostMemory) {
      ++environments;
      napi_add_env_cleanup_hook(
          env,
          [](void*) {
            if (--environments == 0) C::stop_plans(false);
          },
          nullptr);
    }
  }

  // downloadAsync: the contents as they are at the call; a promise.
  static napi_value download_async(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      const Copy copy(arguments);
      if constexpr (kHostMemory) refuse("memory");
      else return promise_of(env, arguments, static_cast<C&>(Environment::of(env).context).read_later(copy.host, copy.device, copy.bytes));
    });
  }

 private:
  inline static std::atomic<int> environments{0};

  struct Copy {
    void *host, *device;
    std::size_t bytes;

    explicit Copy(Arguments& arguments) {
      const Span array = arguments.host_span();
      const DeviceBuffer& buffer = arguments.device_buffer();
      const int64_t size = array.size * dtype_bytes(array.dtype);
      if (!array) throw std::invalid_argument("expected a typed array");
      if (size > buffer.bytes()) throw std::invalid_argument("the array is larger than the device's buffer");
      host = array.data, device = buffer.data(), bytes = static_cast<std::size_t>(size);
    }
  };
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
  add("deviceName", Memory::name);
  add("deviceLibraries", Memory::libraries);
  add("selectDevice", Memory::select);
  add("allocate", Memory::allocate);
  add("upload", Memory::copy<true>);
  add("download", Memory::copy<false>);
  add("downloadAsync", Memory::download_async);
  add("copyBuffer", Memory::copy_buffer);
  add("beginCapture", Memory::begin_capture);
  add("endCapture", Memory::end_capture);
  add("abandonCapture", Memory::abandon_capture);
  add("launchGraph", Memory::launch_graph);
  add("waitForPlans", Memory::wait_for_plans);
  add("stopPlans", Memory::stop_plans);
  Memory::count_environment(env);
}

}  // namespace partialconv
