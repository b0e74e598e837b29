// The one thread pool: lazy, fork-safe, re-entrant. No result may depend on how many threads run.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/function_ref.hpp"
#include "core/macros.hpp"

namespace ufuse {

/// What one member of a gang of threads sees of it.
class Gang {
 public:
  Gang(int rank, int size, std::atomic<std::uint32_t>* barrier) noexcept
      : rank_(rank), size_(size), barrier_(barrier) {}
  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  /// Waits until every member has arrived. A spin barrier: the members run at the same time.
  void barrier() const noexcept;

 private:
  int rank_;
  int size_;
  std::atomic<std::uint32_t>* barrier_;
};

/// Threads a call made from this thread may use: `ThreadScope`, then `set_thread_limit`, then
/// UFUSE_NUM_THREADS, then OMP_NUM_THREADS, then the CPUs this process may run on.
UFUSE_API int thread_limit() noexcept;
UFUSE_API void set_thread_limit(int threads) noexcept;
/// The calling thread's own limit; 0 means none. Returns the previous one.
UFUSE_API int set_local_thread_limit(int threads) noexcept;

/// Runs `body` on up to `max_threads` threads at once, the caller being rank 0, and returns when all are
/// done. Where the pool is busy with another caller's work, or the call is made from inside a gang,
/// `body` runs alone on the calling thread with size 1: nothing ever waits for a thread it holds. The
/// floating-point flags that the workers raise are the caller's afterwards.
UFUSE_API void run_gang(int max_threads, FunctionRef<void(const Gang&)> body);

/// Calls `body(task)` for each task in [0, tasks), claimed one after another by up to `max_threads`
/// threads. A worker that has not woken when the work is done is not waited for. The first exception ends
/// the loop and is thrown again here; the body of a gang must not throw.
UFUSE_API void parallel_for(std::int64_t tasks, int max_threads, FunctionRef<void(std::int64_t)> body);

/// How many threads a job of `bytes` of memory traffic is worth (at least 1): waking a worker costs some
/// microseconds, in which one core moves about 64 KiB.
UFUSE_API int threads_for_bytes(std::int64_t bytes) noexcept;

}  // namespace ufuse
