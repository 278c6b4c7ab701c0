// The decisions of the CUDA backend that need neither a GPU nor cuDNN: routes, rounded-up shapes (exact, by computing both), plan keys,
// the cache of plans and the files on disk.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cuda/plan_cache.h"
#include "cuda/route.h"
#include "expect.h"

using namespace partialconv;
using namespace partialconv::cuda;

namespace {

ConvGeometry geometry(int64_t c, int64_t o, int64_t h, int64_t w, int64_t kh, int64_t kw, int64_t stride = 1, int64_t pad = 0,
                      int64_t dilation = 1, int64_t groups = 1) {
  ConvGeometry g{};
  const bool flat = h == 1 && kh == 1;
  g.n = 1, g.c = c, g.h = h, g.w = w, g.o = o, g.kh = kh, g.kw = kw, g.groups = groups;
  g.stride_h = flat ? 1 : stride, g.stride_w = stride, g.pad_h = flat ? 0 : pad, g.pad_w = pad;
  g.dilation_h = flat ? 1 : dilation, g.dilation_w = dilation;
  g.ho = (h + 2 * g.pad_h - (kh - 1) * g.dilation_h - 1) / g.stride_h + 1;
  g.wo = (w + 2 * g.pad_w - (kw - 1) * g.dilation_w - 1) / g.stride_w + 1;
  g.mask_n = g.mask_c = g.ratio_n = g.ratio_c = 1;
  return g;
}

Route route_of(const ConvGeometry& g, DType dtype = DType::kBFloat16, ConvPass pass = ConvPass::kForward, bool tf32 = true,
               bool bias = true) {
  Request request;
  request.dtype = dtype, request.pass = pass, request.allow_tf32 = tf32, request.has_bias = bias;
  return choose(g, request);
}

// One input and one output channel of the convolution: y[ho, wo] of x[h, w].
std::vector<double> correlate(const Shape& s, const std::vector<double>& x, const std::vector<double>& weight) {
  std::vector<double> y(static_cast<std::size_t>(s.ho * s.wo));
  for (int64_t row = 0; row < s.ho; ++row) {
    for (int64_t col = 0; col < s.wo; ++col) {
      for (int64_t kh = 0; kh < s.kh; ++kh) {
        for (int64_t kw = 0; kw < s.kw; ++kw) {
          const int64_t h = row * s.stride_h - s.pre_h + kh * s.dilation_h, w = col * s.stride_w - s.pre_w + kw * s.dilation_w;
          if (h >= 0 && h < s.h && w >= 0 && w < s.w) y[row * s.wo + col] += x[h * s.w + w] * weight[kh * s.kw + kw];
        }
      }
    }
  }
  return y;
}

// What the route computes on the zero-extended input is what the geometry asks for, wherever the geometry has an output.
void check_exact(const ConvGeometry& g, std::mt19937& random) {
  const Route route = route_of(g);
  const std::string name = route.shape.text();
  if (route.engine != Engine::kCudnn) return;
  std::vector<double> weight(static_cast<std::size_t>(g.kh * g.kw)), x(static_cast<std::size_t>(g.h * g.w));
  for (double& value : weight) value = static_cast<double>(random() % 19) - 9;
  for (double& value : x) value = static_cast<double>(random() % 19) - 9;
  Shape asked;
  asked.h = g.h, asked.w = g.w, asked.kh = g.kh, asked.kw = g.kw, asked.ho = g.ho, asked.wo = g.wo;
  asked.stride_h = g.stride_h, asked.stride_w = g.stride_w, asked.pre_h = g.pad_h, asked.pre_w = g.pad_w;
  asked.dilation_h = g.dilation_h, asked.dilation_w = g.dilation_w;
  std::vector<double> wide(static_cast<std::size_t>(g.h * route.copied_w));
  for (int64_t h = 0; h < g.h; ++h) {
    for (int64_t w = 0; w < g.w; ++w) wide[h * route.copied_w + w] = x[h * g.w + w];
  }
  const Shape& s = route.shape;
  expect(s.h * s.w == g.h * route.copied_w, name + ": the layout kernel writes another number of cells than the plan reads");
  const std::vector<double> expected = correlate(asked, x, weight), got = correlate(s, wide, weight);
  const int64_t pitch = route.dilation_view ? s.ho * s.wo : s.wo;  // cells from one of the geometry's rows to the next
  expect(pitch >= g.wo && static_cast<int64_t>(got.size()) >= pitch * (route.dilation_view ? 1 : g.ho), name + ": too few outputs");
  for (int64_t row = 0; row < g.ho; ++row) {
    for (int64_t col = 0; col < g.wo; ++col) {
      if (got[row * pitch + col] != expected[row * g.wo + col]) return expect(false, name + ": a wrong value at " + std::to_string(col));
    }
  }
}

void test_exactness() {
  std::mt19937 random(7);
  const auto draw = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % static_cast<uint32_t>(high - low + 1)); };
  int views = 0, tried = 0;
  while (tried < 400) {
    const bool flat = draw(0, 3) != 0;
    const ConvGeometry g =
        geometry(8, 8, flat ? 1 : draw(2, 12), draw(1, 200), flat ? 1 : draw(1, 3), draw(1, 6), draw(1, 3), draw(0, 9), draw(1, 9));
    if (g.ho <= 0 || g.wo <= 0 || g.w + 2 * g.pad_w <= (g.kw - 1) * g.dilation_w || g.h + 2 * g.pad_h <= (g.kh - 1) * g.dilation_h)
      continue;
    ++tried;
    views += route_of(g).dilation_view;
    check_exact(g, random);
  }
  expect(views > 5, "dilation views among the random geometries");
}

