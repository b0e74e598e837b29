// Semirings: sums of products with another sum and another product. One struct for each row of
// catalogue/semirings.py.
//
// A sum by minimum or maximum keeps NaN, as NumPy's does. That takes two comparisons more than x86's own
// instruction, so the operands are looked through as they are packed (NaN, infinities), and a panel that
// cannot make a NaN takes the plain one: `careful` says which. Both give the same bits where there is no NaN.
#pragma once

#include "contract/bits.hpp"
#include "contract/elements.hpp"
#include "ops/arithmetic.hpp"
#include "ops/math_exp.hpp"
#include "ops/math_log.hpp"

namespace ufuse {
namespace UFUSE_TIER {

namespace semirings {

template <class V>
inline constexpr bool is_float = ops::is_floating<V>;

/// The smaller of the two, the first where they are equal. `Careful`: NaN where either is.
template <bool Careful, class V>
UFUSE_INLINE V lesser(V a, V b) {
  if constexpr (!is_float<V>) {
    return select(b < a, b, a);
  } else if constexpr (Careful) {
    return select((b < a) | (b != b), b, a);
  } else {
#if defined(__AVX512F__)
    if constexpr (is_vector<V> && sizeof(V) == 64) {
      if constexpr (sizeof(lane_t<V>) == 4)
        return {_mm512_min_ps(b.v, a.v)};
      else
        return {_mm512_min_pd(b.v, a.v)};
    } else
#elif defined(__AVX2__)
    if constexpr (is_vector<V> && sizeof(V) == 32) {
      if constexpr (sizeof(lane_t<V>) == 4)
        return {_mm256_min_ps(b.v, a.v)};
      else
        return {_mm256_min_pd(b.v, a.v)};
    } else
#endif
      return select(b < a, b, a);
  }
}

template <bool Careful, class V>
UFUSE_INLINE V greater(V a, V b) {
  if constexpr (!is_float<V>) {
    return select(b > a, b, a);
  } else if constexpr (Careful) {
    return select((b > a) | (b != b), b, a);
  } else {
#if defined(__AVX512F__)
    if constexpr (is_vector<V> && sizeof(V) == 64) {
      if constexpr (sizeof(lane_t<V>) == 4)
        return {_mm512_max_ps(b.v, a.v)};
      else
        return {_mm512_max_pd(b.v, a.v)};
    } else
#elif defined(__AVX2__)
    if constexpr (is_vector<V> && sizeof(V) == 32) {
      if constexpr (sizeof(lane_t<V>) == 4)
        return {_mm256_max_ps(b.v, a.v)};
      else
        return {_mm256_max_pd(b.v, a.v)};
    } else
#endif
      return select(b > a, b, a);
  }
}

template <class T>
constexpr T lowest() {
  if constexpr (is_float<T>)
    return -static_cast<T>(__builtin_inff());
  else
    return static_cast<T>(T(1) << (8 * sizeof(T) - 1));
}
template <class T>
constexpr T highest() {
  if constexpr (is_float<T>)
    return static_cast<T>(__builtin_inff());
  else
    return static_cast<T>(~lowest<T>());
}

/// Sums that are minima or maxima: where a NaN can come from decides whether to be careful.
struct Least {
  static constexpr bool kLess = true;
  template <class T>
  static constexpr T identity() {
    return highest<T>();
  }
  template <bool Careful, class V>
  static UFUSE_INLINE V plus(V acc, V term) {
    return lesser<Careful>(acc, term);
  }
};
struct Greatest {
  static constexpr bool kLess = false;
  template <class T>
  static constexpr T identity() {
    return lowest<T>();
  }
  template <bool Careful, class V>
  static UFUSE_INLINE V plus(V acc, V term) {
    return greater<Careful>(acc, term);
  }
};
struct Total {
  static constexpr bool kKeepsNaN = true;  // by itself
  template <class T>
  static constexpr T identity() {
    return T(0);
  }
  template <bool, class V>
  static UFUSE_INLINE V plus(V acc, V term) {
    return acc + term;
  }
};
struct OfSums {  // inf - inf
  template <bool, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return a + b;
  }
  static UFUSE_INLINE bool careful(unsigned a, unsigned b) {
    return ((a | b) & kNaN) != 0 || ((a & kPlusInfinity) != 0 && (b & kMinusInfinity) != 0) ||
           ((a & kMinusInfinity) != 0 && (b & kPlusInfinity) != 0);
  }
};

template <class V>
UFUSE_INLINE V distance(V a, V b) {
  if constexpr (is_float<V>)
    return ops::magnitude(a - b);
  else
    return select(a < b, b - a, a - b);
}

struct min_plus : Least, OfSums {};
struct max_plus : Greatest, OfSums {};

struct max_times : Greatest {
  template <bool, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return a * b;
  }
  static UFUSE_INLINE bool careful(unsigned a, unsigned b) { return (a | b) != 0; }  // 0 * inf
};

struct min_max : Least {
  template <bool Careful, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return greater<Careful>(a, b);
  }
  static UFUSE_INLINE bool careful(unsigned a, unsigned b) { return ((a | b) & kNaN) != 0; }
};

