// Running a program: the loop is cut into tiles, a tile is loaded into registers, the steps run over it,
// and the results are stored.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/cache.hpp"
#include "core/scratch.hpp"
#include "core/streamed.hpp"
#include "core/threads.hpp"
#include "program/program.hpp"
#include "program/row_reduction.hpp"

namespace ufuse {
namespace {

// All full registers of a tile together: leaves room in a 32 KiB L1 for the lines being read.
constexpr std::int64_t kTileBytes = 24 << 10;
constexpr std::int64_t kMaxTile = 4096;
// Where results are streamed past the cache, reading a tile and storing it must overlap: 2*a + 3*b reaches 44
// GB/s with tiles of 256 or 512 elements, 38 with 1024 and more, of 55 that a copy does.
constexpr std::int64_t kStreamTile = 512;
// Beside an operand that is the same for every line (a scale per column), which is read from L2 in between,
// no hardware sees the lines of the others coming: they are asked for so many bytes ahead, to L2, where
// `bytes_ahead` knows no better (0.9 cycles an element instead of 1.4 on a Zen 4; to L1: 1.4).
constexpr std::int64_t kAheadBesideLines = 8 << 10;

// A tile of rows that run across memory: whole rows, and enough of them side by side that the cache lines
// they share are used whole, and the reductions have columns to work on: a softmax over the first axis of
// (4096, 4096) took 126 ms row by row, 48 with 16 and 32 rows side by side, 11 with 128. Long rows have
// fewer, down to a line of the cache, and down to one where that would take too much memory.
constexpr std::int64_t kAcrossBytes = 6 << 20, kMostAcrossBytes = 32 << 20;
constexpr std::int64_t kMostAcross = 4096, kLeastAcross = 16;
// Up to so many elements a program that is one chain runs as such on the calling thread: no second one is
// worth waking.
constexpr std::int64_t kWhole = 4096;
// Rows as short as these are treated alike: a register holds their first elements, then their second...
constexpr std::int64_t kShortRow = 16;

}  // namespace

/// One call's plan, shared by its threads.
class ProgramRun {
 public:
  ProgramRun(const Program& program, int axes, const std::int64_t* shape,
             std::span<const ProgramOperand> operands)
      : program_(program),
        operands_(operands),
        kernels_(program_kernels(active_tier())),
        tier_(active_tier()),
        code_(static_cast<std::size_t>(program.chain_items_ + 5 * static_cast<int>(program.chains_.size())) *
              sizeof(ChainCode)) {
    StridedOperand strided[kMaxOperands];
    for (std::size_t k = 0; k < operands.size(); ++k) strided[k] = {operands[k].data, operands[k].strides};
    plan_loop(plan_, axes, shape, static_cast<int>(operands.size()), strided, program.has_rows_ && axes > 0);
    decide_streaming();
    choose_tile();
    prepare_operands();
    prepare_steps();
  }

  void run() {
    const std::int64_t tiles = tiles0_ * tiles1_ * outer_;
    if (tiles == 0) return;
    std::int64_t bytes = 0;
    for (int k = 0; k < count(); ++k)
      if (plan_.axes > 0 && plan_.stride[k][0] != 0) bytes += static_cast<std::int64_t>(item_size(dtype(k)));
    // An arithmetic step costs about as much as moving 8 bytes through memory.
    bytes = plan_.size * std::max<std::int64_t>(bytes, 8 * program_.steps());
    const int threads = tiles == 1 ? 1 : threads_for_bytes(bytes);
    const std::int64_t tasks = threads == 1 ? 1 : std::min<std::int64_t>(tiles, threads * 8);
    if (tasks == 1) {
      run_tiles(0, tiles);
    } else {
      parallel_for(tasks, threads,
                   [&](std::int64_t task) { run_tiles(tiles * task / tasks, tiles * (task + 1) / tasks); });
    }
  }

 private:
  /// How an input gets into its register.
  enum class Feed : std::uint8_t {
    once,     // the same for every tile
    pointer,  // one value per tile: the register points at it
    direct,   // the register is the operand's own memory, where the tile is a whole multiple
    load,
  };
  struct OperandPlan {
    int reg;
    int row_reg;  // an input's register as a row value, or -1
    int log2;
    Feed feed;
    bool swapped;
    bool row;
    bool direct;             // the tile is contiguous in the operand
    bool invariant;          // the same for every tile
    std::int64_t ahead = 0;  // bytes before its use that an input is asked for, or 0
    bool spread;             // an input with a value per row, of tiles of several rows
    std::int64_t step;       // bytes from a tile to the next one along the fastest axis, or `down` the second
  };

