// The module's exports, made for one environment.
#pragma once

#include <napi.h>

namespace partialconv {

Napi::Object init(Napi::Env env, Napi::Object exports);

}  // namespace partialconv
