// Linear layers whose weights are read once for eight rows of activations.
#pragma once

#include "contract/product.hpp"
#include "core/tiers.hpp"
#include "skinny/packed_codes.hpp"

namespace ufuse {

/// x (m x k, float32) times weights (n x k) that lie in memory with contiguous rows, in float32; the bits are
/// those of `multiply` with Elements::f32.
struct TurnedLayer {
  std::int64_t m = 0, n = 0, k = 0;
  Matrix x;
  const char* weights = nullptr;
  std::int64_t row_bytes = 0;
  skinny::Weight kind = skinny::Weight::f32;
};
UFUSE_API void multiply_turned(Tier tier, const TurnedLayer& layer, const Epilogue& epilogue);

/// x (m x k, float32) times weights in codes. Where `row_scales` (m floats) is given, rows of x are quantized
/// as `quantize_rows` does, filling it, and the epilogue gets what has still to be multiplied by them; for
/// codes whose levels are integers of four bits.
struct CodedLayer {
  std::int64_t m = 0;
  Matrix x;
  const PackedCodes* weights = nullptr;
  float* row_scales = nullptr;
};
UFUSE_API void multiply_coded(Tier tier, const CodedLayer& layer, const Epilogue& epilogue);

}  // namespace ufuse
