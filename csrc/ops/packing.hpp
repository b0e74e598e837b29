// Codes of less than a byte, several to a byte. Elements here are what holds all codes of one byte: two bytes
// of one code each are a uint16, and two float32 to be quantized a float64, of which nothing but the bits is
// looked at.
#pragma once

#include "ops/quantize.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace ops {

/// Two codes of 4 bits, or four of 2, from a byte each; `high_first` (0 or 1): the first in the highest bits.
struct pack4 {
  template <class R, class V, class B>
  static UFUSE_INLINE R apply(V codes, B high_first) {
    using I = rebind_t<V, uint32_t>;
    const I both = convert<I>(codes), low = both & splat<I>(15u), high = (both >> 8) & splat<I>(15u);
    return convert<R>(select(high_first != splat<I>(0u), high | (low << 4), low | (high << 4)));
  }
};

struct unpack4 {
  template <class R, class V, class B>
  static UFUSE_INLINE R apply(V byte, B high_first) {
    using I = rebind_t<V, uint32_t>;
    const I both = convert<I>(byte), low = both & splat<I>(15u), high = both >> 4;
    return convert<R>(select(high_first != splat<I>(0u), high | (low << 8), low | (high << 8)));
  }
};

struct pack2 {
  template <class R, class V>
  static UFUSE_INLINE R apply(V codes, V high_first) {
    const V a = codes & splat<V>(3u), b = (codes >> 8) & splat<V>(3u), c = (codes >> 16) & splat<V>(3u),
            d = (codes >> 24) & splat<V>(3u);
    return convert<R>(select(high_first != splat<V>(0u), d | (c << 2) | (b << 4) | (a << 6),
                             a | (b << 2) | (c << 4) | (d << 6)));
  }
};

struct unpack2 {
  template <class R, class V>
  static UFUSE_INLINE R apply(V byte, R high_first) {
    const R all = convert<R>(byte), a = all & splat<R>(3u), b = (all >> 2) & splat<R>(3u),
            c = (all >> 4) & splat<R>(3u), d = all >> 6;
    return select(high_first != splat<R>(0u), d | (c << 8) | (b << 16) | (a << 24),
                  a | (b << 8) | (c << 16) | (d << 24));
  }
};

#if !UFUSE_DEVICE_CODE
/// Each lane twice, side by side.
template <class V>
UFUSE_INLINE auto twice(V x) {
  using U = rebind_t<V, uint64_t>;
  const U bits = convert<U>(bitcast<rebind_t<V, uint32_t>>(x));
  return bitcast<Vec<lane_t<V>, 2 * V::size>>(bits | (bits << 32));
}
#endif

#if !UFUSE_DEVICE_CODE
/// Codes of 4 bits side by side, two to a byte of R.
template <class R, int N>
UFUSE_INLINE R join_nibbles(Vec<int32_t, N> codes) {
  using U = Vec<uint64_t, N / 2>;
  const U pairs = bitcast<U>(codes & splat<Vec<int32_t, N>>(15));
  return convert<R>(pairs | (pairs >> 28));
}

/// The two codes of each byte side by side, plus `sign`: 8 where they are signed, since a code c is then
/// (c ^ 8) - 8, and else 0.
template <class B>
UFUSE_INLINE auto split_nibbles(B bytes, int32_t sign) {
  using U = rebind_t<B, uint64_t>;
  using Codes = Vec<int32_t, 2 * B::size>;
  const U bits = convert<U>(bytes), both = (bits | (bits << 28)) & splat<U>(0xf0000000full);
  return bitcast<Codes>(both) ^ splat<Codes>(sign);
}
#endif

/// Two neighbours with one scale and zero point, quantized to 4 bits each by ONNX's convention, the first in
/// the low ones.
struct quantize_nibbles {
  static constexpr bool is_scaled = true;
  template <class R, class V, class S, class Z, class L>
  static UFUSE_INLINE R apply(V two, S scale, Z zero_point, L limits) {
    using I = rebind_t<S, uint32_t>;
    using U = rebind_t<V, uint64_t>;
    const U bits = bitcast<U>(two);
    const auto code = [&](U number) {
      using Code = rebind_t<S, int32_t>;
      return bitcast<I>(
                 quantize_linear::apply<Code>(bitcast<S>(convert<I>(number)), scale, zero_point, limits)) &
             splat<I>(15u);
    };
    return convert<R>(code(bits) | (code(bits >> 32) << 4));
  }

#if !UFUSE_DEVICE_CODE
  template <class V>
  using Numbers = Vec<float, 2 * V::size>;

  template <class Quantizer, class V>
  struct Uniform {
    Quantizer both;

