// The CPU as a device: a thread pool shared by every environment of the process, and per-thread scratch memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "../ops.h"
#include "simd.h"

#define HOST_DEVICE

namespace partialconv {

inline constexpr bool kHostMemory = true;
inline constexpr const char* kDeviceName = "cpu";

// One per Node environment. The pool behind it is the process's; it ends with the last Context.
class Context {
 public:
  Context();
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

// Number of threads that parallel() may use, the caller included. PARTIALCONV_NUM_THREADS sets the initial value, else the
// number of CPUs this process may run on.
int thread_count();
void set_thread_count(int count);

// Settings of the CUDA backend's, which mean nothing here.
inline void set_allow_tf32(bool) {}
inline void set_deterministic(bool) {}
inline void set_autotune(bool) {}

// body(task) for every task in [0, tasks), on up to thread_count() threads; returns when all are done. Tasks are handed out
// dynamically. The first exception is rethrown. A call from inside a task, or while another thread's call has the pool, runs inline.
// threads: at most so many of them, for work that is not worth waking more.
using TaskBody = void (*)(void* state, int64_t task);
void parallel_run(int64_t tasks, TaskBody body, void* state, int threads);

template <class F>
void parallel(Context&, int64_t tasks, F&& body, int threads = thread_count()) {
  const auto call = [](void* state, int64_t task) { (*static_cast<std::remove_reference_t<F>*>(state))(task); };
  parallel_run(tasks, call, const_cast<void*>(static_cast<const void*>(&body)), threads);
}

// The calling thread's scratch memory: at least bytes, aligned to 64, valid until the next call on this thread; contents undefined.
void* scratch(std::size_t bytes);

// Temporary device memory of an op, aligned to 64.
class Scratch {
 public:
  Scratch(Context&, std::size_t bytes) : data_(::operator new(bytes, std::align_val_t{64})) {}
  ~Scratch() { ::operator delete(data_, std::align_val_t{64}); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
};

// A GPU's instructions (cuda/instructions.h), of which there are none here.
inline bool half_to_float(uint16_t, float&) { return false; }
inline bool float_to_half(float, uint16_t&) { return false; }
inline bool float_to_bfloat16(float, uint16_t&) { return false; }
template <class V>
inline bool store_in_16_bytes(V*, const V&) {
  return false;
}

inline constexpr int64_t kWorkPerTask = 1 << 15;

// f(i) for every i in [0, n): the launcher that an op shares with the CUDA backend. work: how many elements one call handles.
template <class F>
void each(Context& context, int64_t n, F f, int64_t work = 1) {
  if (n <= 0) return;
  const int64_t chunk = std::max<int64_t>(1, kWorkPerTask / std::max<int64_t>(1, work));
  parallel(context, (n + chunk - 1) / chunk, [&](int64_t task) {
    const int64_t end = std::min(n, (task + 1) * chunk);
    for (int64_t i = task * chunk; i < end; ++i) f(i);
  });
}

// f.put(i, f.part(i, 0, 1)) for every i in [0, n): sums that on a GPU several threads make together. items: what they share there.
template <class F>
void each_sum(Context& context, int64_t n, int64_t, F f, int64_t work = 1) {
  each(
      context, n, [f](int64_t i) { f.put(i, f.part(i, 0, 1)); }, work);
}

}  // namespace partialconv
