// Matrix products over operands of any layout: C[i, j] = sum over k of A[i, k] * B[k, j], batched, with an
// epilogue that writes the result. Fused indices of a general contraction are axes with offset vectors.
//
// Bits: for a given (elements, K) each element of a float result is the same sequence of roundings, whatever
// the layout, the other sizes, the position in C, the batch, the threads, and the tier from v3 up (v2 has no
// fused multiply-add): k is cut into equal blocks (`k_block`), each a chain of fused multiply-adds from 0 in
// the order of k, and the blocks are added in order. Integer results are exact.
//
// Complex products are real ones: sizes and axes are those of the real view, in which parts lie side by side.
// A is m x 2k, C is m x 2n, and B is given as 2k x 2n axes of which both of a pair of k have the same place:
// packing makes two rows of it (pack.hpp). So `n` and `k` count parts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "contract/failure.hpp"
#include "contract/kernels.hpp"
#include "core/function_ref.hpp"
#include "core/macros.hpp"
#include "program/program.hpp"

namespace ufuse {

/// A finished part of the result: element (i, j) of it is acc[i * ld + j], float, double or int32, and
/// belongs to row row0 + i, column col0 + j of item `batch`. `acc` is scratch: it may be overwritten.
struct EpilogueTile {
  std::int64_t batch;
  std::int64_t row0, rows;
  std::int64_t col0, cols;
  void* acc;
  std::int64_t ld;  // elements
};

/// Called once for every part of the result, from several threads at once; the parts are disjoint and cover
/// it. Parts have up to 112 rows and 256 columns. It writes the result itself, and must not throw.
using Epilogue = FunctionRef<void(const EpilogueTile&)>;

/// Elements that are computed as they are packed: a program's results of inputs that lie as they like.
struct Prologue {
  struct Input {
    const void* data;
    Axis rows, cols, batch;
  };
  const Program* program = nullptr;  // whose output is what the product packs
  std::vector<Input> inputs;
  mutable Failure failure;  // of packing: what a product then makes of the elements is nothing
};

/// A matrix operand. An axis' `size` is not read: the product's sizes count.
struct Matrix {
  const void* data = nullptr;
  Axis rows, cols;
  bool conjugate = false;              // complex only
  const Prologue* prologue = nullptr;  // its elements, instead of those at `data`
};

/// B packed once and used many times: weights. It belongs to the kernels (the tier) it was packed for.
class UFUSE_API PackedMatrix {
 public:
  /// Packs the K x N matrix `b` on up to `threads` threads (0: as many as worth while).
  PackedMatrix(const ContractKernels& kernels, Elements elements, const Matrix& b, std::int64_t k,
               std::int64_t n, int threads = 0);

  const ContractKernels& kernels() const noexcept { return *kernels_; }
  Elements elements() const noexcept { return elements_; }
  std::int64_t k() const noexcept { return k_; }
  std::int64_t n() const noexcept { return n_; }
  std::int64_t bytes() const noexcept { return bytes_; }
  const char* data() const noexcept { return data_.get(); }
  /// Writes what was packed, bit for bit: a matrix (n, k), C-contiguous.
  void unpack(char* out) const;

 private:
  struct Free {
    void operator()(char* p) const noexcept;
  };
  const ContractKernels* kernels_;
  Elements elements_;
  std::int64_t k_, n_, bytes_;
  std::unique_ptr<char, Free> data_;
};

struct Product {
  Elements elements = Elements::f32;
  std::int64_t m = 0, n = 0, k = 0;
  Matrix a;                              // m x k
  Matrix b;                              // k x n; not read where `packed` is given
  const PackedMatrix* packed = nullptr;  // the same for every item of the batch
  void* c = nullptr;                     // m x n, overwritten; not read or written where there is an epilogue
  Axis c_rows, c_cols;
  std::int64_t batch = 1;  // items; their operands start at a.data + batch_a.at(item) and so on
  Axis batch_a, batch_b, batch_c;
  std::int64_t terms = 0;  // m n k of what a layout has cut this product from; 0: it is whole
  const Epilogue* epilogue = nullptr;
  int threads = 0;     // at most this many; 0: thread_limit()
  bool wraps = false;  // sums of int8 products that pass int32 are meant to wrap
  std::int64_t positions =
      0;  // arg_*: bytes from C to which term each is, integers of its size laid out as it is
};

/// Runs the product. C must not overlap A or B. Fast where the columns of C have unit stride. Any size may be
/// 0: K = 0 gives the sum of nothing, to the epilogue as well. Throws std::invalid_argument where K passes
/// `max_k`, or `packed` does not fit, and std::bad_alloc; nothing is written then.
UFUSE_API void multiply(const ContractKernels& kernels, const Product& product);

/// The largest K whose int32 sums cannot overflow: 65793 for u8s8 and s8u8, 131071 for s8s8, 132104 for
/// offset_u8s8 (its rows are within +-127); no limit for floats.
UFUSE_API std::int64_t max_k(Elements elements) noexcept;

/// The k block of a product with this K: of floats the same on every tier.
UFUSE_API std::int64_t k_block(const ContractKernels& kernels, Elements elements, std::int64_t k) noexcept;

/// Quantizes each of `rows` rows of float32 to `out` (rows x k, C-contiguous), symmetrically with a scale of
/// its own: scales[i] = max|x[i]| / 127, out = round-half-even(x / scale) + 128. A row of zeros has scale 1;
/// one with NaN or Inf has that as its scale and 128 throughout, so that what is computed from it is NaN.
UFUSE_API void quantize_rows(const ContractKernels& kernels, const Matrix& x, std::int64_t rows,
                             std::int64_t k, std::uint8_t* out, float* scales, int threads = 0);

/// An int8 linear layer on float32 activations: quantizes the rows of `x` (m x k) into scratch (at most 16
/// MiB at a time), fills `scales` (m floats) before the epilogue sees the row, multiplies with `w` (k x n,
/// int8; the caller gives (n, k) weights by their strides) or `packed`, and hands the exact int32 sums to the
/// epilogue.
struct QuantizedLinear {
  std::int64_t m = 0, n = 0, k = 0;
  Matrix x;
  Matrix w;
  const PackedMatrix* packed = nullptr;  // packed as Elements::offset_u8s8
  float* scales = nullptr;
  int threads = 0;
};
UFUSE_API void multiply_quantized(const ContractKernels& kernels, const QuantizedLinear& layer,
                                  const Epilogue& epilogue);

}  // namespace ufuse
