// The compiled kernels of the catalogue: one table per CPU tier.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/tiers.hpp"
#include "program/chain_code.hpp"

namespace ufuse {

/// A kernel reads whole registers: `count` is rounded up to this many elements, and the blocks it is given
/// hold that many.
inline constexpr std::int64_t kBlockMultiple = 64;

/// One operation over a block: `count` elements (a multiple of `kBlockMultiple`), contiguous, any alignment.
/// `out` may be one of the inputs.
using BlockKernel = void (*)(void* out, const void* a, const void* b, const void* c, const void* d,
                             std::int64_t count);

inline constexpr int kMaxArity = 4;  // of an operation

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
  const char* name;  // of the operation
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

/// The rows of one file of kernels.
struct KernelGroup {
  const KernelRow* rows;
  int count;
};
inline constexpr int kKernelGroups = 4;

struct ProgramKernels {
  KernelGroup groups[kKernelGroups];
  /// Row `index` of the catalogue; null behind the last.
  const KernelRow* find(int index) const {
    for (const KernelGroup& group : groups) {
      if (index < group.count) return group.rows + index;
      index -= group.count;
    }
    return nullptr;
  }
  const KernelRow& row(int index) const { return *find(index); }
  /// Whether it takes tens of cycles for a register: the functions of all groups but the first.
  bool takes_long(int index) const { return index >= groups[0].count; }
  const ChainKernel* chains;  // of float lanes, of double lanes
  MoveKernels move;
};

const ProgramKernels& program_kernels(Tier tier);

}  // namespace ufuse
