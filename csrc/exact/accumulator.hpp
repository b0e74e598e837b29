// A sum of float64 without rounding: an integer in units of 2^-1074, in digits of 32 bits (Neal, "Fast exact
// summation using small and large superaccumulators", 2015).
#pragma once

#include <cstdint>

namespace ufuse {

__extension__ using Wide128 = unsigned __int128;

class ExactAccumulator {
 public:
  /// 2098 bits of the largest float64 and 62 of a count of elements.
  static constexpr int kDigits = 68;

  void clear() {
    low_ = kDigits;
    high_ = 0;
    added_ = 0;
    nan_ = up_ = down_ = false;
  }
  /// Adds a value, which may be infinite or NaN.
  void add(double x);
  void add(const ExactAccumulator& other);
  /// The sum divided by `divisor` >= 1, rounded once; an infinity or NaN as a plain sum would have it.
  double rounded(std::uint64_t divisor);

 private:
  /// Makes digits [first, last) part of the number.
  void cover(int first, int last);
  /// Carries, so that digits are in [0, 2^32) and only the last one has a sign.
  void carry();

  int low_, high_;      // digits in use
  std::int64_t added_;  // since the last carry
  bool nan_, up_, down_;
  std::int64_t digit_[kDigits + 2];
};

/// (value + something in (0, 1) where `sticky`) * 2^exponent / divisor, rounded to nearest, ties to even.
/// Where it is sticky, value has 119 bits at least.
double rounded_ratio(Wide128 value, int exponent, std::uint64_t divisor, bool sticky);

/// (high + low) / divisor, rounded once, for sums of cuts: their bits span fewer than 128.
double rounded_pair(double high, double low, std::uint64_t divisor);

}  // namespace ufuse
