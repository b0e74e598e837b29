// MX formats (OCP Microscaling Formats 1.0): the elements of a block share a power of two, kept apart as its
// biased exponent (e8m0). A block with NaN has the scale 0xFF and codes of 0.
#pragma once

#include "formats/e2m1.hpp"
#include "formats/scales.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// The power of two of a block, of its largest magnitude `amax`. The first three divide it by the power of
/// two at or below the largest element: `even` counts amax as it would be rounded to an element's digits;
/// `rceil` divides amax by the largest element itself.
enum class ScaleMode : int { floor, ceil, even, rceil };

/// The elements of a kind: `kExponent`, of the power of two at or below the largest, and `kFraction`, the
/// digits after the first.
template <class F, int Bits>
struct FloatElement {
  static constexpr int kBits = Bits, kFraction = F::fraction;
  static constexpr int kExponent = static_cast<int>(F::largest >> F::fraction) - F::bias;
  static constexpr float kLargest =
      static_cast<float>((F::largest & ((1u << F::fraction) - 1)) + (1u << F::fraction)) /
      static_cast<float>(1u << F::fraction) * static_cast<float>(1 << kExponent);

  static UFUSE_INLINE Unsigned encode(Float x) {
    if constexpr (Bits == 4)
      return encode_e2m1(x);
    else
      return ops::encode_float<F>(x, splat<Unsigned>(1u));
  }
  static UFUSE_INLINE Float decode(Int code) { return ops::decode_float<F, Float>(bitcast<Unsigned>(code)); }
};

/// Signed 64ths. The code of -2 is not used, so that both signs reach equally far.
struct IntElement {
  static constexpr int kBits = 8, kFraction = 6, kExponent = 0;
  static constexpr float kLargest = 127.0F / 64.0F;

  static UFUSE_INLINE Unsigned encode(Float x) {
    const Float counts = x * splat<Float>(64.0F), most = splat<Float>(127.0F);
    return bitcast<Unsigned>(round_to_int(larger(smaller(counts, most), -most)));
  }
  static UFUSE_INLINE Float decode(Int code) {
    return convert<Float>((code << 24) >> 24) * splat<Float>(1.0F / 64.0F);
  }
};

template <class E, bool Packed>
struct Mx {
  // Scales of two groups before the elements of any: those of one go on while the other's lanes are folded.
  static constexpr int kTogether = 2 * kLanes;

  static void encode(const EncodeCall& call) {
    if (call.options.block == 32)
      encode_blocks(call, std::integral_constant<std::int64_t, 32>{});
    else
      encode_blocks(call, call.options.block);
  }

  static void decode(const DecodeCall& call) {
    if (call.options.block == 32)
      decode_blocks(call, std::integral_constant<std::int64_t, 32>{});
    else
      decode_blocks(call, call.options.block);
  }

 private:
  static constexpr int kStored = Packed ? E::kBits : 8;  // bits of a code in memory
  static constexpr std::int32_t kNan = 255, kMost = 254;

  template <class Block>
  static UFUSE_INLINE void encode_blocks(const EncodeCall& call, Block block) {
    const auto mode = static_cast<ScaleMode>(call.options.scale_mode);
    const std::int64_t bytes = block * kStored / 8;
    alignas(64) float inverse[kTogether];
    for (std::int64_t first = 0; first < call.blocks; first += kTogether) {
      const int n = static_cast<int>(call.blocks - first < kTogether ? call.blocks - first : kTogether);
      const float* const x = call.values + first * block;
      std::uint8_t* const to = call.codes + first * bytes;
      std::uint8_t* const scales = static_cast<std::uint8_t*>(call.scales) + first;
      Int lost = splat<Int>(0);
      for (int b = 0; b < n; b += kLanes) {
        const int some = n - b < kLanes ? n - b : kLanes;
        const Int codes = scales_of(largest_of_each(x + b * block, block, some), mode);
        store_scales(scales + b, codes, some);
        inverse_of(codes).store(inverse + b);
        lost = lost | (codes == splat<Int>(kNan));
      }
      for (int b = 0; b < n; ++b) store_block(to + b * bytes, x + b * block, splat<Float>(inverse[b]), block);
      if (__builtin_expect(any(lost), 0)) {
        for (int b = 0; b < n; ++b)
          if (scales[b] == kNan) std::memset(to + b * bytes, 0, static_cast<std::size_t>(bytes));
      }
    }
  }

