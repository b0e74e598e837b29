// Chunks that are contiguous in memory, one row each.
#pragma once

#include <algorithm>

#include "reduce/ahead.hpp"
#include "reduce/lanes.hpp"
#include "simd/fold.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// Chunks of a simple reducer, of `Rows` rows side by side. An exact one may use any lanes: four registers
/// hide the latency. Of the others two rows do: the additions of one row wait for each other.
template <int Rows, class R, class P, class Source, bool Masked = false>
UFUSE_INLINE void fold_chunks(const char* data, std::int64_t row_stride, std::int64_t count,
                              std::int64_t ahead, const std::uint8_t* mask, P* folded) {
  static_assert(!Masked || Rows == 1);
  using S = typename Source::value;
  constexpr int W = kRegisterBytes / static_cast<int>(sizeof(P));
  constexpr int K = R::exact ? 4 : kLanes / W;
  using Wide = Vec<P, W>;
  constexpr std::int64_t kStep = W * Source::bytes;
  [[maybe_unused]] const auto nothing = splat<Vec<S, W>>(static_cast<S>(R::element_identity));
  Wide acc[Rows][K];
#pragma GCC unroll 16
  for (int k = 0; k < Rows * K; ++k) acc[k / K][k % K] = splat<Wide>(static_cast<P>(R::identity));
  std::int64_t i = 0;
  for (; i + K * W <= count; i += K * W, data += K * kStep) {
#pragma GCC unroll 2
    for (int r = 0; r < Rows; ++r) {
      const char* const row = data + r * row_stride;
      if constexpr (rows_ask_ahead<R, Source>) prefetch_row<K * kStep>(row, ahead);
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        const char* const at = row + k * kStep;
        Vec<S, W> x;
        if constexpr (Masked)
          x = load_masked<W, S>(at, mask + i + k * W, nothing);
        else
          x = Source::template load<W>(at);
        acc[r][k] = reducers::fold_element<R>(acc[r][k], reducers::element_of<R, Wide>(x));
      }
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const std::int64_t left = count - i - k * W;
      if (left <= 0) break;
      const char* const at = data + r * row_stride + k * kStep;
      Vec<S, W> x;
      if constexpr (Masked)
        x = load_masked_partial<W, S>(at, mask + i + k * W, std::min<std::int64_t>(left, W), nothing);
      else
        x = left >= W ? Source::template load<W>(at)
                      : Source::template partial<W>(at, left, R::element_identity);
      acc[r][k] = reducers::fold_element<R>(acc[r][k], reducers::element_of<R, Wide>(x));
    }
    folded[r] = fold_registers<R>(acc[r]);
  }
}

template <class R, class P, class Source, bool Masked = false>
UFUSE_INLINE P fold_chunk(const char* data, std::int64_t count, std::int64_t ahead,
                          const std::uint8_t* mask = nullptr) {
  P folded;
  fold_chunks<1, R, P, Source, Masked>(data, 0, count, ahead, mask, &folded);
  return folded;
}

/// The folds of as many rows as a register has lanes, each of whole registers: what is done once for a row,
/// across its lanes, is done for all of them at once. Minima of rows of 32 float32 take 0.15 cycles an
/// element instead of 0.6 so.
template <class V, class Load, class Fold>
UFUSE_INLINE V fold_together(const char* data, std::int64_t row_stride, std::int64_t count, Load load,
                             Fold fold) {
  V of[V::size];
  each_of(std::integral_constant<int, V::size>{}, [&](int k) __attribute__((always_inline)) {
    const char* const row = data + k * row_stride;
    V folded = load(row);
    for (std::int64_t i = V::size; i < count; i += V::size)
      folded = fold(folded, load(row + i * static_cast<std::int64_t>(sizeof(lane_t<V>))));
    of[k] = folded;
  });
  return fold_each(of, fold);
}
/// Rows of at most so many registers are folded together: of longer ones the end costs little.
inline constexpr std::int64_t kTogether = 16;

