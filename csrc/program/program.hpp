// A program: a short straight-line list of scalar operations over registers, run block by block.
//
// Registers are blocks that fit in L1 together. A value is *full* (one element for each of the loop) or a
// *row* value (one for each step of the outer axes: what reducing the fastest axis gives). Reductions and
// `expand` tie the two, so that a row stays in cache between its passes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/macros.hpp"
#include "core/plan.hpp"
#include "program/chain.hpp"
#include "program/kernels.hpp"
#include "program/row_reduction.hpp"

namespace ufuse {

enum class StepKind : std::uint8_t { map, chain, reduce, expand };

inline constexpr int kMaxRegisters = 256;
inline constexpr int kMaxSteps = 256;
inline constexpr std::size_t kMaxReductions = 100;

/// One instruction as the caller writes it: operands are value numbers (inputs, then constants, then
/// earlier instructions).
struct InstructionSpec {
  std::string operation;  // not read of a reduction
  DType output;
  std::vector<int> args;
  std::optional<RowReduction> reduction = std::nullopt;
};

struct ConstantSpec {
  DType dtype;
  alignas(8) char bytes[8];
};

/// An array operand of a run. Strides are of the common shape, in bytes, 0 where broadcast.
struct ProgramOperand {
  char* data;
  const std::int64_t* strides;
  bool swapped = false;  // non-native byte order
};

/// A run that is planned, to be repeated on one thread at a time. The program must outlive it.
class UFUSE_API PreparedRun {
 public:
  virtual ~PreparedRun() = default;
  /// Runs over operands laid out as those it was planned for, at `data`. `ahead`: bytes from what is read of
  /// each operand to what is asked for meanwhile, 0 for nothing; or null.
  virtual void run(char* const* data, const std::int64_t* ahead) = 0;
};

/// Where the operands of items are that are laid out alike: for each item as many pointers as operands.
struct ItemData {
  char* const* data;
  std::int64_t count;
};

class UFUSE_API Program {
 public:
  /// `row_inputs`: inputs with one value per row, in a program that reduces; they and constants may stand
  /// beside row values and beside full ones.
  /// Throws `std::invalid_argument` where an operation, a signature or a value number is unknown.
  Program(std::vector<DType> inputs, const std::vector<ConstantSpec>& constants,
          const std::vector<InstructionSpec>& instructions, std::vector<int> outputs,
          const std::vector<int>& row_inputs = {});

  int inputs() const noexcept { return static_cast<int>(inputs_.size()); }
  int outputs() const noexcept { return static_cast<int>(outputs_.size()); }
  int registers() const noexcept { return static_cast<int>(registers_.size()); }
  DType input_dtype(int i) const { return inputs_[static_cast<std::size_t>(i)]; }
  DType output_dtype(int i) const {
    return value_dtype_[static_cast<std::size_t>(outputs_[static_cast<std::size_t>(i)])];
  }
  bool has_rows() const noexcept { return has_rows_; }
  /// Arithmetic weight: instructions per element, for the choice of threads.
  int steps() const noexcept { return static_cast<int>(steps_.size()); }

  /// The name of the operation that makes the result of the first inputs, in their order; null where there is
  /// more to it.
  const char* only_operation() const;

  /// Whether the result is the first input itself.
  bool is_identity() const { return steps_.empty() && outputs_.size() == 1 && outputs_.front() == 0; }

  /// Runs over `shape`; `operands` are the outputs, then the inputs. Outputs may be inputs' own memory only
  /// with the same strides. `settled`: of the floating-point flags that kernels set, those are taken back
  /// that no result speaks for (settled.cpp).
  void run(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands,
           bool settled = false) const;

  /// The same on the calling thread alone, for what is in its cache.
  void run_here(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const;

  /// Plans runs over operands laid out alike. `pieces`: of what stays in the caches of a thread.
  std::unique_ptr<PreparedRun> prepare(int axes, const std::int64_t* shape,
                                       std::span<const ProgramOperand> operands, bool pieces) const;

  /// Runs over several items as if one after another. `operands` are laid out as those of each item, and are
  /// those of the first. `fresh`: nothing else is in the outputs' memory. Where an output is in the place of
  /// an input of the same item, it is so in all of them.
  void run_items(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands,
                 const ItemData& items, bool fresh) const;

 private:
  friend class ProgramRun;
  friend class WholeRun;

  struct Step {
    StepKind kind;
    bool row;               // a map or chain over row values
    std::int8_t reduction;  // index into the program's
    /// It quantizes what the step before has made, which nobody else reads: where there is one scale, that
    /// step does both.
    bool ends_chain;
    std::int8_t arity;
    std::int16_t kernel;         // of a map: index into the kernel table (the same rows on every tier)
    std::int16_t chain;          // of a chain, or of a map that is one by itself; else -1
    std::int16_t out;            // registers
    std::int16_t in[kMaxArity];  // not of a chain: its items name theirs
    bool is_map() const { return kind == StepKind::map || kind == StepKind::chain; }
  };
  struct RegisterSpec {
    DType dtype;
    bool row;
    bool expanded = false;  // holds row values beside full ones, and is read by maps alone
    bool kept = false;      // of a chain, a group of elements
  };
  const Chain& chain_of(const Step& step) const { return chains_[static_cast<std::size_t>(step.chain)]; }
  void find_whole();
  /// Where all of the program is one chain over rows, runs it without blocks; false where it is not.
  bool run_whole(int axes, const std::int64_t* shape, std::span<const ProgramOperand> operands) const;
  struct Fill {
    int reg;
    ConstantSpec value;
  };

  std::vector<DType> inputs_;
  std::vector<int> outputs_;  // value numbers
  std::vector<DType> value_dtype_;
  std::vector<int> register_of_;  // value number to register
  std::vector<int> output_register_;
  std::vector<int> row_register_of_;  // input to its register as a row value, or -1
  std::vector<RegisterSpec> registers_;
  std::vector<Fill> constants_;
  std::vector<Step> steps_;
  std::vector<Chain> chains_;
  std::vector<RowReduction> reductions_;
  int chain_items_ = 0;             // in all of them
  int first_kept_ = 0, slots_ = 0;  // registers for what they keep
  /// All of the program as one chain of one result; empty where it is none.
  Chain whole_;
  bool whole_quantizes_ = false;  // and the last step's quantization after it
  bool has_rows_ = false;
  int row_bytes_ = 0;     // bytes per element over all full registers
  int across_bytes_ = 0;  // without the expanded ones
};

}  // namespace ufuse
