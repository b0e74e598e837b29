#include "scan/scan.hpp"

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "core/threads.hpp"
#include "scan/pieces.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ufuse {

UFUSE_TIER_TABLES(ScanKernels, scan_kernels)

namespace {

constexpr std::int64_t kTaskBytes = 128 << 10, kTasksPerThread = 8;
// Columns of a tile at most, and at least where threads share them: long pieces of rows prefetch well
// (reduce/tiles.hpp has the numbers).
constexpr std::int64_t kTileColumns = 4096, kSharedColumns = 1024, kLeastColumns = 256;
// Blocks of a line from which on threads share it.
constexpr std::int64_t kLongLine = 16 * kScanBlock;

/// The order in which the parts of one line take and leave its offset. A part that waits knows that the part
/// before it was begun earlier, by another thread that waits for nobody after it. A part that throws breaks
/// the chain, and `guarded` tells those that wait.
class Chain {
 public:
  /// Whether it is the turn of `part`: false where an earlier one has thrown.
  bool wait(std::int64_t part) const {
    constexpr int kSpins = 128;  // some microseconds: longer waits are for a thread that does not run
    for (int spins = 0;; ++spins) {
      const std::int64_t done = done_.load(std::memory_order_acquire);
      if (done == part) return true;
      if (done == kBroken) return false;
      if (spins > kSpins) std::this_thread::yield();
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
  }
  void pass(std::int64_t part) {
    std::int64_t mine = part;  // unless it was broken meanwhile
    done_.compare_exchange_strong(mine, part + 1, std::memory_order_release, std::memory_order_relaxed);
  }
  /// Runs what a part does.
  template <class Body>
  void guarded(Body body) {
    try {
      body();
    } catch (...) {
      done_.store(kBroken, std::memory_order_release);
      throw;
    }
  }

 private:
  static constexpr std::int64_t kBroken = -1;
  std::atomic<std::int64_t> done_{0};
};

void end_streaming() {
#if defined(__x86_64__)
  _mm_sfence();  // streamed stores become visible before the task counts as done
#endif
}

/// kScanLanes running values of 8 bytes of any type.
struct alignas(64) Running {
  char bytes[8 * kScanLanes];
};

class Execution {
 public:
  explicit Execution(const Scan& s) : run_(s), plan_(run_.plan), kernel_(run_.kernel) {}

  void run() {
    if (plan_.count == 0 || plan_.lines() == 0) return;
    const bool long_lines = kernel_.blocked && plan_.count >= kLongLine;
    if (plan_.columns) {
      if (long_lines && run_.threads > 1 && plan_.outers < 2 * run_.threads &&
          plan_.inner.extent < kLeastColumns * run_.threads)
        for (std::int64_t o = 0; o < plan_.outers; ++o) share_columns(start_of(o * plan_.inner.extent));
      else
        all_columns();
      return;
    }
    // One thread, too, is quicker with eight blocks of a line at once than with few lines.
    const bool few = plan_.lines() < kScanLanes * (run_.threads > 1 ? 4 * run_.threads : 1);
    if (long_lines && few)
      for (std::int64_t line = 0; line < plan_.lines(); ++line) share_line(start_of(line));
    else
      all_lines();
  }

 private:
  struct Start {
    const char* in;
    char* out;
  };

  Start start_of(std::int64_t line) const {
    const std::int64_t at = line % plan_.inner.extent;
    Start start{run_.scan.in + at * plan_.inner.in, run_.scan.out + at * plan_.inner.out};
    std::int64_t left = line / plan_.inner.extent;
    for (int i = plan_.outer_axes - 1; i >= 0; left /= plan_.outer[i].extent, --i) {
      start.in += left % plan_.outer[i].extent * plan_.outer[i].in;
      start.out += left % plan_.outer[i].extent * plan_.outer[i].out;
    }
    return start;
  }

  // --- lines along memory ------------------------------------------------------------------------------

