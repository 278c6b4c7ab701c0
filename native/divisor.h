// Division by a number that is known before a launch. A GPU has no instruction for it: dividing 64 bits takes some 25 instructions behind
// three conversions, one after the other; this takes 10, and neighbouring divisions overlap.
#pragma once

#include <bit>
#include <cstdint>

#include "device.h"

namespace partialconv {

// n / d and n % d for n in [0, 2^63), d >= 1. Let l be the least with d <= 2^l, and f = ceil(2^(63 + l) / d) = (2^(63 + l) + e) / d, e < d,
// which is less than 2^64. Then n f / 2^(63 + l) is n / d and less than 1 / d more, so its floor is the quotient
// (T. Granlund, P. Montgomery: Division by Invariant Integers using Multiplication, PLDI 1994, theorem 4.2).
// By 0, the size of an empty operand, nothing is divided: it is a value like others.
class Divisor {
 public:
  Divisor() = default;  // by 1
  explicit Divisor(int64_t d) : d_(d), shift_(std::bit_width(static_cast<uint64_t>(at_least_1() - 1))), factor_(factor()) {}

  HOST_DEVICE operator int64_t() const { return d_; }

  friend HOST_DEVICE int64_t operator/(int64_t n, const Divisor& by) {
    const Wide product = static_cast<Wide>(static_cast<uint64_t>(n) << 1) * by.factor_;
    return static_cast<int64_t>(static_cast<uint64_t>(product >> 64) >> by.shift_);
  }
  friend HOST_DEVICE int64_t operator%(int64_t n, const Divisor& by) { return n - n / by * by.d_; }

 private:
  __extension__ typedef unsigned __int128 Wide;

  int64_t at_least_1() const { return d_ < 1 ? 1 : d_; }
  uint64_t factor() const {
    const Wide d = static_cast<Wide>(at_least_1());
    return static_cast<uint64_t>(((Wide{1} << (63 + shift_)) + d - 1) / d);
  }

  int64_t d_ = 1;
  int shift_ = 0;
  uint64_t factor_ = uint64_t{1} << 63;
};

}  // namespace partialconv
