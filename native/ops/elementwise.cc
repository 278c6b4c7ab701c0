// Element-wise ops of one and two operands, with NumPy's broadcasting. Arithmetic is in Compute<T>; the result is rounded once.
#include <stdexcept>

#include "../device.h"
#include "../dtype.h"
#include "../ops.h"
#include "../runs.h"

namespace partialconv {
namespace {

// --- what is computed, on values of a type of arithmetic ---------------------------------------------------------------

template <UnaryOp kOp, class C>
HOST_DEVICE inline auto apply(C x) {
  if constexpr (kOp == UnaryOp::kIsNotNaN) return static_cast<int32_t>(!math::is_nan(x));
  else if constexpr (kOp == UnaryOp::kAbs) return math::abs(x);
  else if constexpr (kOp == UnaryOp::kRelu) return x <= 0 ? C(0) : x;  // NaN stays
  else if constexpr (kOp == UnaryOp::kNeg && std::is_same_v<C, int32_t>) return static_cast<C>(0u - static_cast<uint32_t>(x));
  else if constexpr (kOp == UnaryOp::kNeg) return -x;
  else if constexpr (kOp == UnaryOp::kSqrt) return math::sqrt(x);
  else if constexpr (kOp == UnaryOp::kExp) return math::exp(x);
  else if constexpr (kOp == UnaryOp::kLog) return math::log(x);
  else if constexpr (kOp == UnaryOp::kTanh) return math::tanh(x);
  else if constexpr (kOp == UnaryOp::kSigmoid) return math::sigmoid(x);
  else return math::conj(x);
}

// Unsigned, since signed integers must not overflow.
template <BinaryOp kOp>
HOST_DEVICE inline int32_t apply(int32_t a, int32_t b) {
  const uint32_t x = static_cast<uint32_t>(a), y = static_cast<uint32_t>(b);
  if constexpr (kOp == BinaryOp::kPow) return math::pow(a, b);
  else return static_cast<int32_t>(kOp == BinaryOp::kAdd ? x + y : kOp == BinaryOp::kSub ? x - y : x * y);
}

template <BinaryOp kOp, class C>
HOST_DEVICE inline C apply(C a, C b) {
  const C zero{};
  const C one = store<C>(1.0f);
  if constexpr (kOp == BinaryOp::kAdd) return a + b;
  else if constexpr (kOp == BinaryOp::kSub) return a - b;
  else if constexpr (kOp == BinaryOp::kMul) return a * b;
  else if constexpr (kOp == BinaryOp::kDiv) return a / b;
  else if constexpr (kOp == BinaryOp::kPow) return math::pow(a, b);
  else if constexpr (kOp == BinaryOp::kMulConj) return math::conj(a) * b;
  else if constexpr (kOp == BinaryOp::kDivConj) return b / math::conj(a);
  else if constexpr (kOp == BinaryOp::kAbsGrad) return b * math::sign(a);
  else if constexpr (kOp == BinaryOp::kSqrtGrad) return b / math::conj(a + a);
  else if constexpr (kOp == BinaryOp::kTanhGrad) return b * math::conj(one - a * a);
  else if constexpr (kOp == BinaryOp::kSigmoidGrad) return b * math::conj(a * (one - a));
  else if constexpr (kOp == BinaryOp::kReluGrad) return math::real(a) <= 0 ? zero : b;
  else if constexpr (kOp == BinaryOp::kPowBaseGrad) return math::is_zero(b) ? zero : b * math::pow(a, b - one);
  else return math::is_zero(a) && math::real(b) >= 0 ? zero : math::pow(a, b) * math::log(a);
}

// --- over elements ------------------------------------------------------------------------------------------------------

template <UnaryOp kOp, class X, class Y>
struct Unary {
  const X* x;
  Y* y;
  HOST_DEVICE void operator()(int64_t i) const { y[i] = store<Y>(apply<kOp>(load(x[i]))); }
};

// Powers are not bound by memory, and long: eight of them in one kernel would fill it.
template <BinaryOp kOp>
inline constexpr bool kIsPower = kOp == BinaryOp::kPow || kOp == BinaryOp::kPowBaseGrad || kOp == BinaryOp::kPowExponentGrad;

// One run of the innermost dimension. On a CPU the three loops without a stride are the ones that vectorise.
template <BinaryOp kOp, class A, class B>
struct Binary {
  static constexpr int64_t kLanes = kHostMemory || kIsPower<kOp> ? 1 : kLanesOf<A, B>;

