// Plans on the fake: compiled in the background, kept on disk, checked (PARTIALCONV_VERIFY), timed (PARTIALCONV_AUTOTUNE).
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../expect.h"
#include "cuda/engine.h"
#include "fake.h"

using namespace partialconv;

namespace {

// The shape of a convolution with everything in its tail.
cuda::Shape fused_shape() {
  cuda::Shape shape;
  shape.math = cuda::Math::kTf32, shape.layout = cuda::Layout::kNhwc;
  shape.n = 1, shape.c = shape.o = 16, shape.h = shape.kh = shape.ho = 1, shape.w = 64, shape.wo = 62, shape.kw = 3;
  shape.tail.ratio_n = shape.tail.updated_n = shape.tail.bias = 1;
  return shape;
}

bool comes(cuda::Engines& engines, const cuda::Shape& shape) {
  for (int i = 0; i < 1000; ++i) {
    if (engines.ready(shape)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

void test_tiers() {
  fake::State& s = fake::state();
  const cuda::Shape shape = fused_shape();
  cuda::PlanKey key;
  key.shape = shape, key.cudnn = 92400, key.driver = 13000, key.gpu = "fake";
  const cuda::PlanStore store(cuda::PlanStore::default_folder());
  store.remove(key);
  cuda::Engines first(0), second(0), third(0);
  expect(!first.ready(shape), "a fused plan is not made on the caller's thread");
  expect(comes(first, shape), "it comes");
  const int64_t plans = s.plans;
  expect(store.load(key).has_value(), "and is kept on disk");
  expect(comes(second, shape) && s.plans == plans && s.restored == 1, "from where the next one has it");
  store.save(key, "damaged");
  expect(comes(third, shape) && s.plans == plans + 1, "a damaged one is made again");
  expect(store.load(key) != std::optional<std::string>("damaged"), "and replaced");

  s.refuse_fused = 1;
  store.remove(key);
  cuda::Engines none(0);
  expect(!none.ready(shape), "not yet");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const int64_t tried = s.plans;
  for (int i = 0; i < 5; ++i) expect(!none.ready(shape), "cuDNN has none");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  expect(s.plans == tried, "and is not asked again");
  s.refuse_fused = 0;
}

// What goes to stderr while body runs.
std::string stderr_of(const std::function<void()>& body) {
  const int saved = dup(2);
  std::FILE* file = std::tmpfile();
  dup2(fileno(file), 2);
  body();
  std::fflush(stderr);
  dup2(saved, 2);
  close(saved);
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

// Ones for every operand of fused_shape() and of the same without its tail.
struct Operands {
  std::vector<std::shared_ptr<void>> memory;
  std::vector<cuda::Binding> bindings;

  explicit Operands(Context& context) {
    const std::vector<float> ones(16 * 64, 1.0f);
    for (const cuda::TensorId id : {cuda::kX, cuda::kWeight, cuda::kY, cuda::kRatio, cuda::kUpdated, cuda::kBias, cuda::kMask}) {
      memory.push_back(context.allocate(ones.size() * 4));
      context.write(memory.back().get(), ones.data(), ones.size() * 4);
      bindings.push_back({id, memory.back().get()});
    }
  }
  // Of y, all of which are the same.
  float y(Context& context) const {
    std::vector<float> values(16 * 62);
    context.read(values.data(), memory[2].get(), values.size() * 4);
    for (const float value : values) expect(value == values[0], "every number of y is right");
    return values[0];
  }
};

bool says(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (text.find(part) == std::string::npos) return false;
  }
  return true;
}

// More shapes in turn than plans are kept: said once.
void test_thrashing(Context& context) {
  cuda::Engines engines(0);
  const Operands o(context);
  const auto round = [&] {
    for (int64_t n = 0; n < 300; ++n) {
      cuda::Shape shape = fused_shape();
      shape.tail = {}, shape.w = 3 + n % 20, shape.wo = shape.w - 2, shape.c = shape.o = 1 + n / 20;
      engines.run(context, shape, o.bindings);
    }
  };
  expect(stderr_of(round).empty(), "300 shapes are no reason to warn");
  const std::string said = stderr_of(round);
  expect(says(said, {"warning: convolutions of more than 256 shapes take turns on cuda (fake)"}), "the same again are: " + said);
  expect(stderr_of(round).empty(), "once");
}

void test_verification(Context& context) {
  fake::State& s = fake::state();
  const cuda::Shape fused = fused_shape();
  cuda::PlanKey key;
  key.shape = fused, key.cudnn = 92400, key.driver = 13000, key.gpu = "fake";
  const cuda::PlanStore store(cuda::PlanStore::default_folder());
  store.remove(key);
  setenv("PARTIALCONV_VERIFY", "1", 1);
  cuda::Engines engines(0);
  unsetenv("PARTIALCONV_VERIFY");
  const Operands o(context);
  s.engines = 2;
  for (const cuda::ConvPass pass : {cuda::ConvPass::kForward, cuda::ConvPass::kBackwardInput, cuda::ConvPass::kBackwardWeight}) {
    const Operands o(context);
    cuda::Shape plain = fused;
    plain.tail = {}, plain.pass = pass;
    s.wrong_engines = 0b101;  // the first of heuristics A, the first of B
    const std::string first = stderr_of([&] { expect(engines.run(context, plain, o.bindings), "a right plan is found"); });
    expect(
        says(first, {"warning", "cuDNN 9.24.0", "fake", "engine 0 of heuristics A", "is wrong by"}) && says(first, {plain.text().c_str()}),
        "the wrong plan is named: " + first);
    expect(fake::last_engine() == 1, "the next engine is taken");
    s.wrong_engines = 0;
    const int64_t launches = s.launches, executions = s.executions;
    expect(stderr_of([&] { engines.run(context, plain, o.bindings); }).empty() && s.launches == launches && s.executions == executions + 1,
           "a plan is checked once");
  }
  cuda::Shape none = fused;
  none.tail = {}, none.n = 1, none.o = 8;
  s.wrong_engines = 0b111111;
  std::string message;
  const std::string all = stderr_of([&] {
    try {
      engines.run(context, none, o.bindings);
    } catch (const std::exception& e) {
      message = e.what();
    }
  });
  expect(message == "cuDNN has no right plan for " + none.text(), "with no right plan there is an error: " + message);
  expect(says(all, {"engine 1 of heuristics A", "engine 0 of heuristics B", "engine 1 of heuristics FALLBACK"}), "after all were tried");

  s.wrong_engines = 0b1;
  expect(comes(engines, fused) && store.load(key).has_value(), "a fused plan comes, and is kept");
  const std::string warning = stderr_of([&] { expect(!engines.run(context, fused, o.bindings), "a wrong fused plan gives no result"); });
  expect(says(warning, {fused.text().c_str(), "engine 0 of heuristics A"}), "it is named: " + warning);
  expect(comes(engines, fused) && stderr_of([&] { expect(engines.run(context, fused, o.bindings), "the next one is right"); }).empty(),
         "without a warning");
  expect(o.y(context) == 49 && fake::last_engine() == 1, "and gives the result");
  cuda::Engines later(0);
  expect(comes(later, fused) && later.run(context, fused, o.bindings) && fake::last_engine() == 1, "the disk has the right one");
  s.engines = 1, s.wrong_engines = 0;
  store.remove(key);
}

void test_tuning(Context& context) {
  fake::State& s = fake::state();
  const cuda::Shape fused = fused_shape();
  cuda::Shape plain = fused;
  plain.tail = {};
  cuda::PlanKey key;
  key.shape = fused, key.cudnn = 92400, key.driver = 13000, key.gpu = "fake";
  cuda::PlanKey plain_key = key;
  plain_key.shape = plain;
  const cuda::PlanStore store(cuda::PlanStore::default_folder());
  const Operands o(context);
  // Runs a shape until an engine does it.
  const auto becomes = [&](cuda::Engines& engines, const cuda::Shape& shape, int64_t engine) {
    for (int i = 0; i < 1000; ++i) {
      if (engines.ready(shape) && engines.run(context, shape, o.bindings) && fake::last_engine() == engine) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  };
  store.remove(key), store.remove(plain_key);
  s.engines = 2, s.fast_engine = 3, s.fused_time = 100, s.plain_time = 100;
  cuda::Engines untuned(0);
  expect(untuned.run(context, plain, o.bindings) && fake::last_engine() == 0, "untuned, the first engine is taken");
  set_autotune(true);
  expect(becomes(untuned, plain, 3), "the fastest engine takes the place of one that is in use");
  expect(o.y(context) == 48, "with the same numbers");
  cuda::Engines again(0);
  const int64_t restored = s.restored;
  expect(becomes(again, plain, 3) && s.restored == restored + 1, "the next process has it from the disk");
  expect(becomes(again, fused, 3) && o.y(context) == 49, "the fastest fused plan: it saves a kernel");

  store.remove(key);
  s.fused_time = 1000;  // a tenth of that for the fastest: more than the plain plan and our kernel
  cuda::Engines slow(0);
  expect(!slow.ready(fused), "not there yet");
  for (int i = 0; i < 1000 && !store.load(key); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  expect(store.load(key).has_value() && !slow.ready(fused), "the plain plan and our kernel are faster");
  const int64_t plans = s.plans;
  cuda::Engines later(0);
  for (int i = 0; i < 20; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(2))) expect(!later.ready(fused), "that is kept too");
  expect(s.plans == plans, "and not timed again");
  set_autotune(false);

  const int64_t memory = s.memory;
  s.memory = s.used;  // none for the operands
  set_autotune(true);
  store.remove(key);
  cuda::Engines poor(0);
  expect(comes(poor, fused), "without memory to time plans, the first one is taken");
  s.memory = memory;
  set_autotune(false);
  s.engines = 1, s.fast_engine = -1, s.fused_time = 100;
  store.remove(key), store.remove(plain_key);
}

}  // namespace

int main() {
  test_tiers();
  Context context;
  test_thrashing(context);
  test_verification(context);
  test_tuning(context);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
