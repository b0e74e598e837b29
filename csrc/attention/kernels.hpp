// What the driver sees of attention: a tile of queries that takes one block of keys. One table per tier.
//
// Lanes are queries: scores are kept as (keys, queries), results as (width, queries). So the largest score,
// the sum and the factor of a query stay in a lane, and what the second product reads of the exponentials is
// what the first one wrote, while keys and values are read a number at a time, where they lie.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// Keys of a block. It decides the bits: the largest scores and the order of the sums change with it. A
/// multiple of the rows of all micro-kernels (14, 6, 4) but NEON's. (1, 4, 1024, 64) float32 on a Xeon with
/// AMX, as a share of the peak: 0.81 with 126 and 252, 0.77 with 84, 0.76 with 42, which rescale more often;
/// 128 wide 0.80 to 0.82.
inline constexpr std::int64_t kAttentionKeys = 252;

/// Registers of queries in a tile, and the most queries.
inline constexpr int kAttentionVectors = 2;
inline constexpr int kAttentionQueries = 32;

/// How elements are stored. The arithmetic is float32, or float64 for float64.
enum class AttentionType : std::uint8_t { f32, f64, f16, bf16, boolean };

/// `rows` rows of `count` elements, read to rows of the arithmetic's type. Of a boolean, true becomes 0 and
/// false -inf.
struct AttentionRead {
  AttentionType type;
  const char* from;
  std::int64_t row_stride, stride;  // bytes
  std::int64_t rows, count;
  char* to;
  std::int64_t to_row;  // bytes
};

/// One row of `count` numbers, contiguous, written as `type`.
struct AttentionWrite {
  AttentionType type;
  const char* from;
  std::int64_t count;
  char* to;
  std::int64_t stride;  // bytes
};

/// `vectors` registers of queries, or one query where that is 0, and a block of keys and values. All are of
/// the arithmetic's type; what has a lane for each query is contiguous.
struct AttentionBlock {
  int vectors;
  std::int64_t keys, depth, width;  // width: of a value
  const char* q;                    // (depth, queries)
  const char* k;                    // rows of `depth`
  std::int64_t k_row;
  const char* v;  // rows of `width`
  std::int64_t v_row;
  char* scores;              // (keys, queries): scratch
  char* out;                 // (width, queries), to which the block is added
  char* largest;             // of each query so far
  char* total;               // the sum of the exponentials so far
  const char* bias;          // (keys, queries), or null
  const std::int64_t* last;  // the last key of the block that each query may see, or null
  bool hides;                // where `bias` is not 0 the key is hidden; otherwise it is added
  bool scaled;               // scores are multiplied by `scale` before `bias` and the largest are
  double scale;
  double factor;  // the exponential is 2^((score - largest) * factor)
};

struct AttentionTable {
  int lanes;  // of a register
  int size;   // bytes of a number
  void (*read)(const AttentionRead&);
  void (*write)(const AttentionWrite&);
  /// Rows of `count` numbers, one for each of `lanes` queries, to (count, queries).
  void (*turn)(const char* const* rows, std::int64_t count, int lanes, char* to);
  void (*block)(const AttentionBlock&);
  /// (count, queries) to a row for each query, divided by its total; zeros where it has seen no key.
  void (*finish)(const AttentionBlock&, char* const* rows);
  /// Whether all of (rows, count) is finite.
  bool (*finite)(const char* from, std::int64_t row_stride, std::int64_t rows, std::int64_t count);
};

struct AttentionKernels {
  AttentionTable f32, f64;
};

UFUSE_API const AttentionKernels& attention_kernels(Tier tier);

}  // namespace ufuse
