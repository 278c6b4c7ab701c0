// For destructors, and for what is given back after a failure: one more failure there is told to nobody.
#pragma once

#include <exception>

namespace partialconv::cuda {

template <class F>
void quietly(F call) noexcept {
  try {
    call();
  } catch (const std::exception&) {
  }
}

}  // namespace partialconv::cuda
