// Where segments start and stop: checked, measured and copied.
#pragma once

#include "segment/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

// In unsigned arithmetic, since positions may be anything before they are checked. Plain loops, which become
// the registers of each tier.
inline SegmentLengths measure_segments(const std::int64_t* starts, const std::int64_t* stops,
                                       std::int64_t count, std::int64_t length) {
  const auto end = static_cast<std::uint64_t>(length);
  std::uint64_t outside = 0, total = 0;
  std::int64_t longest = 0, shortest = INT64_MAX;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto start = static_cast<std::uint64_t>(starts[i]), stop = static_cast<std::uint64_t>(stops[i]);
    outside |= start | stop | (end - start) | (end - stop);  // the sign of any
    const auto size = static_cast<std::int64_t>(stop - start);
    const std::int64_t some = size > 0 ? size : 0;
    total += static_cast<std::uint64_t>(some);
    longest = some > longest ? some : longest;
    shortest = some < shortest ? some : shortest;
  }
  return {static_cast<std::int64_t>(total), longest, shortest, static_cast<std::int64_t>(outside) < 0};
}

/// What is read is what is clamped: the caller's positions may change at any time.
inline void clamp_positions(std::int64_t* to, const std::int64_t* from, std::int64_t count,
                            std::int64_t length) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t given = from[i], low = given > 0 ? given : 0;
    to[i] = low < length ? low : length;
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
