// What convolution on CUDA keeps for each GPU: the cuDNN handle and the plans. Shared by the process's environments, one call at a time.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <span>

#include "device.h"
#include "plan.h"
#include "plan_cache.h"
#include "plan_compiler.h"

namespace partialconv::cuda {

class Engines {
 public:
  explicit Engines(int device);
  ~Engines();
  Engines(const Engines&) = delete;
  Engines& operator=(const Engines&) = delete;

  // Runs the plan of a shape on the context's stream, with its workspace. A plan is made at the first use of its shape.
  void run(Context& context, const Shape& shape, std::span<const Binding> bindings);

  // Whether the plan of a shape with a tail is there. If not, it is on its way: compiled in the background, or cuDNN has none. Never
  // where results must be deterministic: they would change when it comes.
  bool ready(const Shape& shape);

  void stop_compiling();

  // Waits until nothing is being compiled for a GPU.
  static void wait(int device);

  // Of the context's GPU; made at the first use.
  static Engines& of(Context& context);

 private:
  std::shared_ptr<const Plan> plan_of(const Shape& shape);
  void publish(const PlanKey& key, std::optional<Plan> plan);

  std::mutex mutex_;
  cudnn::Handle handle_ = nullptr;
  PlanKey key_;                                           // all but the shape
  Lru<PlanKey, std::shared_ptr<const Plan>> plans_{256};  // a captured graph keeps those that it runs
  std::set<PlanKey> requested_;                           // under way, or not to be had
  PlanCompiler compiler_;
};

}  // namespace partialconv::cuda
