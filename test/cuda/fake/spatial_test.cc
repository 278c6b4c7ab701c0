// Vectors of padding and of resizing: operands that are aligned and operands that start an element later give the same bits, whatever the
// length of a row, and touch nothing else; there are vectors wherever whole ones fit. So do planes together and one after the other.
#include <algorithm>
#include <functional>

#include "operands.h"
#include "padding.h"

using namespace partialconv;

namespace {

constexpr PaddingMode kModes[] = {PaddingMode::kZeros, PaddingMode::kReflect, PaddingMode::kReplicate, PaddingMode::kCircular};

// What a call counted, and what its operands hold behind it.
struct Outcome {
  int64_t threads, vectors;
  Bytes results;
};

Outcome outcome_of(Context& context, int64_t late, const std::function<void(Operands&)>& call) {
  const fake::State& state = fake::state();
  Operands operands(context, late);
  const int64_t threads = state.threads, vectors = state.vectors;
  call(operands);
  const Bytes results = operands.results();
  return {state.threads - threads, state.vectors - vectors, results};
}

// A call that writes n elements, of which vectors read or write at least `least` (0: none may).
void compare_padding(Context& context, const std::string& what, DType t, int64_t n, int64_t least,
                     const std::function<void(Operands&)>& call) {
  const int64_t lanes = 16 / bytes_of(t);
  const Outcome aligned = outcome_of(context, 0, call), late = outcome_of(context, 1, call);
  expect(aligned.results == late.results, what + ": other bits where operands are aligned");
  expect(aligned.threads == (n + lanes - 1) / lanes, what + ": threads " + std::to_string(aligned.threads));
  expect(late.threads == n && late.vectors == 0, what + ": threads or vectors of operands that are not aligned");
  expect(lanes == 1 ? aligned.vectors == 0 : aligned.vectors >= least, what + ": vectors " + std::to_string(aligned.vectors));
}

// Both directions of padding [2, size, inner], whose cells beyond `margin` of an edge are plain copies.
void test_pad(Context& context, DType t, const PadAxis& p, int64_t margin) {
  const int64_t lanes = 16 / bytes_of(t), n = p.outer * p.size * p.inner, padded = p.outer * p.out_size * p.inner;
  // Vectors of whole cells are written, and those that are read begin at one, too; others fit between the edges.
  const bool whole = p.inner % lanes == 0;
  const int64_t between = std::max<int64_t>(0, p.outer * (((p.size - 2 * margin) * p.inner + 1) / lanes - 1));
  const std::string what = "dtype " + std::to_string(static_cast<int>(t)) + ", mode " + std::to_string(static_cast<int>(p.mode)) +
                           ", cells of " + std::to_string(p.inner) + ", " + std::to_string(p.size) + " from " + std::to_string(p.before) +
                           " in " + std::to_string(p.out_size);
  for (const bool filled : {false, true}) {
    if (filled && p.mode != PaddingMode::kZeros) continue;
    compare_padding(context, "padding, " + what, t, padded, whole ? (padded + n) / lanes : between, [&](Operands& o) {
      const Span x = o.add(t, numbers(t, n, 1)), value = filled ? o.add(t, numbers(t, 1, 3)) : Span{};
      pad_axis(context, p, value, x, o.add(t, numbers(t, padded, 2)));
    });
  }
  compare_padding(context, "padding's gradient, " + what, t, n, whole ? 2 * n / lanes : between, [&](Operands& o) {
    const Span dy = o.add(t, numbers(t, padded, 1));
    pad_axis_backward(context, p, dy, o.add(t, numbers(t, n, 2)));
  });
}

// The gradient against plain loops, of whole numbers, whose sums are exact.
void test_sums(Context& context, const PadAxis& p) {
  constexpr DType t = DType::kInt32;
  const int64_t n = p.outer * p.size * p.inner, padded = p.outer * p.out_size * p.inner;
  std::vector<int32_t> given(static_cast<std::size_t>(padded)), sums(static_cast<std::size_t>(n));
  for (int64_t at = 0; at < padded; ++at) {
    const int64_t i = at % p.inner, j = at / p.inner % p.out_size, o = at / p.inner / p.out_size;
    const int64_t s = source_index(j - p.before, p.size, p.mode);
    given[static_cast<std::size_t>(at)] = static_cast<int32_t>(at + 1);
    if (s >= 0) sums[static_cast<std::size_t>((o * p.size + s) * p.inner + i)] += static_cast<int32_t>(at + 1);
  }
  const auto bytes = [](const std::vector<int32_t>& v) {
    Bytes all(v.size() * sizeof(int32_t));
    std::memcpy(all.data(), v.data(), all.size());
    return all;
  };
  Bytes expected = bytes(given);
  const Bytes folded = bytes(sums);
  expected.insert(expected.end(), folded.begin(), folded.end());
  Operands o(context, 0);
  const Span dy = o.add(t, bytes(given));
  pad_axis_backward(context, p, dy, o.add(t, numbers(t, n, 2)));
  expect(o.results() == expected, "sums of padding's gradient, mode " + std::to_string(static_cast<int>(p.mode)));
}

void test_pads(Context& context) {
  for (const DType t : kAll) {
    for (const PaddingMode mode : kModes) {
      for (const int64_t inner : {1, 2, 3, 5, 16, 48}) {
        for (int64_t size = 5; size <= (inner == 1 ? 68 : 6); ++size) {
          for (const auto& [before, after] : {std::pair{1, 1}, {0, 3}, {4, 2}}) {
            const PadAxis p{2, size, inner, before, size + before + after, mode};
            test_pad(context, t, p, 5);
            if (t == DType::kInt32) test_sums(context, p);
          }
        }
      }
      for (int64_t size = 9; size <= 40; ++size) {
        const int64_t out = size - 3;
        if (mode == PaddingMode::kZeros) test_pad(context, t, {2, size, 1, -2, out, mode}, size);
      }
    }
  }
}

std::string name_of(const Resize& r, DType t) {
  return "dtype " + std::to_string(static_cast<int>(t)) + ", mode " + std::to_string(static_cast<int>(r.mode)) + ", " + std::to_string(r.h) +
         " x " + std::to_string(r.w) + " to " + std::to_string(r.ho) + " x " + std::to_string(r.wo);
}

Span plane_of(Span all, int64_t plane, int64_t planes) {
  const int64_t size = all.size / planes;
  return {static_cast<unsigned char*>(all.data) + plane * size * bytes_of(all.dtype), size, all.dtype};
}

constexpr int64_t kLines = 8;  // that a thread takes

// from -> to, as `call` makes it of any number of planes; it writes `lines` lines, each in `across` parts where operands are aligned, and
// has `taps` threads more.
void compare_resize(Context& context, const std::string& what, const Resize& r, DType t, int64_t from, int64_t to, int64_t lines,
                    int64_t across, int64_t across_late, int64_t taps, const std::function<void(const Resize&, Span, Span)>& call) {
  const auto together = [&](Operands& o) {
    const Span x = o.add(t, numbers(t, from, 1));
    call(r, x, o.add(t, numbers(t, to, 2)));
  };
  const auto apart = [&](Operands& o) {
    const Span x = o.add(t, numbers(t, from, 1)), y = o.add(t, numbers(t, to, 2));
    Resize one = r;
    one.planes = 1;
    for (int64_t plane = 0; plane < r.planes; ++plane) call(one, plane_of(x, plane, r.planes), plane_of(y, plane, r.planes));
  };
  const Outcome aligned = outcome_of(context, 0, together), late = outcome_of(context, 1, together);
  expect(aligned.results == late.results, what + ": other bits where operands are aligned");
  expect(aligned.results == outcome_of(context, 0, apart).results, what + ": other bits of planes one after the other");
  const int64_t down = (lines + kLines - 1) / kLines;
  expect(aligned.threads == taps + down * across, what + ": threads " + std::to_string(aligned.threads));
  expect(late.threads == taps + down * across_late, what + ": threads of operands that are not aligned");
  // in_registers() counts a vector that is written twice.
  expect(aligned.vectors == (across < across_late ? 2 * lines * across : 0), what + ": vectors " + std::to_string(aligned.vectors));
  expect(late.vectors == 0, what + ": vectors of operands that are not aligned");
}

void test_resize(Context& context, const Resize& r, DType t) {
  const bool nearest = r.mode == ResizeMode::kNearest;
  const double row_scale = nearest ? double(r.h) / double(r.ho) : 0, col_scale = nearest ? double(r.w) / double(r.wo) : 0;
  const int64_t cells = r.planes * r.h * r.w, outputs = r.planes * r.ho * r.wo, taps = r.ho + r.wo;
  const int64_t lanes = std::min<int64_t>(16 / bytes_of(t), 8), across = r.wo % lanes == 0 ? r.wo / lanes : r.wo;
  compare_resize(context, "resize, " + name_of(r, t), r, t, cells, outputs, r.planes * r.ho, across, r.wo, taps,
                 [&](const Resize& of, Span x, Span y) { resize(context, of, row_scale, col_scale, x, y); });
  if (r.mode == ResizeMode::kLeast || std::find(std::begin(kReal), std::end(kReal), t) == std::end(kReal)) return;
  compare_resize(context, "resize's gradient, " + name_of(r, t), r, t, outputs, cells, r.planes * r.h, r.w, r.w, taps + r.h + r.w + 4,
                 [&](const Resize& of, Span dy, Span dx) { resize_backward(context, of, row_scale, col_scale, dy, dx); });
}

void test_resizes(Context& context) {
  for (const DType t : kAll) {
    if (t == DType::kComplex64 || t == DType::kComplex128) continue;
    for (const ResizeMode mode : {ResizeMode::kLinear, ResizeMode::kNearest, ResizeMode::kLeast}) {
      for (const auto& [h, ho] : {std::pair{1, 1}, {1, 4}, {5, 11}, {5, 40}, {20, 7}}) {
        for (const int64_t w : {1, 5, 16}) {
          for (const int64_t wo : {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 40}) test_resize(context, {3, h, w, ho, wo, mode}, t);
        }
      }
    }
  }
}

}  // namespace

int main() {
  Context context;
  test_pads(context);
  test_resizes(context);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