  /// Takes elements [j, j + count) of `lanes` lines, which begin at `from[lane]` and element `first[lane]`,
  /// through the kernel. The other lanes repeat the first.
  void take(const ScanPieces& pieces, const Start* from, const std::int64_t* first, std::int64_t lanes,
            std::int64_t j, std::int64_t count, Running& carry, const Running& offset, bool write) const {
    const char* at[kScanLanes];
    const char* in[kScanLanes];
    char* to[kScanLanes];
    char* out[kScanLanes];
    if (plan_.group_axes > 1) {
      for (std::int64_t k = 0; k < lanes; ++k) in[k] = pieces.read_group(from[k].in, first[k] + j, count, k);
    } else {
      for (std::int64_t k = 0; k < lanes; ++k) at[k] = from[k].in + (first[k] + j) * run_.in_step;
      pieces.read(at, lanes, count, in);
    }
    for (std::int64_t k = lanes; k < kScanLanes; ++k) in[k] = in[0];
    if (!write) {
      kernel_.rows({in, nullptr, count, carry.bytes, offset.bytes});
      return;
    }
    for (std::int64_t k = 0; k < lanes; ++k) to[k] = from[k].out + (first[k] + j) * run_.out_step;
    pieces.place(to, lanes, kScanLanes - lanes, out);
    if (lanes == 1)
      kernel_.line(in[0], out[0], count, carry.bytes, offset.bytes);
    else
      kernel_.rows({in, out, count, carry.bytes, offset.bytes});
    pieces.write(to, lanes, count);
  }

  /// Whole lines, kScanLanes at a time.
  void all_lines() const {
    const std::int64_t groups = (plan_.lines() + kScanLanes - 1) / kScanLanes;
    const std::int64_t bytes = kScanLanes * plan_.count * run_.in_size;
    const std::int64_t batch =
        std::max({std::int64_t{1}, kTaskBytes / bytes, groups / (run_.threads * kTasksPerThread)});
    parallel_for((groups + batch - 1) / batch, run_.threads, [&](std::int64_t task) {
      const ScanPieces pieces(run_);
      for (std::int64_t g = task * batch; g < std::min(groups, (task + 1) * batch); ++g)
        some_lines(pieces, g * kScanLanes,
                   std::min<std::int64_t>(kScanLanes, plan_.lines() - g * kScanLanes));
      if (run_.stream) end_streaming();
    });
  }

  void some_lines(const ScanPieces& pieces, std::int64_t line, std::int64_t lanes) const {
    Start from[kScanLanes];
    const std::int64_t first[kScanLanes] = {};
    for (std::int64_t k = 0; k < lanes; ++k) from[k] = start_of(line + k);
    Running carry, offset;
    kernel_.start(carry.bytes, kScanLanes);
    kernel_.start(offset.bytes, kScanLanes);
    const std::int64_t block = kernel_.blocked ? kScanBlock : plan_.count;
    // Lanes that only repeat write to blocks, which are short.
    const std::int64_t most = lanes == kScanLanes ? run_.piece(block) : std::min(block, kScanPiece);
    for (std::int64_t base = 0; base < plan_.count; base += block) {
      if (base > 0) kernel_.advance(offset.bytes, carry.bytes, kScanLanes);
      const std::int64_t end = std::min(plan_.count, base + block);
      for (std::int64_t j = base; j < end; j += most)
        take(pieces, from, first, lanes, j, std::min(most, end - j), carry, offset, true);
    }
  }

