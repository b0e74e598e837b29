// Comparison, logic and selection. A bool is stored as a byte of 0 or 1; `R` is the vector (or value) of
// such bytes that the operation gives.
#pragma once

#include "ops/arithmetic.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// Lanes of all ones or zeros to bytes of 1 or 0.
template <class R, class M>
UFUSE_INLINE R bytes_of(M mask) {
  if constexpr (is_vector<R>) {
    using Signed = rebind_t<R, int8_t>;
    return bitcast<R>(convert<Signed>(mask) & splat<Signed>(1));
  } else {
    return static_cast<R>(mask ? 1 : 0);
  }
}

/// Bytes of 1 or 0 to the mask that selects between two V.
template <class V, class B>
UFUSE_INLINE mask_t<V> mask_of(B bytes) {
  if constexpr (is_vector<V>) {
    return convert<mask_t<V>>(bytes) != mask_t<V>{};
  } else {
    return bytes != 0;
  }
}

#define UFUSE_COMPARISON(name, op)          \
  struct name {                             \
    template <class R, class V>             \
    static UFUSE_INLINE R apply(V a, V b) { \
      return bytes_of<R>(a op b);           \
    }                                       \
  };
UFUSE_COMPARISON(equal, ==)
UFUSE_COMPARISON(not_equal, !=)
#undef UFUSE_COMPARISON

// NaN is no invalid value in an order, for NumPy.
#define UFUSE_ORDER(name)                              \
  struct name {                                        \
    template <class R, class V>                        \
    static UFUSE_INLINE R apply(V a, V b) {            \
      return bytes_of<R>(UFUSE_TIER::is_##name(a, b)); \
    }                                                  \
  };
UFUSE_ORDER(less)
UFUSE_ORDER(less_equal)
UFUSE_ORDER(greater)
UFUSE_ORDER(greater_equal)
#undef UFUSE_ORDER

struct logical_and {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a & b);
  }
};

struct logical_or {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a | b);
  }
};

struct logical_xor {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a ^ b);
  }
};

struct logical_not {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return static_cast<V>(a ^ splat<V>(1));
  }
};

template <class V>
UFUSE_INLINE V infinity() {
  return splat<V>(static_cast<lane_t<V>>(__builtin_huge_val()));
}

struct isnan {
  template <class R, class V>
  static UFUSE_INLINE R apply(V a) {
    return bytes_of<R>(is_nan(a));
  }
};

struct isinf {
  template <class R, class V>
  static UFUSE_INLINE R apply(V a) {
    return bytes_of<R>(magnitude(a) == infinity<V>());
  }
};

struct isfinite {
  template <class R, class V>
  static UFUSE_INLINE R apply(V a) {
    using I = int_of_t<V>;
    return bytes_of<R>(bitcast<I>(magnitude(a)) < bitcast<I>(infinity<V>()));
  }
};

struct where {
  template <class V, class B>
  static UFUSE_INLINE V apply(B condition, V a, V b) {
    return select(mask_of<V>(condition), a, b);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
