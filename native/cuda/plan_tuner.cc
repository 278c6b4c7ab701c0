// Timing of plans with events. The operands are zeros: no engine's time depends on the values. Only our kernel's does, where a gate is 0.
#include "plan_tuner.h"

#include <algorithm>
#include <limits>

#include "conv_images.h"
#include "quietly.h"

namespace partialconv::cuda {
namespace {

constexpr std::size_t kEach = 4;  // plans of every heuristics
constexpr int kRounds = 3, kRuns = 5;

// An event with a time.
class Timer {
 public:
  Timer() : event_(create_timer()) {}
  ~Timer() {
    quietly([&] { destroy_event(event_); });
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  Event event() const { return event_; }

 private:
  Event event_;
};

// Memory for everything that a shape's plan reads and writes.
class Operands {
 public:
  Operands(Context& context, const Shape& s) : context_(context) {
    const std::size_t element = element_bytes(dtype_of(s.math));
    add(kX, s.n * s.c * s.h * s.w, element);
    add(kWeight, s.o * (s.c / s.groups) * s.kh * s.kw, element);
    add(kY, s.n * s.o * s.ho * s.wo, element);
    add(kBias, s.tail.bias * s.o, element);
    add(kRatio, s.tail.ratio_n * s.ho * s.wo, sizeof(float));
    add(kUpdated, s.tail.updated_n * s.ho * s.wo, sizeof(float));
    add(kMask, s.tail.mask_n * s.h * s.w, sizeof(float));
  }
  const std::vector<Binding>& bindings() const { return bindings_; }

 private:
  void add(TensorId id, int64_t size, std::size_t element) {
    if (size == 0) return;
    const std::size_t bytes = size_t_of(size) * element;
    memory_.push_back(context_.allocate(bytes));
    set_bytes(memory_.back().get(), 0, bytes, context_.stream());
    bindings_.push_back({id, memory_.back().get()});
  }

  Context& context_;
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<Binding> bindings_;
};

}  // namespace

PlanTuner::PlanTuner(int device, cudnn::Handle handle, int64_t max_workspace) : handle_(handle), max_workspace_(max_workspace) {
  context_.select(device);
}

// The best of a few rounds: other work on the GPU makes some of them longer.
template <class F>
double PlanTuner::time(F run) {
  const Timer from, to;
  run();
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    record(from.event(), context_.stream());
    for (int i = 0; i < kRuns; ++i) run();
    record(to.event(), context_.stream());
    best = std::min(best, milliseconds_between(from.event(), to.event()) / kRuns);
  }
  return best;
}

double PlanTuner::time_of(const Plan& plan, const Shape& shape) {
  const Operands operands(context_, shape);
  const Scratch workspace(context_, size_t_of(plan.workspace()));
  cudnn::check(cudnn::api().set_stream(handle_, context_.stream()), "cudnnSetStream");
  return time([&] { plan.execute(handle_, operands.bindings(), workspace.as<void>()); });
}

// Our kernel that does what the tail does, as conv.cc and conv_backward.cc run it.
double PlanTuner::time_of_epilogue(const Shape& s) {
  const bool forward = s.pass == ConvPass::kForward;
  const DType dtype = dtype_of(s.math);
  const int64_t channels = forward ? s.o : s.c, h = forward ? s.ho : s.h, w = forward ? s.wo : s.w,
                samples = s.tail.updated_n + s.tail.mask_n;
  Image image{s.n, channels, h, w};
  image.c_padded = channels, image.cells = h * w, image.pitch = w, image.channels_last = true;
  const std::size_t element = element_bytes(dtype), size = size_t_of(image.size()) * element;
  const Scratch from(context_, size), to(context_, size), bias(context_, size_t_of(channels) * element);
  const Scratch plane(context_, size_t_of(samples * h * w) * sizeof(float));
  pad_planes(context_, {}, samples * h, w, w, plane.as<float>(), nullptr);  // ones
  void* const one = plane.as<void>();
  const Gate gate{samples > 0 ? one : nullptr, s.tail.ratio_n > 0 ? one : nullptr, false, std::max<int64_t>(samples, 1), 1};
  const void* const offset = s.tail.bias != 0 ? bias.as<void>() : nullptr;
  return time([&] { from_image(context_, image, image, gate, offset, from.as<void>(), {to.as<void>(), image.size(), dtype}); });
}

PlanTuner::Timed PlanTuner::fastest_plan(const Shape& shape, const Rejected& rejected) {
  Timed best{std::nullopt, std::numeric_limits<double>::infinity()};
  for (Plan& plan : Plan::candidates(cudnn::Target(handle_), shape, max_workspace_, kEach, rejected)) {
    const double milliseconds = time_of(plan, shape);
    if (milliseconds < best.milliseconds) best = {std::move(plan), milliseconds};
  }
  return best;
}

std::optional<Plan> PlanTuner::fastest(const Shape& shape, const Rejected& rejected) {
  Timed own = fastest_plan(shape, rejected);
  if (!own.plan || shape.tail.empty()) return std::move(own.plan);
  Shape plain = shape;
  plain.tail = {};
  const Timed other = fastest_plan(plain, {});
  if (other.plan && other.milliseconds + time_of_epilogue(shape) < own.milliseconds) return std::nullopt;
  return std::move(own.plan);
}

}  // namespace partialconv::cuda
