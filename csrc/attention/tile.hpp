// A tile of queries and a block of keys: the scores, their exponentials, and what these weigh of the values.
//
// Bits: a score is one chain of fused multiply-adds over the depth, from 0; a block's sum of exponentials and
// its weighted values are chains over its keys, added to what was there times the factor of the block. Each
// query has a lane of its own, so neither the tile nor its width matters.
#pragma once

#include "attention/exp2.hpp"
#include "attention/kernels.hpp"
#include "attention/rows.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__AVX512F__)
inline constexpr int kTileRows = 14;  // 28 accumulators, 2 of lanes, 1 broadcast: all 32 registers but one
#elif defined(__AVX2__)
inline constexpr int kTileRows = 6;
#elif defined(__aarch64__)
inline constexpr int kTileRows = 8;
#else
inline constexpr int kTileRows = 4;  // two-operand instructions: a product needs a register of its own
#endif

// GCC 12 shares one zero among all accumulators and spills the copies; it cannot share what it cannot see
// through.
#if defined(__x86_64__)
#define UFUSE_HIDE(vector) __asm__("" : "+v"(vector))
#elif defined(__aarch64__)
#define UFUSE_HIDE(vector) __asm__("" : "+w"(vector))
#else
#define UFUSE_HIDE(vector) (void)(vector)
#endif

template <class V, int R, int NV>
UFUSE_INLINE void clear(V (&acc)[R][NV]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      acc[r][v] = V{};
      UFUSE_HIDE(acc[r][v].v);
    }
  }
}

template <class T, int R, int NV>
using Accumulators = Register<T>[R][NV];

/// One step: `row(r)` times the lanes at `from`.
template <class T, int R, int NV, class Row>
UFUSE_INLINE void multiply_add(Accumulators<T, R, NV>& acc, const char* from, Row row) {
  using V = Register<T>;
  V lanes[NV];
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) lanes[v] = V::load(from + v * static_cast<int>(sizeof(V)));
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const V x = splat<V>(number_at<T>(row(r)));
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[r][v] = fma(x, lanes[v], acc[r][v]);
  }
}

/// Scores of R keys; the largest of each query goes to `largest` unless it is null.
template <class T, int R, int NV>
void score_rows(const AttentionBlock& b, const char* k, char* to, char* largest) {
  using V = Register<T>;
  constexpr int kPointers = (R + 2) / 3, kRow = NV * static_cast<int>(sizeof(V));
  const std::int64_t row = b.k_row;
  const char* p[kPointers];  // of every third row: an address holds one or two times the stride
#pragma GCC unroll 8
  for (int i = 0; i < kPointers; ++i) p[i] = k + 3 * i * row;
  V acc[R][NV];
  clear(acc);
  const char* q = b.q;
#pragma GCC unroll 1
  for (std::int64_t left = b.depth; left > 0; --left) {
    multiply_add<T, R, NV>(acc, q,
                           [&](int r) __attribute__((always_inline)) { return p[r / 3] + r % 3 * row; });
    q += kRow;
#pragma GCC unroll 8
    for (int i = 0; i < kPointers; ++i) p[i] += sizeof(T);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[r][v].store(to + r * kRow + v * static_cast<int>(sizeof(V)));
  }
  if (largest == nullptr) return;
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    V most = V::load(largest + v * static_cast<int>(sizeof(V)));
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      most = math::larger(acc[r][v], most);  // a NaN is left out: its exponential is NaN
    most.store(largest + v * static_cast<int>(sizeof(V)));
  }
}

/// R numbers of each value, weighed by the exponentials: out = out * factor + sum.
template <class T, int R, int NV>
void weigh_rows(const AttentionBlock& b, const char* v_at, char* out, const Register<T>* factor) {
  using V = Register<T>;
  constexpr int kRow = NV * static_cast<int>(sizeof(V));
  V acc[R][NV];
  clear(acc);
  const char* weights = b.scores;
#pragma GCC unroll 1
  for (std::int64_t left = b.keys; left > 0; --left) {
    multiply_add<T, R, NV>(acc, weights, [&](int r) __attribute__((always_inline)) {
      return v_at + r * static_cast<int>(sizeof(T));
    });
    weights += kRow;
    v_at += b.v_row;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      char* const at = out + r * kRow + v * static_cast<int>(sizeof(V));
      fma(V::load(at), factor[v], acc[r][v]).store(at);
    }
  }
}

template <class T>
struct TileFunctions {
  using Score = void (*)(const AttentionBlock&, const char*, char*, char*);
  using Weigh = void (*)(const AttentionBlock&, const char*, char*, const Register<T>*);
  Score score[kAttentionVectors][kTileRows];
  Weigh weigh[kAttentionVectors][kTileRows];

