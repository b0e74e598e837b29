// The k first of each lane: candidates up to a falling limit are collected in one read.
//
// Once k candidates are known, nothing above the k-th of them can be wanted, and what is equal to it comes
// too late: of a lane in random order, k (1 + ln(n / k)) elements are ever collected.
#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "order/order.hpp"
#include "order/select.hpp"

namespace ufuse {
namespace {

constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kChunk = 4096;
// Parts of a lane that are shared out to threads.
constexpr std::int64_t kPart = 1 << 17;

/// The candidates of a lane, in the order of their indices.
template <class K>
class Candidates {
 public:
  Candidates(const KeyKernels<K>& kernels, std::int64_t k) : kernels_(kernels), k_(k) {}

  void add(const K* keys, std::int64_t count, std::int64_t first) {
    if (full_ && high_ == 0) return;  // nothing comes before what is there
    K high = full_ ? static_cast<K>(high_ - 1) : static_cast<K>(~K{0});
    if (size_ == 0 && count >= k_) high = kth(keys, count);
    reserve(size_ + count);
    size_ += kernels_.filter_indexed(keys, count, high, first, keys_.data() + size_, index_.data() + size_);
    if (size_ >= (full_ ? 2 * k_ + 256 : k_)) shrink();
  }

  /// Those of a later part of the lane.
  void append(const Candidates& later) {
    reserve(size_ + later.size_);
    std::copy_n(later.keys_.data(), later.size_, keys_.data() + size_);
    std::copy_n(later.index_.data(), later.size_, index_.data() + size_);
    size_ += later.size_;
  }

  /// Leaves the k first.
  void shrink() {
    if (size_ < k_) return;
    high_ = kth(keys_.data(), size_);
    full_ = true;
    std::int64_t below = 0, kept = 0;
    for (std::int64_t i = 0; i < size_; ++i) below += keys_[static_cast<std::size_t>(i)] < high_;
    std::int64_t equal = k_ - below;
    for (std::int64_t i = 0; i < size_; ++i) {
      const auto at = static_cast<std::size_t>(i), to = static_cast<std::size_t>(kept);
      const K key = keys_[at];
      if (key > high_ || (key == high_ && equal-- <= 0)) continue;
      keys_[to] = key;
      index_[to] = index_[at];
      ++kept;
    }
    size_ = kept;
  }

  /// Indices of the k first, in order.
  const std::int64_t* sorted() {
    shrink();
    order_.resize(static_cast<std::size_t>(k_));
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = {keys_[i], index_[i]};
    std::sort(order_.begin(), order_.end());
    for (std::size_t i = 0; i < order_.size(); ++i) index_[i] = order_[i].second;
    return index_.data();
  }

  /// Begins another lane.
  void clear() {
    size_ = 0;
    full_ = false;
  }

 private:
  K kth(const K* keys, std::int64_t count) {
    const auto room = static_cast<std::size_t>(2 * (count + kSlack));
    if (spare_.size() < room) spare_.resize(room);
    return Selector<K>(kernels_, spare_.data(), count).select(keys, count, k_ - 1, k_ - 1).first;
  }

  void reserve(std::int64_t count) {
    const auto room = static_cast<std::size_t>(count + kSlack);
    if (room <= keys_.size()) return;
    keys_.resize(2 * room);
    index_.resize(2 * room);
  }

  const KeyKernels<K>& kernels_;
  std::int64_t k_, size_ = 0;
  bool full_ = false;  // there are k candidates, and `high_` is the last of them
  K high_ = 0;
  std::vector<K> keys_, spare_;
  std::vector<std::int64_t> index_;
  std::vector<std::pair<K, std::int64_t>> order_;
};

template <class K>
class Topk {
 public:
  explicit Topk(const TopkJob& job) : job_(job), kernels_(keys_of<K>(order_kernels(active_tier()))) {
    const OrderInput& input = job.input;
    char* out[] = {job.values, job.indices};
    const std::int64_t* strides[] = {job.value_strides, job.index_strides};
    plan_lanes(plan_, input, 2, out, strides);
    axis_ = std::countr_zero(input.reduced);
    // Indices count along the axis as the caller sees it, whichever way it lies in memory.
    plan_.kept.data[0] -= plan_.lane.data[0] - input.data;
    plan_.lane.data[0] = const_cast<char*>(input.data);
    if (plan_.lane.axes > 0) plan_.lane.stride[0][0] = input.strides[axis_];
    if (input.kind == KeyKind::floating && input.log2_size > 0) zero_ = K{1} << ((8 << input.log2_size) - 1);
  }

