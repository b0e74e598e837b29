// Contractions: Python names the axes (extent and byte strides of each label), this fuses them and runs the
// product, with a program as the epilogue.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "contract/dispatch.hpp"
#include "contract/product.hpp"
#include "core/tiers.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

/// One label: its extent and its byte stride in each of the operands that carry it.
template <int Operands>
using Label = std::pair<std::int64_t, std::array<std::int64_t, Operands>>;

/// Several labels as one axis per operand: affine where they step evenly, else with offset vectors.
template <int Operands>
class FusedAxis {
 public:
  explicit FusedAxis(std::vector<Label<Operands>> labels) {
    std::erase_if(labels, [](const auto& label) { return label.first == 1; });
    std::vector<Label<Operands>> merged;  // fastest first
    for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
      bool continues = !merged.empty();
      for (int k = 0; k < Operands && continues; ++k)
        continues = label->second[idx(k)] == merged.back().second[idx(k)] * merged.back().first;
      if (continues)
        merged.back().first *= label->first;
      else
        merged.push_back(*label);
    }
    size_ = 1;
    for (const auto& label : merged) size_ *= label.first;
    for (int k = 0; k < Operands; ++k)
      axes_[idx(k)] = {size_, merged.empty() ? 0 : merged[0].second[idx(k)], nullptr};
    if (merged.size() <= 1 || size_ == 0) return;
    for (int k = 0; k < Operands; ++k) {
      auto& offsets = offsets_[idx(k)];
      offsets.assign(1, 0);
      offsets.reserve(static_cast<std::size_t>(size_));
      for (const auto& label : merged) {
        const std::size_t inner = offsets.size();
        for (std::int64_t i = 1; i < label.first; ++i)
          for (std::size_t j = 0; j < inner; ++j) offsets.push_back(offsets[j] + i * label.second[idx(k)]);
      }
      axes_[idx(k)].offsets = offsets.data();
    }
  }
  std::int64_t size() const { return size_; }
  const Axis& axis(int operand) const { return axes_[idx(operand)]; }

 private:
  static std::size_t idx(int i) { return static_cast<std::size_t>(i); }
  std::int64_t size_;
  std::array<Axis, Operands> axes_;
  std::array<std::vector<std::int64_t>, Operands> offsets_;
};

Elements elements_of(const std::string& code) {
  if (code == "f4") return Elements::f32;
  if (code == "f8") return Elements::f64;
  throw std::invalid_argument("ufuse contraction: no product of element type '" + code + "'");
}

void contract(const std::string& code, std::uintptr_t a, std::uintptr_t b, std::uintptr_t c,
              const std::vector<Label<3>>& batch, const std::vector<Label<2>>& rows,
              const std::vector<Label<2>>& cols, const std::vector<Label<2>>& shared) {
  const py::gil_scoped_release release;
  const FusedAxis<3> items(batch);
  const FusedAxis<2> m(rows), n(cols), k(shared);
  Product product;
  product.elements = elements_of(code);
  product.m = m.size();
  product.n = n.size();
  product.k = k.size();
  product.a = {reinterpret_cast<const void*>(a), m.axis(0), k.axis(0)};
  product.b = {reinterpret_cast<const void*>(b), k.axis(1), n.axis(0)};
  product.c = reinterpret_cast<void*>(c);
  product.c_rows = m.axis(1);
  product.c_cols = n.axis(1);
  product.batch = items.size();
  product.batch_a = items.axis(0);
  product.batch_b = items.axis(1);
  product.batch_c = items.axis(2);
  multiply(contract_kernels(active_tier()), product);
}

/// An operand of an epilogue beside the accumulators: broadcast where a stride is 0.
struct EpilogueOperand {
  std::uintptr_t data;
  std::int64_t row_stride, col_stride;
};

struct MatrixSpec {
  std::uintptr_t data;
  std::int64_t row_stride, col_stride;
  Matrix matrix(std::int64_t rows, std::int64_t cols) const {
    return {reinterpret_cast<const void*>(data), {rows, row_stride, nullptr}, {cols, col_stride, nullptr}};
  }
};

