// Fuzzes the CPU engine: every pass, instruction set and dtype on random geometries against plain loops in double. Long: loops and fuzzer
// are read together.
//   engine_test [seconds = 10] [seed]
// Every buffer stands between guard bytes; every geometry runs twice with another one in between (that catches stale caches).
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../../native/conv.h"
#include "../../native/cpu/simd.h"
#include "../../native/device.h"
#include "../../native/dtype.h"

namespace partialconv {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr uint8_t kGuard = 0xa5;
constexpr std::size_t kGuardBytes = 256;

std::mt19937_64 random_bits;
int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_bits); }
bool chance(double p) { return std::bernoulli_distribution(p)(random_bits); }
double normal() { return std::normal_distribution<double>()(random_bits); }

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

// Elements of a dtype between guard bytes; empty: an absent operand.
class Buffer {
 public:
  Buffer() = default;
  Buffer(DType dtype, int64_t size) : dtype_(dtype), size_(size) {
    visit(dtype, [&](auto tag) { bytes_ = sizeof(typename decltype(tag)::type) * static_cast<std::size_t>(size); });
    memory_.assign(bytes_ + 2 * kGuardBytes, kGuard);
  }
  Span span() { return memory_.empty() ? Span{} : Span{memory_.data() + kGuardBytes, size_, dtype_}; }
  explicit operator bool() const { return !memory_.empty(); }
  int64_t size() const { return size_; }

  double get(int64_t i) const {
    return visit(dtype_, [&](auto tag) -> double {
      using S = typename decltype(tag)::type;
      if constexpr (kIsComplex<S>) return 0;
      else return load(reinterpret_cast<const S*>(memory_.data() + kGuardBytes)[i]);
    });
  }
  void set(int64_t i, double value) {
    visit(dtype_, [&](auto tag) {
      using S = typename decltype(tag)::type;
      reinterpret_cast<S*>(memory_.data() + kGuardBytes)[i] = store<S>(value);
    });
  }
  void fill(const std::function<double()>& f) {
    for (int64_t i = 0; i < size_; ++i) set(i, f());
  }
  void check_guards(const char* name) const {
    for (std::size_t i = 0; i < kGuardBytes && !memory_.empty(); ++i) {
      if (memory_[i] != kGuard || memory_[kGuardBytes + bytes_ + i] != kGuard) fail(std::string(name) + ": wrote outside its buffer");
    }
  }
  const std::vector<uint8_t>& memory() const { return memory_; }

 private:
  DType dtype_ = DType::kFloat32;
  int64_t size_ = 0;
  std::size_t bytes_ = 0;
  std::vector<uint8_t> memory_;
};

struct Case {
  ConvGeometry g;
  DType dtype;
  bool byte_mask = false;
  Buffer x, mask, weight, bias, ratio, updated, dy, y, dx, dw, db;
};

// Where position i of an axis is read from; -1: padding zero.
int64_t source(PaddingMode mode, int64_t i, int64_t size) {
  if (i >= 0 && i < size) return i;
  switch (mode) {
    case PaddingMode::kReplicate: return i < 0 ? 0 : size - 1;
    case PaddingMode::kCircular: return i < 0 ? i + size : i - size;
    case PaddingMode::kReflect: return i < 0 ? -i : 2 * (size - 1) - i;
    default: return -1;
  }
}

double gate_of(const Buffer& gate, int64_t gate_n, int64_t gate_c, int64_t n, int64_t c, int64_t channels, int64_t plane, int64_t at) {
  if (!gate) return 1;
  return gate.get(((gate_n == 1 ? 0 : n) * gate_c + c / (channels / gate_c)) * plane + at);
}

// The index in x that output (i, j) reads through tap (a, b), or -1.
int64_t input_at(const ConvGeometry& g, int64_t i, int64_t j, int64_t a, int64_t b) {
  const int64_t row = source(g.padding_mode, i * g.stride_h - g.pad_h + a * g.dilation_h, g.h);
  const int64_t col = source(g.padding_mode, j * g.stride_w - g.pad_w + b * g.dilation_w, g.w);
  return row < 0 || col < 0 ? -1 : row * g.w + col;
}

// A sum and the sum of its terms' magnitudes, which bounds its rounding error.
struct Sum {
  double value = 0, magnitude = 0;
  void add(double term) { value += term, magnitude += std::abs(term); }
};

struct Expected {
  std::vector<Sum> y, dx, dw, db;
};