void test_routes() {
  const ConvGeometry dense = geometry(512, 512, 1, 1000, 1, 5, 1, 2);
  expect(route_of(dense).engine == Engine::kCudnn && route_of(dense).shape.layout == Layout::kNhwc, "bf16 runs on cuDNN in NHWC");
  expect(route_of(dense).fusable, "a single-channel ratio is fused");
  expect(route_of(dense).shape.w == 1024 && route_of(dense).shape.wo == 1024, "1000 columns are rounded up to 1024");
  expect(route_of(geometry(512, 512, 1, 1001, 1, 5, 1, 2)).shape == route_of(dense).shape, "lengths 1000 and 1001 share a plan");
  expect(!route_of(dense, DType::kFloat32, ConvPass::kForward, false).fusable, "strict f32 has no fused plan");
  expect(route_of(dense, DType::kFloat32, ConvPass::kForward, false).shape.layout == Layout::kNchw, "strict f32 runs in NCHW");
  expect(route_of(dense, DType::kFloat64).shape.w == 1000, "NCHW shapes are not rounded up");
  expect(route_of(dense, DType::kFloat32).shape.math == Math::kTf32, "float32 is TF32 where that is allowed");
  expect(!route_of(dense, DType::kBFloat16, ConvPass::kBackwardWeight).fusable, "backward_weight has no tail");
  expect(route_of(dense, DType::kBFloat16, ConvPass::kBackwardInput).fused.mask_n == 1, "backward_input ends with the mask");
  expect(route_of(geometry(64, 64, 1, 100, 1, 3, 1, 1, 1, 64)).engine == Engine::kOwn, "depthwise runs on our kernel");
  expect(route_of(geometry(1, 64, 1, 100, 1, 3)).engine == Engine::kOwn, "one channel runs on our kernel");
  expect(route_of(geometry(7, 64, 1, 100, 1, 3)).engine == Engine::kOwn && route_of(geometry(8, 64, 1, 100, 1, 3)).engine == Engine::kCudnn,
         "below 8 channels our kernel runs");
  expect(route_of(geometry(30, 50, 1, 100, 1, 3)).shape.c == 32 && route_of(geometry(30, 50, 1, 100, 1, 3)).shape.o == 56,
         "odd channels are padded");
  expect(route_of(geometry(30, 50, 1, 100, 1, 3), DType::kFloat32).shape.c == 32, "TF32 channels are padded to 4");
  expect(route_of(geometry(36, 60, 1, 100, 1, 3, 1, 0, 1, 3)).shape.layout == Layout::kNchw, "groups that fill no vectors stay in NCHW");
  const Route view = route_of(geometry(64, 64, 1, 1000, 1, 5, 1, 16, 8));
  expect(view.dilation_view && view.shape.h == 128 && view.shape.w == 8 && view.shape.kh == 5 && view.shape.dilation_w == 1,
         "dilation 8 is a view");
  expect(!route_of(geometry(64, 64, 1, 1000, 1, 5, 1, 15, 8)).dilation_view, "padding that is no multiple of the dilation has no view");
  ConvGeometry reflect = dense;
  reflect.padding_mode = PaddingMode::kReflect;
  expect(route_of(reflect).shape.pre_w == 0 && route_of(reflect).shape.w == 1024 && route_of(reflect).copied_w == 1024,
         "reflection is written out");
  ConvGeometry grouped = geometry(64, 64, 1, 100, 1, 3, 1, 1, 1, 4);
  grouped.ratio_c = 4;
  expect(!route_of(grouped).fusable, "a ratio for each group is not fused");
  ConvGeometry empty = dense;
  empty.n = 0;
  expect(route_of(empty).engine == Engine::kNothing, "no samples, nothing to run");
  ConvGeometry plain = dense;
  plain.mask_n = plain.mask_c = plain.ratio_n = plain.ratio_c = 0;
  expect(!route_of(plain, DType::kBFloat16, ConvPass::kForward, true, false).fusable && route_of(plain).fusable,
         "bias alone is worth fusing");
}

