// Tests the thread pool: every task once, exceptions, nested and concurrent calls, contexts that come and go on several threads.
#ifdef __linux__
#include <sched.h>
#endif

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../native/device.h"

namespace partialconv {
namespace {

void require(bool ok, const char* what) {
  if (ok) return;
  std::printf("device_test: %s\n", what);
  std::exit(1);
}

void runs_every_task_once(Context& context, int64_t tasks) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
  parallel(context, tasks, [&](int64_t task) { ++runs[static_cast<std::size_t>(task)]; });
  for (const auto& count : runs) require(count == 1, "a task did not run exactly once");
}

void rethrows_and_recovers(Context& context) {
  std::string message;
  try {
    parallel(context, 1000, [](int64_t task) {
      if (task == 300) throw std::runtime_error("task 300");
    });
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  require(message == "task 300", "an exception did not reach the caller");
  runs_every_task_once(context, 100);
}

void nests(Context& context) {
  std::atomic<int> inner{0};
  parallel(context, 8, [&](int64_t) { parallel(context, 8, [&](int64_t) { ++inner; }); });
  require(inner == 64, "a nested call lost tasks");
}

void grows_and_shrinks(Context& context) {
  for (const int threads : {1, 4, 2, 7, 1, 3}) {
    set_thread_count(threads);
    require(thread_count() == threads, "the thread count was not taken");
    for (int64_t tasks = 0; tasks < 40; ++tasks) runs_every_task_once(context, tasks);
  }
  set_thread_count(0);
  require(thread_count() == 1, "at least one thread");
}

void scratch_is_aligned_and_private(Context& context) {
  parallel(context, 64, [](int64_t task) {
    auto* bytes = static_cast<unsigned char*>(scratch(static_cast<std::size_t>(1 + task * 1000)));
    require(reinterpret_cast<std::uintptr_t>(bytes) % 64 == 0, "scratch is not aligned");
    for (int64_t i = 0; i < task * 1000; ++i) bytes[i] = static_cast<unsigned char>(task);
    for (int64_t i = 0; i < task * 1000; ++i) require(bytes[i] == static_cast<unsigned char>(task), "scratch is shared between threads");
  });
}

// A thread that moves away from a CPU taken by another of the job keeps the right to run anywhere.
void keeps_its_cpus(Context& context) {
#ifdef __linux__
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  std::atomic<int> narrowed{0};
  for (int i = 0; i < 50; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the pool falls asleep, and is woken anew
    parallel(context, 32, [&](int64_t) {
      cpu_set_t now;
      sched_getaffinity(0, sizeof now, &now);
      if (!CPU_EQUAL(&now, &before)) ++narrowed;
    });
  }
  require(narrowed == 0, "a thread lost CPUs that it could run on");
#endif
}

void survives_many_environments() {
  set_thread_count(4);
  std::vector<std::thread> environments;
  for (int t = 0; t < 6; ++t) {
    environments.emplace_back([] {
      for (int life = 0; life < 30; ++life) {
        Context context;
        for (int64_t tasks = 1; tasks < 20; ++tasks) runs_every_task_once(context, tasks);
      }
    });
  }
  for (std::thread& environment : environments) environment.join();
}

void each_covers_every_index(Context& context) {
  std::vector<int> seen(200000);
  each(context, static_cast<int64_t>(seen.size()), [data = seen.data()](int64_t i) { ++data[i]; });
  for (const int count : seen) require(count == 1, "each() missed or repeated an index");
}

}  // namespace
}  // namespace partialconv

int main() {
  using namespace partialconv;
  set_thread_count(4);
  {
    Context context;
    runs_every_task_once(context, 10000);
    rethrows_and_recovers(context);
    nests(context);
    grows_and_shrinks(context);
    set_thread_count(4);
    scratch_is_aligned_and_private(context);
    keeps_its_cpus(context);
    each_covers_every_index(context);
  }
  survives_many_environments();
  Context again;
  runs_every_task_once(again, 1000);
  std::printf("device_test: passed\n");
}
