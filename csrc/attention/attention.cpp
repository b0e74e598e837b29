// How attention is spread over threads, and what a thread does with a group of queries.
#include "attention/attention.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "core/cache.hpp"
#include "core/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(AttentionKernels, attention_kernels)

namespace {

constexpr double kFlopsPerThread = 1.5e6;  // as for products: a worker joins in 1 to 50 us
// Queries that take a block of keys and values one tile after the other, while it is in L2.
constexpr std::int64_t kGroup = 128;
constexpr std::int64_t kTasksPerThread = 4;
// So many queries are taken one by one. It is a matter of the shape, since the bits differ.
constexpr std::int64_t kFewQueries = 8;
// Rows further apart are copied side by side first: 14 rows of (length, heads, 64) with 16 heads would share
// one set of L1.
constexpr std::int64_t kNearRows = 1024;

struct LeadingAxis {
  std::int64_t extent, q, k, v, mask, out;
};

/// What all threads read.
struct Plan {
  explicit Plan(const Attention& attention)
      : a(attention),
        wide(a.q.type == AttentionType::f64),
        table(wide ? attention_kernels(active_tier()).f64 : attention_kernels(active_tier()).f32),
        type(wide ? AttentionType::f64 : AttentionType::f32) {
    for (int i = 0; i < a.axes; ++i) {
      const auto of = [&](const AttentionOperand& x) { return x.data == nullptr ? 0 : x.strides[i]; };
      const LeadingAxis axis{a.shape[i], of(a.q), of(a.k), of(a.v), of(a.mask), of(a.out)};
      if (axis.extent == 1) continue;
      const bool shared = axis.k == 0 && axis.v == 0;  // the same keys and values: more queries
      (shared ? folds : stacks).push_back(axis);
      (shared ? rows : items) *= axis.extent;
    }
    rows *= a.queries;
    few = a.queries <= kFewQueries;
    tile = few ? 1 : kAttentionVectors * table.lanes;
    hides = a.mask.data != nullptr && a.mask.type == AttentionType::boolean;
    const double log2e = 1.4426950408889634, least = wide ? 2.3e-308 : 1.2e-38, most = wide ? 1e308 : 1e38;
    factor = a.scale * log2e;
    // A positive scale moves no largest score, and costs nothing as part of the exponential's factor.
    scaled = (a.mask.data != nullptr && !hides) || !(factor > least && factor < most);
    if (scaled) factor = log2e;
    blocks = (a.keys + kAttentionKeys - 1) / kAttentionKeys;

    const double flops = 2.0 * static_cast<double>(rows * items) *
                         static_cast<double>(a.keys * (a.depth + a.width + 8)) * (a.causal ? 0.5 : 1.0);
    threads = static_cast<int>(std::clamp(flops / kFlopsPerThread, 1.0, static_cast<double>(thread_limit())));
    const std::int64_t wanted = std::max<std::int64_t>(1, threads * kTasksPerThread / items);
    const std::int64_t groups =
        std::max((rows + kGroup - 1) / kGroup, std::min(wanted, (rows + tile - 1) / tile));
    group = round_up((rows + groups - 1) / groups, tile);
    groups_per_item = (rows + group - 1) / group;
    near_k = in_place(a.k);
    near_v = in_place(a.v);
  }

  bool is_plain(const AttentionOperand& x) const { return x.type == type && x.column == table.size; }
  bool in_place(const AttentionOperand& x) const {
    return is_plain(x) && (std::abs(x.row) <= kNearRows || few || rows <= tile);
  }

  const Attention& a;
  bool wide;
  const AttentionTable& table;
  AttentionType type;  // of the arithmetic
  std::vector<LeadingAxis> stacks, folds;
  std::int64_t items = 1, rows = 1;  // stacks of keys and values, and the queries of each
  int tile;                          // queries
  bool few;                          // taken one by one
  bool hides, scaled, near_k, near_v;
  double factor;
  std::int64_t blocks, group, groups_per_item;
  int threads;
};

/// Which blocks of values are finite, found out by whoever needs it first.
class FiniteBlocks {
 public:
  explicit FiniteBlocks(std::size_t count) : known_(new std::atomic<std::uint8_t>[count]()) {}
  template <class Find>
  bool ask(std::int64_t block, Find find) const {
    auto& known = known_[static_cast<std::size_t>(block)];
    std::uint8_t state = known.load(std::memory_order_relaxed);
    if (state == 0) known.store(state = find() ? 1 : 2, std::memory_order_relaxed);
    return state == 1;
  }

