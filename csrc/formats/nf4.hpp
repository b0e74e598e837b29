// NF4 and FP4 of bitsandbytes: sixteen values, times the largest magnitude of each block, which is kept as a
// float32. The even element of a byte is the high nibble.
//
// An element is multiplied by the reciprocal of the block's largest magnitude and compared with the values half
// way between neighbours; what equals one of these becomes the smaller neighbour.
#pragma once

#include "formats/nibbles.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

/// Sixteen values in ascending order, with their codes.
struct CodeBook {
  float values[16];
  std::uint8_t codes[16];

  constexpr float value_of(int code) const {
    for (int i = 0; i < 16; ++i)
      if (codes[i] == code) return values[i];
    return 0.0F;
  }
  constexpr float bound(int i) const { return (values[i] + values[i + 1]) / 2.0F; }
};

/// Quantiles of a normal distribution (Dettmers et al., 2023, "QLoRA", arXiv:2305.14314, appendix E).
inline constexpr CodeBook kNf4Book{
    {-1.0F, -0.6961928009986877F, -0.5250730514526367F, -0.39491748809814453F, -0.28444138169288635F,
     -0.18477343022823334F, -0.09105003625154495F, 0.0F, 0.07958029955625534F, 0.16093020141124725F,
     0.24611230194568634F, 0.33791524171829224F, 0.44070982933044434F, 0.5626170039176941F,
     0.7229568362236023F, 1.0F},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
/// Over 12. Of the two zeros the one without a sign comes first.
inline constexpr CodeBook kFp4Book{
    {-1.0F, -8.0F / 12.0F, -6.0F / 12.0F, -4.0F / 12.0F, -3.0F / 12.0F, -2.0F / 12.0F, -0.0625F / 12.0F, 0.0F,
     0.0F, 0.0625F / 12.0F, 2.0F / 12.0F, 3.0F / 12.0F, 4.0F / 12.0F, 6.0F / 12.0F, 8.0F / 12.0F, 1.0F},
    {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3}};

template <const CodeBook& Book>
struct SixteenValues {
  static void encode(const EncodeCall& call) {
    const std::int64_t block = call.options.block;
    const Search search;
    for (std::int64_t b = 0; b < call.blocks; ++b) {
      const float* const x = call.values + b * block;
      std::uint8_t* const to = call.codes + b * block / 2;
      // Blocks are whole cache lines: four registers, or twice as many.
      Int most[2] = {};
      for (std::int64_t i = 0; i < block; i += 2 * kLanes)
        for (int k = 0; k < 2; ++k) most[k] = larger(most[k], magnitude(Float::load(x + i + k * kLanes)));
      const float largest = bitcast<float>(largest_lane(larger(most[0], most[1])));
      std::memcpy(static_cast<float*>(call.scales) + b, &largest, sizeof largest);
      // 1e-38 is what bitsandbytes divides zeros by.
      const Float inverse = splat<Float>(1.0F / (largest < 1e-38F ? 1e-38F : largest));
      for (std::int64_t i = 0; i < block; i += 2 * kLanes)
        for (int k = 0; k < 2; ++k) {
          const std::int64_t at = i + k * kLanes;
          store_nibbles<true>(to + at / 2, search(Float::load(x + at) * inverse));
        }
    }
  }

  static void decode(const DecodeCall& call) {
    const std::int64_t block = call.options.block;
    float values[16];
    for (int i = 0; i < 16; ++i) values[i] = Book.value_of(i);
    const Table table(values);
    for (std::int64_t b = 0; b < call.blocks; ++b) {
      float largest;
      std::memcpy(&largest, static_cast<const float*>(call.scales) + b, sizeof largest);
      const std::uint8_t* const from = call.codes + b * block / 2;
      float* const to = call.values + b * block;
      const Float scale = splat<Float>(largest);
      for (std::int64_t i = 0; i < block; i += kLanes)
        (table[load_nibbles<true>(from + i / 2)] * scale).store(to + i);
    }
  }

 private:
  static UFUSE_INLINE std::int32_t largest_lane(Int x) {
    std::int32_t most = 0;
    for (int i = 0; i < kLanes; ++i) most = x[i] > most ? x[i] : most;
    return most;
  }

  /// The code of the value nearest to each lane, and of NaN that of the largest: four comparisons, each with
  /// one of the bounds that the ones before leave.
  class Search {
   public:
    UFUSE_INLINE Int operator()(Float x) const {
#if defined(__AVX2__)
      Int place = select(x <= splat<Float>(Book.bound(7)), splat<Int>(0), splat<Int>(8));
      place = step(x, place, table_[0], 4);
      place = step(x, place, table_[1], 2);
      place = step(x, place, table_[2], 1);
#else
      Int place = splat<Int>(15);
      for (int i = 0; i < 15; ++i) place = place + (x <= splat<Float>(Book.bound(i)));  // a mask is -1
#endif
      if constexpr (!kInOrder) place = bitcast<Int>(code_[place]);
      return place;
    }

   private:
    static UFUSE_INLINE Int step(Float x, Int place, const Table& bounds, int more) {
      return select(x <= bounds[place], place, place + splat<Int>(more));
    }
    /// The bound in the middle of `2 * half` values from i on.
    static Table bounds_after(int half) {
      float values[16] = {};
      for (int i = 0; i + half - 1 < 15; ++i) values[i] = Book.bound(i + half - 1);
      return Table(values);
    }
    static Table codes() {
      float values[16];
      for (int i = 0; i < 16; ++i) values[i] = bitcast<float>(static_cast<std::int32_t>(Book.codes[i]));
      return Table(values);
    }

    const Table table_[3] = {bounds_after(4), bounds_after(2), bounds_after(1)};
    const Table code_ = codes();
  };

  static constexpr bool kInOrder = Book.codes[0] == 0;
};

using nf4 = SixteenValues<kNf4Book>;
using fp4 = SixteenValues<kFp4Book>;

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
