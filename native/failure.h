// The exception for a call of a library (CUDA, cuDNN) that failed; the addon makes a BackendError of it.
#pragma once

#include <stdexcept>
#include <string>

namespace partialconv {

class Failure : public std::runtime_error {
 public:
  Failure(const std::string& call, int status, const std::string& reason)
      : std::runtime_error(call + " failed: " + reason + " (status " + std::to_string(status) + ")"), call(call), status(status) {}

  const std::string call;  // e.g. "cudaMallocFromPoolAsync"
  const int status;
};

}  // namespace partialconv
