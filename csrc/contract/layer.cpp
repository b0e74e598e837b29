#include "contract/layer.hpp"

#include <stdexcept>
#include <vector>

#include "contract/dispatch.hpp"
#include "contract/finish.hpp"
#include "contract/product.hpp"
#include "skinny/layer.hpp"

namespace ufuse {
namespace {

Matrix matrix_of(const LayerMatrix& m, std::int64_t rows, std::int64_t cols) {
  return {m.data, {rows, m.row_stride, nullptr}, {cols, m.col_stride, nullptr}};
}

void add(ProgramFinish& finish, const LayerMatrix& m) {
  finish.add(m.data, {0, m.row_stride, nullptr}, {0, m.col_stride, nullptr}, {});
}

void in_place(const LinearLayer& layer, Tier tier, const Epilogue& epilogue) {
  const bool narrow = layer.form == WeightForm::half || layer.form == WeightForm::bfloat16;
  const bool contiguous = layer.weights.col_stride == (narrow ? 2 : 4) || layer.k <= 1;
  if (narrow && !contiguous) throw std::invalid_argument("ufuse.linear: rows of weights are not contiguous");
  if (narrow || (layer.form == WeightForm::f32 && contiguous && layer.m <= skinny::kMostRows)) {
    TurnedLayer few;
    few.m = layer.m;
    few.n = layer.n;
    few.k = layer.k;
    few.x = matrix_of(layer.x, layer.m, layer.k);
    few.weights = layer.weights.data;
    few.row_bytes = layer.weights.row_stride;
    few.kind = layer.form == WeightForm::half ? skinny::Weight::f16
               : narrow                       ? skinny::Weight::bf16
                                              : skinny::Weight::f32;
    return multiply_turned(tier, few, epilogue);
  }
  Product product;
  product.elements = layer.form == WeightForm::f32 ? Elements::f32 : Elements::f64;
  product.m = layer.m;
  product.n = layer.n;
  product.k = layer.k;
  product.a = matrix_of(layer.x, layer.m, layer.k);
  const Matrix w = matrix_of(layer.weights, layer.n, layer.k);
  product.b = {w.data, w.cols, w.rows};
  product.epilogue = &epilogue;
  multiply(contract_kernels(tier), product);
}

void packed(const LinearLayer& layer, const PackedMatrix& w, float* row_scales, const Epilogue& epilogue) {
  if (layer.n != w.n() || layer.k != w.k() ||
      (w.elements() == Elements::offset_u8s8) != (row_scales != nullptr))
    throw std::invalid_argument("ufuse.linear: packed weights of another shape or type");
  if (row_scales != nullptr) {
    QuantizedLinear product;
    product.m = layer.m;
    product.n = layer.n;
    product.k = layer.k;
    product.x = matrix_of(layer.x, layer.m, layer.k);
    product.packed = &w;
    product.scales = row_scales;
    return multiply_quantized(w.kernels(), product, epilogue);
  }
  Product product;
  product.elements = w.elements();
  product.m = layer.m;
  product.n = layer.n;
  product.k = layer.k;
  product.a = matrix_of(layer.x, layer.m, layer.k);
  product.packed = &w;
  product.epilogue = &epilogue;
  multiply(w.kernels(), product);
}

}  // namespace

void run_layer(const LinearLayer& layer, Tier tier) {
  const bool quantizes = layer.form == WeightForm::int8 || layer.form == WeightForm::dynamic;
  if (layer.program->inputs() != layer.extras + 1 + (quantizes ? 1 : 0) || layer.program->outputs() != 1 ||
      layer.extras > LinearLayer::kMostExtras)
    throw std::invalid_argument("ufuse.linear: the epilogue takes another number of operands");
  std::vector<float> scales(quantizes ? static_cast<std::size_t>(layer.m) : 0);
  float* const row_scales = quantizes ? scales.data() : nullptr;
  if (layer.m == 0 || layer.n == 0) return;
  ProgramFinish finish(*layer.program, item_size(layer.program->input_dtype(0)));
  add(finish, layer.out);
  if (row_scales != nullptr) add(finish, {reinterpret_cast<char*>(row_scales), sizeof(float), 0});
  for (int i = 0; i < layer.extras; ++i) add(finish, layer.extra[i]);
  const Epilogue epilogue(finish);
  switch (layer.form) {
    case WeightForm::f32:
    case WeightForm::f64:
    case WeightForm::half:
    case WeightForm::bfloat16:
      in_place(layer, tier, epilogue);
      break;
    case WeightForm::matrix:
    case WeightForm::int8:
      packed(layer, *static_cast<const PackedMatrix*>(layer.packed), row_scales, epilogue);
      break;
    case WeightForm::coded:
    case WeightForm::dynamic: {
      const auto* const w = static_cast<const PackedCodes*>(layer.packed);
      if (layer.n != w->form().n || layer.k != w->form().k)
        throw std::invalid_argument("ufuse.linear: packed weights of another shape");
      multiply_coded(tier, {layer.m, matrix_of(layer.x, layer.m, layer.k), w, row_scales}, epilogue);
      break;
    }
  }
  finish.check();
}

}  // namespace ufuse
