// The loops of order statistics for one tier: this file is compiled once per tier.
#include "order/kernels.hpp"

#include "order/filter.hpp"
#include "order/keys.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class Map, class K>
void load_blocks(const TileLoad<K>& c) {
  using V = Register<K>;
  constexpr int W = V::size;
  std::int64_t a = 0;
  for (; a + W <= c.a_count; a += W) {
    std::int64_t b = 0;
    for (; b + W <= c.b_count; b += W) {
      V row[W];
      const char* at = c.from + a * c.a_stride + b * c.b_stride;
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) row[i] = Map::load(at + i * c.b_stride, c.infinity);
      transpose(row);
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) row[i].store(c.to + (a + i) * c.pitch + b);
    }
    for (; b < c.b_count; ++b) {
      const V column = Map::load(c.from + a * c.a_stride + b * c.b_stride, c.infinity);
      for (int i = 0; i < W; ++i) c.to[(a + i) * c.pitch + b] = column[i];
    }
  }
  for (std::int64_t b = 0; b < c.b_count && a < c.a_count; ++b)
    for (std::int64_t i = a; i < c.a_count; ++i)
      c.to[i * c.pitch + b] = Map::load(c.from + i * c.a_stride + b * c.b_stride, c.infinity, false);
}

template <class Map, class K>
void load_rows(const TileLoad<K>& c) {
  constexpr int W = Register<K>::size;
  for (std::int64_t a = 0; a < c.a_count; ++a) {
    const char* from = c.from + a * c.a_stride;
    K* to = c.to + a * c.pitch;
    std::int64_t b = 0;
    for (; b + W <= c.b_count; b += W) Map::load(from + b * c.b_stride, c.infinity).store(to + b);
    for (; b < c.b_count; ++b) to[b] = Map::load(from + b * c.b_stride, c.infinity, false);
  }
}

template <class K, int Size, KeyKind Kind>
void load_tile(const TileLoad<K>& c) {
  using Map = KeyMap<K, Size, Kind>;
  if (!c.swap && c.b_stride == Size) return load_rows<Map>(c);
  if (!c.swap && c.a_stride == Size) return load_blocks<Map>(c);
  const auto size = [](std::int64_t stride) { return stride < 0 ? -stride : stride; };
  if (size(c.a_stride) < size(c.b_stride)) {
    for (std::int64_t b = 0; b < c.b_count; ++b)
      for (std::int64_t a = 0; a < c.a_count; ++a)
        c.to[a * c.pitch + b] = Map::load(c.from + a * c.a_stride + b * c.b_stride, c.infinity, c.swap);
  } else {
    for (std::int64_t a = 0; a < c.a_count; ++a)
      for (std::int64_t b = 0; b < c.b_count; ++b)
        c.to[a * c.pitch + b] = Map::load(c.from + a * c.a_stride + b * c.b_stride, c.infinity, c.swap);
  }
}

/// Floats of one byte have their ranks for keys.
template <class K>
void load_ranks(const TileLoad<K>& c) {
  for (std::int64_t a = 0; a < c.a_count; ++a)
    for (std::int64_t b = 0; b < c.b_count; ++b) {
      const K rank = c.ranks[static_cast<unsigned char>(c.from[a * c.a_stride + b * c.b_stride])];
      c.to[a * c.pitch + b] = rank == 255 ? static_cast<K>(~K{0}) : rank;
    }
}

template <class K, int Size, KeyKind Kind>
void store_elements(const BlendCall<K>& c) {
  using Map = KeyMap<K, Size, Kind>;
  for (std::int64_t i = 0; i < c.count; ++i) {
    const auto bits = Map::to_bits(c.previous[i]);
    std::memcpy(c.out + i * c.stride, &bits, sizeof bits);
  }
}

template <class R, class F>
UFUSE_INLINE void put_each(std::int64_t count, char* out, std::int64_t stride, F value) {
  if (stride == static_cast<std::int64_t>(sizeof(R))) {
    for (std::int64_t i = 0; i < count; ++i) {
      const R r = value(i);
      std::memcpy(out + i * static_cast<std::int64_t>(sizeof(R)), &r, sizeof r);
    }
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const R r = value(i);
    std::memcpy(out + i * stride, &r, sizeof r);
  }
}

template <class K, int Size, KeyKind Kind, class R>
void blend_elements(const BlendCall<K>& c) {
  using Map = KeyMap<K, Size, Kind>;
  const auto first = [&](std::int64_t i) { return static_cast<R>(Map::to_number(c.previous[i])); };
  const auto second = [&](std::int64_t i) { return static_cast<R>(Map::to_number(c.next[i])); };
  // Of floats the difference is rounded in their own type; that of integers is exact: keys differ as they do.
  const auto difference = [&](std::int64_t i) {
    if constexpr (Kind == KeyKind::floating)
      return static_cast<R>(Map::to_number(c.next[i]) - Map::to_number(c.previous[i]));
    else
      return static_cast<R>(c.next[i] - c.previous[i]);
  };
  const R t = static_cast<R>(c.rule.t), one_minus_t = static_cast<R>(c.rule.one_minus_t);
  switch (c.rule.blend) {
    case Blend::previous:
      return put_each<R>(c.count, c.out, c.stride, first);
    case Blend::mean:
      return put_each<R>(c.count, c.out, c.stride,
                         [&](std::int64_t i) { return (first(i) + second(i)) / static_cast<R>(2); });
    case Blend::lower:
      return put_each<R>(c.count, c.out, c.stride,
                         [&](std::int64_t i) { return first(i) + difference(i) * t; });
    case Blend::upper:
      return put_each<R>(c.count, c.out, c.stride,
                         [&](std::int64_t i) { return second(i) - difference(i) * one_minus_t; });
  }
}

