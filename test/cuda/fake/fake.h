// A CUDA runtime and a cuDNN on the host, for tests of the whole backend without a GPU: what they count, and the failures they inject.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace fake {

struct State {
  int devices = 1;
  std::size_t memory = std::size_t{1} << 32;  // of a device
  std::size_t used = 0;
  int64_t launches = 0, allocations = 0, executions = 0, plans = 0;
  int fail_launch = 0;   // the n-th launch from now on fails (0: none)
  int fail_execute = 0;  // the same for cuDNN
};
State& state();

// Counts a launch and checks what every launch must keep: a stream, at least one block, no more blocks than elements need. Returns a
// cudaError_t.
int count_launch(unsigned blocks, CUstream_st* stream, int64_t n);

}  // namespace fake
