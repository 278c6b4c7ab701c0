// The CUDA addon on the fake: the real one's exports, and beside them what the fake counts and which failures it injects.
#include "addon/addon.h"

#include "fake.h"
#include "machine.h"

namespace {

int64_t* field(const std::string& name) {
  fake::State& s = fake::state();
  const std::pair<const char*, int64_t*> fields[] = {
      {"devices", &s.devices},
      {"memory", &s.memory},
      {"used", &s.used},
      {"launches", &s.launches},
      {"threads", &s.threads},
      {"vectors", &s.vectors},
      {"allocations", &s.allocations},
      {"executions", &s.executions},
      {"plans", &s.plans},
      {"restored", &s.restored},
      {"fused", &s.fused},
      {"refuseFused", &s.refuse_fused},
      {"compileTime", &s.compile_time},
      {"uploads", &s.uploads},
      {"downloads", &s.downloads},
      {"peerCopies", &s.peer_copies},
      {"captured", &s.captured},
      {"graphs", &s.graphs},
      {"graphLaunches", &s.graph_launches},
      {"waits", &fake::waits()},
      {"lastEngine", &fake::last_engine()},
      {"failCall", &fake::fail_call},
      {"failLaunch", &s.fail_launch},
      {"noCode", &s.no_code},
      {"failExecute", &s.fail_execute},
      {"failGraph", &s.fail_graph},
      {"failLate", &s.fail_late},
      {"engines", &s.engines},
      {"wrongEngines", &s.wrong_engines},
      {"fastEngine", &s.fast_engine},
      {"plainTime", &s.plain_time},
      {"fusedTime", &s.fused_time},
      {"launchTime", &s.launch_time},
  };
  for (const auto& [known, value] : fields) {
    if (name == known) return value;
  }
  throw std::invalid_argument("the fake has no " + name);
}

Napi::Value get(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(*field(info[0].As<Napi::String>())));
}

Napi::Value set(const Napi::CallbackInfo& info) {
  *field(info[0].As<Napi::String>()) = info[1].As<Napi::Number>().Int64Value();
  return info.Env().Undefined();
}

Napi::Value launches_of(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(fake::launches_of(info[0].As<Napi::String>().Utf8Value().c_str())));
}

Napi::Object init_fake(Napi::Env env, Napi::Object exports) {
  Napi::Object fake = Napi::Object::New(env);
  fake.Set("get", Napi::Function::New(env, get, "get"));
  fake.Set("set", Napi::Function::New(env, set, "set"));
  fake.Set("launchesOf", Napi::Function::New(env, launches_of, "launchesOf"));
  exports.Set("fake", fake);
  return partialconv::init(env, exports);
}

}  // namespace

NODE_API_MODULE(partialconv_fake, init_fake)
