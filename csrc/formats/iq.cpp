// Decoding of GGUF's IQ formats for one tier: this file is compiled once per tier.
//
// Eight values, or four, are a row of a grid: a list of the points that values are rounded to together. Most
// have a sign for each value besides. Of signs that are an index, the eighth makes the number of minus signs
// even.
#include "formats/iq.hpp"

#include "formats/kquants_decode.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {
namespace {

/// Rows of `Values` bytes, from the catalogue's codes of `Bits` bits per value, by the levels these stand
/// for.
template <int Values, int Bits, class Codes, class Levels>
constexpr auto expand(const Codes& codes, const Levels& levels) {
  struct Rows {
    std::int8_t at[sizeof(Codes) / sizeof(std::uint16_t)][Values];
  } rows{};
  std::size_t row = 0;
  for (const std::uint16_t code : codes) {
    for (int i = 0; i < Values; ++i)
      rows.at[row][i] = static_cast<std::int8_t>(levels[code >> (Bits * i) & ((1 << Bits) - 1)]);
    ++row;
  }
  return rows;
}

#define UFUSE_GRID(name, values, bits, ...) constexpr std::uint16_t k##name##Codes[] = {__VA_ARGS__};
#include "grids.inc"
#undef UFUSE_GRID

constexpr int kLevels1[] = {-1, 0, 1}, kLevels2[] = {8, 25, 43};
constexpr int kLevels3[] = {4, 12, 20, 28, 36, 44, 52, 62}, kLevels3S[] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr auto kGrid1 = expand<8, 2>(kIQ1_SCodes, kLevels1);
constexpr auto kGrid2Xxs = expand<8, 2>(kIQ2_XXSCodes, kLevels2);
constexpr auto kGrid2Xs = expand<8, 2>(kIQ2_XSCodes, kLevels2);
constexpr auto kGrid2S = expand<8, 2>(kIQ2_SCodes, kLevels2);
constexpr auto kGrid3Xxs = expand<4, 3>(kIQ3_XXSCodes, kLevels3);
constexpr auto kGrid3S = expand<4, 3>(kIQ3_SCodes, kLevels3S);

/// The levels of IQ4_NL and IQ4_XS.
constexpr float kLevels4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// Signs of seven bits with the eighth.
UFUSE_INLINE std::uint32_t even_signs(std::uint32_t index) {
  return index | static_cast<std::uint32_t>(__builtin_parity(index)) << 7;
}

/// A register of values from value `first` on of rows of so many.
template <int Values, class Row>
UFUSE_INLINE Int rows_at(int first, Row row) {
  using Word = std::conditional_t<Values == 8, std::int64_t, std::int32_t>;
  if constexpr (kLanes > Values) {  // in a register: stored apart, they would be waited for
    Vec<Word, kLanes / Values> words{};
#pragma GCC unroll 4
    for (int i = 0; i < kLanes / Values; ++i) words.v[i] = load_as<Word>(row(first / Values + i));
    return convert<Int>(bitcast<Vec<std::int8_t, kLanes>>(words));
  } else {
    return load_signed_bytes(row(first / Values) + first % Values);
  }
}

/// Sixteen values: two rows of eight or four of four, times d, minus where a bit of `signs` is set.
template <int Values, class Row>
UFUSE_INLINE void put_signed(float* to, float d, std::uint32_t signs, Row row) {
  const Int bit = lane_bits();
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += kLanes) {
    const Float size = to_float(rows_at<Values>(i, row)) * splat<Float>(d);
#if defined(__AVX512F__)
    const Int minus = {
        reinterpret_cast<Int::native>(_mm512_maskz_set1_epi32(static_cast<__mmask16>(signs), INT32_MIN))};
    (void)bit;
#else
    const Int set = splat<Int>(static_cast<std::int32_t>(signs >> i)) & bit;
    const Int minus = (set == bit) & splat<Int>(INT32_MIN);
#endif
    bitcast<Float>(bitcast<Int>(size) ^ minus).store(to + i);
  }
}

/// Sixteen values d * (row + delta) of two rows of eight.
template <class Row>
UFUSE_INLINE void put_shifted(float* to, float d, const float (&delta)[2], Row row) {
  for (int i = 0; i < 16; i += kLanes) {
    Float shift = splat<Float>(delta[i / 8]);
    if constexpr (kLanes > 8) shift = select(lane_bits() < splat<Int>(256), shift, splat<Float>(delta[1]));
    ((to_float(rows_at<8>(i, row)) + shift) * splat<Float>(d)).store(to + i);
  }
}

/// 0.125, or with a bit -0.125; no branch, which would be guessed wrong half the time.
UFUSE_INLINE float eighth(std::uint32_t minus) { return bitcast<float>(0x3e000000U | minus << 31); }

UFUSE_INLINE Float levels4(Int code) {
#if defined(__AVX512F__)
  return {_mm512_permutexvar_ps(reinterpret_cast<__m512i>(code.v), _mm512_loadu_ps(kLevels4))};
#else
  Float values;
  for (int lane = 0; lane < kLanes; ++lane) values.v[lane] = kLevels4[code[lane]];
  return values;
#endif
}

