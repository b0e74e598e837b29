// Counting by leading bits for one tier: this file is compiled once per tier.
#include "calibrate/kernels.hpp"

#include <cstring>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

using V = Register<float>;
using U = Vec<std::uint32_t, V::size>;

constexpr std::int64_t kGroup = 16;  // elements: one register of the widest tier
// Bytes asked for ahead: of what memory delivers, a third more elements a second on one core.
constexpr std::int64_t kAhead = 4096;

template <bool Two>
void count_leading(std::uint32_t* tables, std::size_t pitch, const float* x, std::int64_t count, int shift,
                   Seen& seen) {
  std::uint32_t* const other = tables + (Two ? pitch : 0);
  V low = splat<V>(seen.low), high = splat<V>(seen.high);
  U bits{};
  std::int64_t i = 0;
  for (; i + kGroup <= count; i += kGroup) {
    const float* at = x + i;
    __builtin_prefetch(reinterpret_cast<const char*>(at) + kAhead);
    for (int k = 0; k < kGroup; k += V::size) {
      const V v = V::load(at + k);
      bits = bits | bitcast<U>(v);
      low = select(v < low, v, low);
      high = select(v > high, v, high);
    }
#pragma GCC unroll 1
    for (int k = 0; k < kGroup;
         k += 4) {                  // GCC 12 takes four rounds in one, and then keeps all sums for later
      std::uint64_t first, second;  // two elements a load: loads and stores share three units
      std::memcpy(&first, at + k, 8);
      std::memcpy(&second, at + k + 2, 8);
      ++tables[static_cast<std::uint32_t>(first) >> shift];
      ++other[first >> 32 >> shift];
      ++tables[static_cast<std::uint32_t>(second) >> shift];
      ++other[second >> 32 >> shift];
    }
  }
  for (int k = 0; k < V::size; ++k) {
    seen.low = low[k] < seen.low ? low[k] : seen.low;
    seen.high = high[k] > seen.high ? high[k] : seen.high;
    seen.bits |= bits[k];
  }
  for (; i < count; ++i) {
    std::uint32_t one;
    std::memcpy(&one, x + i, 4);
    seen.low = x[i] < seen.low ? x[i] : seen.low;
    seen.high = x[i] > seen.high ? x[i] : seen.high;
    seen.bits |= one;
    ++tables[one >> shift];
  }
}

template <class T>
void convert_to_float(float* to, const void* from, std::int64_t count) {
  const auto* at = static_cast<const T*>(from);
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(at[i]);
}

// Doubles nearer to 0 than 2**51 are integers when this has been added.
constexpr double kWhole = 6755399441055744.0;
constexpr std::uint64_t kExponent = 0x7ff0000000000000;

using D = Vec<double, 8>;
using B = Vec<std::uint64_t, 8>;

/// Levels are integers. The integral over a step of 1 is 1/12.
struct Integers {
  explicit Integers(const Levels&) {}
  UFUSE_INLINE D level(D place) const { return (place + splat<D>(kWhole)) - splat<D>(kWhole); }
  UFUSE_INLINE D integral(D, D level) const { return level * splat<D>(1.0 / 12); }
};

/// Levels are floats: of an octave from p on, or below the smallest normal one, multiples of p *
/// 2**-fraction. The integral over a step h is h**3 / 12, so that up to a level x it is, with m the smallest
/// normal number and the octaves below summed up, 4**-fraction / 12 * (6/7 * (m**3 - p**3) + x * p**2).
struct Floats {
  double normal, whole, share;
  explicit Floats(const Levels& levels) : normal(levels.normal), whole(kWhole), share(1.0 / 12) {
    for (int i = 0; i < levels.fraction; ++i) {
      whole /= 2;
      share /= 4;
    }
  }
  UFUSE_INLINE D octave(D place) const {
    const D power = bitcast<D>(bitcast<B>(place) & splat<B>(kExponent));
    return select(power > splat<D>(normal), power, splat<D>(normal));
  }
  UFUSE_INLINE D level(D place) const {
    const D far = octave(place) * splat<D>(whole);
    return (place + far) - far;
  }
  UFUSE_INLINE D integral(D place, D level) const {
    const D p = octave(place), m = splat<D>(normal);
    const D below = splat<D>(6.0 / 7) * (m * m * m - p * p * p);
    const D size = select(level < D{}, D{} - level, level);
    const D sum = splat<D>(share) * (below + size * (p * p));
    return select(level < D{}, D{} - sum, sum);
  }
};

template <bool Points, class Grid>
UFUSE_INLINE D error_of(const Grid& grid, D at, D weight, D inverse, D least, D most) {
  const D place = at * inverse;
  D inside = select(place > least, place, least);
  inside = select(inside < most, inside, most);
  const D level = grid.level(inside);
  const D r = place - level;
  if constexpr (Points) return weight * (r * r);
  return weight * (r * r * r * splat<D>(1.0 / 3) + grid.integral(inside, level));
}

template <bool Points, class Grid>
double errors(const double* at, const double* weight, std::int64_t count, double inverse, double least,
              double most, const Levels& levels) {
  const Grid grid(levels);
  const D i = splat<D>(inverse), low = splat<D>(least), high = splat<D>(most);
  D sums{};
  std::int64_t k = 0;
  for (; k + D::size <= count; k += D::size)
    sums = sums + error_of<Points>(grid, D::load(at + k), D::load(weight + k), i, low, high);
  if (k < count) {
    double rest[2][D::size] = {};
    std::memcpy(rest[0], at + k, static_cast<std::size_t>(count - k) * sizeof(double));
    std::memcpy(rest[1], weight + k, static_cast<std::size_t>(count - k) * sizeof(double));
    sums = sums + error_of<Points>(grid, D::load(rest[0]), D::load(rest[1]), i, low, high);
  }
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

CalibrateKernels make_table() {
  CalibrateKernels t{};
  t.count[0] = count_leading<false>;
  t.count[1] = count_leading<true>;
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  t.convert[static_cast<int>(DType::name)] = convert_to_float<storage_t<cpp>>;
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  t.of_points[0] = errors<true, Integers>;
  t.of_points[1] = errors<true, Floats>;
  t.of_edges[0] = errors<false, Integers>;
  t.of_edges[1] = errors<false, Floats>;
  return t;
}

}  // namespace

const CalibrateKernels* calibrate_kernels() {
  static const CalibrateKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