    template <class R>
    UFUSE_INLINE R apply(V two) const {
      return join_nibbles<R>(both.template apply<Vec<int32_t, 2 * V::size>>(bitcast<Numbers<V>>(two)));
    }
  };
  template <class Quantizers, class V>
  struct Uniforms : Quantizers {
    UFUSE_INLINE auto at(int k) const {
      return Uniform<typename Quantizers::Quantizer, V>{Quantizers::at(k)};
    }
  };
  template <class V, class Z>
  static UFUSE_INLINE auto uniforms(const float* scale, const Z* zero_point, const uint32_t* limits) {
    const auto both = quantize_linear::uniforms<Numbers<V>>(scale, zero_point, limits);
    return Uniforms<std::remove_const_t<decltype(both)>, V>{both};
  }
#endif
};

/// The numbers of two codes of 4 bits, signed as the zero point is.
struct dequantize_nibbles {
  static constexpr bool is_scaled = true;
  template <class R, class B, class S, class Z>
  static UFUSE_INLINE R apply(B byte, S scale, Z zero_point) {
    using I = rebind_t<S, int32_t>;
    using U = rebind_t<R, uint64_t>;
    constexpr bool kSigned = static_cast<lane_t<Z>>(-1) < lane_t<Z>{};
    constexpr int32_t kSign = kSigned ? 8 : 0;  // a code c is (c ^ 8) - 8
    const I zero = convert<I>(zero_point) + splat<I>(kSign);
#if !UFUSE_DEVICE_CODE
    if constexpr (is_vector<R>) {  // both codes side by side: half the instructions of one after the other
      const auto codes = split_nibbles(byte, kSign) - twice(zero);
      return bitcast<R>(convert<Vec<float, 2 * R::size>>(codes) * twice(scale));
    } else
#endif
    {
      const I codes = convert<I>(byte);
      const auto number = [&](I code) {
        return convert<U>(bitcast<uint32_t>(convert<S>((code ^ splat<I>(kSign)) - zero) * scale));
      };
      return bitcast<R>(number(codes & splat<I>(15)) | (number(codes >> 4) << 32));
    }
  }
};

/// The same of neighbours that have a scale and a zero point each: two float32, the bits of a float64, and
/// two codes, of 16 bits.
struct quantize_nibbles_apart {
  template <class R, class V, class S, class Z, class L>
  static UFUSE_INLINE R apply(V two, S scales, Z zero_points, L limits) {
    constexpr bool kSigned = static_cast<lane_t<Z>>(-1) < lane_t<Z>{};
    using Zero = std::conditional_t<kSigned, int8_t, uint8_t>;
#if !UFUSE_DEVICE_CODE
    if constexpr (is_vector<V>) {
      constexpr int kBoth = 2 * V::size;
      using Numbers = Vec<float, kBoth>;
      using Codes = Vec<int32_t, kBoth>;
      const Codes both = quantize_linear::apply<Codes>(bitcast<Numbers>(two), bitcast<Numbers>(scales),
                                                       bitcast<Vec<Zero, kBoth>>(zero_points), twice(limits));
      return join_nibbles<R>(both);
    } else
#endif
    {
      const auto code = [&](int place) {
        const auto number = [&](auto both) {
          return bitcast<float>(static_cast<uint32_t>(bitcast<uint64_t>(both) >> (32 * place)));
        };
        const auto zero = static_cast<Zero>(zero_points >> (8 * place));
        return static_cast<uint32_t>(
                   quantize_linear::apply<int32_t>(number(two), number(scales), zero, limits)) &
               15u;
      };
      return static_cast<R>(code(0) | (code(1) << 4));
    }
  }
};

struct dequantize_nibbles_apart {
  template <class R, class B, class S, class Z>
  static UFUSE_INLINE R apply(B byte, S scales, Z zero_points) {
    constexpr bool kSigned = static_cast<lane_t<Z>>(-1) < lane_t<Z>{};
    using Zero = std::conditional_t<kSigned, int8_t, uint8_t>;
    constexpr int32_t kSign = kSigned ? 8 : 0;  // a code c is (c ^ 8) - 8
    using U = rebind_t<R, uint64_t>;
#if !UFUSE_DEVICE_CODE
    if constexpr (is_vector<R>) {
      constexpr int kBoth = 2 * R::size;
      using Numbers = Vec<float, kBoth>;
      using Codes = Vec<int32_t, kBoth>;
      const Codes zeros = convert<Codes>(bitcast<Vec<Zero, kBoth>>(zero_points)) + splat<Codes>(kSign);
      return bitcast<R>(convert<Numbers>(split_nibbles(byte, kSign) - zeros) * bitcast<Numbers>(scales));
    } else
#endif
    {
      const auto number = [&](int place) {
        const auto code = ((static_cast<int32_t>(byte) >> (4 * place) & 15) ^ kSign) - kSign;
        const auto scale = bitcast<float>(static_cast<uint32_t>(bitcast<uint64_t>(scales) >> (32 * place)));
        const float value = static_cast<float>(code - static_cast<Zero>(zero_points >> (8 * place))) * scale;
        return static_cast<U>(bitcast<uint32_t>(value)) << (32 * place);
      };
      return bitcast<R>(static_cast<U>(number(0) | number(1)));
    }
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