/// 32 values in 16 bytes: byte j has value j and, above, value j + 16.
UFUSE_INLINE void put_levels4(float* to, float d, const std::uint8_t* from) {
  for (int i = 0; i < 16; i += kLanes) {
    const Int byte = load_bytes(from + i);
    (levels4(byte & splat<Int>(15)) * splat<Float>(d)).store(to + i);
    (levels4(byte >> 4) * splat<Float>(d)).store(to + 16 + i);
  }
}

/// The W lowest nibbles of a word.
template <int W>
UFUSE_INLINE Vec<std::int32_t, W> nibbles_of(std::uint64_t word) {
  using V = Vec<std::int32_t, W>;
  const auto low = splat<Vec<std::uint32_t, W>>(static_cast<std::uint32_t>(word));
  Vec<std::uint32_t, W> shift{};
  auto both = low;
  for (int lane = 0; lane < W; ++lane) {
    shift.v[lane] = static_cast<std::uint32_t>(lane % 8 * 4);
    if (lane >= 8) both.v[lane] = static_cast<std::uint32_t>(word >> 32);
  }
  return bitcast<V>(Vec<std::uint32_t, W>{both.v >> shift.v}) & splat<V>(15);
}

/// Scales d * (code + 1/2) / 4 for 16 codes of four bits.
UFUSE_INLINE void quarter_scales(float (&to)[16], float d, const std::uint8_t* from) {
  const auto word = load_as<std::uint64_t>(from);
  for (int i = 0; i < 16; i += kLanes)
    (splat<Float>(d) * (splat<Float>(0.5F) + to_float(nibbles_of<kLanes>(word >> (4 * i)))) *
     splat<Float>(0.25F))
        .store(to + i);
}

UFUSE_INLINE std::uint32_t nibble(const std::uint8_t* from, int i) {
  return static_cast<std::uint32_t>(from[i / 2] >> (i % 2 * 4) & 15);
}

}  // namespace

// d; for each 32 values four indices of 8 bits, then 28 bits of signs and a scale of 4.
void IQ2_XXS::decode(const DecodeCall& call) {
  each_super_block<66>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    const float d = one_half(from);
#pragma GCC unroll 8
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t* const index = from + 2 + part * 8;
      const auto rest = load_as<std::uint32_t>(index + 4);
      const float scale = d * (0.5F + static_cast<float>(rest >> 28)) * 0.25F;
      for (int k = 0; k < 2; ++k)
        put_signed<8>(to + part * 32 + k * 16, scale,
                      even_signs(rest >> (14 * k) & 127) | even_signs(rest >> (14 * k + 7) & 127) << 8,
                      [&](int i) { return kGrid2Xxs.at[index[k * 2 + i]]; });
    }
  });
}

// d; an index of 9 bits and signs of 7 for each 8 values; scales of 4 bits for each 16.
void IQ2_XS::decode(const DecodeCall& call) {
  each_super_block<74>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    std::int32_t index[32];
    std::uint8_t signs[32];
    for (int i = 0; i < 32; i += kLanes) {
      const Int word = convert<Int>(Half::load(from + 2 + 2 * i));
      (word & splat<Int>(511)).store(index + i);
      const Int sign = word >> 9, half = sign ^ sign >> 4, pair = half ^ half >> 2;
      store_bytes(signs + i, sign | ((pair ^ pair >> 1) & splat<Int>(1)) << 7);
    }
    float scales[16];
    quarter_scales(scales, one_half(from), from + 66);
#pragma GCC unroll 16
    for (int part = 0; part < 16; ++part)
      put_signed<8>(to + part * 16, scales[part], load_as<std::uint16_t>(signs + part * 2),
                    [&](int i) { return kGrid2Xs.at[index[part * 2 + i]]; });
  });
}

// d; low 8 bits of the indices; signs; high 2 bits; scales as in IQ2_XS.
void IQ2_S::decode(const DecodeCall& call) {
  each_super_block<82>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    std::int32_t index[32];
    for (int i = 0; i < 32; i += kLanes) {
      const auto high = load_as<std::uint32_t>(from + 66 + i / 16 * 4) >> (i % 16 * 2);
      const Int two = shifted_right(splat<Int>(static_cast<std::int32_t>(high)), every<2>()) & splat<Int>(3);
      (load_bytes(from + 2 + i) | two << 8).store(index + i);
    }
    float scales[16];
    quarter_scales(scales, one_half(from), from + 74);
#pragma GCC unroll 16
    for (int part = 0; part < 16; ++part)
      put_signed<8>(to + part * 16, scales[part], load_as<std::uint16_t>(from + 34 + part * 2),
                    [&](int i) { return kGrid2S.at[index[part * 2 + i]]; });
  });
}