Expected reference(const Case& c) {
  const ConvGeometry& g = c.g;
  const int64_t out_plane = g.ho * g.wo, in_plane = g.h * g.w, taps = g.kh * g.kw, cg = g.c / g.groups, og = g.o / g.groups;
  Expected e;
  e.y.resize(g.n * g.o * out_plane), e.dx.resize(g.n * g.c * in_plane), e.dw.resize(g.o * cg * taps), e.db.resize(g.o);
  for (int64_t n = 0; n < g.n; ++n) {
    for (int64_t o = 0; o < g.o; ++o) {
      for (int64_t l = 0; l < out_plane; ++l) {
        const int64_t at = (n * g.o + o) * out_plane + l;
        const double ratio = gate_of(c.ratio, g.ratio_n, g.ratio_c, n, o, g.o, out_plane, l);
        const double updated = gate_of(c.updated, g.ratio_n, g.ratio_c, n, o, g.o, out_plane, l);
        if (updated == 0) continue;
        const double dy = c.dy.get(at), q = dy * ratio * updated;
        Sum sum;
        for (int64_t i = 0; i < cg; ++i) {
          const int64_t channel = o / og * cg + i;
          for (int64_t t = 0; t < taps; ++t) {
            const int64_t from = input_at(g, l / g.wo, l % g.wo, t / g.kw, t % g.kw);
            if (from < 0) continue;
            double m = gate_of(c.mask, g.mask_n, g.mask_c, n, channel, g.c, in_plane, from);
            if (m == 0) continue;
            if (c.byte_mask) m = 1;
            const int64_t x_at = (n * g.c + channel) * in_plane + from, w_at = (o * cg + i) * taps + t;
            const double x = c.x.get(x_at) * m, w = c.weight.get(w_at);
            sum.add(x * w);
            e.dx[x_at].add(w * q * m);
            e.dw[w_at].add(x * q);
          }
        }
        const double bias = c.bias ? c.bias.get(o) : 0;
        e.y[at] = {(sum.value * ratio + bias) * updated, (sum.magnitude * std::abs(ratio) + std::abs(bias)) * std::abs(updated)};
        e.db[o].add(dy * updated);
      }
    }
  }
  return e;
}

// ---- random cases ----

// One axis: sizes, stride, padding and dilation such that there is an output and the padding mode is defined.
void pick_axis(PaddingMode mode, int64_t most, int64_t& in, int64_t& out, int64_t& k, int64_t& stride, int64_t& pad, int64_t& dilation) {
  for (;;) {
    in = pick(1, most);
    k = chance(0.2) ? 1 : chance(0.1) ? pick(1, 20) : pick(1, 5);
    stride = chance(0.6) ? 1 : pick(1, 4);
    dilation = chance(0.7) ? 1 : chance(0.1) ? pick(1, 40) : pick(1, 4);
    const int64_t widest = mode == PaddingMode::kZeros || mode == PaddingMode::kReplicate ? 6
                           : mode == PaddingMode::kCircular                               ? in
                                                                                          : in - 1;
    pad = pick(0, std::min<int64_t>(widest, 6));
    const int64_t span = in + pad + pick(0, std::min<int64_t>(widest, 6)) - dilation * (k - 1) - 1;
    if (span < 0) continue;
    out = span / stride + 1;
    return;
  }
}

