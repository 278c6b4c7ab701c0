// A CUDA runtime and a cuDNN on the host, for tests of the whole backend without a GPU: what they count, and the failures they inject.
// As on a GPU, work is only queued by the call that asks for it, and device memory cannot be touched by the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct CUstream_st;

namespace fake {

struct State {
  int64_t devices = 1;
  int64_t memory = int64_t{1} << 32;  // of a device
  int64_t used = 0;
  int64_t launches = 0, threads = 0, vectors = 0;  // threads: what all launches asked for; vectors: what kernels read and wrote as such
  // Of vectors while traced is 1: their bytes, and those of the sectors that the 32 threads of a warp need at once for them.
  int64_t traced = 0, bytes = 0, sector_bytes = 0;
  int64_t allocations = 0, executions = 0, plans = 0, restored = 0, fused = 0;
  int64_t uploads = 0, downloads = 0, peer_copies = 0;
  int64_t captured = 0, graphs = 0, graph_launches = 0;  // pieces of work recorded; graphs alive; launches of them
  int64_t refuse_fused = 0;  // 1: there is no plan for a graph of several operations
  int64_t compile_time = 0;  // milliseconds that such a plan takes to make
  int64_t fail_launch = 0;   // the n-th launch from now on fails (0: none)
  int64_t no_code = 0;       // 1: for want of code for the GPU
  int64_t fail_execute = 0;  // the same for cuDNN
  int64_t fail_graph = 0;    // the n-th instantiation or launch of a graph from now on fails
  int64_t fail_late = 0;     // the n-th piece of work from now on fails when it runs: whoever waits for it is told

  // Engines are numbered as heuristics A, B and FALLBACK offer them, `engines` each. Time passes on a stream by what runs there alone.
  int64_t engines = 1;
  int64_t wrong_engines = 0;                                    // bit i: engine i computes a wrong number
  int64_t fast_engine = -1;                                     // takes a tenth of the time
  int64_t plain_time = 100, fused_time = 100, launch_time = 1;  // nanoseconds of a plan of one operation, of several, of a kernel
};
State& state();

// How often the calling thread has waited for work.
int64_t& waits();

// The engine of the last plan that the calling thread ran.
int64_t& last_engine();

// Counts a launch (by the name of its kernel too) and checks what every launch must keep: a stream, at least one block, no more blocks than
// elements need. Returns a cudaError_t.
int count_launch(unsigned blocks, CUstream_st* stream, int64_t n, const char* kernel);

struct Misaligned {};  // ends a kernel

// Counts what a kernel reads or writes as a vector. As on a GPU, one that is not aligned ends the kernel, and the stream's next wait tells.
void check_vector(const void* data, std::size_t alignment, std::size_t bytes);

// Around the threads of a launch, which the host runs one after the other: as on a GPU, 32 of them make their n-th access together.
class Warps {
 public:
  Warps() = default;
  ~Warps() { end_warp(); }
  Warps(const Warps&) = delete;
  Warps& operator=(const Warps&) = delete;
  static void begin_thread(int64_t thread) {
    if (thread % 32 == 0) end_warp();
    access = 0;
  }

 private:
  static void end_warp();
  friend void check_vector(const void*, std::size_t, std::size_t);
  static thread_local std::size_t access;  // of the running thread
};

void count_plan(bool restored);

// How many launches were of kernels whose C++ name contains a text.
int64_t launches_of(const char* text);

// Work for a stream, which runs when somebody waits for it; while the stream is captured, it is recorded instead.
void enqueue(CUstream_st* stream, std::function<void()> work);
// Lets time pass on the stream whose work is running.
void pass(int64_t nanoseconds);
// The same for a functor of `size` bytes, which is copied, as the arguments of a launch are.
void enqueue_launch(CUstream_st* stream, int64_t n, void (*run)(int64_t n, const void* functor), const void* functor, std::size_t size);

}  // namespace fake