 private:
  std::unique_ptr<std::atomic<std::uint8_t>[]> known_;
};

/// Parts of one block of scratch, each at the beginning of a cache line. Measures first, if given no memory.
class Parts {
 public:
  explicit Parts(char* base) : base_(base) {}
  char* take(std::int64_t bytes) {
    char* const part = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(bytes, kCacheLine);
    return part;
  }
  std::int64_t used() const { return used_; }

 private:
  char* base_;
  std::int64_t used_ = 0;
};

/// A tile of queries of a group, and its state.
struct TileState {
  std::int64_t first, count;  // rows
  int vectors;
  std::int64_t least, most;  // positions of its queries
  char *q, *out, *largest, *total;
};

/// A group of queries of one item.
class Group {
 public:
  Group(const Plan& plan, const FiniteBlocks& finite, std::int64_t item, std::int64_t first,
        std::int64_t count)
      : p_(plan), a_(plan.a), t_(plan.table), finite_(finite), item_(item), first_(first), count_(count) {
    at_ = {1, 0, 0, 0, 0, 0};
    std::int64_t index = item;
    for (auto axis = p_.stacks.rbegin(); axis != p_.stacks.rend(); ++axis) {
      step(at_, *axis, index % axis->extent);
      index /= axis->extent;
    }
  }

  void run() {
    Parts measured(nullptr);
    lay_out(measured);
    const ScratchFrame frame(static_cast<std::size_t>(measured.used()));
    Parts parts(frame.data());
    lay_out(parts);
    for (TileState& tile : tiles_) begin(tile);
    for (block_ = 0; block_ < p_.blocks; ++block_) {
      keys_ = std::min(kAttentionKeys, a_.keys - block_ * kAttentionKeys);
      k_at_ = v_at_ = nullptr;
      for (const TileState& tile : tiles_) add(tile);
    }
    for (const TileState& tile : tiles_) end(tile);
  }

 private:
  static void step(LeadingAxis& at, const LeadingAxis& axis, std::int64_t index) {
    at.q += index * axis.q;
    at.k += index * axis.k;
    at.v += index * axis.v;
    at.mask += index * axis.mask;
    at.out += index * axis.out;
  }

  /// Byte offsets of a row; `extent` is its position among the queries.
  LeadingAxis locate(std::int64_t row) const {
    LeadingAxis at = at_;
    std::int64_t index = p_.folds.empty() ? 0 : row / a_.queries;  // a division for each row of a mask shows
    at.extent = row - index * a_.queries;
    for (auto axis = p_.folds.rbegin(); axis != p_.folds.rend(); ++axis) {
      step(at, *axis, index % axis->extent);
      index /= axis->extent;
    }
    at.q += at.extent * a_.q.row;
    at.mask += at.extent * a_.mask.row;
    at.out += at.extent * a_.out.row;
    return at;
  }

  void lay_out(Parts& parts) {
    const std::int64_t size = t_.size;
    tiles_.clear();
    for (std::int64_t row = first_; row < first_ + count_; row += p_.tile) {
      TileState tile{};
      tile.first = row;
      tile.count = std::min<std::int64_t>(p_.tile, first_ + count_ - row);
      tile.vectors = p_.few ? 0 : static_cast<int>((tile.count + t_.lanes - 1) / t_.lanes);
      const std::int64_t lanes = lanes_of(tile);
      tile.q = parts.take(a_.depth * lanes * size);
      tile.out = parts.take(a_.width * lanes * size);
      tile.largest = parts.take(lanes * size);
      tile.total = parts.take(lanes * size);
      tiles_.push_back(tile);
    }
    const std::int64_t masks = a_.mask.data == nullptr ? 0 : kAttentionKeys;
    staging_row_ = round_up(std::max({a_.depth, a_.width, masks}) * size, kCacheLine);
    staging_ = parts.take(p_.tile * staging_row_);
    // Whole registers of one query's keys.
    scores_ = parts.take(kAttentionKeys * p_.tile * size + kCacheLine);
    bias_ = parts.take(masks * p_.tile * size + kCacheLine);
    k_block_ = parts.take(p_.near_k ? 0 : kAttentionKeys * a_.depth * size);
    v_block_ = parts.take(p_.near_v ? 0 : kAttentionKeys * a_.width * size);
  }

