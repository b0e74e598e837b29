// Elements of up to two strided operands, in order, as contiguous pieces of native byte order: in place where
// memory allows, else gathered into a block; codes of narrow floats as float32.
#pragma once

#include "core/scratch.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {

inline constexpr int kMaxWalkAxes = 64;
inline constexpr std::int64_t kWalkBlock = 2048;

/// One operand: where it starts, and what its elements are.
struct WalkOperand {
  const char* data = nullptr;
  DType dtype = DType::F64;  // of the elements that are read: F32 for codes
  bool swapped = false;
  Coding coding = Coding::plain;
  const float* table = nullptr;  // of Coding::table: 256 values

  int log2_stored() const {
    return coding == Coding::plain ? log2_size(dtype) : coding == Coding::table ? 0 : 1;
  }
  /// Whether elements are used as they are in memory.
  bool plain() const { return !swapped && coding == Coding::plain; }
  /// Makes elements of what was gathered: in place, or from codes to `decoded`. Returns where they are.
  const void* made(char* gathered, float* decoded, std::int64_t count, const PieceKernels& pieces) const;
};

struct WalkAxis {
  std::int64_t extent;
  std::int64_t stride[2];  // bytes
};

/// Axes, slowest first, without those of one element and with neighbours merged.
struct WalkNest {
  int axes = 0;
  WalkAxis axis[kMaxWalkAxes];
  std::int64_t count = 1;

  void add(const WalkAxis& axis);  // the next faster one
  /// Puts the axes in the order of the first operand's memory, walked upwards. Adds to `moved` how far the
  /// starts of the operands move by that.
  void sort(std::int64_t (&moved)[2]);
  void merge();
  /// Bytes from the start to an element of an operand.
  std::int64_t offset(std::int64_t element, int operand) const;
};

/// Reads one operand along a nest.
class WalkReader {
 public:
  WalkReader(const WalkNest& nest, const WalkOperand& operand, int which, const PieceKernels& pieces);

  /// Elements [first, first + count), count <= kWalkBlock. The pointer is good until the next call.
  const void* read(const char* base, std::int64_t first, std::int64_t count);
  /// Elements from `first` on that can be read in place, at most `count`; 0 where that is not worth it.
  std::int64_t in_place(const char* base, std::int64_t first, std::int64_t count) const;

 private:
  const WalkNest& nest_;
  const WalkOperand& operand_;
  int which_;
  int log2_;
  const PieceKernels& pieces_;
  ScratchFrame frame_, decoded_;
};

}  // namespace ufuse
