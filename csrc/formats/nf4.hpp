// NF4 and FP4 of bitsandbytes: sixteen values, times the largest magnitude of each block, which is kept as a
// float32. The even element of a byte is the high nibble.
//
// An element is multiplied by the reciprocal of the block's largest magnitude and compared with the values
// half way between neighbours; what equals one of these becomes the smaller neighbour.
#pragma once

#include <bit>

#include "formats/scales.hpp"

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

/// Tables of sixteen numbers that find the code of a value.
template <const CodeBook& Book>
struct CodeTables {
  /// Of 2 * `half` values from i on: the bound in their middle, for half of 4, 2 and 1.
  float bound[3][16] = {};
  float code[16] = {};   // bits of integers
  float value[16] = {};  // by code

  constexpr CodeTables() {
    for (int step = 0, half = 4; step < 3; ++step, half /= 2)
      for (int i = 0; i + half - 1 < 15; ++i) bound[step][i] = Book.bound(i + half - 1);
    for (int i = 0; i < 16; ++i) {
      code[i] = std::bit_cast<float>(static_cast<std::int32_t>(Book.codes[i]));
      value[i] = Book.value_of(i);
    }
  }
};

/// The range of values in 31 cells of equal width, numbered -15 to 15, by their numbers modulo 32: how many
/// bounds lie in the cells before, and the one in the cell. A cell is found by rounding, which keeps order:
/// so bounds are in cells by the same rule.
template <const CodeBook& Book>
struct CodeCells {
  static constexpr float kPerUnit = 15.25F;
  std::int32_t before[32] = {};
  float bound[32] = {};
  bool single = true;  // no cell has more than one bound

  constexpr CodeCells() {
    for (int cell = -15; cell <= 15; ++cell) {
      float& here = bound[cell & 31];
      here = __builtin_inff();
      for (int i = 0; i < 15; ++i) {
        const int other = cell_of(Book.bound(i));
        if (other < cell) ++before[cell & 31];
        if (other != cell) continue;
        single = single && here == __builtin_inff();
        here = Book.bound(i);
      }
    }
  }
  static constexpr int cell_of(float x) { return static_cast<int>(x * kPerUnit + (x < 0 ? -0.5F : 0.5F)); }
};

/// The same of magnitudes, in cells 0 to 15, for values that come with both signs: what is at or below the
/// bound in a cell has the code `lower`, what is above it `upper`, without the sign.
template <const CodeBook& Book>
struct MagnitudeCells {
  float bound[16] = {};
  std::int32_t lower[16] = {}, upper[16] = {};
  bool single = true;

  constexpr MagnitudeCells() {
    for (int cell = 0; cell < 16; ++cell) {
      int place = 8;  // of the smallest magnitude
      bound[cell] = __builtin_inff();
      for (int i = 8; i < 15; ++i) {
        const int other = CodeCells<Book>::cell_of(Book.bound(i));
        if (other < cell) ++place;
        if (other != cell) continue;
        single = single && bound[cell] == __builtin_inff();
        bound[cell] = Book.bound(i);
      }
      lower[cell] = Book.codes[place];
      upper[cell] = Book.codes[place < 15 ? place + 1 : place];
    }
  }
};

template <const CodeBook& Book>
struct SixteenValues {
  static void encode(const EncodeCall& call) {
    // Largest magnitudes of some blocks before the elements of any: a block's elements would wait for the
    // fold of its lanes and for a division. Blocks together stay in L1.
    constexpr std::int64_t kTogether = 16, kElements = 1024;
    const std::int64_t block = call.options.block;
    const std::int64_t together = block * kTogether <= kElements ? kTogether
                                  : block < kElements            ? kElements / block
                                                                 : 1;
    const Search search;
    const CellSearch cell_search;
    float inverse[kTogether];
    for (std::int64_t first = 0; first < call.blocks; first += together) {
      const std::int64_t n = call.blocks - first < together ? call.blocks - first : together;
      const float* const x = call.values + first * block;
      std::uint8_t* const to = call.codes + first * block / 2;
      float* const largest = static_cast<float*>(call.scales) + first;
      bool finite = true;
      for (std::int64_t b = 0; b < n; ++b) {
        const std::int32_t bits = largest_bits(x + b * block, block);
        std::memcpy(largest + b, &bits, sizeof bits);
        const float size = bitcast<float>(bits);
        inverse[b] = 1.0F / (size < 1e-38F ? 1e-38F : size);  // which is what bitsandbytes divides zeros by
        finite = finite && bits < kInfinity;
      }
      if (CellSearch::kOffered && finite)
        store_blocks(to, x, inverse, n, block, cell_search);
      else
        store_blocks(to, x, inverse, n, block, search);
    }
  }

