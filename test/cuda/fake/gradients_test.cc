// The gradients of a convolution that are sums of many elements: against plain sums in double, and the same bits where operands are aligned
// and where they start an element later.
#include "cuda/conv_kernels.h"
#include "plain_sums.h"

using namespace partialconv;

namespace {

// Tensors of few cells and many, of channels that fill no vectors, a vector, several; of rows that are whole vectors and others.
struct Plane {
  int64_t n, c, h, w;
};
constexpr Plane kPlanes[] = {{1, 3, 1, 16400}, {3, 9, 5, 37}, {2, 16, 33, 64}, {1, 8, 150, 112}, {2, 40, 3, 8}};

// What is dense turned or only added up, and what has channels last. A gate of one channel or of each, or none.
enum class Way { kDense, kTurned, kChannels, kChannelsGated };

void test_bias(Context& context, DType t, const Plane& p, Way way, int64_t gate_channels) {
  fake::State& state = fake::state();
  const bool from_last = way >= Way::kChannels, writes = way == Way::kTurned || way == Way::kChannelsGated;
  const int64_t lanes = 16 / bytes_of(t), area = p.h * p.w, size = p.n * p.c * area, planes = p.n * gate_channels * area;
  const cuda::Image dense = cuda::dense_image(p.n, p.c, p.h, p.w), last = cuda::channels_last_image(p.n, p.c, p.h, p.w, lanes);
  const cuda::Image& from = from_last ? last : dense;
  const std::string what = name_of("a bias, way " + std::to_string(static_cast<int>(way)) + ", gates " + std::to_string(gate_channels), t,
                                   {p.n, p.c, area});
  const DType a = compute_of(t);
  const Values gate = values(a, planes, [](int64_t i) { return std::max(0.0, noise(i, 3)); }), scale = noises(a, planes, 4);
  const auto gate_of = [&](int64_t i) {
    const int64_t channel = i / area % p.c * gate_channels / p.c;
    return static_cast<std::size_t>((i / area / p.c * gate_channels + channel) * area + i % area);
  };
  // Index in [n, c, h, w] of an element of an image, or -1.
  const auto index_in = [&](const cuda::Image& m, int64_t i) {
    if (!m.channels_last) return i;
    const int64_t channel = i % m.c_padded, cell = i / m.c_padded % m.cells, sample = i / m.c_padded / m.cells;
    const bool inside = channel < p.c && cell % m.pitch < p.w;
    return inside ? ((sample * p.c + channel) * p.h + cell / m.pitch) * p.w + cell % m.pitch : -1;
  };
  // What is under a 0 of the gate, and round the tensor, is never used.
  const Values dy = values(t, size, [&](int64_t i) {
    return gate_channels > 0 && gate.at[gate_of(i)] == 0 ? std::numeric_limits<double>::quiet_NaN() : noise(i, 1);
  });
  const Values image = values(t, from.size(), [&](int64_t i) {
    const int64_t index = index_in(from, i);
    return index < 0 ? std::numeric_limits<double>::quiet_NaN() : dy.at[static_cast<std::size_t>(index)];
  });
  std::array<Bytes, 2> results;
  for (const int64_t late : {0, 1}) {
    Operands o(context, late);
    cuda::Gate planes_of;
    if (gate_channels > 0) planes_of = {o.add(a, gate.bytes).data, o.add(a, scale.bytes).data, false, p.n, gate_channels};
    const Span px = o.add(t, image.bytes), q = o.add(t, numbers(t, last.size(), 5)), db = o.add(t, numbers(t, p.c, 6));
    const int64_t threads = state.threads, vectors = state.vectors;
    cuda::gate_and_sum(context, from, writes ? last : from, planes_of, px, writes ? q.data : nullptr, db);
    results[static_cast<std::size_t>(late)] = o.results();
    if (way == Way::kDense) expect(state.threads - threads == threads_of({p.n, p.c, area}, t, false, p.c), what + ": threads");
    const bool whole = from_last || area % lanes == 0;
    expect((state.vectors > vectors) == (late == 0 && whole), what + ": vectors");
    std::vector<double> sums(static_cast<std::size_t>(p.c)), added(sums);
    for (int64_t i = 0; i < size && late == 0; ++i) {
      const double open = gate_channels > 0 ? gate.at[gate_of(i)] : 1, one = open == 0 ? 0 : dy.at[static_cast<std::size_t>(i)] * open;
      sums[static_cast<std::size_t>(i / area % p.c)] += one, added[static_cast<std::size_t>(i / area % p.c)] += std::fabs(one);
    }
    const std::vector<double> got = read(context, db), gated = read(context, q);
    // In float, some partial sums are added one after the other.
    for (std::size_t k = 0; k < sums.size() && late == 0; ++k) near(what, "db", t, got[k], sums[k], added[k] * (a == t && lanes == 2 ? 1 : 1e6));
    for (int64_t i = 0; i < last.size() && late == 0 && writes; ++i) {
      const int64_t index = index_in(last, i);
      const double open = index < 0 ? 0 : gate_channels > 0 ? gate.at[gate_of(index)] : 1, factor = gate_channels > 0 && index >= 0 ? scale.at[gate_of(index)] : 1;
      const double value = open == 0 ? 0 : dy.at[static_cast<std::size_t>(index)] * open * factor;
      near(what, "q", t, gated[static_cast<std::size_t>(i)], value, 0);
    }
  }
  expect(results[0] == results[1], what + ": other bits where operands are aligned");
}

// dw of a depthwise layer of few taps over many positions: a thread adds up 64 of them, so that there are more, and lanes the chunks.
void test_depthwise(Context& context, DType t) {
  constexpr int64_t n = 2, c = 3, w = 20000, taps = 3, chunks = n * w / 64;
  ConvGeometry g{};
  g.n = n, g.c = g.o = g.groups = c, g.h = g.ho = g.kh = 1, g.w = g.wo = w, g.kw = taps, g.pad_w = 1;
  g.stride_h = g.stride_w = g.dilation_h = g.dilation_w = 1;
  Operands o(context, 0);
  const Values x = noises(t, n * c * w, 1), dy = noises(t, n * c * w, 2);
  const Span px = o.add(t, x.bytes), pdy = o.add(t, dy.bytes), dw = o.add(t, numbers(t, c * taps, 3));
  const int64_t threads = fake::state().threads;
  cuda::direct_backward_weight(context, g, px, {}, pdy, {}, dw);
  o.results();  // waits
  expect(fake::state().threads - threads == c * taps * chunks + merge_threads(c * taps, chunks), "dw: threads");
  const std::vector<double> got = read(context, dw);
  for (int64_t i = 0; i < c * taps; ++i) {
    double sum = 0, added = 0;
    for (int64_t p = 0; p < n * w; ++p) {
      const int64_t at = (p / w * c + i / taps) * w + p % w, from = p % w + i % taps - 1;
      if (from < 0 || from >= w) continue;
      const double one = dy.at[static_cast<std::size_t>(at)] * x.at[static_cast<std::size_t>(at + i % taps - 1)];
      sum += one, added += std::fabs(one);
    }
    near("dw of a depthwise layer", "tap", t, got[static_cast<std::size_t>(i)], sum, added * (t == DType::kFloat64 ? 1 : 1e6));
  }
}

}  // namespace

int main() {
  Context context;
  for (const DType t : kReal) {
    test_depthwise(context, t);
    for (const Plane& p : kPlanes) {
      for (const Way way : {Way::kDense, Way::kTurned, Way::kChannels, Way::kChannelsGated}) {
        for (const int64_t gate_channels : {int64_t{0}, int64_t{1}, p.c}) test_bias(context, t, p, way, gate_channels);
      }
    }
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
