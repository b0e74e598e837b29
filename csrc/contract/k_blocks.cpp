// A thread that reads some columns of all rows of B begins anew with every row, and the prefetchers with it:
// vector times 4096^2 float32 on one core of a Granite Rapids 13.8 GB/s by 512 columns, 15.5 by 2048, 17.4 by
// all. So a thread takes whole rows, those of a k block; a block's sums are a chain of their own, and joined
// in order, as they are when one thread does all.
#include "contract/k_blocks.hpp"

#include <algorithm>
#include <cstring>

#include "contract/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse::contract {
namespace {

constexpr std::int64_t kLeastStrip = 4096;  // bytes of columns

template <class T>
void add(char* to, const char* from, std::int64_t columns) {
  for (std::int64_t j = 0; j < columns; ++j, to += sizeof(T), from += sizeof(T)) {
    T before, block;
    std::memcpy(&before, to, sizeof(T));
    std::memcpy(&block, from, sizeof(T));
    before += block;
    std::memcpy(to, &before, sizeof(T));
  }
}

class KBlocksOf {
 public:
  KBlocksOf(const Plan& plan, int threads)
      : plan_(plan), p_(plan.p), e_(plan.e), count_(plan.blocks.count), threads_(threads) {
    const std::int64_t most = std::max<std::int64_t>(1, p_.n * e_.b_size / kLeastStrip);
    strips_ = std::clamp<std::int64_t>(ceil_div(2 * threads, count_), 1, most);
    a_bytes_ = plan.a_bytes();
    row_bytes_ = round_up(p_.n * e_.c_size, 64);
  }

  /// Of A packed, of a panel that a prologue makes, and of the sums of all blocks but the first.
  std::int64_t scratch_bytes() const {
    return count_ * a_bytes_ + round_up(plan_.made_bytes(), 64) + (count_ - 1) * p_.m * row_bytes_;
  }

  void item(std::int64_t item, char* scratch) const {
    char* const made = scratch + count_ * a_bytes_;
    char* const sums = made + round_up(plan_.made_bytes(), 64);
    char* const c = static_cast<char*>(p_.c) + p_.batch_c.at(item);
    for (std::int64_t block = 0; block < count_; ++block)
      pack_a(item, block, made, scratch + block * a_bytes_);
    parallel_for(count_ * strips_, threads_, [&](std::int64_t index) {
      const std::int64_t block = index / strips_;
      const Range columns =
          part_of(p_.n, e_.nr, static_cast<int>(index % strips_), static_cast<int>(strips_));
      BlockTask task{};
      task.rows = p_.m;
      task.cols = columns.end - columns.begin;
      task.k = plan_.blocks.size(block);
      task.a = scratch + block * a_bytes_;
      task.b_row = p_.b.rows.stride;
      task.b = static_cast<const char*>(p_.b.data) + p_.batch_b.at(item) +
               plan_.blocks.begin(block) * task.b_row + columns.begin * e_.b_size;
      task.c_row = block == 0 ? p_.c_rows.stride : row_bytes_;
      task.c = (block == 0 ? c : sums + (block - 1) * p_.m * row_bytes_) + columns.begin * e_.c_size;
      task.ahead = row_bytes_ahead();
      if (task.cols > 0) e_.few(task);
    });
    for (std::int64_t block = 1; block < count_; ++block)
      for (std::int64_t i = 0; i < p_.m; ++i) {
        char* const to = c + i * p_.c_rows.stride;
        const char* const from = sums + ((block - 1) * p_.m + i) * row_bytes_;
        e_.c_size == sizeof(float) ? add<float>(to, from, p_.n) : add<double>(to, from, p_.n);
      }
  }

 private:
  void pack_a(std::int64_t item, std::int64_t block, char* made, char* out) const {
    const std::int64_t k0 = plan_.blocks.begin(block), k = plan_.blocks.size(block);
    if (p_.a.prologue != nullptr) {
      const Matrix panel = make_panel(p_.a, plan_.kernels, item, false, 0, p_.m, k0, k, made);
      return e_.pack_a(pack_task(panel, false, 0, p_.m, 0, k, out));
    }
    Matrix a = p_.a;
    a.data = static_cast<const char*>(a.data) + p_.batch_a.at(item);
    e_.pack_a(pack_task(a, false, 0, p_.m, k0, k, out));
  }

  const Plan& plan_;
  const Product& p_;
  const ElementKernels& e_;
  std::int64_t count_, strips_;       // of k blocks, and of columns where blocks are fewer than threads want
  std::int64_t a_bytes_, row_bytes_;  // of a packed block of A, of a row of sums
  int threads_;
};

}  // namespace

void multiply_k_blocks(const Plan& plan, int threads) {
  const KBlocksOf blocks(plan, threads);
  const Scratch scratch(static_cast<std::size_t>(blocks.scratch_bytes()));
  for (std::int64_t item = 0; item < plan.p.batch; ++item) blocks.item(item, scratch.data());
}

}  // namespace ufuse::contract
