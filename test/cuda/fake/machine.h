// The fake's machine: streams, events and graphs as CUDA's handles point to them, and the addresses of device memory.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

using Work = std::vector<std::function<void()>>;

struct CUstream_st : std::enable_shared_from_this<CUstream_st> {
  int device = 0;
  std::deque<std::function<void()>> waiting;
  int64_t given = 0, done = 0, now = 0;
  int error = 0;
  std::shared_ptr<Work> captured;  // null: it is not captured
  bool invalid = false;            // the capture
};

struct CUevent_st {
  int device = 0;
  std::shared_ptr<CUstream_st> stream;
  int64_t until = 0;
  std::shared_ptr<int64_t> time;  // of a timer: when the stream was there
};

struct CUgraphExec_st {
  int device = 0;
  std::shared_ptr<const Work> work;
};

namespace fake {

constexpr std::size_t kAddresses = std::size_t{1} << 33;
constexpr int kInvalidHandle = 400;

extern std::recursive_mutex mutex;
extern thread_local CUstream_st* capturing;  // what the calling thread captures

// The device's addresses.
struct Arena {
  unsigned char* base = nullptr;
  std::size_t top = 0;
  int open = 0;
  std::map<std::size_t, std::vector<void*>> free;
  struct Block {
    std::size_t size;
    int device;
  };
  std::map<void*, Block> blocks;

  void* take(std::size_t bytes, int device) {
    const std::size_t size = (bytes + 511) / 512 * 512;
    if (base == nullptr) {
      void* range = mmap(nullptr, kAddresses, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) return nullptr;
      base = static_cast<unsigned char*>(range);
    }
    std::vector<void*>& old = free[size];
    void* data = nullptr;
    if (!old.empty()) {
      data = old.back();
      old.pop_back();
    } else if (top + size <= kAddresses) {
      data = base + top;
      top += size;
      if (open > 0) protect(PROT_READ | PROT_WRITE);
    }
    if (data != nullptr) blocks[data] = {size, device};
    return data;
  }

  void protect(int access) {
    const std::size_t pages = (top + 4095) / 4096 * 4096;
    if (pages > 0 && mprotect(base, pages, access) != 0) std::abort();
  }
};

Arena& arena();

// While it lives, device memory can be touched.
struct Access {
  Access() {
    if (arena().open++ == 0) arena().protect(PROT_READ | PROT_WRITE);
  }
  ~Access() {
    if (--arena().open == 0) arena().protect(PROT_NONE);
  }
};

void refuse_in_capture(CUstream_st* captured, const char* call);

// The n-th call from now on of those that can fail does (0: none), of CUDA's runtime or of cuDNN.
extern int64_t fail_call;
bool call_fails();
void may_fail(const char* call);  // throws Failure

// What calls made and none has destroyed yet: pools, streams, events and pinned memory; cuDNN's descriptors.
extern std::atomic<int64_t> made, descriptors;

}  // namespace fake
