#include "order/network.hpp"

#include <algorithm>

namespace ufuse {

std::vector<Comparator> sorting_network(int count) {
  std::vector<Comparator> network;
  int top = 1;
  while (2 * top < count) top *= 2;
  for (int p = top; p > 0; p /= 2) {
    int q = top, r = 0, d = p;
    while (true) {
      for (int i = 0; i + d < count; ++i)
        if ((i & p) == r)
          network.push_back({static_cast<std::uint16_t>(i), static_cast<std::uint16_t>(i + d)});
      if (q == p) break;
      d = q - p;
      q /= 2;
      r = p;
    }
  }
  return network;
}

std::vector<Comparator> needed_part(const std::vector<Comparator>& network, int count,
                                    const std::vector<std::int64_t>& ranks) {
  std::vector<char> read(static_cast<std::size_t>(count), 0);
  for (const std::int64_t rank : ranks) read[static_cast<std::size_t>(rank)] = 1;
  std::vector<Comparator> part;
  for (auto c = network.rbegin(); c != network.rend(); ++c) {
    if (read[c->low] == 0 && read[c->high] == 0) continue;
    read[c->low] = read[c->high] = 1;
    part.push_back(*c);
  }
  std::reverse(part.begin(), part.end());
  return part;
}

}  // namespace ufuse
