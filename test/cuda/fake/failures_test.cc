// What goes wrong on a GPU, injected by the fake: out of memory, a launch that fails, cuDNN that fails. Each is an exception with the
// call's name, and everything goes on. Also: size classes, the sizes of launches, and how many plans and kernels a convolution takes.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "../expect.h"
#include "conv.h"
#include "cuda/device.h"
#include "failure.h"
#include "fake.h"

using namespace partialconv;

namespace {

// The message of the Failure that body throws, which must be of this call; "" where it throws none.
std::string failure_of(const std::string& call, const std::function<void()>& body) {
  try {
    body();
    expect(false, "a failure of " + call + ", but there was none");
  } catch (const Failure& e) {
    expect(e.call == call && e.status != 0, "a failure of " + call + ", but it was " + e.call);
    return e.what();
  } catch (const std::exception& e) {
    expect(false, std::string("a Failure, but it was ") + e.what());
  }
  return "";
}

void test_size_classes() {
  expect(cuda::size_class(0) == 512 && cuda::size_class(1) == 512 && cuda::size_class(512) == 512 && cuda::size_class(513) == 1024,
         "small classes");
  std::size_t last = 0;
  for (std::size_t bytes = 1; bytes < (std::size_t{1} << 34); bytes += bytes / 7 + 1) {
    const std::size_t size = cuda::size_class(bytes);
    expect(size >= bytes && size % 512 == 0 && size >= last, "a class holds its request, in order");
    expect(bytes <= 4096 || size - bytes <= bytes / 8 + 512, "a class wastes an eighth at most: " + std::to_string(bytes));
    expect(cuda::size_class(size) == size, "a class is its own class: " + std::to_string(size));
    last = size;
  }
}

void test_launches() {
  expect(launch_blocks(1, 132) == 1 && launch_blocks(256, 132) == 1 && launch_blocks(257, 132) == 2, "a block has 256 threads");
  expect(launch_blocks(int64_t{1} << 40, 132) == 132 * 32, "a large launch is bounded");
  expect(launch_blocks(1000, 0) >= 1, "at least one block");
  // What the fake refuses of every launch in all of these tests.
  Context context;
  const auto accepted = [&](unsigned blocks, int64_t n) { return fake::count_launch(blocks, context.stream(), n, "a kernel") == 0; };
  expect(accepted(1, 1) && accepted(1, 256) && accepted(2, 257) && accepted(128, int64_t{1} << 30), "the grids of the launcher");
  expect(!accepted(0, 1) && !accepted(2, 256) && !accepted(1, 257) && !accepted(129, int64_t{1} << 30) && !accepted(1, 0), "no others");
  expect(fake::count_launch(1, nullptr, 1, "a kernel") != 0, "none without a stream");
}

struct Conv {
  ConvGeometry g{};
  Context& context;
  std::shared_ptr<void> x, weight, y, mask, ratio;

  Conv(Context& context, int64_t w) : context(context) {
    g.n = 2, g.c = g.o = 16, g.h = g.kh = g.ho = 1, g.w = g.wo = w, g.kw = 3, g.pad_w = 1, g.groups = 1;
    g.stride_h = g.stride_w = g.dilation_h = g.dilation_w = 1;
    g.mask_n = g.mask_c = g.ratio_n = g.ratio_c = 1;
    const std::size_t bytes = static_cast<std::size_t>(g.n * g.c * w) * 4;
    x = context.allocate(bytes), y = context.allocate(bytes), weight = context.allocate(16 * 16 * 3 * 4);
    mask = context.allocate(static_cast<std::size_t>(w) * 4), ratio = context.allocate(static_cast<std::size_t>(w) * 4);
    for (const auto& [data, size] : {std::pair(x, bytes), std::pair(weight, std::size_t{16 * 16 * 3 * 4}),
                                     std::pair(mask, static_cast<std::size_t>(w) * 4), std::pair(ratio, static_cast<std::size_t>(w) * 4)}) {
      const std::vector<float> ones(size / 4, 1.0f);
      context.write(data.get(), ones.data(), size);
    }
  }

  Span span(const std::shared_ptr<void>& data, int64_t size) const { return {data.get(), size, DType::kFloat32}; }

