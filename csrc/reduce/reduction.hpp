// Reductions over any axes of strided arrays, in one read, with one result for all.
//
// The tree that folds the elements depends on the logical shape alone: never on strides, threads or tier.
//
//   1. The reduced axes, taken in logical order, form *groups*: the last axis, joined by the axis before it
//      while it has fewer than kShortGroup elements, and so on outwards. One pass reduces one group,
//      innermost first; what is between passes is at least kShortGroup times smaller than the input.
//   2. Within a group (its elements in C order): chunks of kChunk; element j of a chunk in lane j % kLanes;
//      lanes folded by halves (l with l + 8, + 4, + 2, + 1).
//   3. The states of the chunks, and those of a later group, are merged by the tree of 2.
//
// Sums, products and moments of floats are kept in float64, integers in 64 bits, extremes in their own type.
#pragma once

#include <cstdint>
#include <memory>

#include "core/macros.hpp"
#include "reduce/kernels.hpp"

namespace ufuse {

inline constexpr std::int64_t kShortGroup = 128;
inline constexpr int kMaxReduceAxes = 64;
inline constexpr int kMaxReduceInputs = 8;
inline constexpr int kMaxSlots = 16;

/// A strided array: strides in bytes, one per axis of the reduced shape, 0 where broadcast. Any alignment.
struct ReduceInput {
  const char* data = nullptr;
  DType dtype = DType::F32;
  bool swapped = false;  // non-native byte order
  const std::int64_t* strides = nullptr;
  Coding coding = Coding::plain;
  const float* table = nullptr;  // 256 values
};

/// Rows of elements at equal steps, of the inputs of a reduction.
struct SourceRows {
  const std::int64_t* index;  // of the first element
  int axis;                   // along which rows run
  std::int64_t count;
  int across;  // along which one follows the other
  std::int64_t step, rows;
  std::int64_t pitch;  // elements from one row to the next where they are written
};

/// From the first element of a piece to that of the one after it: elements along its rows, and along the axis
/// across. Nothing is known of it where both are 0.
struct NextPiece {
  std::int64_t along = 0, across = 0;
};

/// Computes rows, one piece after the other, on one thread.
class PieceReader {
 public:
  virtual ~PieceReader() = default;
  /// Writes rows of each input k of the reduction to `to[k]`, in native byte order. `next`: what the next
  /// call is likely to be for.
  virtual void read(const SourceRows& rows, const NextPiece& next, void* const* to) = 0;
  /// The same for the piece that came next, with rows alike, to the same place.
  virtual void read_on(const NextPiece& next) = 0;

  /// Memory that is read for the next piece and has not been asked for, laid out as the elements just written
  /// for input 0: for one who folds these, and can ask meanwhile. Null where there is none.
  virtual const char* unasked() const { return nullptr; }
};

/// Where elements are computed and not read: the map of a map-reduce. The inputs' `data` is then unused;
/// their strides only say along which axis pieces are cheapest.
class PieceSource {
 public:
  virtual ~PieceSource() = default;
  /// Called from several threads at once.
  virtual std::unique_ptr<PieceReader> reader() const = 0;

  /// Whether elements along `outer` follow those along `inner`, of which there are `extent`: indices along
  /// `inner` may then be larger.
  virtual bool continues(int outer, int inner, std::int64_t extent) const {
    static_cast<void>(outer), static_cast<void>(inner), static_cast<void>(extent);
    return false;
  }
};

/// One result: a reducer over one input, and what becomes of its state.
struct ReduceSlot {
  ReducerId reducer = ReducerId::sum;
  int input = 0;
  DType element =
      DType::F32;  // type reduced: the input's, or F64 to convert each element first; F32 of codes
  Finish finish = Finish::value;
  int component = 0;  // of the state: where the finish starts
  DType result = DType::F32;
  char* out = nullptr;
  const std::int64_t* out_strides = nullptr;  // one per axis of the shape; those of reduced axes are ignored
  double divisor = 1.0;                       // Finish::mean, all: the number of elements
  double ddof = 0.0;                          // Finish::variance, deviation
  const double* divisors = nullptr;           // where results differ in it: one each
  const void* initial = nullptr;              // a first component to merge the result with, or null
};

struct Reduction {
  int axes = 0;
  const std::int64_t* shape = nullptr;
  std::uint64_t reduced = 0;  // bit i: axis i is reduced
  int inputs = 1;
  ReduceInput input[kMaxReduceInputs];
  const PieceSource* source = nullptr;  // where the inputs are computed
  const ReduceInput* mask = nullptr;    // bool: elements that count; null means all
  bool skip_nan = false;                // NaN do not count: of the one input, float32 or float64
  int slots = 1;
  ReduceSlot slot[kMaxSlots];
};

/// Throws `std::invalid_argument` where the catalogue has no kernel for a slot.
void check_slots(const Reduction& reduction, const ReduceKernels& kernels);

/// Runs a reduction with at least one element per result. Outputs must not overlap inputs.
/// Throws `std::invalid_argument` where the catalogue has no such kernel, `std::bad_alloc`.
UFUSE_API void reduce(const Reduction& reduction, const ReduceKernels& kernels);

/// One reducer over one array in native byte order, for callers that must be quick about small arrays (the
/// Cython entry points): of one or two axes, few rows of up to a chunk take no planning and no memory.
/// `out` is contiguous, and `out_strides` has one entry per axis. Returns false, with nothing written, where
/// there is no element or no such kernel; the caller then takes the general way, which explains.
UFUSE_API bool reduce_fast(const void* data, int axes, const std::int64_t* shape, const std::int64_t* strides,
                           DType dtype, std::uint64_t reduced, void* out, const std::int64_t* out_strides,
                           DType result, ReducerId reducer, Finish finish, int component, double ddof);

}  // namespace ufuse
