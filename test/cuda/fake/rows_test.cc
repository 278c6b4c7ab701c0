// Vectors of ops that go by rows, and of sums over them: operands that are aligned and operands that start an element later give the same
// bits, whatever the length of a row, and touch nothing else; there are vectors where a row is whole ones.
#include <functional>

#include "cuda/conv_kernels.h"
#include "operands.h"
#include "vectors.h"

using namespace partialconv;

namespace {

// Lengths of a row round vectors, and round the chunks of a sum.
std::vector<int64_t> row_lengths() {
  std::vector<int64_t> all{255, 256, 257, 264, 520, 521};
  for (int64_t s = 1; s <= 40; ++s) all.push_back(s);
  return all;
}

// call(operands, s) on rows of s elements of dtype t, so many of which are one after the other as if they were one. There are vectors
// where such a row is whole ones and operands are aligned, else none.
void compare(Context& context, const std::string& title, DType t, const std::function<void(Operands&, int64_t)>& call, int64_t joined = 1) {
  fake::State& state = fake::state();
  const int64_t lanes = 16 / bytes_of(t);
  for (const int64_t s : row_lengths()) {
    const std::string what = title + ", dtype " + std::to_string(static_cast<int>(t)) + ", rows of " + std::to_string(s);
    std::array<Bytes, 2> results;
    for (const int64_t late : {0, 1}) {
      Operands operands(context, late);
      const int64_t vectors = state.vectors;
      call(operands, s);
      results[static_cast<std::size_t>(late)] = operands.results();
      expect((state.vectors > vectors) == (late == 0 && s * joined % lanes == 0), what + ": vectors " + std::to_string(state.vectors - vectors));
    }
    expect(results[0] == results[1], what + ": other bits where operands are aligned");
  }
}

void test_norms(Context& context) {
  constexpr int64_t n = 2, c = 3;
  for (const DType t : kReal) {
    for (const auto& [form, m, mask_c] : {std::tuple{"none", t, 0}, {"bytes", DType::kBool, 1}, {"soft", compute_of(t), 3}}) {
      for (const int64_t per_sample : {0, 1}) {
        const int64_t mask_n = mask_c == 0 ? 0 : n, groups = per_sample == 0 ? c : n * c;
        const Normalization p{n, c, 0, mask_n, mask_c, per_sample, 0};
        compare(context, std::string("a norm, mask ") + form, t, [&, m = m, mask_c = mask_c](Operands& o, int64_t s) {
          Normalization norm = p;
          norm.s = s;
          const Span x = o.add(t, numbers(t, n * c * s, 1)), dy = o.add(t, numbers(t, n * c * s, 2));
          const Span mask = mask_c == 0 ? Span{} : o.add(m, numbers(m, n * mask_c * s, 3));
          const Span weight = o.add(t, numbers(t, c, 4)), bias = o.add(t, numbers(t, c, 5));
          const Span statistics = o.add(DType::kFloat64, Bytes(static_cast<std::size_t>(groups * 4 * 8)));
          norm_forward(context, norm, 1e-3, 0, x, mask, weight, bias, {}, {}, statistics, o.add(t, numbers(t, n * c * s, 6)));
          const Span dx = o.add(t, numbers(t, n * c * s, 7)), dweight = o.add(t, numbers(t, c, 8)), dbias = o.add(t, numbers(t, c, 9));
          norm_backward(context, norm, x, mask, weight, statistics, dy, dx, dweight, dbias);
        });
      }
    }
  }
}

void test_prelus(Context& context) {
  for (const DType t : kReal) {
    for (const int64_t slopes : {1, 3}) {
      compare(context, "prelu", t, [&](Operands& o, int64_t s) {
        const Slopes p{2, 3, s, slopes};
        const Span x = o.add(t, numbers(t, 6 * s, 1)), dy = o.add(t, numbers(t, 6 * s, 2)), weight = o.add(t, numbers(t, slopes, 3));
        prelu(context, p, x, weight, o.add(t, numbers(t, 6 * s, 4)));
        prelu_backward(context, p, x, weight, dy, o.add(t, numbers(t, 6 * s, 5)), o.add(t, numbers(t, slopes, 6)));
      });
    }
  }
}

// Masks of a loss on [2, 3, s]: its strides, and how many rows it joins.
struct LossMask {
  const char* form;
  std::array<int64_t, 3> strides;  // of rows of 1
  int64_t rows, joined;
};

void test_losses(Context& context) {
  constexpr LossMask kMasks[] = {{"none", {}, 0, 6}, {"of rows", {1, 0, 1}, 2, 1}, {"of samples", {1, 0, 0}, 2, 3}, {"dense", {3, 1, 1}, 6, 6}};
  for (const DType t : kReal) {
    for (const LossMask& mask : kMasks) {
      for (const DType m : {DType::kBool, compute_of(t)}) {
        for (const LossOp op : {LossOp::kSquared, LossOp::kAbsolute}) {
          for (const LossReduction reduction : {LossReduction::kNone, LossReduction::kMean}) {
            const bool each = reduction == LossReduction::kNone;
            compare(
                context, std::string("a loss, mask ") + mask.form, t,
                [&](Operands& o, int64_t s) {
                  const bool dense = mask.strides[2] == 1;
                  const int64_t step = dense ? s : 1, size = 6 * s;
                  const MaskLayout layout{3, {2, 3, s}, {mask.strides[0] * step, mask.strides[1] * step, mask.strides[2]}};
                  const Span x = o.add(t, numbers(t, size, 1)), target = o.add(t, numbers(t, size, 2));
                  const Span weights = mask.rows == 0 ? Span{} : o.add(m, numbers(m, mask.rows * step, 3));
                  const Span sum = o.add(DType::kFloat64, Bytes(8));
                  loss(context, op, reduction, layout, x, target, weights, o.add(t, numbers(t, each ? size : 1, 4)), sum);
                  const Span dy = o.add(t, numbers(t, each ? size : 1, 5));
                  const Span dx = o.add(t, numbers(t, size, 6)), dtarget = o.add(t, numbers(t, size, 7));
                  loss_backward(context, op, reduction, layout, x, target, weights, sum, dy, dx, dtarget);
                },
                mask.joined);
          }
        }
      }
    }
  }
}

// Masks of one channel and of several, whose counts are those of single outputs, whichever of them a thread has.
void test_ratios(Context& context) {
  for (const DType t : {DType::kFloat32, DType::kFloat64}) {
    for (const DType m : {DType::kBool, t}) {
      for (const int64_t channels : {1, 3}) {
        for (const int64_t dilation : {1, 4}) {
          for (const PaddingMode mode : {PaddingMode::kZeros, PaddingMode::kReplicate}) {
            compare(context, "a mask's ratio", t, [&](Operands& o, int64_t s) {
              ConvGeometry g{};
              g.n = g.mask_n = g.ratio_n = 2, g.c = g.mask_c = channels, g.o = g.groups = g.ratio_c = 1;
              g.h = g.ho = g.kh = g.stride_h = g.stride_w = g.dilation_h = 1;
              g.w = g.wo = s, g.kw = 3, g.dilation_w = g.pad_w = dilation, g.padding_mode = mode;
              const Span mask = o.add(m, numbers(m, 2 * channels * s, 1));
              mask_ratio(context, g, {3 * channels, 1}, 1e-8, mask, o.add(t, numbers(t, 2 * s, 2)), o.add(t, numbers(t, 2 * s, 3)));
            });
          }
        }
      }
    }
  }
}

// The sums over a gradient's cells: along rows of them, or of s channels that lie last, padded to vectors.
void test_bias_gradients(Context& context) {
  constexpr int64_t n = 2, w = 40;
  for (const DType t : kReal) {
    for (const bool gated : {false, true}) {
      const auto gate_of = [&](Operands& o, int64_t cells) {
        const DType a = compute_of(t);
        if (!gated) return cuda::Gate{};
        return cuda::Gate{o.add(a, numbers(a, n * cells, 2)).data, o.add(a, numbers(a, n * cells, 3)).data, false, n, 1};
      };
      compare(context, "sums of rows", t, [&](Operands& o, int64_t s) {
        const cuda::Image image = cuda::dense_image(n, 3, 1, s);
        const Span dy = o.add(t, numbers(t, image.size(), 1));
        cuda::gate_and_sum(context, image, image, gate_of(o, s), dy, nullptr, o.add(t, numbers(t, 3, 4)));
      });
      for (const bool writes : {false, true}) {
        const auto call = [&](Operands& o, int64_t s) {
          const cuda::Image image = cuda::channels_last_image(n, s, 1, w - 3, 8);
          const Span dy = o.add(t, numbers(t, image.size(), 1)), q = o.add(t, numbers(t, image.size(), 5));
          cuda::gate_and_sum(context, image, image, gate_of(o, w - 3), dy, writes ? q.data : nullptr, o.add(t, numbers(t, s, 4)));
        };
        compare(context, "sums of channels", t, call, 8);
      }
    }
  }
}

void test_reductions(Context& context) {
  for (const DType t : kReal) {
    const auto call = [&](Operands& o, int64_t s) {
      const Span x = o.add(t, numbers(t, 6 * s, 1));
      reduce(context, ReduceOp::kSum, {6, s, 1}, x, o.add(t, numbers(t, 6, 2)));
    };
    compare(context, "a sum of rows", t, call);
  }
}

// Chunks of 8192, each added up by a block's lanes, which have a vector or more; a vector of it may be shorter than the others.
void test_sums_of_squares(Context& context) {
  fake::State& state = fake::state();
  for (const DType t : kReal) {
    const int64_t lanes = 16 / bytes_of(t);
    for (const int64_t n : {1, 7, 8, 9, 300, 8191, 8192, 8193, 20001}) {
      const std::string what = "squares of " + std::to_string(n) + ", dtype " + std::to_string(static_cast<int>(t));
      std::array<Bytes, 2> results;
      for (const int64_t late : {0, 1}) {
        Operands o(context, late);
        const Span x = o.add(t, numbers(t, n, 1)), sums = o.add(DType::kFloat64, Bytes(2 * 8));
        const int64_t vectors = state.vectors, threads = state.threads;
        sum_squares(context, 1, x, sums);
        results[static_cast<std::size_t>(late)] = o.results();
        const int64_t chunks = (n + 8191) / 8192, units = (std::min<int64_t>(n, 8192) + lanes - 1) / lanes;
        expect(state.vectors - vectors == (late == 0 ? n / lanes : 0), what + ": vectors " + std::to_string(state.vectors - vectors));
        expect(state.threads - threads == chunks * lanes_for(units) + lanes_for(chunks) + 1, what + ": threads");
      }
      expect(results[0] == results[1], what + ": other bits where operands are aligned");
    }
  }
}

// The threads of a launch: one for each vector.
void test_threads(Context& context) {
  fake::State& state = fake::state();
  for (const DType t : kReal) {
    Operands o(context, 0);
    const int64_t s = 64, lanes = 16 / bytes_of(t);
    const Span x = o.add(t, numbers(t, 6 * s, 1)), weight = o.add(t, numbers(t, 1, 2)), y = o.add(t, numbers(t, 6 * s, 3));
    const int64_t threads = state.threads;
    prelu(context, {2, 3, s, 1}, x, weight, y);
    expect(state.threads - threads == 6 * s / lanes, "threads of prelu");
  }
}

}  // namespace

int main() {
  Context context;
  test_norms(context);
  test_prelus(context);
  test_losses(context);
  test_ratios(context);
  test_bias_gradients(context);
  test_reductions(context);
  test_sums_of_squares(context);
  test_threads(context);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
