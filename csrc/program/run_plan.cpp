// What a run decides before it begins: whether results go past the caches, the tiles, how operands get into
// registers, and the kernels of the steps.
#include <algorithm>
#include <cstdlib>

#include "core/cache.hpp"
#include "program/run.hpp"
#include "reduce/kernels.hpp"

namespace ufuse {
namespace {

// All full registers of a tile together: leaves room in a 32 KiB L1 for the lines being read.
constexpr std::int64_t kTileBytes = 24 << 10;
constexpr std::int64_t kMaxTile = 4096;
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
// Of long rows a tile has a few: what a step costs besides its elements, and what it waits for the result of
// the one before, is shared by them. Layer norms of rows of 1024 float32 from memory, on two cores of a
// Granite Rapids: 16.9 GB/s with tiles of one row, 17.7 with two (64 KB), 16.7 with five, and 15.9 where the
// values of rows were spread over blocks first. Rows of 128 gain 6 % so, but a softmax of them loses as much.
constexpr std::int64_t kRowsBytes = 64 << 10;
constexpr std::int64_t kLongRow = 256;
// Rows that are no whole multiple of what kernels take are tiles by themselves from so many elements on.
constexpr std::int64_t kRowByItself = 1024;
// Rows as short as these are treated alike: a register holds their first elements, then their second...
constexpr std::int64_t kShortRow = 16;

}  // namespace

ProgramRun::ProgramRun(const Program& program, int axes, const std::int64_t* shape,
                       std::span<const ProgramOperand> operands, bool settled)
    : program_(program),
      operands_(operands),
      kernels_(program_kernels(active_tier())),
      tier_(active_tier()),
      settled_(settled) {
  StridedOperand strided[kMaxOperands];
  for (std::size_t k = 0; k < operands.size(); ++k) strided[k] = {operands[k].data, operands[k].strides};
  plan_loop(plan_, axes, shape, static_cast<int>(operands.size()), strided, program.has_rows_ && axes > 0);
  for (std::size_t k = 0; k < operands.size(); ++k) begin_[k] = plan_.data[k] - operands[k].data;
  decide_streaming();
  choose_tile();
  prepare_operands();
  if (const auto items = program.chain_items_ + 5 * static_cast<int>(program.chains_.size());
      items > kCodeHere)
    more_code_ = std::make_unique_for_overwrite<ChainCode[]>(static_cast<std::size_t>(items));
  prepare_steps();
}

void ProgramRun::move_to(char* const* data) {
  bool values = false;
  for (int k = 0; k < count(); ++k) {
    plan_.data[k] = data[k] + begin_[k];
    const int reg = operand_plan_[k].reg;
    if (is_output(k) || scalar_[reg] == nullptr) continue;
    scalar_[reg] = plan_.data[k];
    values = true;
  }
  if (values) write_chains();  // their code depends on the values
}

void ProgramRun::decide_streaming() {
  std::int64_t traffic = 0;
  for (int k = 0; k < count(); ++k) {
    bool broadcast = true;
    for (int axis = 0; axis < plan_.axes; ++axis) broadcast &= plan_.stride[k][axis] == 0;
    if (!broadcast) traffic += plan_.size * static_cast<std::int64_t>(item_size(dtype(k)));
  }
  stream_ = traffic > streaming_threshold();
}

void ProgramRun::choose_tile() {
  n0_ = plan_.axes > 0 ? plan_.extent[0] : 1;
  std::int64_t room = std::clamp<std::int64_t>(
      kTileBytes / std::max(1, program_.row_bytes_) / kBlockMultiple * kBlockMultiple, kBlockMultiple,
      kMaxTile);
  if (stream_) room = std::min(room, takes_long_in_few_steps() ? kLongStreamTile : kStreamTile);
  bool crossed = false;
  if (!program_.has_rows_) crossed = bring_crossed_axis_next();
  n1_ = plan_.axes > 1 ? plan_.extent[1] : 1;
  if (program_.has_rows_) {
    t0_ = n0_;
    across_ = rows_run_across();
    const bool whole = n0_ % kBlockMultiple == 0;
    one_by_one_ = !across_ && n0_ >= (whole ? kLongRow : kRowByItself);
    std::int64_t elements = room;
    if (across_)
      elements = std::max(room, kAcrossBytes / std::max(1, program_.across_bytes_));
    else if (one_by_one_)
      elements = whole ? kRowsBytes / std::max(1, program_.across_bytes_) : 1;
    t1_ = std::clamp<std::int64_t>(elements / std::max<std::int64_t>(1, n0_), 1, n1_);
    if (across_) {
      if (t1_ >= kBlockMultiple) t1_ -= t1_ % kBlockMultiple;
      const std::int64_t most = kMostAcrossBytes / std::max<std::int64_t>(1, program_.across_bytes_ * n0_);
      t1_ = std::clamp(t1_, std::clamp<std::int64_t>(most, 1, kLeastAcross), kMostAcross);
    }
  } else if (crossed && has_interleaved_rows()) {
    one_by_one_ = true;
    t1_ = n1_;
    t0_ = std::min(n0_, std::max(kLongRow, room / n1_ / kBlockMultiple * kBlockMultiple));
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
  pitch_ = program_.has_rows_ ? n0_ : round_up(t0_, kBlockMultiple);
  block_ = round_up(std::max<std::int64_t>(1, (one_by_one_ ? pitch_ : t0_) * t1_), kBlockMultiple);
  rows_block_ = round_up(t1_, kBlockMultiple);
}

bool ProgramRun::takes_long_in_few_steps() const {
  if (program_.steps_.size() > kFewSteps || program_.has_rows_) return false;
  for (const auto& step : program_.steps_)
    if (step.kind == StepKind::map && kernels_.takes_long(step.kernel)) return true;
  return false;
}

bool ProgramRun::rows_run_across() const {
  if (plan_.axes < 2 || n0_ < 2 || n1_ < kLeastAcross) return false;
  bool across = n0_ <= kShortRow;
  for (int k = 0; k < count(); ++k) {
    const std::int64_t s0 = std::abs(plan_.stride[k][0]), s1 = std::abs(plan_.stride[k][1]);
    across |= s0 != 0 && s1 != 0 && s1 < s0;
  }
  return across;
}

bool ProgramRun::has_interleaved_rows() const {
  if (n1_ < 2 || n1_ > kMostInterleaved || n0_ < kLongRow) return false;
  for (int k = program_.outputs(); k < count(); ++k) {
    const auto size = static_cast<std::int64_t>(item_size(dtype(k)));
    if (plan_.stride[k][1] == size && plan_.stride[k][0] == n1_ * size) return true;
  }
  return false;
}

bool ProgramRun::bring_crossed_axis_next() {
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

void ProgramRun::prepare_operands() {
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
               (t1_ == 1 || (t0_ == n0_ && s1 == n0_ * size)) && (!one_by_one_ || pitch_ == n0_);
    p.ahead = 0;
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
    for (int j = 0; j < count(); ++j) in_lines_[k] &= j == k || operand_plan_[j].reg != operand_plan_[k].reg;
    contiguous_out_[k] = !across_ && !operand_plan_[k].swapped && !operand_plan_[k].row && plan_.axes > 0 &&
                         (!one_by_one_ || pitch_ == n0_) &&
                         plan_.stride[k][0] == (std::int64_t{1} << operand_plan_[k].log2) &&
                         (t1_ == 1 || (t0_ == n0_ && plan_.stride[k][1] == n0_ << operand_plan_[k].log2));
  }
}

bool ProgramRun::is_repeated(int k) const {
  bool same = plan_.axes > 1 && tiles0_ > 1 && plan_.stride[k][0] != 0;
  for (int axis = 1; axis < plan_.axes; ++axis) same &= plan_.stride[k][axis] == 0;
  return same;
}

bool ProgramRun::is_instruction(int value) const {
  const int reg = program_.register_of_[static_cast<std::size_t>(value)];
  for (const auto& fill : program_.constants_)
    if (fill.reg == reg) return false;
  return true;
}

void ProgramRun::prepare_steps() {
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
    single_[p.reg] = constant || (plan_.stride[k][0] == 0 && (t1_ == 1 || one_by_one_));
  }
  for (const auto& step : program_.steps_)
    if (step.kind == StepKind::expand) single_[step.out] = one_by_one_;
  for (const int reg : program_.output_register_) single_[reg] = false;
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
      kernel_[i] = kernels_.row(step.kernel).kernel[mask];
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
  choose_moves();
  write_chains();
  choose_streams();
  choose_asks();
  steady_ = !program_.has_rows_ && !one_by_one_ && t0_ * t1_ % kBlockMultiple == 0;
  for (int k = 0; k < count(); ++k)
    steady_ &= is_output(k) ? operand_plan_[k].direct || (stream_ && contiguous_out_[k])
                            : operand_plan_[k].feed != Feed::load || operand_plan_[k].spread;
}

void ProgramRun::choose_moves() {
  moving_ = 0;
  if (!one_by_one_) return;
  std::int64_t stride[kMaxRegisters];
  for (int r = 0; r < program_.registers(); ++r) {
    const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
    const auto size = static_cast<std::int64_t>(item_size(spec.dtype));
    stride[r] = spec.row || spec.kept || scalar_[r] != nullptr ? 0 : single_[r] ? size : pitch_ * size;
    step_[r] = spec.row || spec.kept || single_[r] ? 0 : size;
  }
  for (int k = program_.outputs(); k < count(); ++k) {
    const OperandPlan& p = operand_plan_[k];
    if (p.feed == Feed::pointer) stride[p.reg] = plan_.axes > 1 ? plan_.stride[k][1] : 0;
    if (p.feed == Feed::once) stride[p.reg] = 0;
  }
  for (int r = 0; r < program_.registers(); ++r)
    if (stride[r] != 0) moves_[moving_++] = {r, stride[r]};
}

void ProgramRun::write_chains() {
  ChainCode* code = more_code_ != nullptr ? more_code_.get() : code_;
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

void ProgramRun::choose_rows_kernels() {
  by_rows_ =
      t1_ > 1 && t0_ == n0_ && t0_ % kRowMultiple == 0 && !across_ && !one_by_one_ && !program_.has_rows_;
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
    rows_kernel_[i] = kernels_.row(step.kernel).by_rows;
    by_rows_ = others && !row_value_[step.in[0]] && !single_[step.in[0]] && rows_kernel_[i] != nullptr;
  }
  for (const int reg : program_.output_register_) by_rows_ &= !row_value_[reg];
}

}  // namespace ufuse
