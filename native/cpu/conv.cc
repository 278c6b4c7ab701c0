// The convolution engine on the CPU: checks the operands, plans each pass and runs its tasks on the pool.
#include "../conv.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>

#include "../dtype.h"
#include "device.h"
#include "plan.h"
#include "simd.h"

namespace partialconv {
namespace {

// Multiply-adds that are worth waking a thread for (about 10 us of one core).
constexpr int64_t kThreadWork = 1 << 19;

constexpr int64_t kPackWork = 16;  // what packing a weight costs, in multiply-adds

int threads_for(int64_t work) { return static_cast<int>(std::clamp<int64_t>(work / kThreadWork, 1, thread_count())); }

void require(bool ok, const char* op, const char* what) {
  if (!ok) throw std::invalid_argument(std::string(op) + ": " + what);
}

bool holds(Span span, int64_t size, DType dtype) { return span.dtype == dtype && span.size >= size && (span.data || size == 0); }

DType accumulator(DType dtype) { return dtype == DType::kFloat64 ? dtype : DType::kFloat32; }

bool is_bytes(DType dtype) { return dtype == DType::kUInt8 || dtype == DType::kBool; }

int64_t x_size(const ConvGeometry& g) { return g.n * g.c * g.h * g.w; }
int64_t y_size(const ConvGeometry& g) { return g.n * g.o * g.ho * g.wo; }
int64_t weight_size(const ConvGeometry& g) { return g.groups == 0 ? 0 : g.o * (g.c / g.groups) * g.kh * g.kw; }

void check_geometry(const ConvGeometry& g, DType dtype, const char* op) {
  require(dtype == DType::kFloat32 || dtype == DType::kFloat64 || dtype == DType::kFloat16 || dtype == DType::kBFloat16, op,
          "expected a real floating-point dtype");
  const bool sizes = g.n >= 0 && g.c >= 0 && g.o >= 0 && g.h >= 0 && g.w >= 0 && g.ho >= 0 && g.wo >= 0 && g.kh > 0 && g.kw > 0;
  const bool steps = g.stride_h > 0 && g.stride_w > 0 && g.dilation_h > 0 && g.dilation_w > 0;
  require(sizes && steps && g.groups > 0 && g.c % g.groups == 0 && g.o % g.groups == 0, op, "not a valid geometry");
}

void check_gate(Span span, DType dtype, int64_t n, int64_t channels, int64_t plane, const ConvGeometry& g, int64_t fans, const char* op) {
  if (!span) return;
  require((n == 1 || n == g.n) && channels > 0 && fans % channels == 0, op,
          "mask or ratio does not divide the tensor's samples and channels");
  require(holds(span, n * channels * plane, span.dtype), op, "mask, ratio or updated is too small");
  require(span.dtype == dtype, op, "mask, ratio or updated has the wrong dtype");
}

void check_mask(const ConvGeometry& g, Span mask, DType dtype, const char* op) {
  check_gate(mask, is_bytes(mask.dtype) ? mask.dtype : accumulator(dtype), g.mask_n, g.mask_c, g.h * g.w, g, g.c, op);
}

void check_ratio(const ConvGeometry& g, Span ratio, Span updated, DType dtype, const char* op) {
  check_gate(ratio, accumulator(dtype), g.ratio_n, g.ratio_c, g.ho * g.wo, g, g.o, op);
  check_gate(updated, accumulator(dtype), g.ratio_n, g.ratio_c, g.ho * g.wo, g, g.o, op);
}

// A kernel of one cell sees no neighbours: its rows are one long row.
ConvGeometry flattened(ConvGeometry g) {
  const bool pointwise = g.kh == 1 && g.kw == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_h == 0 && g.pad_w == 0;
  if (pointwise && g.ho == g.h && g.wo == g.w) {
    g.w *= g.h, g.wo *= g.ho;
    g.h = g.ho = 1;
  }
  return g;
}

Gate mask_gate(const ConvGeometry& g, Span mask) {
  Gate gate;
  if (!mask) return gate;
  gate.gate = mask.data;
  gate.bytes = is_bytes(mask.dtype);
  gate.plane = g.h * g.w;
  gate.batch_stride = g.mask_n == 1 ? 0 : g.mask_c * gate.plane;
  gate.fan_out = g.c / g.mask_c;
  return gate;
}

Gate ratio_gate(const ConvGeometry& g, Span ratio, Span updated) {
  Gate gate;
  if (!ratio && !updated) return gate;
  gate.gate = updated.data;
  gate.scale = ratio.data;
  gate.plane = g.ho * g.wo;
  gate.batch_stride = g.ratio_n == 1 ? 0 : g.ratio_c * gate.plane;
  gate.fan_out = g.o / g.ratio_c;
  return gate;
}

// What packing needs to know of a pass: the channels of a group and each tap's phase.
struct WeightLayout {
  int64_t in_channels, out_channels, rows, blocks;
  Axis row, col;

