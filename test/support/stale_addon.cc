// An addon that tells another ABI number than ts/native.ts expects. For process.test.ts.
#include <node_api.h>

extern "C" NAPI_MODULE_EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value abi;
  napi_create_int32(env, 0, &abi);
  napi_set_named_property(env, exports, "abi", abi);
  return exports;
}
