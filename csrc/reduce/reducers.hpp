// The reducers: what happens to one accumulator, for a plain value or a register of lanes.
//
// A *simple* reducer accumulates elements into one value of `wide` type: identity, accumulate, fold. Its
// state is that value. The others (moments, argmin, argmax) have kernels of their own, built on `shifted`
// and `better`.
#pragma once

#include <limits>
#include <type_traits>

#include "core/dtype.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace reducers {

using ufuse::storage_t;

/// Accumulator of sums and products: as NumPy for integers, float64 for every float.
template <class T>
using wide_t = std::conditional_t<
    std::is_floating_point_v<T>, double,
    std::conditional_t<std::is_same_v<T, Bool8> || std::is_signed_v<storage_t<T>>, int64_t, uint64_t>>;

template <class V>
inline constexpr bool floating = std::is_floating_point_v<lane_t<V>>;

// smaller/larger: NaN if either is, and -0 < +0, so that the result does not depend on the order in which
// elements come. x86's minimum gives its second operand for a NaN or two zeros, so both orders together
// show either: for zeros the union of the bits is the smaller, their intersection the larger; for a NaN
// the union is a NaN.
#if defined(__x86_64__)
#define UFUSE_X86_EXTREME(name, op)                              \
  template <class T, int N>                                      \
    requires(std::is_floating_point_v<T> && sizeof(T) * N == 16) \
  UFUSE_INLINE Vec<T, N> x86_##name(Vec<T, N> a, Vec<T, N> b) {  \
    if constexpr (sizeof(T) == 4)                                \
      return {_mm_##op##_ps(a.v, b.v)};                          \
    else                                                         \
      return {_mm_##op##_pd(a.v, b.v)};                          \
  }
UFUSE_X86_EXTREME(minimum, min)
UFUSE_X86_EXTREME(maximum, max)
#undef UFUSE_X86_EXTREME
#if defined(__AVX2__)
#define UFUSE_X86_EXTREME(name, op)                              \
  template <class T, int N>                                      \
    requires(std::is_floating_point_v<T> && sizeof(T) * N == 32) \
  UFUSE_INLINE Vec<T, N> x86_##name(Vec<T, N> a, Vec<T, N> b) {  \
    if constexpr (sizeof(T) == 4)                                \
      return {_mm256_##op##_ps(a.v, b.v)};                       \
    else                                                         \
      return {_mm256_##op##_pd(a.v, b.v)};                       \
  }
UFUSE_X86_EXTREME(minimum, min)
UFUSE_X86_EXTREME(maximum, max)
#undef UFUSE_X86_EXTREME
#endif
#if defined(__AVX512F__)
#define UFUSE_X86_EXTREME(name, op)                              \
  template <class T, int N>                                      \
    requires(std::is_floating_point_v<T> && sizeof(T) * N == 64) \
  UFUSE_INLINE Vec<T, N> x86_##name(Vec<T, N> a, Vec<T, N> b) {  \
    if constexpr (sizeof(T) == 4)                                \
      return {_mm512_##op##_ps(a.v, b.v)};                       \
    else                                                         \
      return {_mm512_##op##_pd(a.v, b.v)};                       \
  }
UFUSE_X86_EXTREME(minimum, min)
UFUSE_X86_EXTREME(maximum, max)
#undef UFUSE_X86_EXTREME
#endif
#endif

template <class V>
UFUSE_INLINE mask_t<V> is_nan(V a) {
  return a != a;
}

/// All bits of `a` where the mask is set, of a NaN there.
template <class V>
UFUSE_INLINE V smaller(V a, V b) {
  if constexpr (!floating<V>) {
    return select(a < b, a, b);
  } else {
    using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
#if defined(__x86_64__)
    if constexpr (is_vector<V> && sizeof(V) >= 16)
      return bitcast<V>(bitcast<I>(x86_minimum(a, b)) | bitcast<I>(x86_minimum(b, a)));
#endif
    const V least = select(a < b, a, b);  // b where they are equal or either is NaN
    const V other = select(b < a, b, a);  // a there
    return bitcast<V>(static_cast<I>(bitcast<I>(least) | bitcast<I>(other)));
  }
}

template <class V>
UFUSE_INLINE V larger(V a, V b) {
  if constexpr (!floating<V>) {
    return select(a > b, a, b);
  } else {
    using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
    V most, other;
#if defined(__x86_64__)
    if constexpr (is_vector<V> && sizeof(V) >= 16) {
      most = x86_maximum(a, b);
      other = x86_maximum(b, a);
    } else
#endif
    {
      most = select(a > b, a, b);
      other = select(b > a, b, a);
    }
    const V both = bitcast<V>(static_cast<I>(bitcast<I>(most) & bitcast<I>(other)));
    // The intersection of a NaN and a number is no NaN. `a` is the accumulator: once NaN, it stays.
    return select(is_nan(a), a, select(is_nan(b), b, both));
  }
}

template <class T>
struct sum {
  using wide = wide_t<T>;
  static constexpr bool exact = std::is_integral_v<wide>;  // any order gives the same bits
  static constexpr wide identity{0};  // a sum of negative zeros, and of nothing, is 0.0, as NumPy's
  static constexpr storage_t<T> element_identity{0};
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a + b;
  }
};

template <class T>
struct prod {
  using wide = wide_t<T>;
  static constexpr bool exact = std::is_integral_v<wide>;
  static constexpr wide identity = wide{1};
  static constexpr storage_t<T> element_identity = storage_t<T>{1};
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a * b;
  }
};

template <class T>
struct min {
  using wide = storage_t<T>;
  static constexpr bool exact = true;
  static constexpr wide identity = std::is_floating_point_v<wide> ? std::numeric_limits<wide>::infinity()
                                   : std::is_same_v<T, Bool8>     ? wide{1}
                                                                  : std::numeric_limits<wide>::max();
  static constexpr wide element_identity = identity;
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return smaller(a, b);
  }
};

