// Attention: ndarrays to pointers and byte strides. Python has validated everything else.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "attention/attention.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

AttentionType type_of(const std::string& name, py::ssize_t size) {
  constexpr struct {
    const char* name;
    AttentionType type;
    py::ssize_t size;
  } kTypes[] = {{"float32", AttentionType::f32, 4},
                {"float64", AttentionType::f64, 8},
                {"float16", AttentionType::f16, 2},
                {"bfloat16", AttentionType::bf16, 2},
                {"bool", AttentionType::boolean, 1}};
  for (const auto& row : kTypes)
    if (name == row.name && size == row.size) return row.type;
  throw std::invalid_argument("ufuse attention: no element type '" + name + "'");
}

/// An operand and the strides of its leading axes.
struct Operand {
  AttentionOperand as;
  std::vector<std::int64_t> strides;

  Operand(const py::array& array, const std::string& type, char* data, const py::array& out, py::ssize_t rows,
          py::ssize_t columns)
      : strides(array.strides(), array.strides() + array.ndim()) {
    const py::ssize_t last = array.ndim() - 1;
    bool fits = array.ndim() >= 2 && array.ndim() == out.ndim() && array.shape(last - 1) == rows &&
                array.shape(last) == columns;
    for (py::ssize_t i = 0; fits && i < last - 1; ++i) fits = array.shape(i) == out.shape(i);
    if (!fits) throw std::invalid_argument("ufuse attention: unlike arrays");
    as.data = data;
    as.type = type_of(type, array.itemsize());
    as.strides = strides.data();
    as.row = array.strides(last - 1);
    as.column = array.strides(last);
  }
};

char* data_of(const py::array& array) { return static_cast<char*>(const_cast<void*>(array.data())); }

void attention_of(const std::string& type, const py::array& q, const py::array& k, const py::array& v,
                  const std::optional<py::array>& mask, const std::string& mask_type, double scale,
                  bool causal, py::array& out) {
  if (q.ndim() < 2 || k.ndim() < 2 || v.ndim() < 2)
    throw std::invalid_argument("ufuse attention: too few dimensions");
  Attention a;
  a.axes = static_cast<int>(out.ndim()) - 2;
  const std::vector<std::int64_t> shape(out.shape(), out.shape() + out.ndim());
  a.shape = shape.data();
  a.queries = q.shape(q.ndim() - 2);
  a.depth = q.shape(q.ndim() - 1);
  a.keys = k.shape(k.ndim() - 2);
  a.width = v.shape(v.ndim() - 1);
  const Operand q_as(q, type, data_of(q), out, a.queries, a.depth);
  const Operand k_as(k, type, data_of(k), out, a.keys, a.depth);
  const Operand v_as(v, type, data_of(v), out, a.keys, a.width);
  const Operand out_as(out, type, static_cast<char*>(out.mutable_data()), out, a.queries, a.width);
  std::optional<Operand> mask_as;
  if (mask) mask_as.emplace(*mask, mask_type, data_of(*mask), out, a.queries, a.keys);
  a.q = q_as.as;
  a.k = k_as.as;
  a.v = v_as.as;
  a.out = out_as.as;
  if (mask_as) a.mask = mask_as->as;
  a.scale = scale;
  a.causal = causal;
  const py::gil_scoped_release released;
  attention(a);
}

}  // namespace

void register_attention(py::module_& m) {
  m.def("attention", &attention_of, py::arg("type"), py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("mask"), py::arg("mask_type"), py::arg("scale"), py::arg("causal"), py::arg("out"),
        "Attention over arrays that have the leading axes of `out`, which is apart from the others. bfloat16 "
        "is\n"
        "given as uint16.");
}

}  // namespace ufuse
