// Asking for memory ahead of its use, into L2, while the lines before are folded.
//
// The hardware's prefetchers follow a stream up to the end of its page, so that rows of columns, which are
// read a few KB each, eight of them side by side, wait for memory at every piece. What a kernel reads next is
// known: of the columns of (4096, 4096) float32 variances without NaN went from 17 to 22 GB/s, of those of
// (128, 256, 512) in F order minima from 34 to 40. Sums of columns of floats gained nothing; of rows they do
// where no cache holds them (`rows_ask_ahead`). Into L1, or with 64 rows side by side, memory was slower.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/macros.hpp"

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kLineBytes = 64;

/// Asks for what lies `ahead` of bytes [at, at + Bytes) of `rows` rows: steps that are narrower than a line
/// take turns at the rows.
template <int Bytes, class Rows>
UFUSE_INLINE void prefetch_columns(const char* const* row, Rows rows, std::int64_t at, std::int64_t ahead) {
  constexpr int kTurns = std::max(1, kLineBytes / Bytes);
  const std::int64_t turn = at / Bytes % kTurns;
  for (std::int64_t r = 0; r + kTurns <= rows; r += kTurns)
    for (int line = 0; line < Bytes; line += kLineBytes)
      __builtin_prefetch(row[r + turn] + at + line + ahead, 0, 2);
}

/// Asks for what lies `ahead` of the next `Bytes` of a row, which are negative where it runs backwards.
template <int Bytes>
UFUSE_INLINE void prefetch_row(const char* data, std::int64_t ahead) {
  constexpr int kLine = Bytes < 0 ? -kLineBytes : kLineBytes;
  for (int at = 0; Bytes < 0 ? at > Bytes : at < Bytes; at += kLine)
    __builtin_prefetch(data + at + ahead, 0, 2);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
