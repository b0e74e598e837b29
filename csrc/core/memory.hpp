// The pool of large result blocks. A fresh 64 MB result costs more in page faults than in arithmetic, so
// blocks are kept, up to a limit, and handed to the next result that fits.
#pragma once

#include <cstddef>

#include "core/macros.hpp"

namespace ufuse {

/// Blocks smaller than this are the C library's business.
inline constexpr std::size_t kPooledBytes = std::size_t{1} << 20;

struct PoolStatistics {
  std::size_t limit;   // bytes the pool may keep while nobody uses them
  std::size_t cached;  // bytes it keeps now
  std::size_t in_use;  // bytes handed out
  std::size_t hits;    // requests served from kept blocks
  std::size_t misses;
};

/// A block of at least `bytes`, 64-byte aligned (page aligned where large), or null.
UFUSE_API void* pool_allocate(std::size_t bytes) noexcept;
UFUSE_API void* pool_reallocate(void* block, std::size_t bytes) noexcept;
UFUSE_API void pool_free(void* block) noexcept;

UFUSE_API PoolStatistics pool_statistics() noexcept;
/// UFUSE_POOL_BYTES, else an eighth of the memory but at most 1 GiB. Gives back what is over the limit.
UFUSE_API void set_pool_limit(std::size_t bytes) noexcept;

}  // namespace ufuse
