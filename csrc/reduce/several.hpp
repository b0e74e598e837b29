// Reducers of several accumulators: chunks in rows, chunks in columns, and what closes them.
#pragma once

#include <array>
#include <utility>

#include "reduce/columns.hpp"
#include "reduce/rows.hpp"
#include "reduce/states.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// The accumulators of W elements side by side.
template <class Parts, int W>
struct LanesOf;
template <class... Folds, int W>
struct LanesOf<std::tuple<Folds...>, W> {
  using type = std::tuple<Vec<typename Folds::wide, W>...>;
  using folded = std::tuple<typename Folds::wide...>;
};
template <class R, int W>
using lanes_of = typename LanesOf<typename R::parts, W>::type;
template <class R>
using folded_of = typename LanesOf<typename R::parts, 1>::folded;
template <class R>
inline constexpr std::size_t parts_in = std::tuple_size_v<typename R::parts>;

/// Calls `body(i)` with a constant i for each part.
template <class R, class Body>
UFUSE_INLINE void each_part(Body body) {
  [&]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<std::size_t, I>{}), ...);
  }(std::make_index_sequence<parts_in<R>>{});
}
template <class R, std::size_t I>
using part_of = std::tuple_element_t<I, typename R::parts>;

template <class R>
inline constexpr bool is_exact = requires { requires R::exact; };
/// Bit i: part i is the same in any order, so that the lanes of a column may share its accumulator.
template <class R>
inline constexpr std::uint8_t shared_parts = [] {
  if constexpr (requires { R::shared; }) return R::shared;
  return std::uint8_t{0};
}();

/// What stands for elements that do not count.
template <class R, class V, class Wide>
UFUSE_INLINE V masked_element(Wide pivot) {
  if constexpr (R::skips_nan)
    return splat<V>(R::element_identity);
  else
    return convert<V>(pivot);
}

/// Smallest and largest of the first rows, as many as are folded together. Returns how many rows that is.
template <class T>
std::int64_t minmax_together(const RowsCall& call) {
  using V = Register<T>;
  std::int64_t r = 0;
  if (!are_foldable_together<V>(call)) return r;
  const auto put = [&](void* states, V values) {
    T* const to = static_cast<T*>(states) + r * call.state_step;
    if (call.state_step == 1) return values.store(to);
    for (int k = 0; k < V::size; ++k) to[k * call.state_step] = values[k];
  };
  for (; r + V::size <= call.rows; r += V::size) {
    const char* const data = call.data + r * call.row_stride;
    const auto fold = [&](auto load, auto by) __attribute__((always_inline)) {
      return fold_together<V>(data, call.row_stride, call.count, load, by);
    };
    V flags{};  // NaN in a lane: somewhere in a row
    const V low = fold(
        [&](const char* at) __attribute__((always_inline)) {
          const V x = V::load(at);
          flags = select(x == x, flags, x);
          return x;
        },
        [](V a, V b) __attribute__((always_inline)) { return reducers::smaller_number(a, b); });
    const V high =
        fold([](const char* at) __attribute__((always_inline)) { return V::load(at); },
             [](V a, V b) __attribute__((always_inline)) { return reducers::larger_number(a, b); });
    if (__builtin_expect(any(flags != flags), 0))
      flags = fold(
          [](const char* at) __attribute__((always_inline)) {
            const V x = V::load(at);
            return select(x == x, V{}, x);
          },
          [](V a, V b) __attribute__((always_inline)) { return a + b; });
    const V nan = splat<V>(std::numeric_limits<T>::quiet_NaN());
    put(call.states[0], select(flags == flags, low, nan));
    put(call.states[1], select(flags == flags, high, nan));
  }
  return r;
}

