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
  static UFUSE_INLINE Vector dot(Vector acc, Vector a, Vector b) { return S::plus(acc, a & b); }
  template <int R, int NV, class Rows>
  static UFUSE_INLINE void step(Vector (&acc)[R][NV], const Rows& rows, const char* b) {
    step_by_dots<BitElement, Vector>(acc, rows, b);
  }
};

template <class E>
inline constexpr bool is_bits = requires { typename E::Bits; };

}  // namespace UFUSE_TIER
}  // namespace ufuse
