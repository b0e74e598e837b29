// A few packed rows, B from memory, columns side by side: B is read along its rows, some at a time, and the
// sums of a strip of columns wait in cache.
//
// A register of columns down all of B, a line or two of each of its pages, has no help from the hardware's
// prefetcher. Rows are streams, which it follows, but not past the end of a page or of a strip: what comes
// next is asked for (`bytes_ahead`: on Intel's), at the strip's end the beginning of the next rows. GB/s of a
// core of a Granite Rapids, m x 4096 by 4096^2 float32 flushed from all caches (from its third cache in
// brackets), m = 1, 2, 4:
//   strips of 4 KB, 8, 4, 2 rows of B together                  15.0 (22)  12.3 (15)   9.9 (12)
//   strips of 16 KB, 8 rows of B, 512 bytes of each asked for   17.6 (23)  17.2 (18)  16.7 (17)
//   the same, nothing asked for                                 16.7 (21)
// 4 rows of B, or 1024 bytes ahead: up to 3 % less. A plain read from front to back: 15.7.
#pragma once

#include "contract/micro.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class E, int R>
class AlongRows {
 public:
  static void run(const BlockTask& task) {
    alignas(64) char sums[R * kPitch];
    const std::int64_t bytes = task.cols * kSize;
    for (std::int64_t at = 0; at < bytes; at += kStrip)
      AlongRows(task, at, bytes - at < kStrip ? bytes - at : kStrip, sums).strip();
  }

 private:
  using V = typename E::Vector;
  using T = typename E::Accumulator;
  static constexpr int kBytes = sizeof(V), kSize = sizeof(T), kTogether = 8;
  static constexpr std::int64_t kStrip = 16384;        // bytes of columns
  static constexpr std::int64_t kPitch = kStrip + 64;  // sums of a column in sets of their own

  AlongRows(const BlockTask& task, std::int64_t at, std::int64_t bytes, char* sums)
      : task_(task),
        at_(at),
        whole_(bytes / kBytes * kBytes),
        rest_(whole_ < bytes),
        lanes_(static_cast<int>((bytes - whole_) / kSize)),
        sums_(sums) {}

  void strip() const {
    for (int r = 0; r < R; ++r)
      for (std::int64_t j = 0; j <= whole_ - (rest_ ? 0 : kBytes); j += kBytes)
        E::start().store(sums_ + r * kPitch + j);
    std::int64_t k = 0;
    for (; k + kTogether <= task_.k; k += kTogether) rows<kTogether>(k);
    for (; k < task_.k; ++k) rows<1>(k);
    for (int r = 0; r < R; ++r) store(sums_ + r * kPitch, task_.c + r * task_.c_row + at_);
  }

  /// Adds `kRows` rows of B, from row k on, to the sums of all columns.
  template <int kRows>
  void rows(std::int64_t k) const {
    V x[R][kRows];
    UFUSE_UNROLL
    for (int u = 0; u < kRows; ++u) {
      UFUSE_UNROLL
      for (int r = 0; r < R; ++r) x[r][u] = splat<V>(load_as<T>(task_.a + ((k + u) * R + r) * kSize));
    }
    const char* row = task_.b + at_ + k * task_.b_row;
    // Asking beyond the end of memory does no harm.
    const std::int64_t ahead = task_.ahead, near = ahead == 0 || whole_ < ahead ? 0 : whole_ - ahead;
    const std::int64_t next_rows = kRows * task_.b_row - near;
    std::int64_t j = 0;
    for (; j < near; j += kBytes) {
      ask<kRows>(row, j, ahead);
      columns<kRows>(x, row, j, [](const char* from) { return V::load(from); });
    }
    for (; j < whole_; j += kBytes) {
      if (ahead != 0) ask<kRows>(row, j, next_rows);
      columns<kRows>(x, row, j, [](const char* from) { return V::load(from); });
    }
    if (rest_) columns<kRows>(x, row, j, [this](const char* from) { return lanes_.load(from); });
  }

  /// Asks for the line that lies `ahead` of column j in each row.
  template <int kRows>
  UFUSE_INLINE void ask(const char* row, std::int64_t j, std::int64_t ahead) const {
    if (kBytes < 64 && j % 64 != 0) return;
    UFUSE_UNROLL
    for (int u = 0; u < kRows; ++u) __builtin_prefetch(row + u * task_.b_row + j + ahead, 0, 2);
  }

  /// Adds a register of columns; a result's terms are added in the order of k.
  template <int kRows, class Load>
  UFUSE_INLINE void columns(const V (&x)[R][kRows], const char* row, std::int64_t j, Load load) const {
    V b[kRows];
    UFUSE_UNROLL
    for (int u = 0; u < kRows; ++u) b[u] = load(row + u * task_.b_row + j);
    UFUSE_UNROLL
    for (int r = 0; r < R; ++r) {
      char* at = sums_ + r * kPitch + j;
      V sum = V::load(at);
      UFUSE_UNROLL
      for (int u = 0; u < kRows; ++u) sum = E::multiply_add(x[r][u], b[u], sum);
      sum.store(at);
    }
  }

  /// The sums of a row, as they are or joined with those of the k blocks before.
  void store(const char* from, char* to) const {
    for (std::int64_t j = 0; j < whole_; j += kBytes) {
      const V sum = V::load(from + j);
      (task_.add ? E::join(V::load(to + j), sum) : sum).store(to + j);
    }
    if (!rest_) return;
    const V sum = V::load(from + whole_);
    lanes_.store(task_.add ? E::join(lanes_.load(to + whole_), sum) : sum, to + whole_);
  }

  const BlockTask& task_;
  std::int64_t at_, whole_;  // bytes: where the strip begins, and of its whole registers
  bool rest_;                // whether columns are left that fill none
  Lanes<V> lanes_;           // those
  char* sums_;
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
