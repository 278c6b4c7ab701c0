// Times plans, on a stream and in memory of its own (PARTIALCONV_AUTOTUNE=1).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "device.h"
#include "plan.h"

namespace partialconv::cuda {

class PlanTuner {
 public:
  // handle: of the calling thread, on which everything here runs. Stream and memory last as long as this.
  PlanTuner(int device, cudnn::Handle handle, int64_t max_workspace);

  // The fastest plan that the heuristics offer for a shape; none where cuDNN has none, or where the plan without the tail and our kernel
  // behind it are faster. Throws Failure where there is no memory for the operands.
  std::optional<Plan> fastest(const Shape& shape, const Rejected& rejected);

 private:
  struct Timed {
    std::optional<Plan> plan;
    double milliseconds = 0;
  };
  Timed fastest_plan(const Shape& shape, const Rejected& rejected);
  double time_of(const Plan& plan, const Shape& shape);
  double time_of_epilogue(const Shape& shape);
  template <class F>
  double time(F run);

  Context context_;
  const cudnn::Handle handle_;
  const int64_t max_workspace_;
};

}  // namespace partialconv::cuda
