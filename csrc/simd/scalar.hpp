// The primitives functors are written in, for one plain value: CUDA threads and host-side checks.
// `simd/vec.hpp` has the same names over a register of lanes; a functor compiles against either.
#pragma once

#include "core/macros.hpp"

#if defined(__CUDACC_RTC__)
using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

namespace ufuse {

/// Storage of a NumPy bool: one byte, 0 or 1. A type of its own, so that `?` and `u1` differ in overloads.
struct Bool8 {
  uint8_t value;
};

namespace UFUSE_TIER {

/// True for `Vec`, the register of lanes of simd/vec.hpp.
template <class V>
inline constexpr bool is_vector = false;

template <class V>
struct LaneOf {
  using type = V;
};
template <class V>
using lane_t = typename LaneOf<V>::type;

/// V with lanes of type U: `rebind_t<Vec<float, 16>, int32_t>` is `Vec<int32_t, 16>`.
template <class V, class U>
struct Rebind {
  using type = U;
};
template <class V, class U>
using rebind_t = typename Rebind<V, U>::type;

template <int Bytes>
struct IntOf;
template <>
struct IntOf<1> {
  using type = int8_t;
};
template <>
struct IntOf<2> {
  using type = int16_t;
};
template <>
struct IntOf<4> {
  using type = int32_t;
};
template <>
struct IntOf<8> {
  using type = int64_t;
};

/// What comparing two V gives: a bool for a plain value, all-ones or all-zeros lanes for a register.
template <class V>
struct MaskOf {
  using type = bool;
};
template <class V>
using mask_t = typename MaskOf<V>::type;

template <class V>
  requires(!is_vector<V>)
UFUSE_INLINE V splat(V value) {
  return value;
}

template <class T>
UFUSE_INLINE T select(bool mask, T a, T b) {
  return mask ? a : b;
}

UFUSE_INLINE bool any(bool mask) { return mask; }

template <class U, class T>
UFUSE_INLINE U bitcast(T value) {
  static_assert(sizeof(U) == sizeof(T));
  U result;
#if defined(__CUDACC_RTC__)
  __builtin_memcpy(&result, &value, sizeof result);
#else
  std::memcpy(&result, &value, sizeof result);
#endif
  return result;
}

/// Value conversion as C's cast; functors see to the range.
template <class U, class T>
UFUSE_INLINE U convert(T value) {
  return static_cast<U>(value);
}

#define UFUSE_QUIET(name, op)        \
  template <class T>                 \
    requires(!is_vector<T>)          \
  UFUSE_INLINE bool name(T a, T b) { \
    return a op b;                   \
  }
UFUSE_QUIET(is_less, <)
UFUSE_QUIET(is_less_equal, <=)
UFUSE_QUIET(is_greater, >)
UFUSE_QUIET(is_greater_equal, >=)
#undef UFUSE_QUIET

// One rounding, on every tier from v3 up and on CUDA.
UFUSE_INLINE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
UFUSE_INLINE double fma(double a, double b, double c) { return ::fma(a, b, c); }
UFUSE_INLINE float sqrt(float a) { return ::sqrtf(a); }
UFUSE_INLINE double sqrt(double a) { return ::sqrt(a); }
UFUSE_INLINE float rint(float a) { return ::rintf(a); }
UFUSE_INLINE double rint(double a) { return ::rint(a); }
UFUSE_INLINE int32_t round_to_int(float a) { return static_cast<int32_t>(::rintf(a)); }
UFUSE_INLINE float floor(float a) { return ::floorf(a); }
UFUSE_INLINE double floor(double a) { return ::floor(a); }
UFUSE_INLINE float ceil(float a) { return ::ceilf(a); }
UFUSE_INLINE double ceil(double a) { return ::ceil(a); }
UFUSE_INLINE float trunc(float a) { return ::truncf(a); }
UFUSE_INLINE double trunc(double a) { return ::trunc(a); }
UFUSE_INLINE float fmod(float a, float b) { return ::fmodf(a, b); }
UFUSE_INLINE double fmod(double a, double b) { return ::fmod(a, b); }

}  // namespace UFUSE_TIER
}  // namespace ufuse