template <class K>
void count_rows_above(const K* rows, std::int64_t count, K limit, K* counts) {
  using V = Register<K>;
  for (int lane = 0; lane < kNetworkLanes<K>; lane += V::size) {
    V seen = splat<V>(0);
    for (std::int64_t i = 0; i < count; ++i)
      seen = seen - bitcast<V>(V::load(rows + i * kNetworkLanes<K> + lane) > splat<V>(limit));
    seen.store(counts + lane);
  }
}

template <class K>
void arrange(K* keys, std::int64_t count, K zero, bool descending) {
  const K below = static_cast<K>(zero - (zero != 0)), turn = descending ? static_cast<K>(~K{0}) : K{0};
  for (std::int64_t i = 0; i < count; ++i) keys[i] = (keys[i] == below ? zero : keys[i]) ^ turn;
}

/// The place of each key is how many come before it, equal ones in their order.
template <class K>
void rank_sort(K* keys, int count) {
  using V = Register<K>;
  constexpr int W = V::size;
  K padded[kRankSortMost];
  const int blocks = (count + W - 1) / W;
  for (int i = 0; i < blocks * W; ++i) padded[i] = i < count ? keys[i] : static_cast<K>(~K{0});
  V lane;
  for (int i = 0; i < W; ++i) lane.v[i] = static_cast<K>(i);
  K sorted[kRankSortMost];
  for (int block = 0; block < blocks; ++block) {
    const V x = V::load(padded + block * W);
    V rank = splat<V>(0);
    int j = 0;
    for (; j < block * W; ++j) rank = rank - bitcast<V>(splat<V>(padded[j]) <= x);
    for (int i = 0; i < W; ++i, ++j) {
      const V key = splat<V>(padded[j]);
      const auto before = (key < x) | ((key == x) & (lane > splat<V>(static_cast<K>(i))));
      rank = rank - bitcast<V>(before);
    }
    for (; j < count; ++j) rank = rank - bitcast<V>(splat<V>(padded[j]) < x);
    for (int i = 0; i < W; ++i) sorted[static_cast<int>(rank[i])] = x[i];
  }
  for (int i = 0; i < count; ++i) keys[i] = sorted[i];
}

template <class K>
void network(K* rows, const Comparator* comparators, std::int64_t count) {
  using V = Register<K>;
  constexpr int kLanes = kNetworkLanes<K>;
  for (std::int64_t c = 0; c < count; ++c) {
    K* low = rows + comparators[c].low * kLanes;
    K* high = rows + comparators[c].high * kLanes;
#pragma GCC unroll 8
    for (int lane = 0; lane < kLanes; lane += V::size) {
      const V a = V::load(low + lane), b = V::load(high + lane);
      smaller<K>(a, b).store(low + lane);
      larger<K>(a, b).store(high + lane);
    }
  }
}

template <class K, int Size, KeyKind Kind>
void put_element(KeyKernels<K>& t) {
  constexpr int kSize = Size == 8 ? 3 : Size == 4 ? 2 : Size == 2 ? 1 : 0;
  constexpr int kKind = static_cast<int>(Kind);
  t.load[kSize][kKind] = load_tile<K, Size, Kind>;
  t.store[kSize][kKind] = store_elements<K, Size, Kind>;
  if constexpr (Kind != KeyKind::floating || Size >= 4) {
    t.blend[kSize][kKind][0] = blend_elements<K, Size, Kind, float>;
    t.blend[kSize][kKind][1] = blend_elements<K, Size, Kind, double>;
  }
}

template <class K>
void put_loops(KeyKernels<K>& t) {
  t.count_above = count_above<K>;
  t.count_rows_above = count_rows_above<K>;
  t.filter = filter<K>;
  t.filter_indexed = filter_indexed<K>;
  t.arrange = arrange<K>;
  t.rank_sort = rank_sort<K>;
  t.network = network<K>;
}

OrderKernels make_table() {
  OrderKernels t{};
  put_loops(t.narrow);
  put_loops(t.wide);
  put_element<std::uint32_t, 1, KeyKind::unsigned_>(t.narrow);
  put_element<std::uint32_t, 1, KeyKind::signed_>(t.narrow);
  t.narrow.load[0][static_cast<int>(KeyKind::floating)] = load_ranks<std::uint32_t>;
  t.narrow.store[0][static_cast<int>(KeyKind::floating)] =
      store_elements<std::uint32_t, 1, KeyKind::unsigned_>;
  put_element<std::uint32_t, 2, KeyKind::unsigned_>(t.narrow);
  put_element<std::uint32_t, 2, KeyKind::signed_>(t.narrow);
  put_element<std::uint32_t, 2, KeyKind::floating>(t.narrow);
  put_element<std::uint32_t, 4, KeyKind::unsigned_>(t.narrow);
  put_element<std::uint32_t, 4, KeyKind::signed_>(t.narrow);
  put_element<std::uint32_t, 4, KeyKind::floating>(t.narrow);
  put_element<std::uint64_t, 8, KeyKind::unsigned_>(t.wide);
  put_element<std::uint64_t, 8, KeyKind::signed_>(t.wide);
  put_element<std::uint64_t, 8, KeyKind::floating>(t.wide);
  return t;
}

}  // namespace

const OrderKernels* order_kernels() {
  static const OrderKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
