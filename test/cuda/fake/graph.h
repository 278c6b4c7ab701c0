// Operation graphs as the fake cuDNN keeps them, and their execution in plain loops on the host.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda/cudnn_api.h"
#include "dtype.h"

namespace fake {

using namespace partialconv::cudnn;
using partialconv::BFloat16;
using partialconv::Half;
using partialconv::to_bfloat16;
using partialconv::to_half;

struct Node {
  DescriptorType type;
  std::map<int, std::vector<unsigned char>> values;
  std::map<int, std::vector<std::shared_ptr<const Node>>> nodes;  // attributes that are descriptors
  std::shared_ptr<const Node> graph;                              // of heuristics' results, engines and plans
  int64_t engine = 0;                                             // of heuristics' results and plans

  template <class T>
  std::vector<T> all(int attribute) const {
    const auto found = values.find(attribute);
    if (found == values.end()) return {};
    std::vector<T> result(found->second.size() / sizeof(T));
    std::memcpy(result.data(), found->second.data(), result.size() * sizeof(T));
    return result;
  }
  template <class T>
  T one(int attribute) const {
    const std::vector<T> values = all<T>(attribute);
    return values.empty() ? T{} : values.front();
  }
  const Node* node(int attribute) const {
    const auto found = nodes.find(attribute);
    return found == nodes.end() || found->second.empty() ? nullptr : found->second.front().get();
  }
};

using Memory = std::map<int64_t, void*>;                       // operands by id
using Intermediates = std::map<int64_t, std::vector<double>>;  // virtual tensors, dense

// A tensor in memory, a number that was given by value, or an intermediate; a dimension of 1 is broadcast.
struct Tensor {
  std::vector<int64_t> dims, strides;
  int type;
  unsigned char* data = nullptr;
  std::vector<double>* dense = nullptr;

  Tensor(const Node& node, const Memory& memory, Intermediates& intermediates)
      : dims(node.all<int64_t>(kTensorDimensions)), strides(node.all<int64_t>(kTensorStrides)), type(node.one<int>(kTensorDataType)) {
    const int64_t id = node.one<int64_t>(kTensorId);
    if (node.one<unsigned char>(kTensorIsVirtual) != 0) {
      dense = &intermediates[id];
      dense->resize(static_cast<std::size_t>(dims[0] * dims[1] * dims[2] * dims[3]));
    } else {
      const auto found = memory.find(id);
      data = found == memory.end() ? nullptr : static_cast<unsigned char*>(found->second);
    }
  }

  int64_t index(const std::array<int64_t, 4>& at) const {
    int64_t i = 0;
    for (std::size_t d = 0; d < 4; ++d) {
      const int64_t p = dims[d] == 1 ? 0 : at[d];
      i = dense != nullptr ? i * dims[d] + p : i + p * strides[d];
    }
    return i;
  }

  double get(const std::array<int64_t, 4>& at) const {
    const int64_t i = index(at);
    if (dense != nullptr) return (*dense)[static_cast<std::size_t>(i)];
    switch (type) {
      case kDouble: return reinterpret_cast<double*>(data)[i];
      case kHalf: return to_float(reinterpret_cast<Half*>(data)[i]);
      case kBFloat16: return to_float(reinterpret_cast<BFloat16*>(data)[i]);
      default: return reinterpret_cast<float*>(data)[i];
    }
  }

