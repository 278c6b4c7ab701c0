// A convolution's cuDNN plan: the operation graph of a Shape, the engine that heuristics choose for it, its workspace, its JSON form.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "graph.h"
#include "route.h"

namespace partialconv::cuda {

// The tensors of a plan by name. x and y stand for dx and dy in the backward passes, weight for dw. kZero: a number; execute() has it.
enum TensorId : int64_t { kX = 1, kWeight, kY, kRatio, kBias, kUpdated, kMask, kZero };

struct Binding {
  TensorId id;
  void* data;
};

// Where a plan comes from: the heuristics that offered its engine (cudnn::HeuristicsMode) and its rank there; -1: restored.
struct Origin {
  int heuristics = -1, rank = -1;
  auto operator<=>(const Origin&) const = default;
  std::string text() const;
};

// Plans that are not to be made again.
using Rejected = std::set<Origin>;

class Plan {
 public:
  // The first plan that heuristics A, then B, then FALLBACK offer, that is not rejected and that can be finalized with at most
  // max_workspace bytes; none where cuDNN has none. Takes 1 to 2 ms plain and some 300 ms with a tail, which is compiled: never on the
  // JavaScript thread.
  static std::optional<Plan> find(const cudnn::Target& target, const Shape& shape, int64_t max_workspace, const Rejected& rejected = {});
  // The first `each` of every heuristics, to be timed.
  static std::vector<Plan> candidates(const cudnn::Target& target, const Shape& shape, int64_t max_workspace, std::size_t each,
                                      const Rejected& rejected = {});
  // From to_json(); throws Failure if cuDNN refuses it (another version, another GPU).
  static Plan restore(const cudnn::Target& target, const std::string& json);

  int64_t workspace() const { return workspace_; }
  std::string to_json() const { return plan_.get_text(cudnn::kPlanJson); }
  void execute(cudnn::Handle handle, std::span<const Binding> bindings, void* workspace) const;

  const Origin& origin() const { return origin_; }

 private:
  Plan(std::shared_ptr<const void> graph, cudnn::Object plan, Origin origin);
  static std::vector<Plan> offered(const cudnn::Target& target, const Shape& shape, int64_t max_workspace, std::size_t each,
                                   bool every_mode, const Rejected& rejected);

  std::shared_ptr<const void> graph_;  // what the plan refers to
  cudnn::Object plan_;
  int64_t workspace_ = 0;
  Origin origin_;
};

// The element type of x, weight and y: cuDNN's and ours.
cudnn::DataType data_type(Math math);
DType dtype_of(Math math);

}  // namespace partialconv::cuda
