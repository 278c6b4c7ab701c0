// Plans that take long to make, made in a thread of their own, from the disk where they lie there; and kept there.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "plan.h"
#include "plan_cache.h"

namespace partialconv::cuda {

class PlanCompiler {
 public:
  // done: called on the thread with each plan, or with none where cuDNN has none for the shape.
  using Done = std::function<void(const PlanKey&, std::optional<Plan>)>;

  PlanCompiler(int device, int64_t max_workspace, Done done) : device_(device), max_workspace_(max_workspace), done_(std::move(done)) {}

  ~PlanCompiler() { stop(); }

  void request(const PlanKey& key);
  // Returns when all that was requested is done.
  void wait();
  // Ends the thread after the plan it is at; those that wait are dropped. A process must not end while cuDNN compiles.
  void stop();

 private:
  void run();
  std::optional<Plan> make(const PlanKey& key);

  const int device_;
  const int64_t max_workspace_;
  const Done done_;
  cudnn::Handle handle_ = nullptr;  // cuDNN's handles serve one thread each
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<PlanKey> waiting_;
  bool stopping_ = false, busy_ = false;
  std::thread thread_;
};

}  // namespace partialconv::cuda
