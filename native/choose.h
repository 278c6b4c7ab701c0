// A choice that loops and kernels are compiled for.
#pragma once

#include <type_traits>

#include "device.h"

namespace partialconv {

// f of a choice: of a constant on the CPU, whose loops are vectorised for one answer; of a bool on a GPU, where a thread that asks loses
// nothing, and each kernel less is seconds of compilation for every architecture.
template <class F>
HOST_DEVICE inline void choose(bool on, const F& f) {
  if constexpr (!kHostMemory) f(on);
  else if (on) f(std::true_type{});
  else f(std::false_type{});
}

}  // namespace partialconv
