// The three passes on CUDA against the formulas of conv.h in plain loops, one long program, as they share operands and what is expected of
// them: every dtype, layout, route and option. On a GPU with the real cuDNN, or, linked with test/cuda/fake, on a
// machine without either. Arguments: number of geometries, seed, milliseconds to wait for fused plans.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conv.h"
#include "cuda/engine.h"
#include "dtype.h"

using namespace partialconv;

namespace {

int patience = 0;  // milliseconds
int failures = 0, on_cudnn = 0, views = 0, channels_last = 0, gradients_channels_last = 0;

// Values of a dtype on the device, and as doubles here.
class Values {
 public:
  Values(Context& context, DType dtype, int64_t size) : context_(context), dtype_(dtype), host(static_cast<std::size_t>(size)) {
    memory_ = context.allocate(static_cast<std::size_t>(size) * bytes() + 16);
  }

  template <class F>
  void fill(F f) {
    for (double& value : host) value = f();
    upload();
  }

  void upload() {
    std::vector<unsigned char> raw(host.size() * bytes());
    visit(dtype_, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::size_t i = 0; i < host.size(); ++i) {
        const T value = store<T>(host[i]);
        if constexpr (!kIsComplex<T>) host[i] = static_cast<double>(load(value));
        std::memcpy(raw.data() + i * sizeof(T), &value, sizeof(T));
      }
    });
    context_.write(memory_.get(), raw.data(), raw.size());
  }

  std::vector<double> download() {
    std::vector<unsigned char> raw(host.size() * bytes());
    context_.read(raw.data(), memory_.get(), raw.size());
    std::vector<double> values(host.size());
    visit(dtype_, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::size_t i = 0; i < values.size(); ++i) {
        T value;
        std::memcpy(&value, raw.data() + i * sizeof(T), sizeof(T));
        if constexpr (!kIsComplex<T>) values[i] = static_cast<double>(load(value));
      }
    });
    return values;
  }

  Span span() const { return {memory_.get(), static_cast<int64_t>(host.size()), dtype_}; }

 private:
  std::size_t bytes() const { return dtype_ == DType::kFloat64 ? 8 : dtype_ == DType::kFloat32 ? 4 : dtype_ == DType::kBool ? 1 : 2; }

  Context& context_;
  DType dtype_;
  std::shared_ptr<void> memory_;

 public:
  std::vector<double> host;
};

int64_t source(int64_t i, int64_t size, PaddingMode mode) {
  if (i >= 0 && i < size) return i;
  if (mode == PaddingMode::kZeros) return -1;
  if (mode == PaddingMode::kReplicate) return i < 0 ? 0 : size - 1;
  if (mode == PaddingMode::kCircular) return (i + size) % size;
  return i < 0 ? -i : 2 * (size - 1) - i;
}

// One case: random operands and what conv.h says of them.
struct Case {
  ConvGeometry g;
  DType dtype;
  bool tf32, has_bias, has_ratio;
};

struct Operands {
  Values x, weight, bias, mask, ratio, updated, dy;

  Operands(Context& context, const Case& c, std::mt19937& random)
      : x(context, c.dtype, c.g.n * c.g.c * c.g.h * c.g.w),
        weight(context, c.dtype, c.g.o * (c.g.c / c.g.groups) * c.g.kh * c.g.kw),
        bias(context, c.dtype, c.g.o),
        mask(context, DType::kBool, c.g.mask_n * c.g.mask_c * c.g.h * c.g.w),
        ratio(context, accumulator(c.dtype), c.g.ratio_n * c.g.ratio_c * c.g.ho * c.g.wo),
        updated(context, accumulator(c.dtype), c.g.ratio_n * c.g.ratio_c * c.g.ho * c.g.wo),
        dy(context, c.dtype, c.g.n * c.g.o * c.g.ho * c.g.wo) {
    std::uniform_real_distribution<double> value(-1, 1), positive(0.5, 2);
    for (Values* each : {&x, &weight, &bias, &dy}) each->fill([&] { return value(random); });
    mask.fill([&] { return random() % 3 != 0 ? 1.0 : 0.0; });
    ratio.fill([&] { return positive(random); });
    updated.fill([&] { return random() % 4 != 0 ? 1.0 : 0.0; });
    poison(c);
  }

