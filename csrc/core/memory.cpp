#include "core/memory.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace ufuse {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Sizes are rounded up to an eighth of their power of two, so that a block serves requests near its size
// and at most an eighth of it is waste.
std::size_t rounded(std::size_t bytes) {
  std::size_t step = kPooledBytes / 8;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

class BlockPool {
 public:
  BlockPool() : limit_(default_limit()) {}

  void* allocate(std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    {
      const std::lock_guard lock(mutex_);
      const auto kept = kept_.find(size);
      if (kept != kept_.end()) {
        void* block = kept->second;
        kept_.erase(kept);
        cached_ -= size;
        in_use_ += size;
        used_.emplace(block, size);
        ++hits_;
        return block;
      }
      ++misses_;
    }
    void* block = map(size);
    if (block == nullptr) {
      trim(0);  // what is kept may be what is missing
      block = map(size);
      if (block == nullptr) return nullptr;
    }
    const std::lock_guard lock(mutex_);
    used_.emplace(block, size);
    in_use_ += size;
    return block;
  }

  std::size_t size_of(void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(block);
    return found == used_.end() ? 0 : found->second;
  }

  void free(void* block) {
    std::size_t size;
    {
      const std::lock_guard lock(mutex_);
      const auto found = used_.find(block);
      if (found == used_.end()) return;
      size = found->second;
      used_.erase(found);
      in_use_ -= size;
      if (cached_ + size <= limit_) {
        kept_.emplace(size, block);
        cached_ += size;
        return;
      }
    }
    munmap(block, size);
  }

  void set_limit(std::size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      limit_ = bytes;
    }
    trim(bytes);
  }

  PoolStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return {limit_, cached_, in_use_, hits_, misses_};
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  static std::size_t default_limit() {
    if (const char* text = std::getenv("UFUSE_POOL_BYTES")) {
      char* end = nullptr;
      const unsigned long long value = std::strtoull(text, &end, 10);
      if (end != text) return static_cast<std::size_t>(value);
    }
    const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
    const std::size_t memory =
        static_cast<std::size_t>(std::max(pages, 0L)) * static_cast<std::size_t>(std::max(page, 0L));
    return std::min<std::size_t>(memory / 8, std::size_t{1} << 30);
  }

  // Aligned to huge pages where large enough, which the system is asked to use: fewer faults, fewer TLB
  // misses.
  static void* map(std::size_t size) {
    const std::size_t slack = size >= kHugePage ? kHugePage : 0;
    void* base = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    if (slack == 0) return base;
    const auto address = reinterpret_cast<std::uintptr_t>(base);
    const std::uintptr_t aligned = (address + kHugePage - 1) / kHugePage * kHugePage;
    if (aligned != address) munmap(base, aligned - address);
    const std::size_t tail = address + slack - aligned;
    if (tail != 0) munmap(reinterpret_cast<void*>(aligned + size), tail);
#if defined(MADV_HUGEPAGE)
    madvise(reinterpret_cast<void*>(aligned), size, MADV_HUGEPAGE);
#endif
    return reinterpret_cast<void*>(aligned);
  }

  void trim(std::size_t target) {
    for (;;) {
      void* block;
      std::size_t size;
      {
        const std::lock_guard lock(mutex_);
        if (cached_ <= target || kept_.empty()) return;
        const auto largest = std::prev(kept_.end());
        size = largest->first;
        block = largest->second;
        kept_.erase(largest);
        cached_ -= size;
      }
      munmap(block, size);
    }
  }

  std::mutex mutex_;
  std::multimap<std::size_t, void*> kept_;
  std::unordered_map<void*, std::size_t> used_;
  std::size_t limit_;
  std::size_t cached_ = 0, in_use_ = 0, hits_ = 0, misses_ = 0;
};

// Never destroyed: arrays may be freed after static destructors have run. A fork happens while the pool is
// not locked, so that the child finds it whole.
BlockPool& blocks() {
  static BlockPool* pool = [] {
    auto* fresh = new BlockPool;
    pthread_atfork([] { blocks().lock(); }, [] { blocks().unlock(); }, [] { blocks().unlock(); });
    return fresh;
  }();
  return *pool;
}

}  // namespace

void* pool_allocate(std::size_t bytes) noexcept {
  try {
    return blocks().allocate(std::max<std::size_t>(bytes, 1));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void* pool_reallocate(void* block, std::size_t bytes) noexcept {
  if (block == nullptr) return pool_allocate(bytes);
  const std::size_t have = blocks().size_of(block);
  if (bytes <= have && bytes >= have / 2) return block;
  void* fresh = pool_allocate(bytes);
  if (fresh == nullptr) return nullptr;
  std::memcpy(fresh, block, std::min(have, bytes));
  pool_free(block);
  return fresh;
}

void pool_free(void* block) noexcept {
  if (block != nullptr) blocks().free(block);
}

PoolStatistics pool_statistics() noexcept { return blocks().statistics(); }

void set_pool_limit(std::size_t bytes) noexcept { blocks().set_limit(bytes); }

}  // namespace ufuse
