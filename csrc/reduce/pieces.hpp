// Moves of pieces that cannot be read where they lie: strided, byte-swapped, masked, or of another type.
#pragma once

#include "reduce/lanes.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class U>
void gather(void* to, const char* from, std::int64_t stride, std::int64_t count) {
  auto* out = static_cast<U*>(to);
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8, from += 8 * stride) {
    U x[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) std::memcpy(&x[k], from + k * stride, sizeof(U));
    std::memcpy(out + i, x, sizeof x);
  }
  for (; i < count; ++i, from += stride) std::memcpy(out + i, from, sizeof(U));
}

template <class U>
void swap_bytes(void* data, std::int64_t count) {
  auto* at = static_cast<U*>(data);
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (sizeof(U) == 2) at[i] = __builtin_bswap16(at[i]);
    if constexpr (sizeof(U) == 4) at[i] = __builtin_bswap32(at[i]);
    if constexpr (sizeof(U) == 8) at[i] = __builtin_bswap64(at[i]);
  }
}

template <class U>
void mask_out(void* data, const std::uint8_t* mask, const void* fill, std::int64_t count) {
  auto* at = static_cast<U*>(data);
  U value;
  std::memcpy(&value, fill, sizeof value);
  for (std::int64_t i = 0; i < count; ++i) at[i] = mask[i] != 0 ? at[i] : value;
}

template <class T>
void to_f64(double* to, const void* from, std::int64_t count) {
  using S = reducers::storage_t<T>;
  constexpr int W = kRegisterBytes / 8;
  const auto* at = static_cast<const S*>(from);
  std::int64_t i = 0;
  for (; i + W <= count; i += W) convert<Vec<double, W>>(Vec<S, W>::load(at + i)).store(to + i);
  for (; i < count; ++i) to[i] = static_cast<double>(at[i]);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