  static DType accumulator(DType dtype) { return dtype == DType::kFloat64 ? dtype : DType::kFloat32; }

  // What is under a 0 is never used: neither x nor dy.
  void poison(const Case& c) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const ConvGeometry& g = c.g;
    for (std::size_t i = 0; g.mask_n > 0 && i < x.host.size(); ++i) {
      if (mask_at(g, static_cast<int64_t>(i)) == 0) x.host[i] = nan;
    }
    for (std::size_t i = 0; c.has_ratio && i < dy.host.size(); ++i) {
      if (updated.host[ratio_index(g, static_cast<int64_t>(i))] == 0) dy.host[i] = nan;
    }
    x.upload();
    dy.upload();
  }

  double mask_at(const ConvGeometry& g, int64_t i) const {
    if (g.mask_n == 0) return 1;
    const int64_t area = g.h * g.w, sample = g.mask_n == 1 ? 0 : i / area / g.c;
    return mask.host[(sample * g.mask_c + i / area % g.c / (g.c / g.mask_c)) * area + i % area];
  }
  static std::size_t ratio_index(const ConvGeometry& g, int64_t i) {
    const int64_t area = g.ho * g.wo, sample = g.ratio_n == 1 ? 0 : i / area / g.o;
    return static_cast<std::size_t>((sample * g.ratio_c + i / area % g.o / (g.o / g.ratio_c)) * area + i % area);
  }
};

struct Expected {
  std::vector<double> y, dx, dw, db;
  std::vector<double> scale_y, scale_dx, scale_dw, scale_db;  // sums of absolute values: what rounding is relative to
};

// All three passes in one walk over the products.
Expected reference(const Case& c, const Operands& in) {
  const ConvGeometry& g = c.g;
  Expected e;
  e.y = e.scale_y = std::vector<double>(in.dy.host.size());
  e.dx = e.scale_dx = std::vector<double>(in.x.host.size());
  e.dw = e.scale_dw = std::vector<double>(in.weight.host.size());
  e.db = e.scale_db = std::vector<double>(static_cast<std::size_t>(g.o));
  const int64_t channels = g.c / g.groups;
  for (int64_t i = 0; i < static_cast<int64_t>(e.y.size()); ++i) {
    const int64_t col = i % g.wo, row = i / g.wo % g.ho, o = i / g.wo / g.ho % g.o, n = i / g.wo / g.ho / g.o;
    const double ratio = c.has_ratio ? in.ratio.host[Operands::ratio_index(g, i)] : 1;
    const double updated = c.has_ratio ? in.updated.host[Operands::ratio_index(g, i)] : 1;
    const double q = updated == 0 ? 0 : in.dy.host[i] * ratio * updated;
    for (int64_t k = 0; k < channels * g.kh * g.kw; ++k) {
      const int64_t kw = k % g.kw, kh = k / g.kw % g.kh, ch = o / (g.o / g.groups) * channels + k / g.kw / g.kh;
      const int64_t h = source(row * g.stride_h - g.pad_h + kh * g.dilation_h, g.h, g.padding_mode);
      const int64_t w = source(col * g.stride_w - g.pad_w + kw * g.dilation_w, g.w, g.padding_mode);
      if (h < 0 || w < 0) continue;
      const int64_t at = ((n * g.c + ch) * g.h + h) * g.w + w, tap = o * channels * g.kh * g.kw + k;
      const double m = in.mask_at(g, at), x = m == 0 ? 0 : in.x.host[at] * m, weight = in.weight.host[tap];
      e.y[i] += weight * x, e.scale_y[i] += std::fabs(weight * x * ratio);
      e.dw[tap] += q * x, e.scale_dw[tap] += std::fabs(q * x);
      e.dx[at] += m * weight * q, e.scale_dx[at] += std::fabs(m * weight * q);
    }
    e.y[i] = updated == 0 ? 0 : (e.y[i] * ratio + (c.has_bias ? in.bias.host[o] : 0)) * updated;
    if (updated != 0) e.db[o] += in.dy.host[i] * updated, e.scale_db[o] += std::fabs(in.dy.host[i]);
  }
  return e;
}

