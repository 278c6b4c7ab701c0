// What the native CUDA tests count: expectations that did not hold.
#pragma once

#include <cstdio>
#include <string>

inline int failures = 0;

inline void expect(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}
