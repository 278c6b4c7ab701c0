// What the optimizers' kernels share: a parameter with its master copy and gradient, and a step over them, in runs or vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "dtype.h"
#include "ops.h"
#include "runs.h"

namespace partialconv {

// a * b + c rounded once, as PyTorch's kernels do. Where the CPU may lack the instruction, the product of two floats is exact in double.
HOST_DEVICE inline float fused(float a, float b, float c) {
  if constexpr (kHostMemory) return static_cast<float>(static_cast<double>(a) * b + c);
  else return std::fma(a, b, c);
}
HOST_DEVICE inline double fused(double a, double b, double c) { return a * b + c; }

// Elements [begin, end) of a run.
struct Range {
  int64_t begin, end;
};

HOST_DEVICE inline Range range_of(int64_t run, int64_t size, int64_t length = kRun) {
  const int64_t begin = run * length;
  return {begin, size - begin < length ? size : begin + length};
}

// A parameter that a step changes. One of 16 bits may have a master copy in float, which is what the step goes on from. Where that does not
// round to the parameter, somebody else has set the parameter since (at first: whoever made it), and its value counts.
template <class T>
struct Parameter {
  using C = Compute<T>;
  T* param;
  C* master;  // or null

  Parameter(Span param, Span master) : param(param.as<T>()), master(master.as<C>()) {}

  template <bool kMaster>
  HOST_DEVICE C get(int64_t i) const {
    const C own = load(param[i]);
    if constexpr (kMaster) return store<T>(master[i]).bits == param[i].bits ? master[i] : own;
    else return own;
  }

  template <bool kMaster>
  HOST_DEVICE void set(int64_t i, C value) const {
    if constexpr (kMaster) master[i] = value;
    param[i] = store<T>(value);
  }
};

// The gradient of a parameter of type T, in that type or (wide) the one of arithmetic; the other pointer is null.
template <class T>
struct Gradient {
  const T* own;
  const Compute<T>* wide;

  Gradient(Span grad, Span param)
      : own(grad.dtype == param.dtype ? grad.as<const T>() : nullptr),
        wide(grad.dtype == param.dtype ? nullptr : grad.as<const Compute<T>>()) {}

  template <bool kWide>
  HOST_DEVICE Compute<T> get(int64_t i) const {
    if constexpr (kWide) return wide[i];
    else return load(own[i]);
  }
};

// Elements that a GPU's thread takes of a parameter of type T and what belongs to it.
template <class T>
inline constexpr int64_t kStepLanes = kHostMemory ? 1 : kLanesOf<T, Compute<T>>;

// A kernel's step over a run: a loop for each form that the operands have, since one that asks at every element is not vectorised.
template <class T, class Kernel>
struct Step {
  static constexpr int64_t kLanes = kStepLanes<T>;

  Kernel kernel;
  int64_t length;  // of a run

  HOST_DEVICE void operator()(int64_t run) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      const bool wide = kernel.grad.wide != nullptr;
      if (kernel.param.master != nullptr) return wide ? step<true, true>(run) : step<true, false>(run);
      if (wide) return step<false, true>(run);
    }
    step<false, false>(run);
  }

  template <bool kMaster, bool kWide>
  HOST_DEVICE void step(int64_t run) const {
    const Range range = range_of(run, kernel.size, kHostMemory ? kRun : length);
    if constexpr (kLanes > 1) {
      if (range.end - range.begin == kLanes) return vector<kMaster, kWide>(range.begin);
    }
    kernel.template step<kMaster, kWide>(range);
  }

  template <bool kMaster, bool kWide>
  HOST_DEVICE void vector(int64_t begin) const {
    Kernel on = kernel;
    const auto lanes = [&] { each_lane<kLanes>([&](int64_t lane) { on.template step<kMaster, kWide>({lane, lane + 1}); }); };
    const auto with_state = [&] { on.with_state(begin, lanes); };
    in_registers<kLanes>(begin, with_state, Operand(on.param.param), Operand(on.param.master, kMaster), Operand(on.grad.own, !kWide),
                         Operand(on.grad.wide, kWide));
  }
};

inline int64_t runs_of(int64_t size, int64_t length = kRun) { return (size + length - 1) / length; }

template <class T, class Kernel>
void run_step(Context& context, const Kernel& kernel) {
  const auto& [param, master] = kernel.param;
  const auto& [own, wide] = kernel.grad;
  const bool in_vectors = !kHostMemory && aligned<kStepLanes<T>>(param, master, own, wide) && kernel.state_aligned();
  const int64_t length = in_vectors ? kStepLanes<T> : kRun;
  each_run(context, runs_of(kernel.size, length), length, Step<T, Kernel>{kernel, length});
}

}  // namespace partialconv
