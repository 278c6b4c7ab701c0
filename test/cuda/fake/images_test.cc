// Tensors into cuDNN's layouts and out of them, by vectors and by elements: the same bits where operands are aligned and where they start
// an element later, whatever the numbers of channels and columns; vectors wherever whole ones fit.

#include "cuda/conv_kernels.h"
#include "operands.h"

using namespace partialconv;
using cuda::Image;

namespace {

constexpr int64_t kSamples = 2;

// A gate of c channels over cells: none; bytes for all samples and channels; numbers with a scale for each sample; numbers for each channel,
// or each pair of them.
enum class Form { kNone, kBytes, kSoft, kChannels, kPairs };
constexpr Form kForms[] = {Form::kNone, Form::kBytes, Form::kSoft, Form::kChannels, Form::kPairs};

cuda::Gate gate_of(Operands& o, Form form, DType t, int64_t c, int64_t cells) {
  if (form == Form::kNone) return {};
  cuda::Gate gate;
  gate.bytes = form == Form::kBytes;
  gate.n = gate.bytes ? 1 : kSamples;
  gate.channels = form == Form::kChannels ? c : form == Form::kPairs ? c / 2 : 1;
  const DType type = gate.bytes ? DType::kBool : compute_of(t);
  const int64_t size = gate.n * gate.channels * cells;
  gate.gate = o.add(type, numbers(type, size, 3)).data;
  if (!gate.bytes) gate.scale = o.add(type, numbers(type, size, 4)).data;
  return gate;
}

struct Sizes {
  int64_t c, h, w;
};
constexpr int64_t kChannels[] = {1, 2, 4, 6, 8, 16, 20, 33}, kWidths[] = {1, 2, 4, 7, 8, 12, 16, 24, 64, 72};

// Images as plans have them: channels innermost, with columns and channels rounded up, or no more than there are; dense with columns
// rounded up; dense.
std::vector<Image> images_of(const Sizes& s, int64_t lanes) {
  Image tight = cuda::channels_last_image(kSamples, s.c, s.h, s.w, lanes);
  tight.pitch = s.w, tight.cells = s.h * s.w;
  const Image dense = cuda::dense_image(kSamples, s.c, s.h, s.w);
  Image wide = dense;
  wide.pitch = (s.w + 15) / 16 * 16, wide.cells = s.h * wide.pitch;
  return {cuda::channels_last_image(kSamples, s.c, s.h, s.w, lanes), tight, wide, dense};
}

void compare(Context& context, DType t, const Sizes& s, Form form, const Image& image, const std::string& what) {
  const Image dense = cuda::dense_image(kSamples, s.c, s.h, s.w);
  fake::State& state = fake::state();
  std::array<Bytes, 2> results;
  for (const int64_t late : {0, 1}) {
    Operands o(context, late);
    const cuda::Gate gate = gate_of(o, form, t, s.c, s.h * s.w);
    const Span x = o.add(t, numbers(t, dense.size(), 1)), bias = o.add(t, numbers(t, s.c, 5));
    const Span to = o.add(t, numbers(t, image.size(), 2)), back = o.add(t, numbers(t, dense.size(), 6));
    const int64_t before = state.vectors;
    cuda::to_image(context, dense, image, gate, x, to.data);
    o.results();  // waits
    const int64_t between = state.vectors;
    cuda::from_image(context, image, dense, gate, bias.data, to.data, back);
    results[static_cast<std::size_t>(late)] = o.results();
    const bool whole = late == 0 && s.w % (16 / bytes_of(t)) == 0;
    expect((between > before) == whole, what + ": vectors into the image");
    expect((state.vectors > between) == whole, what + ": vectors out of it");
  }
  expect(results[0] == results[1], what + ": other bits where operands are aligned");
}

}  // namespace

int main() {
  Context context;
  for (const DType t : kReal) {
    for (const int64_t c : kChannels) {
      for (const int64_t w : kWidths) {
        const Sizes s{c, w % 3 + 1, w};
        int which = 0;
        for (const Image& image : images_of(s, 16 / bytes_of(t))) {
          for (const Form form : kForms) {
            if (form == Form::kPairs && c % 2 != 0) continue;
            const std::string gate = ", gate " + std::to_string(static_cast<int>(form));
            compare(context, t, s, form, image,
                    "dtype " + std::to_string(static_cast<int>(t)) + ", [2, " + std::to_string(c) + ", " + std::to_string(s.h) + ", " +
                        std::to_string(w) + "], image " + std::to_string(which) + gate);
          }
          ++which;
        }
      }
    }
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
