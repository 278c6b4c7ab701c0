// The one backend switch: what an op needs of the device it is compiled for (Context, each, Scratch, HOST_DEVICE).
#pragma once

#ifdef PARTIALCONV_CUDA
#include "cuda/device.h"
#else
#include "cpu/device.h"
#endif
