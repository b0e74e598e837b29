// Tiles of a program, one at a time: shared out to threads, loaded, run through the steps, stored.
#include "program/run.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/cache.hpp"
#include "core/streamed.hpp"
#include "core/threads.hpp"
#include "program/row_reduction.hpp"

namespace ufuse {

void ProgramRun::run() {
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

void ProgramRun::run_tiles(std::int64_t first, std::int64_t last) {
  // Registers of this thread, one after another.
  const int registers = program_.registers();
  std::int64_t offset[kMaxRegisters], total = 0;
  for (int r = 0; r < registers; ++r) {
    const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
    offset[r] = total;
    const std::int64_t elements = spec.row || (single_[r] && one_by_one_) ? rows_block_
                                  : single_[r]                            ? 0
                                                                          : block_;
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
    if (p.feed != Feed::once || scalar_[p.reg] != nullptr) continue;
    const std::int64_t rows = one_by_one_ ? 1 : t1_;
    load(k, plan_.data[k], own[p.reg], rows, t0_);
    pad_rows(p.log2, own[p.reg], rows, t0_);
  }

  StreamedCopy lines[kMostLines];

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
      run_tile(own, reg, start, i0, rows, lines);
    }
    tile += done;
    i0 += done;
    if (down()) {
      line += done - 1;
      i0 = tiles0_;
    }
  }
  for (StreamedCopy& one : lines) one.finish();
#if defined(__x86_64__)
  if (stream_) _mm_sfence();  // streamed stores become visible before the task counts as done
#endif
}

void ProgramRun::run_tile(char* const* own, char** reg, char* const* start, std::int64_t i0,
                          std::int64_t rows, StreamedCopy* lines) {
  const std::int64_t cols = std::min(t0_, n0_ - i0 * t0_);
  // Kernels work on whole multiples: a ragged tile never touches the operands' memory itself.
  const bool whole = rows * cols % kBlockMultiple == 0;
  for (int k = program_.outputs(); k < count(); ++k) {
    const OperandPlan& p = operand_plan_[k];
    char* at = start[k] + i0 * p.step;
    if (p.row_reg >= 0) {
      load_rows(k, at, own[p.row_reg], rows);
      pad(p.log2, own[p.row_reg], rows);
    }
    if (p.feed == Feed::pointer || (p.feed == Feed::direct && whole)) {
      reg[p.reg] = at;
    } else if (p.feed != Feed::once) {
      reg[p.reg] = own[p.reg];
      load(k, at, own[p.reg], rows, cols);
      pad_rows(p.log2, own[p.reg], rows, cols);
    }
  }
  for (int k = 0; k < program_.outputs(); ++k) {
    const OperandPlan& p = operand_plan_[k];
    if (p.direct) reg[p.reg] = whole ? start[k] + i0 * p.step : own[p.reg];
  }
  char* at[kMaxOperands];
  for (int k = 0; k < program_.outputs(); ++k) at[k] = start[k] + i0 * operand_plan_[k].step;
  run_steps(reg, rows, cols, {lines, at});
  for (int k = 0; k < program_.outputs(); ++k) {
    const OperandPlan& p = operand_plan_[k];
    if (!(p.direct && whole) && !by_step_[k]) store(k, at[k], reg[p.reg], rows, cols);
  }
}

std::int64_t ProgramRun::locate(std::int64_t line, char** start) const {
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

void ProgramRun::run_steps(char** reg, std::int64_t rows, std::int64_t cols, const RowTile& tile) {
  const std::size_t steps = program_.steps_.size();
  for (std::size_t i = 0; i < steps; ++i) {
    const auto& step = program_.steps_[i];
    if (step.is_map() && across_ && !step.row) {
      std::size_t end = i + 1;
      while (end < steps && program_.steps_[end].is_map() && !program_.steps_[end].row) ++end;
      run_lines(reg, i, end, rows, cols);
      i = end - 1;
    } else if (step.is_map() && one_by_one_ && !step.row) {
      apply_by_row(i, reg, rows, cols, tile);
    } else if (step.is_map()) {
      apply(i, reg, round_up(step.row ? rows : rows * cols, kBlockMultiple));
    } else if (step.kind == StepKind::reduce) {
      const RowReduction& reduction = program_.reductions_[static_cast<std::size_t>(step.reduction)];
      if (across_)
        reduce_columns(reduction, reg[step.in[0]], cols, rows, reg[step.out]);
      else
        reduce_rows(tier_, reduction, reg[step.in[0]], rows, cols, reg[step.out]);
      pad(log2_size(reduction.result), reg[step.out], rows);
    } else if (single_[step.out]) {
      // Not read where it is: that register may hold another value before all have read this one.
      const DType dtype = program_.registers_[static_cast<std::size_t>(step.out)].dtype;
      std::memcpy(reg[step.out], reg[step.in[0]], static_cast<std::size_t>(rows) * item_size(dtype));
    } else {
      expand(reg[step.out], reg[step.in[0]], program_.registers_[static_cast<std::size_t>(step.out)], rows,
             cols);
    }
  }
}

void ProgramRun::expand(char* to, const char* from, const Program::RegisterSpec& spec, std::int64_t rows,
                        std::int64_t cols) const {
  const auto size = static_cast<std::int64_t>(item_size(spec.dtype));
  if (across_) {
    const std::int64_t lines = spec.expanded ? std::min(cols, lines_at_once(rows)) : cols;
    for (std::int64_t c = 0; c < lines; ++c)
      std::memcpy(to + c * rows * size, from, static_cast<std::size_t>(rows * size));
    if (lines == cols) pad(log2_size(spec.dtype), to, rows * cols);
  } else {
    const auto fill = kernels_.move.fill[log2_size(spec.dtype)];
    for (std::int64_t r = 0; r < rows; ++r) fill(to + r * cols * size, from + r * size, cols);
    pad(log2_size(spec.dtype), to, rows * cols);
  }
}

void ProgramRun::pad(int log2, char* block, std::int64_t elements) const {
  const std::int64_t rest = round_up(elements, kBlockMultiple) - elements;
  if (rest != 0 && elements != 0) kernels_.move.fill[log2](block + (elements << log2), block, rest);
}

void ProgramRun::pad_rows(int log2, char* block, std::int64_t rows, std::int64_t cols) const {
  if (!one_by_one_) return pad(log2, block, rows * cols);
  for (std::int64_t r = 0; r < rows; ++r) pad(log2, block + (r * pitch_ << log2), cols);
}

std::int64_t ProgramRun::lines_at_once(std::int64_t rows) {
  const std::int64_t whole = kBlockMultiple / std::gcd(rows, kBlockMultiple);
  return whole * std::max<std::int64_t>(1, kStreamTile / (whole * rows));
}

void ProgramRun::run_lines(char* const* reg, std::size_t first, std::size_t end, std::int64_t rows,
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

void Program::run(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands,
                  bool settled) const {
  std::int64_t size = 1;
  for (int axis = 0; axis < axes; ++axis) size *= shape[axis];
  if (size <= kWhole && run_whole(axes, shape, operands)) return;
  ProgramRun(*this, axes, shape, operands, settled).run();
}

void Program::run_here(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const {
  if (!run_whole(axes, shape, operands)) ProgramRun(*this, axes, shape, operands).run();
}

}  // namespace ufuse
