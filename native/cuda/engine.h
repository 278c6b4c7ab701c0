// What convolution on CUDA keeps for each GPU: the cuDNN handle and the plans. Shared by the process's environments, one call at a time.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "device.h"
#include "plan.h"
#include "plan_cache.h"

namespace partialconv::cuda {

class Engines {
 public:
  explicit Engines(int device);
  ~Engines();
  Engines(const Engines&) = delete;
  Engines& operator=(const Engines&) = delete;

  // Runs the plan of a shape on the context's stream, with its workspace. A plan is made at the first use of its shape.
  void run(Context& context, const Shape& shape, std::span<const Binding> bindings);

  std::size_t plans() const { return plans_.size(); }

  // Of the context's GPU; made at the first use.
  static Engines& of(Context& context);

 private:
  const Plan& plan_of(const Shape& shape);

  std::mutex mutex_;
  cudnn::Handle handle_ = nullptr;
  PlanKey key_;  // all but the shape
  Lru<PlanKey, Plan> plans_{256};
};

}  // namespace partialconv::cuda
