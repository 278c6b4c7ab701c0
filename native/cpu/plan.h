// The plans of the passes: sizes, tiles and tasks, worked out once per call.
#pragma once

#include "axis.h"

namespace partialconv {

struct Engine;

// What forward and backward_input have in common once their indices are worked out:
//
//   y[f + u*phases] = finish(sum_{channel, taps of phase f} weight[tap] * prepare(x)[u*step + position(tap)])
//
// Each task copies the part of x that a tile of output positions reads into scratch, so laid out that a tap is a constant
// offset, and runs the register-blocked kernel over it.
struct Correlation {
  TileInput input;
  int64_t n, groups;
  int64_t in_channels, out_channels;  // of one group
  const void* weight;                 // [group][phase][block][in channel][tap of the phase][row of the block]
  const void* bias;
  void* y;
  Gate output;
  bool skip_empty_input;  // an output whose whole input is gated off is 0

  int threads;
  bool short_sums;
  int rows_per_block;
  int64_t blocks;       // of output channels, in a group
  int64_t block_parts;  // tasks that share a tile's blocks
  // By phase, as weight has them: where the phase's taps begin, and each tap's offset in a channel's cells.
  SmallArray<int64_t, 5> phase_begin;
  SmallArray<int64_t, 32> tap_offset;

  int64_t phases() const { return input.row.phases * input.col.phases; }
  int64_t tasks() const { return n * groups * input.row.tiles * input.col.tiles * block_parts; }
};

// backward_weight. The outputs are cut into tiles and the tiles into chunks; a task adds up one chunk's share of the gradient of
// one part of the channels. Tiles and chunks depend on the geometry alone, so that every sum is the same for any number of threads.
struct WeightGradient {
  TileInput input;
  int64_t n, groups;
  int64_t in_channels, out_channels;  // of one group; in_channels is 0 if only db is wanted
  const void* dy;
  void *dw, *db;
  Gate output;

  bool along_outputs;  // vectors run along output channels, else along output positions (when those channels are few)
  int64_t chunks;
  int64_t in_parts, out_parts;  // of a group's channels
  int64_t in_part, out_part;    // channels in each
  void* partial;                // [chunk][in channel, tap][out channel] sums of dw, then [chunk][out channel] of db, per group
  SmallArray<int64_t, 32> tap_offset;

  int64_t taps() const { return tap_offset.size(); }
  int64_t tiles() const { return n * input.row.tiles * input.col.tiles; }
  int64_t tasks() const { return chunks * groups * in_parts * out_parts; }
  int64_t partial_size() const { return chunks * groups * out_channels * (in_channels * taps() + 1); }
};

// Rows of a block: output channels shared out evenly, so that the last block is not nearly empty.
int rows_per_block(const Engine& engine, int64_t out_channels);

// Vectors that cover a tile: over its flattened rows (a row every pitch cells), or row by row if that takes no more, or not many
// more and the sums are short: then the vectors that a row's end cuts in two cost more than they save.
int64_t tile_vectors(int64_t rows, int64_t cols, int64_t pitch, int64_t lanes, bool short_sums, bool* by_row);

// Chooses chunks and parts.
void lay_out(WeightGradient& plan, const Engine& engine, int threads);

// Chooses tiles and block_parts for the number of threads, and lays the taps out.
void lay_out(Correlation& plan, const Engine& engine, int threads);

}  // namespace partialconv
