// A CUDA GPU as a device: one stream and memory pool for each environment and GPU, made at first use; the launcher of functors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../ops.h"
#include "cuda/instructions.h"
#include "cuda/launch.h"
#include "graph_capture.h"
#include "memory.h"

namespace partialconv {

inline constexpr bool kHostMemory = false;
inline constexpr const char* kDeviceName = "cuda";

// One per Node environment. Making it touches no GPU.
class Context {
 public:
  Context();
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // The GPU that the following ops of this environment run on; at first 0. Throws if there is none of that index.
  void select(int device);
  int device() const { return device_; }

  // The selected GPU's stream and memory, current for the calling thread.
  cuda::Memory& memory() { return *shared_memory(); }
  cuda::Stream stream() { return memory().stream(); }
  std::shared_ptr<cuda::Memory> shared_memory();

  // Device memory that lives until the pointer does; a copy from the host, and one to it (which waits).
  std::shared_ptr<void> allocate(std::size_t bytes) { return memory().share(bytes); }
  void write(void* to, const void* host, std::size_t bytes);
  void read(void* host, const void* from, std::size_t bytes);
  // Between memory of one GPU, or of two without the host: after all that `from`'s stream has, before all that it gets later.
  void copy(void* to, int to_device, const void* from, int from_device, std::size_t bytes);

  // Waits, on any thread, until what the stream has now is done; throws if it failed.
  std::function<void()> completion();
  // Copies now, in stream order; the function waits for the copy and has the bytes in host memory when it returns.
  std::function<void()> read_later(void* host, const void* from, std::size_t bytes);

  // What the following ops give to the selected GPU's stream is recorded, not run, until the end of the capture; nothing may wait for it,
  // cross to the host or go to another GPU meanwhile. Abandoning one that does not run does nothing.
  void begin_capture();
  std::shared_ptr<cuda::CapturedGraph> end_capture();
  void abandon_capture() { capture_.reset(); }
  // In a capture: the graph keeps what one of its ops uses.
  void keep(const std::shared_ptr<const void>& used) {
    if (capture_) capture_->keep(used);
  }
  void launch(const std::shared_ptr<void>& graph);  // of end_capture()
  // Waits until no plan of the selected GPU is being compiled.
  void wait_for_plans();
  // Ends the threads that compile plans, after the plan that each is at: for good, or until a plan is asked for. A process must not end
  // while cuDNN compiles.
  static void stop_plans(bool for_good);

  static int device_count();
  static std::string device_absence();  // why device_count() is 0, or ""
  static std::string device_name(int device);
  static std::string libraries();  // cuDNN's version and place, or why there is none

 private:
  std::shared_ptr<cuda::Memory> memory_of(int device);  // with the GPU current for the calling thread
  void refuse_in_capture(const char* call, const char* what) const;

  std::mutex mutex_;
  int device_ = 0;
  std::vector<std::shared_ptr<cuda::Memory>> memories_;  // by index of the GPU
  std::unique_ptr<cuda::GraphCapture> capture_;          // null where none is under way
};

// Temporary device memory of an op, given back in stream order.
class Scratch {
 public:
  Scratch(Context& context, std::size_t bytes) : memory_(context.shared_memory()), bytes_(bytes), data_(memory_->take(bytes)) {}
  ~Scratch() { memory_->give_back(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  std::shared_ptr<cuda::Memory> memory_;
  std::size_t bytes_;
  void* data_;
};

// Blocks of a launch over n elements: enough to fill the GPU, then each thread takes several elements.
unsigned launch_blocks(int64_t n, int multiprocessors);

// Threads that share `items`: a power of two, up to a block's.
int lanes_for(int64_t items);

// f(i) for every i in [0, n), on the stream. The last argument (elements of one call) matters to the CPU's launcher only.
template <class F>
void each(Context& context, int64_t n, F f, int64_t = 1) {
  if (n <= 0) return;
  cuda::Memory& memory = context.memory();
  cuda::check_launch(cuda::launch_each(launch_blocks(n, memory.multiprocessors()), memory.stream(), n, f));
}

// f.put(i, the sum of f.part(i, lane, lanes) over all lanes), of type F::Sum, for every i in [0, n), on the stream. `items` of i are shared
// by its lanes, which are threads of a block: enough that none has more than its share, at most a block's. The parts are added pairwise, in
// an order that depends on `items` alone. The last argument is the CPU's.
template <class F>
void each_sum(Context& context, int64_t n, int64_t items, F f, int64_t = 1) {
  if (n <= 0) return;
  const int lanes = lanes_for(items);
  cuda::Memory& memory = context.memory();
  cuda::check_launch(cuda::launch_sums(launch_blocks(n * lanes, memory.multiprocessors()), memory.stream(), n, lanes, f));
}

// The CPU backend's settings, which mean nothing here; both addons export the same names.
int thread_count();
void set_thread_count(int count);
const char* simd_level();
void set_simd_level(const char* level);

// Whether float32 convolutions may run in TF32; at first they may. Weights are packed for the setting at the time.
bool allow_tf32();
void set_allow_tf32(bool allow);

// Whether an environment variable is 1.
bool switched_on(const char* variable);

// Whether an op's bits may depend on nothing but its operands: then no plan is used that comes from a thread or is chosen by time.
// At first PARTIALCONV_DETERMINISTIC.
bool deterministic();
void set_deterministic(bool on);

// Whether the plans of a convolution are timed, in a thread, and the fastest taken. At first PARTIALCONV_AUTOTUNE.
bool autotune();
void set_autotune(bool on);

}  // namespace partialconv
