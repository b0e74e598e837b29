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

CalibrateKernels make_table() {
  CalibrateKernels t{};
  t.count[0] = count_leading<false>;
  t.count[1] = count_leading<true>;
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  t.convert[static_cast<int>(DType::name)] = convert_to_float<storage_t<cpp>>;
#include "catalogue.inc"
#undef UFUSE_ELEMENT_TYPE
  return t;
}

}  // namespace

const CalibrateKernels* calibrate_kernels() {
  static const CalibrateKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