template <class R, class Source, bool Masked = false>
void several_rows(const RowsCall& call) {
  using T = typename R::element;
  constexpr int W = kRegisterBytes / 8;
  constexpr int K = is_exact<R> ? 4 : kLanes / W;
  using Wide = Vec<double, W>;
  constexpr std::int64_t kStep = W * Source::bytes;
  std::int64_t r = 0;
  if constexpr (std::is_same_v<R, reducers::minmax<float>> && std::is_same_v<Source, Plain<float>> && !Masked)
    r = minmax_together<float>(call);
  for (; r < call.rows; ++r) {
    const char* data = call.data + r * call.row_stride;
    const double pivot =
        call.pivots != nullptr ? call.pivots[r] : R::template pivot_of<Source>(data, call.count);
    const double n = call.counts != nullptr ? call.counts[r] : static_cast<double>(call.count);
    const Wide p = splat<Wide>(pivot);
    lanes_of<R, W> lanes[K];
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
      each_part<R>([&](auto i) __attribute__((always_inline)) {
        using V = std::tuple_element_t<i, lanes_of<R, W>>;
        std::get<i>(lanes[k]) = splat<V>(part_of<R, i>::identity);
      });
    std::int64_t i = 0;
    for (; i + K * W <= call.count; i += K * W, data += K * kStep) {
      prefetch_row<K * kStep>(data, call.ahead);
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        Vec<T, W> x;
        if constexpr (Masked)
          x = load_masked<W, T>(data + k * kStep, call.mask + i + k * W, masked_element<R, Vec<T, W>>(p));
        else
          x = Source::template load<W>(data + k * kStep);
        R::add(lanes[k], p, [=](T) __attribute__((always_inline)) { return x; });
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const std::int64_t left = call.count - i - k * W;
      if (left <= 0) break;
      const char* const at = data + k * kStep;
      R::add(lanes[k], p, [=](T fill) __attribute__((always_inline)) {
        if constexpr (Masked)
          return load_masked_partial<W, T>(at, call.mask + i + k * W, std::min<std::int64_t>(left, W),
                                           masked_element<R, Vec<T, W>>(p));
        else
          return left >= W ? Source::template load<W>(at) : Source::template partial<W>(at, left, fill);
      });
    }
    folded_of<R> folded;
    each_part<R>([&](auto part) __attribute__((always_inline)) {
      std::tuple_element_t<part, lanes_of<R, W>> registers[K];
      for (int k = 0; k < K; ++k) registers[k] = std::get<part>(lanes[k]);
      std::get<part>(folded) = fold_registers<part_of<R, part>>(registers);
    });
    R::close(call.states, r * call.state_step, folded, n, pivot);
  }
}

template <class Source, int W>
UFUSE_INLINE Vec<typename Source::value, W> load_columns(const char* from) {
  if constexpr (W == 1)
    return splat<Vec<typename Source::value, 1>>(Source::one(from));
  else
    return Source::template load<W>(from);
}

/// W columns from column c on: the accumulators are loaded once for all rows of the call.
template <class R, class Source, int W, bool Masked, class Rows>
UFUSE_INLINE void add_columns(const ColumnsCall& call, const char* const* row, Rows rows, std::int64_t c) {
  using T = typename R::element;
  using Wide = Vec<double, W>;
  const auto p = R::shifted ? Wide::load(call.pivots + c) : splat<Wide>(0.0);
  lanes_of<R, W> lanes;
  each_part<R>([&](auto i) __attribute__((always_inline)) {
    using A = typename part_of<R, i>::wide;
    using V = Vec<A, W>;
    const bool fresh = shared_parts<R> >> i & 1 ? call.index == 0 : call.fresh;
    std::get<i>(lanes) =
        fresh ? splat<V>(part_of<R, i>::identity) : V::load(static_cast<const A*>(call.lanes[i]) + c);
  });
  if constexpr (W > 1) prefetch_columns<W * Source::bytes>(row, rows, c * Source::bytes, call.ahead);
  for (std::int64_t r = 0; r < rows; ++r) {
    auto x = load_columns<Source, W>(row[r] + c * Source::bytes);
    if constexpr (Masked && W == 1) {
      if (call.mask[r][c] == 0) x = masked_element<R, Vec<T, W>>(p);
    } else if constexpr (Masked) {
      x = load_masked<W, T>(row[r] + c * Source::bytes, call.mask[r] + c, masked_element<R, Vec<T, W>>(p));
    }
    R::add(lanes, p, [=](T) __attribute__((always_inline)) { return x; });
  }
  each_part<R>([&](auto i) __attribute__((always_inline)) {
    std::get<i>(lanes).store(static_cast<typename part_of<R, i>::wide*>(call.lanes[i]) + c);
  });
}