  int count() const { return static_cast<int>(operands_.size()); }
  bool is_output(int k) const { return k < program_.outputs(); }
  DType dtype(int k) const {
    return is_output(k) ? program_.output_dtype(k) : program_.input_dtype(k - program_.outputs());
  }

  /// Whether a tile has all of the fastest axis, so that the next one lies along the second.
  bool down() const { return tiles0_ == 1 && !program_.has_rows_; }

  void decide_streaming() {
    std::int64_t traffic = 0;
    for (int k = 0; k < count(); ++k) {
      bool broadcast = true;
      for (int axis = 0; axis < plan_.axes; ++axis) broadcast &= plan_.stride[k][axis] == 0;
      if (!broadcast) traffic += plan_.size * static_cast<std::int64_t>(item_size(dtype(k)));
    }
    stream_ = traffic > streaming_threshold();
  }

  void choose_tile() {
    n0_ = plan_.axes > 0 ? plan_.extent[0] : 1;
    std::int64_t room = std::clamp<std::int64_t>(
        kTileBytes / std::max(1, program_.row_bytes_) / kBlockMultiple * kBlockMultiple, kBlockMultiple,
        kMaxTile);
    if (stream_) room = std::min(room, kStreamTile);
    bool crossed = false;
    if (!program_.has_rows_) crossed = bring_crossed_axis_next();
    n1_ = plan_.axes > 1 ? plan_.extent[1] : 1;
    if (program_.has_rows_) {
      t0_ = n0_;
      across_ = rows_run_across();
      const std::int64_t elements =
          across_ ? std::max(room, kAcrossBytes / std::max(1, program_.across_bytes_)) : room;
      t1_ = std::clamp<std::int64_t>(elements / std::max<std::int64_t>(1, n0_), 1, n1_);
      if (across_) {
        if (t1_ >= kBlockMultiple) t1_ -= t1_ % kBlockMultiple;
        const std::int64_t most = kMostAcrossBytes / std::max<std::int64_t>(1, program_.across_bytes_ * n0_);
        t1_ = std::clamp(t1_, std::clamp<std::int64_t>(most, 1, kLeastAcross), kMostAcross);
      }
    } else if (crossed) {
      // Both directions get whole cache lines of 4-byte elements, twice over.
      t0_ = std::clamp<std::int64_t>(n0_, 1, 32);
      t1_ = std::min<std::int64_t>(n1_, room / t0_);
    } else {
      t0_ = std::min(n0_, room);
      t1_ = n0_ > 0 && n0_ <= room / 2 ? std::min(n1_, room / n0_) : 1;
    }
    t1_ = std::max<std::int64_t>(1, t1_);
    tiles0_ = n0_ == 0 ? (program_.has_rows_ ? 1 : 0) : (n0_ + t0_ - 1) / std::max<std::int64_t>(1, t0_);
    tiles1_ = (n1_ + t1_ - 1) / t1_;
    outer_ = 1;
    for (int axis = 2; axis < plan_.axes; ++axis) outer_ *= plan_.extent[axis];
    block_ = round_up(std::max<std::int64_t>(1, t0_ * t1_), kBlockMultiple);
    rows_block_ = round_up(t1_, kBlockMultiple);
  }

  /// Whether tiles of rows are laid out with the rows side by side: where some operand has them so in memory,
  /// or where they are too short to fill a register.
  bool rows_run_across() const {
    if (plan_.axes < 2 || n0_ < 2 || n1_ < kLeastAcross) return false;
    bool across = n0_ <= kShortRow;
    for (int k = 0; k < count(); ++k) {
      const std::int64_t s0 = std::abs(plan_.stride[k][0]), s1 = std::abs(plan_.stride[k][1]);
      across |= s0 != 0 && s1 != 0 && s1 < s0;
    }
    return across;
  }

  // Where an operand's fastest axis is another than the loop's (a transposed input), that axis becomes the
  // second: a tile over both then uses whole cache lines of every operand.
  bool bring_crossed_axis_next() {
    for (int k = 0; k < count() && plan_.axes > 1; ++k) {
      int best = 0;
      for (int axis = 0; axis < plan_.axes; ++axis) {
        const std::int64_t mine = std::abs(plan_.stride[k][axis]), other = std::abs(plan_.stride[k][best]);
        if (mine != 0 && (other == 0 || mine < other)) best = axis;
      }
      if (best == 0 || plan_.stride[k][0] == 0) continue;
      if (best > 1) {
        std::swap(plan_.extent[1], plan_.extent[best]);
        for (int j = 0; j < count(); ++j) std::swap(plan_.stride[j][1], plan_.stride[j][best]);
      }
      return true;
    }
    return false;
  }

