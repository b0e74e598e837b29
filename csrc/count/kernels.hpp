// What the driver sees of the counting kernels: elements to slots, and slots counted; one table per CPU tier.
//
// A slot is where an element is counted in a private table. Slot 0 and the last slot take what is in no bin
// (and NaN), so that the inner loop knows no exceptions; slot b + 1 is bin b. Values (bincount) are their own
// slots, with the last one for what is out of range.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/dtype.hpp"
#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

inline constexpr int kCountTypes = 0
#define UFUSE_ELEMENT_TYPE(name, cpp, code) +1
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
    ;

enum class BinKind : std::uint8_t { uniform, edges, value };

/// How elements find their slots.
struct BinMap {
  BinKind kind = BinKind::value;
  DType wide = DType::F64;  // what elements are compared in: F32 or F64
  std::uint32_t top = 0;    // the last slot

  // Thresholds in `wide`: the edges, the last one raised to the next number (it belongs to its bin), and then
  // NaN, which nothing reaches. The slot of an element is the number of thresholds it reaches.
  const void* thresholds = nullptr;

  // Uniform bins, and the linear grid over given edges: (x - first) * scale.
  double first = 0, scale = 0;
  // Elements nearer to an edge than this (in bins) are compared with it.
  double margin = 0;
  // Where every edge is step * i + first, rounded twice in `wide` (as NumPy makes them), it is computed and
  // not looked up.
  double step = 0, last = 0;
  bool even = false;

  // Given edges: `start[cell]` thresholds lie in lower cells. Where more than one lies in the cell itself,
  // and fewer than 2**steps, `kCrowded` is added.
  const std::uint32_t* start = nullptr;
  std::uint32_t cells = 0;
  int steps = 0;
  bool by_bits = false;  // cells of equal steps of the float's bits (a rough logarithm) and not of its value
  std::int32_t first_key = 0;
  int shift = 0;

  std::uint32_t slots() const { return top + 1; }
};

// Neighbouring elements go to one of so many copies of a table in turn, where these stay in L1 together: an
// increment waits for the last one of the same word, some 7 cycles, and many elements may be equal. Eight
// copies were no faster than four.
inline constexpr int kCopies = 4;
// Slots are found for so many elements, and then counted.
inline constexpr std::int64_t kTurn = 256;

inline constexpr std::uint32_t kCrowded = std::uint32_t{1} << 31;

/// Adds each element's weight, or 1, to its slot in one of the copies.
template <int Copies, class Count, class Weight>
UFUSE_INLINE void tally(Count* table, const std::uint32_t* slots, std::int64_t count, Weight weight) {
  std::int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    std::uint64_t low, high;  // two slots a load: loads and stores share three units
    std::memcpy(&low, slots + i, 8);
    std::memcpy(&high, slots + i + 2, 8);
    table[(low & 0xffffffff) * Copies] += weight(i);
    table[(low >> 32) * Copies + 1 % Copies] += weight(i + 1);
    table[(high & 0xffffffff) * Copies + 2 % Copies] += weight(i + 2);
    table[(high >> 32) * Copies + 3 % Copies] += weight(i + 3);
  }
  for (; i < count; ++i) table[slots[i] * Copies] += weight(i);
}

struct CountKernels {
  /// Slots of `count` contiguous elements, by kind and type. Null where there is no such kernel.
  using Slots = void (*)(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map);
  Slots slots[3][2][kCountTypes];  // [kind][wide is F64][type]
  /// Both at once: four copies of a table, side by side, in turn. Null for all but floats in uniform bins,
  /// compared in their own type, and integers of 4 and 8 bytes that are values.
  using Count = void (*)(std::uint32_t* table, const void* x, std::int64_t count, const BinMap& map);
  Count count[3][2][kCountTypes];
  /// The largest of some slots.
  std::uint32_t (*most_of)(const std::uint32_t* slots, std::int64_t count);
  /// Cells of numbers in `wide` on the map's grid.
  void (*cells[2])(std::uint32_t* cells, const void* x, std::int64_t count, const BinMap& map);
};

UFUSE_API const CountKernels& count_kernels(Tier tier);

}  // namespace ufuse
