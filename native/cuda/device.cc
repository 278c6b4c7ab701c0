// The CUDA device: lazily made streams and pools of an environment, and copies between host and device.
#include "device.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace partialconv {

Context::Context() = default;
Context::~Context() = default;

void Context::select(int device) {
  const cuda::Presence& found = cuda::presence();
  if (device < 0 || device >= found.count) {
    throw std::runtime_error("cuda:" + std::to_string(device) + " is not available: " +
                             (found.count == 0 ? found.reason : "this machine has " + std::to_string(found.count) + " CUDA device(s)"));
  }
  std::lock_guard lock(mutex_);
  device_ = device;
}

std::shared_ptr<cuda::Memory> Context::shared_memory() {
  std::lock_guard lock(mutex_);
  const cuda::Presence& found = cuda::presence();
  if (found.count == 0) throw std::runtime_error("no CUDA device: " + found.reason);
  if (memories_.empty()) memories_.resize(static_cast<std::size_t>(found.count));
  std::shared_ptr<cuda::Memory>& memory = memories_[static_cast<std::size_t>(device_)];
  if (!memory) memory = std::make_shared<cuda::Memory>(device_);
  else cuda::use_device(device_);
  return memory;
}

int Context::device_count() { return cuda::presence().count; }
std::string Context::device_absence() { return cuda::presence().reason; }

unsigned launch_blocks(int64_t n, int multiprocessors) {
  const int64_t needed = (n + cuda::kBlockSize - 1) / cuda::kBlockSize;
  const int64_t full = static_cast<int64_t>(multiprocessors) * (2048 / cuda::kBlockSize) * 4;  // four waves of resident blocks
  return static_cast<unsigned>(std::clamp<int64_t>(needed, 1, std::max<int64_t>(full, 1)));
}

int thread_count() { return 1; }
void set_thread_count(int) {}
const char* simd_level() { return "none"; }
void set_simd_level(const char*) {}

}  // namespace partialconv