  static void decode(const DecodeCall& call) {
    const std::int64_t block = call.options.block;
    const Table table(kTables.value);
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
  static constexpr CodeTables<Book> kTables{};
  static constexpr CodeCells<Book> kCells{};
  static constexpr MagnitudeCells<Book> kMagnitudes{};
  static constexpr bool kInOrder = Book.codes[0] == 0;

  static UFUSE_INLINE std::int32_t largest_bits(const float* x, std::int64_t block) {
    Int most[2] = {};
    for (std::int64_t i = 0; i < block; i += 2 * kLanes)
      for (int k = 0; k < 2; ++k) most[k] = larger(most[k], magnitude(Float::load(x + i + k * kLanes)));
    return largest_lane(larger(most[0], most[1]));
  }

  template <class Find>
  static UFUSE_INLINE void store_blocks(std::uint8_t* to, const float* x, const float* inverse,
                                        std::int64_t n, std::int64_t block, const Find& find) {
    for (std::int64_t b = 0; b < n; ++b, x += block, to += block / 2) {
      const Float factor = splat<Float>(inverse[b]);
      const auto code = [&](std::int64_t at) __attribute__((always_inline)) {
        return bitcast<Unsigned>(find(Float::load(x + at) * factor));
      };
      for (std::int64_t i = 0; i < block; i += 2 * kLanes)
        store_nibbles<true>(to + i / 2, code(i), code(i + kLanes));
    }
  }

  /// The code of the value nearest to each lane, and of NaN that of the largest: four comparisons, each with
  /// one of the bounds that the ones before leave.
  class Search {
   public:
    UFUSE_INLINE Int operator()(Float x) const {
#if defined(__AVX2__)
      Int place = select(x <= splat<Float>(Book.bound(7)), splat<Int>(0), splat<Int>(8));
      for (int i = 0, half = 4; i < 3; ++i, half /= 2)
        place = select(x <= bound_[i][place], place, place + splat<Int>(half));
#else
      Int place = splat<Int>(15);
      for (int i = 0; i < 15; ++i) place = place + (x <= splat<Float>(Book.bound(i)));  // a mask is -1
#endif
      if constexpr (!kInOrder) place = bitcast<Int>(code_[place]);
      return place;
    }

   private:
    const Table bound_[3] = {Table(kTables.bound[0]), Table(kTables.bound[1]), Table(kTables.bound[2])};
    const Table code_{kTables.code};
  };

  /// The same of finite numbers from -1 to 1, in one comparison: two thirds of the instructions, or half.
  class CellSearch {
   public:
#if defined(__AVX512F__)
    static constexpr bool kOffered = kInOrder ? kCells.single : kMagnitudes.single;
    UFUSE_INLINE Int operator()(Float x) const {
      if constexpr (kInOrder) {
        const __m512i cell = rounded(x);
        const Int before{as_int(_mm512_permutex2var_epi32(first_[0], cell, first_[1]))};
        const Float bound{_mm512_permutex2var_ps(bound_[0], cell, bound_[1])};
        return before - (x > bound);  // a mask is -1
      } else {
        // Of negative numbers what equals a bound is the larger magnitude: they are compared as the next one.
        const Int size = magnitude(x), sign = bitcast<Int>(bitcast<Unsigned>(x) >> 31);
        const __m512i cell = rounded(bitcast<Float>(size));
        const auto up = _mm512_cmpgt_epi32_mask(as_m512i(size + sign),
                                                _mm512_castps_si512(_mm512_permutexvar_ps(cell, bound_[0])));
        const __m512i low = _mm512_permutexvar_epi32(cell, first_[0]);
        const __m512i code = _mm512_mask_permutexvar_epi32(low, up, cell, first_[1]);
        // Which zero there is depends on the sign of what is not zero.
        return select(x == splat<Float>(0.0F), splat<Int>(0), Int{as_int(code)} ^ (sign << 3));
      }
    }

   private:
    static UFUSE_INLINE __m512i as_m512i(Int x) { return reinterpret_cast<__m512i>(x.v); }
    static UFUSE_INLINE Int::native as_int(__m512i x) { return reinterpret_cast<Int::native>(x); }
    /// Added to this, a number's last place is 1.
    static UFUSE_INLINE __m512i rounded(Float x) {
      return _mm512_castps_si512(fma(x, splat<Float>(kCells.kPerUnit), splat<Float>(0x1.8p23F)).v);
    }
    const __m512i first_[2] = {_mm512_loadu_si512(kInOrder ? kCells.before : kMagnitudes.lower),
                               _mm512_loadu_si512(kInOrder ? kCells.before + 16 : kMagnitudes.upper)};
    const __m512 bound_[2] = {_mm512_loadu_ps(kInOrder ? kCells.bound : kMagnitudes.bound),
                              _mm512_loadu_ps(kCells.bound + 16)};
#else
    static constexpr bool kOffered = false;
    UFUSE_INLINE Int operator()(Float x) const { return bitcast<Int>(x); }
#endif
  };
};

using nf4 = SixteenValues<kNf4Book>;
using fp4 = SixteenValues<kFp4Book>;

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
