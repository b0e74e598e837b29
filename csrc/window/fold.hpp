// Windows of any length by segments: ends, middles and beginnings (kernels.hpp has the formulas).
#pragma once

#include "window/folds.hpp"
#include "window/tiles.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// `count` lanes of T as numbers of type A.
template <class V, class T>
UFUSE_INLINE V load_as(const char* from) {
  return convert<V>(Vec<T, V::size>::load(from));
}

template <class T, class V>
UFUSE_INLINE void store_as(char* to, V x, bool stream) {
  const auto y = convert<Vec<T, V::size>>(x);
  if (stream)
    stream_store(to, y);
  else
    y.store(to);
}

/// The kernels of one fold F of elements of type T.
template <class F, class T>
struct Folding {
  using A = typename F::A;
  using V = Register<A>;
  static constexpr int kParts = F::kParts;
  static constexpr int kRegisters = kWindowLanes / V::size;
  static constexpr int kRecord = kParts + 1;
  static constexpr std::int64_t kLaneBytes = V::size * static_cast<std::int64_t>(sizeof(T));

  /// The state of 16 lanes.
  struct State {
    V part[kRegisters][kParts];
    UFUSE_INLINE void start() {
      for (int v = 0; v < kRegisters; ++v) F::start(part[v]);
    }
  };
  /// States and counts in memory, by part and lane.
  struct Stored {
    A part[kParts][kWindowLanes];
    UFUSE_INLINE void put(int v, const V (&s)[kParts]) {
      for (int p = 0; p < kParts; ++p) s[p].store(part[p] + v * V::size);
    }
    UFUSE_INLINE void get(int v, V (&s)[kParts]) const {
      for (int p = 0; p < kParts; ++p) s[p] = V::load(part[p] + v * V::size);
    }
  };
  struct Counts {
    A lane[kWindowLanes];
  };
  /// The ends of one segment: entry o is the fold of its elements from o on. Counts are there unless `clean`.
  struct Ends {
    Stored at[kSegmentRows];
    Counts count[kSegmentRows];
    bool clean;
    void need_counts(std::int64_t rows) {
      if (!clean) return;
      for (std::int64_t o = 0; o < rows; ++o)
        for (A& count_of : count[o].lane) count_of = static_cast<A>(rows - o);
      clean = false;
    }
  };
  struct Group {
    Ends ends[2];
  };
  struct Middle {
    Stored state;
    Counts count;
  };
  struct Scratch {
    alignas(64) T lead[kTileRows * kWindowLanes];
    alignas(64) T trail[kSegmentRows * kWindowLanes];
    Middle middle[2];  // of windows that end before element r, and from there on
  };
  static constexpr std::int64_t kScratch = static_cast<std::int64_t>(sizeof(Group) + sizeof(Scratch) + 128);

  static UFUSE_INLINE V number(double x) { return splat<V>(static_cast<A>(x)); }
  static UFUSE_INLINE V at_least_one(V n) { return select(n > number(1), n, number(1)); }
  static UFUSE_INLINE V one_if(mask_t<V> mask) { return select(mask, number(1), number(0)); }
  static UFUSE_INLINE Shares<V> shares(V na, V nb) {
    const V later = nb / at_least_one(na + nb);
    return {later, na * later};
  }
  static UFUSE_INLINE V reciprocal(V count) {
    if constexpr (kParts == 2 && !F::kRows) return number(1) / at_least_one(count);
    return count;
  }

  /// One element more: of a clean tile, whose count is a number, or not.
  template <bool kClean, bool kAfter>
  static UFUSE_INLINE void step(V (&s)[kParts], V& count, V x, const Step<V>& clean_step) {
    const mask_t<V> valid = x == x;
    Step<V> step = clean_step;
    if constexpr (!kClean) {
      count = count + one_if(valid);
      step.reciprocal = reciprocal(count);
    }
    if constexpr (kAfter)
      F::template after<kClean>(s, x, valid, step);
    else
      F::template before<kClean>(s, x, valid, step);
  }

