// Linear layers: products with weights, with a program as the epilogue.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "contract/dispatch.hpp"
#include "contract/product.hpp"
#include "core/tiers.hpp"
#include "python/register.hpp"
#include "skinny/layer.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

/// Address and byte strides; of an operand of the epilogue a stride is 0 where it is broadcast.
using MatrixTuple = std::tuple<std::uintptr_t, std::int64_t, std::int64_t>;

Matrix matrix_of(const MatrixTuple& m, std::int64_t rows, std::int64_t cols) {
  return {reinterpret_cast<const void*>(std::get<0>(m)),
          {rows, std::get<1>(m), nullptr},
          {cols, std::get<2>(m), nullptr}};
}
/// Weights (n, k) as the product's second factor, k x n.
Matrix turned(const MatrixTuple& w, std::int64_t k, std::int64_t n) {
  const Matrix m = matrix_of(w, n, k);
  return {m.data, m.cols, m.rows};
}

/// What all layers of a call share: sizes, x, and what is done with finished parts of the result.
class Layer {
 public:
  Layer(std::uintptr_t program, std::array<std::int64_t, 3> sizes, const MatrixTuple& x,
        const MatrixTuple& out, const std::vector<MatrixTuple>& extras, bool quantized)
      : m(sizes[0]),
        n(sizes[1]),
        k(sizes[2]),
        x(matrix_of(x, m, k)),
        program_(*reinterpret_cast<const Program*>(program)),
        out_(out),
        extras_(extras),
        scales_(quantized ? static_cast<std::size_t>(m) : 0),
        item_(static_cast<std::int64_t>(item_size(program_.input_dtype(0)))) {
    const auto expected = static_cast<int>(extras.size()) + 1 + (quantized ? 1 : 0);
    if (program_.inputs() != expected || program_.outputs() != 1)
      throw std::invalid_argument("ufuse.linear: the epilogue takes another number of operands");
  }

  /// Of rows of x, where they are quantized on the way: the program's second input.
  float* row_scales() { return scales_.empty() ? nullptr : scales_.data(); }

  /// Runs `multiply(epilogue)`, without the GIL.
  template <class Multiply>
  void run(Multiply multiply) {
    const py::gil_scoped_release release;
    const auto finish = [&](const EpilogueTile& tile) { this->finish(tile); };
    multiply(Epilogue(finish));
    if (failure_) std::rethrow_exception(failure_);
  }

  const std::int64_t m, n, k;
  const Matrix x;

 private:
  void finish(const EpilogueTile& tile) {
    const std::int64_t shape[] = {tile.rows, tile.cols};
    std::int64_t strides[kMaxOperands][2];
    ProgramOperand operands[kMaxOperands];
    int count = 0;
    const auto add = [&](const MatrixTuple& matrix, bool local) {
      const auto& [data, row_stride, col_stride] = matrix;
      strides[count][0] = row_stride;
      strides[count][1] = col_stride;
      auto* at = reinterpret_cast<char*>(data);
      if (!local) at += tile.row0 * row_stride + tile.col0 * col_stride;
      operands[count] = {at, strides[count], false};
      ++count;
    };
    add(out_, false);
    add({reinterpret_cast<std::uintptr_t>(tile.acc), tile.ld * item_, item_}, true);
    if (!scales_.empty()) add({reinterpret_cast<std::uintptr_t>(scales_.data()), sizeof(float), 0}, false);
    for (const auto& extra : extras_) add(extra, false);
    try {
      program_.run(2, shape, {operands, static_cast<std::size_t>(count)});
    } catch (...) {  // an epilogue must not throw through the product's threads
      const std::lock_guard lock(failing_);
      failure_ = std::current_exception();
    }
  }

  const Program& program_;
  const MatrixTuple out_;
  const std::vector<MatrixTuple>& extras_;
  std::vector<float> scales_;
  std::int64_t item_;
  std::mutex failing_;
  std::exception_ptr failure_;
};

Elements elements_of(const std::string& code) {
  if (code == "f4") return Elements::f32;
  if (code == "f8") return Elements::f64;
  if (code == "i1") return Elements::offset_u8s8;
  throw std::invalid_argument("ufuse.linear: no product of element type '" + code + "'");
}

