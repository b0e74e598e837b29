// Sums of floats without rounding: the same whatever the order of the elements.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"

namespace ufuse {

/// A sum is `limb[0] + limb[1] * 2**32 + ...` units, of 2**-1074; of squares of float64 of 2**-2148.
inline constexpr int kLimbs = 68;
inline constexpr int kSquareLimbs = 136;

inline constexpr int limbs_of(DType dtype, bool squares) {
  return squares && dtype == DType::F64 ? kSquareLimbs : kLimbs;  // squares of float32 are float64
}

struct ExactSums {
  DType dtype = DType::F64;    // or F32
  const char* data = nullptr;  // rows * count elements, contiguous, aligned, in native byte order
  std::int64_t rows = 0;
  std::int64_t count = 0;
  bool squares = false;              // of the elements rather than the elements
  std::int64_t* limbs = nullptr;     // limbs_of(...) for each row; the last one may be large
  std::int64_t* specials = nullptr;  // for each row how many were NaN, infinity and minus infinity
};

/// Throws `std::bad_alloc`.
///
/// The small superaccumulator of R. M. Neal, "Fast exact summation using small and large superaccumulators"
/// (2015): a mantissa is added where its exponent says, to two numbers of 64 bits whose low 32 bits belong
/// to them, and carries wait until they might overflow. Four accumulators take turns, as neighbours tend
/// to go to the same place.
UFUSE_API void exact_sums(const ExactSums& job);

}  // namespace ufuse
