// Sums over x [n, c, s] as the tests of sums expect them: operands without a period, the threads of sums over groups, and how near a sum is.
#pragma once

#include <cmath>
#include <limits>

#include "operands.h"

namespace partialconv {

struct Sizes {
  int64_t n, c, s;
};

// What is exact in every dtype, without a period.
inline double noise(int64_t i, int64_t seed) {
  uint64_t z = static_cast<uint64_t>(i + 1) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(seed) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  return static_cast<double>(static_cast<int64_t>((z ^ (z >> 27)) >> 40 & 255) - 128) / 64;
}

// Numbers on the host and as bytes of a dtype. f(i) must be exact in it.
struct Values {
  std::vector<double> at;
  Bytes bytes;
};
template <class F>
Values values(DType dtype, int64_t n, F f) {
  Values all{{}, Bytes(static_cast<std::size_t>(n * bytes_of(dtype)))};
  visit(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) {
      all.at.push_back(f(i));
      const T value = store<T>(all.at.back());
      std::memcpy(all.bytes.data() + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
    }
  });
  return all;
}
inline Values noises(DType dtype, int64_t n, int64_t seed) {
  return values(dtype, n, [&](int64_t i) { return noise(i, seed); });
}

inline double element(const Span& span, const Bytes& bytes, int64_t i) {
  double value = 0;
  visit(span.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T one;
    std::memcpy(&one, bytes.data() + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    if constexpr (std::is_floating_point_v<Compute<T>>) value = static_cast<double>(load(one));
  });
  return value;
}
inline std::vector<double> read(Context& context, const Span& span) {
  Bytes bytes(static_cast<std::size_t>(span.size * bytes_of(span.dtype)));
  context.read(bytes.data(), span.data, bytes.size());
  std::vector<double> all;
  for (int64_t i = 0; i < span.size; ++i) all.push_back(element(span, bytes, i));
  return all;
}

// |result - expected| within a rounding to dtype t of what was added up.
inline void near(const std::string& what, const char* which, DType t, double result, double expected, double added) {
  const double rounding = t == DType::kFloat64 ? 1e-13 : t == DType::kFloat32 ? 1e-7 : t == DType::kFloat16 ? 1e-3 : 8e-3;
  const double error = std::fabs(result - expected);
  if (error <= rounding * std::fabs(expected) + 1e-13 * added) return;
  expect(false, what + ": " + which + " " + std::to_string(result) + ", not " + std::to_string(expected));
}

inline std::string name_of(const std::string& title, DType t, const Sizes& z) {
  return title + ", dtype " + std::to_string(static_cast<int>(t)) + ", [" + std::to_string(z.n) + ", " + std::to_string(z.c) + ", " +
         std::to_string(z.s) + "]";
}

// The threads of n merges of `count` partial sums each: of many in two steps.
inline int64_t merge_threads(int64_t n, int64_t count) {
  const int64_t pieces = (count + 8191) / 8192;
  return pieces > 1 ? n * pieces * 256 + n * lanes_for(pieces) : n * lanes_for(count);
}

// The threads of sums over groups: of chunks, then of the chunks of each of `sums`.
inline int64_t threads_of(const Sizes& z, DType t, bool per_sample, int64_t sums) {
  constexpr int64_t kChunk = 8192;
  const int64_t lanes = 16 / bytes_of(t), samples = per_sample ? 1 : z.n, rows = z.s > kChunk ? 1 : std::min(kChunk / z.s, samples);
  const int64_t cols = std::min(z.s, kChunk), groups = per_sample ? z.n * z.c : z.c;
  const int64_t chunks = (samples + rows - 1) / rows * ((z.s + cols - 1) / cols) * groups;
  return chunks * lanes_for(rows * ((cols + lanes - 1) / lanes)) + merge_threads(sums, chunks / sums);
}

}  // namespace partialconv
