#include "exact/columns.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ufuse {
namespace {

constexpr std::int64_t kArrays = 9;
/// Anchors leave room for magnitudes four times those that were seen.
constexpr std::int64_t kRoom = 2;

/// One in so many columns may have bits below one cut, and be added by itself.
constexpr std::int64_t kFew = 64;

std::int64_t pitch_of(std::int64_t width) { return (width * 8 + 63) / 64 * 64 + 128; }

}  // namespace

ColumnSums::ColumnSums(const ExactBlocks& blocks, std::int64_t width, ExactAccumulator* sums)
    : blocks_(blocks), frame_(static_cast<std::size_t>((kArrays + 1) * pitch_of(width))), sums_(sums) {
  char* at = frame_.data();
  for (double** array : {&largest_, &limit_, &high_, &low_, &first_, &second_, &next_first_, &next_second_}) {
    *array = reinterpret_cast<double*>(at);
    at += pitch_of(width);
  }
  left_ = reinterpret_cast<std::int64_t*>(at);
  used_ = reinterpret_cast<std::uint8_t*>(at + pitch_of(width));
}

void ColumnSums::begin(std::int64_t width) {
  width_ = width;
  rows_ = 0;
  one_cut_ = !blocks_.run().wide;  // of the 42 bits of a cut, float32 take 24
  for (double* array : {limit_, high_, low_, first_, second_}) std::fill(array, array + width, 0.0);
  std::fill(used_, used_ + width, std::uint8_t{0});
}

void ColumnSums::flush(std::int64_t column) {
  const double high = first_[column] - high_[column], low = second_[column] - low_[column];
  if (high != 0.0) sum_of(column).add(high);
  if (low != 0.0) sum_of(column).add(low);
  first_[column] = high_[column];
  second_[column] = low_[column];
}

void ColumnSums::place_anchors(std::int64_t column) {
  flush(column);
  const auto biased = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(largest_[column]) >> 52);
  const std::int64_t room = std::min<std::int64_t>(std::max<std::int64_t>(biased, 1) + kRoom, 2047);
  const ExactPair anchors = anchors_of(std::bit_cast<double>(room << 52));
  // Without anchors the next rows ask again.
  limit_[column] = anchors.first == 0.0 ? 0.0 : std::bit_cast<double>((room + 1) << 52);
  high_[column] = first_[column] = anchors.first;
  low_[column] = second_[column] = anchors.second;
}

void ColumnSums::add(const char* const* row, std::int64_t rows) {
  if (rows_ + rows > kExactRows) {
    for (std::int64_t i = 0; i < width_; ++i) flush(i);
    rows_ = 0;
  }
  rows_ += rows;
  const ExactKernel& kernel = blocks_.run().kernel;
  const ExactColumns call{row, rows, width_};
  kernel.largest_columns(call, largest_);
  for (std::int64_t i = 0; i < width_; ++i)
    if (!(largest_[i] < limit_[i])) place_anchors(i);
  if (one_cut_) {
    kernel.cut_columns(call, first_, nullptr, next_first_, nullptr, left_);
    const auto some = width_ - std::count(left_, left_ + width_, 0);
    one_cut_ = some <= width_ / kFew;
  }
  const bool one = one_cut_;
  if (!one) kernel.cut_columns(call, first_, second_, next_first_, next_second_, left_);
  for (std::int64_t i = 0; i < width_; ++i) {
    if (left_[i] == 0 && high_[i] != 0.0) continue;
    next_first_[i] = first_[i];
    next_second_[i] = second_[i];
    add_column(row, rows, i);
  }
  std::swap(first_, next_first_);
  if (!one) std::swap(second_, next_second_);
}

void ColumnSums::add_column(const char* const* row, std::int64_t rows, std::int64_t column) {
  alignas(64) char elements[kColumnRows * 8];
  const std::int64_t size = blocks_.run().size;
  for (std::int64_t r = 0; r < rows; ++r)
    std::memcpy(elements + r * size, row[r] + column * size, static_cast<std::size_t>(size));
  ExactPair pair;
  ExactAccumulator& sum = sum_of(column);
  if (!blocks_.add(elements, rows, sum, pair)) return;
  sum.add(pair.first);
  sum.add(pair.second);
}

double ColumnSums::result(std::int64_t column, std::uint64_t divisor, const double* initial) {
  if (used_[column] == 0 && initial == nullptr)
    return rounded_pair(first_[column] - high_[column], second_[column] - low_[column], divisor);
  flush(column);
  ExactAccumulator& sum = sum_of(column);
  if (initial != nullptr) sum.add(*initial);
  return sum.rounded(divisor);
}

void ColumnSums::close() {
  for (std::int64_t i = 0; i < width_; ++i) {
    flush(i);
    sum_of(i);
  }
}

}  // namespace ufuse