  /// One long line: threads take parts of it in order. Each finds what the blocks of its part add up to
  /// while they come from memory, waits for the offset of the part, and writes while they are in cache.
  void share_line(const Start& start) const {
    const std::int64_t blocks = plan_.count / kScanBlock, sets = blocks / kScanLanes;
    const std::int64_t sets_per_part =
        std::max<std::int64_t>(1, kTaskBytes / (kScanLanes * kScanBlock * run_.in_size));
    const std::int64_t parts = (sets + sets_per_part - 1) / sets_per_part;
    Chain chain;
    Running offset;
    kernel_.start(offset.bytes, kScanLanes);
    parallel_for(parts, run_.threads, [&](std::int64_t part) {
      const std::int64_t first = part * sets_per_part;
      chain.guarded(
          [&] { share_part(start, first, std::min(sets_per_part, sets - first), chain, part, offset); });
    });
    // What fills no set of blocks: fewer than kScanLanes blocks and the rest.
    const ScanPieces pieces(run_);
    for (std::int64_t base = sets * kScanLanes * kScanBlock; base < plan_.count; base += kScanBlock) {
      Running carry;
      kernel_.start(carry.bytes, kScanLanes);
      const std::int64_t count = std::min(kScanBlock, plan_.count - base), first[] = {base};
      const std::int64_t most = run_.piece(count);
      for (std::int64_t j = 0; j < count; j += most)
        take(pieces, &start, first, 1, j, std::min(most, count - j), carry, offset, true);
      kernel_.advance(offset.bytes, carry.bytes, 1);
    }
    if (run_.stream) end_streaming();
  }

  static constexpr std::int64_t kMaxSets = kTaskBytes / (kScanLanes * kScanBlock) + 1;

  void share_part(const Start& start, std::int64_t set, std::int64_t sets, Chain& chain, std::int64_t part,
                  Running& shared) const {
    const ScanPieces pieces(run_);
    Start from[kScanLanes];
    for (auto& lane : from) lane = start;
    Running offset[kMaxSets], carry;
    auto walk = [&](std::int64_t s, const Running& values, bool write) {
      std::int64_t first[kScanLanes];
      for (std::int64_t k = 0; k < kScanLanes; ++k) first[k] = ((set + s) * kScanLanes + k) * kScanBlock;
      kernel_.start(carry.bytes, kScanLanes);
      const std::int64_t most = write || !run_.in_place_in ? run_.piece(kScanBlock) : kScanBlock;
      for (std::int64_t j = 0; j < kScanBlock; j += most)
        take(pieces, from, first, kScanLanes, j, std::min(most, kScanBlock - j), carry, values, write);
    };
    for (std::int64_t s = 0; s < sets; ++s) {
      walk(s, carry, false);
      offset[s] = carry;
    }
    if (!chain.wait(part)) return;
    for (std::int64_t s = 0; s < sets; ++s)
      for (std::int64_t k = 0; k < kScanLanes; ++k) {
        char* total = offset[s].bytes + 8 * k;
        char before[8];
        std::memcpy(before, shared.bytes, 8);
        kernel_.advance(shared.bytes, total, 1);
        std::memcpy(total, before, 8);
      }
    chain.pass(part);
    for (std::int64_t s = 0; s < sets; ++s) walk(s, offset[s], true);
    if (run_.stream) end_streaming();
  }

  // --- lines across memory -----------------------------------------------------------------------------

  /// Elements [first, last) of `width` lines from `start` on.
  void walk_columns(const ScanPieces& pieces, const Start& start, std::int64_t width, std::int64_t first,
                    std::int64_t last, char* carry, char* offset, bool write) const {
    const std::int64_t down = plan_.group_axes > 0 ? plan_.group[0].in : 0;
    const std::int64_t most = write || !run_.in_place_in ? run_.piece(width) : width;
    for (std::int64_t j = first; j < last; j += kScanRows) {
      if (kernel_.blocked && j > first && j % kScanBlock == 0) kernel_.advance(offset, carry, width);
      const std::int64_t rows = std::min<std::int64_t>(kScanRows, last - j);
      for (std::int64_t c = 0; c < width; c += most) {
        const std::int64_t count = std::min(most, width - c);
        const char* at[kScanRows];
        const char* in[kScanRows];
        char* to[kScanRows];
        char* out[kScanRows];
        for (std::int64_t r = 0; r < rows; ++r) {
          at[r] = start.in + (j + r) * down + c * run_.in_step;
          to[r] = start.out + (j + r) * plan_.out_step + c * run_.out_step;
        }
        pieces.read(at, rows, count, in);
        if (write) pieces.place(to, rows, 0, out);
        kernel_.columns({in, write ? out : nullptr, rows, count, carry + 8 * c, offset + 8 * c});
        if (write) pieces.write(to, rows, count);
      }
    }
  }

