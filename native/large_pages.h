// Large pages for large memory: it costs fewer page faults, and fewer misses of the address translation where a convolution reads many
// channels side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace partialconv {

// Asks for them, for the whole pages of a range that is not in use yet. Advice only: elsewhere than on Linux, and where the system has
// none to give, nothing happens.
inline void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kPage = 64 << 10;  // the largest page of the systems we run on
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / kPage * kPage;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

}  // namespace partialconv
