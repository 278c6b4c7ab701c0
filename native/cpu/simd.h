// Which instruction set the CPU engine runs on. Packed weights are laid out for one set: after a change they must be packed again.
#pragma once

#include <cstdint>

namespace partialconv {

// "avx512", "avx2" or "baseline" (SSE2 or NEON). Chosen at load: the best set that this machine has, or the one that
// PARTIALCONV_SIMD names, if the machine has it.
const char* simd_level();

// Switches the whole process to another set; null or a name that this machine cannot run means the best one. For tests and
// benchmarks: no convolution may be running.
void set_simd_level(const char* level);

struct Correlation;
struct WeightGradient;

// What one instruction set provides (engine.inc, compiled once per set).
struct Engine {
  const char* level;
  int vector_bytes;
  int max_rows;              // output channels in a register tile, at most
  int (*vectors)(int rows);  // vectors in a register tile of that many rows
  void (*correlate)(const Correlation& plan, int64_t task);
  void (*weight_gradient)(const WeightGradient& plan, int64_t task);
  void (*sum_chunks)(const WeightGradient& plan, int64_t part);  // of the output channels: groups * out_parts
};

const Engine& engine();

}  // namespace partialconv
