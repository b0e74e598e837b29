#include "core/scratch.hpp"

#include <cstdlib>
#include <new>

namespace ufuse {
namespace {

constexpr std::size_t kAlignment = 64;
// What a thread keeps; larger requests come from the heap and go back to it.
constexpr std::size_t kStackBytes = std::size_t{1} << 20;

struct Stack {
  char* base = nullptr;
  std::size_t used = 0;
  ~Stack() { std::free(base); }
};
thread_local Stack stack;

char* allocate(std::size_t bytes) {
  void* block = std::aligned_alloc(kAlignment, bytes);
  if (block == nullptr) throw std::bad_alloc();
  return static_cast<char*>(block);
}

}  // namespace

ScratchFrame::ScratchFrame(std::size_t bytes) : bytes_((bytes + kAlignment - 1) / kAlignment * kAlignment) {
  own_ = stack.used + bytes_ > kStackBytes;
  if (own_) {
    data_ = allocate(bytes_);
    return;
  }
  if (stack.base == nullptr) stack.base = allocate(kStackBytes);
  data_ = stack.base + stack.used;
  stack.used += bytes_;
}

ScratchFrame::~ScratchFrame() {
  if (own_)
    std::free(data_);
  else
    stack.used -= bytes_;
}

}  // namespace ufuse
