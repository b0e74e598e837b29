// The virtual lanes of a chunk in registers: loading a short tail, folding by halves.
#pragma once

#include <utility>

#include "reduce/kernels.hpp"
#include "reduce/reducers.hpp"
#include "simd/half.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// The first `count` lanes from memory, `fill` in the others. Reads nothing past them.
template <class V>
UFUSE_INLINE V load_partial(const void* from, std::int64_t count, lane_t<V> fill) {
  const V filler = splat<V>(fill);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  // A masked load by bytes serves every element type, and is 10 times a copy through memory.
  const auto bytes = static_cast<unsigned>(count * static_cast<std::int64_t>(sizeof(lane_t<V>)));
  const std::uint64_t mask = _bzhi_u64(~std::uint64_t{0}, bytes);
  if constexpr (bytes_of<V> == 64) {
    return {(typename V::native)_mm512_mask_loadu_epi8((__m512i)filler.v, mask, from)};
  } else if constexpr (bytes_of<V> == 32) {
    return {
        (typename V::native)_mm256_mask_loadu_epi8((__m256i)filler.v, static_cast<__mmask32>(mask), from)};
  } else if constexpr (bytes_of<V> == 16) {
    return {(typename V::native)_mm_mask_loadu_epi8((__m128i)filler.v, static_cast<__mmask16>(mask), from)};
  }
#endif
  alignas(64) lane_t<V> pad[V::size];
  filler.store(pad);
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(pad + i, static_cast<const char*>(from) + i * static_cast<std::int64_t>(sizeof(lane_t<V>)),
                sizeof(lane_t<V>));
  return V::load(pad);
}

/// Stores the first `count` lanes, and nothing past them.
template <class V>
UFUSE_INLINE void store_partial(void* to, V v, std::int64_t count) {
  const auto bytes = static_cast<unsigned>(count * static_cast<std::int64_t>(sizeof(lane_t<V>)));
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  if constexpr (bytes_of<V> == 64)
    return _mm512_mask_storeu_epi8(to, _bzhi_u64(~std::uint64_t{0}, bytes), (__m512i)v.v);
#endif
  alignas(64) char pad[sizeof v.v];
  v.store(pad);
  std::memcpy(to, pad, bytes);
}

/// Folds the lanes of one register by halves: l with l + N/2, then N/4, ...
template <class R, class T, int N>
UFUSE_INLINE T fold_lanes(Vec<T, N> v) {
  if constexpr (N == 2) {
    return R::fold(T{v.v[0]}, T{v.v[1]});
  } else {
    using Half = Vec<T, N / 2>;
    Half low, high;
    std::memcpy(&low.v, &v.v, sizeof low.v);
    std::memcpy(&high.v, reinterpret_cast<const char*>(&v.v) + sizeof low.v, sizeof high.v);
    return fold_lanes<R>(Half{R::fold(low, high)});
  }
}

/// Folds K registers of lanes: the lanes of register k follow those of register k - 1.
template <class R, int K, class V>
UFUSE_INLINE lane_t<V> fold_registers(V (&r)[K]) {
  for (int half = K / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) r[k] = R::fold(r[k], r[k + half]);
  return fold_lanes<R>(r[0]);
}

using reducers::canonical;

// --- accumulators within a chunk ---------------------------------------------------------------------------

template <class R, class T>
inline constexpr bool counts_elements = std::is_same_v<R, reducers::nonzero<T>> && sizeof(T) <= 4;
template <class R, class T>
inline constexpr bool adds_small =
    counts_elements<R, T> || (std::is_same_v<R, reducers::sum<T>> && R::exact && sizeof(T) <= 2);

/// The accumulator of a lane: 1024 elements of one or two bytes, or counts of elements, add up in 32 bits;
/// counts of two bytes in those.
template <class R, class T>
using lane_sum_t = std::conditional_t<counts_elements<R, T> && sizeof(T) == 2, std::int16_t,
                                      std::conditional_t<adds_small<R, T>, std::int32_t, typename R::wide>>;

/// What kRowsPerStep rows of columns add up in, before they go to the lane: the narrower, the more columns
/// fit a register.
template <class R, class T>
using step_sum_t = std::conditional_t<
    counts_elements<R, T>, typename IntOf<sizeof(T)>::type,
    std::conditional_t<adds_small<R, T> && sizeof(T) == 1, std::int16_t, lane_sum_t<R, T>>>;

// --- where elements come from ------------------------------------------------------------------------------