  void prepare_operands() {
    for (int k = 0; k < count(); ++k) {
      OperandPlan& p = operand_plan_[k];
      p.reg = is_output(k) ? program_.output_register_[static_cast<std::size_t>(k)]
                           : program_.register_of_[static_cast<std::size_t>(k - program_.outputs())];
      p.row = program_.registers_[static_cast<std::size_t>(p.reg)].row;
      p.log2 = log2_size(dtype(k));
      p.swapped = operands_[static_cast<std::size_t>(k)].swapped;
      const std::int64_t size = std::int64_t{1} << p.log2;
      const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0,
                         s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
      p.direct = !across_ && !p.swapped && !p.row && (s0 == size || n0_ == 1) &&
                 (t1_ == 1 || (t0_ == n0_ && s1 == n0_ * size));
      p.step = down() ? t1_ * s1 : t0_ * s0;
      p.spread = !is_output(k) && s0 == 0 && t1_ > 1 && !p.swapped && !across_;
      // Across memory, the last tile may have fewer rows, and then a block of another shape.
      p.invariant = !is_output(k) && t0_ == n0_ && !(across_ && n1_ % t1_ != 0);
      for (int axis = 1; axis < plan_.axes; ++axis) p.invariant &= plan_.stride[k][axis] == 0;
    }
    bool repeats = false;
    for (int k = program_.outputs(); k < count(); ++k) repeats |= is_repeated(k);
    for (int k = program_.outputs(); k < count(); ++k)
      if (stream_ && !is_repeated(k) && operand_plan_[k].step > 0)
        operand_plan_[k].ahead = bytes_ahead() == 0 && repeats ? kAheadBesideLines : bytes_ahead();
    for (int k = 0; k < program_.outputs(); ++k) {
      // Stores wait for the end of the tile where later steps may still read an input from that memory,
      // where the value is read from a register that is not its own, or where they go past the cache.
      const int value = program_.outputs_[static_cast<std::size_t>(k)];
      bool own = value >= static_cast<int>(program_.inputs_.size()) && !stream_ && is_instruction(value);
      for (int j = 0; j < count(); ++j)
        if (j != k &&
            (operands_[static_cast<std::size_t>(j)].data == operands_[static_cast<std::size_t>(k)].data ||
             (j < program_.outputs() && operand_plan_[j].reg == operand_plan_[k].reg)))
          own = false;
      operand_plan_[k].direct = operand_plan_[k].direct && own;
      in_lines_[k] = stream_ && !program_.has_rows_ && is_instruction(value);
      for (int j = 0; j < count(); ++j)
        in_lines_[k] &= j == k || operand_plan_[j].reg != operand_plan_[k].reg;
      contiguous_out_[k] = !across_ && !operand_plan_[k].swapped && !operand_plan_[k].row && plan_.axes > 0 &&
                           plan_.stride[k][0] == (std::int64_t{1} << operand_plan_[k].log2) &&
                           (t1_ == 1 || (t0_ == n0_ && plan_.stride[k][1] == n0_ << operand_plan_[k].log2));
    }
  }

  /// Whether every line of tiles reads the same of an operand, and a tile another part of it than the next
  /// one.
  bool is_repeated(int k) const {
    bool same = plan_.axes > 1 && tiles0_ > 1 && plan_.stride[k][0] != 0;
    for (int axis = 1; axis < plan_.axes; ++axis) same &= plan_.stride[k][axis] == 0;
    return same;
  }

  bool is_instruction(int value) const {
    const int reg = program_.register_of_[static_cast<std::size_t>(value)];
    for (const auto& fill : program_.constants_)
      if (fill.reg == reg) return false;
    return true;
  }

