// Kernels of operations: what makes functors into loops over blocks. Every file of them is compiled once per
// tier.
#pragma once

#include <array>
#include <concepts>
#include <cstring>
#include <utility>

#include "program/kernels.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kernels {

constexpr int largest(int a, int b, int c = 1, int d = 1) {
  const int x = a > b ? a : b, y = c > d ? c : d;
  return x > y ? x : y;
}

/// An operand of a kernel: registers loaded one after another, or one value in all lanes.
template <class T, int N, bool Scalar>
struct Operand {
  const T* data;
  Vec<T, N> value;
  explicit UFUSE_INLINE Operand(const void* from) : data(static_cast<const T*>(from)), value{} {
    if constexpr (Scalar) value = splat<Vec<T, N>>(*data);
  }
  UFUSE_INLINE Vec<T, N> at(std::int64_t i) const {
    if constexpr (Scalar) {
      return value;
    } else {
      return Vec<T, N>::load(data + i);
    }
  }
};

/// Operations with a way of their own to take many elements by the same other operands: `uniforms` makes
/// several of them side by side, each of its own operands, which hold or not by the values.
template <class F, class V, class... Others>
concept Uniform = requires(const Others*... others) {
  { F::template uniforms<V>(others...).holds } -> std::convertible_to<bool>;
};

/// Operations on integers with a way of their own to take many elements by one second operand.
template <class F, class T>
concept ByInvariant = std::integral<T> && requires { typename F::template invariant<T>; };

template <class Operation, int N, class TO, class TA>
UFUSE_INLINE void one_row(const Operation& operation, TO* to, const TA* from, std::int64_t count) {
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N)
    operation.template apply<Vec<TO, N>>(Vec<TA, N>::load(from + i)).store(to + i);
}

/// `count` elements by the same values. Returns whether that was done: false where the operation has no way
/// of its own for it, or none for these values.
template <class F, int N, class TO, class TA, class... Others>
UFUSE_INLINE bool by_uniform(TO* to, const TA* from, std::int64_t count, Others... others) {
  using V = Vec<TA, N>;
  if constexpr (Uniform<F, V, Others...>) {
    constexpr int kSize = decltype(F::template uniforms<V>(&others...))::size;
    const auto copies = [](auto value) __attribute__((always_inline)) {
      std::array<decltype(value), kSize> all;
      all.fill(value);
      return all;
    };
    const auto operations = F::template uniforms<V>(copies(others).data()...);
    if (!operations.holds) return false;
    const auto operation = operations.at(0);
    one_row<decltype(operation), N>(operation, to, from, count);
    return true;
  } else {
    return false;
  }
}

// Lanes per step: the widest type involved fills one register. Two steps at a time hide the latency of the
// long functions.
template <class F, ScalarMask Mask, DType O, DType A>
void unary(void* out, const void* a, const void*, const void*, const void*, std::int64_t count) {
  using TO = storage<O>;
  constexpr int N = kRegisterBytes / largest(sizeof(TO), sizeof(storage<A>));
  const Operand<storage<A>, N, Mask & 1> x(a);
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N)
    F::template apply<Vec<TO, N>>(x.at(i)).store(static_cast<TO*>(out) + i);
}

template <class F, ScalarMask Mask, DType O, DType A, DType B>
void binary(void* out, const void* a, const void* b, const void*, const void*, std::int64_t count) {
  using TO = storage<O>;
  constexpr int N = kRegisterBytes / largest(sizeof(TO), sizeof(storage<A>), sizeof(storage<B>));
  const Operand<storage<A>, N, (Mask & 1) != 0> x(a);
  const Operand<storage<B>, N, (Mask & 2) != 0> y(b);
  if constexpr (Mask == 2 && ByInvariant<F, storage<B>>) {
    const typename F::template invariant<storage<B>> by(*y.data);
    if (by.holds) {
      one_row<decltype(by), N>(by, static_cast<TO*>(out), x.data, count);
      return;
    }
  }
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N)
    F::template apply<Vec<TO, N>>(x.at(i), y.at(i)).store(static_cast<TO*>(out) + i);
}

template <class F, ScalarMask Mask, DType O, DType A, DType B, DType C>
void ternary(void* out, const void* a, const void* b, const void* c, const void*, std::int64_t count) {
  using TO = storage<O>;
  constexpr int N =
      kRegisterBytes / largest(sizeof(TO), sizeof(storage<A>), sizeof(storage<B>), sizeof(storage<C>));
  const Operand<storage<A>, N, (Mask & 1) != 0> x(a);
  const Operand<storage<B>, N, (Mask & 2) != 0> y(b);
  const Operand<storage<C>, N, (Mask & 4) != 0> z(c);
  if constexpr (Mask == 6) {
    if (by_uniform<F, N>(static_cast<TO*>(out), x.data, count, *y.data, *z.data)) return;
  }
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N)
    F::template apply<Vec<TO, N>>(x.at(i), y.at(i), z.at(i)).store(static_cast<TO*>(out) + i);
}

template <class F, ScalarMask Mask, DType O, DType A, DType B, DType C, DType D>
void quaternary(void* out, const void* a, const void* b, const void* c, const void* d, std::int64_t count) {
  using TO = storage<O>;
  constexpr int N = kRegisterBytes /
                    largest(largest(sizeof(TO), sizeof(storage<A>), sizeof(storage<B>), sizeof(storage<C>)),
                            sizeof(storage<D>));
  const Operand<storage<A>, N, (Mask & 1) != 0> w(a);
  const Operand<storage<B>, N, (Mask & 2) != 0> x(b);
  const Operand<storage<C>, N, (Mask & 4) != 0> y(c);
  const Operand<storage<D>, N, (Mask & 8) != 0> z(d);
  if constexpr (Mask == 14) {
    if (by_uniform<F, N>(static_cast<TO*>(out), w.data, count, *x.data, *y.data, *z.data)) return;
  }
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N)
    F::template apply<Vec<TO, N>>(w.at(i), x.at(i), y.at(i), z.at(i)).store(static_cast<TO*>(out) + i);
}

