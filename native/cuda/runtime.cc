// The CUDA runtime's calls, checked. The runtime is linked statically: without a driver these functions load, and report 0 devices.
#include "runtime.h"

#include <cstdint>
#include <limits>

#include <cuda_runtime_api.h>

#include "../failure.h"
#include "architectures.h"

namespace partialconv::cuda {
namespace {

[[noreturn]] void fail(cudaError_t status, const char* call, const std::string& advice = "") {
  throw Failure(call, status, std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status) + advice);
}

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // not to be reported again by the next call
  fail(status, call);
}

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

Presence look() {
  Presence presence;
  cudaDriverGetVersion(&presence.driver);
  cudaRuntimeGetVersion(&presence.runtime);
  const cudaError_t status = cudaGetDeviceCount(&presence.count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    presence.count = 0;
  }
  if (presence.driver == 0) {
    presence.reason = "no NVIDIA driver was found (libcuda.so.1); install one that supports CUDA " + version_text(presence.runtime);
  } else if (status == cudaErrorInsufficientDriver) {
    presence.reason = "the NVIDIA driver supports CUDA " + version_text(presence.driver) + ", but this build needs " +
                      version_text(presence.runtime) + "; update the driver";
  } else if (status != cudaSuccess) {
    presence.reason = std::string("cudaGetDeviceCount failed: ") + cudaGetErrorString(status);
  } else if (presence.count == 0) {
    presence.reason = "the NVIDIA driver is there but shows no GPU (is CUDA_VISIBLE_DEVICES empty?)";
  }
  return presence;
}

}  // namespace

const Presence& presence() {
  static const Presence found = look();
  return found;
}

DeviceFacts device_facts(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return {properties.name, properties.major, properties.minor, properties.multiProcessorCount, properties.totalGlobalMem};
}

void use_device(int device) { check(cudaSetDevice(device), "cudaSetDevice"); }

std::size_t free_memory() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

Stream create_stream() {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

void destroy_stream(Stream stream) { check(cudaStreamDestroy(stream), "cudaStreamDestroy"); }
void synchronize(Stream stream) { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }

Pool create_pool(int device) {
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  cudaMemPool_t pool;
  check(cudaMemPoolCreate(&pool, &properties), "cudaMemPoolCreate");
  uint64_t keep = std::numeric_limits<uint64_t>::max();
  const cudaError_t status = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
  if (status != cudaSuccess) cudaMemPoolDestroy(pool);
  check(status, "cudaMemPoolSetAttribute");
  return pool;
}

void destroy_pool(Pool pool) { check(cudaMemPoolDestroy(pool), "cudaMemPoolDestroy"); }
void trim_pool(Pool pool) { check(cudaMemPoolTrimTo(pool, 0), "cudaMemPoolTrimTo"); }

void* allocate(Pool pool, std::size_t bytes, Stream stream) {
  void* data = nullptr;
  const cudaError_t status = cudaMallocFromPoolAsync(&data, bytes, pool, stream);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "cudaMallocFromPoolAsync");
  return data;
}

void release(void* data, Stream stream) { check(cudaFreeAsync(data, stream), "cudaFreeAsync"); }

void copy_to_device(void* to, const void* pinned, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}

void copy_to_host(void* host, const void* from, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
  synchronize(stream);
}

void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
}

void copy_between(void* to, int to_device, const void* from, int from_device, std::size_t bytes, Stream stream) {
  check(cudaMemcpyPeerAsync(to, to_device, from, from_device, bytes, stream), "cudaMemcpyPeerAsync");
}

void set_bytes(void* to, int value, std::size_t bytes, Stream stream) {
  check(cudaMemsetAsync(to, value, bytes, stream), "cudaMemsetAsync");
}

void* allocate_pinned(std::size_t bytes) {
  void* data;
  check(cudaHostAlloc(&data, bytes, cudaHostAllocDefault), "cudaHostAlloc");
  return data;
}

void release_pinned(void* data) { check(cudaFreeHost(data), "cudaFreeHost"); }

void copy_to_pinned(void* pinned, const void* from, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
}

Event create_event() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync | cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return event;
}

Event create_timer() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync), "cudaEventCreateWithFlags");
  return event;
}

void destroy_event(Event event) { check(cudaEventDestroy(event), "cudaEventDestroy"); }
void record(Event event, Stream stream) { check(cudaEventRecord(event, stream), "cudaEventRecord"); }

bool done(Event event) {
  const cudaError_t status = cudaEventQuery(event);
  if (status == cudaErrorNotReady) return false;
  check(status, "cudaEventQuery");
  return true;
}

void wait(Event event) { check(cudaEventSynchronize(event), "cudaEventSynchronize"); }
void wait_on(Stream stream, Event event) { check(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent"); }

// Relaxed: another thread may allocate or wait meanwhile, and this one, too, on streams that are not captured: the other modes refuse it
// an allocation from a pool there, and the loading of a kernel that was never launched.
void begin_capture(Stream stream) { check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture"); }

Graph end_capture(Stream stream) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return executable;
}

void abandon_capture(Stream stream) noexcept {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(stream, &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();  // a capture that was invalid already says so again
}

void launch(Graph graph, Stream stream) { check(cudaGraphLaunch(graph, stream), "cudaGraphLaunch"); }
void destroy_graph(Graph graph) { check(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy"); }

double milliseconds_between(Event from, Event to) {
  wait(from);
  wait(to);
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, from, to), "cudaEventElapsedTime");
  return milliseconds;
}

void check_launch(int status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  int device = 0;
  cudaGetDevice(&device);
  fail(static_cast<cudaError_t>(status), "cudaLaunchKernel", advice_on(status, device));
}

}  // namespace partialconv::cuda