  static std::int64_t bytes_of(std::int64_t width) { return (width * 8 + 63) / 64 * 64 + 128; }

  void all_columns() const {
    const std::int64_t inner = plan_.inner.extent;
    const std::int64_t wanted = run_.threads > 1 ? 2 * run_.threads : 1;
    std::int64_t width = std::min(inner, kTileColumns);
    if (plan_.outers * ((inner + width - 1) / width) < wanted) {
      const std::int64_t part = (inner * plan_.outers + wanted - 1) / wanted;
      const std::int64_t least = std::min(kSharedColumns, (inner + run_.threads - 1) / run_.threads);
      width = std::min(width, std::max(part, (least + 15) / 16 * 16));
    }
    const std::int64_t across = (inner + width - 1) / width, tiles = across * plan_.outers;
    const std::int64_t batch = std::max<std::int64_t>(
        1, std::min(kTaskBytes / (width * plan_.count * run_.in_size), tiles / (2 * run_.threads)));
    parallel_for((tiles + batch - 1) / batch, run_.threads, [&](std::int64_t task) {
      const ScanPieces pieces(run_);
      const ScratchFrame frame(static_cast<std::size_t>(2 * bytes_of(width)));
      char *carry = frame.data(), *offset = carry + bytes_of(width);
      for (std::int64_t t = task * batch; t < std::min(tiles, (task + 1) * batch); ++t) {
        const std::int64_t first = t % across * width, some = std::min(width, inner - first);
        kernel_.start(carry, some);
        kernel_.start(offset, some);
        walk_columns(pieces, start_of(t / across * inner + first), some, 0, plan_.count, carry, offset, true);
      }
      if (run_.stream) end_streaming();
    });
  }

  /// A few long lines side by side: threads take blocks of rows in order, as in `share_line`.
  void share_columns(const Start& start) const {
    const std::int64_t width = plan_.inner.extent;
    const std::int64_t parts = (plan_.count + kScanBlock - 1) / kScanBlock;
    Chain chain;
    std::vector<std::int64_t> memory(static_cast<std::size_t>(width));
    auto* shared = reinterpret_cast<char*>(memory.data());
    kernel_.start(shared, width);
    auto take_part = [&](std::int64_t part) {
      const ScanPieces pieces(run_);
      const ScratchFrame frame(static_cast<std::size_t>(2 * bytes_of(width)));
      char *carry = frame.data(), *offset = carry + bytes_of(width);
      const std::int64_t first = part * kScanBlock, last = std::min(plan_.count, first + kScanBlock);
      kernel_.start(carry, width);
      walk_columns(pieces, start, width, first, last, carry, offset, false);
      if (!chain.wait(part)) return;
      std::memcpy(offset, shared, static_cast<std::size_t>(8 * width));
      kernel_.advance(shared, carry, width);
      chain.pass(part);
      walk_columns(pieces, start, width, first, last, carry, offset, true);
      if (run_.stream) end_streaming();
    };
    parallel_for(parts, run_.threads, [&](std::int64_t part) { chain.guarded([&] { take_part(part); }); });
  }

  const ScanRun run_;
  const ScanPlan& plan_;
  const ScanKernel& kernel_;
};

}  // namespace

void scan(const Scan& s) { Execution(s).run(); }

}  // namespace ufuse
