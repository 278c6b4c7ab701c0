// Plans that take long to make, made in a thread of their own, from the disk where they lie there; timed, if that is wanted; and kept
// there.
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
  // done: called on the thread with each plan and whether it is the fastest of several; or with none where cuDNN has none for the shape,
  // or where a shape with a tail is faster without.
  using Done = std::function<void(const PlanKey&, std::optional<Plan>, bool tuned)>;

  struct Request {
    PlanKey key;
    Rejected rejected;
    bool tune = false;
  };

  PlanCompiler(int device, int64_t max_workspace, Done done) : device_(device), max_workspace_(max_workspace), done_(std::move(done)) {}

  ~PlanCompiler() { stop(true); }

  void request(Request request);
  // Returns when all that was requested is done.
  void wait();
  // Ends the thread after the plan it is at. Those that wait are dropped, now and later, or go on with the next request.
  void stop(bool for_good);

 private:
  struct Made {
    std::optional<Plan> plan;
    bool tuned = false;
  };

  void start();
  void run();
  Made make(const Request& request);
  std::optional<Made> kept(const PlanStore& store, const Request& request);
  Made fresh(const Request& request);

  const int device_;
  const int64_t max_workspace_;
  const Done done_;
  cudnn::Handle handle_ = nullptr;  // cuDNN's handles serve one thread each
  std::mutex mutex_, stop_mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Request> waiting_;
  bool stopping_ = false, closed_ = false, busy_ = false;
  std::thread thread_;
};

}  // namespace partialconv::cuda
