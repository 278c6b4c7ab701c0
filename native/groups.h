// What ops on x [n, c, s] by channel share: groups cut into chunks, sums over a chunk, blocks of a row, and the mask beside x.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "device.h"
#include "divisor.h"
#include "dtype.h"
#include "vectors.h"

namespace partialconv {

// Elements of a row of a chunk: x's from `offset` on, of a sample's channel from column `begin` on.
struct Row {
  int64_t offset, sample, channel, begin, length;
};

// A group is a channel of all samples, or (per_sample) of one. Its chunks, and so sums over them, depend on the shape alone; each_sum()
// makes those.
template <class T>
struct Groups {
  // Elements of a chunk: few enough that a second pass over them finds them in the cache. And neighbours that a lane has at once: on a CPU
  // all of a row.
  static constexpr int64_t kChunk = kHostMemory ? 4096 : 8192, kUnit = kHostMemory ? kChunk : kLanesOf<T>;

  int64_t n, s, sample_size, count;  // count: of groups
  bool per_sample;
  int64_t rows, cols;  // of a chunk: samples, and elements of each
  Divisor c, chunks_of_group, chunks_of_row, units_of_row;

  Groups(int64_t n, int64_t c, int64_t s, bool per_sample)
      : n(n),
        s(s),
        sample_size(c * s),
        count(per_sample ? n * c : c),
        per_sample(per_sample),
        rows(s > kChunk || s == 0 ? 1 : std::min(kChunk / s, per_sample ? 1 : n)),
        cols(std::min(s, kChunk)),
        c(c),
        chunks_of_group(pieces(per_sample ? 1 : n, rows) * pieces(s, cols)),
        chunks_of_row(pieces(s, cols)),
        units_of_row(pieces(cols, kUnit)) {}

  int64_t per_group() const { return n * s == 0 ? 0 : static_cast<int64_t>(chunks_of_group); }
  int64_t chunks() const { return count * per_group(); }
  int64_t work() const { return rows * cols; }
  int64_t units() const { return rows * units_of_row; }

  // f(Row) for the units of chunk i that one of several lanes has, every lanes-th. Only the last of several chunks of a row is shorter.
  template <class F>
  HOST_DEVICE void each_row(int64_t i, int64_t lane, int64_t lanes, F f) const {
    const int64_t group = i / chunks_of_group, chunk = i % chunks_of_group, outer = group / c, channel = group % c;
    const int64_t along = chunk / chunks_of_row, begin = chunk % chunks_of_row * cols, length = s - begin < cols ? s - begin : cols;
    const int64_t first = per_sample ? outer : along * rows, end = per_sample ? first + 1 : (first + rows < n ? first + rows : n);
    const int64_t offset = channel * s + begin, units = (end - first - 1) * units_of_row + (length + kUnit - 1) / kUnit;
    for (int64_t unit = lane; unit < units; unit += lanes) {
      const int64_t row = kHostMemory ? unit : unit / units_of_row, column = kHostMemory ? 0 : unit % units_of_row * kUnit;
      const int64_t sample = first + row, rest = length - column;
      f(Row{sample * sample_size + offset + column, sample, channel, begin + column, rest < kUnit ? rest : kUnit});
    }
  }

 private:
  static int64_t pieces(int64_t size, int64_t piece) { return piece == 0 ? 0 : (size + piece - 1) / piece; }
};

// x [n, c, s] row by row, a block of a row for each functor call: of a GPU's a vector, where rows are whole ones, or an element.
template <int64_t kLanes>
struct Blocks {
  static constexpr int64_t kSize = kHostMemory ? 2048 : kLanes;

  int64_t rows, s;
  Divisor c, per_row;

  Blocks(int64_t n, int64_t c, int64_t s) : rows(n * c), s(s), c(c), per_row((s + kSize - 1) / kSize) {}
  int64_t count() const { return s == 0 ? 0 : rows * per_row; }
  int64_t work() const { return s < kSize ? s : kSize; }

