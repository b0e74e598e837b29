// Divergence of histograms from what quantizing makes of them. Compiled once: the same bits for every tier.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "calibrate/calibrate.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace {

// What an empty bin counts instead of 0, taken from the others.
constexpr double kSmoothing = 1e-4;
// Ranges of one task: a quarter of a millisecond.
constexpr std::int64_t kRangesOfTask = 32;

/// Gives empty bins a little of the others. Returns the sum, or 0 where the others do not have that much.
double smooth(std::vector<double>& counts) {
  const auto empty = std::count(counts.begin(), counts.end(), 0.0);
  const auto filled = static_cast<std::ptrdiff_t>(counts.size()) - empty;
  if (filled == 0) return 0;
  const double taken = kSmoothing * static_cast<double>(empty) / static_cast<double>(filled);
  double sum = 0;
  for (double& count : counts) {
    count = count == 0 ? kSmoothing : count - taken;
    if (!(count > 0)) return 0;
    sum += count;
  }
  return sum;
}

class Quantized {
 public:
  Quantized(const double* counts, std::int64_t bins, std::int64_t levels)
      : counts_(counts), bins_(bins), levels_(levels) {}

  /// Of the range of `half` bins to either side of the middle one.
  double divergence(std::int64_t half) {
    const std::int64_t middle = bins_ / 2;
    const std::int64_t first = middle - half, last = std::min(middle + half + 1, bins_);
    p_.assign(counts_ + first, counts_ + last);
    for (std::int64_t i = 0; i < first; ++i) p_.front() += counts_[i];
    for (std::int64_t i = last; i < bins_; ++i) p_.back() += counts_[i];
    quantize(first);
    const double p_sum = smooth(p_), q_sum = p_sum > 0 ? smooth(q_) : 0;
    if (!(q_sum > 0)) return std::numeric_limits<double>::infinity();
    // Many bins are empty, and those of a level are alike then.
    double p = 1, q = 1, term = 0, sum = 0;
    for (std::size_t i = 0; i < p_.size(); ++i) {
      if (p_[i] != p || q_[i] != q) {
        p = p_[i];
        q = q_[i];
        term = p * std::log(p / q);
      }
      sum += term;
    }
    return sum / p_sum + std::log(q_sum / p_sum);
  }

 private:
  /// Shares each level's count out evenly among its bins, in whole numbers, by how many of them are filled.
  void quantize(std::int64_t first) {
    const auto size = static_cast<std::int64_t>(p_.size());
    const std::int64_t width = size / levels_;
    q_.assign(p_.size(), 0.0);
    for (std::int64_t level = 0; level < levels_; ++level) {
      const std::int64_t from = level * width, to = from + width;
      // What is left of the bins counts with the last level, and gets nothing.
      const std::int64_t counted = level + 1 == levels_ ? size : to;
      double sum = 0;
      for (std::int64_t i = from; i < counted; ++i) sum += counts_[first + i];
      const auto filled =
          std::count_if(p_.begin() + from, p_.begin() + to, [](double count) { return count != 0; });
      if (filled > 0)
        std::fill(q_.begin() + from, q_.begin() + to, std::floor(sum / static_cast<double>(filled)));
    }
  }

  const double* counts_;
  std::int64_t bins_, levels_;
  std::vector<double> p_, q_;
};

}  // namespace

void divergences(const double* counts, std::int64_t streams, std::int64_t bins, std::int64_t levels,
                 double* out) {
  const std::int64_t first = levels / 2, ranges = bins / 2 + 1 - first;
  const std::int64_t tasks = (ranges + kRangesOfTask - 1) / kRangesOfTask;
  parallel_for(streams * tasks, threads_for_bytes(streams * ranges * bins * 8), [&](std::int64_t task) {
    const std::int64_t stream = task / tasks, from = task % tasks * kRangesOfTask;
    Quantized quantized(counts + stream * bins, bins, levels);
    for (std::int64_t i = from; i < std::min(ranges, from + kRangesOfTask); ++i)
      out[stream * ranges + i] = quantized.divergence(first + i);
  });
}

}  // namespace ufuse