  float run() const {
    const int64_t size = g.n * g.c * g.w;
    forward(context, g, {span(x, size), span(mask, g.w)}, span(weight, 16 * 16 * 3), {{}, span(ratio, g.w), span(ratio, g.w)},
            span(y, size));
    float middle = 0;
    context.read(&middle, static_cast<float*>(y.get()) + 5, 4);
    return middle;
  }
};

void test_plans_and_launches(Context& context) {
  fake::State& s = fake::state();
  const Conv first(context, 1000), second(context, 1001);
  expect(first.run() == 48, "16 channels of 3 ones");
  const int64_t plans = s.plans, launches = s.launches, executions = s.executions;
  expect(second.run() == 48 && first.run() == 48, "the same again");
  expect(s.plans == plans, "lengths 1000 and 1001 share a plan");
  expect(s.launches == launches + 4 && s.executions == executions + 2, "a convolution is a layout kernel, cuDNN and an epilogue");
}

void test_failures(Context& context) {
  fake::State& s = fake::state();
  const Conv conv(context, 500);
  conv.run();
  const std::size_t in_use = context.memory().in_use();
  s.fail_launch = 1;
  failure_of("cudaLaunchKernel", [&] { conv.run(); });
  expect(conv.run() == 48, "a failed first launch is over");
  s.fail_launch = 2;
  failure_of("cudaLaunchKernel", [&] { conv.run(); });
  s.fail_execute = 1;
  failure_of("cudnnBackendExecute", [&] { conv.run(); });
  expect(conv.run() == 48, "cuDNN's failure is over");
  expect(context.memory().in_use() == in_use, "failures give their scratch memory back");
}

void test_out_of_memory(Context& context) {
  fake::State& s = fake::state();
  const Conv conv(context, 700);
  conv.run();
  const std::size_t in_use = context.memory().in_use();
  { const auto passing = context.allocate(1 << 20); }
  expect(context.memory().cached() >= (1 << 20), "freed memory is cached");
  const int64_t memory = s.memory;
  s.memory = s.used + (1 << 19);
  const std::string message = failure_of("cudaMallocFromPoolAsync", [&] { context.allocate(1 << 22); });
  expect(message.find("4194304 bytes asked") != std::string::npos && message.find(" free") != std::string::npos,
         "bytes asked and free: " + message);
  expect(context.memory().cached() == 0, "the cache was given back before");
  expect(context.memory().in_use() == in_use && conv.run() == 48, "every live tensor survives");
  const auto again = context.allocate(1 << 20);  // fits, now that the cache is empty
  s.memory = memory;
}

// A capture, what it does not allow, and whose its memory is.
void test_capture() {
  fake::State& s = fake::state();
  Context context;
  cuda::Memory& memory = context.memory();
  const cuda::Stream stream = context.stream();
  const auto x = context.allocate(4096);
  float value = 0;
  const auto filled = [&](float number) { each(context, 8, [data = static_cast<float*>(x.get()), number](int64_t i) { data[i] = number; }); };
  const cuda::Event event = cuda::create_event();
  cuda::record(event, stream);
  const std::pair<const char*, std::function<void()>> refused[] = {
      {"cudaStreamSynchronize", [&] { cuda::synchronize(stream); }},
      {"cudaMallocFromPoolAsync", [&] { cuda::allocate(nullptr, 512, stream); }},
      {"cudaFreeAsync", [&] { cuda::release(x.get(), stream); }},
      {"cudaHostAlloc", [&] { cuda::allocate_pinned(512); }},
      {"cudaEventQuery", [&] { cuda::done(event); }},
      {"cudaEventSynchronize", [&] { cuda::wait(event); }},
      {"cudaEventRecord", [&] { cuda::record(event, stream); }},
      {"cudaMemcpyAsync", [&] { cuda::copy_to_device(x.get(), &value, 4, stream); }},
      {"cudaMemcpyAsync", [&] { cuda::copy_to_host(&value, x.get(), 4, stream); }},
      {"cudaStreamBeginCapture", [&] { cuda::begin_capture(stream); }},
  };
  for (const auto& [call, body] : refused) {
    context.begin_capture();
    failure_of(call, body);
    failure_of("cudaStreamEndCapture", [&] { context.end_capture(); });
    filled(3);
    context.read(&value, x.get(), 4);
    expect(value == 3, std::string("the stream works after ") + call);
  }
  cuda::destroy_event(event);

  filled(1);
  const std::size_t in_use = memory.in_use();
  const int64_t allocations = s.allocations;
  std::shared_ptr<void> made;
  context.begin_capture();
  filled(2);
  { const Scratch fresh(context, 1 << 21); }  // nothing of its size is cached
  made = context.allocate(1 << 21);
  auto graph = context.end_capture();
  expect(s.allocations == allocations + 1 && memory.in_use() >= in_use + (1 << 21), "one block, taken twice in the capture");
  context.read(&value, x.get(), 4);
  expect(value == 1, "a capture runs nothing");
  for (const float number : {5.0f, 6.0f}) {
    filled(number);
    context.launch(graph);
    context.read(&value, x.get(), 4);
    expect(value == 2, "a launch does");
  }
  void* const block = made.get();
  const auto other = [&] { return context.allocate(1 << 21).get(); };
  made.reset();
  expect(other() != block, "a graph's memory is nobody else's");
  graph.reset();
  expect(memory.in_use() == in_use && s.graphs == 0, "and is given back with it");
}

void test_devices() {
  Context context;
  try {
    context.select(1);
    expect(false, "cuda:1 is not there");
  } catch (const std::exception& e) {
    expect(std::string(e.what()).find("cuda:1 is not available: this machine has 1") == 0, e.what());
  }
}

// Memory outlives the context that it came from.
void test_lifetimes() {
  std::shared_ptr<void> kept;
  {
    Context context;
    kept = context.allocate(4096);
  }
  expect(fake::state().used > 0, "kept memory is there");
  kept.reset();
  expect(fake::state().used == 0, "all memory is given back at the end: " + std::to_string(fake::state().used));
}

// A large copy from the host goes in pieces of 16 MiB, of which no more than 64 MiB wait at a time; the host's memory may change at once.
void test_uploads() {
  Context context;
  std::vector<uint32_t> values((std::size_t{5} << 22) + 1000);  // 80 MiB and a little more
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint32_t>(i * 2654435761u);
  const std::vector<uint32_t> expected = values;
  const std::size_t bytes = values.size() * sizeof(uint32_t);
  const std::shared_ptr<void> data = context.allocate(bytes);
  const int64_t uploads = fake::state().uploads, waits = fake::waits();
  context.write(data.get(), values.data(), bytes);
  expect(fake::state().uploads - uploads == 6 && fake::waits() - waits == 2, "pieces of an upload, and waits for room");
  std::fill(values.begin(), values.end(), 0);
  context.read(values.data(), data.get(), bytes);
  expect(values == expected, "what was uploaded is what the host had at the call");
}

}  // namespace

int main() {
  test_size_classes();
  test_launches();
  {
    Context context;
    test_plans_and_launches(context);
    test_failures(context);
    test_out_of_memory(context);
  }
  test_capture();
  test_devices();
  test_lifetimes();
  test_uploads();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
