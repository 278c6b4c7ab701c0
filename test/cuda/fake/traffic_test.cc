// Whether kernels that memory bounds move no more than they need: the vectors that 32 neighbouring threads read or write at once fill the
// sectors of 32 bytes that they touch. Of large operands whose sizes are whole vectors, in each real dtype.
#include <functional>
#include <string>

#include "cuda/conv_kernels.h"
#include "operands.h"

using namespace partialconv;

namespace {

constexpr int64_t kN = 2, kC = 64, kS = 1024, kSize = kN * kC * kS;

// call(operands) moves at least `least` bytes in vectors, and no more than 5 % of what memory moves for them is not asked for: the ends.
void check(Context& context, const std::string& title, DType t, int64_t least, const std::function<void(Operands&)>& call) {
  fake::State& s = fake::state();
  Operands operands(context, 0);
  s.bytes = s.sector_bytes = 0;
  s.traced = 1;
  call(operands);
  operands.results();  // waits
  s.traced = 0;
  const std::string what = title + ", dtype " + std::to_string(static_cast<int>(t)) + ": ";
  const std::string numbers = std::to_string(s.bytes) + " bytes in vectors, " + std::to_string(s.sector_bytes) + " of sectors";
  expect(s.bytes >= least, what + numbers + ", at least " + std::to_string(least) + " expected");
  expect(s.bytes * 100 >= s.sector_bytes * 95, what + numbers);
}

struct Test {
  Context& context;
  DType t;
  int64_t width = bytes_of(t), bytes = kSize * width;  // of an operand [n, c, s]

  Span full(Operands& o, int64_t seed) const { return o.add(t, numbers(t, kSize, seed)); }
  void check(const std::string& title, int64_t operands, const std::function<void(Operands&)>& call) const {
    ::check(context, title, t, operands * bytes, call);
  }

  void elementwise() const {
    check("neg", 2, [&](Operands& o) { unary(context, UnaryOp::kNeg, full(o, 1), full(o, 2)); });
    check("mul", 3, [&](Operands& o) { binary(context, BinaryOp::kMul, {1, {kSize}, {1}, {1}}, full(o, 1), full(o, 2), full(o, 3)); });
    check("fill", 1, [&](Operands& o) { fill(context, 1, 0, full(o, 1)); });
    check("a mask", 2, [&](Operands& o) {
      const Span mask = o.add(DType::kBool, numbers(DType::kBool, kN * kS, 3));
      mask_apply(context, MaskOp::kSelect, {kN, kC, kS, kN, 1}, 0, full(o, 1), mask, full(o, 2));
    });
    check("prelu", 2, [&](Operands& o) { prelu(context, {kN, kC, kS, kC}, full(o, 1), o.add(t, numbers(t, kC, 2)), full(o, 3)); });
    check("sgd", 2, [&](Operands& o) { sgd_step(context, {0.1, 0, 0, 0, 0, 0}, full(o, 1), full(o, 2), {}, {}); });
  }

  void copies() const {
    check("a transposition", 2, [&](Operands& o) {
      strided_copy(context, {3, 0, 0, {kN, kC, kS}, {kC * kS, 1, kC}, {kC * kS, kS, 1}}, full(o, 1), full(o, 2));
    });
    check("padding", 2, [&](Operands& o) {
      const Span y = o.add(t, numbers(t, kN * kC * (kS + 32), 2));
      pad_axis(context, {kN * kC, kS, 1, 16, kS + 32, PaddingMode::kZeros}, {}, full(o, 1), y);
    });
    check("cut padding", 2, [&](Operands& o) {
      const Span dy = o.add(t, numbers(t, kN * kC * (kS + 32), 2));
      pad_axis_backward(context, {kN * kC, kS, 1, 16, kS + 32, PaddingMode::kZeros}, dy, full(o, 1));
    });
    check("resize", 1, [&](Operands& o) {
      resize(context, {kN * kC, 1, kS / 2, 1, kS, ResizeMode::kNearest}, 1, 0.5, o.add(t, numbers(t, kSize / 2, 1)), full(o, 2));
    });
  }