  /// Constants and operands with one element per tile stay single values: their register points at the value.
  /// Only where a step has no kernel for that are they copied into a block.
  void prepare_steps() {
    const int registers = program_.registers();
    for (int r = 0; r < registers; ++r) {
      scalar_[r] = nullptr;
      single_[r] = false;
    }
    for (const auto& fill : program_.constants_) {
      scalar_[fill.reg] = fill.value.bytes;
      single_[fill.reg] = true;
    }
    for (int k = program_.outputs(); k < count(); ++k) {
      OperandPlan& p = operand_plan_[k];
      if (p.swapped || plan_.size == 0) continue;
      bool constant = true;
      for (int axis = 0; axis < plan_.axes; ++axis) constant &= plan_.stride[k][axis] == 0;
      if (constant) scalar_[p.reg] = plan_.data[k];
      single_[p.reg] = constant || (plan_.stride[k][0] == 0 && t1_ == 1);
    }
    for (int k = 0; k < program_.outputs(); ++k) single_[operand_plan_[k].reg] = false;
    for (const auto& step : program_.steps_)
      if (!step.is_map()) single_[step.in[0]] = false;
    for (bool again = true; again;) {  // a value that one step needs as a block is a block for all
      again = false;
      for (std::size_t i = 0; i < program_.steps_.size(); ++i) {
        const auto& step = program_.steps_[i];
        if (step.kind == StepKind::chain)
          for (int reg; (reg = block_wanted(program_.chain_of(step), single_)) >= 0; again = true)
            single_[reg] = false;
        if (step.kind != StepKind::map) continue;
        ScalarMask mask = 0;
        for (int a = 0; a < step.arity; ++a) mask |= (single_[step.in[a]] ? 1U : 0U) << a;
        kernel_[i] = kernels_.rows[step.kernel].kernel[mask];
        if (kernel_[i] != nullptr) continue;
        for (int a = 0; a < step.arity; ++a) single_[step.in[a]] = false;
        again = true;
      }
    }
    for (int k = program_.outputs(); k < count(); ++k) {
      OperandPlan& p = operand_plan_[k];
      p.row_reg = program_.row_register_of_[static_cast<std::size_t>(k - program_.outputs())];
      if (single_[p.reg])
        p.feed = scalar_[p.reg] != nullptr ? Feed::once : Feed::pointer;
      else if (scalar_[p.reg] != nullptr || p.invariant)
        p.feed = Feed::once;
      else
        p.feed = p.direct ? Feed::direct : Feed::load;
    }
    choose_rows_kernels();
    write_chains();
    steady_ = !program_.has_rows_ && t0_ * t1_ % kBlockMultiple == 0;
    for (int k = 0; k < count(); ++k)
      steady_ &= is_output(k) ? operand_plan_[k].direct || (stream_ && contiguous_out_[k])
                              : operand_plan_[k].feed != Feed::load || operand_plan_[k].spread;
  }

  /// The code of chains. Where the step behind one makes codes of its result by one scale, they are one.
  void write_chains() {
    auto* code = reinterpret_cast<ChainCode*>(code_.data());
    const std::size_t steps = program_.steps_.size();
    for (std::size_t i = 0; i < steps; ++i) chain_[i] = nullptr, joined_[i] = false;
    for (std::size_t i = 0; i < steps; ++i) {
      const auto& step = program_.steps_[i];
      bool ends = step.chain >= 0 && i + 1 < steps && program_.steps_[i + 1].ends_chain;
      for (int a = 1; a < kMaxArity && ends; ++a) ends = single_[program_.steps_[i + 1].in[a]];
      ends = ends && block_wanted(program_.chain_of(step), single_) < 0;
      if (step.kind != StepKind::chain && !ends) continue;
      const auto& last = program_.steps_[i + (ends ? 1 : 0)];
      const DType type = program_.registers_[static_cast<std::size_t>(last.out)].dtype;
      chain_[i] = code;
      joined_[i + 1] = ends;
      code += write_code(program_.chain_of(step), single_, scalar_,
                         {last.out, ends ? last.in + 1 : nullptr, type}, code);
    }
  }

  /// A map or a chain over `elements`, a whole multiple.
  void apply(std::size_t i, char** reg, std::int64_t elements) const {
    const auto& step = program_.steps_[i];
    if (chain_[i] != nullptr)
      kernels_.chains[program_.chain_of(step).wide ? 1 : 0](
          {chain_[i], reg, elements, program_.first_kept_, program_.slots_});
    else if (!joined_[i])
      kernel_[i](reg[step.out], reg[step.in[0]], reg[step.in[1]], reg[step.in[2]], reg[step.in[3]], elements);
  }

  /// Where all steps that read a value per row have kernels for that, full tiles need not spread it.
  void choose_rows_kernels() {
    by_rows_ = t1_ > 1 && t0_ == n0_ && t0_ % kRowMultiple == 0 && !across_ && !program_.has_rows_;
    for (int r = 0; r < program_.registers(); ++r) row_value_[r] = false;
    bool any = false;
    for (int k = program_.outputs(); k < count(); ++k) {
      const OperandPlan& p = operand_plan_[k];
      if (!p.spread || p.feed != Feed::load) continue;
      row_value_[p.reg] = any = true;
      row_stride_[p.reg] = plan_.stride[k][1];
    }
    by_rows_ &= any;
    for (std::size_t i = 0; i < program_.steps_.size() && by_rows_; ++i) {
      const auto& step = program_.steps_[i];
      rows_kernel_[i] = nullptr;
      if (step.kind == StepKind::chain) {
        for (const Chain::Item& item : program_.chain_of(step).items)
          by_rows_ &= item.value < 0 || !row_value_[item.reg];
        continue;
      }
      bool reads = false, others = true;
      for (int a = 0; a < step.arity; ++a) reads |= row_value_[step.in[a]];
      for (int a = 1; a < step.arity; ++a) others &= row_value_[step.in[a]] || single_[step.in[a]];
      if (!reads) continue;
      rows_kernel_[i] = kernels_.rows[step.kernel].by_rows;
      by_rows_ = others && !row_value_[step.in[0]] && !single_[step.in[0]] && rows_kernel_[i] != nullptr;
    }
    for (const int reg : program_.output_register_) by_rows_ &= !row_value_[reg];
  }

