// What a launch fails with on a GPU that the addon has no code for.
#pragma once

#include <string>

#include "runtime.h"

#ifndef BUILT_FOR_ARCHITECTURES
#define BUILT_FOR_ARCHITECTURES "none"
#endif

namespace partialconv::cuda {

inline constexpr int kNoKernelImage = 209;  // cudaErrorNoKernelImageForDevice

// What the GPU is, what the addon was built for, and the command that helps; empty for another status.
inline std::string advice_on(int status, int device) {
  if (status != kNoKernelImage) return "";
  const DeviceFacts gpu = device_facts(device);
  const std::string capability = std::to_string(gpu.major) + "." + std::to_string(gpu.minor);
  return "; cuda:" + std::to_string(device) + " (" + gpu.name + ") has compute capability " + capability +
         ", and the addon was built for " BUILT_FOR_ARCHITECTURES
         ". Build it for this GPU: npm run build:cuda -- "
         "--CDCMAKE_CUDA_ARCHITECTURES=" +
         std::to_string(gpu.major) + std::to_string(gpu.minor);
}

}  // namespace partialconv::cuda
