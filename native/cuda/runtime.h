// The CUDA runtime as this backend uses it: every call is here, and a failed one throws Failure. A test build without a GPU
// links another body.
#pragma once

#include <cstddef>
#include <string>

struct CUstream_st;
struct CUevent_st;
struct CUmemPoolHandle_st;
struct CUgraphExec_st;

namespace partialconv::cuda {

using Stream = CUstream_st*;
using Event = CUevent_st*;
using Pool = CUmemPoolHandle_st*;
using Graph = CUgraphExec_st*;  // one that can be launched

// The GPUs that can be used, and why there is none: missing or too old driver, no device.
struct Presence {
  int count = 0;
  int driver = 0;   // CUDA version that the driver supports, as 13000; 0: no driver
  int runtime = 0;  // CUDA version that this addon was built with
  std::string reason;
};
const Presence& presence();

struct DeviceFacts {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory = 0;
};
DeviceFacts device_facts(int device);

// Makes device the calling thread's.
void use_device(int device);
std::size_t free_memory();

Stream create_stream();  // non-blocking
void destroy_stream(Stream stream);
void synchronize(Stream stream);

Pool create_pool(int device);  // never gives memory back by itself
void destroy_pool(Pool pool);
void trim_pool(Pool pool);
// Null where the device is out of memory.
void* allocate(Pool pool, std::size_t bytes, Stream stream);
void release(void* data, Stream stream);

// What is copied from pinned memory must stay until the stream has done it. A copy to (any) host memory waits for the stream.
void copy_to_device(void* to, const void* pinned, std::size_t bytes, Stream stream);
void copy_to_host(void* host, const void* from, std::size_t bytes, Stream stream);
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream);
// Between two GPUs without the host, in the order of a stream of either; they need no access to each other's memory.
void copy_between(void* to, int to_device, const void* from, int from_device, std::size_t bytes, Stream stream);
void set_bytes(void* to, int value, std::size_t bytes, Stream stream);

// Pinned host memory: a copy to it runs in stream order, and does not wait.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* data);
void copy_to_pinned(void* pinned, const void* from, std::size_t bytes, Stream stream);

Event create_event();  // blocking sync, without timing
Event create_timer();  // with timing
void destroy_event(Event event);
void record(Event event, Stream stream);
bool done(Event event);
void wait(Event event);
// Between two timers; waits for both.
double milliseconds_between(Event from, Event to);
// What the stream is given from now on waits for what was recorded, also on another GPU; the host goes on.
void wait_on(Stream stream, Event event);

// From begin to end, what this thread gives to the stream is recorded instead of run, with its arguments as they are; other threads are
// not affected. What would wait for the stream or look at its progress fails, and so does end_capture() then. Either ending leaves the
// stream as before.
void begin_capture(Stream stream);
Graph end_capture(Stream stream);
void abandon_capture(Stream stream) noexcept;
void launch(Graph graph, Stream stream);
void destroy_graph(Graph graph);

// Throws if status, of a kernel launch, is an error.
void check_launch(int status);

}  // namespace partialconv::cuda
