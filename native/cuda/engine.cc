// cuDNN's handle and plans of each GPU.
#include "engine.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "verify.h"

namespace partialconv::cuda {
namespace {

// A plan may want this much and no more: some engines offer to trade gigabytes for a few per cent.
constexpr int64_t kMaxWorkspace = int64_t{1} << 30;

bool tunes() { return autotune() && !deterministic(); }

std::mutex everyone_mutex;
std::map<int, std::unique_ptr<Engines>>* everyone = nullptr;

}  // namespace

Engines::Engines(int device)
    : verify_(switched_on("PARTIALCONV_VERIFY")),
      compiler_(device, kMaxWorkspace,
                [this](const PlanKey& key, std::optional<Plan> plan, bool tuned) { publish(key, std::move(plan), tuned); }) {
  key_.cudnn = cudnn::api().get_version();
  key_.driver = presence().driver;
  key_.gpu = device_facts(device).name;
  cudnn::check(cudnn::api().create(&handle_), "cudnnCreate");  // last: a constructor that throws destroys nothing
}

Engines::~Engines() {
  compiler_.stop(true);
  cudnn::api().destroy(handle_);
}

Engines& Engines::of(Context& context) {
  // Never destroyed: at the process's end the driver may be gone before us.
  static auto* const all = [] {
    // Of use to programs without Node: what cuDNN opens to compile comes later, and so goes before this runs.
    std::atexit([] { stop_compiling(true); });
    return everyone = new std::map<int, std::unique_ptr<Engines>>;
  }();
  const int device = context.memory().device();
  std::lock_guard lock(everyone_mutex);
  const auto found = all->find(device);
  if (found != all->end()) return *found->second;
  return *all->emplace(device, std::make_unique<Engines>(device)).first->second;
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

void Engines::stop_compiling(bool for_good) {
  std::vector<PlanCompiler*> compilers;
  {
    std::lock_guard lock(everyone_mutex);
    if (everyone == nullptr) return;
    for (auto& [device, engines] : *everyone) compilers.push_back(&engines->compiler_);
  }
  for (PlanCompiler* compiler : compilers) compiler->stop(for_good);
}

// The plan of a shape; one with a tail only if it is there, and asked for otherwise. So is a tuned one in its place.
Engines::Entry* Engines::find(const Shape& shape) {
  key_.shape = shape;
  Entry* entry = plans_.find(key_);
  if (entry != nullptr && entry->tuned && deterministic()) {
    plans_.erase(key_);  // which engine was the fastest is not the same every time
    entry = nullptr;
  }
  if (entry == nullptr && shape.tail.empty()) {
    const Rejected rejected = this->rejected(key_);
    std::optional<Plan> plan = Plan::find(cudnn::Target(handle_), shape, kMaxWorkspace, rejected);
    if (!plan) throw std::runtime_error("cuDNN has no " + std::string(rejected.empty() ? "plan for " : "right plan for ") + shape.text());
    entry = &plans_.put(key_, {std::make_shared<const Plan>(std::move(*plan))});
    warn_of_thrashing();
  }
  if (entry == nullptr || (tunes() && !entry->tuned)) request(key_);
  return entry;
}

void Engines::warn_of_thrashing() {
  if (warned_ || plans_.returned() < kPlans) return;
  warned_ = true;
  std::fprintf(stderr,
               "partialconv: warning: convolutions of more than %zu shapes take turns on cuda (%s): their plans are made again and again; "
               "pad inputs to fewer lengths or batch sizes\n",
               kPlans, key_.gpu.c_str());
}

void Engines::request(const PlanKey& key) {
  if (requested_.insert(key).second) compiler_.request({key, rejected(key), tunes()});
}

Rejected Engines::rejected(const PlanKey& key) const {
  const auto found = rejected_.find(key);
  return found == rejected_.end() ? Rejected() : found->second;
}

bool Engines::ready(const Shape& shape) {
  if (deterministic()) return false;
  const std::lock_guard lock(mutex_);
  return find(shape) != nullptr;
}

void Engines::publish(const PlanKey& key, std::optional<Plan> plan, bool tuned) {
  const std::lock_guard lock(mutex_);
  if (!plan) return plans_.erase(key);
  plans_.put(key, {std::make_shared<const Plan>(std::move(*plan)), tuned});
  requested_.erase(key);
}

// The plan of key_, which computed something wrong.
void Engines::drop(const Plan& plan, double error) {
  std::fprintf(stderr,
               "partialconv: warning: PARTIALCONV_VERIFY: cuDNN %s on %s: %s is wrong by %.3g tolerances of %g for %s; it is not used any "
               "more, the next engine is\n",
               cudnn::version_text(key_.cudnn).c_str(), key_.gpu.c_str(), plan.origin().text().c_str(), error,
               tolerance_of(key_.shape.math), key_.shape.text().c_str());
  rejected_[key_].insert(plan.origin());
  PlanStore(PlanStore::default_folder()).remove(key_);
  plans_.erase(key_);
  requested_.erase(key_);
}

bool Engines::run(Context& context, const Shape& shape, std::span<const Binding> bindings) {
  const std::lock_guard lock(mutex_);
  while (Entry* entry = find(shape)) {
    const std::shared_ptr<const Plan> plan = entry->plan;
    context.keep(plan);
    Scratch workspace(context, static_cast<std::size_t>(plan->workspace()));
    cudnn::check(cudnn::api().set_stream(handle_, context.stream()), "cudnnSetStream");
    plan->execute(handle_, bindings, workspace.as<void>());
    if (!verify_ || entry->verified) return true;
    const double error = error_of(context, shape, bindings);
    entry->verified = error <= 1;
    if (entry->verified) return true;
    drop(*plan, error);
  }
  return false;
}

}  // namespace partialconv::cuda
