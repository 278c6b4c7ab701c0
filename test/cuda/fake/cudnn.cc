// A cuDNN that executes operation graphs on the host: the body of native/cuda/cudnn_api.h in tests without a GPU. It refuses what
// cuDNN refuses of sizes: an output that does not follow from input, padding, stride and dilation.
#include "cuda/cudnn_api.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <span>
#include <thread>
#include <tuple>
#include <utility>

#include "fake.h"
#include "graph.h"
#include "machine.h"

int64_t& fake::last_engine() {
  static thread_local int64_t engine = -1;
  return engine;
}

namespace partialconv::cudnn {
namespace {

using fake::Memory;
using fake::Node;

constexpr Status kBadParameter = 2000, kExecutionFailed = 5000;

// What a descriptor points to; what refers to a node keeps it, as work that is under way outlives its descriptors.
using Held = std::shared_ptr<Node>;
Held& held(Descriptor descriptor) { return *static_cast<Held*>(descriptor); }

std::size_t bytes_of(AttributeType type) {
  switch (type) {
    case kTypeBoolean:
    case kTypeChar: return 1;
    case kTypeHandle:
    case kTypeInt64:
    case kTypeDouble:
    case kTypePointer:
    case kTypeDescriptor: return 8;
    default: return 4;
  }
}

Status create_descriptor(DescriptorType type, Descriptor* descriptor) {
  if (fake::call_fails()) return kExecutionFailed;
  ++fake::descriptors;
  *descriptor = new Held(std::make_shared<Node>(Node{type, {}, {}, nullptr, 0}));
  return kSuccess;
}

Status destroy_descriptor(Descriptor descriptor) {
  delete static_cast<Held*>(descriptor);
  --fake::descriptors;
  return kSuccess;
}

Status set_attribute(Descriptor descriptor, Attribute attribute, AttributeType type, int64_t count, const void* values) {
  if (fake::call_fails()) return kExecutionFailed;
  Node& node = *held(descriptor);
  if (type == kTypeDescriptor) {
    auto& list = node.nodes[attribute];
    list.clear();
    for (int64_t i = 0; i < count; ++i) list.push_back(held(static_cast<const Descriptor*>(values)[i]));
    return kSuccess;
  }
  const auto* bytes = static_cast<const unsigned char*>(values);
  node.values[attribute].assign(bytes, bytes + static_cast<std::size_t>(count) * bytes_of(type));
  return kSuccess;
}

// A serialized plan names a graph of this process: one of another process is refused, as cuDNN refuses those of another version.
std::mutex serialized_mutex;
std::vector<std::pair<std::shared_ptr<const Node>, int64_t>> serialized;  // graph and engine

std::string serialize(const Node& plan) {
  const std::lock_guard lock(serialized_mutex);
  serialized.emplace_back(plan.graph, plan.engine);
  return std::to_string(getpid()) + " " + std::to_string(serialized.size() - 1);
}

std::pair<std::shared_ptr<const Node>, int64_t> restored(const std::vector<char>& json) {
  const std::lock_guard lock(serialized_mutex);
  const std::string text(json.begin(), json.end());
  for (std::size_t i = 0; i < serialized.size(); ++i) {
    if (text == std::to_string(getpid()) + " " + std::to_string(i)) return serialized[i];
  }
  return {nullptr, 0};
}

// As the parts that cuDNN opens to compile the first plan: what a process opened last ends first, and compiling then is a crash.
void compile() {
  static std::atomic<bool> gone{false};
  [[maybe_unused]] static const int registered = std::atexit([] { gone = true; });
  std::this_thread::sleep_for(std::chrono::milliseconds(fake::state().compile_time));
  if (gone) std::abort();
}

Status finalize(Descriptor descriptor) {
  if (fake::call_fails()) return kExecutionFailed;
  Node& node = *held(descriptor);
  if (node.type == kExecutionPlan && !node.all<char>(kPlanJson).empty()) {
    fake::count_plan(true);
    std::tie(node.graph, node.engine) = restored(node.all<char>(kPlanJson));
    return node.graph == nullptr ? kBadParameter : kSuccess;
  }
  if (node.type == kExecutionPlan) {
    fake::count_plan(false);
    const Node* config = node.node(kPlanEngineConfig);
    if (config == nullptr || node.one<void*>(kPlanHandle) == nullptr) return kBadParameter;
    node.graph = config->graph, node.engine = config->engine;
    const bool fused = node.graph->nodes.at(kGraphOperations).size() > 1;
    if (fused && fake::state().refuse_fused != 0) return kNotSupported;
    if (fused) compile();
  }
  const bool conv = node.type == kOperationForward || node.type == kOperationBackwardData || node.type == kOperationBackwardFilter;
  return conv && !fake::consistent(node) ? kBadParameter : kSuccess;
}

// All the engines that one of the heuristics offers.
void offer(const Node& heuristics, std::span<const Descriptor> configs) {
  const int mode = heuristics.one<int>(kHeuristicsMode);
  const int64_t first = (mode == kModeA ? 0 : mode == kModeB ? 1 : 2) * fake::state().engines;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    held(configs[i])->graph = heuristics.nodes.at(kHeuristicsGraph).front();
    held(configs[i])->engine = first + static_cast<int64_t>(i);
  }
}

Status get_attribute(Descriptor descriptor, Attribute attribute, AttributeType, int64_t room, int64_t* count, void* values) {
  if (fake::call_fails()) return kExecutionFailed;
  const Node& node = *held(descriptor);
  if (attribute == kPlanJson) {
    const std::string text = room == 0 ? "" : serialize(node);
    *count = room == 0 ? 64 : static_cast<int64_t>(text.size());
    std::memcpy(values, text.data(), text.size());
    return kSuccess;
  }
  *count = attribute == kEngineNumericalNotes ? 0 : attribute == kHeuristicsResults ? fake::state().engines : 1;
  if (room < 1) return kSuccess;
  if (attribute == kHeuristicsResults) offer(node, {static_cast<Descriptor*>(values), static_cast<std::size_t>(std::min(room, *count))});
  if (attribute == kPlanWorkspaceSize) *static_cast<int64_t*>(values) = 128;
  return kSuccess;
}

// A handle is the place of its stream.
Stream& stream_of(Handle handle) { return *reinterpret_cast<Stream*>(handle); }

Status execute(Handle handle, Descriptor plan, Descriptor variant_pack) {
  fake::State& s = fake::state();
  ++s.executions;
  if (fake::call_fails()) return kExecutionFailed;
  if (s.fail_execute > 0 && --s.fail_execute == 0) return kExecutionFailed;
  const Node& pack = *held(variant_pack);
  const std::vector<int64_t> ids = pack.all<int64_t>(kVariantPackIds);
  const std::vector<void*> pointers = pack.all<void*>(kVariantPackPointers);
  Memory memory;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (reinterpret_cast<uintptr_t>(pointers[i]) % 16 != 0) return kBadParameter;
    memory[ids[i]] = pointers[i];
  }
  const auto graph = held(plan)->graph;
  if (!fake::bound(*graph, memory)) return kBadParameter;
  const auto numbers = fake::numbers_by_value(*graph, memory);
  const bool fused = graph->nodes.at(kGraphOperations).size() > 1;
  if (fused) ++s.fused;
  const int64_t engine = held(plan)->engine;
  fake::last_engine() = engine;
  const bool wrong = (s.wrong_engines >> engine & 1) != 0;
  const int64_t time = (fused ? s.fused_time : s.plain_time) / (engine == s.fast_engine ? 10 : 1);
  fake::enqueue(stream_of(handle), [=, kept = numbers] {
    fake::run(*graph, memory);
    if (wrong) fake::spoil(*graph, memory);
    fake::pass(time);
  });
  return kSuccess;
}

