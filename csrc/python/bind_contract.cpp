// Contractions: Python names the axes (extent and byte strides of each label), the core fuses them and runs
// the product.
#include <pybind11/stl.h>

#include <map>
#include <memory>
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
      {"f4", Elements::f32},    {"f8", Elements::f64},    {"c8", Elements::c64},    {"c16", Elements::c128},
      {"u1i1", Elements::u8s8}, {"i1u1", Elements::s8u8}, {"i1i1", Elements::s8s8}, {"bf16", Elements::bf16},
      {"i2", Elements::i16},    {"i4", Elements::i32},    {"i8", Elements::i64},
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
  const auto add = [&](const std::string& code, const ElementKernels& e) {
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
  };
  for (const auto& [code, elements] : codes()) add(code, contract::element_kernels(kernels, elements));
  if (kernels.bf16_tiles.block != nullptr) add("bf16.tiles", kernels.bf16_tiles);
  return table;
}

const Program* program_of(std::uintptr_t address) { return reinterpret_cast<const Program*>(address); }

using Labels = std::vector<std::pair<std::int64_t, std::vector<std::int64_t>>>;

std::vector<Label> labels_of(const Labels& labels) {
  std::vector<Label> result;
  for (const auto& [size, strides] : labels) result.push_back({size, strides});
  return result;
}

}  // namespace

void register_contract(py::module_& m) {
  py::class_<Contraction>(m, "Contraction", "A contraction of two operands, for arrays of given strides.")
      .def(py::init([](const std::string& code, const Labels& batch, const Labels& rows, const Labels& cols,
                       const Labels& shared, const std::vector<std::size_t>& innermost, int a_arrays,
                       int b_arrays, int extras, bool real_a, bool real_b, bool conjugate_a, bool conjugate_b,
                       bool wraps, std::uintptr_t prologue_a, std::uintptr_t prologue_b,
                       std::uintptr_t finish) {
             ContractionSpec spec;
             spec.elements = elements_of(code);
             spec.batch = labels_of(batch);
             spec.rows = labels_of(rows);
             spec.cols = labels_of(cols);
             spec.shared = labels_of(shared);
             spec.innermost = innermost;
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
           py::kw_only(), py::arg("innermost") = std::vector<std::size_t>{}, py::arg("a_arrays") = 1,
           py::arg("b_arrays") = 1, py::arg("extras") = 0, py::arg("real_a") = false,
           py::arg("real_b") = false, py::arg("conjugate_a") = false, py::arg("conjugate_b") = false,
           py::arg("wraps") = false, py::arg("prologue_a") = 0, py::arg("prologue_b") = 0,
           py::arg("finish") = 0)
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
      .def_property_readonly("packings", &Contraction::packings)
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

  m.def(
      "bfloat16_by_tiles",
      [](std::int64_t terms) {
        const ContractKernels& kernels = contract_kernels(active_tier());
        Product product;
        product.elements = Elements::bf16;
        product.terms = terms;
        return &contract::element_kernels(kernels, product) == &kernels.bf16_tiles;
      },
      py::arg("terms"), "Whether a product of so many terms (m n k) has the order of tiles.");
  m.def("contraction_kernels", kernel_table,
        "Block sizes of the tier in use by element code, and where its largest micro-kernels begin: packed, "
        "A in place, careful; 0 where there is none.");
}

}  // namespace ufuse
