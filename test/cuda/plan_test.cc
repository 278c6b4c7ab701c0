// The plan suite: on described GPUs, each pass x dtype x geometry ends in a cuDNN plan or in the documented route; fused plans need no
// workspace; plans survive being serialized. Needs cuDNN, NVRTC and a libcuda stub, but no GPU (toolkit.ts).
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "cuda/plan.h"
#include "cuda/plan_cache.h"
#include "described_devices.h"
#include "failure.h"

using namespace partialconv;
using namespace partialconv::cuda;

namespace {

constexpr int64_t kNoLimit = int64_t{1} << 40;
int failures = 0, plain_plans = 0, fused_plans = 0, own_kernels = 0, no_fused = 0;

void fail(const std::string& device, const std::string& what) {
  ++failures;
  std::printf("FAILED on %s: %s\n", device.c_str(), what.c_str());
}

// A 1-D (h = 1) or 2-D geometry with its output size and a single-channel mask.
struct Options {
  int64_t n, c, h, w, o, kh, kw, stride = 1, dilation = 1, pad = 0, groups = 1;
};

ConvGeometry geometry(const Options& p) {
  ConvGeometry g{};
  const bool flat = p.h == 1 && p.kh == 1;
  g.n = p.n, g.c = p.c, g.h = p.h, g.w = p.w, g.o = p.o, g.kh = p.kh, g.kw = p.kw, g.groups = p.groups;
  g.stride_h = flat ? 1 : p.stride, g.stride_w = p.stride, g.dilation_h = flat ? 1 : p.dilation, g.dilation_w = p.dilation;
  g.pad_h = flat ? 0 : p.pad, g.pad_w = p.pad;
  g.ho = (g.h + 2 * g.pad_h - (g.kh - 1) * g.dilation_h - 1) / g.stride_h + 1;
  g.wo = (g.w + 2 * g.pad_w - (g.kw - 1) * g.dilation_w - 1) / g.stride_w + 1;
  g.mask_n = g.ratio_n = p.n, g.mask_c = g.ratio_c = 1;
  return g;
}

std::vector<ConvGeometry> named_geometries() {
  return {
      geometry({8, 512, 1, 1000, 512, 1, 5, 1, 1, 2}),
      geometry({32, 64, 1, 4096, 64, 1, 7, 1, 1, 3}),
      geometry({1, 80, 1, 2000, 80, 1, 3, 1, 1, 1}),
      geometry({8, 512, 1, 1000, 512, 1, 5, 1, 8, 16}),
      geometry({8, 64, 1, 1000, 128, 1, 4, 2, 1, 1}),
      geometry({8, 128, 1, 500, 128, 1, 5, 1, 1, 0, 4}),
      geometry({4, 30, 1, 777, 50, 1, 3, 1, 2, 2}),
      geometry({2, 36, 1, 300, 60, 1, 3, 1, 1, 1, 3}),
      geometry({4, 64, 64, 64, 64, 3, 3, 1, 1, 1}),
      geometry({4, 64, 32, 48, 128, 3, 5, 2, 1, 1}),
      geometry({1, 16, 1, 32, 1, 1, 1}),
      geometry({3, 8, 1, 64, 8, 1, 3, 3, 4, 5}),
      geometry({8, 256, 1, 1, 256, 1, 1}),
      geometry({2, 64, 1, 100, 64, 1, 64, 1, 1, 0}),
  };
}

// As the fuzzer of the CPU backend draws them: sizes small and odd, options free.
std::vector<ConvGeometry> random_geometries(unsigned seed, int count) {
  std::mt19937 random(seed);
  const auto draw = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % static_cast<uint32_t>(high - low + 1)); };
  std::vector<ConvGeometry> all;
  while (static_cast<int>(all.size()) < count) {
    const int64_t groups = draw(0, 3) == 0 ? draw(2, 4) : 1;
    const bool flat = draw(0, 2) != 0;
    Options p{draw(1, 4), groups * draw(1, 40), flat ? 1 : draw(3, 20), draw(3, 300), groups * draw(1, 40), flat ? 1 : draw(1, 3),
              draw(1, 7)};
    p.stride = draw(1, 3), p.dilation = draw(1, 4), p.pad = draw(0, 4), p.groups = groups;
    const ConvGeometry g = geometry(p);
    if (g.ho > 0 && g.wo > 0 && g.h + 2 * g.pad_h > (g.kh - 1) * g.dilation_h && g.w + 2 * g.pad_w > (g.kw - 1) * g.dilation_w)
      all.push_back(g);
  }
  return all;
}

struct Number {
  DType dtype;
  bool tf32;
};
constexpr Number kNumbers[] = {
    {DType::kFloat32, false}, {DType::kFloat32, true}, {DType::kFloat64, false}, {DType::kFloat16, false}, {DType::kBFloat16, false}};

