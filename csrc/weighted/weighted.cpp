#include "weighted/weighted.hpp"

#include "core/scratch.hpp"

namespace ufuse {

#if defined(__x86_64__)
namespace v2 {
void multiply(double* to, const double* by, std::int64_t count);
}
namespace v3 {
void multiply(double* to, const double* by, std::int64_t count);
}
namespace v4 {
void multiply(double* to, const double* by, std::int64_t count);
}
#else
namespace neon {
void multiply(double* to, const double* by, std::int64_t count);
}
#endif

MultiplyKernel multiply_kernel(Tier tier) {
#if defined(__x86_64__)
  switch (tier) {
    case Tier::v2:
      return v2::multiply;
    case Tier::v3:
      return v3::multiply;
    default:
      return v4::multiply;
  }
#else
  (void)tier;
  return neon::multiply;
#endif
}

namespace {

class Products : public PieceSource {
 public:
  explicit Products(const WeightedSum& sum)
      : sum_(sum), pieces_(reduce_kernels(active_tier()).pieces), multiply_(multiply_kernel(active_tier())) {}

  void read(const std::int64_t* index, int axis, std::int64_t count, void* const* to) const override {
    const bool totals = sum_.totals != nullptr;
    const ScratchFrame frame(static_cast<std::size_t>(2 * count) * sizeof(double));
    auto* products = static_cast<double*>(to[0]);
    auto* weights = totals ? static_cast<double*>(to[1]) : reinterpret_cast<double*>(frame.data());
    char* raw = frame.data() + count * static_cast<std::int64_t>(sizeof(double));
    fetch(sum_.values, index, axis, count, raw, products);
    fetch(sum_.weights, index, axis, count, raw, weights);
    multiply_(products, weights, count);
  }

 private:
  void fetch(const ReduceInput& input, const std::int64_t* index, int axis, std::int64_t count, char* raw,
             double* to) const {
    const char* from = input.data;
    for (int i = 0; i < sum_.axes; ++i) from += index[i] * input.strides[i];
    const std::int64_t stride = sum_.axes > 0 ? input.strides[axis] : 0;
    const int log2 = log2_size(input.dtype);
    const bool plain = input.coding == Coding::plain;
    if (input.swapped || stride != static_cast<std::int64_t>(item_size(input.dtype))) {
      char* gathered = plain && input.dtype == DType::F64 ? reinterpret_cast<char*>(to) : raw;
      pieces_.gather[log2](gathered, 0, &from, 1, stride, count);
      if (input.swapped) pieces_.swap[log2](gathered, count);
      if (gathered != raw) return;
      from = raw;
    }
    if (plain) {
      pieces_.to_f64[static_cast<int>(input.dtype)](to, from, count);
      return;
    }
    const ScratchFrame frame(static_cast<std::size_t>(count) * sizeof(float));
    auto* values = reinterpret_cast<float*>(frame.data());
    pieces_.decode[static_cast<int>(input.coding)](values, from, count, input.table);
    pieces_.to_f64[static_cast<int>(DType::F32)](to, values, count);
  }

  const WeightedSum& sum_;
  const PieceKernels& pieces_;
  const MultiplyKernel multiply_;
};

}  // namespace

void weighted_sum(const WeightedSum& sum) {
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