Api table() {
  Api api;
  api.get_version = [] { return std::size_t{92400}; };
  api.get_error_string = [](Status) { return "a status of the fake"; };
  api.get_last_error_string = [](char* message, std::size_t) { *message = '\0'; };
  api.create = [](Handle* handle) {
    if (fake::call_fails()) return kExecutionFailed;
    *handle = reinterpret_cast<Handle>(new Stream(nullptr));
    return kSuccess;
  };
  api.destroy = [](Handle handle) {
    delete &stream_of(handle);
    return kSuccess;
  };
  api.set_stream = [](Handle handle, Stream stream) {
    if (fake::call_fails()) return kExecutionFailed;
    stream_of(handle) = stream;
    return kSuccess;
  };
  api.create_descriptor = create_descriptor;
  api.destroy_descriptor = destroy_descriptor;
  api.finalize = finalize;
  api.set_attribute = set_attribute;
  api.get_attribute = get_attribute;
  api.execute = execute;
  return api;
}

}  // namespace

const Api* installed() { return &api(); }
const std::string& absence() {
  static const std::string none;
  return none;
}
const std::string& library_path() { return absence(); }
void use_api(const Api*) {}

const Api& api() {
  static const Api fake = table();
  return fake;
}

}  // namespace partialconv::cudnn