template <class R, class Source, bool Masked = false>
void several_columns(const ColumnsCall& given) {
  constexpr int W = kRegisterBytes / 8;
  const ColumnsCall call = given;  // by value: stores to the accumulators cannot change it
  with_rows(call, [=](const char* const* row, auto rows) __attribute__((always_inline)) {
    walk_columns<W>(
        call.columns,
        [=](std::int64_t c)
            __attribute__((always_inline)) { add_columns<R, Source, W, Masked>(call, row, rows, c); },
        [=](std::int64_t c) { add_columns<R, Source, 1, Masked>(call, row, rows, c); });
  });
}

template <class R>
void several_fold(void* const* a, const void* const* b, std::int64_t columns) {
  each_part<R>([=](auto i) {
    if (a[i] != b[i]) simple_merge<part_of<R, i>>(a + i, b + i, columns);  // one that lanes share is folded
  });
}

template <class R>
void several_close(void* const* states, const void* const* lanes, std::int64_t columns, const double* pivots,
                   const double* counts, std::int64_t count, std::int64_t) {
  for (std::int64_t c = 0; c < columns; ++c) {
    folded_of<R> folded;
    each_part<R>(
        [&](auto i) { std::get<i>(folded) = static_cast<const typename part_of<R, i>::wide*>(lanes[i])[c]; });
    R::close(states, c, folded, counts != nullptr ? counts[c] : static_cast<double>(count),
             R::shifted ? pivots[c] : 0.0);
  }
}

// --- two simple reducers, one after the other while the elements are in L1
// ----------------------------------

template <class A, class B, class T>
void pair_rows(const RowsCall& call) {
  RowsCall row = call;
  row.rows = 1;
  void* states[2];
  row.states = states;
  for (std::int64_t r = 0; r < call.rows; ++r, row.data += call.row_stride) {
    states[0] = static_cast<typename A::wide*>(call.states[0]) + r * call.state_step;
    simple_rows<A, T, Plain<typename A::wide>>(row);
    states[0] = static_cast<typename B::wide*>(call.states[1]) + r * call.state_step;
    simple_rows<B, T, Plain<typename B::wide>>(row);
  }
}

template <class A, class B, class T>
void pair_columns(const ColumnsCall& call) {
  constexpr std::int64_t kColumns = 2048 / sizeof(T);  // with kRowsPerStep rows half of L1
  const char* row[kRowsPerStep];
  ColumnsCall part = call;
  part.row = row;
  for (std::int64_t c = 0; c < call.columns; c += kColumns) {
    part.columns = call.columns - c < kColumns ? call.columns - c : kColumns;
    for (std::int64_t r = 0; r < call.rows; ++r)
      row[r] = call.row[r] + c * static_cast<std::int64_t>(sizeof(T));
    void* first[] = {static_cast<typename A::wide*>(call.lanes[0]) + c};
    part.lanes = first;
    simple_columns<A, T, Plain<typename A::wide>>(part);
    void* second[] = {static_cast<typename B::wide*>(call.lanes[1]) + c};
    part.lanes = second;
    simple_columns<B, T, Plain<typename B::wide>>(part);
  }
}

template <class A, class B>
void pair_merge(void* const* a, const void* const* b, std::int64_t count) {
  simple_merge<A>(a, b, count);
  simple_merge<B>(a + 1, b + 1, count);
}

template <class A, class B>
void pair_close(void* const* states, const void* const* lanes, std::int64_t columns, const double* pivots,
                const double* counts, std::int64_t count, std::int64_t first_index) {
  simple_close<A, typename A::wide>(states, lanes, columns, pivots, counts, count, first_index);
  simple_close<B, typename B::wide>(states + 1, lanes + 1, columns, pivots, counts, count, first_index);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
