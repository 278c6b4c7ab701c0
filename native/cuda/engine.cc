// cuDNN's handle and plans of each GPU.
#include "engine.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>

namespace partialconv::cuda {
namespace {

// A plan may want this much and no more: some engines offer to trade gigabytes for a few per cent.
constexpr int64_t kMaxWorkspace = int64_t{1} << 30;

std::mutex everyone_mutex;
std::map<int, std::unique_ptr<Engines>>* everyone = nullptr;

}  // namespace

Engines::Engines(int device)
    : compiler_(device, kMaxWorkspace, [this](const PlanKey& key, std::optional<Plan> plan) { publish(key, std::move(plan)); }) {
  cudnn::check(cudnn::api().create(&handle_), "cudnnCreate");
  key_.cudnn = cudnn::api().get_version();
  key_.driver = presence().driver;
  key_.gpu = device_facts(device).name;
}

Engines::~Engines() {
  compiler_.stop();
  cudnn::api().destroy(handle_);
}

void Engines::stop_compiling() { compiler_.stop(); }

Engines& Engines::of(Context& context) {
  // Never destroyed: at the process's end the driver may be gone before us.
  static auto* const all = [] {
    std::atexit([] {
      for (auto& [device, engines] : *everyone) engines->stop_compiling();
    });
    return everyone = new std::map<int, std::unique_ptr<Engines>>;
  }();
  const int device = context.memory().device();
  std::lock_guard lock(everyone_mutex);
  std::unique_ptr<Engines>& engines = (*all)[device];
  if (!engines) engines = std::make_unique<Engines>(device);
  return *engines;
}

void Engines::wait(int device) {
  Engines* engines = nullptr;
  {
    std::lock_guard lock(everyone_mutex);
    if (everyone == nullptr || !everyone->contains(device)) return;
    engines = everyone->at(device).get();
  }
  engines->compiler_.wait();
}

std::shared_ptr<const Plan> Engines::plan_of(const Shape& shape) {
  key_.shape = shape;
  if (const std::shared_ptr<const Plan>* plan = plans_.find(key_)) return *plan;
  std::optional<Plan> plan = Plan::find(cudnn::Target(handle_), shape, kMaxWorkspace);
  if (!plan) throw std::runtime_error("cuDNN has no plan for " + shape.text());
  return plans_.put(key_, std::make_shared<const Plan>(std::move(*plan)));
}

bool Engines::ready(const Shape& shape) {
  if (deterministic()) return false;
  const std::lock_guard lock(mutex_);
  key_.shape = shape;
  if (plans_.find(key_) != nullptr) return true;
  if (requested_.insert(key_).second) compiler_.request(key_);
  return false;
}

void Engines::publish(const PlanKey& key, std::optional<Plan> plan) {
  const std::lock_guard lock(mutex_);
  if (!plan) return;
  plans_.put(key, std::make_shared<const Plan>(std::move(*plan)));
  requested_.erase(key);
}

void Engines::run(Context& context, const Shape& shape, std::span<const Binding> bindings) {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<const Plan> plan = plan_of(shape);
  context.keep(plan);
  Scratch workspace(context, static_cast<std::size_t>(plan->workspace()));
  cudnn::check(cudnn::api().set_stream(handle_, context.stream()), "cudnnSetStream");
  plan->execute(handle_, bindings, workspace.as<void>());
}

}  // namespace partialconv::cuda