struct max_absdiff : Greatest {
  template <class T>
  static constexpr T identity() {
    return T(0);
  }
  template <bool, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return distance(a, b);
  }
  static UFUSE_INLINE bool careful(unsigned a, unsigned b) { return (a | b) != 0; }  // inf - inf
};

struct plus_absdiff : Total {
  template <bool, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return distance(a, b);
  }
};

/// The square and its addition are one fused multiply-add.
struct plus_sqdiff : Total {
  template <bool, class V>
  static UFUSE_INLINE V accumulate(V acc, V a, V b) {
    const V d = a - b;
    if constexpr (is_float<V>)
      return fma(d, d, acc);
    else
      return acc + d * d;
  }
};

struct plus_notequal : Total {
  template <bool, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return select(a != b, splat<V>(lane_t<V>(1)), V{});
  }
};

/// log(exp(acc) + exp(a + b)), from the larger of the two.
struct logaddexp_plus {
  static constexpr bool kKeepsNaN = true;
  static constexpr bool kLong = true;  // a term takes 60 instructions: unrolled, the largest kernel by far
  template <class T>
  static constexpr T identity() {
    return lowest<T>();
  }
  template <bool, class V>
  static UFUSE_INLINE V plus(V acc, V term) {
    const V top = greater<true>(acc, term);
    const V apart = -ops::magnitude(acc - term);
    const V tail = ops::exp::apply(apart);
    // log1p: what 1 + tail lost is put back
    const V one = splat<V>(lane_t<V>(1)), whole = one + tail;
    const V log = ops::log::apply(whole) + (tail - (whole - one)) / whole;
    // Infinite terms: -inf + -inf is -inf, though their difference is NaN.
    return select(acc == term, top + splat<V>(static_cast<lane_t<V>>(0.693147180559945309417)),
                  select(tail == tail, top + log, top));
  }
  template <bool, class V>
  static UFUSE_INLINE V times(V a, V b) {
    return a + b;
  }
};

template <class S, bool Careful, class V>
UFUSE_INLINE V accumulate(V acc, V a, V b) {
  if constexpr (requires { S::template accumulate<Careful>(acc, a, b); })
    return S::template accumulate<Careful>(acc, a, b);
  else
    return S::template plus<Careful>(acc, S::template times<Careful>(a, b));
}

}  // namespace semirings

/// The element of a semiring over numbers of type T.
template <class T>
using bits_of = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

template <class S, class T, bool IsCareful = false>
struct SemiringElement : Element<T, bits_of<T>> {
  using Vector = Register<T>;
  using Semiring = S;
  using Careful = SemiringElement<S, T, true>;
  static constexpr Shape kShape = requires { S::kLong; } ? kShapeLong
                                  : sizeof(T) == 8       ? kShapeSemiring64
                                                         : kShapeSemiring32;
  static constexpr bool kSpecials = semirings::is_float<T> && !requires { S::kKeepsNaN; };

  /// The semiring whose packing serves for all that pack alike: a third of the code.
  using Packed = SemiringElement<  // those of one register of columns have a shape of their own
      std::conditional_t<kShape.vectors == 1, S,
                         std::conditional_t<kSpecials, semirings::min_plus, semirings::plus_absdiff>>,
      T>;

  static UFUSE_INLINE Vector start() { return splat<Vector>(S::template identity<T>()); }
  template <class V>
  static UFUSE_INLINE V join(V before, V block) {
    return S::template plus<true>(before, block);
  }
  static UFUSE_INLINE Vector dot(Vector acc, Vector a, Vector b) {
    return semirings::accumulate<S, IsCareful>(acc, a, b);
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    step_by_dots<SemiringElement, Vector>(acc, rows, b);
  }
};

template <class S, class T>
struct ElementOfSemiring {
  using type = SemiringElement<S, T>;
};
template <class S>
struct ElementOfSemiring<S, Bool8> {
  using type = BitElement<S>;
};

template <class S, class T>
using element_of_semiring = typename ElementOfSemiring<S, T>::type;

}  // namespace UFUSE_TIER
}  // namespace ufuse