/// Elements as they are.
template <class S>
struct Plain {
  using value = S;
  static constexpr std::int64_t bytes = sizeof(S);
  template <int W>
  static UFUSE_INLINE Vec<S, W> load(const char* from) {
    return Vec<S, W>::load(from);
  }
  template <int W>
  static UFUSE_INLINE Vec<S, W> partial(const char* from, std::int64_t count, S fill) {
    return load_partial<Vec<S, W>>(from, count, fill);
  }
  static UFUSE_INLINE S one(const char* from) {
    S x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
};

template <class V, std::size_t... Lane>
UFUSE_INLINE V reversed(V x, std::index_sequence<Lane...>) {
#if defined(__clang__)
  return {__builtin_shufflevector(x.v, x.v, (V::size - 1 - static_cast<int>(Lane))...)};
#else
  using I = typename IntOf<sizeof(lane_t<V>)>::type;
  return {__builtin_shuffle(
      x.v, typename Vec<I, V::size>::native{static_cast<I>(V::size - 1 - static_cast<int>(Lane))...})};
#endif
}

/// Whether rows and columns of a simple reducer ask for memory ahead of its use: where an element is one or
/// two bytes, or mapped first. Others only wait for memory, and read in order.
template <class R, class Source>
inline constexpr bool asks_ahead = Source::bytes < 4 || requires(Vec<float, 4> x) { R::map(x); };

/// Of rows sums and products of floats do too, which are widened. One core of a Granite Rapids, flushed from
/// all caches: sums of float32 12.5 GB/s, and 16.1 so, of rows of 64 of them 11.4 and 17.4, of float64 13.3
/// and 15.6; from its second and third cache the same either way. Extremes 17.2, and 13.9 so.
template <class R, class Source>
inline constexpr bool rows_ask_ahead = asks_ahead<R, Source> || !R::exact;

/// Elements as they are that run backwards from the first.
template <class S>
struct Backward {
  using value = S;
  static constexpr std::int64_t bytes = -static_cast<std::int64_t>(sizeof(S));
  template <int W>
  static UFUSE_INLINE Vec<S, W> load(const char* from) {
    return reversed(Vec<S, W>::load(from + (W - 1) * bytes), std::make_index_sequence<W>{});
  }
  template <int W>
  static UFUSE_INLINE Vec<S, W> partial(const char* from, std::int64_t count, S fill) {
    S values[W];
    for (int i = 0; i < W; ++i) values[i] = i < count ? one(from + i * bytes) : fill;
    return Vec<S, W>::load(values);
  }
  static UFUSE_INLINE S one(const char* from) { return Plain<S>::one(from); }
};

/// The component of a state that `folded` elements make.
template <class Source, class T>
UFUSE_INLINE auto state_value(T folded) {
  if constexpr (requires { Source::decoded(folded); })
    return Source::decoded(folded);
  else
    return canonical(folded);
}

/// Elements as they are, but `fill` where the bytes of `mask` are 0.
template <int W, class S>
UFUSE_INLINE Vec<S, W> load_masked(const char* from, const std::uint8_t* mask, Vec<S, W> fill) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  // Bytes to bits and a load with those, where the comparison and selection below are four instructions.
  if constexpr (W == 8 && sizeof(S) >= 4) {
    std::int64_t bytes;
    std::memcpy(&bytes, mask, sizeof bytes);
    const __m128i some = _mm_cvtsi64_si128(bytes);
    const auto bits = static_cast<__mmask8>(_mm_test_epi8_mask(some, some));
    if constexpr (sizeof(S) == 4)
      return {(typename Vec<S, W>::native)_mm256_mask_loadu_epi32((__m256i)fill.v, bits, from)};
    else
      return {(typename Vec<S, W>::native)_mm512_mask_loadu_epi64((__m512i)fill.v, bits, from)};
  } else if constexpr (W == 16 && sizeof(S) == 4) {
    const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(mask));
    return {(typename Vec<S, W>::native)_mm512_mask_loadu_epi32((__m512i)fill.v,
                                                                _mm_test_epi8_mask(some, some), from)};
  }
#endif
  using Bits = Vec<typename IntOf<sizeof(S)>::type, W>;
  const auto kept = convert<Bits>(Vec<std::uint8_t, W>::load(mask)) != splat<Bits>(0);
  return select(kept, Vec<S, W>::load(from), fill);
}

/// The first `count` of W elements, and `fill` for the others and where the bytes of `mask` are 0.
template <int W, class S>
UFUSE_INLINE Vec<S, W> load_masked_partial(const char* from, const std::uint8_t* mask, std::int64_t count,
                                           Vec<S, W> fill) {
  using Bits = Vec<typename IntOf<sizeof(S)>::type, W>;
  const auto bytes = load_partial<Vec<std::uint8_t, W>>(mask, count, 0);
  return select(convert<Bits>(bytes) != splat<Bits>(0), load_partial<Vec<S, W>>(from, count, S{0}), fill);
}

/// Codes of 16-bit floats, decoded in registers.
template <class Decode>
struct Coded {
  using value = float;
  static constexpr std::int64_t bytes = 2;
  template <int W>
  static UFUSE_INLINE Vec<float, W> load(const char* from) {
    return Decode::template decode<W>(Vec<std::uint16_t, W>::load(from));
  }
  template <int W>
  static UFUSE_INLINE Vec<float, W> partial(const char* from, std::int64_t count, float fill) {
    std::uint16_t codes[W] = {};
    std::memcpy(codes, from, static_cast<std::size_t>(count) * sizeof codes[0]);
    float values[W];
    Decode::template decode<W>(Vec<std::uint16_t, W>::load(codes)).store(values);
    for (std::int64_t i = count; i < W; ++i) values[i] = fill;
    return Vec<float, W>::load(values);
  }
  static UFUSE_INLINE float one(const char* from) {
    std::uint16_t code;
    std::memcpy(&code, from, sizeof code);
    return Decode::template decode<4>(splat<Vec<std::uint16_t, 4>>(code))[0];
  }
};
struct DecodeHalf {
  static constexpr int infinity = 0x7c00;
  template <int W>
  static UFUSE_INLINE Vec<float, W> decode(Vec<std::uint16_t, W> codes) {
    return half_to_float(codes);
  }
};
struct DecodeBfloat16 {
  static constexpr int infinity = 0x7f80;
  template <int W>
  static UFUSE_INLINE Vec<float, W> decode(Vec<std::uint16_t, W> codes) {
    return bfloat16_to_float(codes);
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
