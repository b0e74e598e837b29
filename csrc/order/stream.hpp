// Order statistics of lanes that are too long to be kept: a sample of each, one read of all that collects
// what may be the answer, and a selection among that.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "order/lanes.hpp"
#include "order/select.hpp"

namespace ufuse {

template <class K>
class LaneStream {
 public:
  LaneStream(const LanePlan& plan, const KeyKernels<K>& kernels, std::int64_t first, std::int64_t lanes,
             bool floating)
      : plan_(plan),
        kernels_(kernels),
        first_(first),
        lanes_(lanes),
        length_(plan.length()),
        floating_(floating),
        chunk_(std::max<std::int64_t>(512, kTileKeys / lanes)),
        nans_(new std::atomic<std::int64_t>[static_cast<std::size_t>(lanes)]()) {}

  /// Takes sorted samples of the lanes.
  void sample() {
    size_ = length_ >= 1 << 20 ? 8192 : length_ >= 1 << 17 ? 2048 : 1024;
    size_ = std::min(size_, length_);
    std::int64_t step = length_ / size_;
    if (step >= 8) step = (step - 1) | 1;
    sample_.reset(new K[static_cast<std::size_t>(lanes_ * size_)]);
    load_lanes(plan_, kernels_, sample_.get(), {size_, 1}, first_, lanes_, step / 2, size_, step);
    const ScratchFrame spare(static_cast<std::size_t>(size_) * sizeof(K));
    for (std::int64_t lane = 0; lane < lanes_; ++lane)
      radix_sort(sample_.get() + lane * size_, reinterpret_cast<K*>(spare.data()), size_);
  }

  /// How many elements of a lane are likely to be no NaN; at least 1.
  std::int64_t likely_valid(std::int64_t lane) const {
    const K* sample = sample_.get() + lane * size_;
    const std::int64_t valid = std::lower_bound(sample, sample + size_, static_cast<K>(~K{0})) - sample;
    return std::max<std::int64_t>(
        1, static_cast<std::int64_t>(static_cast<double>(valid) / static_cast<double>(size_) *
                                     static_cast<double>(length_)));
  }

  /// Forgets the queries.
  void clear() {
    groups_.clear();
    query_group_.clear();
    collected_ = 0;
  }
  /// The part of the lanes that `read` will collect.
  double share() const {
    return static_cast<double>(collected_) / static_cast<double>(size_) / static_cast<double>(lanes_);
  }

  /// Query `query` of a lane will want about these two order statistics. Queries come in their order.
  void want(std::int64_t lane, std::int64_t query, std::int64_t previous, std::int64_t next) {
    const K* sample = sample_.get() + lane * size_;
    const SampleRange range = sample_range(previous, next, length_, size_, kStreamedDeviations);
    const K low = range.low < 0 ? K{0} : sample[range.low];
    const K high = range.high >= size_ ? static_cast<K>(~K{0}) : sample[range.high];
    query_group_.resize(static_cast<std::size_t>((query + 1) * lanes_));
    // Neighbouring queries share what is collected, while that is no great part of the lane.
    for (std::size_t g = groups_.size(); g-- > 0;) {
      Group& group = *groups_[g];
      if (group.lane != lane) continue;
      const std::int64_t from = std::min(group.from, range.low), to = std::max(group.to, range.high);
      if (std::max<std::int64_t>(from, 0) + size_ / 16 < std::min(to, size_) &&
          to - from > group.to - group.from)
        continue;
      collected_ += (to - from) - (group.to - group.from);
      group.from = from;
      group.to = to;
      group.low = std::min(group.low, low);
      group.high = std::max(group.high, high);
      query_group_[static_cast<std::size_t>(query * lanes_ + lane)] = g;
      return;
    }
    auto group = std::make_unique<Group>();
    group->lane = lane;
    group->from = range.low;
    group->to = range.high;
    group->low = low;
    group->high = high;
    collected_ += group->to - group->from;
    query_group_[static_cast<std::size_t>(query * lanes_ + lane)] = groups_.size();
    groups_.push_back(std::move(group));
  }

  /// Collects what the queries may want. All are read together where there are few of them.
  void read(bool count_nans) {
    count_nans_ = count_nans && floating_;
    by_lane_.assign(static_cast<std::size_t>(lanes_), {});
    for (auto& group : groups_) {
      // Room for what the sample promises, and half as much again; more is left to `by_bits`.
      const std::int64_t share = std::min(group->to, size_) - std::max<std::int64_t>(group->from, 0) + 2;
      group->room = static_cast<std::int64_t>(static_cast<double>(share) / static_cast<double>(size_) *
                                              static_cast<double>(length_) * 1.5) +
                    4096;
      if (group->low != group->high) group->keys.reset(new K[static_cast<std::size_t>(group->room + kSlack)]);
      by_lane_[static_cast<std::size_t>(group->lane)].push_back(group.get());
    }
    const std::int64_t chunks = (length_ + chunk_ - 1) / chunk_, tasks = (chunks + kTurn - 1) / kTurn;
    parallel_for(tasks, threads_for_bytes(lanes_ * length_ << plan_.input.log2_size), [&](std::int64_t task) {
      const ScratchFrame frame(static_cast<std::size_t>(lanes_ * chunk_ + chunk_ + 2 * kSlack) * sizeof(K));
      K* keys = reinterpret_cast<K*>(frame.data());
      for (std::int64_t c = task * kTurn; c < std::min(chunks, (task + 1) * kTurn); ++c)
        collect(keys, c * chunk_, std::min(chunk_, length_ - c * chunk_));
    });
  }

