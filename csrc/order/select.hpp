// Order statistics of keys in memory: a sample tells a range that holds the wanted ones, one read of the keys
// counts what is below and collects what is inside, and the few collected are searched in turn.
//
// It is the selection of Floyd and Rivest ("Expected time bounds for selection", 1975) with the partition
// replaced by a filter: nothing is moved but what may be the answer, so that the first and longest step reads
// the keys once and writes a third of them or less. Where the sample misleads, a search by the leading bits
// decides in a fixed number of reads. Nothing depends on chance: samples are evenly spaced.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include "order/kernels.hpp"

namespace ufuse {

/// Sorts `count` keys by their digits, lowest first; `spare` has room for as many.
template <class K>
void radix_sort(K* keys, K* spare, std::int64_t count) {
  constexpr int kDigits = static_cast<int>(sizeof(K));
  std::int64_t start[kDigits][256] = {};
  for (std::int64_t i = 0; i < count; ++i)
    for (int d = 0; d < kDigits; ++d) ++start[d][keys[i] >> (8 * d) & 255];
  K* from = keys;
  K* to = spare;
  for (int d = 0; d < kDigits; ++d) {
    std::int64_t* at = start[d];
    if (count > 0 && at[from[0] >> (8 * d) & 255] == count) continue;  // all have the same digit
    std::int64_t sum = 0;
    for (int digit = 0; digit < 256; ++digit) sum += std::exchange(at[digit], sum);
    for (std::int64_t i = 0; i < count; ++i) to[at[from[i] >> (8 * d) & 255]++] = from[i];
    std::swap(from, to);
  }
  if (from != keys)
    for (std::int64_t i = 0; i < count; ++i) keys[i] = from[i];
}

/// Finds one order statistic by its leading bits: each read of the keys tells 11 of them.
template <class K>
class RangeSearch {
 public:
  /// Begins a read of the keys.
  void start() {
    shift_ = 0;
    while (static_cast<K>(high_ - low_) >> shift_ >= kBins) ++shift_;
    for (auto& bin : bin_) bin = 0;
  }
  void add(const K* keys, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i)
      if (const K above = static_cast<K>(keys[i] - low_); above <= static_cast<K>(high_ - low_))
        ++bin_[above >> shift_];
  }
  /// Ends the read; true where the key of this rank is known.
  bool found(std::int64_t rank) {
    K bin = 0;
    while (below_ + bin_[bin] <= rank) below_ += bin_[bin++];
    low_ = static_cast<K>(low_ + (bin << shift_));
    const K last = static_cast<K>(low_ + ((K{1} << shift_) - 1));
    if (last < high_ && last >= low_) high_ = last;
    return low_ == high_;
  }
  K key() const { return low_; }

 private:
  static constexpr std::int64_t kBins = 2048;
  K low_ = 0, high_ = static_cast<K>(~K{0});
  std::int64_t below_ = 0;
  int shift_ = 0;
  std::int64_t bin_[kBins];
};

/// A range of a sorted sample that should hold the order statistics `first` to `last` of `count`.
struct SampleRange {
  std::int64_t low, high;  // positions in the sample: below 0 and from `sample` on there is no bound
};
// How many of a sample lie below has a deviation of sqrt(sample * p * (1 - p)). What misses in a cache is
// read once more. Of few keys, in a small sample, a narrow range is the cheapest all the same: of 100 float64
// on Zen 4 a selection takes 0.28 us with 0.8 deviations of 16, 0.33 with 1, and took 0.55 with 2.75 of 32;
// of 4000 2.6 us for 4.1. Of many, 2.75 miss once in 170 lanes; 3.5 collect a quarter more. A stream that
// misses is read some more times, thirty times as slow: six miss once in 500 million.
inline constexpr double kFewDeviations = 0.8, kCachedDeviations = 2.75, kStreamedDeviations = 6.0;

