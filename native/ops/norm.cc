// Batch and instance normalisation, with and without a mask m, forward and backward. Over each group of x (groups.h):
//   count = sum m    mean = sum [m != 0] x / count    variance = sum m^2 (x - mean)^2 / count    r = 1 / sqrt(variance + eps)
//   y = (x - mean) r weight + bias, also under a 0 of the mask; in a group without valid elements y = bias
// A NaN or an infinity under a 0 of the mask counts as 0: it reaches neither other elements nor a gradient.
#include <cmath>

#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"
#include "../partial_sums.h"

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

// Of a part of a group: weight = sum m^2, centre = sum m^2 x / weight (0 where that is 0), squares = sum m^2 (x - centre)^2. Moving squares
// to another centre adds weight times the square of the distance: merging two parts cancels nothing (T. Chan, G. Golub, R. LeVeque:
// Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979).
struct Partial {
  double count, sum, weight, centre, squares;

  HOST_DEVICE friend Partial operator+(const Partial& a, const Partial& b) {
    const double weight = a.weight + b.weight, share = weight > 0 ? b.weight / weight : 0, distance = b.centre - a.centre;
    return {a.count + b.count, a.sum + b.sum, weight, a.centre + distance * share,
            a.squares + b.squares + distance * (a.weight * share) * distance};
  }
};

template <class T, class M, int64_t kLanes>
struct ChunkStatistics {
  using Sum = Partial;

  Groups<T> groups;
  const T* x;
  MaskRows<M> mask;
  Partial* partial;

  HOST_DEVICE Partial part(int64_t i, int64_t lane, int64_t lanes) const {
    Partial p = first_pass(i, lane, lanes);
    if (p.weight > 0) p.centre /= p.weight;
    Sums<1> squares;
    groups.each_row(i, lane, lanes, [&](const Row& row) {
      const T* px = x + row.offset;
      const M* m = mask.at(row);
      const auto terms = [&](int64_t j, double* t) {
        const double value = load(px[j]), weighted = ((is_valid(m, j) ? value : p.centre) - p.centre) * mask_value(m, j);
        t[0] = weighted * weighted;
      };
      squares.add<kLanes>(row.length, terms, Operand(px), Operand(m, kMasked<M>));
    });
    p.squares = squares.total(0);
    return p;
  }
  HOST_DEVICE void put(int64_t i, const Partial& sum) const { partial[i] = sum; }

