// Steps over rows that are treated one by one, in pieces where memory is the limit: between two of them
// results go past the caches, and lines of the next tile are asked for. Both then happen while something is
// computed: layer norms of rows of 1024 float32 from memory take 12.8 ms so for 64 MB on a core of a Granite
// Rapids, 16 with a tile read when it is needed and stored as a whole, and 7.3 from and to its second cache.
#include <algorithm>

#include "core/cache.hpp"
#include "program/run.hpp"

namespace ufuse {

namespace {

// Elements of a piece. A norm to int8 takes 11.6 ms so, 12.5 with 512 and 14.7 with 256: every piece is a
// call.
constexpr std::int64_t kPiece = 1024;

}  // namespace

void ProgramRun::apply_by_row(std::size_t i, char* const* reg, std::int64_t rows, std::int64_t cols,
                              const RowTile& tile) const {
  char* at[kMaxRegisters];
  std::copy_n(reg, program_.registers(), at);
  const std::int64_t whole = round_up(cols, kBlockMultiple);
  const int streamed = streams_[i];
  const bool pieces = streamed >= 0 || asked_ >= 0;
  // One that makes codes of a row has its scale from the beginning on.
  if (!pieces && chain_[i] != nullptr && !joined_[i + 1]) {
    const auto& step = program_.steps_[i];
    kernels_.chains[program_.chain_of(step).wide ? 1 : 0](
        {chain_[i], at, whole, program_.first_kept_, program_.slots_, rows, moves_, moving_});
    return;
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    StreamedCopy& lines = tile.lines[streamed >= 0 ? streamed * ways_ + row % ways_ : 0];
    if (streamed >= 0) lines.go_to(tile.to[streamed] + row * plan_.stride[streamed][1]);
    if (pieces)
      apply_in_pieces(i, at, cols, streamed, lines, tile.ahead);
    else
      apply(i, at, whole);
    for (int k = 0; k < moving_; ++k) at[moves_[k].reg] += moves_[k].stride;
  }
}

void ProgramRun::apply_in_pieces(std::size_t i, char* const* row, std::int64_t cols, int streamed,
                                 StreamedCopy& lines, AskAhead& ahead) const {
  if (joined_[i]) return;
  char* at[kMaxRegisters];
  for (std::int64_t done = 0; done < cols; done += kPiece) {
    for (int r = 0; r < program_.registers(); ++r) {
      const auto& spec = program_.registers_[static_cast<std::size_t>(r)];
      const bool moves = !single_[r] && !spec.kept && !spec.row;
      at[r] = row[r] + (moves ? done * static_cast<std::int64_t>(item_size(spec.dtype)) : 0);
    }
    ahead.ask();
    const std::int64_t count = std::min(kPiece, cols - done);
    apply(i, at, round_up(count, kBlockMultiple));
    if (streamed < 0) continue;
    const OperandPlan& p = operand_plan_[streamed];
    lines.put(at[p.reg], count << p.log2, kernels_.move.stream);
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
  if (!one_by_one_ || !stream_ || !program_.has_rows_) return;
  std::int64_t pieces = 0;
  for (const auto& step : program_.steps_)
    if (step.is_map() && !step.row) pieces += t1_ * ((n0_ + kPiece - 1) / kPiece);
  for (int k = program_.outputs(); k < count() && pieces > 0; ++k)
    if (operand_plan_[k].feed == Feed::direct && plan_.stride[k][1] > 0) asked_ = k;
  if (asked_ < 0) return;
  const std::int64_t lines = t1_ * plan_.stride[asked_][1] / kCacheLine;
  asked_lines_ = static_cast<int>((lines + pieces - 1) / pieces);
}

}  // namespace ufuse
