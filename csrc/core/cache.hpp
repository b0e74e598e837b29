// What this machine's caches hold.
#pragma once

#include <cstdint>

namespace ufuse {

/// The size of the last-level cache that a core reaches, in bytes, or 0 where nobody tells. Asked once.
std::int64_t last_level_cache_bytes() noexcept;

/// From how many bytes on what a call reads and writes is stored past the caches, where nobody would find it
/// there: a plain store reads each line before it writes it.
std::int64_t streaming_threshold() noexcept;

}  // namespace ufuse
