// Medians and ranks of windows of up to some hundred elements.
#pragma once

#include "window/fold.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// The window of each lane as a sorted column, NaN and what is missing as infinities at its end. A step takes
/// one element out and puts one in, in one pass upwards that compares and shifts: four operations a row.
template <class T>
struct SortedColumns {
  using V = Register<T>;
  static constexpr int kRegisters = kWindowLanes / V::size;
  static constexpr int kRows = 64;

  struct Scratch {
    alignas(64) T lead[kTileRows * kWindowLanes];
    alignas(64) T trail[kTileRows * kWindowLanes];
    alignas(64) T column[kRegisters][(kSortedWindow + 1) * V::size];
    V count[kRegisters];
  };
  static constexpr std::int64_t kScratch = static_cast<std::int64_t>(sizeof(Scratch));

  static UFUSE_INLINE V number(double x) { return splat<V>(static_cast<T>(x)); }
  static UFUSE_INLINE V infinity() { return number(std::numeric_limits<double>::infinity()); }

  static UFUSE_INLINE V most(V a, V b) { return better<true>(a, b); }
  static UFUSE_INLINE V least(V a, V b) { return better<false>(a, b); }

  static UFUSE_INLINE void replace(T* column, std::int64_t window, V old, V fresh) {
    V here = V::load(column), before = number(-std::numeric_limits<double>::infinity());
#pragma GCC unroll 4
    for (std::int64_t k = 0; k < window; ++k) {
      const V next = V::load(column + (k + 1) * V::size);  // row `window` is infinity
      const V kept = select(here < old, here, next);       // without `old`
      least(kept, most(before, fresh)).store(column + k * V::size);
      before = kept;
      here = next;
    }
  }

  /// The mean of the middle two, or of the middle one twice; halved first where the sum overflows.
  static UFUSE_INLINE T middle(T a, T b) {
    const double x = static_cast<double>(a), y = static_cast<double>(b);
    const double sum = x + y, half = sum * 0.5;
    constexpr double kMost = std::numeric_limits<double>::max();
    return static_cast<T>(half <= kMost && half >= -kMost ? half : x * 0.5 + y * 0.5);
  }

  static void medians(const WindowJob& job, const T* column, V counts, T* to) {
    const T fewest = static_cast<T>(job.min_count);
    for (int lane = 0; lane < V::size; ++lane) {
      const auto n = static_cast<std::int64_t>(counts.v[lane]);
      if (!(counts.v[lane] >= fewest)) {
        to[lane] = std::numeric_limits<T>::quiet_NaN();
        continue;
      }
      to[lane] = middle(column[(n - 1) / 2 * V::size + lane], column[n / 2 * V::size + lane]);
    }
  }

  static void run(const WindowJob& job, const LaneGroup* groups, int count, std::int64_t segments,
                  char* scratch) {
    auto* own = reinterpret_cast<Scratch*>(scratch);
    for (int i = 0; i < count; ++i) run_group(job, groups[i], segments, own);
  }

  static void run_group(const WindowJob& job, const LaneGroup& g, std::int64_t segments, Scratch* own) {
    const Tiles<T> tiles(job);
    for (int v = 0; v < kRegisters; ++v) {
      for (std::int64_t k = 0; k <= job.window; ++k) infinity().store(own->column[v] + k * V::size);
      own->count[v] = number(0);
    }
    for (std::int64_t row = -job.window; row < segments * job.segment;) {
      const bool first = row < 0;  // the first window is filled, and nothing leaves it
      const std::int64_t end = first ? 0 : segments * job.segment;
      const std::int64_t rows = end - row < kRows ? end - row : kRows;
      const Tile lead = tiles.fetch(g, row, rows, own->lead);
      Tile trail{};
      if (!first) trail = tiles.fetch(g, row - job.window, rows, own->trail);
      advance(job, lead, trail, rows, own);
      // `advance` leaves the medians in the leading block, which it has read by then.
      if (!first) tiles.store(g, row, rows, own->lead);
      row += rows;
    }
  }

