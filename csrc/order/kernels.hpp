// The loops that order statistics are made of: one table per CPU tier.
//
// Elements are compared as *keys*: unsigned integers in the order of the elements, 32 bits for elements of 1,
// 2 and 4 bytes, 64 for those of 8. Every NaN has the largest key, and -0.0 comes before 0.0, so that a
// selection is exact and its result depends on nothing but the elements.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

enum class KeyKind : int { unsigned_, signed_, floating };

/// What becomes of the two order statistics on both sides of a quantile.
enum class Blend : int {
  previous,  // the element itself
  mean,      // (previous + next) / 2
  lower,     // previous + difference * t
  upper,     // next - difference * (1 - t)
};

struct BlendRule {
  Blend blend;
  double t;
  double one_minus_t;  // rounded as the caller wants it
};

/// An exchange of a sorting network: afterwards row `low` holds the smaller key.
struct Comparator {
  std::uint16_t low, high;
};

/// A sorting network works on rows of this many bytes: lanes side by side.
inline constexpr int kNetworkBytes = 128;
template <class K>
inline constexpr int kNetworkLanes = kNetworkBytes / static_cast<int>(sizeof(K));

/// What `filter` and its like may write beyond the last key.
inline constexpr int kSlack = 16;
/// The most keys `rank_sort` takes.
inline constexpr int kRankSortMost = 128;

struct Filtered {
  std::int64_t below;
  std::int64_t inside;
};

/// Keys of a tile of elements: to[a * pitch + b] is that of the element a * a_stride + b * b_stride bytes on.
template <class K>
struct TileLoad {
  K* to;
  std::int64_t pitch;
  const char* from;
  std::int64_t a_stride, a_count;
  std::int64_t b_stride, b_count;
  K infinity;                 // bits of the infinity of a floating type
  const std::uint8_t* ranks;  // of the 256 bytes where elements are floats of one
  bool swap;                  // bytes are in the other order
};

/// Results of `count` lanes: previous[i] and next[i], blended, to elements `stride` bytes apart.
template <class K>
struct BlendCall {
  const K* previous;
  const K* next;
  std::int64_t count;
  BlendRule rule;
  char* out;
  std::int64_t stride;
};

template <class K>
struct KeyKernels {
  /// [log2 of the element's size][KeyKind]; null where there is no such element.
  void (*load[4][3])(const TileLoad<K>&);
  /// Elements of keys, as they were.
  void (*store[4][3])(const BlendCall<K>&);
  /// Blends, as float32 and as float64.
  void (*blend[4][3][2])(const BlendCall<K>&);

  std::int64_t (*count_above)(const K* keys, std::int64_t count, K limit);
  /// counts[lane] of the rows of a network that are above the limit.
  void (*count_rows_above)(const K* rows, std::int64_t count, K limit, K* counts);
  /// Counts keys below `low`, and appends those in [low, low + span] to `out`, which may be `keys`.
  Filtered (*filter)(const K* keys, std::int64_t count, K low, K span, K* out);
  /// Appends keys up to `high` to `out` and their indices, counted from `first`, to `index`.
  std::int64_t (*filter_indexed)(const K* keys, std::int64_t count, K high, std::int64_t first, K* out,
                                 std::int64_t* index);
  /// Makes the key before `zero`, that of -0.0, equal to it, where there is a `zero`; and turns the order
  /// round.
  void (*arrange)(K* keys, std::int64_t count, K zero, bool descending);
  /// Sorts at most kRankSortMost keys.
  void (*rank_sort)(K* keys, int count);
  /// Runs a network over rows of kNetworkBytes.
  void (*network)(K* rows, const Comparator* comparators, std::int64_t count);
};

struct OrderKernels {
  KeyKernels<std::uint32_t> narrow;
  KeyKernels<std::uint64_t> wide;
};

UFUSE_API const OrderKernels& order_kernels(Tier tier);

template <class K>
const KeyKernels<K>& keys_of(const OrderKernels& kernels) {
  if constexpr (sizeof(K) == 4)
    return kernels.narrow;
  else
    return kernels.wide;
}

}  // namespace ufuse
