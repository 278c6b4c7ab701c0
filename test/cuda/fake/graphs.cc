// Stream capture of the fake: what a captured stream is given is recorded with its arguments, and run by each launch of the graph.
#include "cuda/runtime.h"
#include "failure.h"
#include "fake.h"
#include "machine.h"

namespace fake {
namespace {

constexpr int kCaptureUnsupported = 900, kCaptureInvalidated = 901;

}  // namespace

// What a capture does not allow, of the captured stream or of the thread that captures: it fails and makes the capture invalid.
void refuse_in_capture(CUstream_st* captured, const char* call) {
  if (captured == nullptr || captured->captured == nullptr) return;
  captured->invalid = true;
  throw partialconv::Failure(call, kCaptureUnsupported, "operation not permitted when stream is capturing");
}

}  // namespace fake

namespace partialconv::cuda {

using fake::mutex;

void begin_capture(Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaStreamBeginCapture");
  fake::may_fail("cudaStreamBeginCapture");
  stream->captured = std::make_shared<Work>();
  stream->invalid = false;
  fake::capturing = stream;
}

Graph end_capture(Stream stream) {
  const std::lock_guard lock(mutex);
  const std::shared_ptr<Work> work = std::move(stream->captured);
  stream->captured = nullptr;
  fake::capturing = nullptr;
  if (work == nullptr || stream->invalid) throw Failure("cudaStreamEndCapture", fake::kCaptureInvalidated, "the capture is invalid");
  fake::may_fail("cudaGraphInstantiate");
  fake::State& s = fake::state();
  if (s.fail_graph > 0 && --s.fail_graph == 0) throw Failure("cudaGraphInstantiate", 2, "the fake says so");
  ++s.graphs;
  return new CUgraphExec_st{stream->device, work};
}

void abandon_capture(Stream stream) noexcept {
  const std::lock_guard lock(mutex);
  stream->captured = nullptr;
  fake::capturing = nullptr;
}

void launch(Graph graph, Stream stream) {
  const std::lock_guard lock(mutex);
  fake::refuse_in_capture(stream, "cudaGraphLaunch");
  fake::may_fail("cudaGraphLaunch");
  fake::State& s = fake::state();
  if (s.fail_graph > 0 && --s.fail_graph == 0) throw Failure("cudaGraphLaunch", 719, "the fake says so");
  if (graph->device != stream->device) throw Failure("cudaGraphLaunch", fake::kInvalidHandle, "a graph of another GPU");
  ++s.graph_launches;
  fake::enqueue(stream, [work = graph->work] {
    for (const std::function<void()>& piece : *work) piece();
  });
}

void destroy_graph(Graph graph) {
  const std::lock_guard lock(mutex);
  --fake::state().graphs;
  delete graph;
  fake::may_fail("cudaGraphExecDestroy");
}

}  // namespace partialconv::cuda
