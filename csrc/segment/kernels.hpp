// What the drivers of groups and segments see of the kernels: tables of functions, one table per CPU tier.
//
// A *cell* accumulates the elements of one group in one column, in the order of the axis. Its layout is the
// kernel's own: what an element touches lies together, so that it costs one cache line.
#pragma once

#include "reduce/kernels.hpp"

namespace ufuse {

/// Adds `count` positions of `columns` contiguous elements each to the cells of their groups.
struct GroupCall {
  char* cells;  // of group g, column c: at g * columns + c
  const char* data;
  std::int64_t stride;  // bytes from one position to the next
  const std::uint32_t* labels;
  std::int64_t count;
  std::int64_t columns;
  std::int64_t first_index;  // of the first position (arg reducers)
};

struct GroupKernel {
  std::int32_t cell_size;  // bytes
  bool cells_are_states;   // one component, and its cell is the state
  void (*start)(char* cells, std::int64_t count);
  void (*add)(const GroupCall&);
  /// Cells to states, which may be the cells themselves where `cells_are_states`.
  void (*close)(char* cells, void* const* states, std::int64_t count);
};

/// Segments [starts[i], stops[i]) of a contiguous row.
struct SpansCall {
  const char* row;
  const std::int64_t* starts;
  const std::int64_t* stops;
  std::int64_t count;
  void* states;  // of one component
};

struct SegmentLengths {
  std::int64_t total, longest, shortest;  // one that stops before it starts has none
  bool outside;                           // some start or stop is not within the axis
};

struct PartKernels {
  /// Null functions where there is no such kernel.
  GroupKernel reducer[kReducers][kElementTypes];
  /// By the coding of elements in place, for reducers of one component. Ends before the first segment of
  /// more than kChunk elements, and returns how many there were.
  std::int64_t (*spans[kReducers][kElementTypes][3])(const SpansCall&);
  /// Copies contiguous labels, those that do not fit as kNoLabel or more, and returns the largest of what it
  /// wrote. Null where the element type is no integer.
  std::uint32_t (*read_labels[kElementTypes])(std::uint32_t* to, const void* labels, std::int64_t count);
  SegmentLengths (*measure)(const std::int64_t* starts, const std::int64_t* stops, std::int64_t count,
                            std::int64_t length);
  /// to[i] = from[i], or the nearest of 0 and `length`.
  void (*clamp)(std::int64_t* to, const std::int64_t* from, std::int64_t count, std::int64_t length);

  const GroupKernel& at(ReducerId id, DType dtype) const {
    return reducer[static_cast<int>(id)][static_cast<int>(dtype)];
  }
};

/// No label is as large: what is negative becomes, and what is larger.
inline constexpr std::uint32_t kNoLabel = std::uint32_t{1} << 31;
/// Labels compared at once to find runs.
inline constexpr std::int64_t kRun = 4;

const PartKernels& part_kernels(Tier tier);

}  // namespace ufuse
