#include "contract/few_rows.hpp"

#include <cstring>

#include "skinny/layer.hpp"

namespace ufuse {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
constexpr std::int64_t kLeast = 16;  // columns, and k: lanes of the widest register

bool is_for_turning(const Product& p) {
  return p.elements == Elements::f32 && p.positions == 0 && p.packed == nullptr && p.batch == 1 &&
         p.a.prologue == nullptr && p.b.prologue == nullptr && p.m >= 1 && p.m <= skinny::kMostRows &&
         p.n >= kLeast && p.k >= kLeast && p.b.rows.affine() && p.b.rows.stride == kFloat &&
         p.b.cols.affine() && p.b.cols.stride != kFloat;
}

}  // namespace

bool multiply_few_rows(Tier tier, const Product& product) {
  if (!is_for_turning(product)) return false;
  TurnedLayer layer;
  layer.m = product.m;
  layer.n = product.n;
  layer.k = product.k;
  layer.x = product.a;
  layer.weights = static_cast<const char*>(product.b.data);
  layer.row_bytes = product.b.cols.stride;
  if (product.epilogue != nullptr) {
    multiply_turned(tier, layer, *product.epilogue);
    return true;
  }
  const auto store = [&product](const EpilogueTile& tile) {
    const auto* sums = static_cast<const float*>(tile.acc);
    const bool adjacent = product.c_cols.affine() && product.c_cols.stride == kFloat;
    for (std::int64_t i = 0; i < tile.rows; ++i, sums += tile.ld) {
      char* row = static_cast<char*>(product.c) + product.c_rows.at(tile.row0 + i);
      if (adjacent) {
        std::memcpy(row + tile.col0 * kFloat, sums, static_cast<std::size_t>(tile.cols * kFloat));
        continue;
      }
      for (std::int64_t j = 0; j < tile.cols; ++j)
        std::memcpy(row + product.c_cols.at(tile.col0 + j), sums + j, sizeof(float));
    }
  };
  multiply_turned(tier, layer, store);
  return true;
}

}  // namespace ufuse
