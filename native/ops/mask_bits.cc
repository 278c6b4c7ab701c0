// A byte for every value of a mask: what a convolution's copies read in a quarter of the time. They stand for the mask where all of
// its values are 0 or 1.
#include "../device.h"
#include "../ops.h"

namespace partialconv {
namespace {

constexpr int64_t kRun = kHostMemory ? 1024 : 1;

// Threads that find a soft value write the same.
inline HOST_DEVICE void clear(uint8_t* flag) {
  if constexpr (kHostMemory) {
    __atomic_store_n(flag, uint8_t{0}, __ATOMIC_RELAXED);
  } else {
    *flag = 0;
  }
}

template <class T>
struct MaskBits {
  const T* mask;
  uint8_t *bits, *binary;
  int64_t size;

  HOST_DEVICE void operator()(int64_t i) const {
    const int64_t count = size - i * kRun < kRun ? size - i * kRun : kRun;
    // Copies, which a byte that is written cannot be part of, and no bool: so the loop is vectorized.
    const T* from = mask + i * kRun;
    uint8_t* to = bits + i * kRun;
    uint32_t soft = 0;
    for (int64_t j = 0; j < count; ++j) {
      const uint32_t valid = from[j] != 0;
      to[j] = static_cast<uint8_t>(valid);
      soft |= valid & static_cast<uint32_t>(from[j] != 1);
    }
    if (soft != 0) clear(binary);
  }
};

template <class T>
void bits_of(Context& context, Span mask, Span bits, Span binary) {
  fill(context, 1, 0, binary);
  each(context, (mask.size + kRun - 1) / kRun, MaskBits<T>{mask.as<const T>(), bits.as<uint8_t>(), binary.as<uint8_t>(), mask.size}, kRun);
}

}  // namespace

void mask_bits(Context& context, Span mask, Span bits, Span binary) {
  mask.dtype == DType::kFloat64 ? bits_of<double>(context, mask, bits, binary) : bits_of<float>(context, mask, bits, binary);
}

}  // namespace partialconv
