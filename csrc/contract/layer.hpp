// A linear layer: x @ w.T with weights in any form, and a program that makes the result of the sums.
#pragma once

#include <cstdint>

#include "core/macros.hpp"
#include "core/tiers.hpp"
#include "program/program.hpp"

namespace ufuse {

/// A matrix and its byte strides; of an operand of the epilogue a stride is 0 where it is broadcast.
struct LayerMatrix {
  char* data;
  std::int64_t row_stride, col_stride;
};

/// How weights (n, k) lie, and in what they are multiplied.
enum class WeightForm : std::uint8_t {
  f32,  // a `LayerMatrix` of floats, and the next three
  f64,
  half,      // rows are contiguous
  bfloat16,  // rows are contiguous
  matrix,    // a PackedMatrix of floats
  int8,      // a PackedMatrix of int8: rows of x are quantized, sums are int32
  coded,     // PackedCodes
  dynamic,   // PackedCodes of integers in four bits: rows of x are quantized
};

struct LinearLayer {
  static constexpr int kMostExtras = 4;
  std::int64_t m, n, k;
  LayerMatrix x, out;
  WeightForm form;
  LayerMatrix weights;  // of the first forms
  const void* packed;   // of the others
  const Program* program;
  int extras;
  LayerMatrix extra[kMostExtras];  // further inputs of the program: (1 or m, 1 or n)
};

/// The program's inputs are the sums; where rows of x are quantized, their scales; the extras. Nothing
/// overlaps `out`. Throws std::invalid_argument where the program or packed weights do not fit,
/// std::bad_alloc.
UFUSE_API void run_layer(const LinearLayer& layer, Tier tier);

}  // namespace ufuse
