// The sorted order of two neighbouring blocks, and sets of places in it: what long windows' medians and ranks
// are made of.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace ufuse {

/// Unsigned numbers in the order of the floats; -0 counts as 0. Not of NaN.
template <class T>
auto sort_key(T value) {
  using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  constexpr U kSign = U{1} << (8 * sizeof(T) - 1);
  const U bits = std::bit_cast<U>(value + T{0});
  return (bits & kSign) != 0 ? static_cast<U>(~bits) : static_cast<U>(bits | kSign);
}
template <class T, class U>
T value_of_key(U key) {
  constexpr U kSign = U{1} << (8 * sizeof(T) - 1);
  return std::bit_cast<T>((key & kSign) != 0 ? static_cast<U>(key ^ kSign) : static_cast<U>(~key));
}

/// The elements of a block that are no NaN, in order, with their places in the block.
template <class U, class Index>
struct SortedBlock {
  std::vector<U> key;
  std::vector<Index> place;

  void clear() { key.clear(), place.clear(); }

  /// Radix sort, the lowest byte first; a byte that all keys share is passed over.
  void sort(SortedBlock& spare) {
    const std::size_t n = key.size();
    spare.key.resize(n);
    spare.place.resize(n);
    constexpr int kDigits = sizeof(U);
    std::vector<Index> counts(static_cast<std::size_t>(kDigits) * 256);
    for (const U k : key)
      for (int d = 0; d < kDigits; ++d) ++counts[static_cast<std::size_t>(d) * 256 + (k >> (8 * d) & 255)];
    for (int d = 0; d < kDigits; ++d) {
      Index* count = counts.data() + static_cast<std::size_t>(d) * 256;
      if (n == 0 || count[key[0] >> (8 * d) & 255] == n) continue;
      Index start = 0;
      for (int i = 0; i < 256; ++i) start = static_cast<Index>(start + std::exchange(count[i], start));
      for (std::size_t i = 0; i < n; ++i) {
        const Index to = count[key[i] >> (8 * d) & 255]++;
        spare.key[to] = key[i];
        spare.place[to] = place[i];
      }
      std::swap(key, spare.key);
      std::swap(place, spare.place);
    }
  }
};

/// A set of numbers below a bound: bits, and above each level a bit for every word that is not empty.
class BitSet {
 public:
  explicit BitSet(std::size_t size) {
    do {
      size = (size + 63) / 64;
      levels_.emplace_back(size);
    } while (size > 1);
  }
  void insert(std::size_t i) {
    for (auto& level : levels_) {
      std::uint64_t& word = level[i / 64];
      const bool was = word != 0;
      word |= std::uint64_t{1} << (i % 64);
      if (was) return;
      i /= 64;
    }
  }
  void erase(std::size_t i) {
    for (auto& level : levels_) {
      std::uint64_t& word = level[i / 64];
      word &= ~(std::uint64_t{1} << (i % 64));
      if (word != 0) return;
      i /= 64;
    }
  }
  /// The smallest member above `i`, or the largest below it; there must be one.
  std::size_t above(std::size_t i) const {
    std::size_t l = 0;
    for (;; ++l, i /= 64) {
      const std::uint64_t rest = i % 64 == 63 ? 0 : levels_[l][i / 64] >> (i % 64 + 1) << (i % 64 + 1);
      if (rest == 0) continue;
      i = i / 64 * 64 + static_cast<std::size_t>(std::countr_zero(rest));
      break;
    }
    while (l > 0) --l, i = i * 64 + static_cast<std::size_t>(std::countr_zero(levels_[l][i]));
    return i;
  }
  std::size_t below(std::size_t i) const {
    std::size_t l = 0;
    for (;; ++l, i /= 64) {
      const std::uint64_t rest = levels_[l][i / 64] & ((std::uint64_t{1} << (i % 64)) - 1);
      if (rest == 0) continue;
      i = i / 64 * 64 + 63 - static_cast<std::size_t>(std::countl_zero(rest));
      break;
    }
    while (l > 0) --l, i = i * 64 + 63 - static_cast<std::size_t>(std::countl_zero(levels_[l][i]));
    return i;
  }

 private:
  std::vector<std::vector<std::uint64_t>> levels_;
};

/// The lower median of a set that changes by one member at a time: a member, and how many are below it.
class MedianCursor {
 public:
  explicit MedianCursor(std::size_t size) : set_(size) {}
  std::size_t size() const { return size_; }

  void insert(std::size_t i) {
    set_.insert(i);
    if (size_++ == 0)
      at_ = i, below_ = 0;
    else if (i < at_)
      ++below_;
  }
  void erase(std::size_t i) {
    --size_;
    if (i == at_ && size_ > 0) {
      if (below_ < size_)
        at_ = set_.above(i);
      else
        at_ = set_.below(i), --below_;
    } else if (i < at_) {
      --below_;
    }
    set_.erase(i);
  }
  /// The lower and the upper median; the set has members.
  std::pair<std::size_t, std::size_t> medians() {
    const std::size_t wanted = (size_ - 1) / 2;
    for (; below_ < wanted; ++below_) at_ = set_.above(at_);
    for (; below_ > wanted; --below_) at_ = set_.below(at_);
    return {at_, size_ % 2 == 0 ? set_.above(at_) : at_};
  }

 private:
  BitSet set_;
  std::size_t size_ = 0, at_ = 0, below_ = 0;
};

/// How often each number is there, with prefix sums in logarithmic time (Fenwick 1994).
class Tally {
 public:
  explicit Tally(std::size_t size) : tree_(size + 1), count_(size) {}
  void add(std::size_t i, std::int64_t change) {
    count_[i] += change;
    for (++i; i < tree_.size(); i += i & (~i + 1)) tree_[i] += change;
  }
  std::int64_t count(std::size_t i) const { return count_[i]; }
  std::int64_t less(std::size_t i) const {
    std::int64_t sum = 0;
    for (; i > 0; i &= i - 1) sum += tree_[i];
    return sum;
  }

 private:
  std::vector<std::int64_t> tree_, count_;
};

}  // namespace ufuse
