// Temporaries of one thread: a stack of aligned blocks that is kept between calls.
#pragma once

#include <cstddef>

#include "core/macros.hpp"

namespace ufuse {

/// A block of `bytes`, 64-byte aligned, from the calling thread's own stack; given back in reverse order
/// at the end of the scope. Throws `std::bad_alloc`.
class UFUSE_API ScratchFrame {
 public:
  explicit ScratchFrame(std::size_t bytes);
  ~ScratchFrame();
  ScratchFrame(const ScratchFrame&) = delete;
  ScratchFrame& operator=(const ScratchFrame&) = delete;
  char* data() const noexcept { return data_; }

 private:
  char* data_;
  std::size_t bytes_;
  bool own_;
};

}  // namespace ufuse
