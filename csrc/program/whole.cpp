// Programs that are one chain, over rows that lie as the chain can take them: no blocks, no tiles. Setting a
// run of those up takes longer than a chain does with some thousand elements. And runs that are planned to be
// repeated, of either kind.
#include <algorithm>
#include <cstring>
#include <vector>

#include "program/run.hpp"

namespace ufuse {

class WholeRun {
 public:
  WholeRun(const Program& program, int axes, const std::int64_t* shape,
           std::span<const ProgramOperand> operands)
      : program_(program), out_(program.output_register_.front()) {
    StridedOperand strided[kMaxOperands];
    for (std::size_t k = 0; k < operands.size(); ++k) {
      strided[k] = {operands[k].data, operands[k].strides};
      fits_ &= !operands[k].swapped;
    }
    plan_loop(plan_, axes, shape, static_cast<int>(operands.size()), strided);
    for (std::size_t k = 0; k < operands.size(); ++k) begin_[k] = plan_.data[k] - operands[k].data;
    fits_ &= plan_.size > 0 && plan_.axes <= 2;
    if (!fits_) return;
    columns_ = plan_.axes > 0 ? plan_.extent[0] : 1;
    whole_ = columns_ / kBlockMultiple * kBlockMultiple;
    place_operands();
    place_others();
    fits_ = fits_ && block_wanted(program_.whole_, single_) < 0;
    if (scale() != nullptr)
      for (int k = 0; k < 3; ++k) fits_ &= scalar_[scale()[k]] != nullptr;
    // Short rows of many are for blocks.
    fits_ &= plan_.axes < 2 || columns_ == whole_ || overlaps();
  }

  bool fits() const { return fits_; }

  /// To operands laid out alike, at `data`.
  void move_to(char* const* data) {
    for (int k = 0; k < operands(); ++k) {
      const int reg = register_of(k);
      reg_[reg] = plan_.data[k] = data[k] + begin_[k];
      if (scalar_[reg] == nullptr || k == 0) continue;
      scalar_[reg] = plan_.data[k];
      written_ = false;  // the code depends on the value
    }
  }

  /// For what lies `ahead` bytes from each operand, while it is read; null for nothing.
  void ask(const std::int64_t* ahead) {
    asking_ = 0;
    for (int k = 1; ahead != nullptr && k < operands(); ++k) {
      const int reg = register_of(k);
      if (ahead[k] != 0 && !single_[reg])
        asks_[asking_++] = {reg, log2_lane() - log2_size(dtype(k)), ahead[k]};
    }
  }

  void run() {
    if (!written_)
      write_code(program_.whole_, single_, scalar_, {out_, scale(), program_.output_dtype(0)}, code_);
    written_ = true;
    if (whole_ > 0) run_columns(reg_, 0, whole_);
    if (columns_ == whole_) return;
    if (overlaps())
      run_columns(reg_, columns_ - kBlockMultiple, kBlockMultiple);
    else
      run_rest();
  }

 private:
  /// Whether the last elements, that make no whole multiple, are computed again with some before them.
  bool overlaps() const { return whole_ > 0 && !in_place_; }

  const std::int16_t* scale() const {
    return program_.whole_quantizes_ ? program_.steps_.back().in + 1 : nullptr;
  }
  DType dtype(int k) const { return k == 0 ? program_.output_dtype(0) : program_.input_dtype(k - 1); }
  int register_of(int k) const { return k == 0 ? out_ : k - 1; }
  int operands() const { return program_.inputs() + 1; }
  int log2_lane() const { return program_.whole_.wide ? 3 : 2; }

  void place_operands() {
    for (int k = 0; k < operands(); ++k) {
      const int reg = register_of(k);
      const std::int64_t s0 = plan_.axes > 0 ? plan_.stride[k][0] : 0,
                         s1 = plan_.axes > 1 ? plan_.stride[k][1] : 0;
      size_[k] = static_cast<std::int64_t>(item_size(dtype(k)));
      reg_[reg] = plan_.data[k];
      single_[reg] = k > 0 && s0 == 0;
      scalar_[reg] = single_[reg] && s1 == 0 ? plan_.data[k] : nullptr;
      fits_ &= s0 == size_[k] || single_[reg] || columns_ == 1;
      in_place_ |= k > 0 && plan_.data[k] == plan_.data[0];
      if (s1 != 0) moves_[moving_++] = {reg, s1};
    }
  }

