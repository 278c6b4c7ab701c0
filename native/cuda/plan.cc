// Operation graphs of the three passes and their tails, and the choice of an engine.
#include "plan.h"

#include <algorithm>
#include <array>

#include "../failure.h"

namespace partialconv::cuda {
namespace {

using namespace cudnn;
using Dims = std::array<int64_t, 4>;

constexpr int64_t kAlignment = 16;  // bytes, of every operand
constexpr int64_t kFirstVirtual = 100;
constexpr int64_t kMostConfigs = 64;
constexpr std::size_t kTensors = kZero + 1;

struct Graph {
  std::vector<Object> parts;  // tensors, descriptors and operations, in the order in which they were made
  std::vector<Descriptor> operations;
  std::optional<Object> graph;
};

Dims strides_of(const Dims& d, Layout layout) {
  if (layout == Layout::kNhwc) return {d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]};
  return {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1};
}

class Builder {
 public:
  Builder(const Target& target, const Shape& shape) : target_(target), shape_(shape), graph_(std::make_shared<Graph>()) {
    graph_->parts.reserve(32);  // nothing may move once another refers to it
  }

  std::shared_ptr<Graph> build() {
    const Shape& s = shape_;
    const Dims x{s.n, s.c, s.h, s.w}, weight{s.o, s.c / s.groups, s.kh, s.kw}, y{s.n, s.o, s.ho, s.wo};
    const bool has_tail = !s.tail.empty();
    const Object& conv = convolution();
    if (s.pass == ConvPass::kForward) {
      const Object& result = has_tail ? intermediate(y) : tensor(kY, y);
      Object& op = operation(kOperationForward);
      op.set(kForwardX, tensor(kX, x)).set(kForwardWeight, tensor(kWeight, weight)).set(kForwardY, result);
      finish(op.set(kForwardConvolution, conv).set_scale(kForwardAlpha, kForwardBeta, s.math == Math::kFloat64));
      if (has_tail) forward_tail(result, y);
    } else if (s.pass == ConvPass::kBackwardInput) {
      const Object& result = has_tail ? intermediate(x) : tensor(kX, x);
      Object& op = operation(kOperationBackwardData);
      op.set(kBackwardDataDy, tensor(kY, y)).set(kBackwardDataWeight, tensor(kWeight, weight)).set(kBackwardDataDx, result);
      finish(op.set(kBackwardDataConvolution, conv).set_scale(kBackwardDataAlpha, kBackwardDataBeta, s.math == Math::kFloat64));
      if (has_tail) gate(result, kMask, Dims{s.tail.mask_n, 1, s.h, s.w}, x, tensor(kX, x));
    } else {
      Object& op = operation(kOperationBackwardFilter);
      op.set(kBackwardFilterX, tensor(kX, x)).set(kBackwardFilterDy, tensor(kY, y)).set(kBackwardFilterDw, tensor(kWeight, weight));
      finish(op.set(kBackwardFilterConvolution, conv).set_scale(kBackwardFilterAlpha, kBackwardFilterBeta, s.math == Math::kFloat64));
    }
    graph_->graph.emplace(kOperationGraph);
    graph_->graph->set(kGraphOperations, std::span<const Descriptor>(graph_->operations), kTypeDescriptor);
    target_.set(*graph_->graph, kGraphHandle, std::nullopt);
    graph_->graph->finalize();
    return graph_;
  }

 private:
  Object& add(Object&& object) { return graph_->parts.emplace_back(std::move(object)); }

  const Object& tensor(int64_t id, const Dims& dims, const Dims& strides, DataType type, bool is_virtual) {
    Object& t = add(Object(kTensor));
    t.set(kTensorDataType, type).set(kTensorDimensions, dims).set(kTensorStrides, strides).set(kTensorId, id);
    t.set(kTensorAlignment, kAlignment).set(kTensorIsVirtual, is_virtual);
    return t.finalize();
  }

  const Object& tensor(TensorId id, const Dims& dims) {
    return tensor(id, dims, strides_of(dims, shape_.layout), data_type(shape_.math), false);
  }

  // The result of an operation that never reaches memory, in the accumulator's type.
  const Object& intermediate(const Dims& dims) { return intermediate(dims, compute()); }
  const Object& intermediate(const Dims& dims, DataType type) {
    return tensor(kFirstVirtual + static_cast<int64_t>(graph_->parts.size()), dims, strides_of(dims, shape_.layout), type, true);
  }

  const Object& plane(TensorId id, const Dims& dims) { return tensor(id, dims, strides_of(dims, shape_.layout), kFloat, false); }

  // A float that each execution is given by value.
  const Object& scalar(TensorId id) {
    const Dims one{1, 1, 1, 1};
    Object& t = add(Object(kTensor));
    t.set(kTensorDataType, kFloat).set(kTensorDimensions, one).set(kTensorStrides, one).set(kTensorId, int64_t{id});
    t.set(kTensorAlignment, kAlignment).set(kTensorIsVirtual, false).set(kTensorIsByValue, true);
    return t.finalize();
  }