  WeightLayout(const ConvGeometry& g, Pass pass) {
    const bool forward = pass == Pass::kForward;
    in_channels = (forward ? g.c : g.o) / g.groups;
    out_channels = (forward ? g.o : g.c) / g.groups;
    rows = rows_per_block(engine(), out_channels);
    blocks = (out_channels + rows - 1) / rows;
    if (forward) {
      row.set_forward(g.h, g.ho, g.kh, g.stride_h, g.pad_h, g.dilation_h);
      col.set_forward(g.w, g.wo, g.kw, g.stride_w, g.pad_w, g.dilation_w);
    } else {
      row.set_backward_input(g.ho, g.h, g.kh, g.stride_h, g.pad_h, g.dilation_h);
      col.set_backward_input(g.wo, g.w, g.kw, g.stride_w, g.pad_w, g.dilation_w);
    }
  }
};

// One block of one group, all phases: packed[in channel][tap][row] from weight[o][c][tap].
template <class S>
void pack_block(const ConvGeometry& g, Pass pass, const WeightLayout& layout, const S* weight, Compute<S>* packed, int64_t group,
                int64_t block) {
  const int64_t taps = g.kh * g.kw, c = g.c / g.groups;
  const int64_t o_begin = group * (g.o / g.groups);
  const int64_t rows = std::min(layout.rows, layout.out_channels - block * layout.rows);
  const int64_t row_stride = (pass == Pass::kForward ? c : 1) * taps, in_stride = (pass == Pass::kForward ? 1 : c) * taps;
  const S* base = weight + o_begin * c * taps + block * layout.rows * row_stride;
  int64_t begin = 0;
  for (int64_t phase = 0; phase < layout.row.phases * layout.col.phases; ++phase) {
    SmallArray<int64_t, 32> members;
    members.resize(taps);
    int64_t count = 0;
    for (int64_t t = 0; t < taps; ++t) {
      const bool here =
          layout.row.taps[t / g.kw].phase == phase / layout.col.phases && layout.col.taps[t % g.kw].phase == phase % layout.col.phases;
      if (here) members[count++] = t;
    }
    Compute<S>* to = packed + (begin * layout.blocks + block * count) * layout.in_channels * layout.rows;
    for (int64_t i = 0; i < layout.in_channels; ++i) {
      for (int64_t t = 0; t < count; ++t) {
        for (int64_t r = 0; r < layout.rows; ++r)
          *to++ = r < rows ? load(base[r * row_stride + i * in_stride + members[t]]) : Compute<S>(0);
      }
    }
    begin += count;
  }
}

// x as forward and backward_weight read it.
void set_x(TileInput& input, const ConvGeometry& g, const ConvInput& x) {
  input.dtype = x.x.dtype, input.padding_mode = g.padding_mode, input.x = x.x.data, input.channels = g.c;
  input.gate = mask_gate(g, x.mask);
  input.row.set_forward(g.h, g.ho, g.kh, g.stride_h, g.pad_h, g.dilation_h);
  input.col.set_forward(g.w, g.wo, g.kw, g.stride_w, g.pad_w, g.dilation_w);
}

void run(Context& context, Correlation& plan, int64_t work) {
  const int threads = threads_for(work);
  const Engine& simd = engine();
  lay_out(plan, simd, threads);
  parallel(
      context, plan.tasks(), [&](int64_t task) { simd.correlate(plan, task); }, threads);
}

void run(Context& context, WeightGradient& plan, int64_t work) {
  const int threads = threads_for(work);
  const Engine& simd = engine();
  lay_out(plan, simd, threads);
  std::optional<Scratch> partial;
  if (plan.chunks > 1) {
    const int64_t bytes = plan.partial_size() * (plan.input.dtype == DType::kFloat64 ? 8 : 4);
    plan.partial = partial.emplace(context, static_cast<std::size_t>(bytes)).as<void>();
  }
  parallel(
      context, plan.tasks(), [&](int64_t task) { simd.weight_gradient(plan, task); }, threads);
  if (plan.chunks > 1) {
    parallel(
        context, plan.groups * plan.out_parts, [&](int64_t part) { simd.sum_chunks(plan, part); }, threads);
  }
}

}  // namespace

int64_t packed_weight_size(const ConvGeometry& g, Pass pass) {
  check_geometry(g, DType::kFloat32, "packed_weight_size");
  const WeightLayout layout(g, pass);
  return g.groups * layout.blocks * layout.rows * layout.in_channels * g.kh * g.kw;
}

void pack_weight(Context& context, const ConvGeometry& geometry, Pass pass, Span weight, Span packed) {
  const char* const op = "pack_weight";
  check_geometry(geometry, weight.dtype, op);
  const ConvGeometry g = flattened(geometry);
  require(holds(weight, weight_size(g), weight.dtype), op, "weight is too small");
  require(holds(packed, packed_weight_size(g, pass), accumulator(weight.dtype)), op, "packed is too small");
  const WeightLayout layout(g, pass);
  const int64_t group_size = layout.blocks * layout.rows * layout.in_channels * g.kh * g.kw;
  visit(weight.dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    if constexpr (std::is_floating_point_v<Compute<S>>) {
      const auto pack = [&](int64_t task) {
        pack_block(g, pass, layout, weight.as<S>(), packed.as<Compute<S>>() + task / layout.blocks * group_size, task / layout.blocks,
                   task % layout.blocks);
      };
      parallel(context, g.groups * layout.blocks, pack, threads_for(g.groups * group_size * kPackWork));
    }
  });
}

