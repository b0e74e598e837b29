// One query and a block of keys, where there are few queries: keys and values come from memory as they lie, a
// register of them at a time, and the lanes of the tile would be empty.
//
// Bits: a score is kept in 64 bytes of lanes, number d of the depth in lane d % kLanes, folded by halves; so
// are the exponentials, key j in lane j % kLanes. Values are weighed as in tiles.
#pragma once

#include <algorithm>

#include "attention/exp2.hpp"
#include "attention/kernels.hpp"
#include "attention/rows.hpp"
#include "reduce/lanes.hpp"
#include "simd/fold.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class T>
struct Row {
  using V = Register<T>;
  static constexpr int kSize = sizeof(T);
  static constexpr int kLanes = 64 / kSize, kParts = kLanes / V::size;
  /// What scores are folded in: half of 64 bytes, or a register.
  using Half = Vec<T, (kRegisterBytes < 32 ? kRegisterBytes : 32) / kSize>;
  static constexpr int kKeys = 4;  // at a time

  /// Bytes from a row that is read to the one that is asked for meanwhile. 32 heads, 4096 keys of 128, two
  /// threads of a Xeon with AMX: 2 KiB 30 GB/s, 4 to 16 KiB 28 to 29, 32 KiB 27.5.
  static std::int64_t ahead(std::int64_t count, std::int64_t row) {
    constexpr std::int64_t kAhead = 2048;
    return std::clamp<std::int64_t>(kAhead / (count * kSize + 1), 2, 16) * row;
  }

  struct Sum {
    template <class U>
    static UFUSE_INLINE U fold(U a, U b) {
      return a + b;
    }
    UFUSE_INLINE Half operator()(Half a, Half b) const { return a + b; }
  };
  struct Largest {
    template <class U>
    static UFUSE_INLINE U fold(U a, U b) {
      return select(a > b, a, b);
    }
  };

  /// Half of the fold of 64 bytes of lanes.
  static UFUSE_INLINE Half halved(const V (&acc)[kParts]) {
    if constexpr (kParts == 1) {
      Half low, high;
      std::memcpy(&low.v, &acc[0].v, sizeof low.v);
      std::memcpy(&high.v, reinterpret_cast<const char*>(&acc[0].v) + sizeof low.v, sizeof high.v);
      return low + high;
    } else {
      V sum[kParts];
      for (int p = 0; p < kParts; ++p) sum[p] = acc[p];
#pragma GCC unroll 2
      for (int half = kParts / 2; half > 0; half /= 2)
        for (int p = 0; p < half; ++p) sum[p] = sum[p] + sum[p + half];
      return sum[0];
    }
  }

  static UFUSE_INLINE void dot(const AttentionBlock& b, std::int64_t key, Half* to) {
    const char* rows[kKeys];
#pragma GCC unroll 4
    for (int i = 0; i < kKeys; ++i) rows[i] = b.k + (key + i < b.keys ? key + i : b.keys - 1) * b.k_row;
    V acc[kKeys][kParts] = {};
    std::int64_t d = 0;
    const std::int64_t further = ahead(b.depth, b.k_row);
    for (; d + kLanes <= b.depth; d += kLanes) {
#pragma GCC unroll 4
      for (int i = 0; i < kKeys; ++i) {
        __builtin_prefetch(rows[i] + d * kSize + further);
#pragma GCC unroll 4
        for (int p = 0; p < kParts; ++p) {
          const std::int64_t at = (d + p * V::size) * kSize;
          acc[i][p] = fma(V::load(b.q + at), V::load(rows[i] + at), acc[i][p]);
        }
      }
    }
    for (int p = 0; d < b.depth; ++p, d += V::size)
      for (int i = 0; i < kKeys; ++i)
        acc[i][p] = fma(load_partial<V>(b.q + d * kSize, std::min<std::int64_t>(V::size, b.depth - d), 0),
                        load_partial<V>(rows[i] + d * kSize, std::min<std::int64_t>(V::size, b.depth - d), 0),
                        acc[i][p]);
#pragma GCC unroll 4
    for (int i = 0; i < kKeys; ++i) to[i] = halved(acc[i]);
  }

  static void score(const AttentionBlock& b) {
    constexpr int N = Half::size, kStep = N < kKeys ? kKeys : N;
    for (std::int64_t key = 0; key < b.keys; key += kStep) {
      Half sums[kStep];
      for (int i = 0; i < kStep; i += kKeys) dot(b, key + i, sums + i);
      if constexpr (N == 2) {
        for (int i = 0; i < kStep; ++i) {
          const T x = sums[i][0] + sums[i][1];
          std::memcpy(b.scores + (key + i) * kSize, &x, kSize);
        }
      } else {
        fold_each(sums, Sum{}).store(b.scores + key * kSize);
      }
    }
  }

