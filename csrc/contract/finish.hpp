// A program as the epilogue of a product: what it makes of the sums, and of arrays that lie as C does, is
// stored while the sums are in cache.
#pragma once

#include <cstdint>
#include <vector>

#include "contract/product.hpp"
#include "program/program.hpp"

namespace ufuse {

class UFUSE_API ProgramFinish {
 public:
  /// `sum_size`: bytes of an accumulator.
  ProgramFinish(const Program& program, std::size_t sum_size)
      : program_(program), sum_size_(static_cast<std::int64_t>(sum_size)) {}

  /// Adds C, then each further input of the program: broadcast where a stride is 0.
  void add(void* data, const Axis& rows, const Axis& cols, const Axis& batch);

  /// Called by the product, from its threads.
  void operator()(const EpilogueTile& tile) const;

  /// Throws what a tile has thrown: an epilogue must not throw through the product's threads.
  void check() const { failure_.check(); }

 private:
  struct Array {
    char* data;
    Axis rows, cols, batch;
  };
  void run_affine(const EpilogueTile& tile) const;
  void run_scattered(const EpilogueTile& tile) const;
  std::int64_t size_of(std::size_t array) const;

  const Program& program_;
  std::int64_t sum_size_;
  bool affine_ = true;
  std::vector<Array> arrays_;
  mutable Failure failure_;
};

}  // namespace ufuse
