// What the module exports: one line an op. The two addons (CPU, CUDA) export the same names.
#include "addon.h"

#include "../conv.h"
#include "../device.h"
#include "../large_pages.h"
#include "bind.h"
#include "device_memory.h"

namespace partialconv {
namespace {

constexpr int kAbi = 6;  // raised whenever an exported name or argument changes; ts/native.ts refuses any other

Napi::Value set_error_class(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).backend_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value packed_size(const Napi::CallbackInfo& info) {
  Arguments arguments(info.Env(), static_cast<napi_callback_info>(info));
  const auto geometry = arguments.read<ConvGeometry>();
  return Napi::Number::New(info.Env(), static_cast<double>(packed_weight_size(geometry, arguments.read<Pass>())));
}

Napi::Value image_size(const Napi::CallbackInfo& info) {
  Arguments arguments(info.Env(), static_cast<napi_callback_info>(info));
  const auto shape = arguments.read<ImageShape>();
  return Napi::Number::New(info.Env(), static_cast<double>(channels_last_size(shape, arguments.read<DType>())));
}

Napi::Value formats(const Napi::CallbackInfo& info) {
  Arguments arguments(info.Env(), static_cast<napi_callback_info>(info));
  const auto geometry = arguments.read<ConvGeometry>();
  const auto pass = arguments.read<Pass>();
  return Napi::Number::New(info.Env(), static_cast<double>(conv_formats(geometry, pass, arguments.read<DType>())));
}

Napi::Value get_threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), thread_count()); }

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  set_thread_count(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value get_simd(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), simd_level()); }

Napi::Value set_simd(const Napi::CallbackInfo& info) {
  const std::string level = info[0].As<Napi::String>().Utf8Value();
  set_simd_level(level.c_str());
  return Napi::Boolean::New(info.Env(), level == simd_level());
}

Napi::Value set_tf32(const Napi::CallbackInfo& info) {
  set_allow_tf32(info[0].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

Napi::Value set_deterministic_mode(const Napi::CallbackInfo& info) {
  set_deterministic(info[0].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

Napi::Value set_tuning(const Napi::CallbackInfo& info) {
  set_autotune(info[0].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

// Frees a buffer's memory at once; whoever still holds the array sees length 0.
Napi::Value release(const Napi::CallbackInfo& info) {
  napi_detach_arraybuffer(info.Env(), info[0]);
  return info.Env().Undefined();
}

// For a buffer that was just made.
Napi::Value large_pages(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  prefer_large_pages(buffer.Data(), buffer.ByteLength());
  return info.Env().Undefined();
}

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment(env);
  napi_set_instance_data(
      env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr);

  exports.Set("abi", Napi::Number::New(env, kAbi));
  exports.Set("device", Napi::String::New(env, kDeviceName));
  exports.Set("setErrorClass", Napi::Function::New(env, set_error_class, "setErrorClass"));
  exports.Set("packedSize", Napi::Function::New(env, packed_size, "packedSize"));
  exports.Set("channelsLastSize", Napi::Function::New(env, image_size, "channelsLastSize"));
  exports.Set("convFormats", Napi::Function::New(env, formats, "convFormats"));
  exports.Set("getThreads", Napi::Function::New(env, get_threads, "getThreads"));
  exports.Set("setThreads", Napi::Function::New(env, set_threads, "setThreads"));
  exports.Set("getSimd", Napi::Function::New(env, get_simd, "getSimd"));
  exports.Set("setSimd", Napi::Function::New(env, set_simd, "setSimd"));
  exports.Set("setAllowTF32", Napi::Function::New(env, set_tf32, "setAllowTF32"));
  exports.Set("setDeterministic", Napi::Function::New(env, set_deterministic_mode, "setDeterministic"));
  exports.Set("setAutotune", Napi::Function::New(env, set_tuning, "setAutotune"));
  exports.Set("release", Napi::Function::New(env, release, "release"));
  exports.Set("preferLargePages", Napi::Function::New(env, large_pages, "preferLargePages"));
  export_device_memory(exports);

  bind<conv_pack_weight>(exports, "convPackWeight");
  bind<conv_forward>(exports, "convForward", true);
  bind<conv_backward_input>(exports, "convBackwardInput");
  bind<conv_backward_weight>(exports, "convBackwardWeight");
  bind<conv_output_gradient>(exports, "convOutputGradient");
  bind<conv_to_dense>(exports, "convToDense");
  bind<pad_axis>(exports, "padAxis");
  bind<pad_axis_backward>(exports, "padAxisBackward");
  bind<mask_ratio>(exports, "maskRatio", true);
  bind<mask_bits>(exports, "maskBits", true);
  bind<unary>(exports, "unary");
  bind<binary>(exports, "binary");
  bind<cast>(exports, "cast", true);
  bind<fill>(exports, "fill");
  bind<strided_copy>(exports, "stridedCopy", true);
  bind<reduce>(exports, "reduce");
  bind<loss>(exports, "loss");
  bind<loss_backward>(exports, "lossBackward");
  bind<sgd_step>(exports, "sgdStep");
  bind<adam_step>(exports, "adamStep");
  bind<unscale>(exports, "unscale");
  bind<sum_squares>(exports, "sumSquares");
  bind<norm_forward>(exports, "normForward");
  bind<norm_backward>(exports, "normBackward");
  bind<mask_apply>(exports, "maskApply");
  bind<prelu>(exports, "prelu");
  bind<prelu_backward>(exports, "preluBackward");
  bind<resize>(exports, "resize");
  bind<resize_backward>(exports, "resizeBackward");
  bind<random_seed>(exports, "randomSeed");
  bind<random_uniform>(exports, "randomUniform");
  bind<random_normal>(exports, "randomNormal");
  return exports;
}

}  // namespace partialconv