void compare(const char* what, const std::vector<double>& got, const std::vector<double>& expected, const std::vector<double>& scale,
             double tolerance, const std::string& name) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::fabs(got[i] - expected[i]) <= tolerance * (scale[i] + std::fabs(expected[i]) + 0.01)) continue;
    ++failures;
    std::printf("FAILED %s[%zu]: %.8g instead of %.8g; %s\n", what, i, got[i], expected[i], name.c_str());
    return;
  }
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// x or dy as [n, h, w', c'] with zeros beyond w and c.
Values channels_last_image(Context& context, const ImageShape& s, const Values& x) {
  const DType dtype = x.span().dtype;
  const int64_t size = channels_last_size(s, dtype), columns = (s.w + 63) / 64 * 64, channels = size / (s.n * s.h * columns);
  Values image(context, dtype, size);
  for (int64_t i = 0; i < s.n * s.c * s.h * s.w; ++i) {
    const int64_t w = i % s.w, h = i / s.w % s.h, c = i / s.w / s.h % s.c, n = i / s.w / s.h / s.c;
    image.host[((n * s.h + h) * columns + w) * channels + c] = x.host[i];
  }
  image.upload();
  return image;
}

double tolerance_of(const Case& c) {
  return c.dtype == DType::kFloat64   ? 1e-12
         : c.dtype == DType::kFloat32 ? (c.tf32 ? 2e-3 : 1e-5)
         : c.dtype == DType::kFloat16 ? 4e-3
                                      : 2e-2;
}

// A case's operands as the passes take them, and what they must give.
struct Run {
  Context& context;
  const Case& c;
  const ConvGeometry& g;
  const Operands in;
  const Expected e;
  const std::string name;
  const Span none, mask, ratio, updated;

  Run(Context& context, const Case& c, std::mt19937& random, std::string name)
      : context(context),
        c(c),
        g(c.g),
        in(context, c, random),
        e(reference(c, in)),
        name(std::move(name)),
        mask(g.mask_n > 0 ? in.mask.span() : none),
        ratio(c.has_ratio ? in.ratio.span() : none),
        updated(c.has_ratio ? in.updated.span() : none) {}

  Values poisoned(int64_t size) const {
    Values values(context, c.dtype, size);
    values.fill([] { return std::numeric_limits<double>::quiet_NaN(); });
    return values;
  }
  Values poisoned(const std::vector<double>& like) const { return poisoned(static_cast<int64_t>(like.size())); }

  void expect(const char* what, Values& got, const std::vector<double>& expected, const std::vector<double>& scale) const {
    compare(what, got.download(), expected, scale, tolerance_of(c), name);
  }

  // A result with channels last, twice where one may be patient: by then the fused plan may be there, which does the same.
  template <class F>
  void expect_image(const char* what, const ImageShape& shape, const std::vector<double>& expected, const std::vector<double>& scale,
                    F pass) const {
    Values image = poisoned(channels_last_size(shape, c.dtype)), dense = poisoned(expected);
    for (int turn = 0; turn < (patience > 0 ? 2 : 1); ++turn) {
      if (turn == 1) std::this_thread::sleep_for(std::chrono::milliseconds(patience));
      image.fill([] { return std::numeric_limits<double>::quiet_NaN(); });
      pass(image.span());
    }
    to_dense(context, shape, image.span(), dense.span());
    expect(what, dense, expected, scale);
    // What is no tensor is zero, whatever was there before.
    const double sum = total(image.download()), of_tensor = total(dense.download());
    if (std::fabs(sum - of_tensor) <= 1e-6 * (1 + std::fabs(of_tensor))) return;
    ++failures;
    std::printf("FAILED: cells of %s beyond the tensor are not zero; %s\n", what, name.c_str());
  }

