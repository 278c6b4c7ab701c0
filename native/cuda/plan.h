// A convolution's cuDNN plan: the operation graph of a Shape, the engine that heuristics choose for it, its workspace, its JSON form.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph.h"
#include "route.h"

namespace partialconv::cuda {

// The tensors of a plan by name. x and y stand for dx and dy in the backward passes, weight for dw.
enum TensorId : int64_t { kX = 1, kWeight, kY, kRatio, kBias, kUpdated, kMask };

struct Binding {
  TensorId id;
  void* data;
};

class Plan {
 public:
  // The first plan that heuristics A, then B, then FALLBACK offer and that can be finalized with at most max_workspace bytes; none
  // where cuDNN has none. Takes 1 to 2 ms plain and some 300 ms with a tail, which is compiled: never on the JavaScript thread.
  static std::optional<Plan> find(const cudnn::Target& target, const Shape& shape, int64_t max_workspace);
  // Up to limit of them, best first, to be timed.
  static std::vector<Plan> find_all(const cudnn::Target& target, const Shape& shape, int64_t max_workspace, std::size_t limit);
  // From to_json(); throws Failure if cuDNN refuses it (another version, another GPU).
  static Plan restore(const cudnn::Target& target, const std::string& json);

  int64_t workspace() const { return workspace_; }
  std::string to_json() const { return plan_.get_text(cudnn::kPlanJson); }
  void execute(cudnn::Handle handle, std::span<const Binding> bindings, void* workspace) const;

  // Which heuristics offered it, and its rank there; -1: restored.
  int heuristics() const { return heuristics_; }
  int rank() const { return rank_; }

 private:
  Plan(std::shared_ptr<const void> graph, cudnn::Object plan, int heuristics, int rank);

  std::shared_ptr<const void> graph_;  // what the plan refers to
  cudnn::Object plan_;
  int64_t workspace_ = 0;
  int heuristics_ = -1, rank_ = -1;
};

// The element type of x, weight and y.
cudnn::DataType data_type(Math math);

}  // namespace partialconv::cuda