  template <bool kClean>
  static void scan_ends(const Tile& tile, std::int64_t first_row, std::int64_t rows, Ends& ends) {
    State s;
    s.start();
    V count[kRegisters];
    for (V& c : count) c = number(0);
    for (std::int64_t o = rows - 1; o >= 0; --o) {
      const Step<V> next{number(1.0 / static_cast<double>(rows - o)),
                         number(static_cast<double>(first_row + o))};
      const char* row = tile.data + o * tile.pitch;
      for (int v = 0; v < kRegisters; ++v) {
        step<kClean, false>(s.part[v], count[v], load_as<V, T>(row + v * kLaneBytes), next);
        ends.at[o].put(v, s.part[v]);
        if constexpr (!kClean) count[v].store(ends.count[o].lane + v * V::size);
      }
    }
    ends.clean = kClean;
  }
  static void find_ends(const Tile& tile, std::int64_t first_row, std::int64_t rows, Ends& ends) {
    if (tile.clean)
      scan_ends<true>(tile, first_row, rows, ends);
    else
      scan_ends<false>(tile, first_row, rows, ends);
  }

  /// What a result is divided by, where all elements count.
  static double divisor(const WindowJob& job) {
    const auto n = static_cast<double>(job.window);
    if (job.op == WindowOp::mean) return n;
    if (job.op != WindowOp::var && job.op != WindowOp::std) return 1;
    return n - job.ddof > 0 ? n - job.ddof : std::numeric_limits<double>::quiet_NaN();
  }
  struct Finish {
    V divisor, reciprocal, min_count, ddof;
    bool root, divided, spread;
    UFUSE_INLINE explicit Finish(const WindowJob& job)
        : divisor(number(Folding::divisor(job))),
          reciprocal(number(1) / divisor),
          min_count(number(static_cast<double>(job.min_count))),
          ddof(number(job.ddof)),
          root(job.op == WindowOp::std),
          divided(job.op == WindowOp::mean),
          spread(job.op == WindowOp::var || job.op == WindowOp::std) {}
    template <bool kClean>
    UFUSE_INLINE V operator()(const V (&s)[kParts], V count, V row) const {
      if constexpr (kClean) return F::finish(s, divisor, reciprocal, row, root);
      const V nan = number(std::numeric_limits<double>::quiet_NaN());
      V by = divisor;
      if (divided) by = count;
      if (spread) by = select(count - ddof > number(0), count - ddof, nan);
      return select(count >= min_count, F::finish(s, by, number(1) / by, row, root), nan);
    }
  };

  /// One segment's results. `to` are its rows, `pitch` bytes apart.
  template <bool kClean>
  static void scan_segment(const WindowJob& job, const Tile& tile, std::int64_t first_row, const Ends& last,
                           const Ends& current, const Middle* middle, char* to, std::int64_t pitch,
                           bool stream) {
    const Finish finish(job);
    const std::int64_t length = job.segment, rest = job.rest;
    State s;
    s.start();
    V count[kRegisters];
    for (V& c : count) c = number(0);
    for (std::int64_t j = 0; j < length; ++j) {
      const bool wrapped = j < rest;
      const std::int64_t o = wrapped ? length + j - rest : j - rest;
      const Ends& ends = wrapped ? last : current;
      const Middle& between = middle[wrapped ? 0 : 1];
      const std::int64_t whole = wrapped ? job.whole : job.whole - 1;
      const auto end_count = static_cast<double>(length - o),
                 middle_count = static_cast<double>(whole * length);
      const auto begin_count = static_cast<double>(j + 1);
      const Step<V> next{number(1.0 / begin_count), number(static_cast<double>(first_row + j))};
      Shares<V> with_middle{}, with_begin{};
      if constexpr (kClean && kParts == 2 && !F::kRows) {
        with_middle = shares(number(end_count), number(middle_count));
        with_begin = shares(number(end_count + middle_count), number(begin_count));
      }
      const char* row = tile.data + j * tile.pitch;
      for (int v = 0; v < kRegisters; ++v) {
        step<kClean, true>(s.part[v], count[v], load_as<V, T>(row + v * kLaneBytes), next);
        V all[kParts], part[kParts];
        V n{};
        ends.at[o].get(v, all);
        if constexpr (!kClean) n = V::load(ends.count[o].lane + v * V::size);
        if (whole > 0) {
          between.state.get(v, part);
          if constexpr (!kClean) {
            const V more = V::load(between.count.lane + v * V::size);
            with_middle = shares(n, more);
            n = n + more;
          }
          F::template merge<kClean>(all, part, with_middle);
        }
        if constexpr (!kClean) {
          with_begin = shares(n, count[v]);
          n = n + count[v];
        }
        F::template merge<kClean>(all, s.part[v], with_begin);
        store_as<T>(to + j * pitch + v * kLaneBytes, finish.template operator()<kClean>(all, n, next.row),
                    stream);
      }
    }
  }

