#include "contract/scratch.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ufuse {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20, kKept = std::size_t{32} << 20;

struct Block {
  char* data = nullptr;
  std::size_t bytes = 0;
  bool taken = false;
  ~Block() { std::free(data); }
};
thread_local Block blocks[2];  // a quantized layer holds one for its rows while its product uses the other

Block* free_block() noexcept {
  for (Block& block : blocks)
    if (!block.taken) return &block;
  return nullptr;
}

}  // namespace

char* allocate_aligned(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kPage;
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, rounded);
  if (p == nullptr) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(p, rounded, MADV_HUGEPAGE);
#endif
  return static_cast<char*>(p);
}

Scratch::Scratch(std::size_t bytes) : data_(nullptr), lent_(nullptr) {
  Block* block = bytes <= kKept ? free_block() : nullptr;
  if (block == nullptr) {
    data_ = allocate_aligned(bytes);
    return;
  }
  if (block->bytes < bytes) {
    const std::size_t wanted =
        std::min(kKept, std::max(bytes, 2 * block->bytes));  // grows a few times at most
    std::free(block->data);
    block->data = nullptr;
    block->bytes = 0;
    block->data = allocate_aligned(wanted);
    block->bytes = wanted;
  }
  block->taken = true;
  lent_ = &block->taken;
  data_ = block->data;
}

Scratch::~Scratch() {
  if (lent_ != nullptr)
    *lent_ = false;
  else
    std::free(data_);
}

}  // namespace ufuse
