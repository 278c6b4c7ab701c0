// The CPU device: the process's thread pool, the thread count and the per-thread scratch memory.
#include "device.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace partialconv {
namespace {

constexpr int kMaxThreads = 256;
// How long a thread waits awake: a few times what waking it costs, enough to last from one op of a network to the next.
constexpr auto kSpinTime = std::chrono::microseconds(100);

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for done() for kSpinTime at most; returns whether it came.
template <class F>
bool spin_until(F done) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

int available_cpus() {
#ifdef __linux__
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return CPU_COUNT(&cpus);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

int initial_thread_count() {
  const char* text = std::getenv("PARTIALCONV_NUM_THREADS");
  const long wanted = text ? std::strtol(text, nullptr, 10) : 0;
  return static_cast<int>(std::clamp<long>(wanted > 0 ? wanted : available_cpus(), 1, kMaxThreads));
}

std::atomic<int>& thread_count_setting() {
  static std::atomic<int> count{initial_thread_count()};
  return count;
}

thread_local bool inside_task = false;

struct InsideTask {
  InsideTask() { inside_task = true; }
  ~InsideTask() { inside_task = false; }
};

// The CPUs that the threads of a job run on. Some kernels wake a thread on the CPU of whoever wakes it, and leave it there for many
// milliseconds: the two would take turns beside an idle CPU.
class CpuClaims {
 public:
#ifdef __linux__
  // Takes the CPU that the calling thread runs on, or moves to one that is still free and takes that.
  void claim() {
    if (take(sched_getcpu())) return;
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    CPU_ZERO(&others);
    for (int cpu = 0; cpu < kMost; ++cpu) {
      const bool taken = taken_[cpu / 64].load(std::memory_order_relaxed) >> cpu % 64 & 1;
      if (CPU_ISSET(cpu, &allowed) && !taken) CPU_SET(cpu, &others);
    }
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
    take(sched_getcpu());
    sched_setaffinity(0, sizeof allowed, &allowed);
  }

 private:
  static constexpr int kMost = kMaxThreads;

  bool take(int cpu) {
    if (cpu < 0 || cpu >= kMost) return true;
    const uint64_t bit = uint64_t{1} << cpu % 64;
    return !(taken_[cpu / 64].fetch_or(bit, std::memory_order_relaxed) & bit);
  }

  std::atomic<uint64_t> taken_[kMost / 64] = {};
#else
  void claim() {}
#endif
};

// One parallel_run. Lives on the caller's stack: workers may enter only while the pool points at it.
struct Job {
  Job(int64_t tasks, TaskBody body, void* state, int seats) : tasks(tasks), body(body), state(state), seats(seats) {}

  const int64_t tasks;
  const TaskBody body;
  void* const state;
  int seats;                     // workers that may still join; guarded by the pool's mutex
  std::atomic<int64_t> next{0};  // the next task to hand out
  std::atomic<int> inside{0};    // workers that have joined and not left
  CpuClaims cpus;
  std::mutex failure_mutex;
  std::exception_ptr failure;

  void run(bool caller) {
    InsideTask guard;
    bool alone = caller;
    for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
      try {
        body(state, task);
      } catch (...) {
        std::lock_guard<std::mutex> lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next.store(tasks, std::memory_order_relaxed);
      }
      // Whoever was woken and has not come by now waits for this very CPU: let it have a look, and move.
      if (alone && inside.load(std::memory_order_relaxed) == 0) std::this_thread::yield();
      alone = false;
    }
  }
};

class Pool {
 public:
  void retain() {
    std::lock_guard<std::mutex> lock(lifetime_);
    ++contexts_;
  }

  void release() {
    std::lock_guard<std::mutex> lock(lifetime_);
    if (--contexts_ == 0) stop();
  }