  /// Points `rows` at the rows of numbers that begin at `from`, copied to `staging_` where they lie
  /// otherwise. Lanes beyond the last row repeat it.
  void gather(const AttentionOperand& x, const char** rows, std::int64_t given, std::int64_t lanes,
              std::int64_t count) const {
    if (!p_.is_plain(x)) {
      const char* const first = rows[0];
      for (std::int64_t i = 0; i < given; ++i) {
        char* const to = staging_ + i * staging_row_;
        const bool repeated = i > 0 && rows[i] == first;  // broadcast
        if (!repeated) t_.read({x.type, rows[i], 0, x.column, 1, count, to, 0});
        rows[i] = repeated ? staging_ : to;
      }
    }
    for (std::int64_t i = given; i < lanes; ++i) rows[i] = rows[given - 1];
  }

  std::int64_t lanes_of(const TileState& tile) const { return p_.few ? 1 : tile.vectors * t_.lanes; }

  void begin(TileState& tile) const {
    const std::int64_t lanes = lanes_of(tile);
    const char* rows[kAttentionQueries];
    tile.least = std::numeric_limits<std::int64_t>::max();
    for (std::int64_t i = 0; i < tile.count; ++i) {
      const LeadingAxis at = locate(tile.first + i);
      rows[i] = a_.q.data + at.q;
      tile.least = std::min(tile.least, at.extent);
      tile.most = std::max(tile.most, at.extent);
    }
    gather(a_.q, rows, tile.count, lanes, a_.depth);
    t_.turn(rows, a_.depth, static_cast<int>(lanes), tile.q);
    std::memset(tile.out, 0, static_cast<std::size_t>(a_.width * lanes * t_.size));
    std::memset(tile.total, 0, static_cast<std::size_t>(lanes * t_.size));
    for (std::int64_t i = 0; i < lanes; ++i) {
      constexpr double kNone = -std::numeric_limits<double>::infinity();
      if (p_.wide)
        reinterpret_cast<double*>(tile.largest)[i] = kNone;
      else
        reinterpret_cast<float*>(tile.largest)[i] = static_cast<float>(kNone);
    }
  }

  const char* load(const AttentionOperand& x, std::int64_t offset, std::int64_t count, bool near,
                   char* to) const {
    const char* const from = x.data + offset + block_ * kAttentionKeys * x.row;
    if (near) return from;
    t_.read({x.type, from, x.row, x.column, keys_, count, to, count * t_.size});
    return to;
  }
  const char* k_rows() {
    if (k_at_ == nullptr) k_at_ = load(a_.k, at_.k, a_.depth, p_.near_k, k_block_);
    return k_at_;
  }
  const char* v_rows() {
    if (v_at_ == nullptr) v_at_ = load(a_.v, at_.v, a_.width, p_.near_v, v_block_);
    return v_at_;
  }
  std::int64_t k_stride() const { return p_.near_k ? a_.k.row : a_.depth * t_.size; }
  std::int64_t v_stride() const { return p_.near_v ? a_.v.row : a_.width * t_.size; }

  bool finite() {
    return finite_.ask(item_ * p_.blocks + block_,
                       [&] { return t_.finite(v_rows(), v_stride(), keys_, a_.width); });
  }

