// From scales to bytes of the K-quants: elements quantized as they lie in memory, and their levels packed.
#pragma once

#include "formats/kquants_levels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {

inline constexpr int kElements = 256;  // of a super-block
inline constexpr int kMostSubs = 16;

/// What the searches leave: for each sub-block a row, of a value for each super-block.
struct Found {
  alignas(64) float step[kMostSubs * kLanes];     // an element is about step * level - shift,
  alignas(64) float shift[kMostSubs * kLanes];    // both as they will be read
  alignas(64) float inverse[kMostSubs * kLanes];  // of the levels of the search: see Fit
  alignas(64) float origin[kMostSubs * kLanes];
  alignas(64) float levels[kElements * kLanes];  // those levels, where `keeps_levels`
  alignas(64) std::int32_t scale_code[kMostSubs * kLanes];
  alignas(64) std::int32_t shift_code[kMostSubs * kLanes];
  alignas(64) std::uint16_t unit[kLanes];  // float16, of super-blocks: what scales are multiples of
  alignas(64) std::uint16_t shift_unit[kLanes];
  alignas(64) std::int32_t blank[kLanes];  // super-blocks that are zeros to the search
  bool keeps_levels;
};

/// Levels from 0 on of a super-block's elements. Where the step is zero those of the search stay.
template <class Kind>
void quantize_elements(const float* values, const Found& found, int lane, std::uint8_t* levels) {
  constexpr int kLow = Kind::kLow, kHigh = Kind::kHigh, kSize = Kind::kSize;
  using Narrow = Vec<std::uint8_t, kLanes>;
  for (int j = 0; j < kElements / kSize; ++j) {
    const int at = j * kLanes + lane;
    const int first = j * kSize, last = first + kSize;
    if (found.step[at] != 0) {
      const V step = splat<V>(found.step[at]);
      [[maybe_unused]] const V shift = splat<V>(found.shift[at]);
#pragma GCC unroll 8
      for (int i = first; i < last; i += kLanes) {
        V v = V::load(values + i);
        if constexpr (Kind::kShifted) v = v + shift;
        convert<Narrow>(clamp(nearest(v / step), kLow, kHigh) - splat<I>(kLow)).store(levels + i);
      }
    } else if (found.keeps_levels) {
      for (int i = first; i < last; ++i)
        levels[i] = static_cast<std::uint8_t>(found.levels[i * kLanes + lane]);
    } else {
      const V inverse = splat<V>(found.inverse[at]), origin = splat<V>(found.origin[at]);
      for (int i = first; i < last; i += kLanes) {
        const I level =
            clamp(nearest(inverse * (V::load(values + i) - origin)), kLow, kHigh) - splat<I>(kLow);
        const I kept = select(inverse == inverse, level, splat<I>(0));
        convert<Narrow>(kept).store(levels + i);
      }
    }
  }
}

// --- bits of levels ---------------------------------------------------------------------------------------

using Bytes = Vec<std::uint8_t, (kRegisterBytes < 32 ? 16 : 32)>;

UFUSE_INLINE Bytes bits(const std::uint8_t* levels, int from, int count) {
  return (Bytes::load(levels) >> from) & splat<Bytes>(static_cast<std::uint8_t>((1 << count) - 1));
}

/// `run` bytes, of each of which `count` bits of 8 / count levels `run` apart, from bit `from` of the levels
/// on.
template <int run, int count>
UFUSE_INLINE void pack(std::uint8_t* to, const std::uint8_t* levels, int from) {
  for (int i = 0; i < run; i += Bytes::size) {
    Bytes packed = bits(levels + i, from, count);
#pragma GCC unroll 8
    for (int k = 1; k < 8 / count; ++k)
      packed = packed | (bits(levels + k * run + i, from, count) << (k * count));
    packed.store(to + i);
  }
}

UFUSE_INLINE std::uint8_t* put_half(std::uint8_t* to, std::uint16_t half) {
  to[0] = static_cast<std::uint8_t>(half);
  to[1] = static_cast<std::uint8_t>(half >> 8);
  return to + 2;
}

/// Eight scales and eight shifts of six bits: 0 to 3 whole, of 4 to 7 the upper bits above those.
inline void pack_scales(std::uint8_t* to, const std::int32_t* scales, const std::int32_t* shifts) {
  for (int j = 0; j < 4; ++j) {
    const int scale = scales[(j + 4) * kLanes], shift = shifts[(j + 4) * kLanes];
    to[j] = static_cast<std::uint8_t>(scales[j * kLanes] | ((scale >> 4) << 6));
    to[j + 4] = static_cast<std::uint8_t>(shifts[j * kLanes] | ((shift >> 4) << 6));
    to[j + 8] = static_cast<std::uint8_t>((scale & 15) | ((shift & 15) << 4));
  }
}

/// Sixteen scales of six bits: the lower four of j and j + 8 share a byte, the upper two of j, j + 4, ...
/// another.
inline void pack_scales(std::uint8_t* to, const std::int32_t* scales) {
  for (int j = 0; j < 8; ++j)
    to[j] = static_cast<std::uint8_t>((scales[j * kLanes] & 15) | ((scales[(j + 8) * kLanes] & 15) << 4));
  for (int j = 0; j < 4; ++j) {
    int upper = 0;
    for (int k = 0; k < 4; ++k) upper |= (scales[(j + 4 * k) * kLanes] >> 4) << (2 * k);
    to[8 + j] = static_cast<std::uint8_t>(upper);
  }
}

}  // namespace kquants
}  // namespace UFUSE_TIER
}  // namespace ufuse
