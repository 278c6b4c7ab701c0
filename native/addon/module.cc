// The module's registration with Node.
#include "addon.h"

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return partialconv::init(env, exports); }

NODE_API_MODULE(partialconv, init_addon)
