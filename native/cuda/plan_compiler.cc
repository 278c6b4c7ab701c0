// The thread that makes plans.
#include "plan_compiler.h"

#include <exception>

#include "runtime.h"

namespace partialconv::cuda {

void PlanCompiler::request(const PlanKey& key) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    waiting_.push_back(key);
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  wake_.notify_one();
}

void PlanCompiler::wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return stopping_ || (waiting_.empty() && !busy_); });
}

void PlanCompiler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  wake_.notify_one();
  idle_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PlanCompiler::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const PlanKey key = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    std::optional<Plan> plan;
    try {
      plan = make(key);
    } catch (const std::exception&) {  // the plain plan goes on doing the work
    }
    done_(key, std::move(plan));
    lock.lock();
    busy_ = false;
    idle_.notify_all();
  }
}

std::optional<Plan> PlanCompiler::make(const PlanKey& key) {
  if (handle_ == nullptr) {
    use_device(device_);
    cudnn::check(cudnn::api().create(&handle_), "cudnnCreate");
  }
  const cudnn::Target target(handle_);
  const PlanStore store(PlanStore::default_folder());
  if (const std::optional<std::string> kept = store.load(key)) {
    try {
      Plan plan = Plan::restore(target, *kept);
      if (plan.workspace() <= max_workspace_) return plan;
    } catch (const std::exception&) {
      store.remove(key);  // of another cuDNN after all, or damaged
    }
  }
  std::optional<Plan> plan = Plan::find(target, key.shape, max_workspace_);
  if (plan) store.save(key, plan->to_json());
  return plan;
}

}  // namespace partialconv::cuda
