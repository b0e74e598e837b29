// The module ufuse._core: programs, settings and what each family registers. Calls that must be fast enter
// by ufuse._fast (Cython) instead.
#include "python/register.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The native executor of ufuse.";
  ufuse::register_settings(m);
  ufuse::register_program(m);
  ufuse::register_reduce(m);
  ufuse::register_segment(m);
  ufuse::register_contract(m);
  ufuse::register_linear(m);
  ufuse::register_scan(m);
  ufuse::register_softmax(m);
  ufuse::register_attention(m);
  ufuse::register_exact(m);
  ufuse::register_distortion(m);
  ufuse::register_ranged(m);
  ufuse::register_formats(m);
  ufuse::register_weighted(m);
  ufuse::register_calibrate(m);
  ufuse::register_count(m);
  ufuse::register_window(m);
  ufuse::register_order(m);
  ufuse::register_streams(m);
}