void forward(Context& context, const ConvGeometry& geometry, const ConvInput& input, Span packed, const ConvEpilogue& epilogue, Span y) {
  const char* const op = "forward";
  const DType dtype = y.dtype;
  check_geometry(geometry, dtype, op);
  const ConvGeometry g = flattened(geometry);
  require(holds(input.x, x_size(g), dtype) && holds(y, y_size(g), dtype), op, "x or y is too small or their dtypes differ");
  require(holds(packed, packed_weight_size(g, Pass::kForward), accumulator(dtype)), op, "packed weight is too small");
  require(!epilogue.bias || holds(epilogue.bias, g.o, dtype), op, "bias is too small or has another dtype than y");
  check_mask(g, input.mask, dtype, op);
  check_ratio(g, epilogue.ratio, epilogue.updated, dtype, op);
  if (y_size(g) == 0) return;

  Correlation plan;
  plan.n = g.n, plan.groups = g.groups;
  plan.in_channels = g.c / g.groups, plan.out_channels = g.o / g.groups;
  set_x(plan.input, g, input);
  plan.weight = packed.data, plan.bias = epilogue.bias.data, plan.y = y.data;
  plan.output = ratio_gate(g, epilogue.ratio, epilogue.updated);
  plan.skip_empty_input = false;
  run(context, plan, y_size(g) * plan.in_channels * g.kh * g.kw);
}

void backward_input(Context& context, const ConvGeometry& geometry, Span dy, Span packed, Span mask, Span ratio, Span updated, Span dx) {
  const char* const op = "backward_input";
  const DType dtype = dx.dtype;
  check_geometry(geometry, dtype, op);
  const ConvGeometry g = flattened(geometry);
  require(g.padding_mode == PaddingMode::kZeros, op, "expected zero padding");
  require(holds(dx, x_size(g), dtype) && holds(dy, y_size(g), dtype), op, "dx or dy is too small or their dtypes differ");
  require(holds(packed, packed_weight_size(g, Pass::kBackwardInput), accumulator(dtype)), op, "packed weight is too small");
  check_mask(g, mask, dtype, op);
  check_ratio(g, ratio, updated, dtype, op);
  if (x_size(g) == 0) return;

  Correlation plan;
  plan.n = g.n, plan.groups = g.groups;
  plan.in_channels = g.o / g.groups, plan.out_channels = g.c / g.groups;
  plan.input.dtype = dtype, plan.input.x = dy.data, plan.input.channels = g.o;
  plan.input.gate = ratio_gate(g, ratio, updated);
  plan.input.row.set_backward_input(g.ho, g.h, g.kh, g.stride_h, g.pad_h, g.dilation_h);
  plan.input.col.set_backward_input(g.wo, g.w, g.kw, g.stride_w, g.pad_w, g.dilation_w);
  plan.weight = packed.data, plan.bias = nullptr, plan.y = dx.data;
  plan.output = mask_gate(g, mask);
  plan.skip_empty_input = static_cast<bool>(updated);
  run(context, plan, y_size(g) * plan.out_channels * g.kh * g.kw);
}

void backward_weight(Context& context, const ConvGeometry& geometry, const ConvInput& input, Span dy, Span ratio, Span updated, Span dw,
                     Span db) {
  const char* const op = "backward_weight";
  const DType dtype = dy.dtype;
  check_geometry(geometry, dtype, op);
  const ConvGeometry g = flattened(geometry);
  require(holds(input.x, x_size(g), dtype) && holds(dy, y_size(g), dtype), op, "x or dy is too small or their dtypes differ");
  require(!dw || holds(dw, weight_size(g), dtype), op, "dw is too small or has another dtype than dy");
  require(!db || holds(db, g.o, dtype), op, "db is too small or has another dtype than dy");
  check_mask(g, input.mask, dtype, op);
  check_ratio(g, ratio, updated, dtype, op);
  if (g.o == 0) return;

  WeightGradient plan;
  set_x(plan.input, g, input);
  plan.n = g.n, plan.groups = g.groups;
  plan.in_channels = dw ? g.c / g.groups : 0, plan.out_channels = g.o / g.groups;
  plan.dy = dy.data, plan.dw = dw.data, plan.db = db.data;
  plan.output = ratio_gate(g, ratio, updated);
  run(context, plan, y_size(g) * (plan.in_channels * g.kh * g.kw + 1));
}

}  // namespace partialconv