Case random_case() {
  Case c;
  ConvGeometry& g = c.g;
  g = {};
  const bool flat = chance(0.5);
  g.padding_mode = chance(0.6) ? PaddingMode::kZeros : static_cast<PaddingMode>(pick(1, 3));
  g.h = g.ho = g.kh = g.stride_h = g.dilation_h = 1;
  pick_axis(g.padding_mode, flat ? (chance(0.1) ? 900 : 150) : 24, g.w, g.wo, g.kw, g.stride_w, g.pad_w, g.dilation_w);
  if (!flat) pick_axis(g.padding_mode, 12, g.h, g.ho, g.kh, g.stride_h, g.pad_h, g.dilation_h);
  // Some cases are large enough to be shared between threads and, in backward_weight, to be cut into chunks.
  const bool large = chance(0.03);
  if (large) pick_axis(g.padding_mode, 900, g.w, g.wo, g.kw, g.stride_w, g.pad_w, g.dilation_w);
  g.n = large ? 4 : chance(0.03) ? 0 : pick(1, 3);
  g.groups = chance(0.5) ? 1 : large ? 2 : pick(1, 6);
  const bool depthwise = g.groups > 1 && chance(0.4);
  g.c = g.groups * (large ? pick(4, 20) : chance(0.03) ? 0 : depthwise ? 1 : pick(1, 9));
  g.o = g.groups * (large ? pick(4, 40) : chance(0.1) ? pick(1, 40) : pick(1, depthwise ? 3 : 18));
  c.dtype = static_cast<DType>(pick(0, 3));
  const DType accumulator = c.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;

  c.x = Buffer(c.dtype, g.n * g.c * g.h * g.w), c.dx = Buffer(c.dtype, c.x.size());
  c.y = Buffer(c.dtype, g.n * g.o * g.ho * g.wo), c.dy = Buffer(c.dtype, c.y.size());
  c.weight = Buffer(c.dtype, g.o * (g.c / g.groups) * g.kh * g.kw), c.dw = Buffer(c.dtype, c.weight.size());
  if (!chance(0.15)) c.db = Buffer(c.dtype, g.o);
  c.x.fill(normal), c.dy.fill(normal), c.weight.fill(normal);
  if (chance(0.5)) c.bias = Buffer(c.dtype, g.o), c.bias.fill(normal);
  if (chance(0.6) && g.c > 0) {
    g.mask_n = chance(0.5) ? 1 : std::max<int64_t>(g.n, 1);
    g.mask_c = chance(0.5) ? 1 : chance(0.5) ? g.groups : g.c;
    c.byte_mask = chance(0.5);
    c.mask = Buffer(c.byte_mask ? (chance(0.5) ? DType::kUInt8 : DType::kBool) : accumulator, g.mask_n * g.mask_c * g.h * g.w);
    const double holes = chance(0.1) ? 1 : 0.4;
    c.mask.fill([&] { return chance(holes) ? 0 : c.byte_mask ? static_cast<double>(pick(1, 255)) : chance(0.5) ? 1 : normal(); });
  }
  if (chance(0.6)) {
    g.ratio_n = chance(0.5) ? 1 : std::max<int64_t>(g.n, 1);
    g.ratio_c = chance(0.5) ? 1 : chance(0.5) ? g.groups : g.o;
    const int64_t size = g.ratio_n * g.ratio_c * g.ho * g.wo;
    if (chance(0.8)) c.ratio = Buffer(accumulator, size), c.ratio.fill(normal);
    if (!c.ratio || chance(0.8)) c.updated = Buffer(accumulator, size);
    if (c.updated) {
      bool hole = false;  // runs of holes, so that whole tiles are skipped
      c.updated.fill([&] {
        if (chance(0.03)) hole = !hole;
        return hole || chance(0.1) ? 0 : chance(0.7) ? 1 : normal();
      });
    }
  }
  return c;
}

// NaN wherever a value must not be used: x under a 0 of the mask, ratio and dy where updated is 0.
void poison(Case& c) {
  const ConvGeometry& g = c.g;
  const int64_t in_plane = g.h * g.w, out_plane = g.ho * g.wo;
  for (int64_t i = 0; i < c.x.size() && c.mask; ++i) {
    if (gate_of(c.mask, g.mask_n, g.mask_c, i / (g.c * in_plane), i / in_plane % g.c, g.c, in_plane, i % in_plane) == 0) c.x.set(i, kNaN);
  }
  for (int64_t i = 0; i < c.dy.size() && c.updated; ++i) {
    if (gate_of(c.updated, g.ratio_n, g.ratio_c, i / (g.o * out_plane), i / out_plane % g.o, g.o, out_plane, i % out_plane) == 0)
      c.dy.set(i, kNaN);
  }
  for (int64_t i = 0; i < c.ratio.size() && c.updated; ++i) {
    if (c.updated.get(i) == 0) c.ratio.set(i, kNaN);
  }
}

// ---- comparison ----

struct Tolerance {
  double accumulator, storage;
};
Tolerance tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat64: return {1e-14, 0};
    case DType::kFloat16: return {3e-6, 0x1p-11};
    case DType::kBFloat16: return {3e-6, 0x1p-8};
    default: return {3e-6, 0};
  }
}

void compare(const char* name, const Buffer& got, const std::vector<Sum>& expected, DType dtype) {
  got.check_guards(name);
  const Tolerance tolerance = tolerance_of(dtype);
  for (int64_t i = 0; i < got.size(); ++i) {
    const Sum& e = expected[static_cast<std::size_t>(i)];
    const double bound =
        tolerance.accumulator * e.magnitude + tolerance.storage * std::abs(e.value) + (tolerance.storage > 0 ? 0x1p-24 : 0);
    if (!(std::abs(got.get(i) - e.value) <= bound)) {
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(got.get(i)) + ", expected " + std::to_string(e.value));
    }
  }
}