  // Runs the job on the caller and on up to job.seats workers; false, with nothing done, while another thread has the pool.
  bool run(Job& job) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner.owns_lock()) return false;
    grow(job.seats);
    job.cpus.claim();
    publish(&job);
    job.run(true);
    publish(nullptr);
    const auto all_left = [&] { return job.inside.load(std::memory_order_acquire) == 0; };
    if (!spin_until(all_left)) {
      std::unique_lock<std::mutex> lock(mutex_);
      left_.wait(lock, all_left);
    }
    return true;
  }

 private:
  void grow(int helpers) {
    while (static_cast<int>(workers_.size()) < helpers) {
      try {
        workers_.emplace_back([this] { work(); });
      } catch (const std::system_error&) {
        return;  // no more threads to be had: fewer will do
      }
    }
  }

  void publish(Job* job) {
    bool wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = job;
      if (job) generation_.fetch_add(1, std::memory_order_release);
      wake = job && sleepers_ > 0;
    }
    if (wake) wake_.notify_all();
  }

  void work() {
    uint64_t seen = 0;
    while (Job* job = join_next(seen)) {
      job->cpus.claim();
      job->run(false);
      std::lock_guard<std::mutex> lock(mutex_);
      if (job->inside.fetch_sub(1, std::memory_order_release) == 1) left_.notify_all();
    }
  }

  // The next job with a free seat, or null when the pool stops.
  Job* join_next(uint64_t& seen) {
    for (;;) {
      spin_until([&] { return generation_.load(std::memory_order_acquire) != seen; });
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleepers_;
      wake_.wait(lock, [&] { return stopping_ || generation_.load(std::memory_order_relaxed) != seen; });
      --sleepers_;
      if (stopping_) return nullptr;
      seen = generation_.load(std::memory_order_relaxed);
      if (!job_ || job_->seats == 0) continue;
      --job_->seats;
      job_->inside.fetch_add(1, std::memory_order_relaxed);
      return job_;
    }
  }

  void stop() {
    std::lock_guard<std::mutex> owner(owner_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_ = false;
  }

  std::mutex lifetime_;
  int contexts_ = 0;

  std::mutex owner_;  // held for the length of one run
  std::vector<std::thread> workers_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, left_;
  Job* job_ = nullptr;
  int sleepers_ = 0;
  bool stopping_ = false;
  std::atomic<uint64_t> generation_{0};
};

Pool& pool() {
  static Pool* const instance = new Pool;  // never destroyed: a static destructor must not race with a worker environment
  return *instance;
}

struct ThreadScratch {
  static constexpr std::align_val_t kAlignment{64};
  void* data = nullptr;
  std::size_t size = 0;
  ~ThreadScratch() { ::operator delete(data, kAlignment); }
};

}  // namespace

Context::Context() { pool().retain(); }
Context::~Context() { pool().release(); }

int thread_count() { return thread_count_setting().load(std::memory_order_relaxed); }
void set_thread_count(int count) { thread_count_setting().store(std::clamp(count, 1, kMaxThreads), std::memory_order_relaxed); }

void parallel_run(int64_t tasks, TaskBody body, void* state, int threads) {
  const int64_t useful = std::min({tasks, int64_t{threads}, int64_t{thread_count()}});
  if (useful > 1 && !inside_task) {
    Job job(tasks, body, state, static_cast<int>(useful) - 1);
    if (pool().run(job)) {
      if (job.failure) std::rethrow_exception(job.failure);
      return;
    }
  }
  for (int64_t task = 0; task < tasks; ++task) body(state, task);
}

void* scratch(std::size_t bytes) {
  thread_local ThreadScratch memory;
  if (bytes > memory.size) {
    const std::size_t size = std::max<std::size_t>(bytes, 4096);
    ::operator delete(memory.data, ThreadScratch::kAlignment);
    memory.data = nullptr;
    memory.size = 0;
    memory.data = ::operator new(size, ThreadScratch::kAlignment);
    memory.size = size;
  }
  return memory.data;
}

}  // namespace partialconv
