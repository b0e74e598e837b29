// What kernels of block formats share: as many blocks as a register has lanes are taken together, so that
// what there is one of per block (a scale, its inverse, its code) is computed for all of them at once.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "formats/kernels.hpp"
#include "simd/fold.hpp"
#include "simd/half.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

inline constexpr int kLanes = kRegisterBytes / 4;  // blocks of a group, and float32 of a register
using Float = Vec<float, kLanes>;
using Int = Vec<std::int32_t, kLanes>;
using Unsigned = Vec<std::uint32_t, kLanes>;
using Half = Vec<std::uint16_t, kLanes>;  // codes of float16
using Bytes = Vec<std::uint8_t, kLanes>;

inline constexpr std::int32_t kInfinity = 0x7f800000, kNan = 0x7fc00000;  // bits of them

/// Calls `body(first, n)` for each group of n blocks. Of a full group n is a constant.
template <class Body>
UFUSE_INLINE void each_group(std::int64_t blocks, Body body) {
  std::int64_t first = 0;
  for (; first + kLanes <= blocks; first += kLanes) body(first, std::integral_constant<int, kLanes>{});
  if (first < blocks) body(first, static_cast<int>(blocks - first));
}

// --- lanes ------------------------------------------------------------------------------------------------

template <class V>
UFUSE_INLINE V larger(V a, V b) {
  return select(a > b, a, b);
}
template <class V>
UFUSE_INLINE V smaller(V a, V b) {
  return select(a < b, a, b);
}
#if defined(__AVX512F__)
// GCC 12 makes a comparison and a blend of these.
UFUSE_INLINE Int larger(Int a, Int b) {
  return {reinterpret_cast<Int::native>(
      _mm512_maskz_max_epi32(0xffff, reinterpret_cast<__m512i>(a.v), reinterpret_cast<__m512i>(b.v)))};
}
UFUSE_INLINE Unsigned larger(Unsigned a, Unsigned b) {
  return {reinterpret_cast<Unsigned::native>(
      _mm512_maskz_max_epu32(0xffff, reinterpret_cast<__m512i>(a.v), reinterpret_cast<__m512i>(b.v)))};
}
UFUSE_INLINE Int smaller(Int a, Int b) {
  return {reinterpret_cast<Int::native>(
      _mm512_maskz_min_epi32(0xffff, reinterpret_cast<__m512i>(a.v), reinterpret_cast<__m512i>(b.v)))};
}
#endif

// What folds are given: functions by name would be called.
struct Larger {
  template <class V>
  UFUSE_INLINE V operator()(V a, V b) const {
    return larger(a, b);
  }
};
struct Smaller {
  template <class V>
  UFUSE_INLINE V operator()(V a, V b) const {
    return smaller(a, b);
  }
};

/// How far ahead values are asked for, into L2, while those before are encoded: on one core, Q4_0 of 32 MB
/// took 7.9 ns a block with 8 KB, 8.5 with 4 KB into L1, 8.7 to 9.2 without.
inline constexpr int kAhead = 2048;
template <int Block>
UFUSE_INLINE void ask_ahead(const float* x) {
  for (int line = 0; line < Block; line += 16) __builtin_prefetch(x + line + kAhead, 0, 2);
}

/// When a kernel asks ahead: while magnitudes are read, or itself, while codes are computed. Which is better
/// is a matter of measuring: the second gains Q4_0 to Q5_1 a tenth, and costs Q8_0 and MXFP4 a half.
enum class Ask : std::uint8_t { reading, coding };

/// The fold of the registers of each of n blocks of `Block` values; `term` is what a register gives.
template <int Block, Ask When = Ask::reading, class N, class Term, class Fold>
UFUSE_INLINE auto fold_blocks(const float* x, N n, Term term, Fold fold) {
  using V = decltype(term(Float{}));
  V of[V::size] = {};
  each_of(n, [&](int b) __attribute__((always_inline)) {
    if constexpr (When == Ask::reading) ask_ahead<Block>(x + b * Block);
    V folded = term(Float::load(x + b * Block));
    for (int r = 1; r < Block / kLanes; ++r)
      folded = fold(folded, term(Float::load(x + b * Block + r * kLanes)));
    of[b] = folded;
  });
  return fold_each(of, fold);
}

/// A bit for each lane: that of its sign.
UFUSE_INLINE std::uint32_t sign_bits(Int x) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(x.v));
#elif defined(__AVX2__)
  return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(x.v)));
#elif defined(__x86_64__)
  return static_cast<std::uint32_t>(_mm_movemask_ps(reinterpret_cast<__m128>(x.v)));
#else
  std::uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) bits |= static_cast<std::uint32_t>(x[lane] < 0) << lane;
  return bits;
#endif
}

/// 1 << lane.
UFUSE_INLINE Int lane_bits() {
  Int bits{};
  for (int lane = 0; lane < kLanes; ++lane) bits.v[lane] = 1 << lane;
  return bits;
}