  void run_tiles(std::int64_t first, std::int64_t last) {
    // Registers of this thread, one after another.
    const int registers = program_.registers();
    std::int64_t offset[kMaxRegisters], total = 0;
    for (int r = 0; r < registers; ++r) {
      const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
      offset[r] = total;
      const std::int64_t elements = single_[r] ? 0 : spec.row ? rows_block_ : block_;
      const std::int64_t bytes = spec.kept ? static_cast<std::int64_t>(kChainGroup)
                                           : elements * static_cast<std::int64_t>(item_size(spec.dtype));
      total += stream_ ? Streamed::room(bytes) : round_up(bytes, kCacheLine);
    }
    ScratchFrame frame(static_cast<std::size_t>(total));
    char* own[kMaxRegisters];
    char* reg[kMaxRegisters];
    for (int r = 0; r < registers; ++r) {
      own[r] = reg[r] = frame.data() + offset[r];
      if (scalar_[r] == nullptr) continue;
      const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
      if (single_[r])
        reg[r] = const_cast<char*>(static_cast<const char*>(scalar_[r]));  // inputs of kernels are read only
      else
        kernels_.move.fill[log2_size(spec.dtype)](own[r], scalar_[r], spec.row ? rows_block_ : block_);
    }
    for (int k = program_.outputs(); k < count(); ++k) {
      const OperandPlan& p = operand_plan_[k];
      if (p.feed == Feed::once && scalar_[p.reg] == nullptr) load(k, plan_.data[k], own[p.reg], t1_, t0_);
    }

    // Taking turns between lines, so that a scale per column is read from L1 for several of them, was tried
    // with 4, 16 and 64 lines: 25 GB/s instead of 30; memory wants its lines in order.
    char* start[kMaxOperands];  // of each operand, in the current line of tiles
    std::int64_t i0 = first % tiles0_, line = first / tiles0_, rows = locate(line, start);
    for (std::int64_t tile = first; tile < last;) {
      if (i0 == tiles0_) {
        i0 = 0;
        rows = locate(++line, start);
      }
      std::int64_t done = 1;
      const std::int64_t full = steady_ && rows == t1_ ? steady_tiles(i0, line, last - tile) : 0;
      if (full > 0) {
        run_steady(own, reg, start, i0, full);
        done = full;
      } else {
        run_tile(own, reg, start, i0, rows);
      }
      tile += done;
      i0 += done;
      if (down()) {
        line += done - 1;
        i0 = tiles0_;
      }
    }
#if defined(__x86_64__)
    if (stream_) _mm_sfence();  // streamed stores become visible before the task counts as done
#endif
  }

  /// Of the next tiles, how many are full ones of the same line, or `down` of the same column of lines.
  std::int64_t steady_tiles(std::int64_t i0, std::int64_t line, std::int64_t left) const {
    const std::int64_t at = down() ? line % tiles1_ : i0;
    return std::min(at + left, down() ? n1_ / t1_ : n0_ / t0_) - at;
  }

  void run_tile(char* const* own, char** reg, char* const* start, std::int64_t i0, std::int64_t rows) {
    const std::int64_t cols = std::min(t0_, n0_ - i0 * t0_);
    // Kernels work on whole multiples: a ragged tile never touches the operands' memory itself.
    const bool whole = rows * cols % kBlockMultiple == 0;
    for (int k = program_.outputs(); k < count(); ++k) {
      const OperandPlan& p = operand_plan_[k];
      char* at = start[k] + i0 * p.step;
      if (p.row_reg >= 0) load_rows(k, at, own[p.row_reg], rows);
      if (p.feed == Feed::pointer || (p.feed == Feed::direct && whole)) {
        reg[p.reg] = at;
      } else if (p.feed != Feed::once) {
        reg[p.reg] = own[p.reg];
        load(k, at, own[p.reg], rows, cols);
      }
    }
    for (int k = 0; k < program_.outputs(); ++k) {
      const OperandPlan& p = operand_plan_[k];
      if (p.direct) reg[p.reg] = whole ? start[k] + i0 * p.step : own[p.reg];
    }
    run_steps(reg, rows, cols);
    for (int k = 0; k < program_.outputs(); ++k) {
      const OperandPlan& p = operand_plan_[k];
      if (!(p.direct && whole)) store(k, start[k] + i0 * p.step, reg[p.reg], rows, cols);
    }
  }