// All passes on the current instruction set; returns the bytes of every result.
std::vector<uint8_t> run_passes(Context& context, Case& c, const Expected& expected) {
  const ConvGeometry& g = c.g;
  const DType accumulator = c.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  Buffer packed(accumulator, packed_weight_size(g, Pass::kForward));
  pack_weight(context, g, Pass::kForward, c.weight.span(), packed.span());
  for (Buffer* result : {&c.y, &c.dx, &c.dw, &c.db}) result->fill([] { return kNaN; });
  forward(context, g, {c.x.span(), c.mask.span()}, packed.span(), {c.bias.span(), c.ratio.span(), c.updated.span()}, c.y.span());
  packed.check_guards("packed weight");
  compare("y", c.y, expected.y, c.dtype);
  if (g.padding_mode == PaddingMode::kZeros) {
    Buffer reversed(accumulator, packed_weight_size(g, Pass::kBackwardInput));
    pack_weight(context, g, Pass::kBackwardInput, c.weight.span(), reversed.span());
    backward_input(context, g, c.dy.span(), reversed.span(), c.mask.span(), c.ratio.span(), c.updated.span(), c.dx.span());
    reversed.check_guards("packed weight");
    compare("dx", c.dx, expected.dx, c.dtype);
  }
  backward_weight(context, g, {c.x.span(), c.mask.span()}, c.dy.span(), c.ratio.span(), c.updated.span(), c.dw.span(), c.db.span());
  compare("dw", c.dw, expected.dw, c.dtype);
  if (c.db) compare("db", c.db, expected.db, c.dtype);
  std::vector<uint8_t> bytes;
  for (const Buffer* result : {&c.y, &c.dx, &c.dw, &c.db}) bytes.insert(bytes.end(), result->memory().begin(), result->memory().end());
  return bytes;
}

std::string describe(const Case& c) {
  const ConvGeometry& g = c.g;
  char text[512];
  std::snprintf(
      text, sizeof text,
      "%s threads %d dtype %d x [%ld,%ld,%ld,%ld] weight [%ld,%ld,%ld,%ld] y [%ld,%ld] stride %ld %ld pad %ld %ld dilation %ld %ld "
      "groups %ld mode %ld mask [%ld,%ld]%s ratio [%ld,%ld] %d updated %d bias %d",
      simd_level(), thread_count(), static_cast<int>(c.dtype), g.n, g.c, g.h, g.w, g.o, g.c / g.groups, g.kh, g.kw, g.ho, g.wo, g.stride_h,
      g.stride_w, g.pad_h, g.pad_w, g.dilation_h, g.dilation_w, g.groups, static_cast<int64_t>(g.padding_mode), g.mask_n, g.mask_c,
      c.byte_mask ? " bytes" : "", g.ratio_n, g.ratio_c, c.ratio ? 1 : 0, c.updated ? 1 : 0, c.bias ? 1 : 0);
  return text;
}

void check(Context& context, Case& c) {
  const Expected expected = reference(c);
  try {
    for (const char* level : {"avx512", "avx2", "baseline"}) {
      set_simd_level(level);
      if (std::strcmp(simd_level(), level) != 0) continue;
      std::vector<uint8_t> first;
      for (const int threads : {1, 3}) {
        set_thread_count(threads);
        const std::vector<uint8_t> bytes = run_passes(context, c, expected);
        if (first.empty()) first = bytes;
        if (bytes != first) fail("the results depend on the number of threads");
      }
    }
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string(error.what()) + "\n  " + describe(c));
  }
}

int run(double seconds, uint64_t seed) {
  Context context;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  int64_t cases = 0;
  Case previous;
  for (; std::chrono::steady_clock::now() < end; ++seed, ++cases) {
    random_bits.seed(seed);
    try {
      Case c = random_case();
      poison(c);
      check(context, c);
      if (cases > 0) check(context, previous);
      previous = std::move(c);
    } catch (const std::exception& error) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), error.what());
      return 1;
    }
  }
  std::printf("engine_test: %lld cases passed\n", static_cast<long long>(cases));
  return 0;
}

}  // namespace
}  // namespace partialconv

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 10;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device{}();
  return partialconv::run(seconds, seed);
}
