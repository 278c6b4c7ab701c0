// The CPU engine has one form of tensors: dense and row-major.
#include <stdexcept>

#include "../conv.h"

namespace partialconv {

namespace {

[[noreturn]] void refuse() { throw std::invalid_argument("the CPU has no tensors with channels last"); }

}  // namespace

int64_t channels_last_size(const ImageShape&, DType) { return 0; }
int64_t conv_formats(const ConvGeometry&, Pass, DType) { return 0; }
void to_dense(Context&, const ImageShape&, Span, Span) { refuse(); }
void output_gradient(Context&, const ConvGeometry&, Span, Span, Span, Span, Span) { refuse(); }

}  // namespace partialconv
