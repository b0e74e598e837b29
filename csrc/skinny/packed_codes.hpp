// Weights in codes as the kernels of few rows read them.
#pragma once

#include <cstdint>
#include <memory>

#include "core/macros.hpp"
#include "skinny/kernels.hpp"

namespace ufuse {

/// What a matrix of codes (out, in) is.
struct CodesForm {
  skinny::Codes codes = skinny::Codes::int8;
  std::int64_t n = 0, k = 0;   // outputs, inputs
  std::int64_t block = 0;      // inputs that share a scale: a multiple of 8, or k and more
  std::int64_t per_super = 1;  // blocks that share a float16
  skinny::Scales scales = skinny::Scales::f32;
  bool offsets = false;
  int zero = 0;           // of four bits: what is taken from codes to make levels of them
  float levels[16] = {};  // of four bits
  bool integers = false;  // levels are code - zero
};

/// Of one value for each output and block, C-contiguous (n x blocks); super ones n x (blocks / per_super).
struct CodesScales {
  const void *scale, *offset, *super_scale, *super_offset;
};

struct TakenScales {
  void *scale, *offset, *super_scale, *super_offset;
};

class UFUSE_API PackedCodes {
 public:
  /// Throws std::invalid_argument where blocks do not fit, std::bad_alloc.
  explicit PackedCodes(const CodesForm& form);

  /// Codes of some outputs, one to a byte, from one that is a multiple of 64 on.
  void put_codes(std::int64_t first, std::int64_t rows, const std::uint8_t* codes, std::int64_t row_bytes);
  void put_scales(const CodesScales& scales);
  /// The other way round: writes what was put.
  void take_codes(std::int64_t first, std::int64_t rows, std::uint8_t* codes, std::int64_t row_bytes) const;
  void take_scales(const TakenScales& scales) const;

  const CodesForm& form() const noexcept { return form_; }
  std::int64_t bytes() const noexcept { return bytes_; }
  std::int64_t groups() const noexcept { return groups_; }
  std::int64_t blocks() const noexcept { return blocks_; }
  /// Inputs, up to a multiple of 8.
  std::int64_t padded_k() const noexcept { return padded_k_; }
  /// All of a call that is the same for all activations.
  skinny::CodesCall call(std::int64_t group) const;

 private:
  struct Free {
    void operator()(char* p) const noexcept;
  };
  CodesForm form_;
  std::int64_t groups_, blocks_, supers_, padded_k_, part_, parts_, bytes_;
  void check_outputs(std::int64_t first, std::int64_t rows) const;
  std::int64_t group_bytes_, scale_bytes_;  // of a group: codes, of a block: scales
  std::unique_ptr<char, Free> data_;
  char *scale_, *offset_, *super_scale_, *super_offset_;
};

}  // namespace ufuse
