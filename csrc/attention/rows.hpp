// Rows of any type and stride to rows of numbers, and rows to lanes and back.
#pragma once

#include "attention/kernels.hpp"
#include "simd/half.hpp"
#include "simd/transpose.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <AttentionType>
struct StoredAs;
template <>
struct StoredAs<AttentionType::f32> {
  using type = float;
};
template <>
struct StoredAs<AttentionType::f64> {
  using type = double;
};
template <>
struct StoredAs<AttentionType::f16> {
  using type = std::uint16_t;
};
template <>
struct StoredAs<AttentionType::bf16> {
  using type = std::uint16_t;
};
template <>
struct StoredAs<AttentionType::boolean> {
  using type = std::uint8_t;
};

template <class T>
UFUSE_INLINE T number_at(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// Lanes of T of what is stored as `A`.
template <class V, AttentionType A, class S>
UFUSE_INLINE V number_of(S stored) {
  using F = rebind_t<V, float>;
  if constexpr (A == AttentionType::f16)
    return convert<V>(half_to_float(stored));
  else if constexpr (A == AttentionType::bf16)
    return convert<V>(bfloat16_to_float(stored));
  else if constexpr (A == AttentionType::boolean)
    return convert<V>(
        bitcast<F>((splat<rebind_t<V, std::uint32_t>>(0) == convert<rebind_t<V, std::uint32_t>>(stored)) &
                   splat<rebind_t<V, std::int32_t>>(static_cast<int>(0xff800000u))));
  else
    return convert<V>(stored);
}

template <class T, AttentionType A>
void read_rows(const AttentionRead& task) {
  using V = Register<T>;
  using U = typename StoredAs<A>::type;
  using S = rebind_t<V, U>;
  constexpr int W = V::size;
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const char* from = task.from + row * task.row_stride;
    char* to = task.to + row * task.to_row;
    std::int64_t i = 0;
    if constexpr (sizeof(U) > sizeof(T)) {  // a mask of float64 beside float32
      for (; i < task.count; ++i) {
        const auto x = static_cast<T>(number_at<U>(from + i * task.stride));
        std::memcpy(to + i * static_cast<std::int64_t>(sizeof(T)), &x, sizeof x);
      }
      continue;
    } else {
      if (task.stride == static_cast<std::int64_t>(sizeof(U)) && task.count >= W)
        for (; i < task.count; i += W) {
          i = i + W <= task.count ? i : task.count - W;  // the last may overlap the one before
          number_of<V, A>(S::load(from + i * task.stride))
              .store(to + i * static_cast<std::int64_t>(sizeof(T)));
        }
      for (; i < task.count; i += W) {
        const std::int64_t n = task.count - i < W ? task.count - i : W;
        U part[W] = {};
        for (std::int64_t j = 0; j < n; ++j) std::memcpy(part + j, from + (i + j) * task.stride, sizeof(U));
        const V numbers = number_of<V, A>(S::load(part));
        std::memcpy(to + i * static_cast<std::int64_t>(sizeof(T)), &numbers.v,
                    static_cast<std::size_t>(n) * sizeof(T));
      }
    }
  }
}

template <class T>
void read(const AttentionRead& task) {
  switch (task.type) {
    case AttentionType::f32:
      return read_rows<T, AttentionType::f32>(task);
    case AttentionType::f64:
      return read_rows<T, AttentionType::f64>(task);
    case AttentionType::f16:
      return read_rows<T, AttentionType::f16>(task);
    case AttentionType::bf16:
      return read_rows<T, AttentionType::bf16>(task);
    case AttentionType::boolean:
      return read_rows<T, AttentionType::boolean>(task);
  }
}

/// Rounded to the nearest, ties to even; a NaN stays one.
template <int N>
UFUSE_INLINE Vec<std::uint16_t, N> float_to_bfloat16(Vec<float, N> x) {
  using I = Vec<std::uint32_t, N>;
  const I bits = bitcast<I>(x);
  const I rounded = (bits + splat<I>(0x7fffu) + ((bits >> 16) & splat<I>(1u))) >> 16;
  const I code = select(x == x, rounded, (bits >> 16) | splat<I>(0x40u));
  return convert<Vec<std::uint16_t, N>>(code);
}

