// One job: lanes are dealt to threads in blocks, and the length of a lane decides how a block is done.
#include "order/order.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <vector>

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "order/emit.hpp"
#include "order/network.hpp"
#include "order/select.hpp"
#include "order/stream.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(OrderKernels, order_kernels)
namespace {

// Lanes up to this long are sorted by a network, side by side in registers. Zen 4, ns per element of float32
// and thread, AVX-512, network against selection: 0.7 / 5.1 for 32, 1.2 / 4.8 for 128, 1.4 / 3.1 for 256, 1.6
// / 2.6 for 384, 1.8 / 2.2 for 500; with AVX2 it is 1.9 / 2.5 for 500, and of float64 3.5 / 3.2.
constexpr std::int64_t kNetworkMost = 384;
// A block of lanes is kept in memory of this size, within the second-level cache.
constexpr std::int64_t kBlockBytes = 512 << 10;
// From so many queries on a lane is sorted.
constexpr std::int64_t kSortQueries = 8;
constexpr std::int64_t kLineBytes = 64;
// What is collected of a long lane at a time, as a part of it.
constexpr double kMostCollected = 0.2;
// Fewer lanes than this, or than a part of their length, are not worth making a network.
constexpr std::int64_t kNetworkLeast = 8;
constexpr std::int64_t kNetworkPart = 8;

template <class K>
constexpr K kNan = static_cast<K>(~K{0});

template <class K>
class Engine {
 public:
  explicit Engine(const OrderJob& job)
      : job_(job), kernels_(keys_of<K>(order_kernels(active_tier()))), length_(0) {
    plan_lanes(plan_, job.input, job.result == OrderResult::pair ? 2 : 1, job.out, job.out_strides);
    length_ = plan_.length();
    floating_ = job.input.kind == KeyKind::floating;
  }

  std::int64_t run() {
    const std::int64_t lanes = plan_.lanes();
    if (lanes == 0) return 0;
    const bool deferred = job_.table.rows == 0;
    if (!deferred && length_ <= kNetworkMost && lanes >= std::max(kNetworkLeast, length_ / kNetworkPart)) {
      network_ = sorting_network(static_cast<int>(length_));
      const QuantileTable& table = job_.table;
      const std::int64_t rules = table.queries, row = row_of(table, length_) * rules;
      if (table.counts[row / rules] == length_) {
        std::vector<std::int64_t> ranks(table.previous + row, table.previous + row + rules);
        ranks.insert(ranks.end(), table.next + row, table.next + row + rules);
        part_ = needed_part(network_, static_cast<int>(length_), ranks);
      } else {
        part_ = network_;
      }
      blocks(kNetworkLanes<K>, [this](std::int64_t first, std::int64_t count) { sort_block(first, count); });
      return empty_;
    }
    const std::int64_t wide = deferred ? 0 : resident_lanes();
    if (wide > 0) {
      blocks(wide,
             [this, wide](std::int64_t first, std::int64_t count) { select_block(first, count, wide); });
    } else {
      const std::int64_t line = std::min(lanes, plan_.across ? kLineBytes >> job_.input.log2_size : 1);
      const std::int64_t tasks = (lanes + line - 1) / line, threads = thread_limit();
      const auto body = [&](std::int64_t task) {
        stream_block(task * line, std::min(line, lanes - task * line));
      };
      if (tasks >= 4 * threads)
        parallel_for(tasks, static_cast<int>(threads), body);
      else  // the threads share each of them
        for (std::int64_t task = 0; task < tasks; ++task) body(task);
    }
    return empty_;
  }

 private:
  /// Lanes of a block that is kept in the cache; 0 where too little of a line of memory would fit.
  std::int64_t resident_lanes() const {
    const std::int64_t most = kBlockBytes / (length_ * static_cast<std::int64_t>(sizeof(K)));
    if (!plan_.across) return std::min<std::int64_t>(most, 1);
    const std::int64_t line = kLineBytes >> job_.input.log2_size;
    if (most >= line) return std::min(line, plan_.lanes());
    return most >= std::min(line / 2, plan_.lanes()) ? std::min(most, plan_.lanes()) : 0;
  }

  /// Calls body(first lane, lanes) for blocks of `wide` lanes, some of which make a task.
  template <class F>
  void blocks(std::int64_t wide, F body) {
    const std::int64_t lanes = plan_.lanes();
    const std::int64_t bytes = length_ << job_.input.log2_size;
    const std::int64_t several = std::max<std::int64_t>(1, (128 << 10) / (bytes * wide)) * wide;
    const std::int64_t tasks = (lanes + several - 1) / several;
    parallel_for(tasks, threads_for_bytes(lanes * bytes), [&](std::int64_t task) {
      const std::int64_t end = std::min(lanes, (task + 1) * several);
      for (std::int64_t first = task * several; first < end; first += wide)
        body(first, std::min(wide, end - first));
    });
  }