  /// The middles of a segment: middle[1] from the records, middle[0] with the segment of `ends` before it.
  /// Returns whether nothing in them is missing.
  static bool find_middles(const WindowJob& job, const LaneGroup& g, std::int64_t segment, const Ends& ends,
                           Middle* middle) {
    bool clean = true;
    if (job.whole > 1) {
      for (int lane = 0; lane < kWindowLanes; ++lane) {
        const int from = lane < g.lanes ? lane : 0;
        const A* record = reinterpret_cast<const A*>(g.middles[from]) + segment * kRecord;
        for (int p = 0; p < kParts; ++p) middle[1].state.part[p][lane] = record[p];
        if constexpr (F::kRows) middle[1].state.part[1][lane] -= static_cast<A>(g.base[from]);
        middle[1].count.lane[lane] = record[kParts];
        clean &= record[kParts] == static_cast<A>((job.whole - 1) * job.segment);
      }
    }
    for (int v = 0; v < kRegisters; ++v) {
      V a[kParts], b[kParts];
      ends.at[0].get(v, a);
      V na = number(static_cast<double>(job.segment));
      if (!ends.clean) na = V::load(ends.count[0].lane + v * V::size);
      if (job.whole > 1) {
        middle[1].state.get(v, b);
        const V nb = V::load(middle[1].count.lane + v * V::size);
        F::template merge<false>(a, b, shares(na, nb));
        na = na + nb;
      }
      middle[0].state.put(v, a);
      na.store(middle[0].count.lane + v * V::size);
    }
    return clean;
  }

  static void run(const WindowJob& job, const LaneGroup* groups, int count, std::int64_t segments,
                  char* scratch) {
    const Tiles<T> tiles(job);
    auto* states = reinterpret_cast<Group*>(scratch);
    auto* own = reinterpret_cast<Scratch*>(scratch +
                                           count * static_cast<std::int64_t>((sizeof(Group) + 63) / 64 * 64));
    const std::int64_t length = job.segment;
    for (std::int64_t k = 0; k < segments; ++k)
      for (int i = 0; i < count; ++i) {
        const LaneGroup& g = groups[i];
        Ends& last = states[i].ends[(k + 1) % 2];
        Ends& current = states[i].ends[k % 2];
        const std::int64_t row = k * length, trail = row - job.whole * length;
        if (k == 0)
          find_ends(tiles.fetch(g, trail - length, length, own->trail), trail - length, length, last);
        find_ends(tiles.fetch(g, trail, length, own->trail), trail, length, current);
        const bool clean = find_middles(job, g, k, current, own->middle);
        const Tile lead = tiles.fetch(g, row, length, own->lead);
        // The trailing tile is used up: results that must be transposed or scattered go there.
        bool stream = false;
        char* place = tiles.place(g, row, length, stream);
        char* to = place != nullptr ? place : reinterpret_cast<char*>(own->trail);
        const std::int64_t pitch = place != nullptr ? job.out_stride : Tiles<T>::kPitch;
        if (clean && lead.clean && last.clean && current.clean) {
          scan_segment<true>(job, lead, row, last, current, own->middle, to, pitch, stream);
        } else {
          const bool was = current.clean;
          last.need_counts(length);
          current.need_counts(length);
          scan_segment<false>(job, lead, row, last, current, own->middle, to, pitch, stream);
          if (was) current.clean = true;  // its counts are what `need_counts` would write
        }
        if (place == nullptr) tiles.store(g, row, length, own->trail);
      }
  }

