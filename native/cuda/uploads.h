// Copies from host memory, through pinned memory: CUDA leaves open when memory that is not pinned may change again (api-sync-behavior of
// the runtime's documentation), and takes longer for it.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>

#include "runtime.h"

namespace partialconv::cuda {

class Memory;

class Uploads {
 public:
  explicit Uploads(Memory& memory) : memory_(memory) {}
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;

  // In the order of the memory's stream. When it returns, the host's memory may change.
  void copy(void* to, const void* host, std::size_t bytes);
  // Gives all pinned memory back; the stream is done with it.
  void finish() noexcept;

 private:
  struct Flight {
    void* pinned;
    std::size_t bytes;
    Event event;
  };

  void make_room(std::size_t bytes);
  void copy_piece(void* to, const void* host, std::size_t bytes);
  void land() noexcept;  // the first flight

  Memory& memory_;
  std::mutex mutex_;
  std::deque<Flight> flights_;  // in the order of the stream
  std::size_t in_flight_ = 0;   // bytes
};

}  // namespace partialconv::cuda
