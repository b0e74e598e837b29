// Linear layers: products with weights, with a program as the epilogue.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "contract/dispatch.hpp"
#include "contract/layer.hpp"
#include "contract/product.hpp"
#include "core/tiers.hpp"
#include "python/register.hpp"
#include "skinny/packed_codes.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

/// Address and byte strides.
using MatrixTuple = std::tuple<std::uintptr_t, std::int64_t, std::int64_t>;

LayerMatrix matrix_of(const MatrixTuple& m) {
  return {reinterpret_cast<char*>(std::get<0>(m)), std::get<1>(m), std::get<2>(m)};
}

WeightForm form_of(const std::string& name) {
  constexpr std::pair<const char*, WeightForm> kForms[] = {
      {"f4", WeightForm::f32},        {"f8", WeightForm::f64},
      {"half", WeightForm::half},     {"bfloat16", WeightForm::bfloat16},
      {"matrix", WeightForm::matrix}, {"int8", WeightForm::int8},
      {"coded", WeightForm::coded},   {"dynamic", WeightForm::dynamic}};
  for (const auto& [form, value] : kForms)
    if (name == form) return value;
  throw std::invalid_argument("ufuse.linear: no weights of the form '" + name + "'");
}

/// `w`: address and strides, or the address of packed weights.
void linear(std::uintptr_t program, const std::array<std::int64_t, 3>& sizes, const MatrixTuple& x,
            const std::string& form, const MatrixTuple& w, const MatrixTuple& out,
            const std::vector<MatrixTuple>& extras) {
  LinearLayer layer{};
  layer.m = sizes[0];
  layer.n = sizes[1];
  layer.k = sizes[2];
  layer.x = matrix_of(x);
  layer.out = matrix_of(out);
  layer.form = form_of(form);
  layer.weights = matrix_of(w);
  layer.packed = layer.weights.data;
  layer.program = reinterpret_cast<const Program*>(program);
  if (extras.size() > LinearLayer::kMostExtras)
    throw std::invalid_argument("ufuse.linear: too many operands");
  for (const auto& extra : extras) layer.extra[layer.extras++] = matrix_of(extra);
  const py::gil_scoped_release release;
  run_layer(layer, active_tier());
}

Elements elements_of(const std::string& code) {
  if (code == "f4") return Elements::f32;
  if (code == "f8") return Elements::f64;
  if (code == "i1") return Elements::offset_u8s8;
  throw std::invalid_argument("ufuse.linear: no packed matrix of element type '" + code + "'");
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

CodesScales scales_of(const PackedCodes& w, const Optional& scale, const Optional& offset,
                      const Optional& super_scale, const Optional& super_offset) {
  const CodesForm& form = w.form();
  const bool super = form.scales == skinny::Scales::super;
  const std::int64_t size = super ? 1 : form.scales == skinny::Scales::f32 ? 4 : 2, n = form.n;
  const std::int64_t blocks = w.blocks(), supers = (blocks + form.per_super - 1) / form.per_super;
  return {data_of(scale, n, blocks, size, true), data_of(offset, n, blocks, size, form.offsets),
          data_of(super_scale, n, supers, 2, super),
          data_of(super_offset, n, supers, 2, super && form.offsets)};
}

void put_scales(PackedCodes& w, const Optional& scale, const Optional& offset, const Optional& super_scale,
                const Optional& super_offset) {
  w.put_scales(scales_of(w, scale, offset, super_scale, super_offset));
}

/// Into new arrays.
void take_scales(const PackedCodes& w, const Optional& scale, const Optional& offset,
                 const Optional& super_scale, const Optional& super_offset) {
  const CodesScales to = scales_of(w, scale, offset, super_scale, super_offset);
  w.take_scales({const_cast<void*>(to.scale), const_cast<void*>(to.offset), const_cast<void*>(to.super_scale),
                 const_cast<void*>(to.super_offset)});
}

void check_codes(const PackedCodes& w, const py::array& codes) {
  if (codes.ndim() != 2 || codes.shape(1) != w.form().k || codes.itemsize() != 1 ||
      (codes.flags() & py::array::c_style) == 0)
    throw std::invalid_argument("PackedCodes: codes of another shape");
}

void put_codes(PackedCodes& w, std::int64_t first, const py::array& codes) {
  check_codes(w, codes);
  w.put_codes(first, codes.shape(0), static_cast<const std::uint8_t*>(codes.data()), codes.shape(1));
}

void take_codes(const PackedCodes& w, std::int64_t first, py::array& codes) {
  check_codes(w, codes);
  w.take_codes(first, codes.shape(0), static_cast<std::uint8_t*>(codes.mutable_data()), codes.shape(1));
}

/// Into a new array (n, k), C-contiguous.
void unpack(const PackedMatrix& w, std::uintptr_t out) {
  const py::gil_scoped_release release;
  w.unpack(reinterpret_cast<char*>(out));
}

}  // namespace

void register_linear(py::module_& m) {
  py::class_<PackedMatrix>(m, "PackedMatrix", "Weights (n, k) packed once for the tier in use.")
      .def(py::init([](const std::string& code, const MatrixTuple& w, std::int64_t k, std::int64_t n) {
             const auto& [data, row_stride, col_stride] = w;
             const Matrix b = {
                 reinterpret_cast<const void*>(data), {k, col_stride, nullptr}, {n, row_stride, nullptr}};
             const Elements elements = elements_of(code);
             const py::gil_scoped_release release;
             return std::make_unique<PackedMatrix>(contract_kernels(active_tier()), elements, b, k, n);
           }),
           py::arg("code"), py::arg("w"), py::arg("k"), py::arg("n"))
      .def_property_readonly("address",
                             [](const PackedMatrix& w) { return reinterpret_cast<std::uintptr_t>(&w); })
      .def("unpack", &unpack, py::arg("out"))
      .def_property_readonly("nbytes", &PackedMatrix::bytes);
  py::class_<PackedCodes>(m, "PackedCodes", "Weights (n, k) in codes with scales of blocks along k.")
      .def(py::init(&packed_codes), py::arg("n"), py::arg("k"), py::arg("block"), py::arg("scales"),
           py::arg("per_super"), py::arg("offsets"), py::arg("levels"), py::arg("zero"), py::arg("integers"))
      .def("put_codes", &put_codes, py::arg("first"), py::arg("codes"))
      .def("put_scales", &put_scales, py::arg("scale"), py::arg("offset"), py::arg("super_scale"),
           py::arg("super_offset"))
      .def("take_codes", &take_codes, py::arg("first"), py::arg("codes"))
      .def("take_scales", &take_scales, py::arg("scale"), py::arg("offset"), py::arg("super_scale"),
           py::arg("super_offset"))
      .def_property_readonly("address",
                             [](const PackedCodes& w) { return reinterpret_cast<std::uintptr_t>(&w); })
      .def_property_readonly("nbytes", &PackedCodes::bytes);
  m.def("linear", &linear, py::arg("program"), py::arg("sizes"), py::arg("x"), py::arg("form"), py::arg("w"),
        py::arg("out"), py::arg("extras"),
        "out = program(x @ w.T, extras...): sizes are m, n, k; x is (m, k), w (n, k).");
  m.def("max_int8_k", [] { return max_k(Elements::offset_u8s8); });
}

}  // namespace ufuse
