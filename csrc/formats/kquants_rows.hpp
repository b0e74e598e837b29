// Blocks turned so that each is a lane, and what is asked of all of them.
#pragma once

#include <cstdint>

#include "formats/kquants_levels.hpp"
#include "simd/half.hpp"
#include "simd/transpose.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {

/// Element i of the (super-)blocks as row i; lanes without one are zeros.
template <int kCount, class BlockOf>
inline void turn(float* rows, BlockOf block_of) {
  constexpr int kSide = kLanes < 8 ? kLanes : 8;
  using Side = Vec<float, kSide>;
  const float* block[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) block[lane] = block_of(lane);
  for (int lane = 0; lane < kLanes; lane += kSide)
    for (int i = 0; i < kCount; i += kSide) {
      Side square[kSide];
      for (int k = 0; k < kSide; ++k)
        square[k] = block[lane + k] != nullptr ? Side::load(block[lane + k] + i) : splat<Side>(0);
      transpose(square);
      for (int k = 0; k < kSide; ++k) square[k].store(rows + (i + k) * kLanes + lane);
    }
}

/// Whether of some rows a value is not finite or has a magnitude from `bound` on.
inline bool some_from(const float* rows, int count, float bound) {
  I most = splat<I>(0);
  for (int i = 0; i < count; ++i) most = larger(most, bitcast<I>(magnitude(row(rows, i))));
  return any(most >= splat<I>(__builtin_bit_cast(std::int32_t, bound)));
}

/// Stores a scale as a float16; returns what it keeps of it.
UFUSE_INLINE V put_halves(V value, std::uint16_t* to) {
  const Vec<std::uint16_t, kLanes> half = float_to_half(value);
  half.store(to);
  return half_to_float(half);
}

}  // namespace kquants
}  // namespace UFUSE_TIER
}  // namespace ufuse
