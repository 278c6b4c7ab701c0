// What the memory of a GPU would move for the vectors that kernels read and write.
#include <cstdint>
#include <set>
#include <vector>

#include "fake.h"

namespace fake {
namespace {

constexpr std::uintptr_t kSector = 32;  // bytes that memory moves at once

thread_local std::vector<std::set<std::uintptr_t>> sectors;  // of the warp's first accesses, of its second ones, ...

}  // namespace

thread_local std::size_t Warps::access = 0;

void Warps::end_warp() {
  for (const auto& together : sectors) state().sector_bytes += static_cast<int64_t>(together.size() * kSector);
  sectors.clear();
}

void check_vector(const void* data, std::size_t alignment, std::size_t bytes) {
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(data);
  ++state().vectors;
  if (first % alignment != 0) throw Misaligned();
  if (state().traced == 0) return;
  state().bytes += static_cast<int64_t>(bytes);
  // A long vector is several accesses, one after the other, of which the first brings the sectors.
  if (sectors.size() == Warps::access) sectors.emplace_back();
  auto& together = sectors[Warps::access++];
  for (std::uintptr_t sector = first / kSector; sector <= (first + bytes - 1) / kSector; ++sector) together.insert(sector);
}

}  // namespace fake
