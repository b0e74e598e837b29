// Running a program: the loop is cut into tiles, a tile is loaded into registers, the steps run over it,
// and the results are stored.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/scratch.hpp"
#include "core/threads.hpp"
#include "program/program.hpp"
#include "program/row_reduction.hpp"

namespace ufuse {
namespace {

// All full registers of a tile together: leaves room in a 32 KiB L1 for the lines being read.
constexpr std::int64_t kTileBytes = 24 << 10;
constexpr std::int64_t kMaxTile = 4096;

int log2_size(DType dtype) {
  switch (item_size(dtype)) {
    case 1: return 0;
    case 2: return 1;
    case 4: return 2;
    default: return 3;
  }
}

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Results of a run that together exceed half the last-level cache are stored past it: nobody will find
// them there, and a plain store reads each line before it writes it.
std::int64_t streaming_threshold() {
  static const std::int64_t bytes = [] {
    std::int64_t cache = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return std::max<std::int64_t>(cache / 2, 4 << 20);
  }();
  return bytes;
}

}  // namespace

/// One call's plan, shared by its threads.
class ProgramRun {
 public:
  ProgramRun(const Program& program, int axes, const std::int64_t* shape,
             std::span<const ProgramOperand> operands)
      : program_(program), operands_(operands), kernels_(program_kernels(active_tier())), tier_(active_tier()) {
    StridedOperand strided[kMaxOperands];
    for (std::size_t k = 0; k < operands.size(); ++k) strided[k] = {operands[k].data, operands[k].strides};
    plan_loop(plan_, axes, shape, static_cast<int>(operands.size()), strided, program.has_rows_ && axes > 0);
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
  struct OperandPlan {
    int reg;
    int log2;
    bool swapped;
    bool row;
    bool direct;     // where a tile is contiguous, the register is the operand's own memory
    bool invariant;  // the same for every tile: loaded once
  };

  int count() const { return static_cast<int>(operands_.size()); }
  bool is_output(int k) const { return k < program_.outputs(); }
  DType dtype(int k) const {
    return is_output(k) ? program_.output_dtype(k) : program_.input_dtype(k - program_.outputs());
  }

  void choose_tile() {
    n0_ = plan_.axes > 0 ? plan_.extent[0] : 1;
    const std::int64_t room =
        std::clamp<std::int64_t>(kTileBytes / std::max(1, program_.row_bytes_) / kBlockMultiple * kBlockMultiple,
                                 kBlockMultiple, kMaxTile);
    bool crossed = false;
    if (!program_.has_rows_) crossed = bring_crossed_axis_next();
    n1_ = plan_.axes > 1 ? plan_.extent[1] : 1;
    if (program_.has_rows_) {
      t0_ = n0_;
      t1_ = std::clamp<std::int64_t>(room / std::max<std::int64_t>(1, n0_), 1, std::max<std::int64_t>(1, n1_));
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
    std::int64_t traffic = 0;
    for (int k = 0; k < count(); ++k) {
      OperandPlan& p = operand_plan_[k];
      const int value = is_output(k) ? program_.outputs_[static_cast<std::size_t>(k)] : k - program_.outputs();
      p.reg = program_.register_of_[static_cast<std::size_t>(value)];
      p.row = program_.registers_[static_cast<std::size_t>(p.reg)].row;
      p.log2 = log2_size(dtype(k));
      p.swapped = operands_[static_cast<std::size_t>(k)].swapped;
      const std::int64_t size = std::int64_t{1} << p.log2;
      const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0, s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
      if (s0 != 0) traffic += plan_.size << p.log2;
      p.direct = !p.swapped && !p.row && (s0 == size || n0_ == 1) && (t1_ == 1 || (t0_ == n0_ && s1 == n0_ * size));
      p.invariant = !is_output(k) && t0_ == n0_;
      for (int axis = 1; axis < plan_.axes; ++axis) p.invariant &= plan_.stride[k][axis] == 0;
    }
    stream_ = traffic > streaming_threshold();
    for (int k = 0; k < program_.outputs(); ++k) {
      // Stores wait for the end of the tile where later steps may still read an input from that memory,
      // where the value is read from a register that is not its own, or where they go past the cache.
      const int value = program_.outputs_[static_cast<std::size_t>(k)];
      bool own = value >= static_cast<int>(program_.inputs_.size()) && !stream_ && is_instruction(value);
      for (int j = 0; j < count(); ++j)
        if (j != k && (operands_[static_cast<std::size_t>(j)].data == operands_[static_cast<std::size_t>(k)].data ||
                       (j < program_.outputs() && operand_plan_[j].reg == operand_plan_[k].reg)))
          own = false;
      operand_plan_[k].direct = operand_plan_[k].direct && own;
      contiguous_out_[k] = !operand_plan_[k].swapped && !operand_plan_[k].row && plan_.axes > 0 &&
                           plan_.stride[k][0] == (std::int64_t{1} << operand_plan_[k].log2) &&
                           (t1_ == 1 || (t0_ == n0_ && plan_.stride[k][1] == n0_ << operand_plan_[k].log2));
    }
  }

  bool is_instruction(int value) const {
    const int reg = program_.register_of_[static_cast<std::size_t>(value)];
    for (const auto& fill : program_.constants_)
      if (fill.reg == reg) return false;
    return true;
  }

  /// Constants and operands with one element stay single values; only where a step has no kernel for that
  /// are they copied into a block.
  void prepare_steps() {
    const int registers = program_.registers();
    for (int r = 0; r < registers; ++r) scalar_[r] = nullptr;
    for (const auto& fill : program_.constants_) scalar_[fill.reg] = fill.value.bytes;
    for (int k = program_.outputs(); k < count(); ++k) {
      bool single = !operand_plan_[k].swapped;
      for (int axis = 0; axis < plan_.axes; ++axis) single &= plan_.stride[k][axis] == 0;
      if (single && plan_.size > 0) scalar_[operand_plan_[k].reg] = plan_.data[k];
    }
    for (int r = 0; r < registers; ++r) block_wanted_[r] = scalar_[r] == nullptr;
    for (int k = 0; k < program_.outputs(); ++k) block_wanted_[operand_plan_[k].reg] = true;
    for (std::size_t i = 0; i < program_.steps_.size(); ++i) {
      const auto& step = program_.steps_[i];
      if (step.kind != StepKind::map) {
        block_wanted_[step.in[0]] = true;
        continue;
      }
      const KernelRow& row = Program::row_of(kernels_, step);
      ScalarMask mask = 0;
      for (int a = 0; a < row.arity; ++a) mask |= (scalar_[step.in[a]] != nullptr ? 1U : 0U) << a;
      if (row.kernel[mask] == nullptr) {
        for (int a = 0; a < row.arity; ++a) block_wanted_[step.in[a]] = true;
        mask = 0;
      }
      kernel_[i] = row.kernel[mask];
      mask_[i] = static_cast<std::uint8_t>(mask);
    }
  }

  void run_tiles(std::int64_t first, std::int64_t last) {
    // Registers of this thread, one after another.
    std::int64_t offset[kMaxRegisters], total = 0;
    const int registers = program_.registers();
    for (int r = 0; r < registers; ++r) {
      const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
      offset[r] = total;
      if (block_wanted_[r]) total += round_up((spec.row ? rows_block_ : block_) * static_cast<std::int64_t>(item_size(spec.dtype)), 64);
    }
    ScratchFrame frame(static_cast<std::size_t>(total));
    char* own[kMaxRegisters];
    char* reg[kMaxRegisters];
    for (int r = 0; r < registers; ++r) own[r] = reg[r] = frame.data() + offset[r];

    for (int r = 0; r < registers; ++r) {
      const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
      if (scalar_[r] != nullptr && block_wanted_[r])
        kernels_.move.fill[log2_size(spec.dtype)](own[r], scalar_[r], spec.row ? rows_block_ : block_);
    }
    for (int k = program_.outputs(); k < count(); ++k)
      if (operand_plan_[k].invariant && scalar_[operand_plan_[k].reg] == nullptr)
        load(k, plan_.data[k], own[operand_plan_[k].reg], t1_, t0_);
    const auto row_register = [&](int k) {
      return program_.row_register_of_[static_cast<std::size_t>(k - program_.outputs())];
    };

    for (std::int64_t tile = first; tile < last; ++tile) {
      std::int64_t rest = tile;
      const std::int64_t i0 = rest % tiles0_;
      rest /= tiles0_;
      const std::int64_t i1 = rest % tiles1_;
      rest /= tiles1_;
      const std::int64_t cols = std::min(t0_, n0_ - i0 * t0_), rows = std::min(t1_, n1_ - i1 * t1_);
      const std::int64_t elements = rows * cols;
      char* at[kMaxOperands];
      for (int k = 0; k < count(); ++k)
        at[k] = plan_.data[k] + (plan_.axes > 0 ? i0 * t0_ * plan_.stride[k][0] : 0) +
                (plan_.axes > 1 ? i1 * t1_ * plan_.stride[k][1] : 0);
      for (int axis = 2; axis < plan_.axes; ++axis) {
        const std::int64_t index = rest % plan_.extent[axis];
        rest /= plan_.extent[axis];
        for (int k = 0; k < count(); ++k) at[k] += index * plan_.stride[k][axis];
      }
      // Kernels work on whole multiples: a ragged tile never touches the operands' memory itself.
      const bool whole = elements % kBlockMultiple == 0;
      for (int k = program_.outputs(); k < count(); ++k) {
        const OperandPlan& p = operand_plan_[k];
        if (row_register(k) >= 0) load_rows(k, at[k], own[row_register(k)], rows);
        if (p.invariant || scalar_[p.reg] != nullptr) continue;
        if (p.direct && whole) {
          reg[p.reg] = at[k];
        } else {
          reg[p.reg] = own[p.reg];
          load(k, at[k], own[p.reg], rows, cols);
        }
      }
      for (int k = 0; k < program_.outputs(); ++k) {
        const OperandPlan& p = operand_plan_[k];
        if (p.direct) reg[p.reg] = whole ? at[k] : own[p.reg];
      }
      run_steps(reg, rows, cols);
      for (int k = 0; k < program_.outputs(); ++k)
        if (!(operand_plan_[k].direct && whole)) store(k, at[k], reg[operand_plan_[k].reg], rows, cols);
    }
#if defined(__x86_64__)
    if (stream_) _mm_sfence();  // streamed stores become visible before the task counts as done
#endif
  }

  void run_steps(char* const* reg, std::int64_t rows, std::int64_t cols) {
    const std::int64_t full = round_up(rows * cols, kBlockMultiple), per_row = round_up(rows, kBlockMultiple);
    for (std::size_t i = 0; i < program_.steps_.size(); ++i) {
      const auto& step = program_.steps_[i];
      if (step.kind == StepKind::map) {
        const void* in[kMaxArity];
        for (int a = 0; a < kMaxArity; ++a) in[a] = mask_[i] >> a & 1 ? scalar_[step.in[a]] : reg[step.in[a]];
        kernel_[i](reg[step.out], in[0], in[1], in[2], step.row ? per_row : full);
        continue;
      }
      const DType type = program_.registers_[static_cast<std::size_t>(step.out)].dtype;
      const auto size = static_cast<std::int64_t>(item_size(type));
      if (step.kind == StepKind::reduce) {
        reduce_rows(tier_, step.reduction, type, reg[step.in[0]], rows, cols, reg[step.out]);
      } else {
        const auto fill = kernels_.move.fill[log2_size(type)];
        for (std::int64_t r = 0; r < rows; ++r)
          fill(reg[step.out] + r * cols * size, reg[step.in[0]] + r * size, cols);
      }
    }
  }

  void load(int k, const char* from, char* block, std::int64_t rows, std::int64_t cols) const {
    const OperandPlan& p = operand_plan_[k];
    const std::int64_t size = std::int64_t{1} << p.log2;
    const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0, s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
    if (s0 == 0 && (s1 == 0 || rows == 1)) {
      kernels_.move.fill[p.log2](block, from, rows * cols);
    } else if (s0 == size && (rows == 1 || s1 == cols * size)) {
      std::memcpy(block, from, static_cast<std::size_t>(rows * cols * size));
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        char* to = block + r * cols * size;
        if (s0 == size) {
          std::memcpy(to, from + r * s1, static_cast<std::size_t>(cols * size));
        } else if (s0 == 0) {
          kernels_.move.fill[p.log2](to, from + r * s1, cols);
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

  void store(int k, char* to, char* block, std::int64_t rows, std::int64_t cols) const {
    const OperandPlan& p = operand_plan_[k];
    const std::int64_t size = std::int64_t{1} << p.log2;
    const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0, s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
    if (p.swapped) {  // the register may be an input's: swap a copy in place and back
      kernels_.move.swap[p.log2](block, p.row ? rows : rows * cols);
    }
    if (p.row) {
      kernels_.move.store[p.log2](to, s1, block, rows);
    } else if (contiguous_out_[k]) {
      const std::int64_t bytes = rows * cols * size;
      if (stream_)
        kernels_.move.stream(to, block, bytes);
      else
        std::memcpy(to, block, static_cast<std::size_t>(bytes));
    } else {
      for (std::int64_t r = 0; r < rows; ++r) kernels_.move.store[p.log2](to + r * s1, s0, block + r * cols * size, cols);
    }
    if (p.swapped) kernels_.move.swap[p.log2](block, p.row ? rows : rows * cols);
  }

  const Program& program_;
  std::span<const ProgramOperand> operands_;
  const ProgramKernels& kernels_;
  Tier tier_;
  LoopPlan plan_;
  OperandPlan operand_plan_[kMaxOperands];
  bool contiguous_out_[kMaxOperands];
  const void* scalar_[kMaxRegisters];  // where a register is a single value: that value
  bool block_wanted_[kMaxRegisters];
  BlockKernel kernel_[kMaxSteps];
  std::uint8_t mask_[kMaxSteps];  // operands the step's kernel takes as single values
  bool stream_ = false;
  std::int64_t n0_ = 1, n1_ = 1, t0_ = 1, t1_ = 1, tiles0_ = 1, tiles1_ = 1, outer_ = 1, block_ = 64, rows_block_ = 64;
};

void Program::run(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const {
  ProgramRun(*this, axes, shape, operands).run();
}

}  // namespace ufuse
