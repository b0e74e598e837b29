// The compiled kernels of the catalogue: one table per CPU tier.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// A kernel reads whole registers: `count` is rounded up to this many elements, and the blocks it is given
/// hold that many.
inline constexpr std::int64_t kBlockMultiple = 64;

/// One operation over a block: `count` elements (a multiple of `kBlockMultiple`), contiguous, any alignment.
/// `out` may be one of the inputs.
using BlockKernel = void (*)(void* out, const void* a, const void* b, const void* c, const void* d,
                             std::int64_t count);

inline constexpr int kMaxArity = 4;      // of an operation
inline constexpr int kMaxStepArity = 4;  // of a step, which may be several operations

/// Which operands are single values rather than blocks: bit i for operand i. A kernel that knows keeps the
/// value in a register: one load in three less, and no block of copies in L1.
using ScalarMask = unsigned;
inline constexpr int kScalarMasks = 1 << kMaxArity;

/// One operation over rows of `columns` elements, a multiple of `kRowMultiple`: of the first operand all
/// elements are there, contiguous, and of the others a value for each row, so many bytes apart (0: one for
/// all).
using RowsKernel = void (*)(void* out, const void* a, const void* const* values, const std::int64_t* strides,
                            std::int64_t rows, std::int64_t columns);
inline constexpr std::int64_t kRowMultiple = 16;

struct KernelRow {
  const char* name;  // of the operation; null for several in one
  DType output;
  DType inputs[kMaxArity];
  std::int8_t arity;
  /// By ScalarMask; null where nobody is expected to ask (all operands single values, for one).
  BlockKernel kernel[kScalarMasks];
  RowsKernel by_rows = nullptr;  // of operations by a scale: those of blocks, which need not be spread first
};

/// Moves between memory and blocks, in units of 1, 2, 4 or 8 bytes (`log2_size` 0 to 3).
struct MoveKernels {
  /// Gathers `count` elements `stride` bytes apart.
  void (*load[4])(void* block, const char* from, std::int64_t stride, std::int64_t count);
  void (*store[4])(char* to, std::int64_t stride, const void* block, std::int64_t count);
  void (*fill[4])(void* block, const void* value, std::int64_t count);
  /// Fills rows of `columns` elements with a value each, `stride` bytes apart.
  void (*spread[4])(void* block, const char* from, std::int64_t stride, std::int64_t rows,
                    std::int64_t columns);
  void (*swap[4])(void* block, std::int64_t count);  // reverses each element's bytes
  /// Copies past the caches: for results too large to stay in them.
  void (*stream)(char* to, const void* block, std::int64_t bytes);
};

/// Two operations in one step: op2(op1(a, b), c), or op2(c, op1(a, b)) where `reversed`. Each rounds as it
/// does alone; what is saved is a store and a load per element, about 2.5 of the 5.5 cycles that a pair of
/// steps takes per register on Zen 4.
enum class ChainOp : std::uint8_t { add, subtract, multiply };
inline constexpr int kChainOps = 3;

/// Where the row of a chain is among the rows, after those of the catalogue. Float types only.
constexpr int chain_row(ChainOp first, ChainOp second, bool reversed, DType type) {
  return ((static_cast<int>(first) * kChainOps + static_cast<int>(second)) * 2 + (reversed ? 1 : 0)) * 2 +
         (type == DType::F64 ? 1 : 0);
}
inline constexpr int kChainRows = kChainOps * kChainOps * 2 * 2;

/// a * b + c * d, or - where `subtracted`, in one step, each operation rounded as alone: where memory
/// copies at 84 GB/s, 2*x + 3*y ran at 62 in two steps and runs at 70 in one.
struct PairRow {
  BlockKernel kernel[1 << kMaxStepArity];  // by ScalarMask, at most one single value in a product
};
constexpr int pair_row(bool subtracted, DType type) {
  return (subtracted ? 2 : 0) + (type == DType::F64 ? 1 : 0);
}
inline constexpr int kPairRows = 4;

struct ProgramKernels {
  const KernelRow* rows;  // of the catalogue
  int count;
  const KernelRow* chains;  // kChainRows
  const PairRow* pairs;     // kPairRows
  MoveKernels move;
};

const ProgramKernels& program_kernels(Tier tier);

}  // namespace ufuse
