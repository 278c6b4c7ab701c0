// Chooses the instruction set.
#include "simd.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace partialconv {

#if defined(__x86_64__)
namespace avx512 {
extern const Engine& engine;
}
namespace avx2 {
extern const Engine& engine;
}
#endif
namespace baseline {
extern const Engine& engine;
}

namespace {

bool named(const char* level, const char* name) { return !level || std::strcmp(level, name) == 0; }

#if defined(__x86_64__)
bool has_f16c() {  // not a name that clang's __builtin_cpu_supports knows
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

// The engine of that name if this machine can run it; any name will do if level is null.
const Engine* find(const char* level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (has_avx512 && named(level, "avx512")) return &avx512::engine;
  if (has_avx2 && named(level, "avx2")) return &avx2::engine;
#endif
  return named(level, "baseline") ? &baseline::engine : nullptr;
}

const Engine* choose(const char* level) {
  const Engine* wanted = find(level);
  return wanted ? wanted : find(nullptr);
}

std::atomic<const Engine*>& current() {
  static std::atomic<const Engine*> chosen{choose(std::getenv("PARTIALCONV_SIMD"))};
  return chosen;
}

}  // namespace

const Engine& engine() { return *current().load(std::memory_order_relaxed); }
const char* simd_level() { return engine().level; }
void set_simd_level(const char* level) { current().store(choose(level), std::memory_order_relaxed); }

}  // namespace partialconv
