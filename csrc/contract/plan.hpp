// How one product is cut: derived once per call from the sizes, the layout and the tier's block sizes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "contract/product.hpp"

namespace ufuse::contract {

/// Throws std::invalid_argument where K is too large for the elements or `packed` does not fit.
void check(const ContractKernels& kernels, const Product& product);

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
inline std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

inline const ElementKernels& element_kernels(const ContractKernels& kernels, Elements elements) {
  return elements == Elements::f32 ? kernels.f32 : elements == Elements::f64 ? kernels.f64 : kernels.u8s8;
}

/// K cut into equal blocks of at most `kc`, and where the packed blocks of B lie.
struct KBlocks {
  std::int64_t k, width, count;

  KBlocks(const ElementKernels& e, std::int64_t size)
      : k(size), width(0), count(std::max<std::int64_t>(1, ceil_div(size, e.kc))) {
    width = round_up(ceil_div(size, count), 16);  // whole registers of every type: 1025 is 528 + 497
  }
  std::int64_t begin(std::int64_t block) const { return block * width; }
  std::int64_t size(std::int64_t block) const {
    return std::max<std::int64_t>(0, std::min(width, k - begin(block)));
  }
};

/// Bytes of a full packed panel of B over `k` positions.
inline std::int64_t panel_bytes(const ElementKernels& e, std::int64_t k) {
  return e.nr * (ceil_div(k, e.group) * e.b_group + e.b_trailer);
}

inline PackTask pack_task(const Matrix& x, bool columns, std::int64_t lane0, std::int64_t lanes,
                          std::int64_t k0, std::int64_t k, char* out) {
  return {static_cast<const char*>(x.data),
          columns ? x.cols : x.rows,
          columns ? x.rows : x.cols,
          lane0,
          lanes,
          k0,
          k,
          out,
          false};
}

/// Members of a gang on a grid over the tiles of C, so that the fullest has the least to do.
struct Grid {
  int rows = 1, cols = 1;
};
inline Grid choose_grid(int members, std::int64_t row_panels, std::int64_t col_panels) {
  Grid best{members, 1};
  std::int64_t least = INT64_MAX;
  for (int r = members; r >= 1; --r) {
    if (members % r != 0) continue;
    const int c = members / r;
    const std::int64_t load = ceil_div(row_panels, r) * ceil_div(col_panels, c);
    if (load < least) {
      least = load;
      best = {r, c};
    }
  }
  return best;
}

/// Part `index` of `parts` of [0, size), cut at multiples of `unit`.
struct Range {
  std::int64_t begin, end;
};
inline Range part_of(std::int64_t size, std::int64_t unit, int index, int parts) {
  const std::int64_t units = ceil_div(size, unit);
  return {std::min(size, units * index / parts * unit), std::min(size, units * (index + 1) / parts * unit)};
}

/// Where a block of B comes from.
enum class Source : std::uint8_t {
  prepacked,  // the caller's PackedMatrix
  shared,     // packed by the gang into a double buffer, one barrier per k block
  just_once,  // each panel packed by its only reader right before use: M fits one block of rows
  in_place,   // read where it lies (columns with unit stride): too few rows to pay for packing
};

}  // namespace ufuse::contract
