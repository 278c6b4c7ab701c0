// Batch and instance normalisation, with and without a mask m, forward and backward. Over each group of x (groups.h):
//   count = sum m    mean = sum [m != 0] x / count    variance = sum m^2 (x - mean)^2 / count    r = 1 / sqrt(variance + eps)
//   y = (x - mean) r weight + bias, also under a 0 of the mask; in a group without valid elements y = bias
// A NaN or an infinity under a 0 of the mask counts as 0: it reaches neither other elements nor a gradient.
#include <cmath>

#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"

namespace partialconv {
namespace {

// What `statistics` holds for a group. moment: sum m^2 (x - mean). r is 0 where nothing is to be normalised.
struct Statistics {
  double count, mean, r, moment;
};

template <class T, class M>
HOST_DEVICE inline Compute<T> value_at(const T* x, const M* mask, int64_t j) {
  const Compute<T> value = load(x[j]);
  if constexpr (kMasked<M>) return (mask[j] == 0) & !(value - value == 0) ? Compute<T>(0) : value;
  else return value;
}

// --- forward --------------------------------------------------------------------------------------------------------------

// Of a chunk: weight = sum m^2, centre = sum m^2 x / weight, squares = sum m^2 (x - centre)^2. Moving squares to another centre
// adds weight times the square of the distance: merging chunks cancels nothing.
struct Partial {
  double count, sum, weight, centre, squares;
};

template <class T, class M, int64_t kLanes>
struct ChunkStatistics {
  Groups groups;
  const T* x;
  MaskRows<M> mask;
  Partial* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    Partial p = first_pass(i);
    if (p.weight > 0) p.centre /= p.weight;
    Sums<1> squares;
    groups.each_row(i, [&](const Row& row) {
      const T* px = x + row.offset;
      const M* m = mask.at(row);
      const auto terms = [&](int64_t j, double* t) {
        const double value = load(px[j]), weighted = ((is_valid(m, j) ? value : p.centre) - p.centre) * mask_value(m, j);
        t[0] = weighted * weighted;
      };
      squares.add<kLanes>(row.length, terms, Operand(px), Operand(m, kMasked<M>));
    });
    p.squares = squares.total(0);
    partial[i] = p;
  }

  // The sums; centre holds sum m^2 x.
  HOST_DEVICE Partial first_pass(int64_t i) const {
    constexpr bool kSoft = kMasked<M> && !std::is_same_v<M, uint8_t>;
    Sums<kSoft ? 4 : 2> sums;
    groups.each_row(i, [&](const Row& row) {
      const T* px = x + row.offset;
      const M* m = mask.at(row);
      const auto terms = [&](int64_t j, double* t) {
        const double any = load(px[j]), value = is_valid(m, j) ? any : 0, weight = mask_value(m, j);
        t[0] = weight;
        t[1] = value;
        if constexpr (kSoft) t[2] = weight * weight, t[3] = weight * weight * value;
      };
      sums.template add<kLanes>(row.length, terms, Operand(px), Operand(m, kMasked<M>));
    });
    const double count = sums.total(0), sum = sums.total(1);
    if constexpr (kSoft) return {count, sum, sums.total(2), sums.total(3), 0};
    else return {count, sum, count, sum, 0};
  }
};

// Chunks to a group's statistics, and those of a batch into the running ones: biased with a mask, unbiased without.
template <class T>
struct MergeStatistics {
  const Partial* partial;
  int64_t chunks;
  double eps, momentum;
  bool masked;
  T *running_mean, *running_var;
  Statistics* statistics;

  HOST_DEVICE void operator()(int64_t group) const {
    const Partial* p = partial + group * chunks;
    double count = 0, sum = 0, squares = 0, moment = 0;
    for (int64_t k = 0; k < chunks; ++k) count += p[k].count, sum += p[k].sum;
    const double mean = count > 0 ? sum / count : 0;
    for (int64_t k = 0; k < chunks; ++k) {
      const double distance = p[k].centre - mean;
      squares += p[k].squares + p[k].weight * distance * distance;
      moment += p[k].weight * distance;
    }
    const double variance = count > 0 ? squares / count + eps : 0;
    statistics[group] = {count, mean, variance == 0 ? 0 : 1 / sqrt(variance), masked ? moment : 0};
    if (running_mean == nullptr || !(count > 0)) return;
    update(running_mean[group], mean);
    update(running_var[group], squares / (masked ? count : count - 1));
  }

