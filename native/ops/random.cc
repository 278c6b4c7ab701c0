// The seeded generator, bit for bit PyTorch's on the CPU: MT19937, uniform with one fused multiply-add, Box-Muller normals. It runs on
// the host, in order, whatever the number of threads: one stream has one order.
#include <cmath>
#include <numbers>

#include "../device.h"
#include "../dtype.h"
#include "../ops.h"

namespace partialconv {
namespace {

// The state as it lies in JavaScript's Int32Array.
struct Generator {
  static constexpr int kWords = 624, kShift = 397;

  uint32_t words[kWords];
  uint32_t next;        // index of the next word; kWords: all are used
  uint32_t has_normal;  // a pair's second normal value waits
  double normal;

  void seed(uint32_t value) {
    words[0] = value;
    for (uint32_t i = 1; i < kWords; ++i) words[i] = 1812433253u * (words[i - 1] ^ (words[i - 1] >> 30)) + i;
    next = kWords;
    has_normal = 0;
    normal = 0;
  }

  static uint32_t twist(uint32_t high, uint32_t low, uint32_t shifted) {
    const uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);
    return shifted ^ (mixed >> 1) ^ ((low & 1u) != 0 ? 0x9908b0dfu : 0u);
  }

  void refill() {
    for (int i = 0; i < kWords - kShift; ++i) words[i] = twist(words[i], words[i + 1], words[i + kShift]);
    for (int i = kWords - kShift; i < kWords - 1; ++i) words[i] = twist(words[i], words[i + 1], words[i + kShift - kWords]);
    words[kWords - 1] = twist(words[kWords - 1], words[0], words[kShift - 1]);
    next = 0;
  }

  uint32_t draw() {
    if (next >= kWords) refill();
    uint32_t y = words[next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }

  // In [0, 1): 24 bits of one draw, or 53 bits of two (the first one high).
  void uniform(float& u) { u = static_cast<float>(draw() & 0xffffffu) * 0x1p-24f; }
  void uniform(double& u) {
    const uint64_t high = draw();
    u = static_cast<double>((high << 32 | draw()) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
  }

  // Box-Muller in double; the second value of a pair is kept for the next call.
  double normal_pair() {
    if (has_normal != 0) {
      has_normal = 0;
      return normal;
    }
    double u1, u2;
    uniform(u1);
    uniform(u2);
    const double radius = std::sqrt(-2 * std::log1p(-u2)), theta = 2 * std::numbers::pi * u1;
    normal = radius * std::sin(theta);
    has_normal = 1;
    return radius * std::cos(theta);
  }
};

// A type of arithmetic and a way to see a complex buffer as real parts.
template <class T>
struct Parts {
  using type = T;
  static constexpr int64_t kLanes = 1;
};
template <class R>
struct Parts<Complex<R>> {
  using type = R;
  static constexpr int64_t kLanes = 2;
};

template <class T>
void fill_uniform(Generator& generator, double from, double to, T* y, int64_t n) {
  using C = Compute<T>;
  const C low = static_cast<C>(from), width = static_cast<C>(to) - low;
  const T first = store<T>(low), end = store<T>(static_cast<C>(to));
  for (int64_t i = 0; i < n; ++i) {
    C u;
    generator.uniform(u);
    y[i] = store<T>(std::fma(u, width, low));
    if (load(y[i]) == load(end)) y[i] = first;  // rounded up to the excluded end
  }
}

// 16 uniform values -> 16 normal ones: value j and j + 8 are a pair.
template <class C>
void normal_block(Generator& generator, C mean, C std, C (&block)[16]) {
  for (C& u : block) generator.uniform(u);
  for (int j = 0; j < 8; ++j) {
    const C radius = std::sqrt(-2 * std::log(1 - block[j])), theta = static_cast<C>(2 * std::numbers::pi) * block[j + 8];
    block[j] = std::fma(radius * std::cos(theta), std, mean);
    block[j + 8] = std::fma(radius * std::sin(theta), std, mean);
  }
}

template <class T>
void fill_normal(Generator& generator, double mean, double std, T* y, int64_t n) {
  using C = Compute<T>;
  if (n < 16) {
    for (int64_t i = 0; i < n; ++i) y[i] = store<T>(generator.normal_pair() * std + mean);
    return;
  }
  C block[16];
  const auto put = [&](int64_t begin) {
    normal_block(generator, static_cast<C>(mean), static_cast<C>(std), block);
    for (int j = 0; j < 16; ++j) y[begin + j] = store<T>(block[j]);
  };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) put(i);
  if (i == n) return;
  // The last 16 values are drawn afresh. 32- and 64-bit floats have by then used up one draw for each value of the remainder.
  if constexpr (std::is_same_v<T, C>) {
    for (C unused; i < n; ++i) generator.uniform(unused);
  }
  put(n - 16);
}

template <class F>
void visit_parts(Span y, F&& f) {
  visit(y.dtype, [&](auto tag) {
    using Y = typename decltype(tag)::type;
    using T = typename Parts<Y>::type;
    if constexpr (kIsInteger<Y>) throw std::invalid_argument("random numbers have a floating point or complex dtype");
    else f(y.as<T>(), y.size * Parts<Y>::kLanes);
  });
}

Generator& generator_in(Span state) {
  if (state.size * 4 != static_cast<int64_t>(sizeof(Generator))) throw std::invalid_argument("a generator's state has the wrong size");
  return *state.as<Generator>();
}

}  // namespace

void random_seed(Context&, double seed_low32, Span state) { generator_in(state).seed(static_cast<uint32_t>(seed_low32)); }

void random_uniform(Context&, double from, double to, Span state, Span y) {
  visit_parts(y, [&](auto* data, int64_t n) { fill_uniform(generator_in(state), from, to, data, n); });
}

// A complex value's variance is shared by its parts.
void random_normal(Context&, double mean, double std, Span state, Span y) {
  const bool complex = y.dtype == DType::kComplex64 || y.dtype == DType::kComplex128;
  visit_parts(y,
              [&](auto* data, int64_t n) { fill_normal(generator_in(state), mean, complex ? std / std::numbers::sqrt2 : std, data, n); });
}

}  // namespace partialconv
