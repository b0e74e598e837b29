// What this machine's caches hold.
#pragma once

#include <cstdint>

namespace ufuse {

/// The size of the last-level cache that a core reaches, in bytes, or 0 where nobody tells. Asked once.
std::int64_t last_level_cache_bytes() noexcept;

}  // namespace ufuse