  static UFUSE_INLINE Int scales_of(Int largest, ScaleMode mode) {
    const Int zero = splat<Int>(0);
    const auto nan = largest > splat<Int>(kInfinity);
    if (mode == ScaleMode::rceil) largest = bitcast<Int>(bitcast<Float>(largest) / splat<Float>(E::kLargest));
    Int exponent = largest >> 23;
    if (mode == ScaleMode::even) {
      exponent =
          bitcast<Int>((bitcast<Unsigned>(largest) + splat<Unsigned>(1u << (22 - E::kFraction))) >> 23);
    } else if (mode != ScaleMode::floor) {
      // Of denormal numbers the larger half alone has 2^-126, and not 2^-127, above it.
      const Int limit = select(exponent == zero, splat<Int>(0x400000), zero);
      const auto more = (largest & splat<Int>(0x7fffff)) > limit;
      exponent = exponent - more;  // a mask is -1
    }
    if (mode != ScaleMode::rceil) exponent = exponent - splat<Int>(E::kExponent);
    const Int code = smaller(larger(exponent, zero), splat<Int>(kMost));
    return select(nan, splat<Int>(kNan), code);
  }

  /// 2^(127 - code); for NaN a number whatsoever.
  static UFUSE_INLINE Float inverse_of(Int codes) {
    const Int most = splat<Int>(kMost);
    return bitcast<Float>(select(codes >= most, splat<Int>(0x400000), (most - codes) << 23));
  }

  template <class Block>
  static UFUSE_INLINE void store_block(std::uint8_t* to, const float* x, Float inverse, Block block) {
    const auto code = [&](std::int64_t i)
                          __attribute__((always_inline)) { return E::encode(Float::load(x + i) * inverse); };
    if constexpr (kStored == 8) {
      for (std::int64_t i = 0; i < block; i += kLanes) store_codes(to + i, code(i));
    } else if constexpr (kStored == 4) {
      std::int64_t i = 0;
      for (; i + 2 * kLanes <= block; i += 2 * kLanes)
        store_nibbles<false>(to + i / 2, code(i), code(i + kLanes));
      if (i < block) store_nibbles<false>(to + i / 2, code(i));
    } else {
      for (std::int64_t i = 0; i < block; i += kLanes) store_sixes(to + i / 4 * 3, code(i));
    }
  }

  template <class Block>
  static UFUSE_INLINE void decode_blocks(const DecodeCall& call, Block block) {
    const std::int64_t bytes = block * kStored / 8;
    each_few(call.blocks, [&](std::int64_t first, int n) __attribute__((always_inline)) {
      const Int codes = load_scales(static_cast<const std::uint8_t*>(call.scales) + first, n);
      alignas(64) float scale[kLanes];
      ops::decode_exponent<Float>(bitcast<Unsigned>(codes)).store(scale);
      for (int b = 0; b < n; ++b)
        load_block(call.values + (first + b) * block, call.codes + (first + b) * bytes,
                   splat<Float>(scale[b]), block);
    });
  }

  template <class Block>
  static UFUSE_INLINE void load_block(float* to, const std::uint8_t* from, Float scale, Block block) {
    if constexpr (kStored == 8) {
      for (std::int64_t i = 0; i < block; i += kLanes)
        (E::decode(convert<Int>(Bytes::load(from + i))) * scale).store(to + i);
    } else if constexpr (kStored == 4) {
      alignas(64) float values[16];
      for (int i = 0; i < 16; i += kLanes) E::decode(lanes_from(i)).store(values + i);
      const Table table(values);
      for (std::int64_t i = 0; i < block; i += kLanes)
        (table[load_nibbles<false>(from + i / 2)] * scale).store(to + i);
    } else {
      for (std::int64_t i = 0; i < block; i += kLanes)
        (E::decode(load_sixes(from + i / 4 * 3)) * scale).store(to + i);
    }
  }

  static UFUSE_INLINE Int lanes_from(int first) {
    Int r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = first + i;
    return r;
  }
};

using mxfp8_e4m3 = Mx<FloatElement<ops::float_formats::float8_e4m3fn, 8>, false>;
using mxfp8_e5m2 = Mx<FloatElement<ops::float_formats::float8_e5m2, 8>, false>;
using mxfp6_e2m3 = Mx<FloatElement<ops::float_formats::float6_e2m3fn, 6>, false>;
using mxfp6_e3m2 = Mx<FloatElement<ops::float_formats::float6_e3m2fn, 6>, false>;
using mxfp6_e2m3_packed = Mx<FloatElement<ops::float_formats::float6_e2m3fn, 6>, true>;
using mxfp6_e3m2_packed = Mx<FloatElement<ops::float_formats::float6_e3m2fn, 6>, true>;
using mxfp4 = Mx<FloatElement<ops::float_formats::float4_e2m1fn, 4>, true>;
using mxint8 = Mx<IntElement, false>;

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
