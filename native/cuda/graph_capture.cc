// Captures, and what becomes of a graph's memory.
#include "graph_capture.h"

#include "quietly.h"

namespace partialconv::cuda {

Arena::~Arena() {
  for (const auto& [data, size] : blocks_) memory_->give_back(data, size);
}

void Arena::add(void* data, std::size_t size) {
  const std::lock_guard lock(mutex_);
  blocks_[data] = size;
}

void* Arena::reuse(std::size_t size) {
  const std::lock_guard lock(mutex_);
  std::vector<void*>& blocks = free_[size];
  if (blocks.empty()) return nullptr;
  void* data = blocks.back();
  blocks.pop_back();
  return data;
}

bool Arena::give_back(void* data) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(data);
  if (found == blocks_.end()) return false;
  try {
    free_[found->second].push_back(data);
  } catch (...) {  // no host memory for the list: the block is not used again in the capture
  }
  return true;
}

std::size_t Arena::bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const auto& [data, size] : blocks_) sum += size;
  return sum;
}

CapturedGraph::~CapturedGraph() {
  // At the process's end the driver may be gone already; a late error is told to whoever waits for a result.
  quietly([&] { use_device(memory_->device()); });
  quietly([&] { synchronize(memory_->stream()); });
  quietly([&] { destroy_graph(graph_); });
}

GraphCapture::GraphCapture(std::shared_ptr<Memory> memory) : memory_(std::move(memory)), arena_(std::make_shared<Arena>(memory_)) {
  memory_->begin_arena(arena_);
  try {
    begin_capture(memory_->stream());
  } catch (...) {
    memory_->end_arena();
    throw;
  }
  open_ = true;
}

GraphCapture::~GraphCapture() {
  if (!open_) return;
  abandon_capture(memory_->stream());
  quietly([&] { memory_->end_arena(); });
}

std::shared_ptr<CapturedGraph> GraphCapture::finish() {
  open_ = false;
  Graph graph = nullptr;
  try {
    graph = end_capture(memory_->stream());
  } catch (...) {
    quietly([&] { memory_->end_arena(); });
    throw;
  }
  auto captured = std::make_shared<CapturedGraph>(memory_, graph, arena_, std::move(kept_));
  memory_->end_arena();
  return captured;
}

}  // namespace partialconv::cuda