Route route_of(const ConvGeometry& g, ConvPass pass, const Number& number) {
  Request request;
  request.pass = pass, request.dtype = number.dtype, request.allow_tf32 = number.tf32, request.has_bias = true;
  return choose(g, request);
}

// The plain plan must be there wherever the route is cuDNN's.
void plan_plain(const DescribedDevice& device, const cudnn::Target& target, const std::vector<ConvGeometry>& geometries) {
  for (const ConvGeometry& g : geometries) {
    for (const Number& number : kNumbers) {
      for (const ConvPass pass : {ConvPass::kForward, ConvPass::kBackwardInput, ConvPass::kBackwardWeight}) {
        const Route route = route_of(g, pass, number);
        if (route.engine != Engine::kCudnn) {
          ++own_kernels;
          continue;
        }
        try {
          if (Plan::find(target, route.shape, kNoLimit)) ++plain_plans;
          else fail(device.name, "no plan for " + route.shape.text());
        } catch (const std::exception& e) {
          fail(device.name, std::string(e.what()) + " for " + route.shape.text());
        }
      }
    }
  }
}

// The fused plan, where the route says that there can be one: without workspace. Where there is none the plain plan stays.
void plan_fused(const DescribedDevice& device, const cudnn::Target& target, const ConvGeometry& g, const Number& number, ConvPass pass,
                bool expected) {
  const Route route = route_of(g, pass, number);
  if (!route.fusable) return expected ? fail(device.name, "not fusable: " + route.shape.text()) : void();
  Shape shape = route.shape;
  shape.tail = route.fused;
  try {
    const std::optional<Plan> plan = Plan::find(target, shape, 0);
    if (plan) ++fused_plans;
    else if (expected) fail(device.name, "no fused plan without workspace for " + shape.text());
    else ++no_fused;
  } catch (const std::exception& e) {
    fail(device.name, std::string(e.what()) + " for " + shape.text());
  }
}

// A plan becomes JSON and a plan again; a damaged text is refused with the call's name.
void serialize(const DescribedDevice& device, const cudnn::Target& target) {
  const Route route = route_of(named_geometries()[2], ConvPass::kForward, {DType::kBFloat16, false});
  for (const bool fused : {false, true}) {
    Shape shape = route.shape;
    if (fused) shape.tail = route.fused;
    const std::optional<Plan> plan = Plan::find(target, shape, kNoLimit);
    if (!plan) return fail(device.name, "nothing to serialize");
    const std::string json = plan->to_json();
    const Plan again = Plan::restore(target, json);
    if (again.workspace() != plan->workspace() || again.to_json() != json) fail(device.name, "a restored plan differs");
    std::printf("  a %s plan is %zu bytes of JSON\n", fused ? "fused" : "plain", json.size());
    try {
      Plan::restore(target, json.substr(0, json.size() / 2));
      fail(device.name, "half a plan was accepted");
    } catch (const Failure& e) {
      if (e.call.find("cudnnBackend") != 0 || e.status == 0) fail(device.name, std::string("a failure without its call: ") + e.what());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int random_count = argc > 1 ? std::atoi(argv[1]) : 40;
  const unsigned seed = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1;
  const bool all_fused = argc > 3;  // a fused plan takes most of a second: else each geometry has one dtype of each pass
  if (cudnn::installed() == nullptr) {
    std::printf("%s\n", cudnn::absence().c_str());
    return 2;
  }
  std::printf("cuDNN %zu, seed %u\n", cudnn::api().get_version(), seed);
  const auto started = std::chrono::steady_clock::now();
  std::vector<ConvGeometry> geometries = named_geometries();
  for (const ConvGeometry& g : random_geometries(seed, random_count)) geometries.push_back(g);

  for (const DescribedDevice& device : described_devices()) {
    const bool first = &device == &described_devices().front();
    try {
      const cudnn::Target target(device.json());
      plan_plain(device, target, first ? geometries : named_geometries());
      const std::vector<ConvGeometry> named = named_geometries();
      constexpr Number kFused[] = {{DType::kBFloat16, false}, {DType::kFloat32, true}, {DType::kFloat16, false}};
      int turn = 0;
      for (const std::size_t i : first ? std::vector<std::size_t>{0, 2, 3, 4, 5, 8} : std::vector<std::size_t>{0}) {
        ++turn;
        for (int kind = 0; kind < 3; ++kind) {
          if (all_fused || turn % 3 == kind) plan_fused(device, target, named[i], kFused[kind], ConvPass::kForward, true);
          if (all_fused || (turn + 1) % 3 == kind) plan_fused(device, target, named[i], kFused[kind], ConvPass::kBackwardInput, true);
        }
      }
      if (first) serialize(device, target);
    } catch (const std::exception& e) {
      fail(device.name, e.what());
    }
    std::printf("%s: %d plain plans, %d fused, %d none fused, %d without cuDNN\n", device.name, plain_plans, fused_plans, no_fused,
                own_kernels);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf("%d failures in %.1f s\n", failures, seconds);
  return failures == 0 ? 0 : 1;
}
