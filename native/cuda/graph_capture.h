// CUDA graphs: what a stream is given, captured once and launched many times; and the memory that belongs to such a graph.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.h"

namespace partialconv::cuda {

// The blocks that ops take while a graph is captured. Their addresses are in the graph: nobody else gets them until it is gone, and
// what was made in the capture too. They come from the pool before or beside the capture, not as memory nodes of the graph, whose
// addresses would be good inside of it only.
class Arena {
 public:
  explicit Arena(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void add(void* data, std::size_t size);
  // A block that was given back in the capture; null where there is none. The graph runs in the order of one stream, too.
  void* reuse(std::size_t size);
  // False for a block of somebody else's.
  bool give_back(void* data) noexcept;
  std::size_t bytes() const;

 private:
  const std::shared_ptr<Memory> memory_;
  mutable std::mutex mutex_;
  std::map<void*, std::size_t> blocks_;
  std::map<std::size_t, std::vector<void*>> free_;
};

// A captured graph with all that it needs: its blocks, the operands of its ops, and the plans that they run.
class CapturedGraph {
 public:
  CapturedGraph(std::shared_ptr<Memory> memory, Graph graph, std::shared_ptr<Arena> arena, std::vector<std::shared_ptr<const void>> kept)
      : memory_(std::move(memory)), graph_(graph), arena_(std::move(arena)), kept_(std::move(kept)) {}
  // Waits for the launches that are under way.
  ~CapturedGraph();
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  int device() const { return memory_->device(); }
  void launch() const { cuda::launch(graph_, memory_->stream()); }
  std::size_t bytes() const { return arena_->bytes(); }

 private:
  const std::shared_ptr<Memory> memory_;
  const Graph graph_;
  const std::shared_ptr<Arena> arena_;
  const std::vector<std::shared_ptr<const void>> kept_;
};

// A capture under way, of all that this thread gives to the stream of a memory; abandoned where it is not finished.
class GraphCapture {
 public:
  explicit GraphCapture(std::shared_ptr<Memory> memory);
  ~GraphCapture();
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  int device() const { return memory_->device(); }
  // What the graph uses and is not made in the capture: it lives as long as the graph.
  void keep(std::shared_ptr<const void> used) { kept_.push_back(std::move(used)); }
  std::shared_ptr<CapturedGraph> finish();

 private:
  const std::shared_ptr<Memory> memory_;
  const std::shared_ptr<Arena> arena_;
  std::vector<std::shared_ptr<const void>> kept_;
  bool open_ = false;
};

}  // namespace partialconv::cuda