inline SampleRange sample_range(std::int64_t first, std::int64_t last, std::int64_t count,
                                std::int64_t sample, double deviations) {
  const double scale = static_cast<double>(sample) / static_cast<double>(count);
  auto slack = [&](double at) {
    const double p = at / static_cast<double>(sample);
    return deviations * std::sqrt(static_cast<double>(sample) * p * (1 - p)) + 1;
  };
  const double low = static_cast<double>(first) * scale, high = static_cast<double>(last + 1) * scale;
  return {static_cast<std::int64_t>(std::floor(low - slack(low))),
          static_cast<std::int64_t>(std::ceil(high + slack(high)))};
}

template <class K>
class Selector {
 public:
  /// `spare` has room for twice as many keys as any lane has, and kSlack more each.
  Selector(const KeyKernels<K>& kernels, K* spare, std::int64_t room)
      : kernels_(kernels), spare_{spare, spare + room + kSlack} {}

  /// The order statistics `first` and `last`, which are neighbours or the same, of `count` keys.
  std::pair<K, K> select(const K* keys, std::int64_t count, std::int64_t first, std::int64_t last) {
    int turn = 0;
    while (count > kDirect) {
      K sample[kRankSortMost];
      const bool small = count <= kSmall;
      const auto size = static_cast<std::int64_t>(small ? 16 : 128);
      std::int64_t step = count / size;
      if (step >= 8) step = (step - 1) | 1;  // odd, so as not to keep step with what repeats
      for (std::int64_t i = 0; i < size; ++i) sample[i] = keys[i * step + step / 2];
      kernels_.rank_sort(sample, static_cast<int>(size));
      const SampleRange range =
          sample_range(first, last, count, size, small ? kFewDeviations : kCachedDeviations);
      K low = range.low < 0 ? K{0} : sample[range.low];
      K high = range.high >= size ? kMost : sample[range.high];
      K* to = spare_[turn++ % 2];
      Filtered f = kernels_.filter(keys, count, low, static_cast<K>(high - low), to);
      const bool inside = first >= f.below && last < f.below + f.inside;
      if (!inside) {
        move_range(first, last, f, low, high);
        f = kernels_.filter(keys, count, low, static_cast<K>(high - low), to);
      }
      if (low == high) return {low, low};
      if (f.inside > count - count / 8) {
        // Few different keys: the bounds themselves may be most of them.
        const Filtered lowest = kernels_.filter(keys, count, low, 0, to);
        if (last < lowest.below + lowest.inside) return {low, low};
        const Filtered highest = kernels_.filter(keys, count, high, 0, to);
        if (first >= highest.below) return {high, high};
        const bool lower = first < lowest.below + lowest.inside, upper = last >= highest.below;
        if (lower && upper) return {low, high};
        const bool between = !lower && !upper;
        if (between)
          f = kernels_.filter(keys, count, static_cast<K>(low + 1), static_cast<K>(high - low - 2), to);
        if (!between || f.inside > count - count / 8)
          return {by_bits(keys, count, first), by_bits(keys, count, last)};
      }
      keys = to;
      count = f.inside;
      first -= f.below;
      last -= f.below;
    }
    K few[kRankSortMost];
    for (std::int64_t i = 0; i < count; ++i) few[i] = keys[i];
    kernels_.rank_sort(few, static_cast<int>(count));
    return {few[first], few[last]};
  }

  K by_bits(const K* keys, std::int64_t count, std::int64_t rank) {
    RangeSearch<K> search;
    do {
      search.start();
      search.add(keys, count);
    } while (!search.found(rank));
    return search.key();
  }

  K* spare() const { return spare_[0]; }

 private:
  /// Moves a range that missed to what is beside it, or on both sides of its end.
  static void move_range(std::int64_t first, std::int64_t last, Filtered f, K& low, K& high) {
    const std::int64_t above = f.below + f.inside;
    const K from = first >= above ? static_cast<K>(high + 1) : first >= f.below ? low : K{0};
    high = last < f.below ? static_cast<K>(low - 1) : last < above ? high : kMost;
    low = from;
  }

  static constexpr K kMost = static_cast<K>(~K{0});
  static constexpr std::int64_t kDirect = 32, kSmall = 8192;
  const KeyKernels<K>& kernels_;
  K* spare_[2];
};

}  // namespace ufuse
