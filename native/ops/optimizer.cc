// One step of an optimizer on one tensor, in one pass, in PyTorch's order of operations, and what goes before it: unscaled gradients and
// their norm. Arithmetic on 16-bit floats is in float.
#include <cmath>

#include "../choose.h"
#include "../device.h"
#include "../dtype.h"
#include "../ops.h"
#include "../optimizer_step.h"
#include "../partial_sums.h"

namespace partialconv {
namespace {

// What SGD does with its velocity: none, the first step that fills it, or a later one.
enum class Velocity { kNone, kFirst, kLater };

// g = grad + weight_decay p;  b = momentum b + (1 - dampening) g, at first g;  p -= lr (nesterov ? g + momentum b : b)
template <class T, Velocity kVelocity, class Nesterov, class Decays>
struct SgdKernel {
  using C = Compute<T>;
  Parameter<T> param;
  Gradient<T> grad;
  C* buffer;
  int64_t size;
  C negative_lr, momentum, share, weight_decay;  // share: 1 - dampening
  Nesterov nesterov;
  Decays decays;

  bool state_aligned() const { return aligned<kStepLanes<T>>(buffer); }
  template <class F>
  HOST_DEVICE void with_state(int64_t begin, F f) {
    in_registers<kStepLanes<T>>(begin, f, Operand(buffer, kVelocity != Velocity::kNone));
  }

  template <bool kMaster, bool kWide>
  HOST_DEVICE void step(Range range) const {
    for (int64_t i = range.begin; i < range.end; ++i) {
      const C p = param.template get<kMaster>(i), plain = grad.template get<kWide>(i);
      C g = decays ? fused(weight_decay, p, plain) : plain;
      if constexpr (kVelocity != Velocity::kNone) {
        const C b = kVelocity == Velocity::kFirst ? g : fused(share, g, momentum * buffer[i]);
        buffer[i] = b;
        g = nesterov ? fused(momentum, b, g) : b;
      }
      param.template set<kMaster>(i, fused(negative_lr, g, p));
    }
  }
};

// m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;  p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps), c = 1 - beta^step.
// Weight decay is added to the gradient (Adam) or shrinks p first (AdamW). AMSGrad takes the largest v so far.
template <class T, bool kLargest, class Decays>
struct AdamKernel {
  using C = Compute<T>;
  Parameter<T> param;
  Gradient<T> grad;
  C* mean;
  C* square;
  C* largest;
  int64_t size;
  C keep;                      // what weight decay leaves of p (AdamW), else 1
  C weight_decay;              // Adam's
  C share1;                    // 1 - beta1
  C beta2, share2;             // share2: 1 - beta2
  C negative_step, root, eps;  // root: sqrt(c2)
  Decays decays;

  bool state_aligned() const { return aligned<kStepLanes<T>>(mean, square, largest); }
  template <class F>
  HOST_DEVICE void with_state(int64_t begin, F f) {
    in_registers<kStepLanes<T>>(begin, f, Operand(mean), Operand(square), Operand(largest, kLargest));
  }

  template <bool kMaster, bool kWide>
  HOST_DEVICE void step(Range range) const {
    for (int64_t i = range.begin; i < range.end; ++i) {
      const C p = keep * param.template get<kMaster>(i), plain = grad.template get<kWide>(i);
      const C g = decays ? fused(weight_decay, p, plain) : plain;
      const C m = lerp(mean[i], g);
      C v = fused(share2 * g, g, beta2 * square[i]);
      mean[i] = m;
      square[i] = v;
      if constexpr (kLargest) {
        v = v > largest[i] || v != v ? v : largest[i];
        largest[i] = v;
      }
      param.template set<kMaster>(i, p + negative_step * m / (std::sqrt(v) / root + eps));
    }
  }

  // From the nearer end, so that a weight of 1 gives g exactly.
  HOST_DEVICE C lerp(C m, C g) const {
    const bool near = share1 < C(0.5);
    const C start = near ? m : g, end = near ? g : m;
    return fused(near ? share1 : C(1) - share1, end - start, start);
  }
};

template <class F>
void each_float(DType dtype, F&& f) {
  visit(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!kIsComplex<T> && !kIsInteger<T>) f(tag);
    else throw std::invalid_argument("an optimizer does not support this dtype");
  });
}

// y = factor x, and found = 1 if an x is not finite.
template <class X, class Y>
struct UnscaleKernel {
  const X* x;
  Y* y;
  int32_t* found;
  int64_t size;
  Compute<X> factor;

  HOST_DEVICE void operator()(int64_t run) const {
    const Range range = kHostMemory ? range_of(run, size) : Range{run, run + 1};
    bool bad = false;
    for (int64_t i = range.begin; i < range.end; ++i) {
      const Compute<X> v = load(x[i]);
      bad |= !(v - v == 0);
      y[i] = store<Y>(factor * v);
    }
    if (bad) mark();
  }