  HOST_DEVICE void update(T& running, double value) const { running = store<T>((1 - momentum) * load(running) + momentum * value); }
};

template <class T>
struct FrozenStatistics {
  const T *running_mean, *running_var;
  double eps;
  Statistics* statistics;
  HOST_DEVICE void operator()(int64_t c) const { statistics[c] = {0, load(running_mean[c]), 1 / sqrt(load(running_var[c]) + eps), 0}; }
};

template <class T, class M, int64_t kLanes>
struct Normalize {
  Blocks<kLanes> blocks;
  bool per_sample;
  const T *x, *weight, *bias;
  MaskRows<M> mask;
  const Statistics* statistics;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    using C = Compute<T>;
    const Row row = blocks.at(i);
    const int64_t channel = row.channel;
    const Statistics st = statistics[per_sample ? row.sample * blocks.c + channel : channel];
    const C mean = static_cast<C>(st.mean), shift = bias == nullptr ? C(0) : C(load(bias[channel]));
    const C scale = static_cast<C>(st.r * (weight == nullptr ? 1.0 : load(weight[channel])));
    const T* px = x + row.offset;
    T* py = y + row.offset;
    const M* m = mask.at(row);
    const auto nothing = [&](int64_t j) { py[j] = store<T>(shift); };
    const auto normalized = [&](int64_t j) { py[j] = store<T>((value_at(px, m, j) - mean) * scale + shift); };
    if (st.r == 0) each_in_block<kLanes>(row, nothing, Operand(py));
    else each_in_block<kLanes>(row, normalized, Operand(px), Operand(m, kMasked<M>), Operand(py));
  }
};

// --- backward -------------------------------------------------------------------------------------------------------------

// Of a chunk: sum dy, and sum dy (x - mean); of a group the second is that times r, which is what the weight gets.
struct Gradient {
  double dy, dy_x;
};

template <class T, class M, int64_t kLanes>
struct ChunkGradient {
  Groups groups;
  const T *x, *dy;
  MaskRows<M> mask;
  const Statistics* statistics;
  Gradient* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    const double mean = statistics[i / groups.per_group()].mean;
    Sums<2> sums;
    groups.each_row(i, [&](const Row& row) {
      const T *px = x + row.offset, *pdy = dy + row.offset;
      const M* m = mask.at(row);
      const auto terms = [&](int64_t j, double* t) {
        t[0] = load(pdy[j]);
        t[1] = t[0] * (value_at(px, m, j) - mean);
      };
      sums.add<kLanes>(row.length, terms, Operand(px), Operand(pdy), Operand(m, kMasked<M>));
    });
    partial[i] = {sums.total(0), sums.total(1)};
  }
};

// dx = scale dy + [m != 0] (constant + slope m^2 (x - mean)); the last two are what the statistics carry.
struct InputGradient {
  double scale, constant, slope;
};

template <class T>
struct MergeGradient {
  const Gradient* partial;  // null: the sums are not needed
  int64_t chunks, c;
  bool frozen;
  const T* weight;
  const Statistics* statistics;
  Gradient* sums;
  InputGradient* input;

  HOST_DEVICE void operator()(int64_t group) const {
    const Statistics st = statistics[group];
    double dy = 0, dy_x = 0;
    for (int64_t k = 0; partial != nullptr && k < chunks; ++k)
      dy += partial[group * chunks + k].dy, dy_x += partial[group * chunks + k].dy_x;
    sums[group] = {dy, dy_x * st.r};
    const double scale = st.r * (weight == nullptr ? 1.0 : load(weight[group % c]));
    input[group] = {scale, 0, 0};
    if (frozen || st.r == 0) return;
    // With q = dy weight: dvariance = -r^3 / 2 sum q (x - mean); dmean = -r sum q - dvariance 2 moment / count.
    const double slope = -st.r * st.r * scale * dy_x / st.count;
    input[group] = {scale, (-scale * dy - slope * st.moment) / st.count, slope};
  }
};

template <class T>
struct ParameterGradient {
  const Gradient* sums;
  int64_t groups, c;
  T *dweight, *dbias;

  HOST_DEVICE void operator()(int64_t channel) const {
    double dy = 0, dy_x = 0;
    for (int64_t group = channel; group < groups; group += c) dy += sums[group].dy, dy_x += sums[group].dy_x;
    if (dweight != nullptr) dweight[channel] = store<T>(dy_x);
    if (dbias != nullptr) dbias[channel] = store<T>(dy);
  }
};

template <class T, class M, int64_t kLanes>
struct PropagateInput {
  Blocks<kLanes> blocks;
  bool per_sample;
  const T *x, *dy;
  MaskRows<M> mask;
  const Statistics* statistics;
  const InputGradient* input;
  T* dx;