  Values packed(Pass pass) const {
    Values values(context, Operands::accumulator(c.dtype), packed_weight_size(g, pass));
    pack_weight(context, g, pass, in.weight.span(), values.span());
    return values;
  }

  void forward_passes() const {
    const Values weight = packed(Pass::kForward);
    const ConvEpilogue epilogue{c.has_bias ? in.bias.span() : none, ratio, updated};
    Values y = poisoned(e.y);
    forward(context, g, {in.x.span(), mask}, weight.span(), epilogue, y.span());
    expect("y", y, e.y, e.scale_y);
    if (conv_formats(g, Pass::kForward, c.dtype) != 3) return;
    ++channels_last;
    const Values x = channels_last_image(context, {g.n, g.c, g.h, g.w}, in.x);
    ConvGeometry both = g;
    both.x_channels_last = both.y_channels_last = 1;
    expect_image("y, channels last", {g.n, g.o, g.ho, g.wo}, e.y, e.scale_y, [&](Span image) {
      forward(context, both, {x.span(), mask}, weight.span(), epilogue, image);
    });
  }

  void backward_passes() const {
    Values dx = poisoned(e.dx), dw = poisoned(e.dw), db = poisoned(e.db);
    if (g.padding_mode == PaddingMode::kZeros) {
      const Values weight = packed(Pass::kBackwardInput);
      backward_input(context, g, in.dy.span(), weight.span(), mask, ratio, updated, dx.span());
      expect("dx", dx, e.dx, e.scale_dx);
    }
    backward_weight(context, g, {in.x.span(), mask}, in.dy.span(), ratio, updated, dw.span(), db.span());
    expect("dw", dw, e.dw, e.scale_dw);
    expect("db", db, e.db, e.scale_db);
  }

  // With q made once, from dy in either form, and x, dx and q channels last.
  void backward_passes_channels_last() const {
    const int64_t formats = conv_formats(g, Pass::kBackwardWeight, c.dtype);
    if (formats == 0) return;
    const ImageShape x_shape{g.n, g.c, g.h, g.w}, y_shape{g.n, g.o, g.ho, g.wo};
    const Values x = channels_last_image(context, x_shape, in.x), dy = channels_last_image(context, y_shape, in.dy);
    Values q = poisoned(channels_last_size(y_shape, c.dtype)), dw = poisoned(e.dw), db = poisoned(e.db);
    ConvGeometry both = g;
    both.x_channels_last = 1;
    backward_weight(context, both, {x.span(), mask}, in.dy.span(), ratio, updated, dw.span(), none);
    expect("dw, x channels last", dw, e.dw, e.scale_dw);
    if ((formats & 2) == 0) return;
    ++gradients_channels_last;
    output_gradient(context, g, in.dy.span(), ratio, updated, q.span(), db.span());
    expect("db with q", db, e.db, e.scale_db);
    both.y_channels_last = 1;
    const std::vector<double> from_dense = q.download();
    output_gradient(context, both, dy.span(), ratio, updated, q.span(), none);
    if (from_dense != q.download()) ++failures, std::printf("FAILED: another q from dy with channels last; %s\n", name.c_str());
    output_gradient(context, both, dy.span(), none, updated, none, db.span());
    expect("db, dy channels last", db, e.db, e.scale_db);
    backward_weight(context, both, {x.span(), mask}, q.span(), none, none, dw.span(), none);
    expect("dw, x and q channels last", dw, e.dw, e.scale_dw);
    if (g.padding_mode != PaddingMode::kZeros || conv_formats(g, Pass::kBackwardInput, c.dtype) != 3) return;
    const Values weight = packed(Pass::kBackwardInput);
    expect_image("dx, channels last", x_shape, e.dx, e.scale_dx,
                 [&](Span image) { backward_input(context, both, q.span(), weight.span(), mask, none, none, image); });
  }
};