  void sums() const {
    check("sum", 1, [&](Operands& o) { reduce(context, ReduceOp::kSum, {1, kSize, 1}, full(o, 1), o.add(t, numbers(t, 1, 2))); });
    check("sums of rows", 1, [&](Operands& o) {
      reduce(context, ReduceOp::kMean, {kN * kC, kS, 1}, full(o, 1), o.add(t, numbers(t, kN * kC, 2)));
    });
    check("sum of squares", 1, [&](Operands& o) { sum_squares(context, 0, full(o, 1), o.add(DType::kFloat64, Bytes(8))); });
    check("loss", 2, [&](Operands& o) {
      const Span y = o.add(t, numbers(t, 1, 3)), weight = o.add(DType::kFloat64, Bytes(8));
      loss(context, LossOp::kSquared, LossReduction::kMean, {}, full(o, 1), full(o, 2), {}, y, weight);
    });
    for (const int64_t per_sample : {0, 1}) {
      check("a norm", 8, [&](Operands& o) {  // x twice and once more for y; x and dy for the sums, and both for dx
        const Normalization p{kN, kC, kS, 0, 0, per_sample, 0};
        const Span x = full(o, 1), statistics = o.add(DType::kFloat64, Bytes(static_cast<std::size_t>(kN * kC * 4 * 8)));
        norm_forward(context, p, 1e-3, 0, x, {}, {}, {}, {}, {}, statistics, full(o, 2));
        norm_backward(context, p, x, {}, {}, statistics, full(o, 3), full(o, 4), o.add(t, numbers(t, kC, 5)), o.add(t, numbers(t, kC, 6)));
      });
    }
  }

  void layouts() const {
    const DType a = compute_of(t);
    const cuda::Image dense = cuda::dense_image(kN, kC, 1, kS), last = cuda::channels_last_image(kN, kC, 1, kS, 8);
    const auto gate_of = [&](Operands& o) { return cuda::Gate{o.add(a, numbers(a, kN * kS, 2)).data, nullptr, false, kN, 1}; };
    for (const auto& [name, from, to] : {std::tuple{"dense to dense", dense, dense}, {"into channels last", dense, last},
                                         {"channels last", last, last}}) {
      check(name, 2, [&, from = from, to = to](Operands& o) { cuda::to_image(context, from, to, gate_of(o), full(o, 1), full(o, 3).data); });
      check(std::string(name) + ", and back", 2, [&, from = from, to = to](Operands& o) {
        cuda::from_image(context, to, from, gate_of(o), nullptr, full(o, 1).data, full(o, 3));
      });
      check(std::string(name) + ", with sums", 2, [&, from = from, to = to](Operands& o) {
        cuda::gate_and_sum(context, from, to, gate_of(o), full(o, 1), full(o, 3).data, o.add(t, numbers(t, kC, 4)));
      });
    }
    check("sums alone", 1, [&](Operands& o) {
      cuda::gate_and_sum(context, dense, dense, gate_of(o), full(o, 1), nullptr, o.add(t, numbers(t, kC, 4)));
    });
  }

  // A mask per channel, which is read once.
  void masks() const {
    if (t != compute_of(t)) return;
    for (const DType m : {DType::kBool, t}) {
      ::check(context, "a mask's ratio", t, kSize * bytes_of(m), [&](Operands& o) {
        ConvGeometry g{};
        g.n = g.mask_n = g.ratio_n = kN, g.c = g.mask_c = kC, g.o = g.groups = g.ratio_c = 1;
        g.h = g.ho = g.kh = g.stride_h = g.stride_w = g.dilation_h = g.dilation_w = 1;
        g.w = g.wo = kS, g.kw = 3, g.pad_w = 1;
        const Span ratio = o.add(t, numbers(t, kN * kS, 2)), updated = o.add(t, numbers(t, kN * kS, 3));
        mask_ratio(context, g, {3 * kC, 1}, 0, o.add(m, numbers(m, kSize, 1)), ratio, updated);
      });
    }
  }
};

}  // namespace

int main() {
  Context context;
  for (const DType t : kReal) {
    const Test test{context, t};
    test.elementwise();
    test.copies();
    test.sums();
    test.layouts();
    test.masks();
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
