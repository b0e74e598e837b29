// Contractions: Python names the axes (extent and byte strides of each label), the core fuses them and runs
// the product. Linear layers: with a program as the epilogue.
#include <pybind11/stl.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "contract/contraction.hpp"
#include "contract/dispatch.hpp"
#include "contract/plan.hpp"
#include "contract/product.hpp"
#include "core/tiers.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {
namespace {

const std::map<std::string, Elements>& codes() {
  static const std::map<std::string, Elements> known = {
      {"f4", Elements::f32},    {"f8", Elements::f64},    {"c8", Elements::c64},
      {"c16", Elements::c128},  {"u1i1", Elements::u8s8}, {"i1i1", Elements::s8s8},
      {"bf16", Elements::bf16}, {"i4", Elements::i32},    {"i8", Elements::i64},
#define UFUSE_SEMIRING(name, type) {#name "." + std::string(code_of(DType::type)), Elements::name##_##type},
#include "semirings.inc"
#undef UFUSE_SEMIRING
#define UFUSE_SEMIRING_ARG(name, type) \
  {"arg_" #name "." + std::string(code_of(DType::type)), Elements::arg_##name##_##type},
#include "semirings.inc"
#undef UFUSE_SEMIRING_ARG
  };
  return known;
}

Elements elements_of(const std::string& code) {
  const auto found = codes().find(code);
  if (found == codes().end())
    throw std::invalid_argument("ufuse contraction: no product of element type '" + code + "'");
  return found->second;
}

/// Sizes and largest micro-kernels of the tier in use, by code.
py::dict kernel_table() {
  const ContractKernels& kernels = contract_kernels(active_tier());
  py::dict table;
  for (const auto& [code, elements] : codes()) {
    const ElementKernels& e = contract::element_kernels(kernels, elements);
    const void* at[3];
    e.largest(at);
    py::list addresses;
    for (const void* address : at) addresses.append(reinterpret_cast<std::uintptr_t>(address));
    py::dict row;
    row["mr"] = e.mr;
    row["nr"] = e.nr;
    row["lanes"] = e.lanes;
    row["group"] = e.group;
    row["kc"] = e.kc;
    row["mc"] = e.mc;
    row["nc"] = e.nc;
    row["micro_kernels"] = addresses;
    table[py::str(code)] = row;
  }
  return table;
}

const Program* program_of(std::uintptr_t address) { return reinterpret_cast<const Program*>(address); }

using Labels = std::vector<std::pair<std::int64_t, std::vector<std::int64_t>>>;

std::vector<Label> labels_of(const Labels& labels) {
  std::vector<Label> result;
  for (const auto& [size, strides] : labels) result.push_back({size, strides});
  return result;
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
  py::class_<Contraction>(m, "Contraction", "A contraction of two operands, for arrays of given strides.")
      .def(py::init([](const std::string& code, const Labels& batch, const Labels& rows, const Labels& cols,
                       const Labels& shared, int a_arrays, int b_arrays, int extras, bool real_a, bool real_b,
                       bool conjugate_a, bool conjugate_b, bool wraps, std::uintptr_t prologue_a,
                       std::uintptr_t prologue_b, std::uintptr_t finish) {
             ContractionSpec spec;
             spec.elements = elements_of(code);
             spec.batch = labels_of(batch);
             spec.rows = labels_of(rows);
             spec.cols = labels_of(cols);
             spec.shared = labels_of(shared);
             spec.a_arrays = a_arrays;
             spec.b_arrays = b_arrays;
             spec.extras = extras;
             spec.real_a = real_a;
             spec.real_b = real_b;
             spec.conjugate_a = conjugate_a;
             spec.conjugate_b = conjugate_b;
             spec.wraps = wraps;
             spec.prologue_a = program_of(prologue_a);
             spec.prologue_b = program_of(prologue_b);
             spec.finish = program_of(finish);
             return std::make_unique<Contraction>(std::move(spec));
           }),
           py::arg("code"), py::arg("batch"), py::arg("rows"), py::arg("cols"), py::arg("shared"),
           py::kw_only(), py::arg("a_arrays") = 1, py::arg("b_arrays") = 1, py::arg("extras") = 0,
           py::arg("real_a") = false, py::arg("real_b") = false, py::arg("conjugate_a") = false,
           py::arg("conjugate_b") = false, py::arg("wraps") = false, py::arg("prologue_a") = 0,
           py::arg("prologue_b") = 0, py::arg("finish") = 0)
      .def(
          "run",
          [](const Contraction& contraction, const std::vector<std::uintptr_t>& addresses,
             std::int64_t positions) {
            std::vector<char*> arrays;
            for (const std::uintptr_t address : addresses) arrays.push_back(reinterpret_cast<char*>(address));
            const py::gil_scoped_release release;
            contraction.run(arrays.data(), positions);
          },
          py::arg("addresses"), py::arg("positions") = 0,
          "Run it on arrays at these addresses, in the order of the labels' strides.")
      .def_property_readonly("address",
                             [](const Contraction& c) { return reinterpret_cast<std::uintptr_t>(&c); })
      .def_property_readonly(
          "sizes", [](const Contraction& c) { return std::make_tuple(c.items(), c.m(), c.n(), c.k()); })
      .def_property_readonly("turned", &Contraction::turned);

  m.def(
      "run_contractions",
      [](const std::vector<const Contraction*>& contractions,
         const std::vector<std::vector<std::uintptr_t>>& addresses, const std::vector<std::int64_t>& rows) {
        std::vector<std::vector<char*>> arrays;
        std::vector<ContractionCall> calls;
        for (std::size_t i = 0; i < addresses.size(); ++i) {
          arrays.emplace_back();
          for (const std::uintptr_t address : addresses[i])
            arrays[i].push_back(reinterpret_cast<char*>(address));
        }
        for (std::size_t i = 0; i < addresses.size(); ++i)
          calls.push_back({contractions[i], arrays[i].data(), rows[i]});
        const py::gil_scoped_release release;
        run_many(calls);
      },
      py::arg("contractions"), py::arg("addresses"), py::arg("rows"),
      "Run contractions that are independent of each other; rows: fewer than they were made for, or -1.");

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
  m.def("contraction_kernels", kernel_table,
        "Block sizes of the tier in use by element code, and where its largest micro-kernels begin: packed, "
        "A in place, careful; 0 where there is none.");
  m.def("max_int8_k", [] { return max_k(Elements::offset_u8s8); });
}

}  // namespace ufuse