void run_case(Context& context, const Case& c, std::mt19937& random) {
  const ConvGeometry& g = c.g;
  set_allow_tf32(c.tf32);
  cuda::Request request;
  request.dtype = c.dtype, request.allow_tf32 = c.tf32;
  const cuda::Route route = cuda::choose(g, request);
  on_cudnn += route.engine == cuda::Engine::kCudnn;
  views += route.dilation_view;
  const std::string name = (route.engine == cuda::Engine::kCudnn ? route.shape.text() : "direct") + " for x " + std::to_string(g.n) + "," +
                           std::to_string(g.c) + "," + std::to_string(g.h) + "," + std::to_string(g.w) + " o " + std::to_string(g.o) +
                           " mode " + std::to_string(static_cast<int>(g.padding_mode)) + " mask " + std::to_string(g.mask_c) + " ratio " +
                           std::to_string(c.has_ratio);
  const Run run(context, c, random, name);
  try {
    run.forward_passes();
    run.backward_passes();
    run.backward_passes_channels_last();
  } catch (const std::exception& error) {
    ++failures;
    std::printf("FAILED: %s; %s\n", error.what(), name.c_str());
  }
}

Case random_case(std::mt19937& random) {
  const auto draw = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % static_cast<uint32_t>(high - low + 1)); };
  for (;;) {
    Case c{};
    ConvGeometry& g = c.g;
    const bool flat = draw(0, 2) != 0;
    g.groups = draw(0, 3) == 0 ? draw(2, 3) : 1;
    g.n = draw(1, 3), g.c = g.groups * draw(1, 14), g.o = g.groups * draw(1, 14);
    g.h = flat ? 1 : draw(2, 6), g.w = draw(1, 40), g.kh = flat ? 1 : draw(1, 3), g.kw = draw(1, 5);
    g.stride_h = flat ? 1 : draw(1, 2), g.stride_w = draw(1, 3), g.dilation_h = flat ? 1 : draw(1, 2), g.dilation_w = draw(1, 5);
    g.pad_h = flat ? 0 : draw(0, 2), g.pad_w = draw(0, 1) == 0 ? g.dilation_w * draw(0, 2) : draw(0, 5);
    g.padding_mode = static_cast<PaddingMode>(draw(0, 2) == 0 ? draw(0, 3) : 0);
    const int64_t high = g.h + 2 * g.pad_h - (g.kh - 1) * g.dilation_h - 1, wide = g.w + 2 * g.pad_w - (g.kw - 1) * g.dilation_w - 1;
    if (high < 0 || wide < 0) continue;
    if (g.padding_mode != PaddingMode::kZeros && (g.pad_w >= g.w || g.pad_h >= g.h)) continue;
    g.ho = high / g.stride_h + 1, g.wo = wide / g.stride_w + 1;
    if (draw(0, 3) != 0) g.mask_n = draw(0, 1) == 0 ? 1 : g.n, g.mask_c = draw(0, 2) == 0 ? g.c : 1;
    c.has_ratio = draw(0, 3) != 0, c.has_bias = draw(0, 1) == 0;
    if (c.has_ratio) g.ratio_n = draw(0, 1) == 0 ? 1 : g.n, g.ratio_c = draw(0, 2) == 0 ? g.groups : 1;
    c.dtype = static_cast<DType>(draw(0, 3)), c.tf32 = draw(0, 1) == 0;
    return c;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 300;
  const unsigned seed = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1;
  if (Context::device_count() == 0) {
    std::printf("no GPU: %s\n", Context::device_absence().c_str());
    return 77;
  }
  if (argc > 3) patience = std::atoi(argv[3]);
  std::mt19937 random(seed);
  Context context;
  for (int i = 0; i < count; ++i) run_case(context, random_case(random), random);
  std::printf("%d cases (%d on cuDNN, %d of them dilation views, %d with channels last, %d with gradients so), seed %u, %d failures\n",
              count, on_cudnn, views, channels_last, gradients_channels_last, seed, failures);
  return failures == 0 ? 0 : 1;
}
