// Cuts the passes up: tiles that fit the cache, tasks enough for every thread.
#include "plan.h"

#include <algorithm>

#include "simd.h"

namespace partialconv {
namespace {

// A tile's input: about a quarter of the smallest L2 cache that a server core has, so that the weights stream through the rest.
constexpr int64_t kTileBytes = 256 << 10;

// In multiply-adds: bringing a tile's weights back into L1, per weight, and copying a vector of its input.
constexpr double kWeightCost = 0.25;
constexpr double kCopyCost = 4;

// Terms in a sum so short that what surrounds a call of the kernel shows.
constexpr int64_t kShortSum = 64;

// backward_weight: output positions in a tile (panels of q and their input must stay in L2), output channels to a part, bytes
// of a task's sums; chunks are made for kChunkTasks tasks of at least kChunkWork multiply-adds each. (More of them would cost more to
// add up: every chunk's sums go through memory.)
constexpr int64_t kPanelPositions = 256, kRowPositions = 2048;
constexpr int64_t kPanelChannels = 96;
constexpr int64_t kPanelPairs = 24;  // pairs of input channel and tap that repay the panels' transposition
constexpr int64_t kSumBytes = 256 << 10, kPartialBytes = 16 << 20;
constexpr int64_t kChunkTasks = 12, kChunkWork = 1 << 20;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The largest part when whole is cut evenly into as few parts as are no larger than most.
int64_t even_part(int64_t whole, int64_t most) { return whole == 0 ? 0 : ceil_div(whole, ceil_div(whole, most)); }

int64_t accumulator_size(const TileInput& input) { return input.dtype == DType::kFloat64 ? 8 : 4; }

}  // namespace

int64_t tile_vectors(int64_t rows, int64_t cols, int64_t pitch, int64_t lanes, bool short_sums, bool* by_row) {
  const int64_t flat = ceil_div((rows - 1) * pitch + cols, lanes);
  const int64_t padded = rows * ceil_div(cols, lanes);
  *by_row = short_sums ? 4 * padded <= 5 * flat : padded <= flat;
  return *by_row ? padded : flat;
}

int rows_per_block(const Engine& engine, int64_t out_channels) {
  const int64_t blocks = ceil_div(out_channels, engine.max_rows);
  return blocks == 0 ? 1 : static_cast<int>(ceil_div(out_channels, blocks));
}

namespace {

// A way to cut the outputs up, and what it would cost.
struct Tiling {
  int64_t rows, cols, block_parts;
};

class Tiler {
 public:
  Tiler(const Correlation& plan, const Engine& engine, int threads)
      : plan_(plan),
        row_(plan.input.row),
        col_(plan.input.col),
        size_(accumulator_size(plan.input)),
        lanes_(engine.vector_bytes / size_),
        narrowest_(engine.vectors(plan.rows_per_block) * lanes_),
        threads_(threads),
        rows_(row_.count(0)),
        cols_(col_.count(0)) {}

  Tiling best() const {
    int64_t row_parts, col_parts;
    fewest_parts(row_parts, col_parts);
    Tiling best = cut(row_parts, col_parts, 1);
    if (threads_ == 1) return best;
    double least = cost(best);
    const bool by_row = rows_ > 1;
    for (int64_t more = 0; more <= 4 * threads_; more += 1 + threads_ / 16) {
      for (int64_t block_parts = 1; block_parts <= plan_.blocks; block_parts *= 2) {
        const Tiling tiling = cut(row_parts + (by_row ? more : 0), col_parts + (by_row ? 0 : more), block_parts);
        const double value = cost(tiling);
        if (value < least) least = value, best = tiling;
        if (tasks(tiling) >= 4 * threads_) break;
      }
    }
    return best;
  }

 private:
  // The fewest tiles whose input fits kTileBytes: whole rows if four of them fit, else parts of rows.
  void fewest_parts(int64_t& row_parts, int64_t& col_parts) const {
    for (col_parts = 1;; ++col_parts) {
      const int64_t cols = cut(1, col_parts, 1).cols;
      const bool narrowest = cols <= narrowest_;
      const int64_t needed = narrowest ? 1 : std::min<int64_t>(rows_, 4);
      if (!narrowest && bytes(needed, cols) > kTileBytes) continue;
      int64_t rows = needed;
      while (rows < rows_ && bytes(rows + 1, cols) <= kTileBytes) ++rows;
      row_parts = ceil_div(rows_, rows);
      return;
    }
  }

  Tiling cut(int64_t row_parts, int64_t col_parts, int64_t block_parts) const {
    const int64_t cols = ceil_div(cols_, col_parts);
    return {ceil_div(rows_, row_parts), col_parts == 1 ? cols : std::min(cols_, ceil_div(cols, lanes_) * lanes_), block_parts};
  }

  int64_t cells(int64_t rows, int64_t cols) const {
    return row_.segments_for(rows) * row_.cells_for(rows) * col_.segments_for(cols) * col_.cells_for(cols);
  }