  std::int64_t nans(std::int64_t lane) const { return nans_[static_cast<std::size_t>(lane)]; }

  std::pair<K, K> select(std::int64_t lane, std::int64_t query, std::int64_t previous, std::int64_t next) {
    Group& group = *groups_[query_group_[static_cast<std::size_t>(query * lanes_ + lane)]];
    const std::int64_t below = group.below, inside = group.inside;
    if (previous < below || next >= below + inside || (inside > group.room && group.low != group.high))
      return {by_bits(lane, previous), next == previous ? by_bits(lane, previous) : by_bits(lane, next)};
    if (group.low == group.high) return {group.low, group.low};
    if (!group.spare) group.spare.reset(new K[static_cast<std::size_t>(2 * (inside + kSlack))]);
    if (++group.asked >= kSortAsked && !group.sorted) {
      radix_sort(group.keys.get(), group.spare.get(), inside);
      group.sorted = true;
    }
    if (group.sorted)
      return {group.keys[static_cast<std::size_t>(previous - below)],
              group.keys[static_cast<std::size_t>(next - below)]};
    Selector<K> selector(kernels_, group.spare.get(), inside);
    return selector.select(group.keys.get(), inside, previous - below, next - below);
  }

 private:
  static constexpr std::int64_t kTileKeys = 8192;
  static constexpr std::int64_t kTurn = 8;       // tiles of a task
  static constexpr std::int64_t kSortAsked = 3;  // from so many queries on, what was collected is sorted

  struct Group {
    std::int64_t lane = 0;
    std::int64_t from = 0, to = 0;  // of the sample
    K low = 0, high = 0;
    std::atomic<std::int64_t> below{0}, inside{0};
    std::int64_t room = 0;
    std::unique_ptr<K[]> keys, spare;
    std::int64_t asked = 0;
    bool sorted = false;
  };

  void collect(K* keys, std::int64_t begin, std::int64_t count) {
    K* some = keys + lanes_ * chunk_ + kSlack;
    load_lanes(plan_, kernels_, keys, {chunk_, 1}, first_, lanes_, begin, count);
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      const K* mine = keys + lane * chunk_;
      if (count_nans_) {
        const std::int64_t nans = kernels_.count_above(mine, count, static_cast<K>(~K{0} - 1));
        if (nans != 0) nans_[static_cast<std::size_t>(lane)].fetch_add(nans, std::memory_order_relaxed);
      }
      for (Group* group : by_lane_[static_cast<std::size_t>(lane)]) {
        const Filtered f =
            kernels_.filter(mine, count, group->low, static_cast<K>(group->high - group->low), some);
        group->below.fetch_add(f.below, std::memory_order_relaxed);
        const std::int64_t at = group->inside.fetch_add(f.inside, std::memory_order_relaxed);
        if (group->keys && at + f.inside <= group->room) std::copy_n(some, f.inside, group->keys.get() + at);
      }
    }
  }

  /// One order statistic of a lane, by reads of all of it: where the sample misled.
  K by_bits(std::int64_t lane, std::int64_t rank) {
    const ScratchFrame frame(static_cast<std::size_t>(kTileKeys) * sizeof(K));
    K* keys = reinterpret_cast<K*>(frame.data());
    auto search = std::make_unique<RangeSearch<K>>();
    do {
      search->start();
      for (std::int64_t begin = 0; begin < length_; begin += kTileKeys) {
        const std::int64_t count = std::min(kTileKeys, length_ - begin);
        load_lanes(plan_, kernels_, keys, {count, 1}, first_ + lane, 1, begin, count);
        search->add(keys, count);
      }
    } while (!search->found(rank));
    return search->key();
  }

  const LanePlan& plan_;
  const KeyKernels<K>& kernels_;
  std::int64_t first_, lanes_, length_;
  bool floating_, count_nans_ = false;
  std::int64_t chunk_, size_ = 0, collected_ = 0;
  std::unique_ptr<std::atomic<std::int64_t>[]> nans_;
  std::unique_ptr<K[]> sample_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<std::size_t> query_group_;
  std::vector<std::vector<Group*>> by_lane_;
};

}  // namespace ufuse