/// Whether an operation is by a scale, of which there is often one for each short row.
template <class F>
concept Scaled = F::is_scaled;

template <class T>
UFUSE_INLINE T load_one(const char* from) {
  T x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

/// The values of some rows, and the last one for those that are missing.
template <class T, int Size>
UFUSE_INLINE std::array<T, Size> load_values(const char* from, std::int64_t stride, int some) {
  std::array<T, Size> values;
  if (stride == 0)
    values.fill(load_one<T>(from));
  else if (stride == sizeof(T) && some == Size)
    std::memcpy(values.data(), from, sizeof values);
  else
    for (int k = 0; k < Size; ++k) values[k] = load_one<T>(from + (k < some ? k : some - 1) * stride);
  return values;
}

template <class F, DType O, DType A, DType... Others>
void by_rows(void* out, const void* a, const void* const* values, const std::int64_t* strides,
             std::int64_t rows, std::int64_t columns) {
  constexpr int kWidest = [] {
    int widest = largest(sizeof(storage<O>), sizeof(storage<A>));
    ((widest = largest(widest, sizeof(storage<Others>))), ...);
    return widest;
  }();
  constexpr int N = kRegisterBytes / kWidest;
  static_assert(kRowMultiple % N == 0);
  using TO = storage<O>;
  using TA = storage<A>;
  using V = Vec<TA, N>;
  auto* to = static_cast<TO*>(out);
  const auto* from = static_cast<const TA*>(a);
  [&]<int... K>(std::integer_sequence<int, K...>) __attribute__((always_inline)) {
    const auto value = [&](auto k, std::int64_t row) __attribute__((always_inline)) {
      return static_cast<const char*>(values[k]) + row * strides[k];
    };
    const auto one = [&](std::int64_t r) __attribute__((always_inline)) {
      for (std::int64_t i = r * columns; i < (r + 1) * columns; i += N)
        F::template apply<Vec<TO, N>>(
            V::load(from + i), splat<Vec<storage<Others>, N>>(load_one<storage<Others>>(value(K, r)))...)
            .store(to + i);
    };
    std::int64_t r = 0;
    if constexpr (Uniform<F, V, storage<Others>...>) {
      constexpr int kSize =
          decltype(F::template uniforms<V>(static_cast<const storage<Others>*>(nullptr)...))::size;
      while (r < rows) {
        const int some = static_cast<int>(rows - r < kSize ? rows - r : kSize);
        const auto operations = F::template uniforms<V>(
            load_values<storage<Others>, kSize>(value(K, r), strides[K], some).data()...);
        for (int k = 0; k < some; ++k, ++r) {
          if (!operations.holds) {
            one(r);
            continue;
          }
          const auto operation = operations.at(k);
          one_row<decltype(operation), N>(operation, to + r * columns, from + r * columns, columns);
        }
      }
    }
    for (; r < rows; ++r) one(r);
  }(std::make_integer_sequence<int, sizeof...(Others)>{});
}

/// `Scalars`: whether there are kernels for operands that are single values; where an operation takes long,
/// a block of copies costs nothing beside it.
template <class F, bool Scalars, DType O, DType... In>
constexpr KernelRow row(const char* name) {
  static_assert(sizeof...(In) <= kMaxArity);
  KernelRow r{name, O, {In...}, sizeof...(In), {}};
  if constexpr (sizeof...(In) == 1) {
    r.kernel[0] = unary<F, 0, O, In...>;
  } else if constexpr (sizeof...(In) == 2) {
    r.kernel[0] = binary<F, 0, O, In...>;
    if constexpr (Scalars) {
      r.kernel[1] = binary<F, 1, O, In...>;
      r.kernel[2] = binary<F, 2, O, In...>;
    }
  } else if constexpr (sizeof...(In) == 3) {
    r.kernel[0] = ternary<F, 0, O, In...>;
    r.kernel[2] = ternary<F, 2, O, In...>;
    r.kernel[4] = ternary<F, 4, O, In...>;
    r.kernel[6] = ternary<F, 6, O, In...>;
  } else {  // the last one of four is a setting
    r.kernel[0] = quaternary<F, 0, O, In...>;
    r.kernel[8] = quaternary<F, 8, O, In...>;
    r.kernel[10] = quaternary<F, 10, O, In...>;
    r.kernel[12] = quaternary<F, 12, O, In...>;
    r.kernel[14] = quaternary<F, 14, O, In...>;
  }
  if constexpr (Scaled<F>) r.by_rows = by_rows<F, O, In...>;
  return r;
}

}  // namespace kernels

template <int Count>
constexpr KernelGroup group_of(const KernelRow (&rows)[Count]) {
  return {rows, Count};
}
}  // namespace UFUSE_TIER
}  // namespace ufuse

/// The rows of a group of operations: what a file of kernels defines, with `UFUSE_KERNEL` and the group's
/// list.
#define UFUSE_KERNEL(name, ...) kernels::row<ops::name, true, __VA_ARGS__>(#name),
#define UFUSE_LONG_KERNEL(name, ...) kernels::row<ops::name, false, __VA_ARGS__>(#name),
