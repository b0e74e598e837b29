// Elements to keys and back, one register at a time.
#pragma once

#include <type_traits>

#include "order/kernels.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <int Size>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using type = std::uint8_t;
};
template <>
struct UnsignedOf<2> {
  using type = std::uint16_t;
};
template <>
struct UnsignedOf<4> {
  using type = std::uint32_t;
};
template <>
struct UnsignedOf<8> {
  using type = std::uint64_t;
};

/// How elements of `Size` bytes are seen in keys K. V is K, or a register of it.
template <class K, int Size, KeyKind Kind>
struct KeyMap {
  using Bits = typename UnsignedOf<Size>::type;
  static constexpr int kBits = 8 * Size;
  static constexpr K kTop = K{1} << (kBits - 1);
  static constexpr K kAll = static_cast<K>(~K{0}) >> (8 * static_cast<int>(sizeof(K)) - kBits);
  static constexpr K kNan = static_cast<K>(~K{0});

  static UFUSE_INLINE K to_key(K bits, K infinity) {
    if constexpr (Kind == KeyKind::unsigned_) {
      return bits;
    } else if constexpr (Kind == KeyKind::signed_) {
      return bits ^ kTop;
    } else {
      const K flip = ((K{0} - (bits >> (kBits - 1))) & kAll) | kTop;
      return (bits & (kAll ^ kTop)) > infinity ? kNan : bits ^ flip;
    }
  }

  static UFUSE_INLINE Register<K> to_key(Register<K> bits, K infinity) {
    using V = Register<K>;
    if constexpr (Kind == KeyKind::unsigned_) {
      return bits;
    } else if constexpr (Kind == KeyKind::signed_) {
      return bits ^ splat<V>(kTop);
    } else {
      const V flip = ((splat<V>(0) - (bits >> (kBits - 1))) & splat<V>(kAll)) | splat<V>(kTop);
      const auto nan = (bits & splat<V>(kAll ^ kTop)) > splat<V>(infinity);
      return select(nan, splat<V>(kNan), bits ^ flip);
    }
  }

  /// The bits of the element; a NaN's are those of a quiet one.
  static UFUSE_INLINE Bits to_bits(K key) {
    if constexpr (Kind == KeyKind::unsigned_) {
      return static_cast<Bits>(key);
    } else if constexpr (Kind == KeyKind::signed_) {
      return static_cast<Bits>(key ^ kTop);
    } else {
      const K in = key & kAll;
      const K flip = ((in >> (kBits - 1)) - K{1}) & kAll;
      return static_cast<Bits>(in ^ (flip | kTop));
    }
  }

  static UFUSE_INLINE K load(const char* from, K infinity, bool swap) {
    Bits bits;
    std::memcpy(&bits, from, sizeof bits);
    if constexpr (Size == 2) bits = swap ? __builtin_bswap16(bits) : bits;
    if constexpr (Size == 4) bits = swap ? __builtin_bswap32(bits) : bits;
    if constexpr (Size == 8) bits = swap ? __builtin_bswap64(bits) : bits;
    return to_key(static_cast<K>(bits), infinity);
  }

  /// Keys of a register of neighbours, in this machine's byte order.
  static UFUSE_INLINE Register<K> load(const char* from, K infinity) {
    return to_key(convert<Register<K>>(Vec<Bits, Register<K>::size>::load(from)), infinity);
  }

  /// The element as a number of C++.
  static UFUSE_INLINE auto to_number(K key) {
    const Bits bits = to_bits(key);
    if constexpr (Kind == KeyKind::unsigned_) {
      return bits;
    } else if constexpr (Kind == KeyKind::signed_) {
      return static_cast<std::make_signed_t<Bits>>(bits);
    } else if constexpr (Size == 4) {
      return bitcast<float>(bits);
    } else {
      static_assert(Size == 8);
      return bitcast<double>(bits);
    }
  }
};

/// The first halves of two registers dealt to each other, or the second ones.
template <bool High, class V>
UFUSE_INLINE V zip(V a, V b) {
  constexpr int n = V::size, s = High ? n / 2 : 0;
#if defined(__clang__) || __GNUC__ >= 12
#define UFUSE_DEAL(...) \
  return V { __builtin_shufflevector(a.v, b.v, __VA_ARGS__) }
  if constexpr (n == 16)
    UFUSE_DEAL(s, s + 16, s + 1, s + 17, s + 2, s + 18, s + 3, s + 19, s + 4, s + 20, s + 5, s + 21, s + 6,
               s + 22, s + 7, s + 23);
  else if constexpr (n == 8)
    UFUSE_DEAL(s, s + 8, s + 1, s + 9, s + 2, s + 10, s + 3, s + 11);
  else if constexpr (n == 4)
    UFUSE_DEAL(s, s + 4, s + 1, s + 5);
  else
    UFUSE_DEAL(s, s + 2);
#undef UFUSE_DEAL
#else
  V r;
  for (int i = 0; i < n; ++i) r.v[i] = i % 2 == 0 ? a.v[s + i / 2] : b.v[s + i / 2];
  return r;
#endif
}

/// Rows become columns: each round deals the first half of the rows and the second out to each other, and
/// after log2 of the rows every row is a column.
template <class V>
UFUSE_INLINE void transpose(V (&row)[V::size]) {
  constexpr int n = V::size;
#pragma GCC unroll 4
  for (int round = 1; round < n; round *= 2) {
    V dealt[n];
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) {
      dealt[2 * i] = zip<false>(row[i], row[i + n / 2]);
      dealt[2 * i + 1] = zip<true>(row[i], row[i + n / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) row[i] = dealt[i];
  }
}

template <class K>
UFUSE_INLINE Register<K> smaller(Register<K> a, Register<K> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(K) == 4)
    return {reinterpret_cast<typename Register<K>::native>(
        _mm512_maskz_min_epu32(0xffff, (__m512i)a.v, (__m512i)b.v))};
  else
    return {reinterpret_cast<typename Register<K>::native>(
        _mm512_maskz_min_epu64(0xff, (__m512i)a.v, (__m512i)b.v))};
#else
  return select(b < a, b, a);
#endif
}

template <class K>
UFUSE_INLINE Register<K> larger(Register<K> a, Register<K> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(K) == 4)
    return {reinterpret_cast<typename Register<K>::native>(
        _mm512_maskz_max_epu32(0xffff, (__m512i)a.v, (__m512i)b.v))};
  else
    return {reinterpret_cast<typename Register<K>::native>(
        _mm512_maskz_max_epu64(0xff, (__m512i)a.v, (__m512i)b.v))};
#else
  return select(b < a, a, b);
#endif
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
