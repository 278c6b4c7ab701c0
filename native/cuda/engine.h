// What convolution on CUDA keeps for each GPU: the cuDNN handle and the plans. Shared by the process's environments, one call at a time.
#pragma once

#include <map>
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

  // Runs the plan of a shape on the context's stream, with its workspace. A plan without a tail is made at the first use of its shape. With
  // PARTIALCONV_VERIFY=1 a plan's first result is checked; one that is wrong is dropped, with a warning, and the next engine's is run.
  // False where a shape with a tail has no right plan now: its result is not there.
  bool run(Context& context, const Shape& shape, std::span<const Binding> bindings);

  // Whether the plan of a shape with a tail is there. If not, it is on its way: compiled in the background, or there is none to be had.
  // Never where results must be deterministic: they would change when it comes.
  bool ready(const Shape& shape);

  // Waits until nothing is being compiled for a GPU.
  static void wait(int device);

  // Ends the threads that compile, as PlanCompiler::stop().
  static void stop_compiling(bool for_good);

  // Of the context's GPU; made at the first use.
  static Engines& of(Context& context);

 private:
  struct Entry {
    std::shared_ptr<const Plan> plan;  // a captured graph keeps those that it runs
    bool tuned = false, verified = false;
  };

  Entry* find(const Shape& shape);
  void request(const PlanKey& key);
  Rejected rejected(const PlanKey& key) const;
  void publish(const PlanKey& key, std::optional<Plan> plan, bool tuned);
  void drop(const Plan& plan, double error);
  void warn_of_thrashing();

  static constexpr std::size_t kPlans = 256;
  const bool verify_;
  bool warned_ = false;
  std::mutex mutex_;
  cudnn::Handle handle_ = nullptr;
  PlanKey key_;  // all but the shape
  Lru<PlanKey, Entry> plans_{kPlans};
  std::set<PlanKey> requested_;  // under way, or not to be had
  std::map<PlanKey, Rejected> rejected_;
  PlanCompiler compiler_;
};

}  // namespace partialconv::cuda
