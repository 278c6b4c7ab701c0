// Divisor against the machine's division: every small pair, powers of two and their neighbours, the largest operands, random bits.
#include "../../native/divisor.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

namespace partialconv {
namespace {

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

void check(int64_t n, const Divisor& by, int64_t d) {
  if (by == d && n / by == n / d && n % by == n % d) return;
  std::printf("divisor_test: %" PRId64 " by %" PRId64 " is %" PRId64 " rest %" PRId64 ", expected %" PRId64 " rest %" PRId64 "\n", n, d,
              n / by, n % by, n / d, n % d);
  std::exit(1);
}

// Round d, where the quotient changes, and at the ends.
void check_edges(int64_t d) {
  const Divisor by(d);
  const int64_t last = kLargest / d * d;  // the largest multiple
  for (const int64_t n : {int64_t{0}, int64_t{1}, d - 1, d, d < kLargest ? d + 1 : d, last - 1, last, kLargest - 1, kLargest})
    check(n, by, d);
}

void small_pairs() {
  for (int64_t d = 1; d < 700; ++d) {
    const Divisor by(d);
    for (int64_t n = 0; n < 1500; ++n) check(n, by, d);
  }
}

void random_pairs(int count) {
  std::mt19937_64 bits(1);
  for (int i = 0; i < count; ++i) {
    const int64_t d = static_cast<int64_t>(bits() >> (1 + bits() % 63)), n = static_cast<int64_t>(bits() >> (1 + bits() % 63));
    if (d == 0) continue;
    check(n, Divisor(d), d);
    check_edges(d);
  }
}

void powers_and_neighbours() {
  for (int shift = 0; shift < 63; ++shift) {
    const int64_t power = int64_t{1} << shift;
    for (const int64_t d : {power - 1, power, power + 1}) {
      if (d > 0) check_edges(d);
    }
  }
  check_edges(kLargest);
}

}  // namespace
}  // namespace partialconv

int main() {
  using namespace partialconv;
  small_pairs();
  powers_and_neighbours();
  random_pairs(1000000);
  if (Divisor(0) != 0 || Divisor() != 1) return std::puts("divisor_test: 0 or 1 is another number"), 1;
}
