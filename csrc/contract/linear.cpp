// Prepacked weights, quantized activations, and the int8 linear layer made of them.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "contract/plan.hpp"
#include "contract/product.hpp"
#include "contract/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace {

/// Bytes of k that lie together in a panel of what `PackedMatrix` packs: a float, or four int8.
std::int64_t unit_of(const ElementKernels& e) { return std::max<std::int64_t>(4, e.b_size); }

/// Bytes from one unit of a column to its next in a panel of so many columns. How wide that is, is the
/// kernels' matter: where all is 0 but the first column's second unit, this is the first byte that is not.
std::int64_t bytes_of_units(const ElementKernels& e, std::int64_t columns) {
  const std::int64_t unit = unit_of(e), k = 2 * unit / e.b_size;
  std::vector<char> units(static_cast<std::size_t>(columns * 2 * unit));
  units[static_cast<std::size_t>(unit)] = 1;
  const Scratch panel(static_cast<std::size_t>(contract::panel_bytes(e, k)));
  e.pack_b(contract::pack_task({units.data(), {k, e.b_size, nullptr}, {columns, 2 * unit, nullptr}}, true, 0,
                               columns, 0, k, panel.data()));
  std::int64_t at = 0;
  while (panel.data()[at] == 0) ++at;
  return at;
}

constexpr std::int64_t kQuantizedBytes =
    16 << 20;  // of activations at a time; packing B again for each costs < 1 %

}  // namespace

void PackedMatrix::Free::operator()(char* p) const noexcept { std::free(p); }

PackedMatrix::PackedMatrix(const ContractKernels& kernels, Elements elements, const Matrix& b, std::int64_t k,
                           std::int64_t n, int threads)
    : kernels_(&kernels), elements_(elements), k_(k), n_(n), bytes_(0) {
  if (k > max_k(elements))
    throw std::invalid_argument("PackedMatrix: K = " + std::to_string(k) +
                                " can overflow int32 sums of int8 products; at most " +
                                std::to_string(max_k(elements)) + " is exact");
  const ElementKernels& e = contract::element_kernels(kernels, elements);
  const contract::KBlocks blocks(e, k);
  const std::int64_t panel = contract::panel_bytes(e, blocks.width), panels = ceil_div(n, e.nr);
  bytes_ = blocks.count * panels * panel;
  data_.reset(allocate_aligned(static_cast<std::size_t>(bytes_)));
  const int limit = std::min(threads > 0 ? threads : thread_limit(), threads_for_bytes(k * n * e.b_size));
  parallel_for(panels, limit, [&](std::int64_t j) {
    const std::int64_t columns = std::min<std::int64_t>(e.nr, n - j * e.nr);
    for (std::int64_t block = 0; block < blocks.count; ++block)
      e.pack_b(contract::pack_task(b, true, j * e.nr, columns, blocks.begin(block), blocks.size(block),
                                   data_.get() + (block * panels + j) * panel));
  });
}

void PackedMatrix::unpack(char* out) const {
  if (k_ == 0 || n_ == 0) return;
  const ElementKernels& e = contract::element_kernels(*kernels_, elements_);
  const contract::KBlocks blocks(e, k_);
  const std::int64_t panel = contract::panel_bytes(e, blocks.width), panels = ceil_div(n_, e.nr);
  const std::int64_t size = e.b_size, unit = unit_of(e), terms = unit / size;
  const std::int64_t whole = bytes_of_units(e, std::min<std::int64_t>(e.nr, n_));
  const std::int64_t last = bytes_of_units(e, n_ - (panels - 1) * e.nr);
  parallel_for(panels, threads_for_bytes(k_ * n_ * size), [&](std::int64_t j) {
    const std::int64_t step = j + 1 < panels ? whole : last;
    for (std::int64_t column = j * e.nr; column < std::min(n_, (j + 1) * e.nr); ++column)
      for (std::int64_t block = 0; block < blocks.count; ++block) {
        const char* from = data_.get() + (block * panels + j) * panel + (column - j * e.nr) * unit;
        char* to = out + (column * k_ + blocks.begin(block)) * size;
        for (std::int64_t k = 0; k < blocks.size(block); k += terms, from += step, to += unit)
          std::memcpy(to, from, static_cast<std::size_t>(std::min(terms, blocks.size(block) - k) * size));
      }
  });
}

void quantize_rows(const ContractKernels& kernels, const Matrix& x, std::int64_t rows, std::int64_t k,
                   std::uint8_t* out, float* scales, int threads) {
  if (rows <= 0) return;
  Axis along_k = x.cols;
  along_k.size = k;
  const int limit = std::min(threads > 0 ? threads : thread_limit(), threads_for_bytes(rows * k * 4));
  const std::int64_t claim = std::max<std::int64_t>(1, rows / (8 * limit));
  parallel_for(ceil_div(rows, claim), limit, [&](std::int64_t task) {
    for (std::int64_t i = task * claim; i < std::min(rows, (task + 1) * claim); ++i)
      scales[i] = kernels.quantize_row(static_cast<const char*>(x.data) + x.rows.at(i), along_k, out + i * k);
  });
}

void multiply_quantized(const ContractKernels& kernels, const QuantizedLinear& layer,
                        const Epilogue& epilogue) {
  const std::int64_t rows_at_once = std::clamp<std::int64_t>(
      kQuantizedBytes / std::max<std::int64_t>(1, layer.k), 1, std::max<std::int64_t>(1, layer.m));
  Product product;
  product.elements = Elements::offset_u8s8;
  product.n = layer.n;
  product.k = layer.k;
  product.b = layer.w;
  product.packed = layer.packed;
  product.threads = layer.threads;
  contract::check(kernels, product);
  const Scratch scratch(static_cast<std::size_t>(rows_at_once * layer.k));
  auto* quantized = reinterpret_cast<std::uint8_t*>(scratch.data());
  for (std::int64_t first = 0; first < layer.m; first += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, layer.m - first);
    Matrix x = layer.x;
    if (x.rows.affine())
      x.data = static_cast<const char*>(x.data) + first * x.rows.stride;
    else
      x.rows.offsets += first;
    quantize_rows(kernels, x, rows, layer.k, quantized, layer.scales + first, layer.threads);
    const auto shifted = [&](const EpilogueTile& tile) {
      EpilogueTile whole = tile;
      whole.row0 += first;
      epilogue(whole);
    };
    const Epilogue shifted_epilogue(shifted);
    product.m = rows;
    product.a = {quantized, Axis{rows, layer.k, nullptr}, Axis{layer.k, 1, nullptr}};
    product.epilogue = &shifted_epilogue;
    multiply(kernels, product);
  }
}

}  // namespace ufuse