  static void totals(const WindowJob& job, const LaneGroup& g, std::int64_t segments, char* scratch) {
    const Tiles<T> tiles(job);
    auto* ends = &reinterpret_cast<Group*>(scratch)->ends[0];
    auto* own = reinterpret_cast<Scratch*>(scratch + (sizeof(Group) + 63) / 64 * 64);
    const std::int64_t length = job.segment;
    for (std::int64_t k = 0; k < segments; ++k) {
      find_ends(tiles.fetch(g, k * length, length, own->lead), k * length, length, *ends);
      for (int lane = 0; lane < g.lanes; ++lane) {
        if (k * length >= g.rows[lane]) continue;
        A* record = reinterpret_cast<A*>(g.totals[lane]) + k * kRecord;
        for (int p = 0; p < kParts; ++p) record[p] = ends->at[0].part[p][lane];
        if constexpr (F::kRows) record[1] += static_cast<A>(g.base[lane]);
        record[kParts] = ends->clean ? static_cast<A>(length) : ends->count[0].lane[lane];
      }
    }
  }

  /// a = a and then b, of records.
  static void merge_records(A (&a)[kRecord], const A* b) {
    A x[kParts], y[kParts];
    for (int p = 0; p < kParts; ++p) x[p] = a[p], y[p] = b[p];
    const A n = a[kParts] + b[kParts];
    const A later = b[kParts] / (n > A{1} ? n : A{1});
    F::template merge<false>(x, y, Shares<A>{later, a[kParts] * later});
    for (int p = 0; p < kParts; ++p) a[p] = x[p];
    a[kParts] = n;
  }

  /// Van Herk's blocks, of m = q - 1 totals: the middle of segment b m + o is the end of block b - 1 from its
  /// total o on, and the first o totals of block b.
  static void middles(const WindowJob& job, const char* totals, char* middles, std::int64_t b,
                      std::int64_t segments) {
    const std::int64_t m = job.whole - 1, first = b * m;
    const auto* total = reinterpret_cast<const A*>(totals);
    auto* out = reinterpret_cast<A*>(middles);
    const std::int64_t here = segments - first < m ? segments - first : m;
    A nothing[kRecord];
    A none[kParts];
    F::start(none);
    for (int p = 0; p < kParts; ++p) nothing[p] = none[p];
    nothing[kParts] = A{0};
    A fold[kRecord];
    for (int p = 0; p < kRecord; ++p) fold[p] = nothing[p];
    for (std::int64_t o = m - 1; o >= 0; --o) {
      if (b > 0) {
        A whole[kRecord];
        for (int p = 0; p < kRecord; ++p) whole[p] = total[(first - m + o) * kRecord + p];
        merge_records(whole, fold);
        for (int p = 0; p < kRecord; ++p) fold[p] = whole[p];
      }
      if (o < here)
        for (int p = 0; p < kRecord; ++p) out[(first + o) * kRecord + p] = fold[p];
    }
    for (int p = 0; p < kRecord; ++p) fold[p] = nothing[p];
    for (std::int64_t o = 0; o < here; ++o) {
      A whole[kRecord];
      for (int p = 0; p < kRecord; ++p) whole[p] = out[(first + o) * kRecord + p];
      merge_records(whole, fold);
      for (int p = 0; p < kRecord; ++p) out[(first + o) * kRecord + p] = whole[p];
      merge_records(fold, total + (first + o) * kRecord);
    }
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