  template <int NV, int R>
  constexpr void fill() {
    score[NV - 1][R - 1] = score_rows<T, R, NV>;
    weigh[NV - 1][R - 1] = weigh_rows<T, R, NV>;
    if constexpr (R > 1)
      fill<NV, R - 1>();
    else if constexpr (NV > 1)
      fill<NV - 1, kTileRows>();
  }
  constexpr TileFunctions() : score{}, weigh{} { fill<kAttentionVectors, kTileRows>(); }
};
template <class T>
inline constexpr TileFunctions<T> kTile{};

/// Calls `body(first, rows)` for panels of [0, count) that differ by one row at most: 64 is 13, 13, 13,
/// 13, 12.
template <class Body>
UFUSE_INLINE void each_panel(std::int64_t count, Body body) {
  const std::int64_t panels = (count + kTileRows - 1) / kTileRows;
  for (std::int64_t i = 0, first = 0; i < panels; ++i) {
    const std::int64_t rows = (count - first) / (panels - i);
    body(first, static_cast<int>(rows));
    first += rows;
  }
}

/// Scales, masks and hides scores; the largest of each query goes to `largest`.
template <class T, int NV>
void mask_scores(const AttentionBlock& b) {
  using V = Register<T>;
  using I = rebind_t<V, typename IntOf<sizeof(T)>::type>;
  constexpr int kBytes = sizeof(V);
  const V scale = splat<V>(static_cast<T>(b.scale)),
          hidden = splat<V>(-static_cast<T>(__builtin_huge_valf()));
  V largest[NV];
  I last[NV];
  for (int v = 0; v < NV; ++v) {
    largest[v] = V::load(b.largest + v * kBytes);
    for (int i = 0; i < V::size; ++i)
      last[v].v[i] = b.last == nullptr ? kAttentionKeys : static_cast<lane_t<I>>(b.last[v * V::size + i]);
  }
  char* at = b.scores;
  const char* bias = b.bias;
  for (std::int64_t key = 0; key < b.keys; ++key)
    for (int v = 0; v < NV; ++v, at += kBytes) {
      V x = V::load(at);
      if (bias != nullptr) {
        const V more = V::load(bias);
        bias += kBytes;
        if (b.hides)
          x = select(more == V{}, b.scaled ? x * scale : x, hidden);
        else
          x = fma(x, scale, more);
      } else if (b.scaled) {
        x = x * scale;
      }
      x = select(splat<I>(static_cast<lane_t<I>>(key)) <= last[v], x, hidden);
      x.store(at);
      largest[v] = math::larger(x, largest[v]);
    }
  for (int v = 0; v < NV; ++v) largest[v].store(b.largest + v * kBytes);
}

template <class T, int NV>
void add_block(const AttentionBlock& b) {
  using V = Register<T>;
  constexpr int kBytes = sizeof(V), kSize = sizeof(T);
  const bool masked = b.bias != nullptr || b.last != nullptr || b.scaled;
  V before[NV], largest[NV], total[NV], rescale[NV];
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) before[v] = V::load(b.largest + v * kBytes);
  each_panel(b.keys, [&](std::int64_t first, int rows) {
    kTile<T>.score[NV - 1][rows - 1](b, b.k + first * b.k_row, b.scores + first * (NV * kBytes),
                                     masked ? nullptr : b.largest);
  });
  if (masked) mask_scores<T, NV>(b);
  const V factor = splat<V>(static_cast<T>(b.factor)),
          none = splat<V>(-static_cast<T>(__builtin_huge_valf()));
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    largest[v] = V::load(b.largest + v * kBytes);
    largest[v] = select(largest[v] == none, V{}, largest[v]);  // nothing seen: all exponentials are 0
    rescale[v] = exp2_below((before[v] - largest[v]) * factor);
    total[v] = V{};
  }
  char* at = b.scores;
  for (std::int64_t key = 0; key < b.keys; ++key)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v, at += kBytes) {
      const V e = exp2_below((V::load(at) - largest[v]) * factor);
      e.store(at);
      total[v] = total[v] + e;
    }
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    char* const sum = b.total + v * kBytes;
    fma(V::load(sum), rescale[v], total[v]).store(sum);
  }
  each_panel(b.width, [&](std::int64_t first, int rows) {
    kTile<T>.weigh[NV - 1][rows - 1](b, b.v + first * kSize, b.out + first * (NV * kBytes), rescale);
  });
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