  /// Room of `keys` keys and of the results of a block.
  struct Room {
    Room(const QuantileTable& table, std::int64_t keys)
        : frame(static_cast<std::size_t>(keys + kSlack + 2 * table.queries * Found<K>::kMost) * sizeof(K)),
          keys(reinterpret_cast<K*>(frame.data())) {
      found.previous = this->keys + keys + kSlack;
      found.next = found.previous + table.queries * Found<K>::kMost;
    }
    ScratchFrame frame;
    K* keys;
    Found<K> found;
  };

  /// The rule of a lane with `nans` NaN; false where its results are NaN whatever its order.
  bool settle(const QuantileTable& table, Found<K>& found, std::int64_t lane, std::int64_t nans) {
    found.valid[lane] = length_ - nans;
    const bool none = found.valid[lane] == 0;
    found.row[lane] = job_.skip_nan && !none ? row_of(table, found.valid[lane]) : 0;
    if (none) empty_.fetch_add(1, std::memory_order_relaxed);
    if (!none && (job_.skip_nan || nans == 0)) return true;
    for (std::int64_t q = 0; q < table.queries; ++q) put(found, q, lane, {kNan<K>, kNan<K>});
    return false;
  }
  static void put(Found<K>& found, std::int64_t q, std::int64_t lane, std::pair<K, K> keys) {
    found.previous[q * Found<K>::kMost + lane] = keys.first;
    found.next[q * Found<K>::kMost + lane] = keys.second;
  }

  void sort_block(std::int64_t first, std::int64_t lanes) {
    constexpr std::int64_t kLanes = kNetworkLanes<K>;
    const QuantileTable& table = job_.table;
    Room room(table, length_ * kLanes);
    if (lanes < kLanes) std::fill_n(room.keys, length_ * kLanes, K{0});
    load_lanes(plan_, kernels_, room.keys, {1, kLanes}, first, lanes, 0, length_);
    K nans[kLanes] = {};
    bool any = false;
    if (floating_) {
      kernels_.count_rows_above(room.keys, length_, kNan<K> - 1, nans);
      for (std::int64_t lane = 0; lane < lanes; ++lane) any |= nans[lane] != 0;
    }
    const std::vector<Comparator>& network = any && job_.skip_nan ? network_ : part_;
    kernels_.network(room.keys, network.data(), static_cast<std::int64_t>(network.size()));
    const std::int64_t row = job_.skip_nan ? row_of(table, length_) : 0;
    if (!any) {
      std::fill_n(room.found.row, lanes, row);
      for (std::int64_t q = 0; q < table.queries; ++q) {
        const std::int64_t rule = row * table.queries + q, to = q * Found<K>::kMost;
        std::copy_n(room.keys + table.previous[rule] * kLanes, lanes, room.found.previous + to);
        std::copy_n(room.keys + table.next[rule] * kLanes, lanes, room.found.next + to);
      }
    } else {
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        if (!settle(table, room.found, lane, static_cast<std::int64_t>(nans[lane]))) continue;
        for (std::int64_t q = 0; q < table.queries; ++q) {
          const std::int64_t rule = room.found.row[lane] * table.queries + q;
          put(room.found, q, lane,
              {room.keys[table.previous[rule] * kLanes + lane], room.keys[table.next[rule] * kLanes + lane]});
        }
      }
    }
    emit(job_, table, plan_, kernels_, room.found, first, lanes);
  }

