// Products of few rows with weights (out, in): bound by how fast the weights come from memory, so that each
// of them is read once, for up to eight rows of activations. What one CPU tier offers to the driver.
//
// The weights come in groups of 64 outputs. Lanes are outputs: a register holds one k of as many outputs as
// it has lanes, and each result is a chain of its own, whatever the tier.
//
// Orders of rounding, the same on every tier that has a fused multiply-add (all but v2):
// - Floats (`turned`): k is cut into blocks of `k_block` (contract/product.hpp); a block is a chain of fused
//   multiply-adds from 0 in the order of k, and the blocks are added in order: the bits of `multiply`.
// - Codes (`coded`): k is cut into parts, of one scale each (`part_of_block`). Of a part, sum = the chain of
//   fused multiply-adds of x and level, from 0 in the order of k. From 0, part after part,
//   total = fma(scale, sum, total), and where weights are level * scale + offset,
//   total = fma(offset, sum of x, total); `sum_of_row` says how x is summed.
// - Codes times int8 activations (`dotted`): the same, but sums of a part are integers, exact, and rounded
//   once to float32, which they are below 2^24.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse::skinny {

inline constexpr int kGroup = 64;    // outputs
inline constexpr int kMostRows = 8;  // of activations at a time
inline constexpr int kPanel = 16;    // outputs whose codes lie in one line
inline constexpr int kLine = 64;     // bytes
inline constexpr int kTogether = 8;  // k of a row of activations that lie side by side: see `Rows`

/// How a weight is stored where it lies.
enum class Weight : std::uint8_t { f32, f16, bf16, kCount };

/// Some outputs, at most 64, of weights whose rows are contiguous.
struct TurnedCall {
  const char* weights;
  std::int64_t row_bytes;  // from one output's weights to the next
  int outputs;
  const char* x;  // float32, as `Rows` says
  int rows;       // 1 to 8
  std::int64_t k, k_block;
  float* sums;  // of row r and output j: sums[r * pitch + j]; written up to a multiple of 16 outputs
  std::int64_t pitch;
};

/// Codes of a group: for every 8 k those of four panels of 16 outputs after one another: 128 bytes of int8,
/// the 16 codes of a k together, or 64 of four bits, in each output's word the first k lowest.
enum class Codes : std::uint8_t { int8, nibbles, kCount };

/// Scales: float32; float16; or int8 times a float16 that `per_super` of them share.
enum class Scales : std::uint8_t { f32, f16, super };

/// Weights level(code) * scale + offset. Scales and offsets lie as the codes do: 64 for each group and block.
struct CodesCall {
  const char* codes;       // of the group
  const float* levels;     // of 16 codes; of int8 the code is its level
  int zero;                // the integer level 0 has in four bits, where levels are code - zero (dots)
  std::int64_t part;       // k of a part, a multiple of 8
  std::int64_t parts;      // the last one may have fewer
  std::int64_t k;          // a multiple of 8: past the end of rows x is 0
  std::int64_t per_scale;  // parts that share a scale
  std::int64_t per_super;  // scales that share a float16
  Scales scales;
  bool offsets;
  const char *scale, *offset;              // of the group
  const char *super_scale, *super_offset;  // float16
  const char* x;                           // float32, or of dots int8: as `Rows` says
  // Of row r and part p, at r * x_sum_bytes + 4 p: float32, the sum of x; of dots int32, -zero times it.
  const char *x_sums, *x_starts;
  std::int64_t x_sum_bytes;
  int rows;
  float* sums;  // 64 for each row
  std::int64_t pitch;
};

// Rows: activations of a call lie as [k / 8][row][8], so that a kernel has one pointer to them, and rows that
// are a multiple of 4 KiB apart do not share one set of the L1 cache.

struct Kernels {
  void (*turned[static_cast<int>(Weight::kCount)])(const TurnedCall&);
  void (*coded[static_cast<int>(Codes::kCount)])(const CodesCall&);
  /// A row's sum of each part, of `rows` rows that lie together: of lane l of 8 the chain of additions of
  /// x[8 i + l] from 0, and of the lanes ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
  void (*sum_of_row)(const char* x, int rows, std::int64_t k, std::int64_t part, char* sums);
};

/// Activations of dots are int8 within +-127; of each 8 k of a row the even ones come first.
struct DotKernels {
  void (*dotted)(const CodesCall&);
};

}  // namespace ufuse::skinny

namespace ufuse {
const skinny::Kernels& skinny_kernels(Tier tier);
const skinny::DotKernels& dot_kernels(Tier tier);
}  // namespace ufuse