template <class T>
struct max {
  using wide = storage_t<T>;
  static constexpr bool exact = true;
  static constexpr wide identity = std::is_floating_point_v<wide> ? -std::numeric_limits<wide>::infinity()
                                                                  : std::numeric_limits<wide>::lowest();
  static constexpr wide element_identity = identity;
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return larger(a, b);
  }
};

// --- reducers of a map of the element: `map` before the element is widened, `map_wide` after ---------------

/// The same reducer over the elements that are no NaN: the others become what changes nothing.
template <class Base>
struct skip_nan : Base {
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return select(x == x, x, splat<V>(static_cast<lane_t<V>>(Base::element_identity)));
  }
};
template <class T>
struct nansum : skip_nan<sum<T>> {};
template <class T>
struct nanprod : skip_nan<prod<T>> {};
template <class T>
struct nanmin : skip_nan<min<T>> {};
template <class T>
struct nanmax : skip_nan<max<T>> {};

/// How many elements are no NaN. A masked element is one.
template <class T>
struct valid : sum<T> {
  static constexpr bool exact = true;  // sums of ones: exact to 2^53
  static constexpr T element_identity = std::numeric_limits<T>::quiet_NaN();
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return select(x == x, splat<V>(1), splat<V>(0));
  }
};

/// How many elements are not zero (NaN is not).
template <class T>
struct nonzero {
  using wide = int64_t;
  static constexpr bool exact = true;
  static constexpr wide identity{0};
  static constexpr storage_t<T> element_identity{0};
  template <class V>
  static UFUSE_INLINE V map(V x) {
    using L = lane_t<V>;
    return select(x == splat<V>(L{0}), splat<V>(L{0}), splat<V>(L{1}));
  }
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a + b;
  }
};

template <class T>
struct sum_of_squares : sum<T> {
  template <class V>
  static UFUSE_INLINE V map_wide(V x) {
    return x * x;
  }
};

template <class V>
UFUSE_INLINE V magnitude(V x) {
  using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
  using L = lane_t<I>;
  return bitcast<V>(static_cast<I>(bitcast<I>(x) & splat<I>(std::numeric_limits<L>::max())));
}
template <class T>
struct sum_of_magnitudes : sum<T> {
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return magnitude(x);
  }
};
template <class T>
struct largest_magnitude : max<T> {
  static constexpr T element_identity{0};
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return magnitude(x);
  }
};
template <class T>
struct smallest_magnitude : min<T> {
  template <class V>
  static UFUSE_INLINE V map(V x) {
    return magnitude(x);
  }
};

/// An element as reducer R sees it, of its own type; then widened to lanes of W.
template <class R, class W, class V>
UFUSE_INLINE W element_of(V x) {
  if constexpr (requires { R::map(x); }) x = R::map(x);
  auto wide = convert<W>(x);
  if constexpr (requires { R::map_wide(wide); }) wide = R::map_wide(wide);
  return wide;
}

/// Count, mean and sum of squared deviations. Within a chunk, sums of d = x - pivot and of d * d; the pivot
/// is the chunk's first element, so that a large mean cancels nothing. The mean keeps what rounding takes
/// from it (`low`): with a mean of 1e9 deviations, chunks' means are known to 1e-7 in one float64, and the
/// variance to 9 digits only.
template <class T>
struct moments {
  using element = T;
  template <class V>
  static UFUSE_INLINE V shifted(V x, V pivot) {
    return x - pivot;
  }
  /// q + d * d, rounded once from v3 up and twice on v2, in registers and in single values alike.
  template <class V>
  static UFUSE_INLINE V add_square(V q, V d) {
#if defined(__FMA__) || defined(__aarch64__)
    return fma(d, d, q);
#else
    return q + d * d;
#endif
  }
  static UFUSE_INLINE double pivot_of(T first) {
    const double p = static_cast<double>(first);
    return p - p == 0.0 ? p : 0.0;  // infinity or NaN: the sums show it, the pivot must not
  }
};

struct Mean {
  double high, low;
};

/// high + low as a mean whose parts do not overlap (Knuth's exact sum of two).
UFUSE_INLINE Mean mean_of(double high, double low) {
  const double sum = high + low, part = sum - high;
  const double rest = (high - (sum - part)) + (low - part);
  return {sum, rest - rest == 0.0 ? rest : 0.0};  // an infinite mean has no low part
}

template <class T, bool Largest>
struct extreme_index {
  using element = storage_t<T>;
  using fold_value = std::conditional_t<Largest, max<T>, min<T>>;
  static constexpr bool largest = Largest;
  /// Whether x wins over the accumulated value on its own: strictly better, or the first NaN.
  template <class V>
  static UFUSE_INLINE mask_t<V> better(V x, V than) {
    if constexpr (!floating<V>) {
      if constexpr (Largest) return x > than;
      return x < than;
    } else {
      if constexpr (is_vector<V>) {
        const auto not_worse = Largest ? ~(x <= than) : ~(x >= than);  // true where either is NaN
        return not_worse & (than == than);
      } else {
        return (Largest ? !(x <= than) : !(x >= than)) && than == than;
      }
    }
  }
};
template <class T>
struct argmin : extreme_index<T, false> {};
template <class T>
struct argmax : extreme_index<T, true> {};

}  // namespace reducers
}  // namespace UFUSE_TIER
}  // namespace ufuse
