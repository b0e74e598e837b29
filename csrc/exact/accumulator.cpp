#include "exact/accumulator.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ufuse {
namespace {

constexpr int kUnit = -1074;  // exponent of the least float64
constexpr std::int64_t kMask = 0xffffffff;

struct Parts {
  std::uint64_t mantissa;
  int exponent;  // of its last bit, from kUnit on
  bool negative;
};

Parts parts_of(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto biased = static_cast<int>(bits >> 52 & 2047);
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1);
  return {biased == 0 ? fraction : fraction | std::uint64_t{1} << 52, std::max(biased, 1) - 1, x < 0.0};
}

int bits_of(Wide128 value) {
  const auto high = static_cast<std::uint64_t>(value >> 64);
  return static_cast<int>(high != 0 ? 64 + std::bit_width(high)
                                    : std::bit_width(static_cast<std::uint64_t>(value)));
}

}  // namespace

double rounded_ratio(Wide128 value, int exponent, std::uint64_t divisor, bool sticky) {
  if (value == 0) return 0.0;
  if (divisor > 1) {
    const int shift = 128 - bits_of(value);
    value <<= shift;
    exponent -= shift;
    const Wide128 quotient = value / divisor;
    sticky |= quotient * divisor != value;
    value = quotient;
  }
  const int drop = std::max(bits_of(value) - 53, kUnit - exponent);
  if (drop > 0) {
    if (drop > 127) return 0.0;
    const Wide128 half = Wide128{1} << (drop - 1), below = value & ((half << 1) - 1);
    value >>= drop;
    exponent += drop;
    if (below > half || (below == half && (sticky || (value & 1) != 0))) ++value;
  }
  return std::ldexp(static_cast<double>(static_cast<std::uint64_t>(value)), exponent);
}

double rounded_pair(double high, double low, std::uint64_t divisor) {
  if (divisor == 1) return high + low + 0.0;
  auto odd = [](Parts p) {  // without the zeros at its end
    const int zeros = p.mantissa == 0 ? 0 : std::countr_zero(p.mantissa);
    return Parts{p.mantissa >> zeros, p.exponent + zeros, p.negative};
  };
  const Parts a = odd(parts_of(high)), b = odd(parts_of(low));
  const int least = b.mantissa == 0   ? a.exponent
                    : a.mantissa == 0 ? b.exponent
                                      : std::min(a.exponent, b.exponent);
  __extension__ using Signed128 = __int128;
  auto value = [least](const Parts& p) {
    if (p.mantissa == 0) return Signed128{0};
    const auto shifted = static_cast<Signed128>(p.mantissa) << (p.exponent - least);
    return p.negative ? -shifted : shifted;
  };
  const Signed128 sum = value(a) + value(b);
  const double size =
      rounded_ratio(static_cast<Wide128>(sum < 0 ? -sum : sum), least + kUnit, divisor, false);
  return sum < 0 ? -size : size;
}

void ExactAccumulator::cover(int first, int last) {
  if (low_ >= high_) {
    low_ = first;
    high_ = first;
  }
  for (; low_ > first; --low_) digit_[low_ - 1] = 0;
  for (; high_ < last; ++high_) digit_[high_] = 0;
}

void ExactAccumulator::add(double x) {
  if (x == 0.0) return;
  if (!(x - x == 0.0)) {
    nan_ |= x != x;
    up_ |= x > 0.0;
    down_ |= x < 0.0;
    return;
  }
  const Parts p = parts_of(x);
  const int at = p.exponent / 32;
  cover(at, at + 3);
  const Wide128 shifted = static_cast<Wide128>(p.mantissa) << (p.exponent % 32);
  const std::int64_t digits[] = {static_cast<std::int64_t>(shifted) & kMask,
                                 static_cast<std::int64_t>(shifted >> 32) & kMask,
                                 static_cast<std::int64_t>(shifted >> 64)};
  for (int i = 0; i < 3; ++i) digit_[at + i] += p.negative ? -digits[i] : digits[i];
  if (++added_ >= std::int64_t{1} << 30) carry();
}

void ExactAccumulator::add(const ExactAccumulator& other) {
  nan_ |= other.nan_;
  up_ |= other.up_;
  down_ |= other.down_;
  if (other.low_ >= other.high_) return;
  if (added_ + other.added_ + 2 > std::int64_t{1} << 30) carry();
  cover(other.low_, other.high_);
  for (int i = other.low_; i < other.high_; ++i) digit_[i] += other.digit_[i];
  added_ += other.added_ + 1;
}

void ExactAccumulator::carry() {
  added_ = 1;
  std::int64_t over = 0;
  for (int i = low_;; ++i) {
    const std::int64_t digit = digit_[i] + over;
    over = digit >> 32;
    if (i + 1 == high_) {
      if (over == 0 || over == -1) {  // the sign stays with the last digit
        digit_[i] = digit;
        return;
      }
      digit_[high_++] = 0;
    }
    digit_[i] = digit & kMask;
  }
}

double ExactAccumulator::rounded(std::uint64_t divisor) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (nan_ || (up_ && down_)) return std::numeric_limits<double>::quiet_NaN();
  if (up_ || down_) return up_ ? kInfinity : -kInfinity;
  if (low_ >= high_) return 0.0;
  carry();
  const bool negative = digit_[high_ - 1] < 0;
  if (negative) {
    for (int i = low_; i < high_; ++i) digit_[i] = -digit_[i];
    carry();
  }
  int top = high_ - 1;
  while (top >= low_ && digit_[top] == 0) --top;
  if (top < low_) return 0.0;
  // 128 bits from the highest one on: four digits, and what the fifth adds below them.
  Wide128 value = 0;
  for (int i = top; i > top - 4; --i)
    value = value << 32 | static_cast<Wide128>(i >= low_ ? static_cast<std::uint64_t>(digit_[i]) : 0);
  const int shift = 128 - bits_of(value);
  std::int64_t next = top - 4 >= low_ ? digit_[top - 4] : 0;
  bool sticky = false;
  if (shift > 0) {
    value = value << shift | static_cast<Wide128>(next >> (32 - shift));
    next &= (std::int64_t{1} << (32 - shift)) - 1;
  }
  sticky |= next != 0;
  for (int i = low_; i < top - 4; ++i) sticky |= digit_[i] != 0;
  const double size = rounded_ratio(value, kUnit + 32 * (top - 3) - shift, divisor, sticky);
  return negative ? -size : size;
}

}  // namespace ufuse