  /// Full tiles one after another, where no input needs a block of its own but to spread a value over each
  /// row: from one tile to the next only pointers move. (A tile of 512 floats comes from memory in 300
  /// cycles: what `run_tile` decides for each was up to a quarter of that.)
  void run_steady(char* const* own, char** reg, char* const* start, std::int64_t i0,
                  std::int64_t tiles) const {
    struct Moving {
      char** at;
      std::int64_t step, ahead;
    };
    struct Apart {  // what is streamed tile by tile
      char* to;
      char* const* block;
      std::int64_t bytes, step;
    };
    struct InLines {  // what goes on where the tile before ended
      Streamed stream;
      char** block;
      std::int64_t bytes;
      int reg;
    };
    struct Spread {
      char* block;
      const char* from;
      std::int64_t stride, step;
      int log2;
    };
    Moving moving[kMaxOperands];
    Apart apart[kMaxOperands];
    InLines in_lines[kMaxOperands];
    Spread spread[kMaxOperands];
    int moves = 0, aparts = 0, lines = 0, spreads = 0;
    const std::int64_t elements = t0_ * t1_;
    for (int k = 0; k < count(); ++k) {
      const OperandPlan& p = operand_plan_[k];
      char* at = start[k] + i0 * p.step;
      if (is_output(k) && !p.direct && in_lines_[k] && p.step == elements << p.log2) {
        InLines& output = in_lines[lines++];
        output = {{at, own[p.reg], kernels_.move.stream}, &reg[p.reg], p.step, p.reg};
        reg[p.reg] = output.stream.next();
      } else if (is_output(k) && !p.direct) {
        apart[aparts++] = {at, &reg[p.reg], elements << p.log2, p.step};
      } else if (!is_output(k) && p.feed == Feed::load && by_rows_) {
        reg[p.reg] = at;
        moving[moves++] = {&reg[p.reg], p.step, p.ahead};
      } else if (!is_output(k) && p.feed == Feed::load) {
        reg[p.reg] = own[p.reg];
        spread[spreads++] = {own[p.reg], at, plan_.stride[k][1], p.step, p.log2};
      } else if (is_output(k) || p.feed != Feed::once) {
        reg[p.reg] = at;
        if (p.step != 0) moving[moves++] = {&reg[p.reg], p.step, p.ahead};
      }
    }
    const std::size_t steps = program_.steps_.size();
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (int k = 0; k < moves; ++k) {
        if (moving[k].ahead == 0) continue;
        const char* const next = *moving[k].at + moving[k].ahead;
        for (std::int64_t byte = 0; byte < moving[k].step; byte += kCacheLine)
          __builtin_prefetch(next + byte, 0, 2);
      }
      for (int k = 0; k < spreads; ++k) {
        kernels_.move.spread[spread[k].log2](spread[k].block, spread[k].from, spread[k].stride, t1_, t0_);
        spread[k].from += spread[k].step;
      }
      for (std::size_t i = 0; i < steps; ++i) {
        const auto& step = program_.steps_[i];
        if (by_rows_ && rows_kernel_[i] != nullptr) {
          const void* values[kMaxArity];
          std::int64_t strides[kMaxArity];
          for (int a = 1; a < step.arity; ++a) {
            values[a - 1] = reg[step.in[a]];
            strides[a - 1] = row_value_[step.in[a]] ? row_stride_[step.in[a]] : 0;
          }
          rows_kernel_[i](reg[step.out], reg[step.in[0]], values, strides, t1_, t0_);
          continue;
        }
        apply(i, reg, elements);
      }
      for (int k = 0; k < lines; ++k) {
        in_lines[k].stream.put(in_lines[k].bytes);
        *in_lines[k].block = in_lines[k].stream.next();
      }
      for (int k = 0; k < aparts; ++k) {
        kernels_.move.stream(apart[k].to, *apart[k].block, apart[k].bytes);
        apart[k].to += apart[k].step;
      }
      for (int k = 0; k < moves; ++k) *moving[k].at += moving[k].step;
    }
    for (int k = 0; k < lines; ++k) {
      in_lines[k].stream.finish();
      *in_lines[k].block = own[in_lines[k].reg];
    }
  }