  DataType compute() const { return shape_.math == Math::kFloat64 ? kDouble : kFloat; }

  const Object& convolution() {
    const Shape& s = shape_;
    Object& conv = add(Object(kConvolution));
    conv.set(kConvolutionComputeType, compute()).set(kConvolutionMode, kCrossCorrelation).set(kConvolutionSpatialDims, int64_t{2});
    conv.set(kConvolutionPrePaddings, std::array{s.pre_h, s.pre_w}).set(kConvolutionPostPaddings, std::array{s.post_h, s.post_w});
    conv.set(kConvolutionDilations, std::array{s.dilation_h, s.dilation_w}).set(kConvolutionStrides, std::array{s.stride_h, s.stride_w});
    return conv.finalize();
  }

  Object& operation(DescriptorType type) { return add(Object(type)); }

  void finish(Object& operation) {
    operation.finalize();
    graph_->operations.push_back(operation.get());
  }

  // The full-size operand comes first: cuDNN refuses it as the second. where: of kSelect, where `from` is taken.
  void pointwise(PointwiseMode mode, const Object& from, const Object* with, const Object& to, const Object* where = nullptr) {
    Object& descriptor = add(Object(kPointwise));
    descriptor.set(kPointwiseMode, mode).set(kPointwiseComputeType, kFloat).finalize();
    Object& op = operation(kOperationPointwise);
    op.set(kOperationPointwiseDescriptor, descriptor).set(kOperationPointwiseX, from).set(kOperationPointwiseY, to);
    if (with != nullptr) op.set(kOperationPointwiseB, *with);
    if (where != nullptr) op.set(kOperationPointwiseT, *where);
    finish(op);
  }

  // plane == 0 ? 0 : from * plane; a product alone is NaN where an infinite number meets a 0. The comparison is spelled out: as a
  // predicate, some engines round a float to an integer.
  void gate(const Object& from, TensorId id, const Dims& plane_dims, const Dims& dims, const Object& to) {
    const Object &values = plane(id, plane_dims), &zero = scalar(kZero), &open = intermediate(plane_dims, kBoolean);
    pointwise(kNotEqual, values, &zero, open);
    const Object& product = intermediate(dims);
    pointwise(kMul, from, &values, product);
    pointwise(kSelect, product, &zero, to, &open);
  }

  // The steps of the tail that there are; the last one writes y.
  void forward_tail(const Object& result, const Dims& y) {
    const Tail& tail = shape_.tail;
    int steps = (tail.ratio_n != 0) + (tail.bias != 0) + (tail.updated_n != 0) + (tail.relu != 0);
    const Object* from = &result;
    const auto step = [&](auto add_operation) {
      const Object& to = --steps == 0 ? tensor(kY, y) : intermediate(y);
      add_operation(to);
      from = &to;
    };
    const auto plane_dims = [&](int64_t samples) { return Dims{samples, 1, y[2], y[3]}; };
    const Dims bias{1, shape_.o, 1, 1};
    if (tail.ratio_n != 0) step([&](const Object& to) { pointwise(kMul, *from, &plane(kRatio, plane_dims(tail.ratio_n)), to); });
    if (tail.bias != 0) step([&](const Object& to) { pointwise(kAdd, *from, &tensor(kBias, bias), to); });
    if (tail.updated_n != 0) step([&](const Object& to) { gate(*from, kUpdated, plane_dims(tail.updated_n), y, to); });
    if (tail.relu != 0) step([&](const Object& to) { pointwise(kReluForward, *from, nullptr, to); });
  }

  const Target& target_;
  const Shape& shape_;
  std::shared_ptr<Graph> graph_;
};

// What an engine may not do: float32 means float32, and sums have one order.
bool allowed(const Object& config, const Shape& shape) {
  const Object engine = config.get_object(kEngineConfigEngine, kEngine);
  const std::vector<int> notes = engine.get_enums(kEngineNumericalNotes, kTypeNumericalNote, kNoteTypes);
  const auto has = [&](NumericalNote note) { return std::find(notes.begin(), notes.end(), note) != notes.end(); };
  if (has(kNoteReducedPrecisionReduction)) return false;
  if (shape.deterministic != 0 && has(kNoteNondeterministic)) return false;
  const bool strict = shape.math == Math::kFloat32 || shape.math == Math::kFloat64;
  const bool inexact = has(kNoteDownConvertInputs) || has(kNoteFft) || has(kNoteWinograd);
  return !(strict && (inexact || (shape.math == Math::kFloat32 && has(kNoteTensorCore))));
}

std::vector<Object> configs_of(const Target& target, const Object& graph, HeuristicsMode mode) {
  Object heuristics(kEngineHeuristics);
  heuristics.set(kHeuristicsGraph, graph).set(kHeuristicsMode, mode);
  target.set(heuristics, std::nullopt, kHeuristicsDeviceProperties);
  const Status status = heuristics.try_finalize();
  if (unsupported(status)) return {};
  check(status, "cudnnBackendFinalize");
  std::vector<Object> configs;
  const int64_t count = std::min(kMostConfigs, heuristics.get_objects(kHeuristicsResults, {}));
  for (int64_t i = 0; i < count; ++i) configs.emplace_back(kEngineConfig);
  const int64_t filled = heuristics.get_objects(kHeuristicsResults, configs);
  configs.erase(configs.begin() + std::min(count, filled), configs.end());
  return configs;
}

}  // namespace