template <class V>
UFUSE_INLINE bool are_foldable_together(const RowsCall& call) {
  return call.count % V::size == 0 && call.count > 0 && call.count <= kTogether * V::size;
}

template <class R, class T, class Source, bool Masked = false>
void simple_rows(const RowsCall& call) {
  using State = decltype(state_value<Source>(typename R::wide{}));
  auto* out = static_cast<State*>(call.states[0]);
  std::int64_t r = 0;
  if constexpr (R::exact && !Masked && sizeof(T) == 4 &&
                std::is_same_v<Source, Plain<typename Source::value>> &&
                std::is_same_v<lane_sum_t<R, T>, typename Source::value>) {
    using V = Register<typename Source::value>;
    if (are_foldable_together<V>(call))
      for (; r + V::size <= call.rows; r += V::size) {
        const V folded = fold_together<V>(
            call.data + r * call.row_stride, call.row_stride, call.count,
            [](const char* at)
                __attribute__((always_inline)) { return reducers::element_of<R, V>(V::load(at)); },
            [](V a, V b) __attribute__((always_inline)) { return R::fold(a, b); });
        for (int k = 0; k < V::size; ++k)
          out[(r + k) * call.state_step] = static_cast<State>(state_value<Source>(lane_t<V>{folded[k]}));
      }
  }
  using P = lane_sum_t<R, T>;
  if constexpr (!R::exact && !Masked && kRegisterBytes == 64)
    for (; call.pairs && r + 2 <= call.rows; r += 2) {
      P folded[2];
      fold_chunks<2, R, P, Source>(call.data + r * call.row_stride, call.row_stride, call.count, call.ahead,
                                   nullptr, folded);
      for (int k = 0; k < 2; ++k)
        out[(r + k) * call.state_step] = static_cast<State>(state_value<Source>(folded[k]));
    }
  for (; r < call.rows; ++r) {
    const auto folded =
        fold_chunk<R, P, Source, Masked>(call.data + r * call.row_stride, call.count, call.ahead, call.mask);
    out[r * call.state_step] = static_cast<State>(state_value<Source>(folded));
  }
}

/// Where `value` is first as R sees the elements; where it is a NaN, the first NaN. There is one.
template <class R, class Source>
UFUSE_INLINE std::int64_t first_of(const char* data, std::int64_t count, typename Source::value value) {
  using S = typename Source::value;
  using V = Register<S>;
  if constexpr (requires(S& code) { Source::code_of(value, code); }) {
    S code;
    if (Source::code_of(value, code)) return first_of<R, Plain<S>>(data, count, code);
  }
  const V wanted = splat<V>(value);
  const bool nan = value != value;
  std::int64_t i = 0;
  for (; i + V::size <= count; i += V::size) {
    const V x = Source::template load<V::size>(data + i * Source::bytes);
    if (nan ? any(x != x) : any(reducers::element_of<R, V>(x) == wanted)) break;
  }
  for (; i < count; ++i) {
    const S x = Source::one(data + i * Source::bytes);
    if (nan ? x != x : reducers::element_of<R, S>(x) == value) return i;
  }
  return 0;
}

template <class R, class Source>
void index_rows(const RowsCall& call) {
  using S = typename R::element;
  auto* values = static_cast<decltype(state_value<Source>(S{}))*>(call.states[0]);
  auto* indices = static_cast<std::int64_t*>(call.states[1]);
  // Neighbouring rows are often chunks of one long row (index_step > 0), where a chunk that does not beat
  // the best before it need not be searched: nobody will ask where its extreme is.
  S best{};
  for (std::int64_t r = 0; r < call.rows; ++r) {
    const char* data = call.data + r * call.row_stride;
    const S value = canonical(fold_chunk<typename R::fold_value, S, Source>(data, call.count, call.ahead));
    values[r * call.state_step] = state_value<Source>(value);
    std::int64_t& index = indices[r * call.state_step];
    index = call.first_index + r * call.index_step;
    if (call.index_step == 0 || r == 0 || R::better(value, best)) {
      index += first_of<R, Source>(data, call.count, value);
      best = value;
    }
  }
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
