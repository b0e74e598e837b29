#include "core/threads.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/float_errors.hpp"

namespace ufuse {
namespace {

// A worker spins this long for the next job before it sleeps (a wake-up costs 5-50 us, a spin nothing but
// power), and a caller this long for its workers.
constexpr int kSpins = 4000;
constexpr int kMaxThreads = 256;

inline void relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

struct Job {
  FunctionRef<void(const Gang&)> body;
  int size;
  std::atomic<std::uint32_t> barrier{0};
  std::atomic<unsigned> float_errors{0};  // of the workers
};

enum State : std::uint32_t { kIdle, kOffered, kRunning };

struct alignas(64) Worker {
  std::atomic<std::uint32_t> state{kIdle};
  Job* job = nullptr;
  int rank = 0;
  int avoided_cpu = -1;
  pthread_t thread{};
};

thread_local bool inside_gang = false;
thread_local int local_limit = 0;
std::atomic<int> process_limit{0};

int positive_from_environment(const char* name) noexcept {
  const char* text = std::getenv(name);
  if (text == nullptr) return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);  // OMP_NUM_THREADS may be a list: its first entry counts
  return end != text && value > 0 ? static_cast<int>(std::min<long>(value, kMaxThreads)) : 0;
}

int available_cpus() noexcept {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int default_limit() noexcept {
  int limit = positive_from_environment("UFUSE_NUM_THREADS");
  if (limit == 0) limit = positive_from_environment("OMP_NUM_THREADS");
  if (limit == 0) limit = available_cpus();
  return std::min(limit, kMaxThreads);
}

void* worker_main(void* argument) {
  auto& self = *static_cast<Worker*>(argument);
  inside_gang = true;  // whatever runs here runs its nested calls inline
  for (;;) {
    for (int spin = 0; spin < kSpins && self.state.load(std::memory_order_acquire) != kOffered; ++spin)
      relax();
    std::uint32_t state = self.state.load(std::memory_order_acquire);
    if (state != kOffered) {
      self.state.wait(state, std::memory_order_acquire);
      continue;
    }
    if (!self.state.compare_exchange_strong(state, kRunning, std::memory_order_acq_rel)) continue;
    Job& job = *self.job;
    clear_float_errors();
    job.body(Gang(self.rank, job.size, &job.barrier));
    if (const unsigned errors = float_errors()) job.float_errors.fetch_or(errors, std::memory_order_relaxed);
    self.state.store(kIdle, std::memory_order_release);
    self.state.notify_all();
  }
  return nullptr;
}

class Pool {
 public:
  Pool() { workers_.reserve(kMaxThreads); }
  bool try_enter() noexcept { return busy_.try_lock(); }
  void leave() noexcept { busy_.unlock(); }

  /// Makes up to `wanted` workers exist; returns how many do: no memory for one means fewer.
  int ensure(int wanted) noexcept {
    while (static_cast<int>(workers_.size()) < wanted) {
      auto* worker = new (std::nothrow) Worker;  // lives as long as the process: its thread may sleep on it
      if (worker == nullptr) break;
      worker->rank = static_cast<int>(workers_.size()) + 1;
      pthread_attr_t attributes;
      pthread_attr_init(&attributes);
      pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
      const int failed = pthread_create(&worker->thread, &attributes, worker_main, worker);
      pthread_attr_destroy(&attributes);
      if (failed != 0) {  // no more threads to be had: fewer do the work
        delete worker;
        break;
      }
      workers_.push_back(worker);
    }
    return std::min(wanted, static_cast<int>(workers_.size()));
  }

  void offer(int index, Job& job) {
    Worker& worker = *workers_[static_cast<std::size_t>(index)];
    keep_off_callers_cpu(worker);
    worker.job = &job;
    worker.state.store(kOffered, std::memory_order_release);
    worker.state.notify_one();
  }

  /// Takes the offer back where the worker has not begun; waits for it otherwise.
  void collect(int index, bool may_withdraw) {
    Worker& worker = *workers_[static_cast<std::size_t>(index)];
    std::uint32_t offered = kOffered;
    if (may_withdraw && worker.state.compare_exchange_strong(offered, kIdle, std::memory_order_acq_rel))
      return;
    for (int spin = 0; spin < kSpins; ++spin) {
      if (worker.state.load(std::memory_order_acquire) == kIdle) return;
      relax();
    }
    for (std::uint32_t state; (state = worker.state.load(std::memory_order_acquire)) != kIdle;)
      worker.state.wait(state, std::memory_order_acquire);
  }

 private:
  // A worker that the scheduler wakes on the caller's own CPU waits there for up to a tick (ms) while
  // another CPU idles. Workers may run anywhere but where the caller is now; the caller is not touched.
  void keep_off_callers_cpu(Worker& worker) noexcept {
#if defined(__linux__)
    const int cpu = sched_getcpu();
    if (cpu == worker.avoided_cpu || cpu < 0 || cpu >= CPU_SETSIZE) return;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < 2) return;
    CPU_CLR(cpu, &set);
    if (pthread_setaffinity_np(worker.thread, sizeof set, &set) == 0) worker.avoided_cpu = cpu;
#else
    (void)worker;
#endif
  }

  std::mutex busy_;
  std::vector<Worker*> workers_;
};

// Never destroyed (workers may outlive static destructors) and replaced in a forked child, where the
// workers of the parent do not exist and its lock may be held by a thread that does not exist either.
std::atomic<Pool*> current_pool{nullptr};

void forget_pool_in_child() {
  current_pool.store(nullptr, std::memory_order_release);
  inside_gang = false;
}

Pool& pool() {
  Pool* existing = current_pool.load(std::memory_order_acquire);
  if (existing != nullptr) return *existing;
  static std::once_flag registered;
  std::call_once(registered, [] { pthread_atfork(nullptr, nullptr, forget_pool_in_child); });
  auto* fresh = new Pool;
  if (current_pool.compare_exchange_strong(existing, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *existing;
}

/// Holds the pool for one job; whatever happens, workers that have been offered it are collected before the
/// job goes, and the pool is given back.
class Session {
 public:
  Session(Pool& pool, Job& job, bool may_withdraw) : pool_(pool), may_withdraw_(may_withdraw) {
    inside_gang = true;
    for (; offered_ < job.size - 1; ++offered_) pool_.offer(offered_, job);
  }
  ~Session() {
    for (int i = 0; i < offered_; ++i) pool_.collect(i, may_withdraw_);
    inside_gang = false;
    pool_.leave();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  Pool& pool_;
  bool may_withdraw_;
  int offered_ = 0;
};

void run(int max_threads, FunctionRef<void(const Gang&)> body, bool may_withdraw) {
  if (max_threads <= 1 || inside_gang || !pool().try_enter()) {
    std::atomic<std::uint32_t> barrier{0};
    body(Gang(0, 1, &barrier));
    return;
  }
  Pool& mine = pool();
  Job job{body, mine.ensure(std::min(max_threads, kMaxThreads) - 1) + 1};
  {
    const Session session(mine, job, may_withdraw);
    body(Gang(0, job.size, &job.barrier));
  }
  add_float_errors(job.float_errors.load(std::memory_order_relaxed));
}

/// The first exception of a job's threads, to be thrown again on the caller's.
class Failure {
 public:
  void keep() noexcept {
    if (!failed_.exchange(true)) exception_ = std::current_exception();
  }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic<bool> failed_{false};
  std::exception_ptr exception_;
};

}  // namespace

void Gang::barrier() const noexcept {
  if (size_ == 1) return;
  const auto size = static_cast<std::uint32_t>(size_);
  const std::uint32_t arrived = barrier_->fetch_add(1, std::memory_order_acq_rel);
  const std::uint32_t goal = (arrived / size + 1) * size;
  for (int spin = 0; static_cast<std::int32_t>(barrier_->load(std::memory_order_acquire) - goal) < 0;
       ++spin) {
    relax();
    if (spin > kSpins) {
      std::this_thread::yield();
      spin = 0;
    }
  }
}

int thread_limit() noexcept {
  if (local_limit > 0) return local_limit;
  int limit = process_limit.load(std::memory_order_relaxed);
  if (limit == 0) {
    limit = default_limit();
    process_limit.store(limit, std::memory_order_relaxed);
  }
  return limit;
}

void set_thread_limit(int threads) noexcept {
  process_limit.store(std::clamp(threads, 1, kMaxThreads), std::memory_order_relaxed);
}

int set_local_thread_limit(int threads) noexcept {
  const int previous = local_limit;
  local_limit = std::clamp(threads, 0, kMaxThreads);
  return previous;
}

void run_gang(int max_threads, FunctionRef<void(const Gang&)> body) { run(max_threads, body, false); }

void parallel_for(std::int64_t tasks, int max_threads, FunctionRef<void(std::int64_t)> body) {
  if (tasks <= 0) return;
  const int threads = static_cast<int>(std::min<std::int64_t>(max_threads, tasks));
  std::atomic<std::int64_t> next{0};
  Failure failure;
  run(
      threads,
      [&](const Gang&) {
        try {
          for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) body(task);
        } catch (...) {  // out of memory, in practice: the caller hears of it, on its own thread
          next.store(tasks, std::memory_order_relaxed);
          failure.keep();
        }
      },
      true);
  failure.rethrow();
}

int threads_for_bytes(std::int64_t bytes) noexcept {
  constexpr std::int64_t kBytesPerThread = 64 << 10;
  return static_cast<int>(std::clamp<std::int64_t>(bytes / kBytesPerThread, 1, thread_limit()));
}

}  // namespace ufuse

// threadpoolctl reads and sets the limit through these, found by the library's file name.
extern "C" {
UFUSE_API int ufuse_get_num_threads() { return ufuse::thread_limit(); }
UFUSE_API void ufuse_set_num_threads(int threads) { ufuse::set_thread_limit(threads); }
}
