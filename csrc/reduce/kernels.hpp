// What the driver sees of the reducers: tables of functions, one table per CPU tier.
//
// A reduction of n elements is a fixed tree (`reduction.hpp`): chunks of `kChunk` elements, element j of a
// chunk in virtual lane j % `kLanes`, lanes folded by halves, chunk states merged by the same tree. The
// kernels below do the part inside one chunk, in either of two directions:
//
//   rows      one chunk is contiguous in memory: a whole chunk per row, many rows per call
//   columns   the chunk runs across memory: up to `kRowsPerStep` elements of one lane for many columns
//
// Both give the same bits, because they do the same additions.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

inline constexpr std::int64_t kChunk = 1024;
inline constexpr int kLanes = 16;
inline constexpr int kRowsPerStep = 8;
inline constexpr int kMostInterleaved = kLanes - 1;
inline constexpr int kMaxComponents = 7;
inline constexpr int kMaxLaneComponents = 5;

/// How elements are written: as values of their type, or as codes of a narrow float that is reduced as
/// float32.
enum class Coding : std::uint8_t { plain, half, bfloat16, table };  // U16, U16, U8 with a table of values

enum class ReducerId : std::uint8_t {
#define UFUSE_REDUCER(name, components) name,
#include "reducers.inc"
#undef UFUSE_REDUCER
  kCount
};
inline constexpr int kReducers = static_cast<int>(ReducerId::kCount);
inline constexpr int kElementTypes = 0
#define UFUSE_ELEMENT_TYPE(name, cpp, code) +1
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
    ;

/// `rows` chunks of `count` <= kChunk elements, `row_stride` bytes apart, to one state each.
struct RowsCall {
  const char* data;
  std::int64_t row_stride;
  std::int64_t rows;
  std::int64_t count;
  void* const* states;                 // one array per component
  std::int64_t state_step;             // elements between the states of neighbouring rows
  std::int64_t first_index;            // logical index of the first element (arg reducers) ...
  std::int64_t index_step;             // ... and what to add per row
  const double* pivots;                // moments of masked rows: where to shift to; else null
  const double* counts;                // moments of masked rows: elements that count; else null
  std::int64_t ahead = 0;              // bytes from what is read to what is asked for meanwhile
  const std::uint8_t* mask = nullptr;  // masked kernels, of one row: 0 for elements that do not count
  bool pairs = false;                  // two rows at a time: what is in L1 waits for additions alone
};

/// Adds `rows` <= kRowsPerStep elements of one lane to the accumulators of `columns` columns.
struct ColumnsCall {
  void* const* lanes;      // one accumulator array per lane component
  const char* const* row;  // contiguous elements of each row
  std::int64_t rows;
  std::int64_t columns;
  const double* pivots;  // moments: one per column
  std::int64_t index;    // index within the chunk of the first row; the following are kLanes apart
  bool fresh;            // the first rows of the accumulators, which hold nothing yet
  const std::uint8_t* const* mask = nullptr;  // masked kernels: 0 for elements that do not count
  std::int64_t ahead = 0;                     // bytes from what is read to what is asked for meanwhile
};

/// All `rows` < kLanes elements of `columns` columns, to one state each.
struct ShortCall {
  const char* const* row;  // contiguous elements of each row
  std::int64_t rows;
  std::int64_t columns;
  void* state;
};

/// One reducer over one element type.
struct ReducerKernel {
  std::int8_t components;                     // of a state
  std::int8_t lane_components;                // of an accumulator within a chunk (columns)
  std::int8_t state_size[kMaxComponents];     // bytes per component
  std::int8_t lane_size[kMaxLaneComponents];  // bytes per component
  bool shifted;                               // wants a pivot per column (moments)
  bool skips_nan;                             // a NaN is no pivot, and what is masked becomes one
  bool exact;                                 // the order of elements does not matter: one lane will do
  std::uint8_t shared_lanes;                  // bit i: one lane will do for component i
  bool idempotent;                            // an element may come twice
  bool indexed;                               // the second component is an index
  bool maskable;                // there is an element that changes nothing, or a pivot that does
  alignas(8) char identity[8];  // an element that changes nothing (of the element type)

  void (*rows)(const RowsCall&);
  void (*columns)(const ColumnsCall&);
  /// Rows that run backwards from `data`; may be null.
  void (*backward_rows)(const RowsCall&);
  /// One row of which elements are masked as they are loaded; may be null.
  void (*masked_rows)(const RowsCall&);
  /// Columns of which elements are masked as they are loaded; may be null.
  void (*masked_columns)(const ColumnsCall&);
  /// Columns so short that each lane holds one element at most, without accumulators in memory; may be null.
  void (*short_columns)(const ShortCall&);
  /// Folds lane accumulators `b` into `a`.
  void (*fold)(void* const* a, const void* const* b, std::int64_t columns);
  /// Lane accumulators to states; `counts` per column, or null where every column has `count` elements.
  void (*close)(void* const* states, const void* const* lanes, std::int64_t columns, const double* pivots,
                const double* counts, std::int64_t count, std::int64_t first_index);
  /// Merges states `b` into states `a`, element by element. The ranges may touch but not overlap.
  void (*merge)(void* const* a, const void* const* b, std::int64_t count);
};

