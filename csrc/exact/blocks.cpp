#include "exact/blocks.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ufuse {
namespace {

bool is_wide(const ReduceInput& input) { return input.coding == Coding::plain && input.dtype != DType::F32; }

// Two lines more, so that rows of blocks start on different sets of L1.
std::int64_t pitch_of(std::int64_t columns) { return (columns * 8 + 63) / 64 * 64 + 128; }

}  // namespace

ExactPair anchors_of(double largest) {
  const auto biased = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(largest) >> 52);
  const std::int64_t first = std::max<std::int64_t>(biased, 1) + kAnchor;
  if (first >= 2047) return {0.0, 0.0};
  const std::int64_t second = std::max<std::int64_t>(first - kNextAnchor, 1);
  constexpr std::uint64_t kHalf = std::uint64_t{1} << 51;
  return {std::bit_cast<double>(static_cast<std::uint64_t>(first) << 52 | kHalf),
          std::bit_cast<double>(static_cast<std::uint64_t>(second) << 52 | kHalf)};
}

ExactRun::ExactRun(const ExactSum& s)
    : sum(s),
      plan(s),
      pieces(reduce_kernels(active_tier()).pieces),
      wide(is_wide(s.input)),
      kernel(wide ? exact_kernels(active_tier()).of_double : exact_kernels(active_tier()).of_float),
      of_double(exact_kernels(active_tier()).of_double),
      stored(static_cast<std::int64_t>(item_size(s.input.dtype))),
      size(wide ? 8 : 4),
      plain(s.input.coding == Coding::plain && !s.input.swapped && s.mask == nullptr &&
            (s.input.dtype == DType::F32 || s.input.dtype == DType::F64)) {}

ExactBlocks::ExactBlocks(const ExactRun& run, std::int64_t rows, std::int64_t columns)
    : run_(run),
      pitch_(pitch_of(columns)),
      frame_(static_cast<std::size_t>(rows * pitch_ + 2 * pitch_of(std::max(columns, kExactBlock)) +
                                      pitch_of(kExactBlock))) {
  block_ = frame_.data();
  raw_ = block_ + rows * pitch_;
  mask_ = reinterpret_cast<std::uint8_t*>(raw_ + pitch_of(std::max(columns, kExactBlock)));
  rest_ = reinterpret_cast<double*>(raw_ + 2 * pitch_of(std::max(columns, kExactBlock)));
}

void ExactBlocks::fetch(const ExactAxes::Offset& from, const ExactAxis& along, std::int64_t count,
                        std::int64_t row, std::int64_t at) {
  const ReduceInput& input = run_.sum.input;
  const int log2 = log2_size(input.dtype);
  const char* data = run_.plan.data + from.in;
  char* to = block_ + row * pitch_ + at * run_.size;
  const bool moved = input.coding == Coding::plain && run_.stored == run_.size &&
                     (input.dtype == DType::F32 || input.dtype == DType::F64);
  if (moved || input.swapped || along.in != run_.stored) {
    char* gathered = moved ? to : raw_;
    run_.pieces.gather[log2](gathered, 0, &data, 1, along.in, count);
    if (input.swapped) run_.pieces.swap[log2](gathered, count);
    data = gathered;
  }
  if (input.coding != Coding::plain)
    run_.pieces.decode[static_cast<int>(input.coding)](reinterpret_cast<float*>(to), data, count,
                                                       input.table);
  else if (!moved)
    run_.pieces.to_f64[static_cast<int>(input.dtype)](reinterpret_cast<double*>(to), data, count);
  if (run_.plan.mask == nullptr) return;
  const char* kept = run_.plan.mask + from.mask;
  run_.pieces.gather[0](mask_, 0, &kept, 1, along.mask, count);
  constexpr double kZero = 0.0;
  run_.pieces.mask[run_.wide ? 3 : 2](to, to, mask_, &kZero, count);
}

bool ExactBlocks::add(const void* data, std::int64_t count, ExactAccumulator& sum, ExactPair& pair) const {
  ExactPair anchors = anchors_of(run_.kernel.largest(data, count));
  if (anchors.first == 0.0) {
    add_singly(data, count, run_.wide, sum);
    return false;
  }
  if (!run_.kernel.cut(data, count, anchors, &pair, nullptr)) return true;
  run_.kernel.cut(data, count, anchors, &pair, rest_);
  if (pair.first != pair.first) {  // a NaN among the elements
    add_singly(data, count, run_.wide, sum);
    return false;
  }
  for (;;) {
    sum.add(pair.first);
    sum.add(pair.second);
    anchors = anchors_of(run_.of_double.largest(rest_, count));
    if (!run_.of_double.cut(rest_, count, anchors, &pair, rest_)) break;
  }
  sum.add(pair.first);
  sum.add(pair.second);
  return false;
}

void ExactBlocks::add_singly(const void* data, std::int64_t count, bool wide, ExactAccumulator& sum) const {
  const char* at = static_cast<const char*>(data);  // may be unaligned
  for (std::int64_t i = 0; i < count; ++i, at += wide ? 8 : 4) {
    double x;
    if (wide) {
      std::memcpy(&x, at, sizeof x);
    } else {
      float narrow;
      std::memcpy(&narrow, at, sizeof narrow);
      x = static_cast<double>(narrow);
    }
    sum.add(x);
  }
}

}  // namespace ufuse
