// Arithmetic, one functor an operation: the same source for a register of lanes and a CUDA thread.
#pragma once

#include "ops/math_core.hpp"
#include "simd/scalar.hpp"
#if !UFUSE_DEVICE_CODE
#include "simd/vec.hpp"
#endif

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

template <class V>
inline constexpr bool is_floating = static_cast<lane_t<V>>(0.5) != lane_t<V>(0);

/// The signed integer lanes of the same size as V's.
template <class V>
using int_of_t = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;

template <class V>
UFUSE_INLINE mask_t<V> is_nan(V a) {
  return a != a;
}

template <class V>
UFUSE_INLINE V magnitude(V a) {  // clears the sign bit
  using I = int_of_t<V>;
  using Lane = lane_t<I>;
  constexpr auto kSign = static_cast<Lane>(Lane(1) << (8 * sizeof(Lane) - 1));
  return bitcast<V>(bitcast<I>(a) & splat<I>(static_cast<Lane>(~kSign)));
}

// A plain narrow integer is promoted to int by C; the cast brings it back, wrapping as NumPy does.
struct add {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a + b);
  }
};

struct subtract {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a - b);
  }
};

struct multiply {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (!is_vector<V> && !is_floating<V> && sizeof(V) == 2) {
      // uint16 operands promote to int, whose overflow C leaves undefined
      return static_cast<V>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
    } else {
      return static_cast<V>(a * b);
    }
  }
};

struct divide {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return a / b;
  }
};

struct negative {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return static_cast<V>(-a);
  }
};

struct absolute {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    if constexpr (is_floating<V>) {
      return magnitude(a);
    } else {
      return select(a < V{}, static_cast<V>(-a), a);
    }
  }
};

struct square {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return multiply::apply(a, a);
  }
};

struct reciprocal {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return splat<V>(lane_t<V>(1)) / a;
  }
};

struct sqrt {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return UFUSE_TIER::sqrt(a);
  }
};

/// Whether one instruction takes the larger or smaller of registers of V without the flag of an
/// invalid value at NaN.
template <class V>
inline constexpr bool has_quiet_extremes = is_vector<V> && sizeof(V) == 64;

// NaN in either operand gives NaN, as NumPy's maximum and minimum.
struct maximum {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V> && has_quiet_extremes<V>) {
      return select(is_nan(b), b, math::larger(b, a));
    } else if constexpr (is_floating<V>) {
      return select(UFUSE_TIER::is_greater_equal(a, b) | is_nan(a), a, b);
    } else {
      return select(a >= b, a, b);
    }
  }
};

struct minimum {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    if constexpr (is_floating<V> && has_quiet_extremes<V>) {
      return select(is_nan(b), b, math::smaller(b, a));
    } else if constexpr (is_floating<V>) {
      return select(UFUSE_TIER::is_less_equal(a, b) | is_nan(a), a, b);
    } else {
      return select(a <= b, a, b);
    }
  }
};

struct relu {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return math::larger(V{}, a);  // the maximum with a number: one instruction
  }
};

struct floor {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return UFUSE_TIER::floor(a);
  }
};

struct ceil {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return UFUSE_TIER::ceil(a);
  }
};

struct trunc {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return UFUSE_TIER::trunc(a);
  }
};

struct rint {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return UFUSE_TIER::rint(a);
  }
};

struct bitwise_and {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a & b);
  }
};

struct bitwise_or {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a | b);
  }
};

struct bitwise_xor {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return static_cast<V>(a ^ b);
  }
};

struct invert {
  template <class V>
  static UFUSE_INLINE V apply(V a) {
    return static_cast<V>(~a);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
