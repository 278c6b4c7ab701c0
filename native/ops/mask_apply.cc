// A mask m onto x, element by element; each is linear in x, so that the gradient is the same op on dy.
//   select: m == 0 ? 0 : x      apply: m == 0 ? 0 : x m      unapply: m + eps == 0 ? 0 : x / (m + eps)
#include "../device.h"
#include "../dtype.h"
#include "../groups.h"
#include "../ops.h"

namespace partialconv {
namespace {

template <MaskOp kOp, class T, class M, int64_t kLanes>
struct Masked {
  Blocks<kLanes> blocks;
  double eps;
  const T* x;
  MaskRows<M> mask;
  T* y;

  HOST_DEVICE void operator()(int64_t i) const {
    const Row row = blocks.at(i);
    const T* px = x + row.offset;
    T* py = y + row.offset;
    const M* m = mask.at(row);
    each_in_block<kLanes>(
        row, [&](int64_t j) { py[j] = element(px, m, j); }, Operand(px), Operand(m, kMasked<M>), Operand(py));
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
  const auto launch = [&]<class T, class M, int64_t kLanes> {
    const Blocks<kLanes> blocks(p.n, p.c, p.s);
    const MaskRows<M> rows(mask, p.mask_n, p.mask_c, p.s);
    each(context, blocks.count(), Masked<kOp, T, M, kLanes>{blocks, eps, x.as<const T>(), rows, y.as<T>()}, blocks.work());
  };
  visit_rows(p.s, x, mask, launch, y);
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
