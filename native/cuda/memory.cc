// Size classes above the stream-ordered pool. The pool keeps what it has; the classes save even its calls.
#include "memory.h"

#include <bit>
#include <utility>

#include "../failure.h"
#include "graph_capture.h"
#include "quietly.h"

namespace partialconv::cuda {
namespace {

constexpr std::size_t kMostPinned = std::size_t{256} << 20;  // pinned memory that is kept for the next copy

}  // namespace

std::size_t size_class(std::size_t bytes) {
  constexpr std::size_t kUnit = 512;
  if (bytes <= 8 * kUnit) return bytes == 0 ? kUnit : (bytes + kUnit - 1) / kUnit * kUnit;
  const std::size_t step = std::bit_floor(bytes - 1) / 8;  // eight classes to a power of two
  return (bytes + step - 1) / step * step;
}

Memory::Memory(int device) : device_(device), facts_(device_facts(device)) {
  use_device(device);
  pool_ = create_pool(device);
  try {
    stream_ = create_stream();
  } catch (...) {
    quietly([&] { destroy_pool(pool_); });
    throw;
  }
}

Memory::~Memory() {
  // At the process's end the driver may be gone already; and a late error of some work keeps nothing from being given back.
  quietly([&] { use_device(device_); });
  for (const auto& [size, blocks] : free_) {
    for (void* data : blocks) quietly([&] { cuda::release(data, stream_); });
  }
  quietly([&] { synchronize(stream_); });
  uploads_.finish();
  for (const auto& [size, blocks] : free_pinned_) {
    for (void* data : blocks) quietly([&] { release_pinned(data); });
  }
  quietly([&] { destroy_stream(stream_); });
  quietly([&] { destroy_pool(pool_); });
}

void* Memory::take(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  if (arena_) {
    if (void* data = arena_->reuse(size)) return data;
  }
  std::vector<void*>& blocks = free_[size];
  void* data = nullptr;
  if (!blocks.empty()) {
    data = blocks.back();
    blocks.pop_back();
    cached_ -= size;
  } else {
    data = fresh(size);
  }
  if (data == nullptr) {
    throw Failure("cudaMallocFromPoolAsync", 2,
                  "out of memory on cuda:" + std::to_string(device_) + ": " + std::to_string(bytes) + " bytes asked, " +
                      std::to_string(free_memory()) + " free, " + std::to_string(in_use_) + " in use here");
  }
  in_use_ += size;
  if (arena_) arena_->add(data, size);
  return data;
}

// Null where there is none.
void* Memory::fresh(std::size_t size) {
  use_device(device_);
  if (arena_) {
    if (beside_ == nullptr) beside_ = create_stream();
    return allocate(pool_, size, beside_);
  }
  if (void* data = allocate(pool_, size, stream_)) return data;
  empty_cache();
  synchronize(stream_);
  trim_pool(pool_);
  return allocate(pool_, size, stream_);
}

void Memory::give_back(void* data, std::size_t bytes) noexcept {
  const std::size_t size = size_class(bytes);
  std::lock_guard lock(mutex_);
  if (arena_ && arena_->give_back(data)) return;
  in_use_ -= size;
  try {
    free_[size].push_back(data);
    cached_ += size;
  } catch (...) {  // no host memory for the list: the block is lost until the pool goes
  }
}

std::shared_ptr<void> Memory::share(std::size_t bytes) {
  void* data = take(bytes);
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Arena> arena = arena_;
  lock.unlock();
  if (arena) return {data, [arena](void* block) { arena->give_back(block); }};
  return {data, [self = shared_from_this(), bytes](void* block) { self->give_back(block, bytes); }};
}

void Memory::begin_arena(std::shared_ptr<Arena> arena) {
  std::lock_guard lock(mutex_);
  arena_ = std::move(arena);
}

void Memory::end_arena() {
  std::shared_ptr<Arena> arena;  // goes after the lock
  Stream beside = nullptr;
  {
    std::lock_guard lock(mutex_);
    std::swap(arena, arena_);
    std::swap(beside, beside_);
  }
  if (beside == nullptr) return;
  try {
    synchronize(beside);  // what it gave is there for the stream from now on
  } catch (...) {
    quietly([&] { destroy_stream(beside); });
    throw;
  }
  destroy_stream(beside);
}

void* Memory::take_pinned(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  {
    std::lock_guard lock(mutex_);
    std::vector<void*>& blocks = free_pinned_[size];
    if (!blocks.empty()) {
      void* data = blocks.back();
      blocks.pop_back();
      cached_pinned_ -= size;
      return data;
    }
  }
  return allocate_pinned(size);
}

void Memory::give_back_pinned(void* data, std::size_t bytes) noexcept {
  const std::size_t size = size_class(bytes);
  try {
    {
      std::lock_guard lock(mutex_);
      if (cached_pinned_ + size <= kMostPinned) {
        free_pinned_[size].push_back(data);
        cached_pinned_ += size;
        return;
      }
    }
    release_pinned(data);
  } catch (...) {  // the block is lost until the process ends
  }
}

std::size_t Memory::in_use() const {
  std::lock_guard lock(mutex_);
  return in_use_;
}

std::size_t Memory::cached() const {
  std::lock_guard lock(mutex_);
  return cached_;
}

// A call that fails may have freed its block, and tell of earlier work: no block is given out or freed again.
void Memory::empty_cache() {
  for (auto& [size, blocks] : free_) {
    while (!blocks.empty()) {
      void* data = blocks.back();
      blocks.pop_back();
      cached_ -= size;
      cuda::release(data, stream_);
    }
  }
}

}  // namespace partialconv::cuda