  void select_block(std::int64_t first, std::int64_t lanes, std::int64_t wide) {
    const QuantileTable& table = job_.table;
    const std::int64_t block = wide * length_ + kSlack;
    Room room(table, block + 2 * (length_ + kSlack));
    load_lanes(plan_, kernels_, room.keys, {length_, 1}, first, lanes, 0, length_);
    Selector<K> selector(kernels_, room.keys + block, length_);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      K* keys = room.keys + lane * length_;
      const std::int64_t nans = floating_ ? kernels_.count_above(keys, length_, kNan<K> - 1) : 0;
      if (!settle(table, room.found, lane, nans)) continue;
      const std::int64_t rules = room.found.row[lane] * table.queries;
      if (table.queries >= kSortQueries) radix_sort(keys, selector.spare(), length_);
      for (std::int64_t q = 0; q < table.queries; ++q) {
        const std::int64_t a = table.previous[rules + q], b = table.next[rules + q];
        if (table.queries >= kSortQueries)
          put(room.found, q, lane, {keys[a], keys[b]});
        else
          put(room.found, q, lane, selector.select(keys, length_, a, b));
      }
    }
    emit(job_, table, plan_, kernels_, room.found, first, lanes);
  }

  void stream_block(std::int64_t first, std::int64_t lanes) {
    QuantileTable table = job_.table;
    RuleRows rows;
    Room room(table, 0);
    LaneStream<K> stream(plan_, kernels_, first, lanes, floating_);
    stream.sample();
    const auto make_rows = [&](auto count_of) {
      if (!job_.rows_of) return;
      std::vector<std::int64_t> counts;
      for (std::int64_t lane = 0; lane < lanes; ++lane)
        if (count_of(lane) > 0) counts.push_back(count_of(lane));
      std::sort(counts.begin(), counts.end());
      counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
      if (counts.empty()) return;  // no lane looks at the rows
      rows = job_.rows_of(counts);
      table = rows.table();
    };
    make_rows([&](std::int64_t lane) { return stream.likely_valid(lane); });
    std::vector<std::int64_t> order(static_cast<std::size_t>(table.queries));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](std::int64_t a, std::int64_t b) { return table.previous[a] < table.previous[b]; });
    std::vector<char> settled(static_cast<std::size_t>(lanes), 0);
    for (std::int64_t begin = 0, end = 0; begin < table.queries; begin = end) {
      stream.clear();
      do {
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          const std::int64_t count = begin == 0 ? stream.likely_valid(lane) : room.found.valid[lane];
          const std::int64_t row = job_.skip_nan ? row_of(table, count) : 0;
          const std::int64_t rule = row * table.queries + order[static_cast<std::size_t>(end)];
          stream.want(lane, end - begin, table.previous[rule], table.next[rule]);
        }
      } while (++end < table.queries && stream.share() < kMostCollected);
      stream.read(begin == 0);
      if (begin == 0) {
        make_rows([&](std::int64_t lane) { return length_ - stream.nans(lane); });
        for (std::int64_t lane = 0; lane < lanes; ++lane)
          settled[static_cast<std::size_t>(lane)] = settle(table, room.found, lane, stream.nans(lane));
      }
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        if (settled[static_cast<std::size_t>(lane)] == 0) continue;
        const std::int64_t rules = room.found.row[lane] * table.queries;
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t q = order[static_cast<std::size_t>(i)];
          put(room.found, q, lane,
              stream.select(lane, i - begin, table.previous[rules + q], table.next[rules + q]));
        }
      }
    }
    emit(job_, table, plan_, kernels_, room.found, first, lanes);
  }

  const OrderJob& job_;
  const KeyKernels<K>& kernels_;
  LanePlan plan_;
  std::int64_t length_;
  bool floating_;
  std::vector<Comparator> network_, part_;
  std::atomic<std::int64_t> empty_{0};
};

template <class K>
void count_lanes(const OrderInput& input, char* out, const std::int64_t* out_strides) {
  const KeyKernels<K>& kernels = keys_of<K>(order_kernels(active_tier()));
  LanePlan plan;
  plan_lanes(plan, input, 1, &out, &out_strides);
  const std::int64_t length = plan.length(), lanes = plan.lanes();
  const std::int64_t wide = plan.across ? kLineBytes >> input.log2_size : 1;
  const std::int64_t chunk = std::min<std::int64_t>(length, 4096 / wide);
  parallel_for(
      (lanes + wide - 1) / wide, threads_for_bytes(lanes * length << input.log2_size),
      [&](std::int64_t task) {
        const std::int64_t first = task * wide, count = std::min(wide, lanes - first);
        const ScratchFrame frame(static_cast<std::size_t>(wide * chunk) * sizeof(K));
        K* keys = reinterpret_cast<K*>(frame.data());
        std::int64_t valid[kLineBytes];
        std::fill_n(valid, count, length);
        for (std::int64_t begin = 0; begin < length; begin += chunk) {
          const std::int64_t some = std::min(chunk, length - begin);
          load_lanes(plan, kernels, keys, {chunk, 1}, first, count, begin, some);
          for (std::int64_t lane = 0; lane < count; ++lane)
            valid[lane] -= kernels.count_above(keys + lane * chunk, some, kNan<K> - 1);
        }
        each_stretch(
            plan.kept, first, count, [&](std::int64_t lane, std::int64_t run, const std::int64_t* at) {
              for (std::int64_t i = 0; i < run; ++i)
                std::memcpy(plan.kept.data[1] + at[1] + i * (plan.kept.axes > 0 ? plan.kept.stride[1][0] : 0),
                            &valid[lane + i], sizeof valid[0]);
            });
      });
}

}  // namespace

std::int64_t order_statistics(const OrderJob& job) {
  return job.input.log2_size == 3 ? Engine<std::uint64_t>(job).run() : Engine<std::uint32_t>(job).run();
}

void count_valid(const OrderInput& input, char* out, const std::int64_t* out_strides) {
  if (input.log2_size == 3)
    count_lanes<std::uint64_t>(input, out, out_strides);
  else
    count_lanes<std::uint32_t>(input, out, out_strides);
}

}  // namespace ufuse