template <class T>
void write(const AttentionWrite& task) {
  constexpr int W = Register<T>::size;
  using V = Register<T>;
  const auto size = static_cast<std::int64_t>(task.type == AttentionType::f64   ? 8
                                              : task.type == AttentionType::f32 ? 4
                                                                                : 2);
  for (std::int64_t i = 0; i < task.count; i += W) {
    const std::int64_t n = task.count - i < W ? task.count - i : W;
    V numbers{};
    std::memcpy(&numbers.v, task.from + i * static_cast<std::int64_t>(sizeof(T)),
                static_cast<std::size_t>(n) * sizeof(T));
    char stored[sizeof(V)];
    if constexpr (std::is_same_v<T, float>) {
      if (task.type == AttentionType::f16)
        float_to_half(numbers).store(stored);
      else if (task.type == AttentionType::bf16)
        float_to_bfloat16(numbers).store(stored);
      else
        numbers.store(stored);
    } else {
      numbers.store(stored);
    }
    char* const to = task.to + i * task.stride;
    if (task.stride == size)
      std::memcpy(to, stored, static_cast<std::size_t>(n * size));
    else
      for (std::int64_t j = 0; j < n; ++j)
        std::memcpy(to + j * task.stride, stored + j * size, static_cast<std::size_t>(size));
  }
}

/// The side of the square blocks that are turned in registers.
template <class T>
inline constexpr int kSide =
    kRegisterBytes / static_cast<int>(sizeof(T)) < 8 ? kRegisterBytes / static_cast<int>(sizeof(T)) : 8;

template <class T>
void turn(const char* const* rows, std::int64_t count, int lanes, char* to) {
  constexpr int N = kSide<T>, kSize = sizeof(T);
  if (lanes == 1) {
    std::memcpy(to, rows[0], static_cast<std::size_t>(count) * sizeof(T));
    return;
  }
  const std::int64_t to_row = lanes * static_cast<std::int64_t>(kSize);
  for (int lane = 0; lane < lanes; lane += N) {
    std::int64_t i = 0;
    for (; i + N <= count; i += N) {
      Vec<T, N> r[N];
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) r[j] = Vec<T, N>::load(rows[lane + j] + i * kSize);
      transpose(r);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) r[j].store(to + (i + j) * to_row + lane * kSize);
    }
    for (; i < count; ++i)
      for (int j = 0; j < N; ++j)
        std::memcpy(to + i * to_row + (lane + j) * kSize, rows[lane + j] + i * kSize, kSize);
  }
}

template <class T>
void finish(const AttentionBlock& b, char* const* rows) {
  constexpr int N = kSide<T>, kSize = sizeof(T);
  using V = Vec<T, N>;
  if (b.vectors == 0) {
    const T largest = number_at<T>(b.largest), total = number_at<T>(b.total);
    const T share = largest == -static_cast<T>(__builtin_huge_valf()) ? T{0} : T{1} / total;
    for (std::int64_t i = 0; i < b.width; ++i) {
      const T x = number_at<T>(b.out + i * kSize) * share;
      std::memcpy(rows[0] + i * kSize, &x, kSize);
    }
    return;
  }
  const int lanes = b.vectors * Register<T>::size;
  const std::int64_t from_row = lanes * static_cast<std::int64_t>(kSize);
  const V none = splat<V>(-static_cast<T>(__builtin_huge_valf()));
  for (int lane = 0; lane < lanes; lane += N) {
    const V share = select(V::load(b.largest + lane * kSize) == none, V{},
                           splat<V>(T{1}) / V::load(b.total + lane * kSize));
    const char* from = b.out + lane * kSize;
    std::int64_t i = 0;
    for (; i + N <= b.width; i += N) {
      V r[N];
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) r[j] = V::load(from + (i + j) * from_row) * share;
      transpose(r);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j)
        if (rows[lane + j] != nullptr) r[j].store(rows[lane + j] + i * kSize);
    }
    for (; i < b.width; ++i) {
      const V r = V::load(from + i * from_row) * share;
      for (int j = 0; j < N; ++j) {
        const T x = r[j];
        if (rows[lane + j] != nullptr) std::memcpy(rows[lane + j] + i * kSize, &x, kSize);
      }
    }
  }
}

template <class T>
bool finite(const char* from, std::int64_t row_stride, std::int64_t rows, std::int64_t count) {
  using V = Register<T>;
  V nothing{};  // 0 times anything finite
  T rest = 0;
  for (std::int64_t row = 0; row < rows; ++row, from += row_stride) {
    std::int64_t i = 0;
    for (; i + V::size <= count; i += V::size)
      nothing = nothing + V::load(from + i * static_cast<std::int64_t>(sizeof(T))) * V{};
    for (; i < count; ++i) {
      T x;
      std::memcpy(&x, from + i * static_cast<std::int64_t>(sizeof(T)), sizeof x);
      rest += x * T{0};
    }
  }
  return !any(nothing != nothing) && rest == rest;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