  int64_t bytes(int64_t rows, int64_t cols) const { return cells(rows, cols) * plan_.in_channels * size_; }

  int64_t tasks(const Tiling& t) const {
    return plan_.n * plan_.groups * ceil_div(rows_, t.rows) * ceil_div(cols_, t.cols) * t.block_parts;
  }

  // Vector operations of the busiest thread.
  double cost(const Tiling& t) const {
    bool by_row;
    const double vectors = static_cast<double>(tile_vectors(t.rows, t.cols, col_.cells_for(t.cols), lanes_, plan_.short_sums, &by_row));
    const double weights = static_cast<double>(plan_.in_channels * row_.taps.size() * col_.taps.size() *
                                               ceil_div(plan_.blocks, t.block_parts) * plan_.rows_per_block);
    const double copy = static_cast<double>(cells(t.rows, t.cols) * plan_.in_channels) * kCopyCost / static_cast<double>(lanes_);
    return static_cast<double>(ceil_div(tasks(t), threads_)) * ((vectors + kWeightCost) * weights + copy);
  }

  const Correlation& plan_;
  const Axis &row_, &col_;
  const int64_t size_, lanes_, narrowest_;
  const int threads_;
  const int64_t rows_, cols_;
};

}  // namespace

void lay_out(Correlation& plan, const Engine& engine, int threads) {
  TileInput& input = plan.input;
  plan.threads = threads;
  plan.short_sums = plan.in_channels * input.row.taps.size() * input.col.taps.size() <= kShortSum;
  plan.rows_per_block = rows_per_block(engine, plan.out_channels);
  plan.blocks = ceil_div(plan.out_channels, plan.rows_per_block);
  const Tiling tiling = Tiler(plan, engine, threads).best();
  input.set_tile(tiling.rows, tiling.cols);
  plan.block_parts = tiling.block_parts;

  plan.phase_begin.resize(plan.phases() + 1);
  plan.tap_offset.resize(input.row.taps.size() * input.col.taps.size());
  int64_t* const offsets = &plan.tap_offset[0];
  int64_t* end = offsets;
  for (int64_t phase = 0; phase < plan.phases(); ++phase) {
    plan.phase_begin[phase] = end - offsets;
    end = input.tap_offsets(phase, end);
  }
  plan.phase_begin[plan.phases()] = end - offsets;
}

void lay_out(WeightGradient& plan, const Engine& engine, int threads) {
  TileInput& input = plan.input;
  const int64_t size = accumulator_size(input), lanes = engine.vector_bytes / size;
  const int64_t pairs = plan.in_channels * input.row.taps.size() * input.col.taps.size();
  plan.along_outputs = plan.out_channels * 2 >= lanes && pairs >= kPanelPairs;

  const int64_t rows = input.row.out, cols = input.col.out;
  const int64_t positions = plan.along_outputs ? kPanelPositions : kRowPositions;
  const int64_t tile_cols = even_part(cols, positions);
  input.set_tile(even_part(rows, std::max<int64_t>(1, positions / tile_cols)), tile_cols);
  plan.tap_offset.resize(input.row.taps.size() * input.col.taps.size());
  input.tap_offsets(0, &plan.tap_offset[0]);

  // Channel parts: first what the cache holds, then, for threads that would be left without work, less.
  const int64_t panel_channels = ceil_div(even_part(plan.out_channels, kPanelChannels), lanes) * lanes;
  plan.out_part = plan.along_outputs ? std::min(panel_channels, plan.out_channels) : plan.out_channels;
  const int64_t sums = kSumBytes / (plan.taps() * plan.out_part * size), inputs = kTileBytes / (input.channel_cells * size);
  plan.in_part = even_part(plan.in_channels, std::max<int64_t>(1, std::min(sums, inputs)));
  const auto parts = [&] {
    plan.out_parts = ceil_div(plan.out_channels, plan.out_part);
    plan.in_parts = plan.in_part == 0 ? 1 : ceil_div(plan.in_channels, plan.in_part);
    return plan.groups * plan.in_parts * plan.out_parts;
  };
  const int64_t weights = plan.groups * plan.out_channels * plan.in_channels * plan.taps();
  const int64_t work = weights * plan.n * rows * cols;
  int64_t chunks = std::min({ceil_div(kChunkTasks, parts()), plan.tiles() / 2, work / kChunkWork});
  if (weights > 0) chunks = std::min(chunks, kPartialBytes / (weights * size));
  plan.chunks = std::max<int64_t>(1, chunks);
  while (threads > 1 && parts() * plan.chunks < 3 * threads) {
    if (plan.in_part > 8) {
      plan.in_part = ceil_div(plan.in_part, 2);
    } else if (plan.out_part > 2 * lanes) {
      plan.out_part = ceil_div(ceil_div(plan.out_part, 2), lanes) * lanes;
    } else {
      return;
    }
  }
}

}  // namespace partialconv
