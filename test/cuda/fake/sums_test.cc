// Sums that the lanes of a block make, chunk by chunk, over the groups of x [n, c, s]: against plain sums in double, with as many threads as
// they should have, and the same bits where operands are aligned and where they start an element later.
#include "partial_sums.h"
#include "plain_sums.h"

using namespace partialconv;

namespace {

// Chunks of a part of a row, the last one shorter or not; of one row; of several rows, of whole vectors or not; of fewer units than lanes.
constexpr Sizes kSizes[] = {{2, 1, 16400}, {1, 2, 9001}, {3, 2, 8192}, {2, 1, 5000}, {9, 2, 1100}, {20, 2, 513}, {9000, 1, 1}, {5, 3, 16}};

enum class Form { kNone, kBytes, kSoft, kOfSamples };

struct Norm {
  Sizes z;
  bool per_sample;
  Form form;
  Values x, dy, mask;

  int64_t groups() const { return per_sample ? z.n * z.c : z.c; }
  bool full() const { return form == Form::kBytes || form == Form::kSoft; }

  // f(i, m) for every element of a group.
  template <class F>
  void each_of(int64_t group, F f) const {
    for (int64_t sample = 0; sample < z.n; ++sample) {
      const int64_t channel = group % z.c;
      if (per_sample && group / z.c != sample) continue;
      for (int64_t j = 0; j < z.s; ++j) {
        const int64_t i = (sample * z.c + channel) * z.s + j;
        f(i, form == Form::kNone ? 1 : mask.at[static_cast<std::size_t>(full() ? i : sample * z.s + j)]);
      }
    }
  }
};

// The formulas of norm.cc.
void check_norm(const std::string& what, DType t, const Norm& norm, const std::vector<double>& statistics,
                const std::vector<double>& dweight, const std::vector<double>& dbias) {
  std::vector<double> weights(static_cast<std::size_t>(norm.z.c)), biases(weights), added(weights);
  for (int64_t group = 0; group < norm.groups(); ++group) {
    const double* st = statistics.data() + group * 4;
    double count = 0, sum = 0, squares = 0, moment = 0, added_squares = 0, added_moment = 0;
    norm.each_of(group, [&](int64_t i, double m) { count += m, sum += m != 0 ? norm.x.at[static_cast<std::size_t>(i)] : 0; });
    const double mean = count > 0 ? sum / count : 0;
    const std::size_t channel = static_cast<std::size_t>(group % norm.z.c);
    norm.each_of(group, [&](int64_t at, double m) {
      const std::size_t i = static_cast<std::size_t>(at);
      const double d = (m != 0 ? norm.x.at[i] : mean) - mean;
      const double size = std::fabs(d) + std::fabs(mean);  // of what a difference loses a rounding of
      squares += m * m * d * d, added_squares += m * m * std::fabs(d) * size, moment += m * m * d, added_moment += m * m * size;
      const double x = m != 0 || std::isfinite(norm.x.at[i]) ? norm.x.at[i] : 0;
      biases[channel] += norm.dy.at[i], weights[channel] += norm.dy.at[i] * (x - mean) * st[2];
      added[channel] += std::fabs(norm.dy.at[i]) * (size + std::fabs(x)) * (st[2] + 1);
    });
    near(what, "count", DType::kFloat64, st[0], count, count);
    near(what, "mean", DType::kFloat64, st[1], mean, std::fabs(mean));
    if (count > 0) near(what, "variance", DType::kFloat64, 1 / (st[2] * st[2]), squares / count + 1e-3, added_squares / count);
    else expect(st[2] == 0, what + ": nothing is normalised");
    near(what, "moment", DType::kFloat64, st[3], norm.form == Form::kNone ? 0 : moment, added_moment);
  }
  for (std::size_t channel = 0; channel < weights.size(); ++channel) {
    near(what, "dweight", t, dweight[channel], weights[channel], added[channel]);
    near(what, "dbias", t, dbias[channel], biases[channel], added[channel] + norm.dy.at.size());
  }
}

// x lies far from 0 where its dtype has room. Under a 0 of the mask it is NaN here and there; a sample of the mask is all 0, and so are
// the first units of another.
Norm norm_of(const Sizes& z, bool per_sample, Form form, DType t, DType m) {
  const int64_t size = z.n * z.c * z.s, area = form == Form::kOfSamples ? z.s : z.c * z.s;
  Norm norm{z, per_sample, form, {}, noises(t, size, 2), {}};
  if (form != Form::kNone) {
    norm.mask = values(m, z.n * area, [&](int64_t i) {
      const double any = std::max(0.0, noise(i, 3));
      const bool none = i / area == 1 || i < 40;
      return none ? 0.0 : form == Form::kBytes ? static_cast<double>(any > 0) : any;
    });
  }
  norm.x = values(t, size, [&](int64_t i) { return noise(i, 1) + (bytes_of(t) > 2 ? 65536.0 : 0.0); });
  for (int64_t group = 0; group < norm.groups() && form != Form::kNone; ++group) {
    norm.each_of(group, [&](int64_t i, double weight) {
      if (weight == 0 && i % 3 == 0) norm.x.at[static_cast<std::size_t>(i)] = std::numeric_limits<double>::quiet_NaN();
    });
  }
  norm.x = values(t, size, [x = norm.x.at](int64_t i) { return x[static_cast<std::size_t>(i)]; });
  return norm;
}

void test_norm(Context& context, DType t, const Sizes& z, bool per_sample, Form form) {
  fake::State& state = fake::state();
  const DType m = form == Form::kBytes ? DType::kBool : compute_of(t);
  const Norm norm = norm_of(z, per_sample, form, t, m);
  const int64_t size = z.n * z.c * z.s, mask_n = form == Form::kNone ? 0 : z.n, mask_c = form == Form::kNone ? 0 : norm.full() ? z.c : 1;
  const Normalization p{z.n, z.c, z.s, mask_n, mask_c, per_sample, 0};
  const std::string what = name_of("a norm, mask " + std::to_string(static_cast<int>(form)), t, z) + (per_sample ? " by sample" : "");
  std::array<Bytes, 2> results;
  for (const int64_t late : {0, 1}) {
    Operands o(context, late);
    const Span x = o.add(t, norm.x.bytes), dy = o.add(t, norm.dy.bytes), mask = mask_n == 0 ? Span{} : o.add(m, norm.mask.bytes);
    const Span y = o.add(t, Bytes(norm.x.bytes.size())), statistics = o.add(DType::kFloat64, Bytes(static_cast<std::size_t>(norm.groups() * 32)));
    const Span dweight = o.add(t, numbers(t, z.c, 4)), dbias = o.add(t, numbers(t, z.c, 5));
    const int64_t threads = state.threads, vectors = state.vectors;
    norm_forward(context, p, 1e-3, 0, x, mask, {}, {}, {}, {}, statistics, y);
    o.results();  // waits
    const int64_t lanes = 16 / bytes_of(t), taken = late == 0 && z.s % lanes == 0 ? lanes : 1;
    expect(state.threads - threads == threads_of(z, t, per_sample, norm.groups()) + size / taken, what + ": threads forward");
    expect((state.vectors > vectors) == (taken > 1), what + ": vectors forward");
    const int64_t before = state.threads, read_before = state.vectors;
    norm_backward(context, p, x, mask, {}, statistics, dy, {}, dweight, dbias);
    results[static_cast<std::size_t>(late)] = o.results();
    const int64_t parameters = merge_threads(z.c, norm.groups() / z.c);
    expect(state.threads - before == threads_of(z, t, per_sample, norm.groups()) + parameters, what + ": threads backward");
    expect((state.vectors > read_before) == (taken > 1), what + ": vectors backward");
    if (late == 0) check_norm(what, t, norm, read(context, statistics), read(context, dweight), read(context, dbias));
  }
  expect(results[0] == results[1], what + ": other bits where operands are aligned");
}

void test_prelu(Context& context, DType t, const Sizes& z, int64_t slopes) {
  fake::State& state = fake::state();
  const int64_t size = z.n * z.c * z.s;
  const Values px = noises(t, size, 1), pdy = noises(t, size, 2), a = noises(t, slopes, 3);
  const std::string what = name_of("prelu of " + std::to_string(slopes) + " slopes", t, z);
  std::array<Bytes, 2> results;
  for (const int64_t late : {0, 1}) {
    Operands o(context, late);
    const Span x = o.add(t, px.bytes), dy = o.add(t, pdy.bytes), weight = o.add(t, a.bytes), da = o.add(t, a.bytes);
    const int64_t threads = state.threads;
    prelu_backward(context, {z.n, z.c, z.s, slopes}, x, weight, dy, {}, da);
    results[static_cast<std::size_t>(late)] = o.results();
    expect(state.threads - threads == threads_of(z, t, false, slopes), what + ": threads");
    const std::vector<double> got = read(context, da);
    for (int64_t k = 0; k < slopes && late == 0; ++k) {
      double sum = 0, added = 0;
      for (int64_t i = 0; i < size; ++i) {
        const double value = px.at[static_cast<std::size_t>(i)];
        if (value > 0 || (slopes > 1 && i / z.s % z.c != k)) continue;
        sum += value * pdy.at[static_cast<std::size_t>(i)], added += std::fabs(value * pdy.at[static_cast<std::size_t>(i)]);
      }
      near(what, "slope", t, got[static_cast<std::size_t>(k)], sum, added);
    }
  }
  expect(results[0] == results[1], what + ": other bits where operands are aligned");
}

// Many entries of a sum are merged in two steps.
void test_merge(Context& context, int64_t count) {
  constexpr int64_t n = 3;
  const std::string what = "a merge of " + std::to_string(count);
  Operands o(context, 0);
  const Values values = noises(DType::kFloat64, n * count, 1);
  const Span x = o.add(DType::kFloat64, values.bytes), y = o.add(DType::kFloat64, Bytes(n * 8));
  const int64_t threads = fake::state().threads;
  merge_partials(context, n, count, x.as<const double>(), StoreSum<double>{y.as<double>()});
  o.results();  // waits
  expect(fake::state().threads - threads == merge_threads(n, count), what + ": threads");
  const std::vector<double> sums = read(context, y);
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += values.at[static_cast<std::size_t>(i * count + k)];
    near(what, "sum", DType::kFloat64, sums[static_cast<std::size_t>(i)], sum, 0);  // exact: they are multiples of 1 / 64
  }
}

}  // namespace

int main() {
  Context context;
  for (const int64_t count : {0, 1, 300, 8192, 8193, 20001}) test_merge(context, count);
  for (const DType t : kReal) {
    for (const Sizes& z : kSizes) {
      for (const Form form : {Form::kNone, Form::kBytes, Form::kSoft, Form::kOfSamples}) {
        for (const bool per_sample : {false, true}) test_norm(context, t, z, per_sample, form);
      }
      test_prelu(context, t, z, 1);
      if (z.c > 1) test_prelu(context, t, z, z.c);
    }
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
