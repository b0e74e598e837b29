// Q4_0 to Q5_1 with importance: their scales are searched as those of the K-quants' sub-blocks are.
//
// Source: ggml, src/ggml-quants.c, `quantize_row_q4_0_impl` and its like.
#pragma once

#include "formats/kernels.hpp"
#include "formats/kquants_pack.hpp"
#include "formats/kquants_rows.hpp"
#include "formats/kquants_symmetric.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {

/// A scale, and with `Offset` a smallest value, for 32 elements: searched as those of sub-blocks are, and
/// stored as they are found. As many blocks as a register has lanes are encoded together, a lane each.
template <int Bits, bool Offset>
struct Weighted {
  static constexpr int kBlock = 32, kRows = kBlock * kLanes, kMiddle = 1 << (Bits - 1),
                       kHead = Offset ? 4 : 2;
  static constexpr int kTop = Offset ? (1 << Bits) - 1 : kMiddle;
  static constexpr int kBytes = kHead + (Bits == 5 ? 4 : 0) + 16;

  static void encode(const EncodeCall& call) {
    alignas(64) float x[kAbreast * kRows], weights[kAbreast * kRows], levels[kAbreast * kRows];
    bool beyond = false;
    // Which NaN comes of two is a matter of the order of operands, which compilers choose. One of a row with
    // a NaN is that, and what infinities and overflow make is negative, as x86 has it.
    const V nan = splat<V>(__builtin_copysignf(__builtin_nanf(""), call.variance == call.variance ? -1 : 1));
    for (std::int64_t first = 0; first < call.blocks; first += kAbreast * kLanes) {
      const auto block_of = [&](const float* values, int lane) {
        return first + lane < call.blocks ? values + (first + lane) * kBlock : nullptr;
      };
      for (int m = 0; m < kAbreast; ++m) {
        turn<kBlock>(x + m * kRows, [&](int lane) { return block_of(call.values, m * kLanes + lane); });
        turn<kBlock>(weights + m * kRows,
                     [&](int lane) { return block_of(call.importance, m * kLanes + lane); });
      }
      for (int i = 0; i < kAbreast * kBlock; ++i) {
        const V v = row(x, i);
        store_row(weights, i, row(weights, i) * sqrt(splat<V>(call.variance) + v * v));
      }
      // A smallest value may be 31 times as large as the elements.
      beyond |= some_from(x, kAbreast * kBlock, 1024);
      Fit fits[kAbreast];
      if constexpr (Offset)
        fit_affine<kBlock, kTop, false>(x, weights, levels, {-0.9F, 0.05F, 36}, fits);
      else
        for (int m = 0; m < kAbreast; ++m)
          fits[m] = fit_symmetric<kTop>(x + m * kRows, weights + m * kRows, kBlock);
      for (int m = 0; m < kAbreast; ++m) {
        const std::int64_t at = first + m * kLanes, left = call.blocks - at;
        if (left > 0)
          put(x + m * kRows, fits[m], nan, left < kLanes ? static_cast<int>(left) : kLanes,
              call.codes + at * kBytes);
      }
    }
    *call.overflow = beyond ? Overflow::some : Overflow::none;
  }

 private:
  static void put(const float* x, const Fit& fit, V nan, int count, std::uint8_t* to) {
    alignas(64) std::int32_t codes[kRows];
    const Mask some = fit.inverse == fit.inverse;
    for (int i = 0; i < kBlock; ++i) {
      V v = row(x, i);
      if constexpr (Offset) v = v - fit.origin;
      const I level = nearest(fit.inverse * v);
      const I code = Offset ? clamp(level, 0, kTop) : clamp(level, -kTop, kTop - 1) + splat<I>(kTop);
      store_row(codes, i, select(some, code, splat<I>(0)));
    }
    alignas(64) std::uint16_t scale[kLanes], low[kLanes];
    put_halves(select(fit.scale == fit.scale, fit.scale, nan), scale);
    if constexpr (Offset) put_halves(select(fit.shift == fit.shift, -fit.shift, nan), low);
    for (int lane = 0; lane < count; ++lane) {
      std::uint8_t* at = put_half(to + lane * kBytes, scale[lane]);
      if constexpr (Offset) at = put_half(at, low[lane]);
      const auto code = [&](int i) { return static_cast<std::uint32_t>(codes[i * kLanes + lane]); };
      if constexpr (Bits == 5) {
        std::uint32_t fifth = 0;
        for (int i = 0; i < kBlock; ++i) fifth |= (code(i) >> 4) << i;
        __builtin_memcpy(at, &fifth, sizeof fifth);
        at += sizeof fifth;
      }
      for (int i = 0; i < 16; ++i)
        at[i] = static_cast<std::uint8_t>((code(i) & 15) | (code(i + 16) & 15) << 4);
    }
  }
};

}  // namespace kquants
}  // namespace UFUSE_TIER
}  // namespace ufuse
