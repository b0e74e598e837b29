#include "count/bins.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace ufuse {
namespace {

// A cell of the grid for each eighth of a bin: then few cells have more than one edge.
constexpr std::uint32_t kCellsPerBin = 8;
constexpr std::uint32_t kMostCells = 1 << 16;
// Elements that near to an edge are compared with the two edges next to them: less than half a bin is
// correct, and less than a quarter is still fast.
constexpr double kMostMargin = 0.2;

/// Uniform bins (`BinMap::margin`): false where the edges are too far from their ideal places.
template <class W>
bool make_uniform(BinMap& map, const W* edges, std::int64_t count, double width) {
  const W first = edges[0];
  const W scale = static_cast<W>(static_cast<double>(count) / width);
  if (!std::isfinite(scale) || !std::isfinite(first) || !(scale > 0)) return false;
  W off = 0;
  for (std::int64_t i = 0; i <= count; ++i) {
    const W distance = std::abs((edges[i] - first) * scale - static_cast<W>(i));
    if (!(distance <= static_cast<W>(kMostMargin))) return false;
    off = std::max(off, distance);
  }
  // Four roundings each in our place of an element, in that of the edge above, and in NumPy's formula; and
  // as many again.
  const double roundings = 16 * std::numeric_limits<W>::epsilon() / 2 * static_cast<double>(count + 1);
  map.margin = static_cast<double>(off) + roundings;
  if (!(map.margin <= kMostMargin)) return false;
  map.kind = BinKind::uniform;
  map.first = first;
  map.scale = scale;
  map.last = edges[count];
  const W step = static_cast<W>(width) / static_cast<W>(count);
  map.step = step;
  // There the place is x * scale - first * scale, each with roundings of its own.
  const double further = 4 * std::numeric_limits<W>::epsilon() * std::abs(map.first * map.scale);
  map.even = map.margin + further <= kMostMargin;
  for (std::int64_t i = 0; i <= count; ++i)
    map.even = map.even && static_cast<W>(i) * step + first == edges[i];
  return true;
}

int bits_of(std::uint32_t x) { return static_cast<int>(std::bit_width(x)); }

std::int32_t key_of(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
std::int32_t key_of(double x) {
  const auto bits = static_cast<std::int32_t>(std::bit_cast<std::int64_t>(x) >> 32);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

/// Counts the thresholds below each cell. Returns how many lie in crowded cells.
template <class W>
std::int64_t fill_grid(BinMap& map, const W* thresholds, std::int64_t count, const CountKernels& kernels,
                       std::vector<std::uint32_t>& start) {
  std::vector<std::uint32_t> cell(static_cast<std::size_t>(count)), inside(map.cells, 0);
  kernels.cells[sizeof(W) == 8](cell.data(), thresholds, count, map);
  for (const std::uint32_t c : cell) ++inside[c];
  start.resize(map.cells);
  std::uint32_t below = 0, most = 0;
  std::int64_t crowded = 0;
  for (std::uint32_t c = 0; c < map.cells; ++c) {
    start[c] = below | (inside[c] > 1 ? kCrowded : 0);
    crowded += inside[c] > 1 ? inside[c] : 0;
    below += inside[c];
    most = std::max(most, inside[c]);
  }
  map.steps = bits_of(most);
  return crowded;
}

template <class W>
void make_grid(Bins& bins, const W* thresholds, const CountKernels& kernels) {
  BinMap& map = bins.map;
  map.kind = BinKind::edges;
  std::int64_t thresholds_left = bins.count + 1;
  while (thresholds_left > 0 && std::isnan(thresholds[thresholds_left - 1])) --thresholds_left;
  const W *low = thresholds, *high = thresholds + thresholds_left;
  while (low < high && !std::isfinite(*low)) ++low;
  while (low < high && !std::isfinite(high[-1])) --high;
  map.cells = std::clamp<std::uint32_t>(
      std::bit_ceil(static_cast<std::uint32_t>(std::min<std::int64_t>(bins.count + 1, kMostCells))) *
          kCellsPerBin,
      1, kMostCells);
  const W extent = low < high ? high[-1] - *low : W(0);
  map.first = low < high ? *low : W(0);
  map.scale = extent > 0 && std::isfinite(extent) ? static_cast<W>(static_cast<W>(map.cells) / extent) : W(0);
  if (!std::isfinite(map.scale)) map.scale = 0;
  const std::int64_t crowded = fill_grid(map, thresholds, thresholds_left, kernels, bins.start);
  if (crowded > 0 && low < high) {
    BinMap other = map;
    other.by_bits = true;
    other.first_key = key_of(*low + W(0));  // of -0.0 as in the kernels
    const auto span =
        static_cast<std::uint32_t>(key_of(high[-1] + W(0))) - static_cast<std::uint32_t>(other.first_key);
    other.shift = std::max(0, bits_of(span) - bits_of(map.cells - 1));
    other.cells = (span >> other.shift) + 1;
    std::vector<std::uint32_t> start;
    if (fill_grid(other, thresholds, thresholds_left, kernels, start) < crowded) {
      map = other;
      bins.start.swap(start);
    }
  }
  map.start = bins.start.data();
}

template <class W>
bool make(Bins& bins, const W* edges, double width, const CountKernels& kernels) {
  const std::int64_t count = bins.count;
  const bool given = width == 0;
  constexpr W kNan = std::numeric_limits<W>::quiet_NaN(), kInf = std::numeric_limits<W>::infinity();
  // NaN beyond the last threshold for the binary search, whose steps are at most bit_width(count + 1).
  std::vector<W> thresholds(edges, edges + count + 1);
  thresholds.resize(static_cast<std::size_t>(2 * std::bit_ceil(static_cast<std::uint64_t>(count + 2)) + 1),
                    kNan);
  W& last = thresholds[static_cast<std::size_t>(count)];
  last = last == kInf ? kNan : std::nextafter(last, kInf);
  bins.thresholds.resize(thresholds.size() * sizeof(W));
  std::memcpy(bins.thresholds.data(), thresholds.data(), bins.thresholds.size());
  bins.map.thresholds = bins.thresholds.data();
  if (given) width = static_cast<double>(edges[count]) - static_cast<double>(edges[0]);
  if (make_uniform(bins.map, edges, count, width)) return true;
  if (!given) return false;
  make_grid(bins, thresholds.data(), kernels);
  return true;
}

}  // namespace

bool make_bins(Bins& bins, const void* edges, std::int64_t count, DType wide, double width,
               const CountKernels& kernels) {
  bins.count = count;
  bins.map.wide = wide;
  bins.map.top = static_cast<std::uint32_t>(count + 1);
  return wide == DType::F32 ? make(bins, static_cast<const float*>(edges), width, kernels)
                            : make(bins, static_cast<const double*>(edges), width, kernels);
}

void count_by_value(Bins& bins, DType type, const void* values, const CountKernels& kernels) {
  constexpr std::uint32_t kValues = 256;
  bins.slot_of_value.resize(kValues);
  const bool f64 = bins.map.wide == DType::F64;
  kernels.slots[static_cast<int>(bins.map.kind)][f64][static_cast<int>(type)](bins.slot_of_value.data(),
                                                                              values, kValues, bins.map);
  bins.map = BinMap{};
  bins.map.top = kValues;
}

void make_values(Bins& bins, std::int64_t count) {
  bins.count = count;
  bins.first_slot = 0;
  bins.map = BinMap{};
  bins.map.top = static_cast<std::uint32_t>(count);
}

void make_octaves(Bins& bins, int top, int octaves, int fraction_bits) {
  const std::int32_t half = octaves << fraction_bits;
  bins.count = 2 * half + 1;
  bins.map.kind = BinKind::octaves;
  bins.map.wide = DType::F32;
  bins.map.top = static_cast<std::uint32_t>(2 * (half + 1));
  bins.map.first_key = ((top - octaves + 127) << fraction_bits) - 1;
  bins.map.shift = 23 - fraction_bits;
}

}  // namespace ufuse
