// One function per category of bindings.
#pragma once

#include <pybind11/pybind11.h>

#include "core/memory.hpp"
#include "program/program.hpp"

namespace ufuse {

void register_settings(pybind11::module_& m);
void register_program(pybind11::module_& m);
void register_reduce(pybind11::module_& m);
void register_segment(pybind11::module_& m);
void register_contract(pybind11::module_& m);
void register_linear(pybind11::module_& m);
void register_scan(pybind11::module_& m);
void register_softmax(pybind11::module_& m);
void register_attention(pybind11::module_& m);
void register_exact(pybind11::module_& m);
void register_distortion(pybind11::module_& m);
void register_ranged(pybind11::module_& m);
void register_formats(pybind11::module_& m);
void register_weighted(pybind11::module_& m);
void register_calibrate(pybind11::module_& m);
void register_count(pybind11::module_& m);
void register_window(pybind11::module_& m);
void register_order(pybind11::module_& m);
void register_streams(pybind11::module_& m);

}  // namespace ufuse