DataType data_type(Math math) {
  switch (math) {
    case Math::kFloat64: return kDouble;
    case Math::kFloat16: return kHalf;
    case Math::kBFloat16: return kBFloat16;
    default: return kFloat;
  }
}

DType dtype_of(Math math) {
  switch (math) {
    case Math::kFloat64: return DType::kFloat64;
    case Math::kFloat16: return DType::kFloat16;
    case Math::kBFloat16: return DType::kBFloat16;
    default: return DType::kFloat32;
  }
}

std::string Origin::text() const {
  if (heuristics < 0) return "a plan from the disk";
  const std::string mode = heuristics == kModeA ? "A" : heuristics == kModeB ? "B" : "FALLBACK";
  return "engine " + std::to_string(rank) + " of heuristics " + mode;
}

Plan::Plan(std::shared_ptr<const void> graph, Object plan, Origin origin)
    : graph_(std::move(graph)), plan_(std::move(plan)), origin_(origin) {
  workspace_ = plan_.get_int64(kPlanWorkspaceSize);
}

std::vector<Plan> Plan::offered(const Target& target, const Shape& shape, int64_t max_workspace, std::size_t each, bool every_mode,
                                const Rejected& rejected) {
  std::vector<Plan> plans;
  const std::shared_ptr<Graph> graph = Builder(target, shape).build();
  for (const HeuristicsMode mode : {kModeA, kModeB, kModeFallback}) {
    std::vector<Object> configs = configs_of(target, *graph->graph, mode);
    const std::size_t room = plans.size() + each;
    for (std::size_t i = 0; i < configs.size() && plans.size() < room; ++i) {
      const Origin origin{mode, static_cast<int>(i)};
      if (rejected.count(origin) != 0 || !allowed(configs[i], shape)) continue;
      Object object(kExecutionPlan);
      object.set(kPlanEngineConfig, configs[i]);
      target.set(object, kPlanHandle, kPlanDeviceProperties);
      if (object.try_finalize() != kSuccess) continue;  // heuristics offer engines that then do not take the graph
      Plan plan(graph, std::move(object), origin);
      if (plan.workspace() <= max_workspace) plans.push_back(std::move(plan));
    }
    if (!plans.empty() && !every_mode) break;
  }
  return plans;
}

std::vector<Plan> Plan::candidates(const Target& target, const Shape& shape, int64_t max_workspace, std::size_t each,
                                   const Rejected& rejected) {
  return offered(target, shape, max_workspace, each, true, rejected);
}

std::optional<Plan> Plan::find(const Target& target, const Shape& shape, int64_t max_workspace, const Rejected& rejected) {
  std::vector<Plan> plans = offered(target, shape, max_workspace, 1, false, rejected);
  if (plans.empty()) return std::nullopt;
  return std::move(plans.front());
}

Plan Plan::restore(const Target& target, const std::string& json) {
  Object object(kExecutionPlan);
  target.set(object, kPlanHandle, kPlanDeviceProperties);
  object.set(kPlanJson, json).finalize();
  return Plan(nullptr, std::move(object), {});
}

void Plan::execute(Handle handle, std::span<const Binding> bindings, void* workspace) const {
  alignas(kAlignment) static float zero = 0;
  std::array<int64_t, kTensors> ids;
  std::array<void*, kTensors> pointers;
  std::size_t count = 0;
  const auto bind = [&](TensorId id, void* data) { ids[count] = id, pointers[count++] = data; };
  for (const Binding& binding : bindings) {
    bind(binding.id, binding.data);
    if (binding.id == kUpdated || binding.id == kMask) bind(kZero, &zero);
  }
  Object pack(kVariantPack);
  pack.set(kVariantPackIds, std::span<const int64_t>(ids.data(), count));
  pack.set(kVariantPackPointers, std::span<void* const>(pointers.data(), count));
  pack.set(kVariantPackWorkspace, workspace).finalize();
  check(api().execute(handle, plan_.get(), pack.get()), "cudnnBackendExecute");
}

}  // namespace partialconv::cuda