  void put(const std::array<int64_t, 4>& at, double value) {
    const int64_t i = index(at);
    if (dense != nullptr) (*dense)[static_cast<std::size_t>(i)] = value;
    else if (type == kDouble) reinterpret_cast<double*>(data)[i] = value;
    else if (type == kHalf) reinterpret_cast<Half*>(data)[i] = to_half(static_cast<float>(value));
    else if (type == kBFloat16) reinterpret_cast<BFloat16*>(data)[i] = to_bfloat16(static_cast<float>(value));
    else reinterpret_cast<float*>(data)[i] = static_cast<float>(value);
  }
};

struct Axis {
  int64_t stride, pre, post, dilation;
  int64_t input(int64_t out, int64_t tap) const { return out * stride - pre + tap * dilation; }
  bool fits(int64_t in, int64_t taps, int64_t out) const { return out == (in + pre + post - (taps - 1) * dilation - 1) / stride + 1; }
};

inline std::array<Axis, 2> axes_of(const Node& conv) {
  std::array<Axis, 2> axes;
  for (std::size_t d = 0; d < 2; ++d) {
    axes[d] = {conv.all<int64_t>(kConvolutionStrides)[d], conv.all<int64_t>(kConvolutionPrePaddings)[d],
               conv.all<int64_t>(kConvolutionPostPaddings)[d], conv.all<int64_t>(kConvolutionDilations)[d]};
  }
  return axes;
}

// f(position in x, in weight, in y) for every product of the convolution; `outer` is the tensor whose sums are wanted.
template <class F>
void each_product(const std::vector<int64_t>& x, const std::vector<int64_t>& w, const std::vector<int64_t>& y,
                  const std::array<Axis, 2>& axes, F f) {
  const int64_t outputs = y[1] / (x[1] / w[1]);  // of a group
  for (int64_t n = 0; n < y[0]; ++n)
    for (int64_t o = 0; o < y[1]; ++o)
      for (int64_t c = 0; c < w[1]; ++c)
        for (int64_t i = 0; i < y[2]; ++i)
          for (int64_t j = 0; j < y[3]; ++j)
            for (int64_t kh = 0; kh < w[2]; ++kh)
              for (int64_t kw = 0; kw < w[3]; ++kw) {
                const int64_t h = axes[0].input(i, kh), v = axes[1].input(j, kw);
                if (h < 0 || h >= x[2] || v < 0 || v >= x[3]) continue;
                f(std::array{n, o / outputs * w[1] + c, h, v}, std::array{o, c, kh, kw}, std::array{n, o, i, j});
              }
}

template <class F>
void each_position(const std::vector<int64_t>& d, F f) {
  for (int64_t a = 0; a < d[0]; ++a)
    for (int64_t b = 0; b < d[1]; ++b)
      for (int64_t i = 0; i < d[2]; ++i)
        for (int64_t j = 0; j < d[3]; ++j) f(std::array{a, b, i, j});
}

inline std::size_t place(const std::vector<int64_t>& d, const std::array<int64_t, 4>& at) {
  return static_cast<std::size_t>(((at[0] * d[1] + at[1]) * d[2] + at[2]) * d[3] + at[3]);
}

inline std::vector<double> values_of(const Tensor& t) {
  std::vector<double> values;
  each_position(t.dims, [&](const auto& at) { values.push_back(t.get(at)); });
  return values;
}

struct ConvolutionNames {
  int conv, x, w, y;
};
constexpr ConvolutionNames kForwardNames = {kForwardConvolution, kForwardX, kForwardWeight, kForwardY};
constexpr ConvolutionNames kDataNames = {kBackwardDataConvolution, kBackwardDataDx, kBackwardDataWeight, kBackwardDataDy};
constexpr ConvolutionNames kFilterNames = {kBackwardFilterConvolution, kBackwardFilterX, kBackwardFilterDw, kBackwardFilterDy};

inline ConvolutionNames names_of(DescriptorType type) {
  return type == kOperationForward ? kForwardNames : type == kOperationBackwardData ? kDataNames : kFilterNames;
}

inline void convolve(const Node& op, const Memory& memory, Intermediates& intermediates) {
  const ConvolutionNames names = names_of(op.type);
  Tensor x(*op.node(names.x), memory, intermediates), w(*op.node(names.w), memory, intermediates),
      y(*op.node(names.y), memory, intermediates);
  Tensor& to = op.type == kOperationForward ? y : op.type == kOperationBackwardData ? x : w;
  const auto read = [&](const Tensor& t) { return &t == &to ? std::vector<double>() : values_of(t); };
  const std::vector<double> xs = read(x), ws = read(w), ys = read(y);
  std::vector<double> sums(static_cast<std::size_t>(to.dims[0] * to.dims[1] * to.dims[2] * to.dims[3]));
  each_product(x.dims, w.dims, y.dims, axes_of(*op.node(names.conv)), [&](const auto& px, const auto& pw, const auto& py) {
    const std::size_t i = place(x.dims, px), j = place(w.dims, pw), k = place(y.dims, py);
    if (&to == &y) sums[k] += xs[i] * ws[j];
    else if (&to == &x) sums[i] += ys[k] * ws[j];
    else sums[j] += xs[i] * ys[k];
  });
  each_position(to.dims, [&](const auto& at) { to.put(at, sums[place(to.dims, at)]); });
}

inline void pointwise(const Node& op, const Memory& memory, Intermediates& intermediates) {
  const int mode = op.node(kOperationPointwiseDescriptor)->one<int>(kPointwiseMode);
  Tensor x(*op.node(kOperationPointwiseX), memory, intermediates), y(*op.node(kOperationPointwiseY), memory, intermediates);
  const Node* second = op.node(kOperationPointwiseB);
  Tensor b(second != nullptr ? *second : *op.node(kOperationPointwiseX), memory, intermediates);
  const Node* third = op.node(kOperationPointwiseT);
  Tensor where(third != nullptr ? *third : *op.node(kOperationPointwiseX), memory, intermediates);
  each_position(y.dims, [&](const auto& at) {
    const double value = x.get(at);
    switch (mode) {
      case kMul: return y.put(at, value * b.get(at));
      case kAdd: return y.put(at, value + b.get(at));
      case kNotEqual: return y.put(at, value != b.get(at) ? 1 : 0);
      case kSelect: return y.put(at, where.get(at) != 0 ? value : b.get(at));
      default: return y.put(at, value > 0 ? value : 0);
    }
  });
}

inline bool consistent(const Node& op) {
  const ConvolutionNames names = names_of(op.type);
  const auto x = op.node(names.x)->all<int64_t>(kTensorDimensions), w = op.node(names.w)->all<int64_t>(kTensorDimensions),
             y = op.node(names.y)->all<int64_t>(kTensorDimensions);
  const std::array<Axis, 2> axes = axes_of(*op.node(names.conv));
  bool ok = x[0] == y[0] && w[0] == y[1] && x[1] % w[1] == 0;
  for (std::size_t d = 0; d < 2; ++d) ok = ok && axes[d].fits(x[2 + d], w[2 + d], y[2 + d]) && axes[d].pre >= 0 && axes[d].post >= 0;
  return ok;
}

inline void run(const Node& graph, const Memory& memory) {
  Intermediates intermediates;
  for (const auto& op : graph.nodes.at(kGraphOperations)) {
    if (op->type == kOperationPointwise) pointwise(*op, memory, intermediates);
    else convolve(*op, memory, intermediates);
  }
}

// Makes one number of the result wrong.
inline void spoil(const Node& graph, const Memory& memory) {
  Intermediates intermediates;
  const Node& last = *graph.nodes.at(kGraphOperations).back();
  const ConvolutionNames names = names_of(last.type);
  const int result = last.type == kOperationPointwise      ? kOperationPointwiseY
                     : last.type == kOperationForward      ? names.y
                     : last.type == kOperationBackwardData ? names.x
                                                           : names.w;
  Tensor to(*last.node(result), memory, intermediates);
  const std::array<int64_t, 4> at{to.dims[0] - 1, to.dims[1] / 2, 0, to.dims[3] / 3};
  to.put(at, to.get(at) + 1);
}

// f(tensor, id) for what the operations of a graph read and write outside of it.
template <class F>
void each_operand(const Node& graph, F f) {
  for (const auto& op : graph.nodes.at(kGraphOperations)) {
    for (const auto& [attribute, nodes] : op->nodes) {
      const Node& tensor = *nodes.front();
      if (tensor.type == kTensor && tensor.one<unsigned char>(kTensorIsVirtual) == 0) f(tensor, tensor.one<int64_t>(kTensorId));
    }
  }
}

inline bool bound(const Node& graph, const Memory& memory) {
  bool all = true;
  each_operand(graph, [&](const Node&, int64_t id) { all = all && memory.count(id) != 0; });
  return all;
}

// The numbers that are given by value, as they are now: the caller's may be gone when the work runs. memory refers to the copies, which
// live as long as what is returned.
inline std::shared_ptr<const std::map<int64_t, float>> numbers_by_value(const Node& graph, Memory& memory) {
  const auto numbers = std::make_shared<std::map<int64_t, float>>();
  each_operand(graph, [&](const Node& tensor, int64_t id) {
    if (tensor.one<unsigned char>(kTensorIsByValue) == 0 || numbers->count(id) != 0) return;
    float& number = (*numbers)[id] = *static_cast<const float*>(memory.at(id));
    memory[id] = &number;
  });
  return numbers;
}

}  // namespace fake
