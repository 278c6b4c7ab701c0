// A mask m onto x, element by element; each is linear in x, so that the gradient is the same op on dy.
//   select: m == 0 ? 0 : x      apply: m == 0 ? 0 : x m      unapply: m + eps == 0 ? 0 : x / (m + eps)
#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"
#include "../vectors.h"

namespace partialconv {
namespace {

// A GPU's thread has kLanes elements of a row, whose length they divide.
template <MaskOp kOp, class T, class M, int64_t kLanes>
struct Masked {
  using Rows = std::conditional_t<kLanes == 1, Blocks, BlocksOf<kLanes>>;

  Rows blocks;
  double eps;
  const T* x;
  MaskRows<M> mask;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const Row row = blocks.at(i);
    const T* px = x + row.offset;
    T* py = y + row.offset;
    const M* m = mask.at(row);
    if constexpr (kLanes > 1) {
      const auto lanes = [&] { each_lane<kLanes>([&](int64_t j) { py[j] = element(px, m, j); }); };
      in_registers<kLanes>(0, lanes, Operand(px), Operand(m, kMasked<M>), Operand(py));
    } else {
      for (int64_t j = 0; j < row.length; ++j) py[j] = element(px, m, j);
    }
  }

  HOST_DEVICE T element(const T* px, const M* m, int64_t j) const {
    if constexpr (kOp == MaskOp::kSelect) {
      return is_valid(m, j) ? px[j] : T{};
    } else if constexpr (kOp == MaskOp::kApply) {
      const Compute<T> value = load(px[j]), valid = is_valid(m, j) ? value : 0;
      return store<T>(valid * static_cast<Compute<T>>(mask_value(m, j)));
    } else {
      const double divisor = mask_value(m, j) + eps, value = load(px[j]);
      return store<T>((divisor == 0 ? 0 : value) / (divisor == 0 ? 1 : divisor));
    }
  }
};

template <MaskOp kOp>
void run(Context& context, const MaskShape& p, double eps, Span x, Span mask, Span y) {
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    visit_mask<T>(mask, [&]<class M>(TypeTag<M>) {
      const MaskRows<M> rows(mask, p.mask_n, p.mask_c, p.s);
      const auto launch = [&]<int64_t kLanes> {
        using Kernel = Masked<kOp, T, M, kLanes>;
        const typename Kernel::Rows blocks(p.n, p.c, p.s);
        each(context, blocks.count(), Kernel{blocks, eps, x.as<const T>(), rows, y.as<T>()}, blocks.work());
      };
      constexpr int64_t kLanes = kHostMemory ? 1 : kLanesOf<T>;
      if (p.s % kLanes == 0 && aligned<kLanes>(x.as<T>(), y.as<T>(), mask.as<M>())) launch.template operator()<kLanes>();
      else launch.template operator()<1>();
    });
  });
}

}  // namespace

void mask_apply(Context& context, MaskOp op, const MaskShape& p, double eps, Span x, Span mask, Span y) {
  switch (op) {
    case MaskOp::kSelect: return run<MaskOp::kSelect>(context, p, eps, x, mask, y);
    case MaskOp::kApply: return run<MaskOp::kApply>(context, p, eps, x, mask, y);
    case MaskOp::kUnapply: return run<MaskOp::kUnapply>(context, p, eps, x, mask, y);
  }
  throw std::invalid_argument("unknown mask op");
}

}  // namespace partialconv
