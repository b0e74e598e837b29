// Windows of up to `kDoubled` elements: folds of 1, 2, 4, ... elements from each position on, each of two of
// those before, put together by the binary digits of the window.
//
// Positions are computed by vectors that overlap, so that lanes along memory need no transposing; sixteen
// lanes side by side are the same, sixteen elements a step. A window's fold depends on its elements alone.
#pragma once

#include <type_traits>

#include "window/fold.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class F, class T>
struct Doubling {
  using Fold = Folding<F, T>;
  using A = typename F::A;
  using V = typename Fold::V;
  static constexpr int kParts = F::kParts;
  static constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));
  /// Positions of a tile; those side by side take sixteen times the memory.
  static constexpr std::int64_t kAlong = kParts == 1 ? 1024 : 512, kAcross = 128;
  static constexpr std::int64_t kChunk = 64;  // rows that are fetched at a time
  static constexpr std::int64_t kEntries = (kAcross + kDoubled) * kWindowLanes + 8 * V::size;

  static std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

  /// A state and its count for each position.
  struct States {
    alignas(64) A part[kParts][kEntries];
    alignas(64) A count[kEntries];
    template <bool kClean>
    UFUSE_INLINE V get(std::int64_t i, V (&s)[kParts]) const {
      for (int p = 0; p < kParts; ++p) s[p] = V::load(part[p] + i);
      return kClean ? V{} : V::load(count + i);
    }
    template <bool kClean>
    UFUSE_INLINE void put(std::int64_t i, const V (&s)[kParts], V n) {
      for (int p = 0; p < kParts; ++p) s[p].store(part[p] + i);
      if constexpr (!kClean) n.store(count + i);
    }
  };
  struct Scratch {
    States power, low;  // folds of a power of two, and of the digits below it
    alignas(64) T block[kTileRows * kWindowLanes];
    alignas(64) T results[kAcross * kWindowLanes];
  };
  static_assert(kAlong + kDoubled <= kEntries && kAlong <= kAcross * kWindowLanes);
  static constexpr std::int64_t kScratch = static_cast<std::int64_t>(sizeof(Scratch) + 64);

  /// Where the vectors of a tile are: `step` entries from row to row.
  struct Place {
    std::int64_t rows, step;
    std::int64_t vectors(std::int64_t rows_more) const {
      return ((rows + rows_more) * step + V::size - 1) / V::size;
    }
    std::int64_t across() const { return step == 1 ? 1 : step / V::size; }
    UFUSE_INLINE V row(std::int64_t vector) const {
      V lane{};
      if (step != 1) return Fold::number(static_cast<double>(vector * V::size / step));
      for (int i = 0; i < V::size; ++i) lane.v[i] = static_cast<A>(i);
      return lane + Fold::number(static_cast<double>(vector * V::size));
    }
  };

  template <bool kClean>
  static UFUSE_INLINE V merge(V (&a)[kParts], V na, const V (&b)[kParts], V nb, const Shares<V>& clean) {
    F::template merge<kClean>(a, b, kClean ? clean : Fold::shares(na, nb));
    return kClean ? na : na + nb;
  }
  static Shares<V> shares(std::int64_t first, std::int64_t later) {
    return Fold::shares(Fold::number(static_cast<double>(first)), Fold::number(static_cast<double>(later)));
  }

  /// States of `vectors` vectors from `first` on, `across` of them in a row. Returns whether none is NaN.
  template <bool kClean>
  static bool start(const char* from, std::int64_t pitch, const Place& place, std::int64_t first,
                    std::int64_t vectors, States& to) {
    mask_t<V> valid = V{} == V{};
    const std::int64_t across = place.across();
    for (std::int64_t i = first; i < first + vectors; i += across, from += pitch)
      for (std::int64_t j = 0; j < across; ++j) {
        const V x = load_as<V, T>(from + j * V::size * kSize);
        const mask_t<V> here = x == x;
        valid = valid & here;
        V s[kParts];
        F::template single<kClean>(s, x, here, place.row(i + j));
        to.template put<kClean>((i + j) * V::size, s, kClean ? V{} : Fold::one_if(here));
      }
    bool clean = true;
    for (int i = 0; i < V::size; ++i) clean &= valid.v[i] != 0;
    return clean;
  }

  /// Folds of 2 k elements of those of k. Where the window has the digit k, its fold goes before the lower
  /// digits', which are `digits` elements.
  template <bool kClean>
  static void level(const WindowJob& job, const Place& place, std::int64_t k, Scratch* own) {
    const std::int64_t digits = job.window & (k - 1), shift = k * place.step;
    const bool digit = (job.window & k) != 0;
    const std::int64_t vectors = place.vectors(job.window - (digit ? k + digits : 2 * k));
    const Shares<V> even = shares(k, k), odd = shares(k, digits);
    const auto pass = [&](auto with_digit, auto with_digits) __attribute__((always_inline)) {
      for (std::int64_t i = 0; i < vectors * V::size; i += V::size) {
        V a[kParts], b[kParts], low[kParts];
        const V na = own->power.template get<kClean>(i, a);
        if constexpr (with_digit) {
          for (int p = 0; p < kParts; ++p) low[p] = a[p];
          V n = na;
          if constexpr (with_digits) {
            const V nb = own->low.template get<kClean>(i + shift, b);
            n = merge<kClean>(low, na, b, nb, odd);
          }
          own->low.template put<kClean>(i, low, n);
        }
        const V nb = own->power.template get<kClean>(i + shift, b);
        own->power.template put<kClean>(i, a, merge<kClean>(a, na, b, nb, even));
      }
    };
    if (!digit)
      pass(std::false_type{}, std::false_type{});
    else if (digits == 0)
      pass(std::true_type{}, std::false_type{});
    else
      pass(std::true_type{}, std::true_type{});
  }

  /// The results, of folds of k elements, of which the window has up to three, and of its lower digits;
  /// `pitch` bytes from row to row. `next` is read soon, unless null.
  template <bool kClean>
  static void finish(const WindowJob& job, const Place& place, std::int64_t k, char* to, std::int64_t pitch,
                     bool stream, const char* next, const Scratch* own) {
    const typename Fold::Finish result(job);
    const std::int64_t powers = job.window / k, digits = job.window % k, shift = k * place.step;
    const std::int64_t vectors = place.vectors(0), across = place.across();
    const Shares<V> even = shares(k, k), odd = shares(k, digits);
    const Shares<V> last = powers < 2 ? odd : shares(2 * k, job.window % (2 * k));
    const auto end = Fold::number(static_cast<double>(job.window - 1));
    const auto window = [&](std::int64_t i, V(&a)[kParts]) __attribute__((always_inline)) {
      V b[kParts], c[kParts];
      V n = own->power.template get<kClean>(i, a);
      if (powers > 1) {
        const V nb = own->power.template get<kClean>(i + shift, b);
        n = merge<kClean>(a, n, b, nb, even);
      }
      V nb = digits > 0 ? own->low.template get<kClean>(i + powers * shift, b) : V{};
      if (powers > 2) {
        V nc = own->power.template get<kClean>(i + 2 * shift, c);
        if (digits > 0) nc = merge<kClean>(c, nc, b, nb, odd);
        return merge<kClean>(a, n, c, nc, last);
      }
      return digits > 0 ? merge<kClean>(a, n, b, nb, last) : n;
    };
    for (std::int64_t i = 0; i < vectors; i += across, to += pitch)
      for (std::int64_t j = 0; j < across; ++j) {
        if (next != nullptr) __builtin_prefetch(next + (i + j) * V::size * kSize);
        V a[kParts];
        const V n = window((i + j) * V::size, a);
        store_as<T>(to + j * V::size * kSize,
                    result.template operator()<kClean>(a, n, place.row(i + j) + end), stream);
      }
  }

  /// Folds of k elements are there.
  template <bool kClean>
  static void results(const WindowJob& job, const Place& place, char* to, std::int64_t pitch, bool stream,
                      std::int64_t k, const char* next, Scratch* own) {
    for (; job.window / k > 3; k *= 2) level<kClean>(job, place, k, own);
    finish<kClean>(job, place, k, to, pitch, stream, next, own);
  }

  /// The states of a tile whose first window ends at `row` of one lane.
  template <bool kClean>
  static bool start_lane(const WindowJob& job, const LaneGroup& g, int lane, std::int64_t row,
                         const Place& place, Scratch* own) {
    const Tiles<T> tiles(job);
    const std::int64_t total = place.rows + job.window - 1, first = row - (job.window - 1);
    const char* from = g.x[lane] + first * job.stride;
    const bool direct = in_place(job, g, lane, row);
    constexpr std::int64_t kPitch = V::size * kSize;
    std::int64_t k = direct ? total / V::size * V::size : 0;
    bool clean = k == 0 || start<kClean>(from, kPitch, place, 0, k / V::size, own->power);
    while (k < total) {
      const std::int64_t count = least(total - k, kTileRows);
      const std::int64_t begin = g.base[lane] + first + k, before = begin < 0 ? least(-begin, count) : 0;
      for (std::int64_t i = 0; i < before; ++i) own->block[i] = Tiles<T>::missing();
      if (before < count)
        tiles.read_run(own->block + before, from + (k + before) * job.stride, job.stride, count - before);
      // Fill the last vector with what counts, so that it does not spoil a clean tile.
      const std::int64_t vectors = (count + V::size - 1) / V::size;
      for (std::int64_t i = count; i < vectors * V::size; ++i) own->block[i] = T{0};
      const char* block = reinterpret_cast<const char*>(own->block);
      clean &= start<kClean>(block, kPitch, place, k / V::size, vectors, own->power);
      k += count;
    }
    return clean;
  }

  static bool in_place(const WindowJob& job, const LaneGroup& g, int lane, std::int64_t row) {
    return job.plain && job.stride == kSize && g.base[lane] + row >= job.window - 1;
  }

  static constexpr bool kPipelined = V::size >= 4;  // a level may look into the next vector, not beyond

  /// Entries I + D of two vectors, one behind the other.
  template <int D, int... I>
  static UFUSE_INLINE V shifted(V a, V b, Indices<I...>) {
    if constexpr (!kPipelined) return b;
    using U = Vec<LaneBits<A>, V::size>;
    return bitcast<V>(U{UFUSE_WINDOW_SHUFFLE(bitcast<U>(a).v, bitcast<U>(b).v, (I + D)...)});
  }
  /// a and what lies D entries behind it, where b follows a.
  template <int D>
  static UFUSE_INLINE void join(V (&to)[kParts], const V (&a)[kParts], const V (&low)[kParts],
                                const V (&next)[kParts], const Shares<V>& n) {
    V b[kParts];
    for (int p = 0; p < kParts; ++p) {
      to[p] = a[p];
      b[p] = shifted<D>(low[p], next[p], typename CountTo<V::size>::type{});
    }
    F::template merge<true>(to, b, n);
  }

  /// `start` and the first three levels of clean elements in registers: what a level needs of the next vector
  /// it waits for.
  static bool start_eight(const WindowJob& job, const LaneGroup& g, int lane, std::int64_t row,
                          const Place& place, Scratch* own) {
    const std::int64_t total = place.rows + job.window - 1, whole = total / V::size;
    const char* from = g.x[lane] + (row - (job.window - 1)) * kSize;
    for (std::int64_t i = 0; i < 4 * V::size; ++i) own->block[i] = T{0};
    std::memcpy(own->block, from + whole * V::size * kSize,
                static_cast<std::size_t>((total - whole * V::size) * kSize));
    const Shares<V> of1 = shares(1, 1), of2 = shares(2, 2), of4 = shares(4, 4);
    const Shares<V> low2_shares = shares(2, job.window & 1), low4_shares = shares(4, job.window & 3);
    const bool digit1 = (job.window & 1) != 0, digit2 = (job.window & 2) != 0, digit4 = (job.window & 4) != 0;
    V before1[kParts]{}, one[kParts]{}, two[kParts]{}, four[kParts]{}, low[kParts]{};
    mask_t<V> valid = V{} == V{};
    const auto advance = [&](std::int64_t i, const char* at) __attribute__((always_inline)) {
      const V x = load_as<V, T>(at);
      const mask_t<V> here = x == x;
      valid = valid & here;
      V next1[kParts], next2[kParts], next4[kParts], low2[kParts], low4[kParts], eight[kParts];
      F::template single<true>(next1, x, here, place.row(i));
      join<1>(next2, one, one, next1, of1);
      join<2>(next4, two, two, next2, of2);
      join<4>(eight, four, four, next4, of4);
      for (int p = 0; p < kParts; ++p) low2[p] = before1[p], low4[p] = low[p];
      if (digit2) {
        for (int p = 0; p < kParts; ++p) low2[p] = two[p];
        if (digit1) join<2>(low2, two, before1, one, low2_shares);
      }
      if (digit4) {
        for (int p = 0; p < kParts; ++p) low4[p] = four[p];
        if (digit1 || digit2) join<4>(low4, four, low, low2, low4_shares);
      }
      if (i >= 3) {
        own->power.template put<true>((i - 3) * V::size, eight, V{});
        own->low.template put<true>((i - 3) * V::size, low4, V{});
      }
      for (int p = 0; p < kParts; ++p) {
        before1[p] = one[p], one[p] = next1[p], two[p] = next2[p], four[p] = next4[p], low[p] = low2[p];
      }
    };
    for (std::int64_t i = 0; i < whole; ++i) {
      // The next tile, while nothing is written: with the streamed results its lines took a fifth longer.
      __builtin_prefetch(from + (i * V::size + place.rows) * kSize);
      advance(i, from + i * V::size * kSize);
    }
    for (std::int64_t i = 0; i < 4; ++i)
      advance(whole + i, reinterpret_cast<const char*>(own->block + i * V::size));
    bool clean = true;
    for (int i = 0; i < V::size; ++i) clean &= valid.v[i] != 0;
    return clean;
  }

  /// The same of sixteen lanes side by side.
  template <bool kClean>
  static bool start_group(const WindowJob& job, const LaneGroup& g, std::int64_t row, const Place& place,
                          Scratch* own) {
    const Tiles<T> tiles(job);
    const std::int64_t total = place.rows + job.window - 1, first = row - (job.window - 1);
    bool clean = true;
    for (std::int64_t k = 0; k < total; k += kChunk) {
      const std::int64_t count = least(total - k, kChunk);
      const Tile tile = tiles.fetch(g, first + k, count, own->block);
      clean &=
          start<kClean>(tile.data, tile.pitch, place, k * place.across(), count * place.across(), own->power);
    }
    return clean;
  }

  static void run_lane(const WindowJob& job, const LaneGroup& g, int lane, Scratch* own) {
    const Tiles<T> tiles(job);
    const bool plain = job.plain_out && job.out_stride == kSize;
    std::int64_t row = head(job, g.base[lane]);
    fill_nan(own, row);
    tiles.write_run(g.out[lane], own->results, row);
    while (row < g.rows[lane]) {
      char* const at = g.out[lane] + row * job.out_stride;
      Place place{least(g.rows[lane] - row, kAlong), 1};
      // A short tile, and the others begin on cache lines: their results can be streamed.
      const auto beyond = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(at) % 64);
      if (plain && beyond % kSize == 0 && beyond != 0) place.rows = least(place.rows, (64 - beyond) / kSize);
      const bool direct = plain && place.rows % V::size == 0;
      char* const to = direct ? at : reinterpret_cast<char*>(own->results);
      const bool stream = direct && job.stream && beyond == 0;
      const char* next = g.x[lane] + (row + place.rows) * job.stride;
      std::int64_t k = 1;  // of the folds that `start` makes
      bool clean;
      if (job.window >= 8 && kPipelined && in_place(job, g, lane, row)) {
        clean = start_eight(job, g, lane, row, place, own);
        k = 8;
      } else {
        clean = start_lane<true>(job, g, lane, row, place, own);
      }
      if (clean) {
        results<true>(job, place, to, V::size * kSize, stream, k, k == 8 ? nullptr : next, own);
      } else {
        start_lane<false>(job, g, lane, row, place, own);
        results<false>(job, place, to, V::size * kSize, stream, 1, next, own);
      }
      if (!direct) tiles.write_run(at, own->results, place.rows);
      row += place.rows;
    }
  }

  static void run_group(const WindowJob& job, const LaneGroup& g, std::int64_t row, std::int64_t rows,
                        Scratch* own) {
    const Tiles<T> tiles(job);
    const Place place{rows, kWindowLanes};
    bool stream = false;
    char* direct = tiles.place(g, row, rows, stream);
    char* const to = direct != nullptr ? direct : reinterpret_cast<char*>(own->results);
    const std::int64_t pitch = direct != nullptr ? job.out_stride : Tiles<T>::kPitch;
    if (start_group<true>(job, g, row, place, own)) {
      results<true>(job, place, to, pitch, stream, 1, to, own);
    } else {
      start_group<false>(job, g, row, place, own);
      results<false>(job, place, to, pitch, stream, 1, to, own);
    }
    if (direct == nullptr) tiles.store(g, row, rows, own->results);
  }

  /// Rows that have too few elements before them, whatever these are.
  static std::int64_t head(const WindowJob& job, std::int64_t base) {
    return base == 0 && job.min_count == job.window ? job.window - 1 : 0;
  }

  static void run(const WindowJob& job, const LaneGroup* groups, int count, std::int64_t, char* scratch) {
    auto* own = reinterpret_cast<Scratch*>(scratch);
    if (job.along) {
      for (int i = 0; i < count; ++i)
        for (int lane = 0; lane < groups[i].lanes; ++lane) run_lane(job, groups[i], lane, own);
      return;
    }
    const std::int64_t end = groups[0].rows[0];
    const std::int64_t skipped = head(job, groups[0].base[0]);
    for (std::int64_t row = 0; row < end;) {
      const bool empty = row < skipped;
      const std::int64_t rows = least((empty ? skipped : end) - row, kAcross);
      for (int i = 0; i < count; ++i)
        if (empty) {
          fill_nan(own, rows * kWindowLanes);
          Tiles<T>(job).store(groups[i], row, rows, own->results);
        } else {
          run_group(job, groups[i], row, rows, own);
        }
      row += rows;
    }
  }

  static void fill_nan(Scratch* own, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) own->results[i] = Tiles<T>::missing();
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
