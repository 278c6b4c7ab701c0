// Operands of the ops that the tests of vectors call, at chosen addresses.
#pragma once

#include <array>
#include <cstring>
#include <vector>

#include "../expect.h"
#include "dtype.h"
#include "ops.h"

namespace partialconv {

using Bytes = std::vector<unsigned char>;

inline constexpr DType kAll[] = {DType::kFloat32,    DType::kFloat64, DType::kFloat16, DType::kBFloat16, DType::kComplex64,
                          DType::kComplex128, DType::kInt32,   DType::kUInt8,   DType::kBool};
inline constexpr DType kReal[] = {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16};

inline int64_t bytes_of(DType dtype) {
  return visit(dtype, [](auto tag) { return static_cast<int64_t>(sizeof(typename decltype(tag)::type)); });
}
inline DType compute_of(DType dtype) { return dtype == DType::kFloat64 ? dtype : DType::kFloat32; }

// Numbers of an op's operand: in [-2, 2.25] for floats, every third one 0.
inline Bytes numbers(DType dtype, int64_t n, int64_t seed) {
  Bytes data(static_cast<std::size_t>(n * bytes_of(dtype)));
  visit(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t k = (i * 7 + seed * 5) % 18;
      const T value = store<T>((i + seed) % 3 == 0 ? 0.0 : static_cast<double>(k) / 4 - 2);
      std::memcpy(data.data() + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
    }
  });
  return data;
}

// Operands of one call, in memory of their own; each starts `late` elements behind its first.
class Operands {
 public:
  Operands(Context& context, int64_t late) : context_(context), late_(late) {}

  Span add(DType dtype, const Bytes& values) {
    const int64_t width = bytes_of(dtype);
    Bytes image(values.size() + static_cast<std::size_t>(2 * kGuard * width), kUntouched);
    const std::size_t at = static_cast<std::size_t>((late_ == 0 ? 0 : late_) * width);
    std::memcpy(image.data() + at, values.data(), values.size());
    const std::shared_ptr<void> data = context_.allocate(image.size());
    context_.write(data.get(), image.data(), image.size());
    all_.push_back({data, image, at, values.size()});
    return {static_cast<unsigned char*>(data.get()) + at, static_cast<int64_t>(values.size()) / width, dtype};
  }

  // What all operands hold now, one after the other. What is round them must be as it was.
  Bytes results() {
    Bytes all;
    for (const One& one : all_) {
      Bytes now(one.image.size());
      context_.read(now.data(), one.data.get(), now.size());
      for (std::size_t i = 0; i < now.size(); ++i) {
        const bool inside = i >= one.at && i < one.at + one.size;
        if (inside) all.push_back(now[i]);
        else if (now[i] != kUntouched) expect(false, "memory round an operand is changed");
      }
    }
    return all;
  }

 private:
  static constexpr int64_t kGuard = 40;
  static constexpr unsigned char kUntouched = 0xa5;
  struct One {
    std::shared_ptr<void> data;
    Bytes image;
    std::size_t at, size;
  };
  Context& context_;
  int64_t late_;
  std::vector<One> all_;
};

}  // namespace partialconv
