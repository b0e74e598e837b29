// Keys of a range, packed: a compare, a permutation and a whole store per register.
//
// A store that writes the wanted lanes alone (vpcompressd to memory) takes some hundred cycles on Zen 4;
// packing in the register and storing all of it, to be overwritten by the next, takes two.
#pragma once

#include "order/keys.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__AVX512F__)

template <class K>
struct Lanes512;
template <>
struct Lanes512<std::uint32_t> {
  using Mask = __mmask16;
  static UFUSE_INLINE __m512i splat(std::uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static UFUSE_INLINE Mask below(__m512i a, __m512i b) { return _mm512_cmplt_epu32_mask(a, b); }
  static UFUSE_INLINE Mask up_to(__m512i a, __m512i b) { return _mm512_cmple_epu32_mask(a, b); }
  static UFUSE_INLINE __m512i minus(__m512i a, __m512i b) { return _mm512_sub_epi32(a, b); }
  static UFUSE_INLINE __m512i pack(Mask m, __m512i a) { return _mm512_maskz_compress_epi32(m, a); }
};
template <>
struct Lanes512<std::uint64_t> {
  using Mask = __mmask8;
  static UFUSE_INLINE __m512i splat(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static UFUSE_INLINE Mask below(__m512i a, __m512i b) { return _mm512_cmplt_epu64_mask(a, b); }
  static UFUSE_INLINE Mask up_to(__m512i a, __m512i b) { return _mm512_cmple_epu64_mask(a, b); }
  static UFUSE_INLINE __m512i minus(__m512i a, __m512i b) { return _mm512_sub_epi64(a, b); }
  static UFUSE_INLINE __m512i pack(Mask m, __m512i a) { return _mm512_maskz_compress_epi64(m, a); }
};

/// Filters whole registers; returns how many keys are done.
template <class K>
UFUSE_INLINE std::int64_t filter_registers(const K* keys, std::int64_t count, K low, K span, K* out,
                                           Filtered& found) {
  using L = Lanes512<K>;
  constexpr int W = Register<K>::size;
  const __m512i lows = L::splat(low), spans = L::splat(span);
  K* to = out;
  std::int64_t below = 0, i = 0;
  for (; i + W <= count; i += W) {
    const __m512i x = _mm512_loadu_si512(keys + i);
    const auto in = L::up_to(L::minus(x, lows), spans);
    below += __builtin_popcount(L::below(x, lows));
    _mm512_storeu_si512(to, L::pack(in, x));
    to += __builtin_popcount(in);
  }
  found = {below, to - out};
  return i;
}

#elif defined(__AVX2__)

/// For each mask of lanes the permutation (of 32-bit halves) that brings them to the front.
template <class K>
struct PackTable {
  static constexpr int kLanes = 32 / static_cast<int>(sizeof(K));
  alignas(32) std::uint32_t at[1 << kLanes][8];
  constexpr PackTable() : at{} {
    for (int mask = 0; mask < 1 << kLanes; ++mask) {
      int n = 0;
      for (int lane = 0; lane < kLanes; ++lane)
        if (mask >> lane & 1)
          for (int half = 0; half < 8 / kLanes; ++half)
            at[mask][n++] = static_cast<std::uint32_t>(lane * (8 / kLanes) + half);
    }
  }
};
template <class K>
inline constexpr PackTable<K> kPack{};

template <class K, class M>
UFUSE_INLINE int bits_of(M mask) {
  if constexpr (sizeof(K) == 4)
    return _mm256_movemask_ps(reinterpret_cast<__m256>(mask.v));
  else
    return _mm256_movemask_pd(reinterpret_cast<__m256d>(mask.v));
}

template <class K>
UFUSE_INLINE std::int64_t filter_registers(const K* keys, std::int64_t count, K low, K span, K* out,
                                           Filtered& found) {
  using V = Register<K>;
  constexpr int W = V::size;
  const V lows = splat<V>(low), spans = splat<V>(span);
  K* to = out;
  std::int64_t below = 0, i = 0;
  for (; i + W <= count; i += W) {
    const V x = V::load(keys + i);
    const int in = bits_of<K>(x - lows <= spans);
    below += __builtin_popcount(static_cast<unsigned>(bits_of<K>(x < lows)));
    const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPack<K>.at[in]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm256_permutevar8x32_epi32(reinterpret_cast<__m256i>(x.v), order));
    to += __builtin_popcount(static_cast<unsigned>(in));
  }
  found = {below, to - out};
  return i;
}

#else

template <class K>
UFUSE_INLINE std::int64_t filter_registers(const K*, std::int64_t, K, K, K*, Filtered& found) {
  found = {0, 0};
  return 0;
}

#endif

template <class K>
Filtered filter(const K* keys, std::int64_t count, K low, K span, K* out) {
  Filtered found;
  std::int64_t i = filter_registers(keys, count, low, span, out, found);
  for (; i < count; ++i) {
    const K x = keys[i];
    out[found.inside] = x;
    found.inside += static_cast<K>(x - low) <= span;
    found.below += x < low;
  }
  return found;
}

template <class K>
std::int64_t filter_indexed(const K* keys, std::int64_t count, K high, std::int64_t first, K* out,
                            std::int64_t* index) {
  std::int64_t n = 0, i = 0;
  using V = Register<K>;
  constexpr int W = V::size;
  for (; i + W <= count; i += W) {  // hardly ever is there one in a register
#if defined(__AVX512F__)
    const bool none = Lanes512<K>::up_to(_mm512_loadu_si512(keys + i), Lanes512<K>::splat(high)) == 0;
#else
    const auto in = V::load(keys + i) <= splat<V>(high);
    bool none = true;
    for (int lane = 0; lane < W; ++lane) none &= in.v[lane] == 0;
#endif
    if (none) continue;
    for (int lane = 0; lane < W; ++lane) {
      out[n] = keys[i + lane];
      index[n] = first + i + lane;
      n += keys[i + lane] <= high;
    }
  }
  for (; i < count; ++i) {
    out[n] = keys[i];
    index[n] = first + i;
    n += keys[i] <= high;
  }
  return n;
}

template <class K>
std::int64_t count_above(const K* keys, std::int64_t count, K limit) {
  std::int64_t n = 0, i = 0;
  using V = Register<K>;
  constexpr int W = V::size;
#if defined(__AVX512F__)
  const auto limits = Lanes512<K>::splat(limit);
  for (; i + W <= count; i += W)
    n += __builtin_popcount(Lanes512<K>::below(limits, _mm512_loadu_si512(keys + i)));
#else
  // Lanes count in K: at most as many as fit.
  while (i + W <= count) {
    const std::int64_t rounds = (count - i) / W, end = i + (rounds < 65536 ? rounds : 65536) * W;
    V seen = splat<V>(0);
    for (; i < end; i += W) seen = seen - bitcast<V>(V::load(keys + i) > splat<V>(limit));
    for (int lane = 0; lane < W; ++lane) n += static_cast<std::int64_t>(seen.v[lane]);
  }
#endif
  for (; i < count; ++i) n += keys[i] > limit;
  return n;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
