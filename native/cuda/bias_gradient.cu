// The output's gradient gated, and the bias gradient with it.
#include <algorithm>
#include <cmath>

#include "../vectors.h"
#include "gate.h"

namespace partialconv::cuda {
namespace {

// partial[run, channel]: of `run` cells of all samples. A thread has kLanes channels of them, which are neighbours in both images, or one.
template <class T, int64_t kLanes>
struct GateAndSum {
  Image in, m;
  Gate gate;
  int64_t run, runs;
  const T* dy;
  T* q;
  Compute<T>* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    // Neighbouring threads have what are neighbours in memory, or nearly.
    const int64_t vectors = m.c_padded / kLanes;
    const int64_t channel = m.channels_last ? i % vectors * kLanes : i / runs, index = m.channels_last ? i / vectors : i % runs;
    const int64_t total = m.n * m.cells, end = (index + 1) * run < total ? (index + 1) * run : total;
    A sums[kLanes] = {};
    for (int64_t p = index * run; p < end; ++p) {
      const int64_t sample = p / m.cells, cell = p % m.cells, h = cell / m.pitch, w = cell % m.pitch;
      const int64_t there = w < m.w ? m.c - channel : 0;
      const T* values = dy + (there > 0 ? image_index(in, sample, channel, h, w) : 0);
      T* to = q == nullptr ? nullptr : q + image_index(m, sample, channel, h, w);
      const auto add = [&](int64_t lane) {
        const int64_t k = lane < there ? gate_index(gate, sample, channel + lane, m.c, h * m.w + w, m.h * m.w) : 0;
        const A open = lane < there ? gate_at<A>(gate, k) : A(0);
        const A counted = open == 0 ? A(0) : load(values[lane]) * open;
        sums[lane] += counted;
        if (q != nullptr) to[lane] = store<T>(open == 0 ? A(0) : counted * scale_at<A>(gate, k));
      };
      const auto zero = [&](int64_t lane) { to[lane] = store<T>(A(0)); };
      if (there > 0) each_in_row<kLanes>(kLanes, add, Operand(values), Operand(to, q != nullptr));
      else if (q != nullptr) each_in_row<kLanes>(kLanes, zero, Operand(to));
    }
    A* sum = partial + index * m.c_padded + channel;
    each_in_row<kLanes>(
        kLanes, [&](int64_t lane) { sum[lane] = sums[lane]; }, Operand(sum));
  }
};

// The same of a dense image, where nothing is written: a thread has one channel, whose cells are neighbours.
template <class T, int64_t kLanes>
struct SumCells {
  Gate gate;
  int64_t n, c, cells, run, runs;
  const T* dy;
  Compute<T>* partial;

  HOST_DEVICE void operator()(int64_t i) const {
    using A = Compute<T>;
    const int64_t channel = i / runs, index = i % runs, end = (index + 1) * run < n * cells ? (index + 1) * run : n * cells;
    A sum = 0;
    for (int64_t p = index * run, length; p < end; p += length) {
      const int64_t sample = p / cells, cell = p % cells;
      length = cells - cell < end - p ? cells - cell : end - p;
      const T* values = dy + (sample * c + channel) * cells + cell;
      const A* open = static_cast<const A*>(gate.gate) + (gate.gate == nullptr ? 0 : gate_index(gate, sample, channel, c, cell, cells));
      const auto add = [&](int64_t j) {
        const A opened = open == nullptr ? A(1) : open[j];
        sum += opened == 0 ? A(0) : load(values[j]) * opened;
      };
      each_in_row<kLanes>(length, add, Operand(values), Operand(open, open != nullptr));
    }
    partial[index * c + channel] = sum;
  }
};

template <class T>
struct BiasTotal {
  const Compute<T>* partial;
  int64_t runs, channels;
  T* db;

  HOST_DEVICE void operator()(int64_t o) const {
    Compute<T> sum = 0;
    for (int64_t k = 0; k < runs; ++k) sum += partial[k * channels + o];
    db[o] = store<T>(sum);
  }
};

}  // namespace

void gate_and_sum(Context& context, const Image& from, const Image& to, const Gate& gate, Span dy, void* q, Span db) {
  visit_real(dy.dtype, [&]<class T>(TypeTag<T>) {
    using A = Compute<T>;
    // As many cells in a run as there are runs: neither of the two sums is long. At least 64, so that the partial sums are few, and whole
    // vectors of any dtype.
    const int64_t cells = to.n * to.cells, root = std::max<int64_t>(64, std::llround(std::sqrt(static_cast<double>(cells))));
    const int64_t run = (root + 15) / 16 * 16, runs = (cells + run - 1) / run;
    Scratch scratch(context, static_cast<std::size_t>(to.c_padded * runs) * sizeof(A));
    A* partial = scratch.as<A>();
    const T* data = dy.as<const T>();
    T* out = static_cast<T*>(q);
    const auto channels = [&]<int64_t kLanes> {
      each(context, to.c_padded / kLanes * runs, GateAndSum<T, kLanes>{from, to, gate, run, runs, data, out, partial});
    };
    const auto along_cells = [&]<int64_t kLanes> {
      each(context, to.c * runs, SumCells<T, kLanes>{gate, to.n, to.c, to.cells, run, runs, data, partial});
    };
    if (!to.channels_last && q == nullptr && !gate.bytes)
      with_lanes<kLanesOf<T>>(to.cells, along_cells, data, static_cast<const A*>(gate.gate));
    else if (in_vectors(from, data, to, static_cast<const T*>(out))) channels.template operator()<kLanesOf<T>>();
    else channels.template operator()<1>();
    each(context, to.c, BiasTotal<T>{partial, runs, to.c_padded, db.as<T>()});
  });
}

}  // namespace partialconv::cuda
