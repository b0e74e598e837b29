// Rows of activations in a kernel.
#pragma once

#include "simd/vec.hpp"
#include "skinny/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace skinny {

using Float = Register<float>;
using Int = Register<std::int32_t>;
inline constexpr int kLanes = Float::size;
inline constexpr int kUnits = ufuse::skinny::kGroup / kLanes;  // registers of a group

/// Activations of R rows: [k / 8][row][8] of T.
template <class T, int R>
struct Rows {
  const char* p;

  UFUSE_INLINE Rows(const char* x, std::int64_t k) : p(x + k * (R * static_cast<int>(sizeof(T)))) {}
  template <class U = T>
  UFUSE_INLINE U at(int r, int k) const {  // k from 0 on; of U, wider than T, counted in U
    constexpr int kOfRow = ufuse::skinny::kTogether * static_cast<int>(sizeof(T));
    const int byte = k * static_cast<int>(sizeof(U));
    U value;
    std::memcpy(&value, p + byte / kOfRow * R * kOfRow + r * kOfRow + byte % kOfRow, sizeof value);
    return value;
  }
  UFUSE_INLINE void next(int k) { p += k * (R * static_cast<int>(sizeof(T))); }
};

/// Calls `Body<R>::run(call)` for as many rows as there are.
template <template <int> class Body, class Call, int R = ufuse::skinny::kMostRows>
UFUSE_INLINE void with_rows(const Call& call) {
  if constexpr (R == 1) {
    Body<1>::run(call);
  } else {
    if (call.rows == R)
      Body<R>::run(call);
    else
      with_rows<Body, Call, R - 1>(call);
  }
}

}  // namespace skinny
}  // namespace UFUSE_TIER
}  // namespace ufuse
