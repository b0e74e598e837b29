// Contractions: Python names the axes (extent and byte strides of each label), this fuses them and runs the
// product.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
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

}  // namespace

void register_contract(py::module_& m) {
  m.def("contract", &contract, py::arg("code"), py::arg("a"), py::arg("b"), py::arg("c"), py::arg("batch"),
        py::arg("rows"), py::arg("cols"), py::arg("shared"),
        "Batched product over fused labels; addresses, extents and byte strides as given.");
}

}  // namespace ufuse
