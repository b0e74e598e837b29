// Segments and groups of small arrays, without Python: what their fast entries call.
#pragma once

#include "core/tiers.hpp"
#include "reduce/reduction.hpp"

namespace ufuse {

/// One reducer over the parts of one axis of an array in native byte order.
struct PartsCall {
  const char* data;
  int axes;
  const std::int64_t* shape;
  const std::int64_t* strides;
  DType dtype;
  int axis;
  ReducerId reducer;
  DType element;
  Finish finish;
  int component;
  DType result;
  char* out;
  const std::int64_t* out_strides;
  bool all_needed;  // an empty part is for the general way
};

/// Segments [starts[i], stops[i]), or up to the next start where `stops` is null. False, with nothing
/// written, where the general way is asked for: one is not within the axis, or empty where all are needed.
UFUSE_API bool segments_fast(const PartsCall& call, std::int64_t count, const std::int64_t* starts,
                             const std::int64_t* stops);

/// Groups by labels of an integer type. False where a label is no group, or a group is empty where all are
/// needed.
UFUSE_API bool groups_fast(const PartsCall& call, std::int64_t count, const char* labels, DType label_type,
                           const std::int64_t* label_stride);

}  // namespace ufuse
