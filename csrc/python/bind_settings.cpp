// Tiers, threads and the block pool.
#include <pybind11/stl.h>

#include "core/threads.hpp"
#include "core/tiers.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ufuse {

void register_settings(py::module_& m) {
  m.def("available_tiers", [] {
    std::vector<std::string> names;
    for (const Tier tier : available_tiers()) names.emplace_back(tier_name(tier));
    return names;
  });
  m.def("active_tier", [] { return std::string(tier_name(active_tier())); });
  m.def("set_tier", &set_tier, py::arg("name"), "Force a tier; an empty name returns to the default.");
  m.def("thread_limit", &thread_limit);
  m.def("set_thread_limit", &set_thread_limit, py::arg("threads"));
  m.def("set_local_thread_limit", &set_local_thread_limit, py::arg("threads"));
  m.def("pool_statistics", [] {
    const PoolStatistics s = pool_statistics();
    py::dict d;
    d["limit"] = s.limit;
    d["cached"] = s.cached;
    d["in_use"] = s.in_use;
    d["hits"] = s.hits;
    d["misses"] = s.misses;
    return d;
  });
  m.def("set_pool_limit", &set_pool_limit, py::arg("bytes"));
}

}  // namespace ufuse
