// Reductions of a moving window: sum, mean, var, std, min, max, argmin, argmax, median and rank of the last
// `window` elements up to each position of an axis. NaN do not count; fewer than `min_count` others give NaN.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

enum class WindowOp : std::uint8_t { sum, mean, var, std, min, max, argmin, argmax, median, rank };
inline constexpr int kWindowOps = 10;
inline constexpr int kMaxWindowAxes = 64;

/// Arrays of one shape by their bytes. `out` does not overlap `x`.
struct WindowReduction {
  WindowOp op = WindowOp::sum;
  const char* x = nullptr;
  DType dtype = DType::F64;
  bool swapped = false;  ///< `x` has the other byte order
  char* out = nullptr;
  DType result = DType::F64;  ///< F32 of F32, else F64
  int axes = 0;
  const std::int64_t* shape = nullptr;
  const std::int64_t* strides = nullptr;
  const std::int64_t* out_strides = nullptr;
  int axis = 0;
  std::int64_t window = 1;     ///< 1 <= window <= shape[axis]
  std::int64_t min_count = 1;  ///< 1 <= min_count <= window
  double ddof = 0;
};

/// The same bits for any strides, thread count and tier (v3 up). Throws `std::invalid_argument`,
/// `std::bad_alloc`.
UFUSE_API void move_reduce(const WindowReduction& reduction, Tier tier);

}  // namespace ufuse
