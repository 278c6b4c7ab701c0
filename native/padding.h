// Where the cell of a padded axis comes from.
#pragma once

#include "device.h"

namespace partialconv {

// The index in [0, size) that position i of the padded axis shows, or -1 for a zero. Reflect and circular reach once over the edge.
HOST_DEVICE inline int64_t source_index(int64_t i, int64_t size, PaddingMode mode) {
  if (i >= 0 && i < size) return i;
  switch (mode) {
    case PaddingMode::kReflect: return i < 0 ? -i : 2 * (size - 1) - i;
    case PaddingMode::kReplicate: return i < 0 ? 0 : size - 1;
    case PaddingMode::kCircular: return i < 0 ? i + size : i - size;
    default: return -1;
  }
}

}  // namespace partialconv