  /// Where the operands are at the beginning of a line of tiles, and how many rows its tiles have.
  std::int64_t locate(std::int64_t line, char** start) const {
    const std::int64_t i1 = line % tiles1_;
    std::int64_t rest = line / tiles1_;
    for (int k = 0; k < count(); ++k)
      start[k] = plan_.data[k] + (plan_.axes > 1 ? i1 * t1_ * plan_.stride[k][1] : 0);
    for (int axis = 2; axis < plan_.axes; ++axis) {
      const std::int64_t index = rest % plan_.extent[axis];
      rest /= plan_.extent[axis];
      for (int k = 0; k < count(); ++k) start[k] += index * plan_.stride[k][axis];
    }
    return std::min(t1_, n1_ - i1 * t1_);
  }

  void run_steps(char** reg, std::int64_t rows, std::int64_t cols) {
    const std::size_t steps = program_.steps_.size();
    for (std::size_t i = 0; i < steps; ++i) {
      const auto& step = program_.steps_[i];
      if (step.is_map() && across_ && !step.row) {
        std::size_t end = i + 1;
        while (end < steps && program_.steps_[end].is_map() && !program_.steps_[end].row) ++end;
        run_lines(reg, i, end, rows, cols);
        i = end - 1;
      } else if (step.is_map()) {
        apply(i, reg, round_up(step.row ? rows : rows * cols, kBlockMultiple));
      } else if (step.kind == StepKind::reduce) {
        const DType type = program_.registers_[static_cast<std::size_t>(step.out)].dtype;
        if (across_)
          reduce_columns(step.reduction, type, reg[step.in[0]], cols, rows, reg[step.out]);
        else
          reduce_rows(tier_, step.reduction, type, reg[step.in[0]], rows, cols, reg[step.out]);
      } else {
        expand(reg[step.out], reg[step.in[0]], program_.registers_[static_cast<std::size_t>(step.out)], rows,
               cols);
      }
    }
  }

  /// Row values beside each element of their row; across memory, for as many lines as steps take at a time.
  void expand(char* to, const char* from, const Program::RegisterSpec& spec, std::int64_t rows,
              std::int64_t cols) const {
    const auto size = static_cast<std::int64_t>(item_size(spec.dtype));
    if (across_) {
      const std::int64_t lines = spec.expanded ? std::min(cols, lines_at_once(rows)) : cols;
      for (std::int64_t c = 0; c < lines; ++c)
        std::memcpy(to + c * rows * size, from, static_cast<std::size_t>(rows * size));
    } else {
      const auto fill = kernels_.move.fill[log2_size(spec.dtype)];
      for (std::int64_t r = 0; r < rows; ++r) fill(to + r * cols * size, from + r * size, cols);
    }
  }

  /// Lines of an across block that make whole multiples for kernels, and stay in L1 from step to step.
  static std::int64_t lines_at_once(std::int64_t rows) {
    const std::int64_t whole = kBlockMultiple / std::gcd(rows, kBlockMultiple);
    return whole * std::max<std::int64_t>(1, kStreamTile / (whole * rows));
  }

  /// Steps over full values of an across block, some lines at a time.
  void run_lines(char* const* reg, std::size_t first, std::size_t end, std::int64_t rows,
                 std::int64_t cols) const {
    const std::int64_t lines = lines_at_once(rows);
    for (std::int64_t line = 0; line < cols; line += lines) {
      const std::int64_t count = round_up(std::min(lines, cols - line) * rows, kBlockMultiple);
      char* at[kMaxRegisters];
      for (int r = 0; r < program_.registers(); ++r) {
        const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
        const bool moves = !single_[r] && !spec.expanded && !spec.kept && !spec.row;
        at[r] = reg[r] + (moves ? line * rows * static_cast<std::int64_t>(item_size(spec.dtype)) : 0);
      }
      for (std::size_t i = first; i < end; ++i) apply(i, at, count);
    }
  }

  /// The strides of an operand along a block, and from one line of a block to the next.
  struct BlockStrides {
    std::int64_t along, between;
  };
  BlockStrides block_strides(int k) const {
    const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0,
                       s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
    return across_ ? BlockStrides{s1, s0} : BlockStrides{s0, s1};
  }

