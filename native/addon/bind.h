// An op's C++ signature -> a synchronous and an asynchronous N-API function, and the one exception guard.
#pragma once

#include <exception>
#include <functional>
#include <new>
#include <tuple>
#include <type_traits>

#include "../failure.h"
#include "arguments.h"
#include "environment.h"

namespace partialconv {

// A BackendError for JavaScript, for whatever escapes an op: TypeScript has checked all that a user can get wrong. A library's failure
// carries the call's name and its status.
inline napi_value backend_error(napi_env env, const char* message, const Failure* failure = nullptr) {
  napi_value arguments[3], error;
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[0]);
  if (failure != nullptr) {
    napi_create_string_utf8(env, failure->call.c_str(), failure->call.size(), &arguments[1]);
    napi_create_int32(env, failure->status, &arguments[2]);
  }
  const Napi::FunctionReference& type = Environment::of(env).backend_error;
  if (!type.IsEmpty() && napi_new_instance(env, type.Value(), failure != nullptr ? 3 : 1, arguments, &error) == napi_ok) return error;
  napi_create_error(env, nullptr, arguments[0], &error);
  return error;
}

inline napi_value backend_error(napi_env env, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    return backend_error(env, "out of memory");
  } catch (const Failure& e) {
    return backend_error(env, e.what(), &e);
  } catch (const std::exception& e) {
    return backend_error(env, e.what());
  } catch (...) {
    return backend_error(env, "unknown exception");
  }
}

template <class F>
napi_value guarded(napi_env env, F&& body) {
  try {
    return body();
  } catch (...) {
    napi_throw(env, backend_error(env, std::current_exception()));
  }
  return nullptr;
}

// What is left to do on the queue's thread of an op that ends off the event loop. On the CPU all of it; a GPU's stream has the op at
// once, in the order of the calls, and its end is waited for.
template <class C, class F>
std::function<void()> start(C& context, F run) {
  if constexpr (kHostMemory) {
    return [run, &context]() mutable { run(context); };
  } else {
    run(context);
    return context.completion();
  }
}

// A promise for a job whose operands, those arguments that are objects, stay referenced until it settles.
inline napi_value promise_of(napi_env env, const Arguments& arguments, std::function<void()> work) {
  AsyncJob job;
  job.work = std::move(work);
  for (std::size_t i = 0; i < arguments.consumed(); ++i) {
    napi_valuetype type;
    napi_ref reference;
    if (napi_typeof(env, arguments.at(i), &type) != napi_ok || type != napi_object) continue;
    if (napi_create_reference(env, arguments.at(i), 1, &reference) == napi_ok) job.operands.push_back(reference);
  }
  napi_value promise;
  check(napi_create_promise(env, &job.deferred, &promise), "napi_create_promise");
  Environment::of(env).queue.push(std::move(job));
  return promise;
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

  // The same arguments; returns a promise.
  static napi_value call_async(napi_env env, napi_callback_info info) {
    return guarded(env, [&]() -> napi_value {
      Arguments arguments(env, info);
      Values values{arguments.read<std::decay_t<A>>()...};
      const auto run = [values](Context& context) mutable { std::apply([&](auto&... value) { Op(context, value...); }, values); };
      return promise_of(env, arguments, start(Environment::of(env).context, run));
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
