// Interleaved rows taken apart: element i of row r lies at i * N + r.
//
// Whole registers are loaded once and shuffled: rows of N = P * M interleaved elements are P interleaved rows
// of M each, so that a stage of P - 1 shuffles per register of results serves each prime factor P of N.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

inline constexpr int kMostSplit = 15;

/// How far ahead lines are asked for, into L2: what is done with a block keeps a core from reading on. Sums
/// of (4 M, 3) float32 took 5.8 ms on one core without, 3.6 with 8 or 16 KB, 4.8 with 4 KB; into L1, 6.0.
inline constexpr std::int64_t kSplitAhead = 8 << 10;

/// Lanes per register: shuffles of bytes, and of 16 bits before AVX-512, are single instructions in 16 bytes
/// alone.
template <class U>
#if defined(__AVX512BW__)
inline constexpr int kSplitLanes = sizeof(U) == 1 ? 16 : kRegisterBytes / static_cast<int>(sizeof(U));
#else
inline constexpr int kSplitLanes = (sizeof(U) <= 2 ? 16 : kRegisterBytes) / static_cast<int>(sizeof(U));
#endif

/// Of P interleaved rows in registers of W lanes: the `nth` register that holds elements of row J, or -1.
constexpr int split_source(int P, int J, int W, int nth) {
  int found = -1;
  for (int lane = 0, last = -1; lane < W; ++lane) {
    const int source = (lane * P + J) / W;
    if (source == last) continue;
    last = source;
    if (++found == nth) return source;
  }
  return -1;
}

/// Where lane `lane` of row J comes from: of what is there so far, or of register `source`, of which lanes
/// count from W on. The first step takes from two registers.
constexpr int split_lane(int P, int J, int W, int source, bool first, int lane) {
  const int at = lane * P + J;
  if (at / W == source) return W + at % W;
  return first ? at % W : lane;
}

template <int P, int J, int Source, bool First, class V, std::size_t... Lane>
UFUSE_INLINE V split_pick(V a, V b, std::index_sequence<Lane...>) {
#if defined(__clang__)
  return {
      __builtin_shufflevector(a.v, b.v, split_lane(P, J, V::size, Source, First, static_cast<int>(Lane))...)};
#else
  using I = typename IntOf<sizeof(lane_t<V>)>::type;
  return {__builtin_shuffle(a.v, b.v,
                            typename Vec<I, V::size>::native{static_cast<I>(
                                split_lane(P, J, V::size, Source, First, static_cast<int>(Lane)))...})};
#endif
}

/// Row J of P, from its `Nth` register on.
template <int P, int J, int Nth, class V>
UFUSE_INLINE V split_row(V so_far, const V* in) {
  constexpr int kSource = split_source(P, J, V::size, Nth);
  if constexpr (kSource < 0) {
    return so_far;
  } else {
    constexpr auto lanes = std::make_index_sequence<V::size>{};
    return split_row<P, J, Nth + 1>(split_pick<P, J, kSource, Nth == 1>(so_far, in[kSource], lanes), in);
  }
}

constexpr int least_factor(int n) {
  for (int p = 2; p * p <= n; ++p)
    if (n % p == 0) return p;
  return n;
}

/// N registers of N interleaved rows to one register of each row, at out[0], out[Step], ...
template <int N, int Step, class V>
UFUSE_INLINE void split_registers(const V* in, V* out) {
  if constexpr (N == 1) {
    out[0] = in[0];
  } else {
    constexpr int P = least_factor(N), M = N / P;
    auto row = [&](auto j) __attribute__((always_inline)) {
      constexpr int J = decltype(j)::value;
      V part[M];
      auto group = [&](auto g) __attribute__((always_inline)) {
        const V* const from = in + g * P;
        part[g] = split_row<P, J, 1>(from[split_source(P, J, V::size, 0)], from);
      };
      [&]<int... G>(std::integer_sequence<int, G...>) __attribute__((always_inline)) {
        (group(std::integral_constant<int, G>{}), ...);
      }(std::make_integer_sequence<int, M>{});
      split_registers<M, Step * P>(part, out + J * Step);
    };
    [&]<int... J>(std::integer_sequence<int, J...>) __attribute__((always_inline)) {
      (row(std::integral_constant<int, J>{}), ...);
    }(std::make_integer_sequence<int, P>{});
  }
}

template <class U, int N>
void split_rows(char* to, std::int64_t pitch, const char* from, std::int64_t count) {
  constexpr int W = kSplitLanes<U>;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(U));
  using V = Vec<U, W>;
  if (count < W) {
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t r = 0; r < N; ++r)
        std::memcpy(to + r * pitch + i * kSize, from + (i * N + r) * kSize, sizeof(U));
    return;
  }
  for (std::int64_t next = 0; next < count; next += W) {
    const std::int64_t i = std::min(next, count - W);  // the last ones may be taken twice
    V in[N], out[N];
#pragma GCC unroll 16
    for (int r = 0; r < N; ++r) in[r] = V::load(from + (i * N + r * W) * kSize);
#pragma GCC unroll 16
    for (int l = 0; l < (N * V::size * static_cast<int>(kSize) + 63) / 64; ++l)
      __builtin_prefetch(from + i * N * kSize + l * 64 + kSplitAhead, 0, 2);
    split_registers<N, 1>(in, out);
#pragma GCC unroll 16
    for (int r = 0; r < N; ++r) out[r].store(to + r * pitch + i * kSize);
  }
}

/// Takes `ways` <= kMostSplit interleaved rows of `count` elements apart, to rows `pitch` bytes apart.
template <class U>
void split(void* to, std::int64_t pitch, const char* from, std::int64_t ways, std::int64_t count) {
  using Rows = void (*)(char*, std::int64_t, const char*, std::int64_t);
  static constexpr auto table = []<int... N>(std::integer_sequence<int, N...>) {
    struct Table {
      Rows rows[sizeof...(N)];
    };
    return Table{{split_rows<U, N + 1>...}};
  }(std::make_integer_sequence<int, kMostSplit>{});
  table.rows[ways - 1](static_cast<char*>(to), pitch, from, count);
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
