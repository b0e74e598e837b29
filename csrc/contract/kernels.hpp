// What one CPU tier offers to the drivers of this room: a table of functions and block sizes per element
// combination. Tier independent; everything inline here is forced inline, so that no tier's copy of a
// function can be picked by the linker for another tier.
#pragma once

#include <cstdint>

#include "core/macros.hpp"

namespace ufuse {

/// Positions along one (possibly fused) index of an operand, as byte offsets from the operand's start:
/// `offsets[i]` where the vector is given, `i * stride` otherwise. Any sign, zero and misalignment are fine.
struct Axis {
  std::int64_t size = 0;
  std::int64_t stride = 0;
  const std::int64_t* offsets = nullptr;

  UFUSE_INLINE std::int64_t at(std::int64_t i) const { return offsets != nullptr ? offsets[i] : i * stride; }
  UFUSE_INLINE bool affine() const { return offsets == nullptr; }
};

/// What is multiplied and summed. The combinations of a semiring and an element type follow from the
/// catalogue.
enum class Elements : std::uint8_t {
  f32,          // float32 x float32 -> float32
  f64,          // float64 x float64 -> float64
  u8s8,         // uint8 x int8 -> int32
  s8u8,         // int8 x uint8 -> int32
  s8s8,         // int8 x int8 -> int32
  offset_u8s8,  // A holds int8 + 128 as uint8 (quantize_rows): the int32 result is that of int8 x int8
  c64,  // complex64 x complex64 -> complex64; sizes and axes of B and C count their parts (`product.hpp`)
  c128,
  bf16,  // bfloat16 x bfloat16 -> float32
  i16,   // int16 x int16 -> int32, modulo 2^32
  i32,   // modulo 2^32
  i64,
#define UFUSE_SEMIRING(name, type) name##_##type,
#include "semirings.inc"
#undef UFUSE_SEMIRING
#define UFUSE_SEMIRING_ARG(name, type) arg_##name##_##type,
#include "semirings.inc"
#undef UFUSE_SEMIRING_ARG
};
inline constexpr Elements kFirstSemiring = static_cast<Elements>(static_cast<int>(Elements::i64) + 1);
inline constexpr int kSemirings = 0
#define UFUSE_SEMIRING(name, type) +1
#define UFUSE_SEMIRING_ARG(name, type) +1
#include "semirings.inc"
#undef UFUSE_SEMIRING
#undef UFUSE_SEMIRING_ARG
    ;

/// Copies `lanes` rows of A (or columns of B) and `k` positions along the shared index into panels.
/// A panel holds, for each group of k in turn, the group of each of its lanes: what a micro-kernel reads.
struct PackTask {
  const char* base;
  Axis lane_axis, k_axis;
  std::int64_t lane0, lanes;
  std::int64_t k0, k;
  char* out;
  bool flip = false;                              // int8 as uint8 + 128 (A only)
  bool conjugate_a = false, conjugate_b = false;  // complex: the sign of the imaginary parts, all of it in B
  unsigned* specials = nullptr;  // A of semirings: what there is of NaN and infinities is added
};

/// A block of packed A times a block of B. Columns of C have unit stride when `c_rows` is null: then `c` is
/// the element (0, 0) of the block and `c_row` the bytes from row to row. Otherwise element (i, j) lies at
/// c + c_rows->at(row0 + i) + c_cols->at(col0 + j).
struct BlockTask {
  const char* a;
  std::int64_t a_row, a_k;  // bytes from row to row and from one k to the next, where A is read in place
  const char* b;
  std::int64_t b_panel;  // bytes from one panel of `nr` columns to the next
  std::int64_t b_row;    // bytes from one k to the next, where B is read in place
  std::int64_t rows, cols, k;
  char* c;
  std::int64_t c_row;
  const Axis* c_rows;
  const Axis* c_cols;
  std::int64_t row0, col0;
  const std::int64_t* b_offsets;  // `few`: where each k of B lies, columns side by side
  std::int64_t ahead;             // `few`: bytes of each row of B to be asked for ahead; 0: none
  bool a_in_place, b_in_place;    // not packed (floats only)
  bool add;                       // C += block (k blocks after the first) rather than C = block
  bool stream;                    // C goes past the caches, where it is stored in whole lines
  bool correct;                // start from the panel's trailer, -128 * (sum over k of b), rather than from 0
  unsigned specials;           // semirings: what packed A has of NaN and infinities
  std::int64_t k0, positions;  // where terms are numbered: see `Product::positions`
};

/// Items of a batch of small products whose operands and results are used where they lie: columns of B and C
/// side by side.
struct ItemsTask {
  const char *a, *b;
  char* c;
  const Axis *batch_a, *batch_b, *batch_c;
  std::int64_t a_row, a_k, b_row, c_row;
  std::int64_t rows, cols, k;
  std::int64_t first, last;  // items
  bool stream;               // C goes past the caches
};

inline constexpr int kFewest = 4;

/// Products of at most so many terms, m n k, are not worth the wait for tiles.
inline constexpr std::int64_t kFewTerms = 1000000;

/// One combination of element types on one tier. Sizes are data: see tuning.hpp for the evidence.
struct ElementKernels {
  int mr, nr;            // rows and columns of the micro-kernel's tile
  int lanes;             // columns in one register
  int group;             // k positions packed together
  int b_size, c_size;    // bytes of an element
  int a_group, b_group;  // bytes of one packed group
  int b_trailer;         // bytes per column after a packed panel of B
  bool in_place;         // whether operands may be read where they lie
  bool squares;          // whether sums may be stored in squares (scatter.hpp)
  std::int64_t kc, mc,
      nc;  // k block (of floats the same on every tier), rows per packed block, columns per strip
  void (*pack_a)(const PackTask&);
  void (*pack_b)(const PackTask&);
  void (*block)(const BlockTask&);
  void (*items)(const ItemsTask&);  // null where operands cannot be read in place
  void (*few)(const BlockTask&);    // the same: up to `kFewest` packed rows, B read at `b_offsets`
  /// Where the code of its largest micro-kernels begins: for packed operands, for A read in place, and for
  /// panels with NaN or infinities; null where there is none. A test looks for spills in it.
  void (*largest)(const void* (&at)[3]);
};

struct ContractKernels {
  ElementKernels f32, f64, u8s8, s8u8, c64, c128, bf16, i16, i32, i64;
  const ElementKernels* semirings;  // kSemirings, in the order of `Elements`
  /// Lanes of a panel of `width`, side by side for each k: in units of 1, 2, 4 or 8 bytes, as they are.
  void (*gather[4])(const PackTask&, int width);
  /// One row to uint8 with offset 128; returns its scale (see quantize_rows in product.hpp).
  float (*quantize_row)(const char* base, const Axis& k, std::uint8_t* out);
  /// For more than `kFewTerms` terms, in an order of its own: see tiles.hpp. Without functions where there
  /// is none.
  ElementKernels bf16_tiles{};
};

}  // namespace ufuse
