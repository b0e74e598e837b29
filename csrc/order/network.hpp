// Sorting networks of any size, and the part of one that given ranks need.
#pragma once

#include <cstdint>
#include <vector>

#include "order/kernels.hpp"

namespace ufuse {

/// Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2 M) for `count` rows.
std::vector<Comparator> sorting_network(int count);

/// What is left of a network where only the rows of these ranks are read.
std::vector<Comparator> needed_part(const std::vector<Comparator>& network, int count,
                                    const std::vector<std::int64_t>& ranks);

}  // namespace ufuse