  static void advance(const WindowJob& job, const Tile& lead, const Tile& trail, std::int64_t rows,
                      Scratch* own) {
    constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
    for (int v = 0; v < kRegisters; ++v) {
      T* column = own->column[v];
      V count = own->count[v];
      for (std::int64_t j = 0; j < rows; ++j) {
        const V fresh = V::load(lead.data + j * lead.pitch + v * V::size * kSize);
        V old = number(std::numeric_limits<double>::quiet_NaN());
        if (trail.data != nullptr) old = V::load(trail.data + j * trail.pitch + v * V::size * kSize);
        const auto in = fresh == fresh, out = old == old;
        count = count + select(in, number(1), number(0)) - select(out, number(1), number(0));
        // -0 becomes 0: which of several zeros is taken out cannot be told from the window.
        replace(column, job.window, select(out, old + number(0), infinity()),
                select(in, fresh + number(0), infinity()));
        if (trail.data != nullptr) medians(job, column, count, own->lead + j * kWindowLanes + v * V::size);
      }
      own->count[v] = count;
    }
  }
};

/// Ranks by counting: how many of the window are less than its last element, and how many are no more.
template <class T>
struct CountedRanks {
  using V = Register<T>;
  static constexpr int kRegisters = kWindowLanes / V::size;
  static constexpr int kRows = 64;
  using Int = typename IntOf<sizeof(T)>::type;
  using I = Vec<Int, V::size>;

  struct Scratch {
    alignas(64) T window[(kSortedWindow + kRows) * kWindowLanes];
    alignas(64) T fresh[kTileRows * kWindowLanes];
    alignas(64) T results[kRows * kWindowLanes];
  };
  static constexpr std::int64_t kScratch = static_cast<std::int64_t>(sizeof(Scratch));

  static UFUSE_INLINE V number(double x) { return splat<V>(static_cast<T>(x)); }

  static void run(const WindowJob& job, const LaneGroup* groups, int count, std::int64_t segments,
                  char* scratch) {
    for (int i = 0; i < count; ++i) run_group(job, groups[i], segments, reinterpret_cast<Scratch*>(scratch));
  }

  /// `own->window` holds the window - 1 rows before a tile, and the tile.
  static void run_group(const WindowJob& job, const LaneGroup& g, std::int64_t segments, Scratch* own) {
    const Tiles<T> tiles(job);
    const std::int64_t history = job.window - 1, end = segments * job.segment;
    for (std::int64_t row = -history; row < end;) {
      const std::int64_t stop = row < 0 ? 0 : end;
      const std::int64_t rows = stop - row < kRows ? stop - row : kRows;
      const Tile tile = tiles.fetch(g, row, rows, own->fresh);
      const std::int64_t at = row < 0 ? row + history : history;
      for (std::int64_t j = 0; j < rows; ++j)
        std::memcpy(own->window + (at + j) * kWindowLanes, tile.data + j * tile.pitch,
                    kWindowLanes * sizeof(T));
      if (row >= 0) {
        for (std::int64_t j = 0; j < rows; ++j)
          for (int v = 0; v < kRegisters; ++v) rank(job, own, j, v);
        tiles.store(g, row, rows, own->results);
        std::memmove(own->window, own->window + rows * kWindowLanes,
                     static_cast<std::size_t>(history) * kWindowLanes * sizeof(T));
      }
      row += rows;
    }
  }

  static UFUSE_INLINE void rank(const WindowJob& job, Scratch* own, std::int64_t j, int v) {
    const T* first = own->window + j * kWindowLanes + v * V::size;
    const V x = V::load(first + (job.window - 1) * kWindowLanes);
    I less{}, no_more{}, there{};
    for (std::int64_t k = 0; k < job.window; ++k) {
      const V y = V::load(first + k * kWindowLanes);
      less = less - (y < x);  // a mask is -1
      no_more = no_more - (y <= x);
      there = there - (y == y);
    }
    const V count = convert<V>(there), twice = convert<V>(less + no_more);
    const V nan = number(std::numeric_limits<double>::quiet_NaN());
    // The mean rank of the equal ones, from 0 on, is (less + no_more - 1) / 2.
    V result = (twice - number(1)) / (count - number(1)) - number(1);
    result = select(count > number(1), result, number(0));
    result = select(count >= number(static_cast<double>(job.min_count)), result, nan);
    result = select(x == x, result, nan);
    result.store(own->results + j * kWindowLanes + v * V::size);
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
