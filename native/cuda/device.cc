// The CUDA device: lazily made streams and pools of an environment, and copies between host and device.
#include "device.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "../failure.h"
#include "cudnn_api.h"
#include "engine.h"
#include "quietly.h"

namespace partialconv {
namespace {

std::atomic<bool> tf32_allowed{true};

std::atomic<bool>& deterministic_setting() {
  static std::atomic<bool> on{switched_on("PARTIALCONV_DETERMINISTIC")};
  return on;
}

std::atomic<bool>& autotune_setting() {
  static std::atomic<bool> on{switched_on("PARTIALCONV_AUTOTUNE")};
  return on;
}

constexpr int kCaptureUnsupported = 900;  // cudaErrorStreamCaptureUnsupported

// An event behind what a stream has been given, for another stream; the stream's GPU is current.
class Mark {
 public:
  explicit Mark(cuda::Stream stream) : event_(cuda::create_event()) {
    try {
      cuda::record(event_, stream);
    } catch (...) {
      destroy();
      throw;
    }
  }
  ~Mark() { destroy(); }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  void before(cuda::Stream stream) const { cuda::wait_on(stream, event_); }

 private:
  void destroy() noexcept {
    cuda::quietly([&] { cuda::destroy_event(event_); });
  }
  const cuda::Event event_;
};

// An event behind what a stream has been given, and pinned memory for what is copied.
class Pending {
 public:
  Pending(std::shared_ptr<cuda::Memory> memory, std::size_t bytes) : memory_(std::move(memory)), bytes_(bytes) {
    if (bytes > 0) pinned_ = memory_->take_pinned(bytes);
  }
  ~Pending() {
    if (pinned_ != nullptr) memory_->give_back_pinned(pinned_, bytes_);
    if (event_ != nullptr) cuda::quietly([&] { cuda::destroy_event(event_); });
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  void record() {
    event_ = cuda::create_event();
    cuda::record(event_, memory_->stream());
  }
  // On any thread; one that has no GPU yet would be given the first one, and memory there.
  void wait() const {
    cuda::use_device(memory_->device());
    cuda::wait(event_);
  }
  void* pinned() const { return pinned_; }

 private:
  std::shared_ptr<cuda::Memory> memory_;
  std::size_t bytes_;
  void* pinned_ = nullptr;
  cuda::Event event_ = nullptr;
};

}  // namespace

Context::Context() = default;
Context::~Context() = default;

void Context::select(int device) {
  const cuda::Presence& found = cuda::presence();
  if (device < 0 || device >= found.count) {
    throw std::runtime_error("cuda:" + std::to_string(device) + " is not available: " +
                             (found.count == 0 ? found.reason : "this machine has " + std::to_string(found.count) + " CUDA device(s)"));
  }
  if (capture_ && device != capture_->device()) refuse_in_capture("cudaSetDevice", "work on another GPU");
  std::lock_guard lock(mutex_);
  device_ = device;
}

std::shared_ptr<cuda::Memory> Context::shared_memory() { return memory_of(device_); }

std::shared_ptr<cuda::Memory> Context::memory_of(int device) {
  std::lock_guard lock(mutex_);
  const cuda::Presence& found = cuda::presence();
  if (found.count == 0) throw std::runtime_error("no CUDA device: " + found.reason);
  if (memories_.empty()) memories_.resize(static_cast<std::size_t>(found.count));
  std::shared_ptr<cuda::Memory>& memory = memories_[static_cast<std::size_t>(device)];
  if (!memory) memory = std::make_shared<cuda::Memory>(device);
  else cuda::use_device(device);
  return memory;
}

void Context::refuse_in_capture(const char* call, const char* what) const {
  if (capture_) throw Failure(call, kCaptureUnsupported, std::string(what) + " cannot be part of a CUDA graph");
}

void Context::write(void* to, const void* host, std::size_t bytes) {
  refuse_in_capture("cudaMemcpyAsync", "a copy from the host");
  memory().upload(to, host, bytes);
}

void Context::read(void* host, const void* from, std::size_t bytes) {
  refuse_in_capture("cudaMemcpyAsync", "a copy to the host");
  cuda::copy_to_host(host, from, bytes, stream());
}

void Context::copy(void* to, int to_device, const void* from, int from_device, std::size_t bytes) {
  if (bytes == 0) return;
  if (to_device == from_device) return cuda::copy_on_device(to, from, bytes, memory_of(to_device)->stream());
  refuse_in_capture("cudaMemcpyPeerAsync", "a copy to another GPU");
  const cuda::Stream source = memory_of(from_device)->stream();
  const Mark written(source);
  const cuda::Stream target = memory_of(to_device)->stream();
  written.before(target);
  cuda::copy_between(to, to_device, from, from_device, bytes, target);
  const Mark copied(target);
  memory_of(from_device);
  copied.before(source);  // who gets the source's memory next writes it after the copy
}

void Context::begin_capture() {
  refuse_in_capture("cudaStreamBeginCapture", "another capture");
  capture_ = std::make_unique<cuda::GraphCapture>(shared_memory());
}

std::shared_ptr<cuda::CapturedGraph> Context::end_capture() {
  if (!capture_) throw std::logic_error("no capture is under way");
  const std::unique_ptr<cuda::GraphCapture> capture = std::move(capture_);
  return capture->finish();
}

void Context::launch(const std::shared_ptr<void>& captured) {
  refuse_in_capture("cudaGraphLaunch", "a graph");
  const auto& graph = *static_cast<const cuda::CapturedGraph*>(captured.get());
  cuda::use_device(graph.device());
  graph.launch();
}

void Context::wait_for_plans() { cuda::Engines::wait(memory().device()); }
void Context::stop_plans(bool for_good) { cuda::Engines::stop_compiling(for_good); }

std::function<void()> Context::completion() {
  refuse_in_capture("cudaEventRecord", "what is waited for");
  const auto pending = std::make_shared<Pending>(shared_memory(), 0);
  pending->record();
  return [pending] { pending->wait(); };
}

std::function<void()> Context::read_later(void* host, const void* from, std::size_t bytes) {
  refuse_in_capture("cudaMemcpyAsync", "a copy to the host");
  const auto pending = std::make_shared<Pending>(shared_memory(), bytes);
  if (bytes > 0) cuda::copy_to_pinned(pending->pinned(), from, bytes, stream());
  pending->record();
  return [pending, host, bytes] {
    pending->wait();
    if (bytes > 0) std::memcpy(host, pending->pinned(), bytes);
  };
}

int Context::device_count() { return cuda::presence().count; }
std::string Context::device_absence() { return cuda::presence().reason; }

std::string Context::device_name(int device) {
  const cuda::DeviceFacts facts = cuda::device_facts(device);
  return facts.name + ", compute capability " + std::to_string(facts.major) + "." + std::to_string(facts.minor) + ", " +
         std::to_string(facts.memory >> 20) + " MiB";
}

std::string Context::libraries() {
  if (cudnn::installed() == nullptr) return cudnn::absence();
  return "cuDNN " + cudnn::version_text(cudnn::installed()->get_version()) + " (" + cudnn::library_path() + ")";
}

unsigned launch_blocks(int64_t n, int multiprocessors) {
  const int64_t needed = (n + cuda::kBlockSize - 1) / cuda::kBlockSize;
  const int64_t full = static_cast<int64_t>(multiprocessors) * (2048 / cuda::kBlockSize) * 4;  // four waves of resident blocks
  return static_cast<unsigned>(std::clamp<int64_t>(needed, 1, std::max<int64_t>(full, 1)));
}

int lanes_for(int64_t items) {
  return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(items, 1, cuda::kBlockSize))));
}

int thread_count() { return 1; }
void set_thread_count(int) {}
const char* simd_level() { return "none"; }
void set_simd_level(const char*) {}

bool switched_on(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

bool allow_tf32() { return tf32_allowed.load(std::memory_order_relaxed); }
void set_allow_tf32(bool allow) { tf32_allowed.store(allow, std::memory_order_relaxed); }

bool deterministic() { return deterministic_setting().load(std::memory_order_relaxed); }
void set_deterministic(bool on) { deterministic_setting().store(on, std::memory_order_relaxed); }

bool autotune() { return autotune_setting().load(std::memory_order_relaxed); }
void set_autotune(bool on) { autotune_setting().store(on, std::memory_order_relaxed); }

}  // namespace partialconv