using Sizes = std::array<std::int64_t, 3>;

void linear(std::uintptr_t program, const Sizes& sizes, const MatrixTuple& x, const MatrixTuple& w,
            const std::string& code, const MatrixTuple& out, const std::vector<MatrixTuple>& extras) {
  Layer layer(program, sizes, x, out, extras, false);
  const bool narrow = code == "half" || code == "bfloat16";
  const std::int64_t row_bytes = std::get<1>(w), item = narrow ? 2 : 4;
  const bool contiguous = std::get<2>(w) == item || layer.k <= 1;
  const Tier tier = active_tier();
  if (narrow || (code == "f4" && contiguous && layer.m <= skinny::kMostRows)) {
    if (!contiguous) throw std::invalid_argument("ufuse.linear: expected weights with contiguous rows");
    TurnedLayer few;
    few.m = layer.m;
    few.n = layer.n;
    few.k = layer.k;
    few.x = layer.x;
    few.weights = reinterpret_cast<const char*>(std::get<0>(w));
    few.row_bytes = row_bytes;
    few.kind = code == "half" ? skinny::Weight::f16 : narrow ? skinny::Weight::bf16 : skinny::Weight::f32;
    return layer.run([&](const Epilogue& epilogue) { multiply_turned(tier, few, epilogue); });
  }
  Product product;
  product.elements = elements_of(code);
  product.m = layer.m;
  product.n = layer.n;
  product.k = layer.k;
  product.a = layer.x;
  product.b = turned(w, layer.k, layer.n);
  layer.run([&](const Epilogue& epilogue) {
    product.epilogue = &epilogue;
    multiply(contract_kernels(tier), product);
  });
}

void linear_packed(std::uintptr_t program, const Sizes& sizes, const MatrixTuple& x, const PackedMatrix& w,
                   const MatrixTuple& out, const std::vector<MatrixTuple>& extras) {
  const bool quantized = w.elements() == Elements::offset_u8s8;
  Layer layer(program, sizes, x, out, extras, quantized);
  if (layer.n != w.n() || layer.k != w.k())
    throw std::invalid_argument("ufuse.linear: packed weights of another shape");
  layer.run([&](const Epilogue& epilogue) {
    if (quantized) {
      QuantizedLinear product;
      product.m = layer.m;
      product.n = layer.n;
      product.k = layer.k;
      product.x = layer.x;
      product.packed = &w;
      product.scales = layer.row_scales();
      multiply_quantized(w.kernels(), product, epilogue);
    } else {
      Product product;
      product.elements = w.elements();
      product.m = layer.m;
      product.n = layer.n;
      product.k = layer.k;
      product.a = layer.x;
      product.packed = &w;
      product.epilogue = &epilogue;
      multiply(w.kernels(), product);
    }
  });
}

void linear_coded(std::uintptr_t program, const Sizes& sizes, const MatrixTuple& x, const PackedCodes& w,
                  bool dynamic, const MatrixTuple& out, const std::vector<MatrixTuple>& extras) {
  Layer layer(program, sizes, x, out, extras, dynamic);
  if (layer.n != w.form().n || layer.k != w.form().k)
    throw std::invalid_argument("ufuse.linear: packed weights of another shape");
  CodedLayer coded;
  coded.m = layer.m;
  coded.x = layer.x;
  coded.weights = &w;
  coded.row_scales = layer.row_scales();
  layer.run([&](const Epilogue& epilogue) { multiply_coded(active_tier(), coded, epilogue); });
}

using Levels = std::optional<std::vector<float>>;

/// See `CodesForm`.
std::unique_ptr<PackedCodes> packed_codes(std::int64_t n, std::int64_t k, std::int64_t block,
                                          const std::string& scales, std::int64_t per_super, bool offsets,
                                          const Levels& levels, int zero, bool integers) {
  CodesForm form;
  form.codes = levels ? skinny::Codes::nibbles : skinny::Codes::int8;
  form.n = n;
  form.k = k;
  form.block = block;
  form.per_super = per_super;
  form.scales = scales == "f4"   ? skinny::Scales::f32
                : scales == "f2" ? skinny::Scales::f16
                                 : skinny::Scales::super;
  form.offsets = offsets;
  form.zero = zero;
  form.integers = integers;
  if (levels && levels->size() != 16) throw std::invalid_argument("PackedCodes: expected 16 levels");
  if (levels) std::copy(levels->begin(), levels->end(), form.levels);
  return std::make_unique<PackedCodes>(form);
}