  // The sums; centre holds sum m^2 x.
  HOST_DEVICE Partial first_pass(int64_t i, int64_t lane, int64_t lanes) const {
    constexpr bool kSoft = kMasked<M> && !std::is_same_v<M, uint8_t>;
    Sums<kSoft ? 4 : 2> sums;
    groups.each_row(i, lane, lanes, [&](const Row& row) {
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

// The sum of a group's chunks to its statistics, and those of a batch into the running ones: biased with a mask, unbiased without.
template <class T>
struct PutStatistics {
  double eps, momentum;
  bool masked;
  T *running_mean, *running_var;
  Statistics* statistics;

  HOST_DEVICE void operator()(int64_t group, const Partial& p) const {
    const double mean = p.count > 0 ? p.sum / p.count : 0, distance = p.centre - mean, moment = p.weight * distance;
    const double squares = p.squares + moment * distance, variance = p.count > 0 ? squares / p.count + eps : 0;
    statistics[group] = {p.count, mean, variance == 0 ? 0 : 1 / sqrt(variance), masked ? moment : 0};
    if (running_mean == nullptr || !(p.count > 0)) return;
    update(running_mean[group], mean);
    update(running_var[group], squares / (masked ? p.count : p.count - 1));
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

  HOST_DEVICE friend Gradient operator+(const Gradient& a, const Gradient& b) { return {a.dy + b.dy, a.dy_x + b.dy_x}; }
};

template <class T, class M, int64_t kLanes>
struct ChunkGradient {
  using Sum = Gradient;

  Groups<T> groups;
  const T *x, *dy;
  MaskRows<M> mask;
  const Statistics* statistics;
  Gradient* partial;

  HOST_DEVICE Gradient part(int64_t i, int64_t lane, int64_t lanes) const {
    const double mean = statistics[i / groups.chunks_of_group].mean;
    Sums<2> sums;
    groups.each_row(i, lane, lanes, [&](const Row& row) {
      const T *px = x + row.offset, *pdy = dy + row.offset;
      const M* m = mask.at(row);
      const auto terms = [&](int64_t j, double* t) {
        t[0] = load(pdy[j]);
        t[1] = t[0] * (value_at(px, m, j) - mean);
      };
      sums.add<kLanes>(row.length, terms, Operand(px), Operand(pdy), Operand(m, kMasked<M>));
    });
    return {sums.total(0), sums.total(1)};
  }
  HOST_DEVICE void put(int64_t i, const Gradient& sum) const { partial[i] = sum; }
};

// dx = scale dy + [m != 0] (constant + slope m^2 (x - mean)); the last two are what the statistics carry.
struct InputGradient {
  double scale, constant, slope;
};

template <class T>
struct PutGradient {
  Divisor c;
  int64_t samples;  // that have groups of their own
  bool frozen;
  const T* weight;
  const Statistics* statistics;
  Gradient* sums;  // [c, samples]
  InputGradient* input;

  HOST_DEVICE void operator()(int64_t group, const Gradient& sum) const {
    const Statistics st = statistics[group];
    const int64_t channel = group % c;
    sums[channel * samples + group / c] = {sum.dy, sum.dy_x * st.r};
    const double scale = st.r * (weight == nullptr ? 1.0 : load(weight[channel]));
    input[group] = {scale, 0, 0};
    if (frozen || st.r == 0) return;
    // With q = dy weight: dvariance = -r^3 / 2 sum q (x - mean); dmean = -r sum q - dvariance 2 moment / count.
    const double slope = -st.r * st.r * scale * sum.dy_x / st.count;
    input[group] = {scale, (-scale * sum.dy - slope * st.moment) / st.count, slope};
  }
};

template <class T>
struct PutParameters {
  T *dweight, *dbias;

  HOST_DEVICE void operator()(int64_t channel, const Gradient& sum) const {
    if (dweight != nullptr) dweight[channel] = store<T>(sum.dy_x);
    if (dbias != nullptr) dbias[channel] = store<T>(sum.dy);
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
  Statistics* st = statistics.as<Statistics>();
  const auto run = [&]<class T, class M, int64_t kLanes> {
    const MaskRows<M> rows(mask, p.mask_n, p.mask_c, p.s);
    const T* px = x.as<const T>();
    T *mean = running_mean.as<T>(), *var = running_var.as<T>();
    if (p.frozen) {
      each(context, p.c, FrozenStatistics<T>{mean, var, eps, st});
    } else {
      const Groups<T> groups(p.n, p.c, p.s, per_sample);
      Scratch scratch(context, groups.chunks() * sizeof(Partial));
      Partial* partial = scratch.as<Partial>();
      each_sum(context, groups.chunks(), groups.units(), ChunkStatistics<T, M, kLanes>{groups, px, rows, partial}, groups.work());
      merge_partials(context, groups.count, groups.per_group(), partial, PutStatistics<T>{eps, momentum, kMasked<M>, mean, var, st});
    }
    const Blocks<kLanes> blocks(p.n, p.c, p.s);
    const Normalize<T, M, kLanes> normalize{blocks, per_sample, px, weight.as<const T>(), bias.as<const T>(), rows, st, y.as<T>()};
    each(context, blocks.count(), normalize, blocks.work());
  };
  visit_rows(p.s, x, mask, run, y);
}

void norm_backward(Context& context, const Normalization& p, Span x, Span mask, Span weight, Span statistics, Span dy, Span dx,
                   Span dweight, Span dbias) {
  const bool per_sample = p.per_sample != 0, parameters = dweight || dbias, needs_sums = parameters || !p.frozen;
  const int64_t samples = per_sample ? p.n : 1, count = samples * p.c;
  const Statistics* st = statistics.as<const Statistics>();
  Scratch merged(context, count * sizeof(Gradient)), coefficients(context, count * sizeof(InputGradient));
  Gradient* sums = merged.as<Gradient>();
  InputGradient* input = coefficients.as<InputGradient>();
  const auto run = [&]<class T, class M, int64_t kLanes> {
    const MaskRows<M> rows(mask, p.mask_n, p.mask_c, p.s);
    const T *px = x.as<const T>(), *pdy = dy.as<const T>();
    const Groups<T> groups(p.n, p.c, p.s, per_sample);
    const int64_t chunks = needs_sums ? groups.chunks() : 0;
    Scratch partials(context, chunks * sizeof(Gradient));
    Gradient* partial = partials.as<Gradient>();
    each_sum(context, chunks, groups.units(), ChunkGradient<T, M, kLanes>{groups, px, pdy, rows, st, partial}, groups.work());
    const PutGradient<T> put{Divisor(p.c), samples, p.frozen != 0, weight.as<const T>(), st, sums, input};
    merge_partials(context, count, needs_sums ? groups.per_group() : 0, partial, put);
    if (parameters) merge_partials(context, p.c, samples, sums, PutParameters<T>{dweight.as<T>(), dbias.as<T>()});
    if (!dx) return;
    const Blocks<kLanes> blocks(p.n, p.c, p.s);
    each(context, blocks.count(), PropagateInput<T, M, kLanes>{blocks, per_sample, px, pdy, rows, st, input, dx.as<T>()}, blocks.work());
  };
  visit_rows(p.s, x, mask, run, dy, dx);
}

}  // namespace partialconv
