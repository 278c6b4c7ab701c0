// An op's C++ signature -> a synchronous and an asynchronous N-API function, and the one exception guard.
#pragma once

#include <exception>
#include <new>
#include <tuple>
#include <type_traits>

#include "arguments.h"
#include "environment.h"

namespace partialconv {

// A BackendError for JavaScript: thrown for whatever escapes an op. TypeScript has checked all a user can get wrong.
inline napi_value backend_error(napi_env env, const char* message) {
  napi_value text, error;
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
  const Napi::FunctionReference& type = Environment::of(env).backend_error;
  if (!type.IsEmpty() && napi_new_instance(env, type.Value(), 1, &text, &error) == napi_ok) return error;
  napi_create_error(env, nullptr, text, &error);
  return error;
}

template <class F>
napi_value guarded(napi_env env, F&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    napi_throw(env, backend_error(env, "out of memory"));
  } catch (const std::exception& e) {
    napi_throw(env, backend_error(env, e.what()));
  } catch (...) {
    napi_throw(env, backend_error(env, "unknown exception"));
  }
  return nullptr;
}

template <auto Op>
struct Bound;

template <class... A, void (*Op)(Context&, A...)>
struct Bound<Op> {
  using Values = std::tuple<std::decay_t<A>...>;

  static napi_value call(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      Values values{arguments.read<std::decay_t<A>>()...};  // braces: read from left to right
      std::apply([&](auto&... value) { Op(Environment::of(env).context, value...); }, values);
      return nullptr;
    });
  }

  // The same arguments; returns a promise. The operands stay referenced until it settles.
  static napi_value call_async(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      Values values{arguments.read<std::decay_t<A>>()...};
      Environment& environment = Environment::of(env);
      AsyncJob job;
      for (std::size_t i = 0; i < arguments.consumed(); ++i) {
        napi_valuetype type;
        napi_ref reference;
        if (napi_typeof(env, arguments.at(i), &type) != napi_ok || type != napi_object) continue;
        if (napi_create_reference(env, arguments.at(i), 1, &reference) == napi_ok) job.operands.push_back(reference);
      }
      job.work = [values, context = &environment.context]() mutable {
        std::apply([&](auto&... value) { Op(*context, value...); }, values);
      };
      napi_value promise;
      check(napi_create_promise(env, &job.deferred, &promise), "napi_create_promise");
      environment.queue.push(std::move(job));
      return promise;
    });
  }
};

// Exports Op as `name`, and as `nameAsync` where asked.
template <auto Op>
void bind(Napi::Object& exports, const char* name, bool async = false) {
  const napi_env env = exports.Env();
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, Bound<Op>::call, nullptr, &function);
  exports.Set(name, Napi::Value(env, function));
  if (!async) return;
  const std::string async_name = std::string(name) + "Async";
  napi_create_function(env, async_name.c_str(), NAPI_AUTO_LENGTH, Bound<Op>::call_async, nullptr, &function);
  exports.Set(async_name, Napi::Value(env, function));
}

}  // namespace partialconv