  const A* a;
  const B* b;
  A* y;
  Runs<2> runs;

  HOST_DEVICE void operator()(int64_t i) const {
    const Run<2> run = runs.at(i);
    const A* pa = a + run.offset[0];
    const B* pb = b + run.offset[1];
    A* py = y + run.start;
    [[maybe_unused]] const int64_t n = run.length, sa = runs.stride(0), sb = runs.stride(1);
    if constexpr (kLanes > 1) {
      const auto lane = [&](int64_t j) { py[j] = store<A>(apply<kOp>(load(pa[j]), load(pb[j]))); };
      const auto lanes = [&] { each_lane<kLanes>(lane); };
      if (n == kLanes) return in_registers<kLanes>(0, lanes, Operand(pa, true, sa == 0), Operand(pb, true, sb == 0), Operand(py));
    }
    if (kHostMemory && sa == 1 && sb == 1) {
      for (int64_t j = 0; j < n; ++j) py[j] = store<A>(apply<kOp>(load(pa[j]), load(pb[j])));
    } else if (kHostMemory && sa == 1 && sb == 0) {
      const auto right = load(pb[0]);
      for (int64_t j = 0; j < n; ++j) py[j] = store<A>(apply<kOp>(load(pa[j]), right));
    } else if (kHostMemory && sa == 0 && sb == 1) {
      const auto left = load(pa[0]);
      for (int64_t j = 0; j < n; ++j) py[j] = store<A>(apply<kOp>(left, load(pb[j])));
    } else {
      for (int64_t j = 0; j < n; ++j) py[j] = store<A>(apply<kOp>(load(pa[j * sa]), load(pb[j * sb])));
    }
  }
};

[[noreturn]] void unsupported() { throw std::invalid_argument("an element-wise op does not support this dtype"); }

template <UnaryOp kOp>
void run_unary(Context& context, Span x, Span y) {
  visit(x.dtype, [&](auto tag) {
    using X = typename decltype(tag)::type;
    constexpr bool on_integers = kOp == UnaryOp::kNeg || kOp == UnaryOp::kAbs || kOp == UnaryOp::kRelu || kOp == UnaryOp::kIsNotNaN;
    if constexpr ((kIsInteger<X> && !on_integers) || (kIsComplex<X> && kOp == UnaryOp::kRelu)) {
      unsupported();
    } else {
      using C = decltype(apply<kOp>(load(X{})));
      using Y = std::conditional_t<kOp == UnaryOp::kIsNotNaN, Bool, std::conditional_t<kIsComplex<X> && !kIsComplex<C>, C, X>>;
      using Kernel = Unary<kOp, X, Y>;
      each_vector<&Kernel::x, &Kernel::y>(context, y.size, Kernel{x.as<const X>(), y.as<Y>()});
    }
  });
}

template <BinaryOp kOp, class A, class B>
void run_binary(Context& context, const Runs<2>& runs, Span a, Span b, Span y) {
  Binary<kOp, A, B> kernel{a.as<const A>(), b.as<const B>(), y.as<A>(), runs};
  if constexpr (constexpr int64_t kLanes = decltype(kernel)::kLanes; kLanes > 1) {
    const bool in_vectors = runs.in_vectors<kLanes>(0, kernel.a) && runs.in_vectors<kLanes>(1, kernel.b);
    if (in_vectors && runs.dense_in_vectors<kLanes>(kernel.y)) kernel.runs.take_vectors(kLanes);
  }
  each(context, kernel.runs.count, kernel, kernel.runs.cost());
}

template <BinaryOp kOp>
void run_binary(Context& context, const Broadcast& broadcast, Span a, Span b, Span y) {
  Walk<2> walk{broadcast.rank, {}, {}};
  for (int64_t d = 0; d < broadcast.rank; ++d) {
    walk.shape[d] = broadcast.shape[d];
    walk.strides[0][d] = broadcast.a_strides[d];
    walk.strides[1][d] = broadcast.b_strides[d];
  }
  const Runs<2> runs(walk);
  visit(a.dtype, [&](auto tag) {
    using A = typename decltype(tag)::type;
    constexpr bool on_integers = kOp == BinaryOp::kAdd || kOp == BinaryOp::kSub || kOp == BinaryOp::kMul || kOp == BinaryOp::kPow;
    if constexpr (kIsInteger<A> && !on_integers) {
      unsupported();
    } else if (b.dtype == a.dtype) {
      run_binary<kOp, A, A>(context, runs, a, b, y);
    } else if constexpr (std::is_same_v<A, Half> || std::is_same_v<A, BFloat16>) {
      if (b.dtype != DType::kFloat32) unsupported();
      run_binary<kOp, A, float>(context, runs, a, b, y);
    } else {
      unsupported();
    }
  });
}

}  // namespace

void unary(Context& context, UnaryOp op, Span x, Span y) {
  switch (op) {
    case UnaryOp::kNeg: return run_unary<UnaryOp::kNeg>(context, x, y);
    case UnaryOp::kAbs: return run_unary<UnaryOp::kAbs>(context, x, y);
    case UnaryOp::kSqrt: return run_unary<UnaryOp::kSqrt>(context, x, y);
    case UnaryOp::kExp: return run_unary<UnaryOp::kExp>(context, x, y);
    case UnaryOp::kLog: return run_unary<UnaryOp::kLog>(context, x, y);
    case UnaryOp::kTanh: return run_unary<UnaryOp::kTanh>(context, x, y);
    case UnaryOp::kSigmoid: return run_unary<UnaryOp::kSigmoid>(context, x, y);
    case UnaryOp::kRelu: return run_unary<UnaryOp::kRelu>(context, x, y);
    case UnaryOp::kConj: return run_unary<UnaryOp::kConj>(context, x, y);
    case UnaryOp::kIsNotNaN: return run_unary<UnaryOp::kIsNotNaN>(context, x, y);
  }
  throw std::invalid_argument("unknown unary op");
}

void binary(Context& context, BinaryOp op, const Broadcast& broadcast, Span a, Span b, Span y) {
  switch (op) {
    case BinaryOp::kAdd: return run_binary<BinaryOp::kAdd>(context, broadcast, a, b, y);
    case BinaryOp::kSub: return run_binary<BinaryOp::kSub>(context, broadcast, a, b, y);
    case BinaryOp::kMul: return run_binary<BinaryOp::kMul>(context, broadcast, a, b, y);
    case BinaryOp::kDiv: return run_binary<BinaryOp::kDiv>(context, broadcast, a, b, y);
    case BinaryOp::kPow: return run_binary<BinaryOp::kPow>(context, broadcast, a, b, y);
    case BinaryOp::kMulConj: return run_binary<BinaryOp::kMulConj>(context, broadcast, a, b, y);
    case BinaryOp::kDivConj: return run_binary<BinaryOp::kDivConj>(context, broadcast, a, b, y);
    case BinaryOp::kAbsGrad: return run_binary<BinaryOp::kAbsGrad>(context, broadcast, a, b, y);
    case BinaryOp::kSqrtGrad: return run_binary<BinaryOp::kSqrtGrad>(context, broadcast, a, b, y);
    case BinaryOp::kTanhGrad: return run_binary<BinaryOp::kTanhGrad>(context, broadcast, a, b, y);
    case BinaryOp::kSigmoidGrad: return run_binary<BinaryOp::kSigmoidGrad>(context, broadcast, a, b, y);
    case BinaryOp::kReluGrad: return run_binary<BinaryOp::kReluGrad>(context, broadcast, a, b, y);
    case BinaryOp::kPowBaseGrad: return run_binary<BinaryOp::kPowBaseGrad>(context, broadcast, a, b, y);
    case BinaryOp::kPowExponentGrad: return run_binary<BinaryOp::kPowExponentGrad>(context, broadcast, a, b, y);
  }
  throw std::invalid_argument("unknown binary op");
}

}  // namespace partialconv
