// What this machine's caches hold.
#pragma once

#include <cstdint>

#include "core/macros.hpp"

namespace ufuse {

inline constexpr std::int64_t kCacheLine = 64;  // bytes

/// How many of `unit` hold n.
UFUSE_INLINE constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t unit) {
  return (n + unit - 1) / unit;
}

/// The smallest multiple that is not below n.
UFUSE_INLINE constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return ceil_div(n, multiple) * multiple;
}

/// The size of the last-level cache that a core reaches, in bytes, or 0 where nobody tells. Asked once.
std::int64_t last_level_cache_bytes() noexcept;

/// The size of a core's second-level cache, in bytes: 1 MiB where nobody tells. Asked once.
std::int64_t second_level_cache_bytes() noexcept;

/// From how many bytes on what a call reads and writes is stored past the caches, where nobody would find it
/// there: a plain store reads each line before it writes it.
std::int64_t streaming_threshold() noexcept;

/// How far ahead of its use, in bytes, memory that is read in order is worth asking for; 0 where the hardware
/// does so by itself. Intel's begins anew at every page: a Xeon with AMX quantizes at 33 GB/s instead of 30
/// with 1 KB and more, 27 from 4 KB on; a Zen 4 as fast as without.
std::int64_t bytes_ahead() noexcept;

}  // namespace ufuse
