// The body of native/cuda/runtime.h on host memory. Fresh memory is poisoned; everything runs at once.
#include "cuda/runtime.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/failure.h"
#include "cuda/launch.h"

namespace fake {

State& state() {
  static State all;
  return all;
}

int count_launch(unsigned blocks, CUstream_st* stream, int64_t n) {
  State& s = state();
  ++s.launches;
  if (s.fail_launch > 0 && --s.fail_launch == 0) return 719;
  const int64_t needed = (n + partialconv::cuda::kBlockSize - 1) / partialconv::cuda::kBlockSize;
  return stream == nullptr || blocks < 1 || static_cast<int64_t>(blocks) > needed ? 9 : 0;
}

}  // namespace fake

namespace partialconv::cuda {
namespace {

std::mutex mutex;
std::map<void*, std::size_t> blocks;
char stream_place, pool_place, event_place;

}  // namespace

const Presence& presence() {
  static Presence found;
  found = {fake::state().devices, 13000, 13000, fake::state().devices > 0 ? "" : "the fake has no device"};
  return found;
}

DeviceFacts device_facts(int) { return {"fake", 9, 0, 4, fake::state().memory}; }
void use_device(int) {}
std::size_t free_memory() { return fake::state().memory - fake::state().used; }

Stream create_stream() { return reinterpret_cast<Stream>(&stream_place); }
void destroy_stream(Stream) {}
void synchronize(Stream) {}
Pool create_pool(int) { return reinterpret_cast<Pool>(&pool_place); }
void destroy_pool(Pool) {}
void trim_pool(Pool) {}

void* allocate(Pool, std::size_t bytes, Stream) {
  std::lock_guard lock(mutex);
  fake::State& s = fake::state();
  ++s.allocations;
  if (s.used + bytes > s.memory) return nullptr;
  void* data = std::aligned_alloc(512, (bytes + 511) / 512 * 512);
  std::memset(data, 0xff, bytes);
  blocks[data] = bytes;
  s.used += bytes;
  return data;
}

void release(void* data, Stream) {
  std::lock_guard lock(mutex);
  if (blocks.count(data) == 0) throw Failure("cudaFreeAsync", 1, "not a device pointer");
  fake::state().used -= blocks[data];
  blocks.erase(data);
  std::free(data);
}

void copy_to_device(void* to, const void* host, std::size_t bytes, Stream) { std::memcpy(to, host, bytes); }
void copy_to_host(void* host, const void* from, std::size_t bytes, Stream) { std::memcpy(host, from, bytes); }
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream) { std::memmove(to, from, bytes); }
void set_bytes(void* to, int value, std::size_t bytes, Stream) { std::memset(to, value, bytes); }

Event create_event() { return reinterpret_cast<Event>(&event_place); }
void destroy_event(Event) {}
void record(Event, Stream) {}
bool done(Event) { return true; }
void wait(Event) {}

void check_launch(int status) {
  if (status != 0) throw Failure("cudaLaunchKernel", status, "the fake says so");
}

}  // namespace partialconv::cuda
