// What engine.inc needs, included before a set's instructions are switched on.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../dtype.h"
#include "device.h"
#include "plan.h"
#include "simd.h"
