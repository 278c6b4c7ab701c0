// Everything that belongs to one Node environment (main thread or worker), held as instance data. Members are destroyed in reverse.
#pragma once

#include <napi.h>

#include "../device.h"
#include "async_queue.h"

namespace partialconv {

class Environment {
 public:
  explicit Environment(napi_env env) : queue(env) {}
  ~Environment() = default;

  static Environment& of(napi_env env) {
    void* data = nullptr;
    napi_get_instance_data(env, &data);
    return *static_cast<Environment*>(data);
  }

  Context context;
  AsyncQueue queue;
  Napi::FunctionReference backend_error;  // the class BackendError of ts/errors.ts
};

}  // namespace partialconv