/// out = program(x @ w.T, operands...): x is (m, k), w is (n, k), out is (m, n). For int8 weights the rows of
/// x are quantized on the way, and their scales become the program's second input.
void linear(const Program& program, std::int64_t m, std::int64_t n, std::int64_t k, const MatrixSpec& x,
            const MatrixSpec* w, const PackedMatrix* packed, const MatrixSpec& out,
            const std::vector<EpilogueOperand>& extras, bool quantized, const std::string& code) {
  const auto expected = static_cast<int>(extras.size()) + 1 + (quantized ? 1 : 0);
  if (program.inputs() != expected || program.outputs() != 1)
    throw std::invalid_argument("ufuse.linear: the epilogue takes another number of operands");
  const py::gil_scoped_release release;
  std::vector<float> scales(quantized ? static_cast<std::size_t>(m) : 0);
  const auto item = static_cast<std::int64_t>(item_size(program.input_dtype(0)));

  std::mutex failing;
  std::exception_ptr failure;
  const auto finish = [&](const EpilogueTile& tile) {
    const std::int64_t shape[] = {tile.rows, tile.cols};
    std::int64_t strides[kMaxOperands][2];
    ProgramOperand operands[kMaxOperands];
    int count = 0;
    const auto add = [&](std::uintptr_t data, std::int64_t row_stride, std::int64_t col_stride, bool local) {
      strides[count][0] = row_stride;
      strides[count][1] = col_stride;
      auto* at = reinterpret_cast<char*>(data);
      if (!local) at += tile.row0 * row_stride + tile.col0 * col_stride;
      operands[count] = {at, strides[count], false};
      ++count;
    };
    add(out.data, out.row_stride, out.col_stride, false);
    add(reinterpret_cast<std::uintptr_t>(tile.acc), tile.ld * item, item, true);
    if (quantized) add(reinterpret_cast<std::uintptr_t>(scales.data()), sizeof(float), 0, false);
    for (const auto& extra : extras) add(extra.data, extra.row_stride, extra.col_stride, false);
    try {
      program.run(2, shape, {operands, static_cast<std::size_t>(count)});
    } catch (...) {  // an epilogue must not throw through the product's threads
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  };
  const Epilogue epilogue(finish);
  const ContractKernels& kernels = packed != nullptr ? packed->kernels() : contract_kernels(active_tier());
  if (quantized) {
    QuantizedLinear layer;
    layer.m = m;
    layer.n = n;
    layer.k = k;
    layer.x = x.matrix(m, k);
    if (w != nullptr)
      layer.w = {
          reinterpret_cast<const void*>(w->data), {k, w->col_stride, nullptr}, {n, w->row_stride, nullptr}};
    layer.packed = packed;
    layer.scales = scales.data();
    multiply_quantized(kernels, layer, epilogue);
  } else {
    Product product;
    product.elements = elements_of(code);
    product.m = m;
    product.n = n;
    product.k = k;
    product.a = x.matrix(m, k);
    if (w != nullptr)
      product.b = {
          reinterpret_cast<const void*>(w->data), {k, w->col_stride, nullptr}, {n, w->row_stride, nullptr}};
    product.packed = packed;
    product.epilogue = &epilogue;
    multiply(kernels, product);
  }
  if (failure) std::rethrow_exception(failure);
}

using MatrixTuple = std::tuple<std::uintptr_t, std::int64_t, std::int64_t>;

MatrixSpec spec_of(const MatrixTuple& t) { return {std::get<0>(t), std::get<1>(t), std::get<2>(t)}; }

}  // namespace

void register_contract(py::module_& m) {
  m.def("contract", &contract, py::arg("code"), py::arg("a"), py::arg("b"), py::arg("c"), py::arg("batch"),
        py::arg("rows"), py::arg("cols"), py::arg("shared"),
        "Batched product over fused labels; addresses, extents and byte strides as given.");

  py::class_<PackedMatrix>(m, "PackedMatrix", "Weights (n, k) packed once for the tier in use.")
      .def(py::init([](const std::string& code, const MatrixTuple& w, std::int64_t k, std::int64_t n) {
             const MatrixSpec spec = spec_of(w);
             const Elements elements = code == "i1" ? Elements::offset_u8s8 : elements_of(code);
             const Matrix b = {reinterpret_cast<const void*>(spec.data),
                               {k, spec.col_stride, nullptr},
                               {n, spec.row_stride, nullptr}};
             const py::gil_scoped_release release;
             return std::make_unique<PackedMatrix>(contract_kernels(active_tier()), elements, b, k, n);
           }),
           py::arg("code"), py::arg("w"), py::arg("k"), py::arg("n"))
      .def_property_readonly("nbytes", &PackedMatrix::bytes);

  m.def(
      "linear",
      [](std::uintptr_t program, std::int64_t rows, std::int64_t n, std::int64_t k, const MatrixTuple& x,
         const std::optional<MatrixTuple>& w, const PackedMatrix* packed, const MatrixTuple& out,
         const std::vector<MatrixTuple>& extras, bool quantized, const std::string& code) {
        std::vector<EpilogueOperand> operands;
        for (const auto& e : extras) operands.push_back({std::get<0>(e), std::get<1>(e), std::get<2>(e)});
        MatrixSpec weights{};
        if (w) weights = spec_of(*w);
        linear(*reinterpret_cast<const Program*>(program), rows, n, k, spec_of(x), w ? &weights : nullptr,
               packed, spec_of(out), operands, quantized, code);
      },
      py::arg("program"), py::arg("m"), py::arg("n"), py::arg("k"), py::arg("x"), py::arg("w"),
      py::arg("packed"), py::arg("out"), py::arg("extras"), py::arg("quantized"), py::arg("code"));
  m.def("max_int8_k", [] { return max_k(Elements::offset_u8s8); });
}

}  // namespace ufuse
