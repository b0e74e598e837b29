#include "weighted/weighted.hpp"

#include <algorithm>

#include "core/scratch.hpp"
#include "weighted/rows.hpp"

namespace ufuse {

UFUSE_TIER_TABLES(WeightedKernels, weighted_kernels)

namespace {

class ProductReader : public PieceReader {
 public:
  explicit ProductReader(const WeightedSum& sum)
      : sum_(sum), pieces_(reduce_kernels(active_tier()).pieces), kernels_(weighted_kernels(active_tier())) {}

  void read(const SourceRows& rows, const NextPiece& next, void* const* to) override {
    std::copy_n(rows.index, sum_.axes, index_);
    std::copy_n(to, sum_.totals != nullptr ? 2 : 1, to_);
    rows_ = rows;
    read_on(next);
  }

  void read_on(const NextPiece& next) override {
    std::int64_t index[kMaxReduceAxes];
    std::copy_n(index_, sum_.axes, index);
    const SourceRows& rows = rows_;
    void* const* to = to_;
    for (std::int64_t row = 0; row < rows.rows; ++row) {
      auto* products = static_cast<double*>(to[0]) + row * rows.pitch;
      auto* kept = sum_.totals != nullptr ? static_cast<double*>(to[1]) + row * rows.pitch : nullptr;
      read_row(index, rows.axis, rows.count, products, kept);
      index[rows.across] += rows.step;
    }
    index_[rows.axis] += next.along;
    index_[rows.across] += next.across;
  }

 private:
  void read_row(const std::int64_t* index, int axis, std::int64_t count, double* products,
                double* kept) const {
    const ScratchFrame frame(static_cast<std::size_t>(3 * count) * sizeof(double));
    char* blocks[2] = {frame.data(), frame.data() + count * 8};
    char* raw = frame.data() + 2 * count * 8;
    const void* pieces[2];
    bool wide[2];
    for (int k = 0; k < 2; ++k) {
      const ReduceInput& input = k == 0 ? sum_.values : sum_.weights;
      pieces[k] = piece(input, index, axis, count, raw, blocks[k]);
      wide[k] = is_wide(input);
    }
    kernels_.multiply[wide[0]][wide[1]](products, kept, pieces[0], pieces[1], count);
  }

  static bool is_wide(const ReduceInput& input) {
    return input.coding == Coding::plain && input.dtype != DType::F32;
  }

  /// Where `count` elements are contiguous float32 or float64: in place, or in `block`.
  const void* piece(const ReduceInput& input, const std::int64_t* index, int axis, std::int64_t count,
                    char* raw, char* block) const {
    const char* from = input.data;
    for (int i = 0; i < sum_.axes; ++i) from += index[i] * input.strides[i];
    const std::int64_t stride = sum_.axes > 0 ? input.strides[axis] : 0;
    const int log2 = log2_size(input.dtype);
    const bool plain = input.coding == Coding::plain;
    const bool as_it_is = plain && (input.dtype == DType::F32 || input.dtype == DType::F64);
    if (input.swapped || (stride != static_cast<std::int64_t>(item_size(input.dtype)) && count > 1)) {
      char* gathered = as_it_is ? block : raw;
      pieces_.gather[log2](gathered, 0, &from, 1, stride, count);
      if (input.swapped) pieces_.swap[log2](gathered, count);
      from = gathered;
    }
    if (as_it_is) return from;
    if (plain)
      pieces_.to_f64[static_cast<int>(input.dtype)](reinterpret_cast<double*>(block), from, count);
    else
      pieces_.decode[static_cast<int>(input.coding)](reinterpret_cast<float*>(block), from, count,
                                                     input.table);
    return block;
  }

  const WeightedSum& sum_;
  const PieceKernels& pieces_;
  const WeightedKernels& kernels_;
  std::int64_t index_[kMaxReduceAxes];  // of the next piece
  SourceRows rows_{};
  void* to_[2] = {};
};

class Products : public PieceSource {
 public:
  explicit Products(const WeightedSum& sum) : sum_(sum) {}
  std::unique_ptr<PieceReader> reader() const override { return std::make_unique<ProductReader>(sum_); }

 private:
  const WeightedSum& sum_;
};

}  // namespace

void weighted_sum(const WeightedSum& sum) {
  if (sum_rows(sum)) return;
  const Products products(sum);
  Reduction r;
  r.axes = sum.axes;
  r.shape = sum.shape;
  r.reduced = sum.reduced;
  r.source = &products;
  r.inputs = r.slots = sum.totals != nullptr ? 2 : 1;
  for (int k = 0; k < r.inputs; ++k) {
    r.input[k].dtype = DType::F64;
    r.input[k].strides = k == 0 ? sum.values.strides : sum.weights.strides;
    ReduceSlot& slot = r.slot[k];
    slot.input = k;
    slot.element = slot.result = DType::F64;
    slot.out = k == 0 ? sum.sums : sum.totals;
    slot.out_strides = k == 0 ? sum.sum_strides : sum.total_strides;
  }
  reduce(r, reduce_kernels(active_tier()));
}

}  // namespace ufuse