  void run() {
    const std::int64_t lanes = plan_.lanes(), length = plan_.length();
    const std::int64_t wide = plan_.across ? kLineBytes >> job_.input.log2_size : 1;
    const std::int64_t blocks = (lanes + wide - 1) / wide;
    const int threads = threads_for_bytes(lanes * length << job_.input.log2_size);
    if (blocks >= 4 * threads || length < 2 * kPart || job_.k > kPart / 8) {
      const std::int64_t several = std::max<std::int64_t>(1, kPart / (wide * length));
      parallel_for((blocks + several - 1) / several, threads, [&](std::int64_t task) {
        std::vector<Candidates<K>> found(static_cast<std::size_t>(wide), Candidates<K>(kernels_, job_.k));
        for (std::int64_t block = task * several; block < std::min(blocks, (task + 1) * several); ++block) {
          const std::int64_t first = block * wide, count = std::min(wide, lanes - first);
          for (auto& lane : found) lane.clear();
          collect(found.data(), first, count, 0, length);
          for (std::int64_t lane = 0; lane < count; ++lane)
            write(found[static_cast<std::size_t>(lane)], first + lane);
        }
      });
      return;
    }
    const std::int64_t parts = (length + kPart - 1) / kPart;
    for (std::int64_t first = 0; first < lanes; first += wide) {
      const std::int64_t count = std::min(wide, lanes - first);
      std::vector<Candidates<K>> found(static_cast<std::size_t>(parts * wide),
                                       Candidates<K>(kernels_, job_.k));
      parallel_for(parts, threads, [&](std::int64_t part) {
        Candidates<K>* mine = found.data() + part * wide;
        collect(mine, first, count, part * kPart, std::min(length, (part + 1) * kPart));
        for (std::int64_t lane = 0; lane < count; ++lane) mine[lane].shrink();
      });
      for (std::int64_t lane = 0; lane < count; ++lane) {
        Candidates<K>& all = found[static_cast<std::size_t>(lane)];
        for (std::int64_t part = 1; part < parts; ++part)
          all.append(found[static_cast<std::size_t>(part * wide + lane)]);
        write(all, first + lane);
      }
    }
  }

 private:
  void collect(Candidates<K>* found, std::int64_t first, std::int64_t lanes, std::int64_t begin,
               std::int64_t end) {
    const std::int64_t chunk = std::min<std::int64_t>(end - begin, kChunk / (lanes > 1 ? 4 : 1));
    const ScratchFrame frame(static_cast<std::size_t>(lanes * chunk) * sizeof(K));
    K* keys = reinterpret_cast<K*>(frame.data());
    for (; begin < end; begin += chunk) {
      const std::int64_t count = std::min(chunk, end - begin);
      load_lanes(plan_, kernels_, keys, {chunk, 1}, first, lanes, begin, count);
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        if (zero_ != 0 || job_.descending)
          kernels_.arrange(keys + lane * chunk, count, zero_, job_.descending);
        found[lane].add(keys + lane * chunk, count, begin);
      }
    }
  }

  void write(Candidates<K>& found, std::int64_t lane) {
    const std::int64_t* index = found.sorted();
    const std::int64_t size = std::int64_t{1} << job_.input.log2_size;
    each_stretch(plan_.kept, lane, 1, [&](std::int64_t, std::int64_t, const std::int64_t* at) {
      const char* from = plan_.kept.data[0] + at[0];
      char* value = plan_.kept.data[1] + at[1];
      char* place = plan_.kept.data[2] + at[2];
      for (std::int64_t i = 0; i < job_.k; ++i) {
        const char* element = from + index[i] * job_.input.strides[axis_];
        if (job_.input.swap)
          std::reverse_copy(element, element + size, value);
        else
          std::memcpy(value, element, static_cast<std::size_t>(size));
        std::memcpy(place, &index[i], sizeof index[i]);
        value += job_.value_strides[axis_];
        place += job_.index_strides[axis_];
      }
    });
  }

  const TopkJob& job_;
  const KeyKernels<K>& kernels_;
  LanePlan plan_;
  int axis_;
  K zero_ = 0;  // the key of 0.0, where there is another for -0.0
};

}  // namespace

void topk(const TopkJob& job) {
  if (job.input.log2_size == 3)
    Topk<std::uint64_t>(job).run();
  else
    Topk<std::uint32_t>(job).run();
}

}  // namespace ufuse