  // Several threads may, with the same value.
  HOST_DEVICE void mark() const {
    if constexpr (kHostMemory) __atomic_store_n(found, 1, __ATOMIC_RELAXED);
    else *found = 1;
  }
};

struct Put {
  const double* from;
  double* to;
  HOST_DEVICE void operator()(int64_t) const { *to = *from; }
};

// The sum of the squares of a chunk of contiguous elements.
template <class T>
struct SumSquares {
  using Sum = double;
  static constexpr int64_t kChunk = 8192, kUnit = kLanesOf<T>;
  const T* x;
  Doubles<1>* sums;
  int64_t size;
  bool in_vectors;

  HOST_DEVICE double part(int64_t chunk, int64_t lane, int64_t lanes) const {
    const int64_t begin = chunk * kChunk, n = size - begin < kChunk ? size - begin : kChunk;
    return part_of_chunk<double, kUnit>(x + begin, n, lane, lanes, in_vectors, [](double& sum, T element) {
      const double value = load(element);
      sum += value * value;
    });
  }
  HOST_DEVICE void put(int64_t chunk, double sum) const { sums[chunk] = {{sum}}; }
};

}  // namespace

void sgd_step(Context& context, const SgdOptions& o, Span param, Span grad, Span master, Span buffer) {
  const auto run = [&]<Velocity kVelocity>(auto nesterov, auto decays) {
    each_float(param.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = Compute<T>;
      run_step<T>(context, SgdKernel<T, kVelocity, decltype(nesterov), decltype(decays)>{
                               Parameter<T>(param, master), Gradient<T>(grad, param), buffer.as<C>(), param.size, C(-o.lr), C(o.momentum),
                               C(1 - o.dampening), C(o.weight_decay), nesterov, decays});
    });
  };
  const auto with_velocity = [&]<Velocity kVelocity> {
    choose(o.weight_decay != 0, [&](auto decays) {
      if constexpr (kVelocity == Velocity::kNone) run.template operator()<kVelocity>(std::false_type{}, decays);
      else choose(o.nesterov != 0, [&](auto nesterov) { run.template operator()<kVelocity>(nesterov, decays); });
    });
  };
  if (!buffer) with_velocity.template operator()<Velocity::kNone>();
  else if (o.first != 0) with_velocity.template operator()<Velocity::kFirst>();
  else with_velocity.template operator()<Velocity::kLater>();
}

void adam_step(Context& context, const AdamOptions& o, Span param, Span grad, Span master, Span mean, Span square, Span largest) {
  const double step_size = o.lr / (1 - std::pow(o.beta1, o.step));
  const double root = std::sqrt(1 - std::pow(o.beta2, o.step));
  const double keep = o.decoupled != 0 ? 1 - o.lr * o.weight_decay : 1;
  const auto run = [&]<bool kLargest>(auto decays) {
    each_float(param.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = Compute<T>;
      run_step<T>(context, AdamKernel<T, kLargest, decltype(decays)>{Parameter<T>(param, master), Gradient<T>(grad, param), mean.as<C>(),
                                                                     square.as<C>(), largest.as<C>(), param.size, C(keep),
                                                                     C(o.weight_decay), C(1 - o.beta1), C(o.beta2), C(1 - o.beta2),
                                                                     C(-step_size), C(root), C(o.eps), decays});
    });
  };
  choose(o.decoupled == 0 && o.weight_decay != 0, [&](auto decays) {
    if (largest) run.template operator()<true>(decays);
    else run.template operator()<false>(decays);
  });
}

void unscale(Context& context, double factor, Span x, Span y, Span found) {
  each_float(x.dtype, [&](auto tag) {
    using X = typename decltype(tag)::type;
    using C = Compute<X>;
    const auto run = [&]<class Y>(TypeTag<Y>) {
      using Kernel = UnscaleKernel<X, Y>;
      const Kernel kernel{x.as<const X>(), y.as<Y>(), found.as<int32_t>(), x.size, C(factor)};
      each_vector<&Kernel::x, &Kernel::y>(context, runs_of(x.size), kernel, kRun);
    };
    if (y.dtype == x.dtype) run(TypeTag<X>{});
    else run(TypeTag<C>{});
  });
}

void sum_squares(Context& context, int64_t index, Span x, Span sums) {
  each_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Kernel = SumSquares<T>;
    constexpr int64_t kChunk = Kernel::kChunk, kUnit = Kernel::kUnit;
    const int64_t chunks = (x.size + kChunk - 1) / kChunk, chunk = x.size < kChunk ? x.size : kChunk;
    Scratch scratch(context, static_cast<std::size_t>(partial_entries(chunks)) * sizeof(double));
    Doubles<1>* partials = scratch.as<Doubles<1>>();
    const T* data = x.as<const T>();
    each_sum(context, chunks, (chunk + kUnit - 1) / kUnit, Kernel{data, partials, x.size, aligned<kUnit>(data)}, kChunk);
    each(context, 1, Put{sum_partials(context, chunks, partials)->values, sums.as<double>() + index});
  });
}

}  // namespace partialconv