  void place_others() {
    for (const auto& fill : program_.constants_) {
      reg_[fill.reg] = const_cast<char*>(fill.value.bytes);  // operands are read only
      single_[fill.reg] = true;
      scalar_[fill.reg] = fill.value.bytes;
    }
    for (int slot = 0; slot < program_.slots_; ++slot) reg_[program_.first_kept_ + slot] = kept_[slot];
  }

  void run_columns(char* const* from, std::int64_t first, std::int64_t count) const {
    char* reg[kMaxRegisters];
    for (int r = 0; r < program_.registers(); ++r) reg[r] = from[r];
    for (int k = 0; k < operands(); ++k)
      if (!single_[register_of(k)]) reg[register_of(k)] += first * size_[k];
    const ChainTask task{code_,           reg,
                         count,           program_.first_kept_,
                         program_.slots_, plan_.axes > 1 ? plan_.extent[1] : 1,
                         moves_,          moving_,
                         asks_,           asking_};
    program_kernels(active_tier()).chains[program_.whole_.wide ? 1 : 0](task);
  }

  /// The last elements of the only row, in buffers.
  void run_rest() {
    alignas(64) char buffer[kMaxOperands][kBlockMultiple * 8];
    for (int k = 0; k < operands(); ++k) {
      const int reg = register_of(k);
      if (single_[reg]) continue;
      if (k > 0) fill_rest(buffer[k], reg_[reg] + whole_ * size_[k], size_[k]);
      reg_[reg] = buffer[k];
    }
    run_columns(reg_, 0, kBlockMultiple);
    std::memcpy(plan_.data[0] + whole_ * size_[0], buffer[0],
                static_cast<std::size_t>((columns_ - whole_) * size_[0]));
  }
  /// Behind them as often the first one as there is room: see `ProgramRun::pad`.
  void fill_rest(char* to, const char* from, std::int64_t size) const {
    std::int64_t done = (columns_ - whole_) * size;
    const std::int64_t all = kBlockMultiple * size;
    std::memcpy(to, from, static_cast<std::size_t>(done));
    for (std::int64_t more; done < all; done += more) {
      more = std::min(done, all - done);
      std::memcpy(to + done, to, static_cast<std::size_t>(more));
    }
  }

  const Program& program_;
  LoopPlan plan_;
  const int out_;
  bool fits_ = true, in_place_ = false, written_ = false;
  std::int64_t columns_ = 1, whole_ = 0;
  std::int64_t size_[kMaxOperands], begin_[kMaxOperands];
  char* reg_[kMaxRegisters];
  bool single_[kMaxRegisters];
  const void* scalar_[kMaxRegisters];
  ChainTask::Move moves_[kMaxOperands];
  int moving_ = 0;
  ChainTask::Ask asks_[kMaxOperands];
  int asking_ = 0;
  ChainCode code_[kMaxChainOps + 4];
  alignas(64) char kept_[kMaxKept][kChainGroup];
};

bool Program::run_whole(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const {
  if (whole_.empty()) return false;
  WholeRun run(*this, axes, shape, operands);
  if (run.fits()) run.run();
  return run.fits();
}

namespace {

class PreparedWhole : public PreparedRun {
 public:
  PreparedWhole(const Program& program, int axes, const std::int64_t* shape,
                std::span<const ProgramOperand> operands)
      : run_(program, axes, shape, operands) {}

  bool fits() const { return run_.fits(); }
  void run(char* const* data, const std::int64_t* ahead) override {
    run_.move_to(data);
    run_.ask(ahead);
    run_.run();
  }

 private:
  WholeRun run_;
};

class PreparedBlocks : public PreparedRun {
 public:
  PreparedBlocks(const Program& program, int axes, const std::int64_t* shape,
                 std::span<const ProgramOperand> operands)
      : operands_(operands.begin(), operands.end()), run_(program, axes, shape, operands_) {}

  void run(char* const* data, const std::int64_t* ahead) override {
    run_.move_to(data);
    if (ahead != nullptr) run_.ask(ahead);
    run_.run();
  }

 private:
  std::vector<ProgramOperand> operands_;
  ProgramRun run_;
};

}  // namespace

std::unique_ptr<PreparedRun> Program::prepare(int axes, const std::int64_t* shape,
                                              std::span<const ProgramOperand> operands, bool pieces) const {
  std::int64_t size = 1;
  for (int axis = 0; axis < axes; ++axis) size *= shape[axis];
  if (!whole_.empty() && (pieces || size <= kWhole)) {
    auto whole = std::make_unique<PreparedWhole>(*this, axes, shape, operands);
    if (whole->fits()) return whole;
  }
  return std::make_unique<PreparedBlocks>(*this, axes, shape, operands);
}

}  // namespace ufuse
