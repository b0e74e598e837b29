// The scratch memory of a product: aligned blocks of the calling thread, kept from call to call.
#pragma once

#include <cstddef>

namespace ufuse {

/// Lends `bytes` of memory aligned to a page for the life of the object: one of the thread's two blocks where
/// one is free (they grow to 32 MiB and are kept), freshly allocated memory otherwise.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes);  // throws std::bad_alloc
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() const noexcept { return data_; }

 private:
  char* data_;
  bool* lent_;  // the mark of the thread's block; null where the memory is freed at the end
};

/// Aligned to a page; throws std::bad_alloc.
char* allocate_aligned(std::size_t bytes);

}  // namespace ufuse