// d; indices of 8 bits for each 4 values; for each 32 values 28 bits of signs and a scale of 4.
void IQ3_XXS::decode(const DecodeCall& call) {
  each_super_block<98>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    const float d = one_half(from);
#pragma GCC unroll 8
    for (int part = 0; part < 8; ++part) {
      const std::uint8_t* const index = from + 2 + part * 8;
      const auto rest = load_as<std::uint32_t>(from + 66 + part * 4);
      const float scale = d * (0.5F + static_cast<float>(rest >> 28)) * 0.5F;
      for (int k = 0; k < 2; ++k)
        put_signed<4>(to + part * 32 + k * 16, scale,
                      even_signs(rest >> (14 * k) & 127) | even_signs(rest >> (14 * k + 7) & 127) << 8,
                      [&](int i) { return kGrid3Xxs.at[index[k * 4 + i]]; });
    }
  });
}

// d; low 8 bits of the indices; ninth bits; signs; scales of 4 bits for each 32 values, odd multiples of d.
void IQ3_S::decode(const DecodeCall& call) {
  each_super_block<110>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    const float d = one_half(from);
    std::int32_t index[64];
    for (int i = 0; i < 64; i += kLanes) {
      const auto high = load_as<std::uint16_t>(from + 66 + i / 16 * 2) >> (i % 16);
      const Int ninth = splat<Int>(high) & lane_bits();
      (load_bytes(from + 2 + i) | ((ninth != splat<Int>(0)) & splat<Int>(256))).store(index + i);
    }
#pragma GCC unroll 16
    for (int part = 0; part < 16; ++part) {
      const float scale = d * static_cast<float>(1 + 2 * static_cast<int>(nibble(from + 106, part / 2)));
      put_signed<4>(to + part * 16, scale, load_as<std::uint16_t>(from + 74 + part * 2),
                    [&](int i) { return kGrid3S.at[index[part * 4 + i]]; });
    }
  });
}

// d; low 8 bits of the indices; for each 32 values four times 3 high bits, 3 bits of an odd scale, the sign
// of an eighth that is added to all.
void IQ1_S::decode(const DecodeCall& call) {
  each_super_block<50>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    const float d = one_half(from);
#pragma GCC unroll 8
    for (int part = 0; part < 8; ++part) {
      const std::uint32_t high = load_as<std::uint16_t>(from + 34 + part * 2);
      const float scale = d * static_cast<float>(2 * (high >> 12 & 7) + 1);
      const float delta = eighth(high >> 15);
      for (int k = 0; k < 2; ++k)
        put_shifted(to + part * 32 + k * 16, scale, {delta, delta}, [&](int i) {
          return kGrid1.at[from[2 + part * 4 + k * 2 + i] | (high >> (6 * k + 3 * i) & 7) << 8];
        });
    }
  });
}

// Low 8 bits of the indices; 3 high bits and the sign of an eighth for each 8 values; four words of four
// scales of 3 bits and a quarter of d.
void IQ1_M::decode(const DecodeCall& call) {
  each_super_block<56>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    const auto words = load_as<std::uint64_t>(from + 48);
    std::uint16_t code = 0;
    for (int i = 0; i < 4; ++i)
      code = static_cast<std::uint16_t>(code | (words >> (16 * i + 12) & 15) << (4 * i));
    std::uint8_t bytes[2];
    std::memcpy(bytes, &code, sizeof code);
    const float d = one_half(bytes);
    std::int32_t index[32];
    float eighths[32];
    for (int i = 0; i < 32; i += kLanes) {
      const std::uint64_t high = load_as<std::uint64_t>(from + 32 + i / 16 * 8) >> (i % 16 * 4);
      const Int four = nibbles_of<kLanes>(high);
      (load_bytes(from + i) | (four & splat<Int>(7)) << 8).store(index + i);
      (((four & splat<Int>(8)) << 28) | splat<Int>(0x3e000000)).store(eighths + i);
    }
#pragma GCC unroll 16
    for (int part = 0; part < 16; ++part) {
      const int odd = static_cast<int>(words >> (part / 4 * 16 + part % 4 * 3) & 7) * 2 + 1;
      put_shifted(to + part * 16, d * static_cast<float>(odd), {eighths[part * 2], eighths[part * 2 + 1]},
                  [&](int i) { return kGrid1.at[index[part * 2 + i]]; });
    }
  });
}

// d; codes of 4 bits.
void IQ4_NL::decode(const DecodeCall& call) {
  for (std::int64_t block = 0; block < call.blocks; ++block) {
    const std::uint8_t* const from = call.codes + block * 18;
    put_levels4(call.values + block * 32, one_half(from), from + 2);
  }
}

// d; for each 32 values a scale of 6 bits less 32: the high two of all, then the low four; codes of 4 bits.
void IQ4_XS::decode(const DecodeCall& call) {
  each_super_block<136>(call, [](const std::uint8_t* from, float* to) __attribute__((always_inline)) {
    const float d = one_half(from);
    const std::uint32_t high = load_as<std::uint16_t>(from + 2);
#pragma GCC unroll 8
    for (int part = 0; part < 8; ++part) {
      const auto scale = static_cast<int>(nibble(from + 4, part) | (high >> (2 * part) & 3) << 4) - 32;
      put_levels4(to + part * 32, d * static_cast<float>(scale), from + 8 + part * 16);
    }
  });
}

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
