// Ops off the event loop: one thread per environment runs jobs in order and reports them through one batched thread-safe function.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <node_api.h>

namespace partialconv {

// One op under way. The references keep its buffers alive; work runs on the queue's thread, the rest on the environment's.
struct AsyncJob {
  std::function<void()> work;
  std::vector<napi_ref> operands;
  napi_deferred deferred = nullptr;
  std::exception_ptr error;  // null: it succeeded
};

class AsyncQueue {
 public:
  explicit AsyncQueue(napi_env env);
  ~AsyncQueue();
  AsyncQueue(const AsyncQueue&) = delete;
  AsyncQueue& operator=(const AsyncQueue&) = delete;

  // Call on the environment's thread. Pending jobs keep the event loop alive.
  void push(AsyncJob job);

 private:
  void run();
  void settle(napi_env env);
  void stop();
  static void on_complete(napi_env env, napi_value, void* context, void*);
  static void on_cleanup(void* self);

  napi_env env_;
  napi_threadsafe_function report_ = nullptr;
  std::size_t pending_ = 0;  // environment's thread only
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<AsyncJob> waiting_;
  std::vector<AsyncJob> done_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace partialconv