  /// Scales, masks and hides the scores of lanes from `key` on.
  static UFUSE_INLINE V masked(const AttentionBlock& b, std::int64_t key, V last) {
    using I = rebind_t<V, typename IntOf<sizeof(T)>::type>;
    const V hidden = splat<V>(-static_cast<T>(__builtin_huge_valf())),
            scale = splat<V>(static_cast<T>(b.scale));
    V x = V::load(b.scores + key * kSize);
    if (b.bias != nullptr && !b.hides)
      x = fma(x, scale, V::load(b.bias + key * kSize));
    else if (b.scaled)
      x = x * scale;
    if (b.bias != nullptr && b.hides) x = select(V::load(b.bias + key * kSize) == V{}, x, hidden);
    I lane;
    for (int i = 0; i < V::size; ++i) lane.v[i] = static_cast<lane_t<I>>(i);
    const V at = convert<V>(lane) + splat<V>(static_cast<T>(key));
    return select(at <= last, x, hidden);
  }

  /// `width` numbers of the values, weighed.
  template <int Registers>
  static UFUSE_INLINE void weigh(const AttentionBlock& b, std::int64_t first, T rescale) {
    V acc[Registers] = {};
    const char* v = b.v + first * kSize;
    const std::int64_t further = ahead(b.width, b.v_row);
    for (std::int64_t key = 0; key < b.keys; ++key, v += b.v_row) {
      const V weight = splat<V>(number_at<T>(b.scores + key * kSize));
#pragma GCC unroll 8
      for (int r = 0; r < Registers; ++r) {
        const char* const at = v + r * static_cast<int>(sizeof(V));
        if (r * static_cast<int>(sizeof(V)) % 64 == 0) __builtin_prefetch(at + further);
        acc[r] = fma(weight, V::load(at), acc[r]);
      }
    }
    for (int r = 0; r < Registers; ++r) {
      char* const at = b.out + first * kSize + r * static_cast<int>(sizeof(V));
      fma(V::load(at), splat<V>(rescale), acc[r]).store(at);
    }
  }
  static void weigh_last(const AttentionBlock& b, std::int64_t first, T rescale) {
    const std::int64_t count = b.width - first;
    V acc{};
    for (std::int64_t key = 0; key < b.keys; ++key)
      acc = fma(splat<V>(number_at<T>(b.scores + key * kSize)),
                load_partial<V>(b.v + key * b.v_row + first * kSize, count, 0), acc);
    char* const at = b.out + first * kSize;
    store_partial(at, fma(load_partial<V>(at, count, 0), splat<V>(rescale), acc), count);
  }

  static void add(const AttentionBlock& b) {
    constexpr int kMany = 8;
    const T none = -static_cast<T>(__builtin_huge_valf());
    score(b);
    T before = number_at<T>(b.largest);
    // NaN are left out of the largest: their exponentials are NaN.
    V most[kParts];
    for (V& some : most) some = splat<V>(before);
    const std::int64_t end = (b.keys + kLanes - 1) / kLanes * kLanes;
    const V last =
        splat<V>(static_cast<T>(b.last == nullptr || b.last[0] > b.keys - 1 ? b.keys - 1 : b.last[0]));
    for (std::int64_t key = 0; key < end; key += kLanes)
      for (int p = 0; p < kParts; ++p) {
        const V x = masked(b, key + p * V::size, last);
        x.store(b.scores + (key + p * V::size) * kSize);
        most[p] = math::larger(x, most[p]);
      }
    T largest = fold_registers<Largest>(most);
    std::memcpy(b.largest, &largest, kSize);
    if (largest == none) largest = 0;  // nothing seen: all exponentials are 0
    const V factor = splat<V>(static_cast<T>(b.factor));
    const T rescale = exp2_below((splat<V>(before) - splat<V>(largest)) * factor)[0];
    V total[kParts] = {};
    for (std::int64_t key = 0; key < end; key += kLanes)
      for (int p = 0; p < kParts; ++p) {
        char* const at = b.scores + (key + p * V::size) * kSize;
        const V e = exp2_below((V::load(at) - splat<V>(largest)) * factor);
        e.store(at);
        total[p] = total[p] + e;
      }
    const T sum = fma(number_at<T>(b.total), rescale, fold_registers<Sum>(total));
    std::memcpy(b.total, &sum, kSize);
    std::int64_t first = 0;
    for (; first + kMany * V::size <= b.width; first += kMany * V::size) weigh<kMany>(b, first, rescale);
    for (; first + 4 * V::size <= b.width; first += 4 * V::size) weigh<4>(b, first, rescale);
    for (; first + V::size <= b.width; first += V::size) weigh<1>(b, first, rescale);
    if (first < b.width) weigh_last(b, first, rescale);
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
