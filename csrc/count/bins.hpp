// The bins of one call, prepared for the kernels.
#pragma once

#include <vector>

#include "count/kernels.hpp"

namespace ufuse {

/// A map and the tables it points to.
struct Bins {
  BinMap map;
  std::int64_t count = 0;  // bins
  std::vector<char> thresholds;
  std::vector<std::uint32_t> start;
  std::vector<std::uint32_t> slot_of_value;  // of counted values, see `count_by_value`

  /// The bin that is counted in a slot; -1 where there is none.
  std::int64_t bin_of(std::uint32_t slot) const {
    if (!slot_of_value.empty()) slot = slot < slot_of_value.size() ? slot_of_value[slot] : 0;
    const std::int64_t bin = static_cast<std::int64_t>(slot) - first_slot;
    return bin < count ? bin : -1;
  }
  std::int64_t first_slot = 1;
};

/// Bins between `count + 1` rising edges of type `wide` (F32 or F64), without NaN. `width` is the edges'
/// whole extent as NumPy computes it (for its own formula), or 0 for edges that were given. Returns false
/// where uniform bins are so narrow that NumPy's formula, which is not exact there, must be asked itself.
UFUSE_API bool make_bins(Bins& bins, const void* edges, std::int64_t count, DType wide, double width,
                         const CountKernels& kernels);

/// Counts elements of one byte by their bits, and those by their bin when all are counted. `values` are the
/// 256 elements, of type `type`.
UFUSE_API void count_by_value(Bins& bins, DType type, const void* values, const CountKernels& kernels);

/// For elements less than `2**top`: each of so many octaves below that in `2**fraction_bits` bins, of either
/// sign, and one bin between them for what is smaller. From the most negative on. Octaves are those of normal
/// numbers.
UFUSE_API void make_octaves(Bins& bins, int top, int octaves, int fraction_bits);

/// Values 0 ... count - 1, which are their own bins.
UFUSE_API void make_values(Bins& bins, std::int64_t count);

}  // namespace ufuse