/// Shifts each lane by its own count.
UFUSE_INLINE Int shifted_right(Int x, Int count) {
  return bitcast<Int>(Unsigned{bitcast<Unsigned>(x).v >> bitcast<Unsigned>(count).v});
}
/// 0, Step, 2 Step...
template <int Step>
UFUSE_INLINE Int every() {
  Int lanes{};
  for (int lane = 0; lane < kLanes; ++lane) lanes.v[lane] = lane * Step;
  return lanes;
}

// --- values -----------------------------------------------------------------------------------------------

/// The magnitude of a float32 as an integer: in the order of magnitudes, NaN above all.
UFUSE_INLINE Int magnitude(Float x) { return bitcast<Int>(x) & splat<Int>(INT32_MAX); }
struct Magnitude {
  UFUSE_INLINE Int operator()(Float x) const { return magnitude(x); }
};

/// The largest of `magnitude` as a number, of NaN a plain one.
UFUSE_INLINE Float largest_magnitude(Int most) {
  return bitcast<Float>(select(most > splat<Int>(kInfinity), splat<Int>(kNan), most));
}

/// The bits of a float32 as integers of type V.
template <class V>
struct BitsAs {
  UFUSE_INLINE V operator()(Float x) const { return bitcast<V>(x); }
};

/// Towards zero. What does not fit, and NaN, give the smallest integer, as x86's instruction does.
UFUSE_INLINE Int truncated(Float x) {
#if defined(__x86_64__)
  return convert<Int>(x);
#else
  const Float limit = splat<Float>(2147483648.0F);
  return select((x < limit) & (x > -limit), convert<Int>(x), splat<Int>(INT32_MIN));
#endif
}

/// Rounded, ties away from zero. The addend is the largest below one half: with one half itself, what is
/// just below it would round up in the sum.
UFUSE_INLINE Int rounded_away(Float x) {
  const Int sign = bitcast<Int>(x) & splat<Int>(INT32_MIN);
  return truncated(x + bitcast<Float>(sign | bitcast<Int>(splat<Float>(0x1.fffffep-2F))));
}

/// 1 / x, and 0 for 0.
UFUSE_INLINE Float inverse_or_zero(Float x) {
  const Float zero = splat<Float>(0.0F);
  return select(x == zero, zero, splat<Float>(1.0F) / x);
}

UFUSE_INLINE Float to_float(Int x) { return convert<Float>(x); }

/// Bytes as integers.
UFUSE_INLINE Int load_bytes(const void* from) { return convert<Int>(Bytes::load(from)); }
UFUSE_INLINE Int load_signed_bytes(const void* from) {
  return convert<Int>(Vec<std::int8_t, kLanes>::load(from));
}
/// The low bytes.
UFUSE_INLINE void store_bytes(void* to, Int x) { convert<Bytes>(x).store(to); }

// --- one of each block ------------------------------------------------------------------------------------

/// Codes of float16: of a NaN what x86's instruction gives, on every tier.
UFUSE_INLINE Half half_codes(Float x) {
#if defined(__F16C__)
  return float_to_half(x);
#else
  const Int bits = bitcast<Int>(x);
  const Int nan =
      ((bits >> 16) & splat<Int>(0x8000)) | splat<Int>(0x7e00) | ((bits >> 13) & splat<Int>(0x3ff));
  return convert<Half>(select(x == x, convert<Int>(float_to_half(x)), nan));
#endif
}
/// Returns a bit for each of them that is infinite or NaN.
UFUSE_INLINE std::uint32_t to_halves(std::uint16_t (&to)[kLanes], Float x) {
  half_codes(x).store(to);
  return sign_bits(magnitude(x) >
                   splat<Int>(bitcast<std::int32_t>(65520.0F) - 1));  // which rounds to infinity
}

/// Says of some codes of a call whether a value, or a float16 of the codes, is not finite.
UFUSE_INLINE void report(const EncodeCall& call, std::uint32_t beyond) {
  *call.overflow = beyond != 0 ? Overflow::some : Overflow::none;
}

UFUSE_INLINE void store_half(void* to, std::uint16_t code) { std::memcpy(to, &code, sizeof code); }
template <class T>
UFUSE_INLINE T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// A float16 of each of n blocks, `Apart` bytes apart, as float32.
template <int Apart, class N>
UFUSE_INLINE void load_halves(float (&to)[kLanes], const std::uint8_t* from, N n) {
  std::uint16_t codes[kLanes] = {};
  each_of(n, [&](int b) { codes[b] = load_as<std::uint16_t>(from + b * Apart); });
  half_to_float(Half::load(codes)).store(to);
}

/// One float16 as float32.
UFUSE_INLINE float one_half(const std::uint8_t* from) {
  Vec<std::uint16_t, 4> codes{};
  codes.v[0] = load_as<std::uint16_t>(from);
  return half_to_float(codes)[0];
}

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
