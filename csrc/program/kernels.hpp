// The compiled kernels of the catalogue: one table per CPU tier.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/tiers.hpp"

namespace ufuse {

enum class Op : std::uint16_t {
#define UFUSE_OPERATION(name) name,
#include "catalogue.inc"
#undef UFUSE_OPERATION
  kCount
};

/// A kernel reads whole registers: `count` is rounded up to this many elements, and the blocks it is given
/// hold that many.
inline constexpr std::int64_t kBlockMultiple = 64;

/// One operation over a block: `count` elements (a multiple of `kBlockMultiple`), contiguous, any alignment.
/// `out` may be one of the inputs.
using BlockKernel = void (*)(void* out, const void* a, const void* b, const void* c, std::int64_t count);

inline constexpr int kMaxArity = 3;

struct KernelRow {
  Op op;
  DType output;
  DType inputs[kMaxArity];
  std::int8_t arity;
  BlockKernel kernel;
};

/// Moves between memory and blocks, in units of 1, 2, 4 or 8 bytes (`log2_size` 0 to 3).
struct MoveKernels {
  /// Gathers `count` elements `stride` bytes apart.
  void (*load[4])(void* block, const char* from, std::int64_t stride, std::int64_t count);
  void (*store[4])(char* to, std::int64_t stride, const void* block, std::int64_t count);
  void (*fill[4])(void* block, const void* value, std::int64_t count);
  void (*swap[4])(void* block, std::int64_t count);  // reverses each element's bytes
  /// Copies past the caches: for results too large to stay in them.
  void (*stream)(char* to, const void* block, std::int64_t bytes);
};

struct ProgramKernels {
  const KernelRow* rows;
  int count;
  MoveKernels move;
};

const ProgramKernels& program_kernels(Tier tier);

}  // namespace ufuse
