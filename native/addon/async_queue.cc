// See async_queue.h. Only Node-API is used here, so that other runtimes that offer it can run the addon.
#include "async_queue.h"

#include "bind.h"

namespace partialconv {

AsyncQueue::AsyncQueue(napi_env env) : env_(env) { napi_add_env_cleanup_hook(env, on_cleanup, this); }

AsyncQueue::~AsyncQueue() {
  if (!stopped_) {
    napi_remove_env_cleanup_hook(env_, on_cleanup, this);
    stop();
  }
}

void AsyncQueue::on_cleanup(void* self) { static_cast<AsyncQueue*>(self)->stop(); }

void AsyncQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  stopped_ = true;
}

void AsyncQueue::push(AsyncJob job) {
  if (report_ == nullptr) {
    napi_value name;
    napi_create_string_utf8(env_, "partialconv", NAPI_AUTO_LENGTH, &name);
    napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, on_complete, &report_);
    thread_ = std::thread([this] { run(); });
  } else if (pending_ == 0) {
    napi_ref_threadsafe_function(env_, report_);
  }
  ++pending_;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void AsyncQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    AsyncJob job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    try {
      job.work();
    } catch (...) {
      job.error = std::current_exception();
    }
    lock.lock();
    done_.push_back(std::move(job));
    if (done_.size() > 1) continue;  // a report is already on its way
    lock.unlock();
    const napi_status status = napi_call_threadsafe_function(report_, nullptr, napi_tsfn_nonblocking);
    lock.lock();
    if (status == napi_closing) return;  // the environment is ending: the handle may be gone
  }
}

void AsyncQueue::on_complete(napi_env env, napi_value, void* context, void*) {
  if (env != nullptr) static_cast<AsyncQueue*>(context)->settle(env);
}

void AsyncQueue::settle(napi_env env) {
  std::vector<AsyncJob> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  for (AsyncJob& job : done) {
    for (napi_ref operand : job.operands) napi_delete_reference(env, operand);
    if (!job.error) {
      napi_value undefined;
      napi_get_undefined(env, &undefined);
      napi_resolve_deferred(env, job.deferred, undefined);
    } else {
      napi_reject_deferred(env, job.deferred, backend_error(env, job.error));
    }
  }
  pending_ -= done.size();
  if (pending_ == 0) napi_unref_threadsafe_function(env, report_);
}

}  // namespace partialconv
