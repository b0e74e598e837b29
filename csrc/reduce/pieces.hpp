// What is done to pieces that cannot be folded as they lie: masked, or of another type.
#pragma once

#include <algorithm>

#include "reduce/lanes.hpp"
#include "simd/half.hpp"
#include "simd/moves.hpp"
#include "simd/split.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class U>
void mask_out(void* to, const void* from, const std::uint8_t* mask, const void* fill, std::int64_t count) {
  using V = Register<U>;
  using Mask = Vec<std::uint8_t, V::size>;
  auto* out = static_cast<U*>(to);
  const auto* in = static_cast<const char*>(from);
  U value;
  std::memcpy(&value, fill, sizeof value);
  std::int64_t i = 0;
  for (; i + V::size <= count; i += V::size) {
    const V x = V::load(in + i * static_cast<std::int64_t>(sizeof(U)));
    select(convert<V>(Mask::load(mask + i)) != splat<V>(U{0}), x, splat<V>(value)).store(out + i);
  }
  for (; i < count; ++i) {
    U x;
    std::memcpy(&x, in + i * static_cast<std::int64_t>(sizeof(U)), sizeof x);
    out[i] = mask[i] != 0 ? x : value;
  }
}

/// The same with a fill for each column, and the elements left counted.
template <class T>
void mask_columns(void* to, const void* from, const std::uint8_t* mask, const double* fill, double* counts,
                  std::int64_t count) {
  using S [[gnu::aligned(1), gnu::may_alias]] = reducers::storage_t<T>;
  auto* out = static_cast<reducers::storage_t<T>*>(to);
  const auto* in = static_cast<const S*>(from);
#pragma GCC ivdep
  for (std::int64_t c = 0; c < count; ++c) {  // nothing overlaps
    counts[c] += mask[c];
    const auto value = static_cast<reducers::storage_t<T>>(fill[c]);
    out[c] = mask[c] != 0 ? in[c] : value;
  }
}

/// What a rounding to float16 must know of a float64, in a float32: rounded towards zero, with a last bit
/// that tells whether anything was cut off (Boldo and Melquiond, "Emulation of FMA and correctly rounded
/// sums: proved algorithms using rounding to odd", 2008).
template <int W>
UFUSE_INLINE Vec<float, W> to_odd(Vec<double, W> x) {
  using I = Vec<std::int64_t, W>;
  constexpr std::int64_t kCut = (std::int64_t{1} << 29) - 1;
  const I bits = bitcast<I>(x), cut = splat<I>(kCut);
  const I sticky = ((bits & cut) + cut) & splat<I>(kCut + 1);
  return convert<Vec<float, W>>(bitcast<Vec<double, W>>((bits & ~cut) | sticky));
}
template <int W>
UFUSE_INLINE Vec<float, W> to_odd(Vec<float, W> x) {
  return x;
}

template <class T>
void to_half(std::uint16_t* to, const void* from, std::int64_t count) {
  using V = Register<T>;
  const auto* in = static_cast<const T*>(from);
  std::int64_t i = 0;
  for (; i + V::size <= count; i += V::size) float_to_half(to_odd(V::load(in + i))).store(to + i);
  if (i == count) return;
  std::uint16_t codes[V::size];
  float_to_half(to_odd(load_partial<V>(in + i, count - i, T{0}))).store(codes);
  std::memcpy(to + i, codes, static_cast<std::size_t>(count - i) * sizeof codes[0]);
}

/// Adds the first W of some sums of bytes to counts.
template <int W>
UFUSE_INLINE void add_counts(double* counts, Vec<std::uint8_t, W> sums) {
  (Vec<double, W>::load(counts) + convert<Vec<double, W>>(convert<Vec<std::int64_t, W>>(sums))).store(counts);
}

