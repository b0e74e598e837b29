// A contraction of two operands over labelled axes: lowered to a product once, run on many arrays of the same
// shapes and strides.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "contract/product.hpp"
#include "core/macros.hpp"
#include "program/program.hpp"

namespace ufuse {

/// One label: its extent, and its byte stride in each array of the contraction, 0 where the array lacks it.
/// The arrays are those A is made of, those B is made of, C, and what the finish reads besides.
struct Label {
  std::int64_t size;
  std::vector<std::int64_t> strides;
};

struct ContractionSpec {
  /// Of the product as the caller sees it: complex ones are complex here.
  Elements elements = Elements::f32;
  std::vector<Label> batch, rows, cols, shared;  // of A, B and C; A and C; B and C; A and B
  /// Of the shared labels, the innermost ones of the operands; fewer than two where their order is to stay,
  /// as where terms are numbered.
  std::vector<std::size_t> innermost;
  int a_arrays = 1, b_arrays = 1, extras = 0;
  bool real_a = false, real_b = false;  // of a complex product: an operand without imaginary parts
  bool conjugate_a = false, conjugate_b = false;
  bool wraps = false;                   // int32 sums of int8 products
  const Program* prologue_a = nullptr;  // of A's arrays; null where it is one array of the product's elements
  const Program* prologue_b = nullptr;
  const Program* finish = nullptr;  // of the sums and the extras; null where C holds the sums
};

class UFUSE_API Contraction {
 public:
  /// The order of the shared labels and the innermost ones decide the bits of float results; that of the
  /// others is free. Programs must outlive the object.
  explicit Contraction(ContractionSpec spec);
  ~Contraction();
  Contraction(const Contraction&) = delete;
  Contraction& operator=(const Contraction&) = delete;

  /// `arrays`: addresses, in the order of the labels' strides. C must not overlap what is read. `positions`:
  /// see Product.
  void run(char* const* arrays, std::int64_t positions = 0) const { run_rows(arrays, positions, -1); }

  /// The same for fewer rows (the labels of A and C alone) than it was made for, or as many where `rows` is
  /// negative. Fewer need rows that are one label.
  void run_rows(char* const* arrays, std::int64_t positions, std::int64_t rows) const;

  std::int64_t m() const noexcept;
  std::int64_t n() const noexcept;
  std::int64_t k() const noexcept;
  std::int64_t items() const noexcept;
  /// How often an element of the first and of the second operand is packed at most: so often does a prologue
  /// compute it.
  std::pair<std::int64_t, std::int64_t> packings() const;
  bool turned() const noexcept;  // whether C^T = B^T A^T is computed

 private:
  struct Lowered;
  std::unique_ptr<const Lowered> lowered_;
};

/// One of several contractions that are independent of each other.
struct ContractionCall {
  const Contraction* contraction;
  char* const* arrays;
  std::int64_t rows = -1;  // see `run_rows`

  double work() const;  // multiplications
};

/// Runs them all: each on one thread where there are enough of a size, else one after the other.
UFUSE_API void run_many(std::span<const ContractionCall> calls);

}  // namespace ufuse