  /// Adds the current block to a tile.
  void add(const TileState& tile) {
    AttentionBlock b{};
    b.keys = keys_;
    std::int64_t last[kAttentionQueries];
    const std::int64_t begin = block_ * kAttentionKeys;
    if (a_.causal && begin + keys_ - 1 > tile.least) {
      if (tile.most + 1 < begin + keys_ && finite())
        b.keys = std::max<std::int64_t>(0, tile.most + 1 - begin);
      if (b.keys == 0) return;
      for (std::int64_t i = 0; i < lanes_of(tile); ++i) {
        const std::int64_t row = tile.first + std::min(i, tile.count - 1);
        last[i] = std::clamp<std::int64_t>(row % a_.queries - begin, -1, kAttentionKeys);
      }
      b.last = last;
    }
    if (a_.mask.data != nullptr) {
      if (!read_mask(tile, b.keys)) return;
      b.bias = bias_;
      b.hides = p_.hides;
    }
    b.vectors = tile.vectors;
    b.depth = a_.depth;
    b.width = a_.width;
    b.q = tile.q;
    b.k = k_rows();
    b.k_row = k_stride();
    b.v = v_rows();
    b.v_row = v_stride();
    b.scores = scores_;
    b.out = tile.out;
    b.largest = tile.largest;
    b.total = tile.total;
    b.scaled = p_.scaled;
    b.scale = a_.scale;
    b.factor = p_.factor;
    t_.block(b);
  }

  /// Brings the mask of the block to `bias_`; false where it hides all of a block that may be left out.
  bool read_mask(const TileState& tile, std::int64_t keys) {
    const char* rows[kAttentionQueries];
    bool seen = !p_.hides || a_.mask.column != 1;  // several bytes apart: not looked at
    for (std::int64_t i = 0; i < tile.count; ++i) {
      rows[i] = a_.mask.data + locate(tile.first + i).mask + block_ * kAttentionKeys * a_.mask.column;
      seen = seen || std::memchr(rows[i], 1, static_cast<std::size_t>(keys)) != nullptr;
    }
    if (!seen && finite()) return false;
    const std::int64_t lanes = lanes_of(tile);
    gather(a_.mask, rows, tile.count, lanes, keys);
    t_.turn(rows, keys, static_cast<int>(lanes), bias_);
    return true;
  }

  void end(const TileState& tile) const {
    AttentionBlock b{};
    b.vectors = tile.vectors;
    b.width = a_.width;
    b.out = tile.out;
    b.largest = tile.largest;
    b.total = tile.total;
    const bool plain = p_.is_plain(a_.out);
    char *to[kAttentionQueries], *rows[kAttentionQueries] = {};
    for (std::int64_t i = 0; i < tile.count; ++i) {
      to[i] = a_.out.data + locate(tile.first + i).out;
      rows[i] = plain ? to[i] : staging_ + i * staging_row_;
    }
    t_.finish(b, rows);
    for (std::int64_t i = 0; i < tile.count && !plain; ++i)
      t_.write({a_.out.type, rows[i], a_.width, to[i], a_.out.column});
  }

  const Plan& p_;
  const Attention& a_;
  const AttentionTable& t_;
  const FiniteBlocks& finite_;
  std::int64_t item_, first_, count_;
  LeadingAxis at_;  // byte offsets of the item
  std::vector<TileState> tiles_;
  char *staging_ = nullptr, *scores_ = nullptr, *bias_ = nullptr, *k_block_ = nullptr, *v_block_ = nullptr;
  std::int64_t staging_row_ = 0;
  std::int64_t block_ = 0, keys_ = 0;
  const char *k_at_ = nullptr, *v_at_ = nullptr;  // rows of the block, once they are there
};

}  // namespace

void attention(const Attention& a) {
  if (a.queries == 0 || a.width == 0) return;
  for (int i = 0; i < a.axes; ++i)
    if (a.shape[i] == 0) return;
  const Plan plan(a);
  const bool skips = a.causal || plan.hides;
  const FiniteBlocks finite(skips ? static_cast<std::size_t>(plan.items * plan.blocks) : 0);
  parallel_for(plan.items * plan.groups_per_item, plan.threads, [&](std::int64_t task) {
    // The last queries first: with `causal` they have the most to do.
    const std::int64_t part = plan.groups_per_item - 1 - task % plan.groups_per_item;
    const std::int64_t first = part * plan.group;
    Group(plan, finite, task / plan.groups_per_item, first, std::min(plan.group, plan.rows - first)).run();
  });
}

}  // namespace ufuse