  HOST_DEVICE void operator()(int64_t i) const {
    using C = Compute<T>;
    const Row row = blocks.at(i);
    const int64_t group = per_sample ? row.sample * blocks.c + row.channel : row.channel;
    const C scale = static_cast<C>(input[group].scale), constant = static_cast<C>(input[group].constant);
    const C slope = static_cast<C>(input[group].slope), mean = static_cast<C>(statistics[group].mean);
    const T *px = x + row.offset, *pdy = dy + row.offset;
    T* pdx = dx + row.offset;
    const M* m = mask.at(row);
    const auto propagated = [&](int64_t j) {
      const C weight = static_cast<C>(mask_value(m, j));
      const C carried = constant + slope * weight * weight * (value_at(px, m, j) - mean);
      pdx[j] = store<T>(scale * load(pdy[j]) + (is_valid(m, j) ? carried : C(0)));
    };
    each_in_block<kLanes>(row, propagated, Operand(px), Operand(pdy), Operand(m, kMasked<M>), Operand(pdx));
  }
};

}  // namespace

void norm_forward(Context& context, const Normalization& p, double eps, double momentum, Span x, Span mask, Span weight, Span bias,
                  Span running_mean, Span running_var, Span statistics, Span y) {
  const bool per_sample = p.per_sample != 0;
  const Groups groups(p.n, p.c, p.s, per_sample);
  Statistics* st = statistics.as<Statistics>();
  Scratch scratch(context, p.frozen ? 0 : groups.chunks() * sizeof(Partial));
  const auto run = [&]<class T, class M, int64_t kLanes> {
    const MaskRows<M> rows(mask, p.mask_n, p.mask_c, p.s);
    const T* px = x.as<const T>();
    T *mean = running_mean.as<T>(), *var = running_var.as<T>();
    Partial* partial = scratch.as<Partial>();
    if (p.frozen) {
      each(context, p.c, FrozenStatistics<T>{mean, var, eps, st});
    } else {
      each(context, groups.chunks(), ChunkStatistics<T, M, kLanes>{groups, px, rows, partial}, groups.work());
      each(context, groups.count(), MergeStatistics<T>{partial, groups.per_group(), eps, momentum, kMasked<M>, mean, var, st},
           groups.per_group());
    }
    const Blocks<kLanes> blocks(p.n, p.c, p.s);
    const Normalize<T, M, kLanes> normalize{blocks, per_sample, px, weight.as<const T>(), bias.as<const T>(), rows, st, y.as<T>()};
    each(context, blocks.count(), normalize, blocks.work());
  };
  visit_rows(p.s, x, mask, run, y);
}

void norm_backward(Context& context, const Normalization& p, Span x, Span mask, Span weight, Span statistics, Span dy, Span dx,
                   Span dweight, Span dbias) {
  const bool per_sample = p.per_sample != 0;
  const Groups groups(p.n, p.c, p.s, per_sample);
  const bool parameters = dweight || dbias, needs_sums = parameters || !p.frozen;
  const Statistics* st = statistics.as<const Statistics>();
  Scratch partials(context, (needs_sums ? groups.chunks() : 0) * sizeof(Gradient));
  Scratch merged(context, groups.count() * sizeof(Gradient)), coefficients(context, groups.count() * sizeof(InputGradient));
  Gradient *partial = needs_sums ? partials.as<Gradient>() : nullptr, *sums = merged.as<Gradient>();
  InputGradient* input = coefficients.as<InputGradient>();
  const auto run = [&]<class T, class M, int64_t kLanes> {
    const MaskRows<M> rows(mask, p.mask_n, p.mask_c, p.s);
    const T *px = x.as<const T>(), *pdy = dy.as<const T>();
    if (needs_sums) each(context, groups.chunks(), ChunkGradient<T, M, kLanes>{groups, px, pdy, rows, st, partial}, groups.work());
    const MergeGradient<T> merge{partial, groups.per_group(), p.c, p.frozen != 0, weight.as<const T>(), st, sums, input};
    each(context, groups.count(), merge, groups.per_group());
    if (parameters) each(context, p.c, ParameterGradient<T>{sums, groups.count(), p.c, dweight.as<T>(), dbias.as<T>()}, p.n);
    if (!dx) return;
    const Blocks<kLanes> blocks(p.n, p.c, p.s);
    each(context, blocks.count(), PropagateInput<T, M, kLanes>{blocks, per_sample, px, pdy, rows, st, input, dx.as<T>()}, blocks.work());
  };
  visit_rows(p.s, x, mask, run, dy, dx);
}

}  // namespace partialconv
