// What the driver sees of softmax: one line that is contiguous, or several side by side. One table per tier.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"

namespace ufuse {

/// Bytes of a tile's rows: whole cache lines, few enough that a tile of up to 3000 rows stays in 1 MB of L2.
/// Of (4096, 4096) float32 a model of the loop wrote 12 GB/s with 64 bytes, 18 with 128, 20 with 256 and 512.
inline constexpr int kSoftmaxTileBytes = 256;

/// Short lines are finished so many at a time: one would wait for each step of it.
inline constexpr int kSoftmaxRows = 8;
/// Bytes of lines that are finished together, which stay in L1.
inline constexpr std::int64_t kSoftmaxRowBytes = 16 << 10;

/// Lines of contiguous elements.
struct SoftmaxRows {
  const char* in;
  char* out;
  std::int64_t rows;
  std::int64_t in_stride, out_stride;  // bytes from line to line
  std::int64_t count;
  char* values;        // the exponentials of the lines that are finished together: `softmax_row_bytes` each
  std::int64_t ahead;  // bytes from what is read to what is asked for meanwhile
  bool logarithm;
  bool stream;  // past the caches
};

/// `columns` lines side by side, of `rows` elements, in tiles of up to kSoftmaxTileBytes of them.
struct SoftmaxTiles {
  const char* in;                 // null: the only tile is in `values`
  const std::int64_t* in_offset;  // bytes to each row
  char* out;                      // null: the results of the only tile stay in `values`
  const std::int64_t* out_offset;
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t first, width;  // columns of the first tile and of the others
  char* values;               // `rows` times `pitch` elements
  std::int64_t pitch;
  bool logarithm;
  bool stream;
};

/// Bytes from line to line of `SoftmaxRows::values`: with room for a register past the end.
constexpr std::int64_t softmax_row_bytes(std::int64_t count, std::int64_t size) {
  return (count * size + 127) / 64 * 64;
}
/// How many lines of so many bytes are finished together.
constexpr std::int64_t softmax_rows_together(std::int64_t bytes) {
  return bytes * 2 > kSoftmaxRowBytes              ? 1
         : bytes * kSoftmaxRows > kSoftmaxRowBytes ? kSoftmaxRowBytes / bytes
                                                   : kSoftmaxRows;
}

/// By whether the elements are float64, and not float32.
struct SoftmaxKernels {
  void (*rows[2])(const SoftmaxRows&);
  void (*tiles[2])(const SoftmaxTiles&);
};

UFUSE_API const SoftmaxKernels& softmax_kernels(Tier tier);

}  // namespace ufuse
