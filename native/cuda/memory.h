// Device memory of one environment on one GPU: size classes above an own stream-ordered pool.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime.h"
#include "uploads.h"

namespace partialconv::cuda {

class Arena;

// What a request takes: a multiple of 512 bytes, above 4 KiB with at most an eighth of waste, so that freed blocks fit again.
std::size_t size_class(std::size_t bytes);

// The stream and the memory that are in its order: a block given back may be handed out again at once, because whatever uses it next
// runs on the same stream. May be called from several threads. Lives until the last block is given back.
class Memory : public std::enable_shared_from_this<Memory> {
 public:
  explicit Memory(int device);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  int device() const { return device_; }
  Stream stream() const { return stream_; }
  int multiprocessors() const { return facts_.multiprocessors; }
  const DeviceFacts& facts() const { return facts_; }

  // Throws Failure where there is none left, after giving back what is cached; all that is in use stays as it is.
  void* take(std::size_t bytes);
  void give_back(void* data, std::size_t bytes) noexcept;
  std::shared_ptr<void> share(std::size_t bytes);

  // From begin to end, blocks that are taken are the arena's (graph_capture.h), and none are freed: the stream is captured.
  void begin_arena(std::shared_ptr<Arena> arena);
  void end_arena();

  // Pinned host memory for one copy; what is given back is kept, up to a bound.
  void* take_pinned(std::size_t bytes);
  void give_back_pinned(void* data, std::size_t bytes) noexcept;

  // Copies from host memory, which may change when this returns, in the stream's order.
  void upload(void* to, const void* host, std::size_t bytes) { uploads_.copy(to, host, bytes); }

  std::size_t in_use() const;
  std::size_t cached() const;

 private:
  void* fresh(std::size_t size);
  void empty_cache();

  const int device_;
  const DeviceFacts facts_;
  Stream stream_ = nullptr;
  Pool pool_ = nullptr;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;  // by size class
  std::map<std::size_t, std::vector<void*>> free_pinned_;
  Uploads uploads_{*this};
  std::shared_ptr<Arena> arena_;  // null outside of a capture
  Stream beside_ = nullptr;       // of memory that a capture takes fresh
  std::size_t in_use_ = 0, cached_ = 0, cached_pinned_ = 0;
};

}  // namespace partialconv::cuda
