// Medians and ranks in long windows. A window lies in two neighbouring blocks of its length; they are sorted,
// each once, and merged, so that from there on elements are their places in that order. O(log window) an
// element: sorting, or for ranks the tally; a median moves by a bit or two of a set.
#include <algorithm>
#include <limits>

#include "window/kernels.hpp"
#include "window/ranks.hpp"

namespace ufuse {
namespace {

template <class T, class Index>
class OrderedLane {
 public:
  using U = decltype(sort_key(T{}));
  static constexpr Index kMissing = std::numeric_limits<Index>::max();

  OrderedLane(const WindowJob& job, const char* x, char* out) : job_(job), x_(x), out_(out) {}

  void run(std::int64_t first_block, std::int64_t blocks) {
    if (first_block > 0) load(first_block - 1, current_);
    for (std::int64_t b = first_block; b < first_block + blocks; ++b) {
      std::swap(last_, current_);
      load(b, current_);
      merge();
      if (job_.op == WindowOp::median)
        medians(b);
      else
        ranks(b);
    }
  }

 private:
  std::int64_t count_of(std::int64_t block) const {
    return std::min(job_.window, job_.length - block * job_.window);
  }

  /// Sorts a block.
  void load(std::int64_t block, SortedBlock<U, Index>& to) {
    const std::int64_t count = count_of(block);
    values_.resize(static_cast<std::size_t>(count));
    read(x_ + block * job_.window * job_.stride, count);
    to.clear();
    for (std::int64_t i = 0; i < count; ++i) {
      const T value = values_[static_cast<std::size_t>(i)];
      if (value != value) continue;
      to.key.push_back(sort_key(value));
      to.place.push_back(static_cast<Index>(i));
    }
    to.sort(spare_);
  }

  void read(const char* from, std::int64_t count) {
    const int log2 = job_.stored_log2;
    if (job_.stored == job_.element) {
      job_.pieces->gather[log2](values_.data(), 0, &from, 1, job_.stride, count);
      if (job_.swapped) job_.pieces->swap[log2](values_.data(), count);
      return;
    }
    if constexpr (std::is_same_v<T, double>) {
      raw_.resize(static_cast<std::size_t>(count) << log2);
      job_.pieces->gather[log2](raw_.data(), 0, &from, 1, job_.stride, count);
      if (job_.swapped) job_.pieces->swap[log2](raw_.data(), count);
      job_.pieces->to_f64[static_cast<int>(job_.stored)](values_.data(), raw_.data(), count);
    }
  }

  /// Numbers the elements of both blocks in their common order; equal ones alike for ranks.
  void merge() {
    const bool alike = job_.op == WindowOp::rank;
    const auto window = static_cast<std::size_t>(job_.window);
    number_[0].assign(window, kMissing);
    number_[1].assign(window, kMissing);
    merged_.clear();
    const SortedBlock<U, Index>* block[2] = {&last_, &current_};
    std::size_t at[2] = {0, 0};
    const std::size_t size[2] = {last_.key.size(), current_.key.size()};
    while (at[0] < size[0] || at[1] < size[1]) {
      const bool second =
          at[0] == size[0] || (at[1] < size[1] && block[1]->key[at[1]] < block[0]->key[at[0]]);
      const std::size_t i = at[second]++;
      const U key = block[second]->key[i];
      if (!alike || merged_.empty() || merged_.back() != key) merged_.push_back(key);
      number_[second][block[second]->place[i]] = static_cast<Index>(merged_.size() - 1);
    }
  }

  void put(std::int64_t position, double value) {
    char* at = out_ + position * job_.out_stride;
    const auto narrow = static_cast<T>(value);
    std::memcpy(at, &narrow, sizeof narrow);
  }

  /// For each position of block b: what leaves the window, what enters, and the result.
  template <class Set, class Result>
  void slide(std::int64_t b, Set&& set, Result&& result) {
    if (b > 0)
      for (const Index i : number_[0])
        if (i != kMissing) set.insert(i);
    for (std::int64_t j = 0; j < count_of(b); ++j) {
      const Index old = number_[0][static_cast<std::size_t>(j)];
      const Index fresh = number_[1][static_cast<std::size_t>(j)];
      if (b > 0 && old != kMissing) set.erase(old);
      if (fresh != kMissing) set.insert(fresh);
      const auto count = static_cast<std::int64_t>(set.size());
      put(b * job_.window + j,
          count < job_.min_count ? std::numeric_limits<double>::quiet_NaN() : result(count, fresh));
    }
  }

  void medians(std::int64_t b) {
    MedianCursor set(merged_.size() + 1);
    slide(b, set, [&](std::int64_t, Index) {
      const auto [low, high] = set.medians();
      const auto x = static_cast<double>(value_of_key<T>(merged_[low]));
      const auto y = static_cast<double>(value_of_key<T>(merged_[high]));
      const double half = (x + y) * 0.5;
      constexpr double kMost = std::numeric_limits<double>::max();
      return half <= kMost && half >= -kMost ? half : x * 0.5 + y * 0.5;
    });
  }

  struct Tallied {
    Tally tally;
    std::size_t count = 0;
    std::size_t size() const { return count; }
    void insert(std::size_t i) { tally.add(i, 1), ++count; }
    void erase(std::size_t i) { tally.add(i, -1), --count; }
  };

  void ranks(std::int64_t b) {
    Tallied set{Tally(merged_.size())};
    slide(b, set, [&](std::int64_t count, Index fresh) {
      if (fresh == kMissing) return std::numeric_limits<double>::quiet_NaN();
      if (count == 1) return 0.0;
      // The mean rank of the equal ones, from 0 on, is less + (equal - 1) / 2.
      const std::int64_t twice = 2 * set.tally.less(fresh) + set.tally.count(fresh) - 1;
      return static_cast<double>(twice) / static_cast<double>(count - 1) - 1;
    });
  }

  const WindowJob& job_;
  const char* x_;
  char* out_;
  std::vector<T> values_;
  std::vector<char> raw_;
  SortedBlock<U, Index> last_, current_, spare_;
  std::vector<Index> number_[2];  // of the elements of the last block and this one
  std::vector<U> merged_;         // their keys in order
};

template <class T>
void order(const WindowJob& job, const char* x, char* out, std::int64_t first_block, std::int64_t blocks) {
  if (job.window < (std::int64_t{1} << 31))
    OrderedLane<T, std::uint32_t>(job, x, out).run(first_block, blocks);
  else
    OrderedLane<T, std::uint64_t>(job, x, out).run(first_block, blocks);
}

}  // namespace

void order_lane(const WindowJob& job, const char* x, char* out, std::int64_t first_block,
                std::int64_t blocks) {
  if (job.element == DType::F32)
    order<float>(job, x, out, first_block, blocks);
  else
    order<double>(job, x, out, first_block, blocks);
}

}  // namespace ufuse
