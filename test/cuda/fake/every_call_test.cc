// Every call of CUDA's runtime and of cuDNN that the backend makes, failing in turn: each is an exception with the call's name (or is
// told to nobody, where something is given back), the same works afterwards, and nothing that the calls made is left.
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "../expect.h"
#include "conv.h"
#include "cuda/device.h"
#include "cuda/engine.h"
#include "failure.h"
#include "fake.h"
#include "machine.h"

using namespace partialconv;

namespace {

constexpr int64_t kChannels = 16, kWeights = kChannels * kChannels * 3;

struct Tensor {
  std::shared_ptr<void> data;
  Span span;
};

Tensor ones(Context& context, int64_t size) {
  const Tensor t{context.allocate(static_cast<std::size_t>(size) * 4), {}};
  const std::vector<float> values(static_cast<std::size_t>(size), 1.0f);
  context.write(t.data.get(), values.data(), values.size() * 4);
  return {t.data, {t.data.get(), size, DType::kFloat32}};
}

float last_of(Context& context, const Tensor& t) {
  float value = 0;
  context.read(&value, static_cast<float*>(t.data.get()) + t.span.size - 1, 4);
  return value;
}

// A masked convolution whose shape, and so its plans, are those of `padding` alone.
ConvGeometry geometry(int64_t padding) {
  ConvGeometry g{};
  g.n = 1, g.c = g.o = kChannels, g.h = g.kh = g.ho = 1, g.w = 64, g.kw = 3, g.pad_w = padding, g.groups = 1;
  g.stride_h = g.stride_w = g.dilation_h = g.dilation_w = 1;
  g.wo = g.w + 2 * padding - 2;
  g.mask_n = g.mask_c = g.ratio_n = g.ratio_c = 1;
  return g;
}

// The three passes on fresh plans, in a context of their own: the last dx and dw.
std::string passes(int64_t padding) {
  Context context;
  const ConvGeometry g = geometry(padding);
  const Tensor x = ones(context, kChannels * g.w), weight = ones(context, kWeights), mask = ones(context, g.w),
               y = ones(context, kChannels * g.wo), updated = ones(context, g.wo), dx = ones(context, kChannels * g.w),
               dw = ones(context, kWeights), db = ones(context, kChannels);
  forward(context, g, {x.span, mask.span}, weight.span, {db.span, updated.span, updated.span}, y.span);
  backward_input(context, g, y.span, weight.span, mask.span, updated.span, updated.span, dx.span);
  backward_weight(context, g, {x.span, mask.span}, y.span, updated.span, updated.span, dw.span, db.span);
  return std::to_string(last_of(context, dx)) + " " + std::to_string(last_of(context, dw));
}

// A captured convolution, launched; what is read later; a copy to another GPU and back.
std::string graph_and_copies(int64_t padding) {
  Context context;
  const ConvGeometry g = geometry(padding);
  const Tensor x = ones(context, kChannels * g.w), weight = ones(context, kWeights), y = ones(context, kChannels * g.wo);
  const auto run = [&] { forward(context, g, {x.span, {}}, weight.span, {}, y.span); };
  run();
  context.begin_capture();
  try {
    run();
  } catch (...) {
    context.abandon_capture();
    throw;
  }
  context.launch(context.end_capture());
  float value = 0;
  context.read_later(&value, y.data.get(), 4)();
  context.completion()();
  context.select(1);
  const std::shared_ptr<void> there = context.allocate(512);
  context.copy(there.get(), 1, y.data.get(), 0, 4);
  context.copy(y.data.get(), 0, there.get(), 1, 4);
  context.select(0);
  const std::string copied = std::to_string(last_of(context, {y.data, {y.data.get(), 1, DType::kFloat32}}));
  return std::to_string(value) + " " + copied;
}

// An allocation for which the cache has to be given back.
std::string out_of_memory(int64_t) {
  struct Little {
    const int64_t memory = fake::state().memory;
    ~Little() { fake::state().memory = memory; }
  };
  Context context;
  for (const std::size_t size : {1 << 20, 1 << 19, 1 << 18}) context.allocate(size);
  const Little little;
  fake::state().memory = fake::state().used + (1 << 20);
  const std::shared_ptr<void> large = context.allocate(5 << 18);
  return context.memory().cached() == 0 ? "given back" : "still cached";
}

struct Held {
  int64_t used = fake::state().used, made = fake::made, graphs = fake::state().graphs;
  bool operator==(const Held&) const = default;
  std::string text() const { return std::to_string(used) + " bytes, " + std::to_string(made) + " handles, " + std::to_string(graphs) + " graphs"; }
};

// body(padding) with its n-th call failing, for each n, then without a failure. The first padding has no plans yet, nor has any other.
void fail_each_call(const std::string& what, std::string (*body)(int64_t), int64_t first) {
  const int64_t before = fake::descriptors;
  const std::string expected = body(first);
  const int64_t kept = fake::descriptors - before;  // by the plans of a shape
  const Held held;
  int64_t n = 1, thrown = 0;
  for (bool reached = true; reached; ++n) {
    const std::string at = what + ", call " + std::to_string(n) + ": ";
    const int64_t padding = first + n, descriptors = fake::descriptors;
    fake::fail_call = n;
    try {
      body(padding);
    } catch (const Failure& e) {
      ++thrown;
      expect(e.call.find("cud") == 0 && e.status != 0, at + "no call's name: " + e.what());
    } catch (const std::exception& e) {
      expect(false, at + e.what());
    }
    reached = fake::fail_call == 0;
    fake::fail_call = 0;
    expect(Held() == held, at + "left are " + Held().text() + " instead of " + held.text());
    expect(!body(padding).empty() && body(first) == expected, at + "the same again gives another result");
    expect(Held() == held, at + "left afterwards are " + Held().text());
    expect(fake::descriptors - descriptors <= kept, at + "descriptors are left: " + std::to_string(fake::descriptors - descriptors - kept));
  }
  expect(thrown > 8, what + ": a failure was told " + std::to_string(thrown) + " times only");
  std::printf("%s: %lld calls, %lld of them told\n", what.c_str(), static_cast<long long>(n - 2), static_cast<long long>(thrown));
}

// cuDNN that cannot be had: nothing that waits for its plans, then or at the process's end, finds half of an engine.
void fail_to_begin() {
  Context context;
  context.memory();
  bool begun = false;
  for (int64_t n = 1; !begun; ++n) {
    fake::fail_call = n;
    try {
      cuda::Engines::of(context);
      begun = fake::fail_call != 0;
    } catch (const Failure&) {
    }
    fake::fail_call = 0;
    cuda::Engines::wait(0);
  }
}

// What fails in the thread that makes plans is told to nobody; the plain plan goes on, and another shape's plan comes.
void fail_in_compiler() {
  cuda::Shape shape;
  shape.math = cuda::Math::kTf32, shape.layout = cuda::Layout::kNhwc;
  shape.n = 1, shape.c = shape.o = kChannels, shape.h = shape.kh = shape.ho = 1, shape.w = 64, shape.kw = 3, shape.wo = 62;
  shape.tail.ratio_n = shape.tail.updated_n = shape.tail.bias = 1;
  const int64_t before = fake::descriptors;
  int64_t n = 1;
  for (bool reached = true; reached; ++n) {
    Context context;
    cuda::Engines::of(context);
    shape.n = 1 + n;
    {
      const cuda::PlanStore store(cuda::PlanStore::default_folder());
      cuda::PlanKey key;
      key.shape = shape, key.cudnn = 92400, key.driver = 13000, key.gpu = "fake";
      store.remove(key);
      int calls = 0;
      std::optional<cuda::Plan> plan;
      cuda::PlanCompiler compiler(0, int64_t{1} << 30, [&](const cuda::PlanKey&, std::optional<cuda::Plan> made, bool) {
        ++calls;
        plan = std::move(made);
      });
      fake::fail_call = n;
      compiler.request({key, {}, false});
      compiler.wait();
      reached = fake::fail_call == 0;
      fake::fail_call = 0;
      expect(calls == 1, "the compiler tells of every request");
      compiler.request({key, {}, false});
      compiler.wait();
      expect(calls == 2 && plan.has_value(), "compiling works after its call " + std::to_string(n) + " failed");
      store.remove(key);
    }
    expect(fake::descriptors == before, "a plan that was not made leaves descriptors: call " + std::to_string(n));
  }
  std::printf("compiling: %lld calls\n", static_cast<long long>(n - 2));
}

}  // namespace

int main() {
  fake::state().devices = 2;
  fail_to_begin();
  set_deterministic(true);  // no plan comes from a thread in between
  fail_each_call("passes", passes, 1);
  fail_each_call("graph and copies", graph_and_copies, 700);
  fail_each_call("out of memory", out_of_memory, 0);
  set_deterministic(false);
  fail_in_compiler();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
