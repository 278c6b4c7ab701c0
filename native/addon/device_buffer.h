// Device memory, or a captured graph with the memory that is its own, as a JavaScript object: dispose() frees it at once, the finalizer is
// a safety net. The collector is told its size, and told back exactly what it was told.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

#include <node_api.h>

namespace partialconv {

class DeviceBuffer {
 public:
  enum class Kind { kMemory, kGraph };

  // memory: device memory that lives as long as the pointer (device.h's Context::allocate), or a graph (Context::end_capture).
  // length: of the typed array with the same contents, which JavaScript sees.
  static napi_value make(napi_env env, std::shared_ptr<void> memory, int64_t bytes, int64_t length, int device, Kind kind = Kind::kMemory) {
    auto buffer = std::unique_ptr<DeviceBuffer>(new DeviceBuffer(std::move(memory), bytes, device, kind));
    napi_value object, function, size;
    require(napi_create_object(env, &object));
    require(napi_type_tag_object(env, object, &kTag));
    require(napi_create_function(env, "dispose", NAPI_AUTO_LENGTH, dispose, nullptr, &function));
    require(napi_set_named_property(env, object, "dispose", function));
    require(napi_create_int64(env, length, &size));
    require(napi_set_named_property(env, object, "length", size));
    require(napi_wrap(env, object, buffer.get(), finalize, nullptr, nullptr));
    buffer.release()->account(env, bytes);
    return object;
  }

  // The buffer of a JavaScript value, or null if that is something else.
  static DeviceBuffer* of(napi_env env, napi_value value) {
    bool tagged = false;
    void* data = nullptr;
    if (napi_check_object_type_tag(env, value, &kTag, &tagged) != napi_ok || !tagged) return nullptr;
    return napi_unwrap(env, value, &data) == napi_ok ? static_cast<DeviceBuffer*>(data) : nullptr;
  }

  void* data() const { return memory(Kind::kMemory).get(); }
  const std::shared_ptr<void>& memory(Kind kind = Kind::kMemory) const {
    if (!memory_) throw std::invalid_argument("the device buffer was disposed");
    if (kind != kind_) throw std::invalid_argument("expected memory of a device or a graph, but got the other");
    return memory_;
  }
  int64_t bytes() const { return bytes_; }
  int device() const { return device_; }

 private:
  // Marks the objects that make() made; random.
  static constexpr napi_type_tag kTag = {0x3f1d5a0c7be24c11, 0x9c0e64b1a8d7f253};

  DeviceBuffer(std::shared_ptr<void> memory, int64_t bytes, int device, Kind kind)
      : memory_(std::move(memory)), bytes_(bytes), device_(device), kind_(kind) {}

  static void require(napi_status status) {
    if (status != napi_ok) throw std::runtime_error("a device buffer's object could not be made");
  }

  // Back to the pool, in stream order. A second call does nothing.
  void free(napi_env env) {
    account(env, 0);
    memory_.reset();
  }

  void account(napi_env env, int64_t bytes) {
    int64_t total;
    if (bytes != accounted_) napi_adjust_external_memory(env, bytes - accounted_, &total);
    accounted_ = bytes;
  }

  static void finalize(napi_env env, void* data, void*) {
    const std::unique_ptr<DeviceBuffer> buffer(static_cast<DeviceBuffer*>(data));
    buffer->free(env);
  }

  static napi_value dispose(napi_env env, napi_callback_info info) {
    napi_value self;
    if (napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr) != napi_ok) return nullptr;
    if (DeviceBuffer* buffer = of(env, self)) buffer->free(env);
    else napi_throw_type_error(env, nullptr, "dispose: this is no device buffer");
    return nullptr;
  }

  std::shared_ptr<void> memory_;
  const int64_t bytes_;
  const int device_;
  const Kind kind_;
  int64_t accounted_ = 0;
};

}  // namespace partialconv