  void load(int k, const char* from, char* block, std::int64_t rows, std::int64_t cols) const {
    const OperandPlan& p = operand_plan_[k];
    const std::int64_t size = std::int64_t{1} << p.log2;
    const auto [s0, s1] = block_strides(k);
    if (across_) std::swap(rows, cols);
    if (s0 == 0 && (s1 == 0 || rows == 1)) {
      kernels_.move.fill[p.log2](block, from, rows * cols);
    } else if (s0 == size && (rows == 1 || s1 == cols * size)) {
      std::memcpy(block, from, static_cast<std::size_t>(rows * cols * size));
    } else if (s0 == 0) {
      kernels_.move.spread[p.log2](block, from, s1, rows, cols);
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        char* to = block + r * cols * size;
        if (s0 == size) {
          std::memcpy(to, from + r * s1, static_cast<std::size_t>(cols * size));
        } else {
          kernels_.move.load[p.log2](to, from + r * s1, s0, cols);
        }
      }
    }
    if (p.swapped) kernels_.move.swap[p.log2](block, rows * cols);
  }

  /// One value per row: where the trailing axis begins.
  void load_rows(int k, const char* from, char* block, std::int64_t rows) const {
    const OperandPlan& p = operand_plan_[k];
    kernels_.move.load[p.log2](block, from, plan_.axes > 1 ? plan_.stride[k][1] : 0, rows);
    if (p.swapped) kernels_.move.swap[p.log2](block, rows);
  }

  void store(int k, char* to, const char* block, std::int64_t rows, std::int64_t cols) const {
    const OperandPlan& p = operand_plan_[k];
    const std::int64_t elements = p.row ? rows : rows * cols;
    if (!p.swapped) {
      store_native(k, to, block, rows, cols);
      return;
    }
    // The register may be an input's own memory, which is not ours to swap.
    ScratchFrame copy(static_cast<std::size_t>(elements << p.log2));
    std::memcpy(copy.data(), block, static_cast<std::size_t>(elements << p.log2));
    kernels_.move.swap[p.log2](copy.data(), elements);
    store_native(k, to, copy.data(), rows, cols);
  }

  void store_native(int k, char* to, const char* block, std::int64_t rows, std::int64_t cols) const {
    const OperandPlan& p = operand_plan_[k];
    const std::int64_t size = std::int64_t{1} << p.log2;
    if (p.row) {
      kernels_.move.store[p.log2](to, plan_.axes > 1 ? plan_.stride[k][1] : 0, block, rows);
    } else if (contiguous_out_[k]) {
      const std::int64_t bytes = rows * cols * size;
      if (stream_)
        kernels_.move.stream(to, block, bytes);
      else
        std::memcpy(to, block, static_cast<std::size_t>(bytes));
    } else {
      const auto [along, between] = block_strides(k);
      if (across_) std::swap(rows, cols);
      for (std::int64_t r = 0; r < rows; ++r) {
        if (along == size && stream_)
          kernels_.move.stream(to + r * between, block + r * cols * size, cols * size);
        else if (along == size)
          std::memcpy(to + r * between, block + r * cols * size, static_cast<std::size_t>(cols * size));
        else
          kernels_.move.store[p.log2](to + r * between, along, block + r * cols * size, cols);
      }
    }
  }

  const Program& program_;
  std::span<const ProgramOperand> operands_;
  const ProgramKernels& kernels_;
  Tier tier_;
  LoopPlan plan_;
  OperandPlan operand_plan_[kMaxOperands];
  bool contiguous_out_[kMaxOperands];
  bool in_lines_[kMaxOperands];        // an output streamed from a block that nothing else uses
  const void* scalar_[kMaxRegisters];  // where a register holds one value for the whole run: that value
  bool single_[kMaxRegisters];         // its kernels take it as a single value
  BlockKernel kernel_[kMaxSteps];
  RowsKernel rows_kernel_[kMaxSteps];
  const ChainCode* chain_[kMaxSteps];  // of a step that is run as a chain, or null
  bool joined_[kMaxSteps + 1];         // it is part of the chain before it
  ScratchFrame code_;
  bool row_value_[kMaxRegisters];  // an input with a value for each row of a tile
  std::int64_t row_stride_[kMaxRegisters];
  bool stream_ = false;
  bool across_ = false;   // a block holds the first elements of its rows, then their second ones...
  bool by_rows_ = false;  // full tiles read those values where they are
  bool steady_ = false;   // full tiles need no block of an input
  std::int64_t n0_ = 1, n1_ = 1, t0_ = 1, t1_ = 1, tiles0_ = 1, tiles1_ = 1, outer_ = 1, block_ = 64,
               rows_block_ = 64;
};

void Program::run(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const {
  std::int64_t size = 1;
  for (int axis = 0; axis < axes; ++axis) size *= shape[axis];
  if (size <= kWhole && run_whole(axes, shape, operands)) return;
  ProgramRun(*this, axes, shape, operands).run();
}

void Program::run_here(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const {
  if (!run_whole(axes, shape, operands)) ProgramRun(*this, axes, shape, operands).run();
}

}  // namespace ufuse
