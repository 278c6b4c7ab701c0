// The body of native/cuda/runtime.h on host memory, long as all of a runtime is in it: a queue a stream, a counter an event. Device
// memory is one range of addresses that only running work can touch; fresh memory is poisoned.
#include "cuda/runtime.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/architectures.h"
#include "cuda/launch.h"
#include "failure.h"
#include "machine.h"

namespace fake {

std::recursive_mutex mutex;
thread_local CUstream_st* capturing = nullptr;
int64_t fail_call = 0;
std::atomic<int64_t> made{0}, descriptors{0};

namespace {

constexpr int kMultiprocessors = 4;
constexpr int kMisaligned = 716;  // cudaErrorMisalignedAddress
constexpr std::size_t kPoisoned = std::size_t{1} << 18;  // of a block, at most: pages that were touched cost time at every access
constexpr std::size_t kLongestQueue = 512;


CUstream_st* running = nullptr;                                // whose work runs
std::map<const char*, int64_t> by_kernel;                      // names are literals: one for each kernel
std::map<CUstream_st*, std::shared_ptr<CUstream_st>> streams;  // events may keep one longer
thread_local int current = 0;                                  // the GPU of the calling thread

void run_until(CUstream_st& stream, int64_t until) {
  if (stream.done >= until) return;
  const Access access;
  while (stream.done < until) {
    const std::function<void()> work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    ++stream.done;
    running = &stream;
    work();
    State& s = state();
    if (s.fail_late > 0 && --s.fail_late == 0) stream.error = 719;
  }
}

// Tells an error of what has run, once.
void report(CUstream_st& stream, const char* call) {
  if (stream.error == 0) return;
  const int error = stream.error;
  stream.error = 0;
  throw partialconv::Failure(call, error, "the fake's work failed");
}

}  // namespace

Arena& arena() {
  static Arena all;
  return all;
}

State& state() {
  static State all;
  return all;
}

bool call_fails() {
  const std::lock_guard lock(mutex);
  return fail_call > 0 && --fail_call == 0;
}

void may_fail(const char* call) {
  if (call_fails()) throw partialconv::Failure(call, 999, "the fake says so");
}

int64_t& waits() {
  static thread_local int64_t count = 0;
  return count;
}

int count_launch(unsigned blocks, CUstream_st* stream, int64_t n, const char* kernel) {
  const std::lock_guard lock(mutex);
  State& s = state();
  if (stream != nullptr && stream->device != current) return kInvalidHandle;
  if (stream == nullptr || stream->captured == nullptr) {
    ++s.launches;
    s.threads += n;
    ++by_kernel[kernel];
  }
  if (call_fails()) return 719;
  if (s.fail_launch > 0 && --s.fail_launch == 0) return s.no_code != 0 ? partialconv::cuda::kNoKernelImage : 719;
  // A thread for each element, as far as four waves of resident blocks have them; no block without work.
  const int64_t needed = (n + partialconv::cuda::kBlockSize - 1) / partialconv::cuda::kBlockSize;
  const int64_t most = int64_t{kMultiprocessors} * 2048 / partialconv::cuda::kBlockSize * 4;
  return stream == nullptr || n < 1 || static_cast<int64_t>(blocks) != std::min(needed, most) ? 9 : 0;
}

void count_plan(bool restored) {
  const std::lock_guard lock(mutex);
  ++(restored ? state().restored : state().plans);
}

int64_t launches_of(const char* text) {
  const std::lock_guard lock(mutex);
  int64_t sum = 0;
  for (const auto& [kernel, count] : by_kernel) {
    if (std::strstr(kernel, text) != nullptr) sum += count;
  }
  return sum;
}

void pass(int64_t nanoseconds) { running->now += nanoseconds; }

void enqueue(CUstream_st* stream, std::function<void()> work) {
  const std::lock_guard lock(mutex);
  if (stream->captured != nullptr) {
    ++state().captured;
    stream->captured->push_back(std::move(work));
    return;
  }
  stream->waiting.push_back(std::move(work));
  ++stream->given;
  if (stream->waiting.size() > kLongestQueue) run_until(*stream, stream->given);
}

void enqueue_launch(CUstream_st* stream, int64_t n, void (*run)(int64_t, const void*), const void* functor, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(functor);
  auto copy = std::make_shared<std::vector<std::max_align_t>>((size + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
  std::memcpy(copy->data(), bytes, size);
  enqueue(stream, [=] {
    try {
      run(n, copy->data());
    } catch (const Misaligned&) {
      running->error = kMisaligned;
    }
    pass(state().launch_time);
  });
}

}  // namespace fake

namespace partialconv::cuda {

using fake::mutex;

const Presence& presence() {
  static thread_local Presence found;
  const int devices = static_cast<int>(fake::state().devices);
  found = {devices, 13000, 13000, devices > 0 ? "" : "the fake has no device"};
  return found;
}

DeviceFacts device_facts(int) {
  fake::may_fail("cudaGetDeviceProperties");
  return {"fake", 9, 0, fake::kMultiprocessors, static_cast<std::size_t>(fake::state().memory)};
}
void use_device(int device) {
  fake::may_fail("cudaSetDevice");
  fake::current = device;
}
std::size_t free_memory() {
  fake::may_fail("cudaMemGetInfo");
  return static_cast<std::size_t>(fake::state().memory - fake::state().used);
}

Stream create_stream() {
  fake::may_fail("cudaStreamCreateWithFlags");
  const auto stream = std::make_shared<CUstream_st>();
  stream->device = fake::current;
  const std::lock_guard lock(mutex);
  fake::streams[stream.get()] = stream;
  ++fake::made;
  return stream.get();
}

void destroy_stream(Stream stream) {
  const std::lock_guard lock(mutex);
  fake::run_until(*stream, stream->given);
  fake::streams.erase(stream);
  --fake::made;
  fake::may_fail("cudaStreamDestroy");
}

void synchronize(Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaStreamSynchronize");
  fake::may_fail("cudaStreamSynchronize");
  ++fake::waits();
  fake::run_until(*stream, stream->given);
  fake::report(*stream, "cudaStreamSynchronize");
}

// The address of a pool tells its GPU.
char pools[8];
Pool create_pool(int device) {
  fake::may_fail("cudaMemPoolCreate");
  ++fake::made;
  return reinterpret_cast<Pool>(pools + device);
}
void destroy_pool(Pool) {
  --fake::made;
  fake::may_fail("cudaMemPoolDestroy");
}
void trim_pool(Pool) { fake::may_fail("cudaMemPoolTrimTo"); }

// CUDA would make a memory node of an allocation on the captured stream; none of ours may become one.
void* allocate(Pool pool, std::size_t bytes, Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaMallocFromPoolAsync");
  fake::may_fail("cudaMallocFromPoolAsync");
  fake::State& s = fake::state();
  ++s.allocations;
  if (s.used + static_cast<int64_t>(bytes) > s.memory) return nullptr;
  void* data = fake::arena().take(bytes, static_cast<int>(reinterpret_cast<char*>(pool) - pools));
  if (data == nullptr) return nullptr;
  fake::enqueue(stream, [=] { std::memset(data, 0xff, std::min(bytes, fake::kPoisoned)); });
  s.used += static_cast<int64_t>(bytes);
  return data;
}

void release(void* data, Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaFreeAsync");
  fake::Arena& arena = fake::arena();
  const auto found = arena.blocks.find(data);
  if (found == arena.blocks.end()) throw Failure("cudaFreeAsync", 1, "not a device pointer");
  const std::size_t size = found->second.size;
  arena.blocks.erase(found);
  fake::state().used -= static_cast<int64_t>(size);
  fake::enqueue(stream, [=, &arena] {
    std::memset(data, 0xff, std::min(size, fake::kPoisoned));
    arena.free[size].push_back(data);
  });
  fake::may_fail("cudaFreeAsync");  // as one does that tells of earlier work
}

void copy_to_device(void* to, const void* pinned, std::size_t bytes, Stream stream) {
  fake::refuse_in_capture(stream, "cudaMemcpyAsync");
  fake::may_fail("cudaMemcpyAsync");
  ++fake::state().uploads;
  fake::enqueue(stream, [=] {
    if (bytes > 0) std::memcpy(to, pinned, bytes);
  });
}

void copy_to_host(void* host, const void* from, std::size_t bytes, Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaMemcpyAsync");
  fake::may_fail("cudaMemcpyAsync");
  ++fake::state().downloads;
  synchronize(stream);
  const fake::Access access;
  if (bytes > 0) std::memcpy(host, from, bytes);
}

void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) {
  fake::may_fail("cudaMemcpyAsync");
  fake::enqueue(stream, [=] { std::memmove(to, from, bytes); });
}

void copy_between(void* to, int to_device, const void* from, int from_device, std::size_t bytes, Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaMemcpyPeerAsync");
  const auto is_of = [](const void* data, int device) {
    const auto found = fake::arena().blocks.find(const_cast<void*>(data));
    return found != fake::arena().blocks.end() && found->second.device == device;
  };
  const bool known = stream->device == to_device || stream->device == from_device;
  if (!known || !is_of(to, to_device) || !is_of(from, from_device)) throw Failure("cudaMemcpyPeerAsync", 1, "memory of another GPU");
  ++fake::state().peer_copies;
  copy_on_device(to, from, bytes, stream);
}

void set_bytes(void* to, int value, std::size_t bytes, Stream stream) {
  fake::may_fail("cudaMemsetAsync");
  fake::enqueue(stream, [=] { std::memset(to, value, bytes); });
}

void* allocate_pinned(std::size_t bytes) {
  fake::refuse_in_capture(fake::capturing, "cudaHostAlloc");
  fake::may_fail("cudaHostAlloc");
  ++fake::made;
  return std::malloc(bytes);
}
void release_pinned(void* data) {
  fake::refuse_in_capture(fake::capturing, "cudaFreeHost");
  std::free(data);
  --fake::made;
  fake::may_fail("cudaFreeHost");
}
void copy_to_pinned(void* pinned, const void* from, std::size_t bytes, Stream stream) {
  ++fake::state().downloads;
  copy_on_device(pinned, from, bytes, stream);
}

Event create_event() {
  fake::may_fail("cudaEventCreateWithFlags");
  ++fake::made;
  return new CUevent_st{fake::current, nullptr, 0, nullptr};
}
Event create_timer() {
  const Event event = create_event();
  event->time = std::make_shared<int64_t>(0);
  return event;
}
void destroy_event(Event event) {
  delete event;
  --fake::made;
  fake::may_fail("cudaEventDestroy");
}

double milliseconds_between(Event from, Event to) {
  wait(to);
  return static_cast<double>(*to->time - *from->time) * 1e-6;
}

// In a capture, CUDA would make the event part of it; ours are waited for by others.
void record(Event event, Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaEventRecord");
  fake::may_fail("cudaEventRecord");
  if (event->device != stream->device) throw Failure("cudaEventRecord", fake::kInvalidHandle, "an event of another GPU");
  if (event->time != nullptr) fake::enqueue(stream, [time = event->time, stream] { *time = stream->now; });
  event->stream = stream->shared_from_this(), event->until = stream->given;
}

bool done(Event event) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(fake::capturing, "cudaEventQuery");
  return event->stream == nullptr || event->stream->done >= event->until;
}

void wait(Event event) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(fake::capturing, "cudaEventSynchronize");
  fake::may_fail("cudaEventSynchronize");
  ++fake::waits();
  fake::run_until(*event->stream, event->until);
  fake::report(*event->stream, "cudaEventSynchronize");
}

void wait_on(Stream stream, Event event) {
  const std::lock_guard lock(mutex);
  fake::may_fail("cudaStreamWaitEvent");
  fake::enqueue(stream, [other = event->stream, until = event->until] { fake::run_until(*other, until); });
}

void check_launch(int status) {
  if (status != 0) throw Failure("cudaLaunchKernel", status, "the fake says so" + advice_on(status, fake::current));
}

}  // namespace partialconv::cuda
