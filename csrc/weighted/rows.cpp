#include "weighted/rows.hpp"

#include <algorithm>

#include "core/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace {

constexpr std::int64_t kTaskBytes = 256 << 10;
constexpr auto kDouble = static_cast<std::int64_t>(sizeof(double));

bool is_float(const ReduceInput& x) {
  return x.coding == Coding::plain && !x.swapped && (x.dtype == DType::F32 || x.dtype == DType::F64);
}

/// Which row of the axes that are kept comes next, and where it lies.
class Cursor {
 public:
  Cursor(const WeightedSum& sum, int axes, std::int64_t row)
      : sum_(sum), axes_(axes), values(sum.values.data), weights(sum.weights.data), out(sum.sums) {
    for (int i = axes - 1; i >= 0; --i) {
      index_[i] = row % sum.shape[i];
      row /= sum.shape[i];
      move(i, index_[i]);
    }
  }
  void next() {
    for (int i = axes_ - 1; i >= 0; --i) {
      move(i, 1);
      if (++index_[i] < sum_.shape[i]) return;
      move(i, -index_[i]);
      index_[i] = 0;
    }
  }

 private:
  void move(int axis, std::int64_t steps) {
    values += steps * sum_.values.strides[axis];
    weights += steps * sum_.weights.strides[axis];
    out += steps * sum_.sum_strides[axis];
  }

  const WeightedSum& sum_;
  int axes_;
  std::int64_t index_[kMaxReduceAxes];

 public:
  const char *values, *weights;
  char* out;
};

class Rows {
 public:
  Rows(const WeightedSum& sum, int kept, std::int64_t count)
      : sum_(sum),
        kept_(kept),
        count_(count),
        chunks_((count + kChunk - 1) / kChunk),
        value_size_(static_cast<std::int64_t>(item_size(sum.values.dtype))),
        weight_size_(static_cast<std::int64_t>(item_size(sum.weights.dtype))),
        add_(weighted_kernels(active_tier())
                 .add[sum.values.dtype == DType::F64][sum.weights.dtype == DType::F64]) {
    for (int i = 0; i < kept; ++i) rows_ *= sum.shape[i];
    const std::int64_t bytes = rows_ * count * (value_size_ + weight_size_);
    threads_ = std::min(thread_limit(), threads_for_bytes(bytes));
  }

  /// Rows of one chunk.
  void short_ones() const {
    const std::int64_t some = std::max<std::int64_t>(1, kTaskBytes / (count_ * (value_size_ + weight_size_)));
    parallel_for((rows_ + some - 1) / some, threads_, [&](std::int64_t task) {
      Cursor at(sum_, kept_, task * some);
      for (std::int64_t left = std::min(some, rows_ - task * some); left > 0; --left, at.next())
        add_(reinterpret_cast<double*>(at.out), at.values, at.weights, count_);
    });
  }

  /// Rows of several, whose sums are summed by the reduction tree.
  void long_ones() const {
    const ScratchFrame frame(static_cast<std::size_t>(rows_ * chunks_ * kDouble));
    constexpr std::int64_t kSome = kTaskBytes / (2 * kDouble * kChunk);
    const std::int64_t parts = (chunks_ + kSome - 1) / kSome;
    parallel_for(rows_ * parts, threads_, [&](std::int64_t task) {
      const Cursor at(sum_, kept_, task / parts);
      const std::int64_t chunk = task % parts * kSome, first = chunk * kChunk;
      add_(reinterpret_cast<double*>(frame.data()) + task / parts * chunks_ + chunk,
           at.values + first * value_size_, at.weights + first * weight_size_,
           std::min(kSome * kChunk, count_ - first));
    });
    merge(frame.data());
  }

 private:
  void merge(const char* sums) const {
    std::int64_t shape[kMaxReduceAxes], strides[kMaxReduceAxes];
    std::int64_t step = kDouble;
    for (int i = kept_; i >= 0; --i) {
      shape[i] = i == kept_ ? chunks_ : sum_.shape[i];
      strides[i] = step;
      step *= shape[i];
    }
    Reduction r;
    r.axes = kept_ + 1;
    r.shape = shape;
    r.reduced = std::uint64_t{1} << kept_;
    r.input[0] = {sums, DType::F64, false, strides};
    r.slot[0].element = r.slot[0].result = DType::F64;
    r.slot[0].out = sum_.sums;
    r.slot[0].out_strides = sum_.sum_strides;
    reduce(r, reduce_kernels(active_tier()));
  }

  const WeightedSum& sum_;
  int kept_, threads_;
  std::int64_t rows_ = 1, count_, chunks_, value_size_, weight_size_;
  void (*add_)(double*, const void*, const void*, std::int64_t);
};

}  // namespace

bool sum_rows(const WeightedSum& sum) {
  if (sum.totals != nullptr || !is_float(sum.values) || !is_float(sum.weights)) return false;
  // The summed axes are the last ones, and one group of the reduction tree.
  std::int64_t count = 1;
  int kept = sum.axes;
  for (; kept > 0 && (sum.reduced >> (kept - 1) & 1) != 0; --kept) {
    const std::int64_t extent = sum.shape[kept - 1];
    if (extent == 1) continue;
    for (const ReduceInput* x : {&sum.values, &sum.weights})
      if (x->strides[kept - 1] != count * static_cast<std::int64_t>(item_size(x->dtype))) return false;
    if (count >= kShortGroup) return false;
    count *= extent;
  }
  if (kept == sum.axes || (sum.reduced & ((std::uint64_t{1} << kept) - 1)) != 0) return false;
  if (std::find(sum.shape, sum.shape + sum.axes, 0) != sum.shape + sum.axes) return false;
  const Rows rows(sum, kept, count);
  count <= kChunk ? rows.short_ones() : rows.long_ones();
  return true;
}

}  // namespace ufuse
