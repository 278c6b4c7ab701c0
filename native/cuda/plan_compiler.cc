// The thread that makes plans. A plan's file says whether it was timed; that of a shape which is faster without a plan of its own has none.
#include "plan_compiler.h"

#include <exception>

#include "plan_tuner.h"
#include "runtime.h"

namespace partialconv::cuda {
namespace {

constexpr const char* kTuned = "tuned\n";
constexpr const char* kFirst = "first\n";

}  // namespace

void PlanCompiler::request(Request request) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    waiting_.push_back(std::move(request));
    start();
  }
  wake_.notify_one();
}

// With the lock held.
void PlanCompiler::start() {
  if (!stopping_ && !waiting_.empty() && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void PlanCompiler::wait() {
  std::unique_lock lock(mutex_);
  start();
  idle_.wait(lock, [this] { return stopping_ || (waiting_.empty() && !busy_); });
}

void PlanCompiler::stop(bool for_good) {
  const std::lock_guard one(stop_mutex_);
  std::thread ending;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    closed_ = closed_ || for_good;
    if (closed_) waiting_.clear();
    ending = std::move(thread_);
  }
  wake_.notify_one();
  idle_.notify_all();
  if (ending.joinable()) ending.join();
  const std::lock_guard lock(mutex_);
  stopping_ = closed_;
}

void PlanCompiler::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const Request request = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    Made made;
    try {
      made = make(request);
    } catch (const std::exception&) {  // the plain plan goes on doing the work
    }
    done_(request.key, std::move(made.plan), made.tuned);
    lock.lock();
    busy_ = false;
    idle_.notify_all();
  }
}

PlanCompiler::Made PlanCompiler::make(const Request& request) {
  if (handle_ == nullptr) {
    use_device(device_);
    cudnn::check(cudnn::api().create(&handle_), "cudnnCreate");
  }
  const PlanStore store(PlanStore::default_folder());
  if (std::optional<Made> made = kept(store, request)) return std::move(*made);
  Made made = fresh(request);
  if (made.plan || made.tuned) store.save(request.key, (made.tuned ? kTuned : kFirst) + (made.plan ? made.plan->to_json() : ""));
  return made;
}

// From the disk, if it was timed or that is not wanted.
std::optional<PlanCompiler::Made> PlanCompiler::kept(const PlanStore& store, const Request& request) {
  const std::optional<std::string> text = store.load(request.key);
  if (!text || request.rejected.count(Origin{}) != 0) return std::nullopt;
  const std::size_t line = text->find('\n') + 1;
  const std::string head = text->substr(0, line), json = text->substr(line);
  const bool tuned = head == kTuned;
  if (request.tune && !tuned) return std::nullopt;
  if (tuned && json.empty()) return Made{std::nullopt, true};
  try {
    Plan plan = Plan::restore(cudnn::Target(handle_), json);
    if (plan.workspace() <= max_workspace_) return Made{std::move(plan), tuned};
  } catch (const std::exception&) {
    store.remove(request.key);  // of another cuDNN after all, or damaged
  }
  return std::nullopt;
}

PlanCompiler::Made PlanCompiler::fresh(const Request& request) {
  const Shape& shape = request.key.shape;
  if (request.tune) {
    try {
      return {PlanTuner(device_, handle_, max_workspace_).fastest(shape, request.rejected), true};
    } catch (const std::exception&) {  // no memory for the operands: the first plan has to do
    }
  }
  return {Plan::find(cudnn::Target(handle_), shape, max_workspace_, request.rejected), false};
}

}  // namespace partialconv::cuda
