// The output's gradient gated, and the bias gradient with it.
#include <algorithm>

#include "../partial_sums.h"
#include "../vectors.h"
#include "gate.h"

namespace partialconv::cuda {
namespace {

// Cells that a thread adds up at least, so that the partial sums are few beside them.
constexpr int64_t kCells = 16;

// partial[channel, run]: of every runs-th cell of an image with channels last, gated into another one. A thread has kLanes channels of
// them, or one: what neighbouring threads read at once are neighbours.
template <class T, int64_t kLanes>
struct GateAndSum {
  Image m;
  Gate gate;
  int64_t runs;
  Divisor vectors, cells, columns;
  const T* dy;
  T* q;
  Compute<T>* partial;

  GateAndSum(const Image& m, const Gate& gate, int64_t runs, const T* dy, T* q, Compute<T>* partial)
      : m(m), gate(gate), runs(runs), vectors(m.c_padded / kLanes), cells(m.cells), columns(m.pitch), dy(dy), q(q), partial(partial) {}

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const int64_t channel = i % vectors * kLanes, run = i / vectors, total = m.n * m.cells;
    A sums[kLanes] = {};
    for (int64_t p = run; p < total; p += runs) {
      const int64_t sample = p / cells, cell = p % cells, h = cell / columns, w = cell % columns;
      const int64_t there = w < m.w ? m.c - channel : 0;
      const T* values = dy + p * m.c_padded + channel;
      T* to = q == nullptr ? nullptr : q + p * m.c_padded + channel;
      A open = 0, scale = 0;
      const auto add = [&](int64_t lane) {
        const bool inside = lane < there;
        if (lane == 0 || (inside && gate.channels > 1)) {
          const int64_t k = gate_index(gate, sample, channel + lane, m.c, h * m.w + w, m.h * m.w);
          open = gate_at<A>(gate, k), scale = scale_at<A>(gate, k);
        }
        const bool counts = inside && open != 0;
        const A counted = counts ? load(values[lane]) * open : A(0);
        sums[lane] += counted;
        if (q != nullptr) to[lane] = store<T>(counts ? counted * scale : A(0));
      };
      const auto zero = [&](int64_t lane) { to[lane] = store<T>(A(0)); };
      if (there > 0) each_in_row<kLanes>(kLanes, add, Operand(values), Operand(to, q != nullptr));
      else if (q != nullptr) each_in_row<kLanes>(kLanes, zero, Operand(to));
    }
    each_lane<kLanes>([&](int64_t lane) {
      if (channel + lane < m.c) partial[(channel + lane) * runs + run] = sums[lane];
    });
  }
};

// The sums alone, of the chunks of a dense image's channels.
template <class T, int64_t kLanes>
struct SumCells {
  using Sum = Compute<T>;

  Groups<T> groups;
  Gate gate;
  const T* dy;
  Sum* partial;

  HOST_DEVICE Sum part(int64_t i, int64_t lane, int64_t lanes) const {
    Sum sum = 0;
    groups.each_row(i, lane, lanes, [&](const Row& row) {
      const T* values = dy + row.offset;
      const Sum* open = static_cast<const Sum*>(gate.gate);
      if (open != nullptr) open += gate_index(gate, row.sample, row.channel, groups.c, row.begin, groups.s);
      const auto add = [&](int64_t j) {
        const Sum opened = open == nullptr ? Sum(1) : open[j];
        sum += opened == 0 ? Sum(0) : load(values[j]) * opened;
      };
      each_in_row<kLanes>(row.length, add, Operand(values), Operand(open, open != nullptr));
    });
    return sum;
  }
  HOST_DEVICE void put(int64_t i, Sum sum) const { partial[i] = sum; }
};

template <class T>
void sum_cells(Context& context, const Image& m, const Gate& gate, const T* dy, T* db) {
  using A = Compute<T>;
  const Groups<T> groups(m.n, m.c, m.cells, false);
  Scratch scratch(context, static_cast<std::size_t>(groups.chunks()) * sizeof(A));
  A* partial = scratch.as<A>();
  const auto sum = [&]<int64_t kLanes> {
    each_sum(context, groups.chunks(), groups.units(), SumCells<T, kLanes>{groups, gate, dy, partial});
  };
  with_lanes<kLanesOf<T>>(m.cells, sum, dy, static_cast<const A*>(gate.gate));
  merge_partials(context, m.c, groups.per_group(), partial, StoreSum<T>{db});
}

template <class T>
void gate_and_sum_channels(Context& context, const Image& m, const Gate& gate, const T* dy, T* q, T* db) {
  using A = Compute<T>;
  const int64_t cells = m.n * m.cells, vectors = (m.c_padded + kLanesOf<T> - 1) / kLanesOf<T>;
  const int64_t runs = std::clamp<int64_t>(cells / kCells, 1, std::max<int64_t>(kThreads / vectors, 1));
  Scratch scratch(context, static_cast<std::size_t>(m.c * runs) * sizeof(A));
  A* partial = scratch.as<A>();
  const auto sum = [&]<int64_t kLanes> { each(context, m.c_padded / kLanes * runs, GateAndSum<T, kLanes>(m, gate, runs, dy, q, partial)); };
  if (in_vectors<T>(m, dy, m, q)) sum.template operator()<kLanesOf<T>>();
  else sum.template operator()<1>();
  merge_partials(context, m.c, runs, partial, StoreSum<T>{db});
}

}  // namespace

void gate_and_sum(Context& context, const Image& from, const Image& to, const Gate& gate, Span dy, void* q, Span db) {
  visit_real(dy.dtype, [&]<class T>(TypeTag<T>) {
    const T* data = dy.as<const T>();
    if (from.channels_last) return gate_and_sum_channels<T>(context, to, gate, data, static_cast<T*>(q), db.as<T>());
    // What has to be turned is read twice: the sums go along its rows.
    if (q != nullptr) to_image(context, from, to, gate, dy, q);
    sum_cells<T>(context, from, gate, data, db.as<T>());
  });
}

}  // namespace partialconv::cuda
