// Vectors of 16 bytes, long as every op that takes them is in it: all lengths round one, operands that are aligned and operands that start
// an element later. Both give the same bits and touch nothing else; the fake counts vectors, and refuses one that is not aligned.
#include "vectors.h"

#include <functional>

#include "failure.h"
#include "operands.h"

using namespace partialconv;

namespace {

// call(operands, n) for lengths up to 40. An aligned run has one launch with a thread for `lanes` elements, in vectors where there are so
// many; one that starts an element later has a thread for each, and none.
void compare(Context& context, const std::string& what, int64_t lanes, const std::function<void(Operands&, int64_t)>& call) {
  fake::State& s = fake::state();
  for (int64_t n = 0; n <= 40; ++n) {
    std::array<Bytes, 2> results;
    for (const int64_t late : {0, 1}) {
      const std::string title = what + ", " + std::to_string(n) + " elements, " + std::to_string(late) + " late";
      Operands operands(context, late);
      const int64_t launches = s.launches, threads = s.threads, vectors = s.vectors;
      call(operands, n);
      results[static_cast<std::size_t>(late)] = operands.results();
      const int64_t taken = late == 0 ? lanes : 1;
      expect(s.launches - launches == (n > 0 ? 1 : 0), title + ": launches");
      expect(s.threads - threads == (n + taken - 1) / taken, title + ": threads " + std::to_string(s.threads - threads));
      expect((s.vectors > vectors) == (taken > 1 && n >= taken), title + ": vectors " + std::to_string(s.vectors - vectors));
    }
    expect(results[0] == results[1], what + ": other bits where operands are aligned, " + std::to_string(n) + " elements");
  }
}

Broadcast line(int64_t n, int64_t a_stride, int64_t b_stride) { return {1, {n}, {a_stride}, {b_stride}}; }

int64_t lanes_of(DType narrow, DType wide) {
  return std::max<int64_t>(
      1, std::min<int64_t>(16 / std::min(bytes_of(narrow), bytes_of(wide)), 64 / std::max(bytes_of(narrow), bytes_of(wide))));
}

void test_elementwise(Context& context) {
  for (const DType t : kAll) {
    const std::string name = "dtype " + std::to_string(static_cast<int>(t));
    const int64_t lanes = 16 / bytes_of(t);
    compare(context, "neg, " + name, lanes, [&](Operands& o, int64_t n) {
      const Span x = o.add(t, numbers(t, n, 1));
      unary(context, UnaryOp::kNeg, x, o.add(t, numbers(t, n, 2)));
    });
    compare(context, "neg in place, " + name, lanes, [&](Operands& o, int64_t n) {
      const Span x = o.add(t, numbers(t, n, 1));
      unary(context, UnaryOp::kNeg, x, x);
    });
    for (const auto& [form, a_stride, b_stride] : {std::tuple{"both", 1, 1}, {"a scalar right", 1, 0}, {"a scalar left", 0, 1}}) {
      compare(context, std::string("mul of ") + form + ", " + name, lanes, [&](Operands& o, int64_t n) {
        const Span a = o.add(t, numbers(t, a_stride == 0 ? 1 : n, 1)), b = o.add(t, numbers(t, b_stride == 0 ? 1 : n, 2));
        const Span y = o.add(t, numbers(t, n, 3));
        if (n > 0) binary(context, BinaryOp::kMul, line(n, a_stride, b_stride), a, b, y);
      });
    }
    compare(context, "fill, " + name, lanes, [&](Operands& o, int64_t n) { fill(context, 3, 1, o.add(t, numbers(t, n, 1))); });
    for (const DType to : kAll) {
      compare(context, "cast, " + name + " to " + std::to_string(static_cast<int>(to)), lanes_of(t, to), [&](Operands& o, int64_t n) {
        const Span x = o.add(t, numbers(t, n, 1));
        cast(context, x, o.add(to, numbers(to, n, 2)));
      });
    }
  }
  compare(context, "isNotNaN of float32", 16, [&](Operands& o, int64_t n) {
    const Span x = o.add(DType::kFloat32, numbers(DType::kFloat32, n, 1));
    unary(context, UnaryOp::kIsNotNaN, x, o.add(DType::kBool, numbers(DType::kBool, n, 2)));
  });
  compare(context, "float16 times float32", 8, [&](Operands& o, int64_t n) {
    const Span a = o.add(DType::kFloat16, numbers(DType::kFloat16, n, 1)), b = o.add(DType::kFloat32, numbers(DType::kFloat32, n, 2));
    const Span y = o.add(DType::kFloat16, numbers(DType::kFloat16, n, 3));
    if (n > 0) binary(context, BinaryOp::kMul, line(n, 1, 1), a, b, y);
  });
}

// [3, n] + [3, 1] and + [n]: rows that are whole vectors are taken as such, others by element.
void test_rows(Context& context) {
  fake::State& s = fake::state();
  for (int64_t n = 2; n <= 40; ++n) {
    for (const bool by_row : {true, false}) {
      std::array<Bytes, 2> results;
      for (const int64_t late : {0, 1}) {
        Operands o(context, late);
        const DType t = DType::kFloat16;
        const Span a = o.add(t, numbers(t, 3 * n, 1)), b = o.add(t, numbers(t, by_row ? 3 : n, 2)), y = o.add(t, numbers(t, 3 * n, 3));
        const int64_t threads = s.threads;
        binary(context, BinaryOp::kAdd, {2, {3, n}, {n, 1}, {by_row, !by_row}}, a, b, y);
        expect(s.threads - threads == (late == 0 && n % 8 == 0 ? 3 * n / 8 : 3 * n), "threads of a broadcast, " + std::to_string(n));
        results[static_cast<std::size_t>(late)] = o.results();
      }
      expect(results[0] == results[1], "other bits of a broadcast where operands are aligned, " + std::to_string(n));
    }
  }
}

// Rows [3, n] of x [3, 48] to rows of y [3, 64], from column `from`: vectors where the columns begin at one.
void test_copies(Context& context) {
  fake::State& s = fake::state();
  for (const DType t : kAll) {
    const int64_t lanes = 16 / bytes_of(t);
    for (int64_t n = 1; n <= 40; ++n) {
      for (const int64_t from : {int64_t{0}, int64_t{1}, lanes}) {
        Operands o(context, 0);
        const Bytes values = numbers(t, 3 * 48, 1);
        Bytes expected = numbers(t, 3 * 64, 2);
        const std::size_t width = static_cast<std::size_t>(bytes_of(t));
        const Span x = o.add(t, values), y = o.add(t, expected);
        for (std::size_t row = 0; row < 3; ++row) {
          std::memcpy(&expected[row * 64 * width], &values[(row * 48 + static_cast<std::size_t>(from % 8)) * width],
                      static_cast<std::size_t>(n) * width);
        }
        const int64_t threads = s.threads;
        strided_copy(context, {2, from % 8, 0, {3, n}, {48, 1}, {64, 1}}, x, y);
        const int64_t taken = n >= lanes && from % 8 % lanes == 0 ? lanes : 1;
        expect(s.threads - threads == 3 * ((n + taken - 1) / taken), "threads of a copy, " + std::to_string(n));
        Bytes both = values;
        both.insert(both.end(), expected.begin(), expected.end());
        expect(o.results() == both, "a copy of rows of " + std::to_string(n) + " from " + std::to_string(from));
      }
    }
  }
}

// x [2, c, r] to y [2, r, c], transposed: tiles of vectors where both sizes are pairs of them.
void test_transpositions(Context& context) {
  fake::State& s = fake::state();
  for (const DType t : kAll) {
    const std::size_t width = static_cast<std::size_t>(bytes_of(t));
    const int64_t lanes = std::min<int64_t>(8, 16 / bytes_of(t));
    for (const int64_t r : {2, 7, 8, 16, 24, 32}) {
      for (const int64_t c : {2, 8, 15, 16, 40}) {
        for (const int64_t late : {0, 1}) {
          Operands o(context, late);
          const Bytes values = numbers(t, 2 * r * c, 1);
          Bytes expected(values.size());
          for (int64_t i = 0; i < 2 * r * c; ++i) {
            const std::size_t to = static_cast<std::size_t>(i), from = static_cast<std::size_t>(i / (r * c) * r * c + i % c * r + i / c % r);
            std::memcpy(&expected[to * width], &values[from * width], width);
          }
          const Span x = o.add(t, values), y = o.add(t, numbers(t, 2 * r * c, 2));
          const int64_t threads = s.threads, vectors = s.vectors;
          strided_copy(context, {3, 0, 0, {2, r, c}, {r * c, 1, r}, {r * c, c, 1}}, x, y);
          Bytes both = values;
          both.insert(both.end(), expected.begin(), expected.end());
          const std::string what = "a transposition of " + std::to_string(c) + " by " + std::to_string(r) + ", " + std::to_string(width) + " bytes";
          expect(o.results() == both, what);
          const bool tiles = lanes > 1 && late == 0 && r % (2 * lanes) == 0 && c % lanes == 0;
          expect(s.threads - threads == 2 * r * c / (tiles ? lanes * lanes : 1), what + ": threads");
          expect(s.vectors - vectors == (tiles ? 2 * 2 * r * c / lanes : 0), what + ": vectors");
        }
      }
    }
  }
}

void test_masks(Context& context) {
  for (const DType t : kReal) {
    for (const DType m : {DType::kBool, compute_of(t)}) {
      for (const MaskOp op : {MaskOp::kSelect, MaskOp::kApply, MaskOp::kUnapply}) {
        fake::State& s = fake::state();
        const int64_t lanes = 16 / bytes_of(t);
        for (int64_t n = 1; n <= 40; ++n) {
          std::array<Bytes, 2> results;
          for (const int64_t late : {0, 1}) {
            Operands o(context, late);
            const Span x = o.add(t, numbers(t, 6 * n, 1)), mask = o.add(m, numbers(m, 2 * n, 2)), y = o.add(t, numbers(t, 6 * n, 3));
            const int64_t threads = s.threads;
            mask_apply(context, op, {2, 3, n, 2, 1}, 1e-8, x, mask, y);
            expect(s.threads - threads == (late == 0 && n % lanes == 0 ? 6 * n / lanes : 6 * n), "threads of a mask");
            results[static_cast<std::size_t>(late)] = o.results();
          }
          expect(results[0] == results[1], "other bits of a mask where operands are aligned, " + std::to_string(n));
        }
      }
    }
  }
}

void test_optimizers(Context& context) {
  const SgdOptions sgd{0.1, 0.9, 0, 0.01, 1, 0};
  const AdamOptions adam{0.1, 0.9, 0.999, 1e-8, 0.01, 0, 3};
  for (const DType t : kReal) {
    const DType c = compute_of(t);
    const int64_t lanes = 16 / bytes_of(t);
    for (const DType g : t == c ? std::vector{t} : std::vector{t, c}) {
      for (const bool with_master : t == c ? std::vector{false} : std::vector{false, true}) {
        const std::string name =
            ", dtype " + std::to_string(static_cast<int>(t)) + (g == t ? "" : ", wide gradient") + (with_master ? ", master" : "");
        const auto operands = [&](Operands& o, int64_t n) {
          const Span param = o.add(t, numbers(t, n, 1)), grad = o.add(g, numbers(g, n, 2));
          // The master of a parameter that somebody has set since (every other one) or not.
          return std::array{param, grad, with_master ? o.add(c, numbers(c, n, n % 2 == 0 ? 1 : 4)) : Span{}};
        };
        for (const bool with_momentum : {false, true}) {
          compare(context, "sgd" + name, lanes, [&](Operands& o, int64_t n) {
            const auto [param, grad, master] = operands(o, n);
            sgd_step(context, sgd, param, grad, master, with_momentum ? o.add(c, numbers(c, n, 3)) : Span{});
          });
        }
        for (const bool largest : {false, true}) {
          compare(context, "adam" + name, lanes, [&](Operands& o, int64_t n) {
            const auto [param, grad, master] = operands(o, n);
            const Span mean = o.add(c, numbers(c, n, 3)), square = o.add(c, Bytes(static_cast<std::size_t>(n * bytes_of(c)), 0x3c));
            adam_step(context, adam, param, grad, master, mean, square, largest ? o.add(c, numbers(c, n, 5)) : Span{});
          });
        }
      }
      compare(context, "unscale", lanes_of(t, g), [&](Operands& o, int64_t n) {
        const Span x = o.add(t, numbers(t, n, 1)), y = o.add(g, numbers(g, n, 2));
        unscale(context, 0.25, x, y, o.add(DType::kInt32, Bytes(4, 0)));
      });
    }
  }
}

// One operand that is not finite, wherever it is in its vector, is found.
void test_not_finite(Context& context) {
  for (int64_t at = 0; at < 20; ++at) {
    Bytes values = numbers(DType::kFloat16, 20, 1);
    const Half infinity{0x7c00};
    std::memcpy(&values[static_cast<std::size_t>(at) * 2], &infinity, 2);
    Operands o(context, 0);
    const Span x = o.add(DType::kFloat16, values), found = o.add(DType::kInt32, Bytes(4, 0));
    unscale(context, 0.5, x, x, found);
    int32_t flag = 0;
    context.read(&flag, found.data, 4);
    expect(flag == 1, "infinity is found at " + std::to_string(at));
  }
}

struct Copy {
  const float* x;
  float* y;
  void operator()(int64_t i) const { y[i] = x[i]; }
};

// The launcher does not make vectors of what is not aligned; a kernel that does is told.
void test_misaligned(Context& context) {
  const std::shared_ptr<void> data = context.allocate(1024);
  float* const x = static_cast<float*>(data.get());
  const auto run = [&](const float* from, float* to) {
    each(context, 2, Vectors<Copy, 4, &Copy::x, &Copy::y>{{from, to}, 8, 4});
    context.read(std::array<char, 4>{}.data(), x, 4);
  };
  run(x, x + 64);
  for (const auto& [from, to] : {std::pair(x + 1, x + 64), std::pair(x, x + 66)}) {
    try {
      run(from, to);
      expect(false, "a vector that is not aligned is not found");
    } catch (const Failure& e) {
      expect(e.status == 716, std::string("cudaErrorMisalignedAddress, but it was ") + e.what());
    }
  }
}

}  // namespace

int main() {
  Context context;
  test_elementwise(context);
  test_rows(context);
  test_copies(context);
  test_transpositions(context);
  test_masks(context);
  test_optimizers(context);
  test_not_finite(context);
  test_misaligned(context);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
