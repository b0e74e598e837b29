// What the driver sees of the counting kernels: elements to slots, and slots counted; one table per CPU tier.
//
// A slot is where an element is counted in a private table. Slot 0 and the last slot take what is in no bin
// (and NaN), so that the inner loop knows no exceptions; slot b + 1 is bin b. Values (bincount) are their own
// slots, with the last one for what is out of range.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

inline constexpr int kCountTypes = 0
#define UFUSE_ELEMENT_TYPE(name, cpp, code) +1
#include "catalogue.inc"
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
  // Where every edge but the last is step * i + first, rounded twice in `wide` (as NumPy makes them), it is
  // computed and not looked up.
  double step = 0;
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

inline constexpr std::uint32_t kCrowded = std::uint32_t{1} << 31;

struct CountKernels {
  /// Slots of `count` contiguous elements, by kind and type. Null where there is no such kernel.
  using Slots = void (*)(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map);
  Slots slots[3][2][kCountTypes];  // [kind][wide is F64][type]
  /// Cells of numbers in `wide` on the map's grid.
  void (*cells[2])(std::uint32_t* cells, const void* x, std::int64_t count, const BinMap& map);
};

UFUSE_API const CountKernels& count_kernels(Tier tier);

}  // namespace ufuse
