// Products of truth values, 32 to a word: or of ands, and exclusive or of ands.
#pragma once

#include "contract/elements.hpp"

namespace ufuse {
namespace UFUSE_TIER {

namespace semirings {

struct or_and {
  template <class V>
  static UFUSE_INLINE V plus(V a, V b) {
    return a | b;
  }
  static UFUSE_INLINE bool value(std::uint32_t word) { return word != 0; }
};

struct xor_and {
  template <class V>
  static UFUSE_INLINE V plus(V a, V b) {
    return a ^ b;
  }
  static UFUSE_INLINE bool value(std::uint32_t word) { return (__builtin_popcount(word) & 1) != 0; }
};

}  // namespace semirings

/// Bools are packed to the bits of a word, 32 k at a time, and a tile's words become bools when it is stored.
template <class S>
struct BitElement : Element<std::uint32_t, std::uint32_t> {  // whose group is one word
  using Bits = S;
  static constexpr int kGroup = 32;
  static constexpr Shape kShape = kShapeI32;
  template <class V>
  static UFUSE_INLINE V join(V before, V block) {
    return S::plus(before, block);
  }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    Vector columns[NV];
    UFUSE_UNROLL
    for (int v = 0; v < NV; ++v) columns[v] = Vector::load(b + v * static_cast<int>(sizeof(Vector)));
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vector row = splat<Vector>(load_as<std::uint32_t>(rows.at(r)));
      UFUSE_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = S::plus(acc[r][v], row & columns[v]);
    }
  }
};

template <class E>
inline constexpr bool is_bits = requires { typename E::Bits; };

}  // namespace UFUSE_TIER
}  // namespace ufuse
