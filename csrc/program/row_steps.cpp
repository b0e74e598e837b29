// Steps over rows that are treated one by one, in pieces where memory is the limit: between two of them
// results go past the caches, and lines of the next tile are asked for. Both then happen while something is
// computed: on a core of a Granite Rapids layer norms of rows of 1024 float32 take 13.4 ms so for 64 MB,
// softmax 12.8 and a norm to int8 11.3; with a tile read when it is needed and stored as a whole 16, 17.1
// and 14.3; from and to its second cache 7.0, 7.6 and 7.5.
#include <algorithm>
#include <bit>

#include "core/cache.hpp"
#include "program/run.hpp"

namespace ufuse {

namespace {

// Elements of a piece. A norm to int8 takes 11.6 ms so, 12.5 with 512 and 14.7 with 256: every piece is a
// call.
constexpr std::int64_t kPiece = 1024;
// And of one before which lines of the next tile are asked for: a core waits for 16 at once.
constexpr std::int64_t kAskPiece = 256;

}  // namespace

void ProgramRun::apply_by_row(std::size_t i, char* const* reg, std::int64_t rows, std::int64_t cols,
                              const RowTile& tile) const {
  if (joined_[i]) return;
  char* at[kMaxRegisters];
  std::copy_n(reg, program_.registers(), at);
  const std::int64_t whole = round_up(cols, kBlockMultiple);
  const int streamed = streams_[i];
  const bool asks = asks_[i] >= 0;
  // One that makes codes of a row has its scale from the beginning on.
  if (streamed < 0 && chain_[i] != nullptr && !joined_[i + 1]) {
    ChainTask::Ask ask{};
    if (asks) ask = ask_of(i);
    kernels_.chains[program_.chain_of(program_.steps_[i]).wide ? 1 : 0](
        {chain_[i], at, whole, program_.first_kept_, program_.slots_, rows, moves_, moving_, &ask,
         asks ? 1 : 0});
    return;
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    StreamedCopy& lines = tile.lines[streamed >= 0 ? streamed * ways_ + row % ways_ : 0];
    if (streamed >= 0) lines.go_to(tile.to[streamed] + row * plan_.stride[streamed][1]);
    if (asks || streamed >= 0)
      apply_in_pieces(i, at, cols, streamed, lines);
    else
      apply(i, at, whole);
    for (int k = 0; k < moving_; ++k) at[moves_[k].reg] += moves_[k].stride;
  }
}

ChainTask::Ask ProgramRun::ask_of(std::size_t i) const {
  const OperandPlan& p = operand_plan_[asked_];
  const int log2_lane = chain_[i] != nullptr && program_.chain_of(program_.steps_[i]).wide ? 3 : 2;
  const std::int64_t first = asks_[i] * (n0_ << p.log2) >> log2_asking_;
  return {p.reg, std::max(0, log2_lane - p.log2 + log2_asking_), t1_ * plan_.stride[asked_][1] + first};
}

void ProgramRun::apply_in_pieces(std::size_t i, char* const* row, std::int64_t cols, int streamed,
                                 StreamedCopy& lines) const {
  const int registers = program_.registers();
  const bool asks = asks_[i] >= 0, chain = chain_[i] != nullptr && !joined_[i + 1];
  ChainTask::Ask ask{};
  if (asks) ask = ask_of(i);
  const std::int64_t piece = asks && !chain ? kAskPiece : kPiece;
  char* at[kMaxRegisters];
  std::copy_n(row, registers, at);
  for (std::int64_t done = 0;;) {
    const std::int64_t count = std::min(piece, cols - done), whole = round_up(count, kBlockMultiple);
    if (chain) {
      kernels_.chains[program_.chain_of(program_.steps_[i]).wide ? 1 : 0](
          {chain_[i], at, whole, program_.first_kept_, program_.slots_, 1, nullptr, 0, &ask, asks ? 1 : 0});
    } else {
      const std::int64_t end = asks ? count << operand_plan_[asked_].log2 >> log2_asking_ : 0;
      for (std::int64_t byte = 0; byte < end; byte += kCacheLine)
        __builtin_prefetch(at[ask.reg] + ask.ahead + byte, 0, 2);
      apply(i, at, whole);
    }
    if (streamed >= 0) {
      const OperandPlan& p = operand_plan_[streamed];
      lines.put(at[p.reg], count << p.log2, kernels_.move.stream);
    }
    done += piece;
    if (done >= cols) return;
    for (int r = 0; r < registers; ++r) at[r] += piece * step_[r];
    // Of what is asked for, this step's share goes on.
    ask.ahead += piece * step_[ask.reg] / (std::int64_t{1} << log2_asking_) - piece * step_[ask.reg];
  }
}

void ProgramRun::choose_streams() {
  const int steps = static_cast<int>(program_.steps_.size());
  std::fill_n(streams_, steps, -1);
  std::fill_n(by_step_, program_.outputs(), false);
  ways_ = program_.has_rows_ ? 1 : static_cast<int>(t1_);
  if (!one_by_one_ || !stream_ || program_.outputs() * ways_ > kMostLines) return;
  for (int k = 0; k < program_.outputs(); ++k) {
    const OperandPlan& p = operand_plan_[k];
    if (p.row || p.swapped || plan_.stride[k][0] != std::int64_t{1} << p.log2) continue;
    int i = steps - 1;
    while (i >= 0 && program_.steps_[static_cast<std::size_t>(i)].out != p.reg) --i;
    if (i < 0 || !program_.steps_[static_cast<std::size_t>(i)].is_map()) continue;
    if (joined_[i]) --i;
    if (streams_[i] >= 0) continue;  // the same result twice
    streams_[i] = k;
    by_step_[k] = true;
  }
}

void ProgramRun::choose_asks() {
  asked_ = -1;
  const std::size_t steps = program_.steps_.size();
  std::fill_n(asks_, steps, -1);
  if (!one_by_one_ || !stream_ || !program_.has_rows_) return;
  for (int k = program_.outputs(); k < count(); ++k)
    if (operand_plan_[k].feed == Feed::direct && plan_.stride[k][1] > 0) asked_ = k;
  if (asked_ < 0) return;
  int stages = 0;
  for (std::size_t i = 0; i < steps; ++i) stages += can_ask(i) ? 1 : 0;
  log2_asking_ = std::bit_width(static_cast<unsigned>(stages)) - 1;
  int left = stages == 0 ? 0 : 1 << log2_asking_;
  for (std::size_t i = steps; i-- > 0 && left > 0;)
    if (can_ask(i)) asks_[i] = --left;
}

bool ProgramRun::can_ask(std::size_t i) const {
  const auto& step = program_.steps_[i];
  return step.is_map() && !step.row && !joined_[i];
}

}  // namespace ufuse
