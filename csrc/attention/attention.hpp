// Scaled dot-product attention in one pass over keys and values: softmax(q k^T * scale + mask) v, the largest
// score and the sum of each query kept as blocks of keys come by (Milakov and Gimelshein 2018), no matrix of
// scores.
//
// Bits: blocks of kAttentionKeys keys are taken in order, each query by itself. So they depend on neither
// threads, layout, the queries beside it nor the tier (from v3 up). A block that no query of a tile may see
// changes nothing unless a value in it is Inf or NaN (0 times those is NaN, as in the formula); that is
// looked for, and only blocks without are left out.
#pragma once

#include <cstdint>

#include "attention/kernels.hpp"

namespace ufuse {

/// A stack of matrices of any layout; strides in bytes, 0 where it is broadcast.
struct AttentionOperand {
  char* data = nullptr;
  AttentionType type = AttentionType::f32;
  const std::int64_t* strides = nullptr;  // of the leading axes
  std::int64_t row = 0, column = 0;
};

struct Attention {
  int axes = 0;  // leading: batch, heads
  const std::int64_t* shape = nullptr;
  std::int64_t queries = 0, keys = 0, depth = 0, width = 0;
  AttentionOperand q, k, v;  // (queries, depth), (keys, depth), (keys, width)
  AttentionOperand mask;     // (queries, keys), or no data
  AttentionOperand out;      // (queries, width), apart from all others
  double scale = 1;
  bool causal = false;  // query i sees the keys up to i
};

/// float64 throughout, or none of it. Throws `std::bad_alloc`.
UFUSE_API void attention(const Attention& a);

}  // namespace ufuse