// Whatever makes another plan makes another key, and another line of text.
// What cuDNN checks: the outputs that a descriptor's strides and padding imply are those of y.
void test_consistency() {
  const auto outputs = [](int64_t in, int64_t taps, int64_t stride, int64_t padding, int64_t dilation) {
    return (in + padding - (taps - 1) * dilation - 1) / stride + 1;
  };
  ConvGeometry one = geometry(8, 8, 5, 9, 2, 4, 5);  // one output, with rows and columns left over, is given with a stride of 1
  expect(one.ho == 1 && one.wo == 2, "the geometry of the test");
  one.wo = 1;
  one.stride_h = one.stride_w = 1;
  for (const bool tf32 : {false, true}) {
    for (const PaddingMode mode : {PaddingMode::kZeros, PaddingMode::kCircular}) {
      one.padding_mode = mode;
      const Shape s = route_of(one, DType::kFloat32, ConvPass::kForward, tf32).shape;
      const bool rows = s.ho == outputs(s.h, s.kh, s.stride_h, s.pre_h + s.post_h, s.dilation_h);
      expect(rows && s.wo == outputs(s.w, s.kw, s.stride_w, s.pre_w + s.post_w, s.dilation_w), "outputs of " + s.text());
    }
  }
}

void test_keys() {
  std::vector<PlanKey> keys(1);
  keys[0].shape = route_of(geometry(64, 128, 1, 1000, 1, 5, 1, 2)).shape;
  keys[0].cudnn = 92400, keys[0].driver = 13000, keys[0].gpu = "H200";
  const auto vary = [&](auto change) {
    keys.push_back(keys[0]);
    change(keys.back());
  };
  int64_t Shape::*const fields[] = {&Shape::n,          &Shape::c,         &Shape::h,      &Shape::w,        &Shape::o,
                                    &Shape::kh,         &Shape::kw,        &Shape::ho,     &Shape::wo,       &Shape::pre_h,
                                    &Shape::pre_w,      &Shape::post_h,    &Shape::post_w, &Shape::stride_h, &Shape::stride_w,
                                    &Shape::dilation_h, &Shape::dilation_w};
  for (const auto field : fields) vary([&](PlanKey& key) { key.shape.*field += 64; });
  vary([](PlanKey& key) { key.shape.groups = 2; });
  vary([](PlanKey& key) { key.shape.deterministic = 0; });
  vary([](PlanKey& key) { key.shape.pass = ConvPass::kBackwardWeight; });
  vary([](PlanKey& key) { key.shape.math = Math::kFloat16; });
  vary([](PlanKey& key) { key.shape.layout = Layout::kNchw; });
  int64_t Tail::*const tails[] = {&Tail::ratio_n, &Tail::updated_n, &Tail::mask_n, &Tail::bias, &Tail::relu};
  for (const auto field : tails) vary([&](PlanKey& key) { key.shape.tail.*field = 1; });
  vary([](PlanKey& key) { key.cudnn = 91000; });
  vary([](PlanKey& key) { key.driver = 12080; });
  vary([](PlanKey& key) { key.gpu = "A100"; });
  std::set<std::string> texts;
  for (const PlanKey& key : keys) texts.insert(key.text());
  expect(std::set<PlanKey>(keys.begin(), keys.end()).size() == keys.size(), "keys differ");
  expect(texts.size() == keys.size(), "texts differ");
}

void test_lru() {
  Lru<int, std::string> lru(2);
  lru.put(1, "one");
  lru.put(2, "two");
  expect(lru.find(1) != nullptr && *lru.find(1) == "one", "a value is found");
  lru.put(3, "three");
  expect(lru.find(2) == nullptr && lru.find(1) != nullptr && lru.size() == 2, "the least recently used one is dropped");
  expect(lru.returned() == 0, "nothing has returned yet");
  lru.put(2, "again");
  expect(lru.returned() == 1, "what was dropped and made again is counted");
  lru.put(2, "changed");
  expect(*lru.find(2) == "changed" && lru.size() == 2, "a value is replaced");
}

void test_store(const std::string& folder) {
  PlanKey key;
  key.shape = route_of(geometry(64, 128, 1, 1000, 1, 5, 1, 2)).shape;
  key.gpu = "H200";
  PlanKey other = key;
  other.gpu = "A100";
  const PlanStore store(folder);
  expect(!store.load(key), "an empty folder has no plan");
  const std::string plan("{\"plan\": 1}\n\0binary", 19);
  expect(store.save(key, plan) && store.load(key) == plan, "a plan comes back as it was");
  expect(!store.load(other), "another GPU's plan is not there");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) std::ofstream(entry.path()) << "damaged";
  expect(!store.load(key), "a damaged file is as good as none");
  expect(store.save(key, plan) && store.load(key) == plan, "and is written anew");
  store.remove(key);
  expect(!store.load(key), "a removed plan is gone");
  expect(!PlanStore("").save(key, plan) && !PlanStore("").load(key), "without a folder nothing is kept");
  expect(!PlanStore("/proc/none").save(key, plan), "a folder that cannot be written is no error");
}

}  // namespace

int main() {
  test_routes();
  test_exactness();
  test_consistency();
  test_keys();
  test_lru();
  const std::string folder = (std::filesystem::temp_directory_path() / ("plans-" + std::to_string(std::random_device{}()))).string();
  test_store(folder);
  std::filesystem::remove_all(folder);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
