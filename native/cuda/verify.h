// What a plan computed, checked against a kernel of ours (PARTIALCONV_VERIFY=1).
#pragma once

#include <span>

#include "device.h"
#include "plan.h"

namespace partialconv::cuda {

// What a result may differ by, relative to the sum of the absolute values of its terms.
double tolerance_of(Math math);

// The largest error of a plan's result on these operands, in tolerances: up to 1 the plan is right. Waits for the stream.
double error_of(Context& context, const Shape& shape, std::span<const Binding> bindings);

}  // namespace partialconv::cuda