inline void count_columns(double* counts, const std::uint8_t* const* mask, std::int64_t rows,
                          std::int64_t columns) {
  constexpr int W = kRegisterBytes / 8;
  auto sum = [mask, rows](auto bytes, std::int64_t c) __attribute__((always_inline)) {
    using V = decltype(bytes);
    auto total = V::load(mask[0] + c);
    for (std::int64_t r = 1; r < rows; ++r) total = total + V::load(mask[r] + c);
    return total;
  };
  std::int64_t c = 0;
  for (; c + kRegisterBytes <= columns; c += kRegisterBytes) {
    std::uint8_t sums[kRegisterBytes];
    sum(Register<std::uint8_t>{}, c).store(sums);
    for (int k = 0; k < kRegisterBytes; k += W)
      add_counts(counts + c + k, Vec<std::uint8_t, W>::load(sums + k));
  }
  for (; c + W <= columns; c += W) add_counts(counts + c, sum(Vec<std::uint8_t, W>{}, c));
  for (; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r) counts[c] += mask[r][c];
}

/// The two halves of each lane of U, added.
template <class U, class V>
UFUSE_INLINE Register<U> halves_added(V lanes) {
  constexpr int kHalf = static_cast<int>(sizeof(U)) * 4;
  const auto wide = bitcast<Register<U>>(lanes);
  return (wide & splat<Register<U>>(static_cast<U>((U{1} << kHalf) - 1))) + (wide >> kHalf);
}

/// The sum of bytes that are 0 or 1.
inline std::int64_t count_bytes(const std::uint8_t* mask, std::int64_t count) {
  using V = Register<std::uint8_t>;
  std::int64_t total = 0, i = 0;
  while (i + V::size <= count) {
    V sums = splat<V>(0);
    const std::int64_t end = i + std::min<std::int64_t>(255, (count - i) / V::size) * V::size;
    for (; i < end; i += V::size) sums = sums + V::load(mask + i);
    // Neighbours are added into lanes twice as wide, thrice: lane by lane was a fifth of a masked variance.
    const auto pairs = halves_added<std::uint16_t>(sums);
    const auto eights = halves_added<std::uint64_t>(halves_added<std::uint32_t>(pairs));
    for (int lane = 0; lane < eights.size; ++lane) total += static_cast<std::int64_t>(eights[lane]);
  }
  for (; i < count; ++i) total += mask[i];
  return total;
}

template <class T>
void not_nan(std::uint8_t* mask, const void* data, std::int64_t count, bool both) {
  const auto* at = static_cast<const T*>(data);
  if (both) {
    for (std::int64_t i = 0; i < count; ++i) mask[i] = static_cast<std::uint8_t>(mask[i] & (at[i] == at[i]));
  } else {
    for (std::int64_t i = 0; i < count; ++i) mask[i] = at[i] == at[i];
  }
}

template <class Decode>
UFUSE_INLINE void decode_16(float* to, const void* from, std::int64_t count, Decode decode) {
  constexpr int W = kRegisterBytes / 4;
  using Codes = Vec<std::uint16_t, W>;
  const auto* at = static_cast<const std::uint16_t*>(from);
  std::int64_t i = 0;
  for (; i + W <= count; i += W) decode(Codes::load(at + i)).store(to + i);
  if (i == count) return;
  std::uint16_t codes[W] = {};
  float values[W];
  std::memcpy(codes, at + i, static_cast<std::size_t>(count - i) * sizeof *at);
  decode(Codes::load(codes)).store(values);
  std::memcpy(to + i, values, static_cast<std::size_t>(count - i) * sizeof *to);
}

inline void decode_half(float* to, const void* from, std::int64_t count, const float*) {
  decode_16(to, from, count, [](auto codes) { return half_to_float(codes); });
}

inline void decode_bfloat16(float* to, const void* from, std::int64_t count, const float*) {
  decode_16(to, from, count, [](auto codes) { return bfloat16_to_float(codes); });
}

inline void decode_table(float* to, const void* from, std::int64_t count, const float* table) {
  const auto* at = static_cast<const std::uint8_t*>(from);
  for (std::int64_t i = 0; i < count; ++i) to[i] = table[at[i]];
}

template <class T>
void to_f64(double* to, const void* from, std::int64_t count) {
  using S = reducers::storage_t<T>;
  constexpr int W = kRegisterBytes / 8;
  const auto* at = static_cast<const S*>(from);
  std::int64_t i = 0;
  for (; i + W <= count; i += W) convert<Vec<double, W>>(Vec<S, W>::load(at + i)).store(to + i);
  for (; i < count; ++i) to[i] = static_cast<double>(at[i]);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