  HOST_DEVICE Row at(int64_t i) const {
    const int64_t row = i / per_row, begin = i % per_row * kSize;
    return {row * s + begin, row / c, row % c, begin, s - begin < kSize ? s - begin : kSize};
  }
};

// each_in_row() of a block.
template <int64_t kLanes, class F, class... T>
HOST_DEVICE inline void each_in_block(const Row& row, F f, Operand<T>... operands) {
  each_in_row<kLanes>(kLanes > 1 ? kLanes : row.length, f, operands...);
}

// N sums in double, each kept in interleaved lanes so that it vectorises.
template <int N, int64_t kHostLanes = 32>  // fewer, and the loop over more than one sum is unrolled, not vectorised
struct Sums {
  static constexpr int64_t kLanes = kHostMemory ? kHostLanes : 1;
  double lanes[N][kLanes] = {};

  // terms(j, t) sets t[0..N) to what element j adds. Of a GPU's thread, whose operands may be vectors, they are added in their order.
  template <int64_t kVector, class F, class... T>
  HOST_DEVICE void add(int64_t length, F terms, Operand<T>... operands) {
    if constexpr (kLanes == 1) {
      each_in_row<kVector>(
          length, [&](int64_t j) { add_one(j, 0, terms); }, operands...);
    } else {
      int64_t j = 0;
      for (; j + kLanes <= length; j += kLanes) {
        for (int64_t lane = 0; lane < kLanes; ++lane) add_one(j + lane, lane, terms);
      }
      for (int64_t lane = 0; j < length; ++j, ++lane) add_one(j, lane, terms);
    }
  }

  HOST_DEVICE double total(int k) const {
    double sum = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[k][lane];
    return sum;
  }

 private:
  template <class F>
  HOST_DEVICE void add_one(int64_t j, int64_t lane, F& terms) {
    double t[N];
    terms(j, t);
    for (int k = 0; k < N; ++k) lanes[k][lane] += t[k];
  }
};

struct NoMask {};

template <class M>
inline constexpr bool kMasked = !std::is_same_v<M, NoMask>;

// The mask [n or 1, c or 1, s] beside x: bytes (not 0 counts as 1), float or double; or none, where everything counts 1.
template <class M>
struct MaskRows {
  const M* data;
  int64_t sample_stride, channel_stride;

  MaskRows(Span mask, int64_t mask_n, int64_t mask_c, int64_t s)
      : data(mask.as<const M>()), sample_stride(mask_n == 1 ? 0 : mask_c * s), channel_stride(mask_c == 1 ? 0 : s) {}

  HOST_DEVICE const M* at(const Row& row) const {
    if constexpr (kMasked<M>) return data + row.sample * sample_stride + row.channel * channel_stride + row.begin;
    else return nullptr;
  }
};

// m as a number.
template <class M>
HOST_DEVICE inline double mask_value(const M* row, int64_t j) {
  if constexpr (!kMasked<M>) return 1;
  else if constexpr (std::is_same_v<M, uint8_t>) return row[j] != 0;
  else return row[j];
}

template <class M>
HOST_DEVICE inline bool is_valid(const M* row, int64_t j) {
  if constexpr (kMasked<M>) return row[j] != 0;
  else return true;
}

// f(TypeTag<T>{}) for the element type of a real floating-point dtype.
template <class F>
void visit_real(DType dtype, F&& f) {
  visit(dtype, [&](auto tag) {
    if constexpr (std::is_floating_point_v<Compute<typename decltype(tag)::type>>) f(tag);
    else throw std::invalid_argument("the op supports real floating-point dtypes only");
  });
}

// f(TypeTag<M>{}) for the type of a mask beside x of type T: NoMask, uint8_t or Compute<T>.
template <class T, class F>
void visit_mask(Span mask, F&& f) {
  if (!mask) f(TypeTag<NoMask>{});
  else if (mask.dtype == DType::kBool || mask.dtype == DType::kUInt8) f(TypeTag<uint8_t>{});
  else f(TypeTag<Compute<T>>{});
}

// f.operator()<T, M, kLanes>() for the types of x [n, c, s] and of the mask beside it, and with_lanes() of both and of others of x's type.
template <class F, class... Others>
void visit_rows(int64_t s, Span x, Span mask, F f, Others... others) {
  visit_real(x.dtype, [&]<class T>(TypeTag<T>) {
    visit_mask<T>(mask, [&]<class M>(TypeTag<M>) {
      const auto with = [&]<int64_t kLanes> { f.template operator()<T, M, kLanes>(); };
      with_lanes<kLanesOf<T>>(s, with, x.as<T>(), mask.as<M>(), others.template as<T>()...);
    });
  });
}

}  // namespace partialconv