/// The data of an array of n x columns elements of `size` bytes, C-contiguous.
const void* data_of(const std::optional<py::array>& array, std::int64_t n, std::int64_t columns,
                    std::int64_t size, bool wanted) {
  if (!wanted) return nullptr;
  if (!array || array->ndim() != 2 || array->shape(0) != n || array->shape(1) != columns ||
      array->itemsize() != size || (array->flags() & py::array::c_style) == 0)
    throw std::invalid_argument("PackedCodes: scales of another shape");
  return array->data();
}

using Optional = std::optional<py::array>;

void put_scales(PackedCodes& w, const Optional& scale, const Optional& offset, const Optional& super_scale,
                const Optional& super_offset) {
  const CodesForm& form = w.form();
  const bool super = form.scales == skinny::Scales::super;
  const std::int64_t size = super ? 1 : form.scales == skinny::Scales::f32 ? 4 : 2, n = form.n;
  const std::int64_t blocks = w.blocks(), supers = (blocks + form.per_super - 1) / form.per_super;
  w.put_scales({data_of(scale, n, blocks, size, true), data_of(offset, n, blocks, size, form.offsets),
                data_of(super_scale, n, supers, 2, super),
                data_of(super_offset, n, supers, 2, super && form.offsets)});
}

void put_codes(PackedCodes& w, std::int64_t first, const py::array& codes) {
  if (codes.ndim() != 2 || codes.shape(1) != w.form().k || codes.itemsize() != 1 ||
      (codes.flags() & py::array::c_style) == 0)
    throw std::invalid_argument("PackedCodes: codes of another shape");
  w.put_codes(first, codes.shape(0), static_cast<const std::uint8_t*>(codes.data()), codes.shape(1));
}

}  // namespace

void register_linear(py::module_& m) {
  py::class_<PackedMatrix>(m, "PackedMatrix", "Weights (n, k) packed once for the tier in use.")
      .def(py::init([](const std::string& code, const MatrixTuple& w, std::int64_t k, std::int64_t n) {
             const Matrix b = turned(w, k, n);
             const Elements elements = elements_of(code);
             const py::gil_scoped_release release;
             return std::make_unique<PackedMatrix>(contract_kernels(active_tier()), elements, b, k, n);
           }),
           py::arg("code"), py::arg("w"), py::arg("k"), py::arg("n"))
      .def_property_readonly("nbytes", &PackedMatrix::bytes);
  py::class_<PackedCodes>(m, "PackedCodes", "Weights (n, k) in codes with scales of blocks along k.")
      .def(py::init(&packed_codes), py::arg("n"), py::arg("k"), py::arg("block"), py::arg("scales"),
           py::arg("per_super"), py::arg("offsets"), py::arg("levels"), py::arg("zero"), py::arg("integers"))
      .def("put_codes", &put_codes, py::arg("first"), py::arg("codes"))
      .def("put_scales", &put_scales, py::arg("scale"), py::arg("offset"), py::arg("super_scale"),
           py::arg("super_offset"))
      .def_property_readonly("nbytes", &PackedCodes::bytes);
  m.def("linear", &linear, py::arg("program"), py::arg("sizes"), py::arg("x"), py::arg("w"), py::arg("code"),
        py::arg("out"), py::arg("extras"),
        "out = program(x @ w.T, extras...): sizes are m, n, k; x is (m, k), w (n, k).");
  m.def("linear_packed", &linear_packed, py::arg("program"), py::arg("sizes"), py::arg("x"), py::arg("w"),
        py::arg("out"), py::arg("extras"));
  m.def("linear_coded", &linear_coded, py::arg("program"), py::arg("sizes"), py::arg("x"), py::arg("w"),
        py::arg("dynamic"), py::arg("out"), py::arg("extras"));
  m.def("max_int8_k", [] { return max_k(Elements::offset_u8s8); });
}

}  // namespace ufuse