/// What a state becomes: see `ufuse.catalogue.FINISHES`.
enum class Finish : std::uint8_t {
#define UFUSE_FINISH(name) name,
#include "reducers.inc"
#undef UFUSE_FINISH
  kCount
};
inline constexpr int kFinishes = static_cast<int>(Finish::kCount);

struct FinishCall {
  void* out;                  // contiguous, of the result's element type
  const void* const* states;  // from the slot's component on
  std::int64_t count;
  double divisor;                    // mean, all: the number of elements
  double ddof;                       // variance, deviation
  const double* divisors = nullptr;  // mean, all: one for each, or null
};
using FinishKernel = void (*)(const FinishCall&);

/// Moves of the gathered pieces, by log2 of the element's size where that is all that matters.
struct PieceKernels {
  /// Elements `stride` apart of `rows` <= kRowsPerStep rows, to rows `pitch` bytes apart.
  void (*gather[4])(void* to, std::int64_t pitch, const char* const* from, std::int64_t rows,
                    std::int64_t stride, std::int64_t count);
  /// Interleaved rows, up to kMostInterleaved of them, to rows `pitch` bytes apart.
  void (*split[4])(void* to, std::int64_t pitch, const char* from, std::int64_t rows, std::int64_t count);
  void (*swap[4])(void* data, std::int64_t count);
  /// to[i] = mask[i] ? from[i] : *fill
  void (*mask[4])(void* to, const void* from, const std::uint8_t* mask, const void* fill, std::int64_t count);
  /// counts[c] += the sum of mask[r][c] over `rows` <= kRowsPerStep rows
  void (*count_columns)(double* counts, const std::uint8_t* const* mask, std::int64_t rows,
                        std::int64_t columns);
  std::int64_t (*count_bytes)(const std::uint8_t* mask, std::int64_t count);
  /// to[c] = mask[c] ? from[c] : fill[c], counts[c] += mask[c]
  void (*mask_columns[kElementTypes])(void* to, const void* from, const std::uint8_t* mask,
                                      const double* fill, double* counts, std::int64_t count);
  /// mask[i] = data[i] is no NaN, and mask[i] besides where `both`; float32, float64.
  void (*not_nan[2])(std::uint8_t* mask, const void* data, std::int64_t count, bool both);
  /// Codes of narrow floats as float32, by `Coding`; `table` has 256 values.
  void (*decode[4])(float* to, const void* from, std::int64_t count, const float* table);
  /// Float32 and float64 as codes of float16, rounded once.
  void (*to_half[2])(std::uint16_t* to, const void* from, std::int64_t count);
  /// Elements of any type as float64.
  void (*to_f64[kElementTypes])(double* to, const void* from, std::int64_t count);
};

struct ReduceKernels {
  /// Null functions where the catalogue has no such kernel.
  ReducerKernel reducer[kReducers][kElementTypes];
  /// Kernels over the codes of 16-bit floats, which leave the states of float32, by `Coding`. They take no
  /// mask.
  ReducerKernel coded[2][kReducers];
  /// finish[kind][type of the component][type of the result]; null where there is none.
  FinishKernel finish[kFinishes][kElementTypes][kElementTypes];
  PieceKernels pieces;

  const ReducerKernel& at(ReducerId id, DType dtype) const {
    return reducer[static_cast<int>(id)][static_cast<int>(dtype)];
  }
  const ReducerKernel& at(ReducerId id, Coding coding) const {
    return coded[static_cast<int>(coding) - 1][static_cast<int>(id)];
  }
};

UFUSE_API const ReduceKernels& reduce_kernels(Tier tier);

/// The type of the components of a state, from the catalogue.
inline DType component_type(ReducerId id, DType dtype, int component) {
  constexpr int kNone = -1;
  static constexpr auto table = [] {
    struct Table {
      std::int8_t type[kReducers][kElementTypes][kMaxComponents];
    } t{};
    for (auto& reducer : t.type)
      for (auto& row : reducer)
        for (auto& cell : row) cell = kNone;
    auto put = [&t](ReducerId r, DType in, auto... components) {
      int i = 0;
      ((t.type[static_cast<int>(r)][static_cast<int>(in)][i++] = static_cast<std::int8_t>(components)), ...);
    };
    using enum DType;
#define UFUSE_REDUCER_KERNEL(name, in, ...) put(ReducerId::name, in, __VA_ARGS__);
#include "reducers.inc"
#undef UFUSE_REDUCER_KERNEL
    return t;
  }();
  return static_cast<DType>(table.type[static_cast<int>(id)][static_cast<int>(dtype)][component]);
}

}  // namespace ufuse
