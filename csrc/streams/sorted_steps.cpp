#include "streams/sorted_steps.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "core/scratch.hpp"
#include "core/threads.hpp"

namespace ufuse {
namespace {

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;

template <std::size_t Size>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using type = std::uint8_t;
};
template <>
struct UnsignedOf<2> {
  using type = std::uint16_t;
};
template <>
struct UnsignedOf<4> {
  using type = std::uint32_t;
};
template <>
struct UnsignedOf<8> {
  using type = std::uint64_t;
};

/// Keys that compare as the elements do.
template <class T>
struct Keys {
  using Key = typename UnsignedOf<sizeof(T)>::type;
  static constexpr Key top = static_cast<Key>(Key{1} << (8 * sizeof(T) - 1));

  static UFUSE_INLINE Key of(T x) {
    if constexpr (std::is_floating_point_v<T>) {
      x += T{0};  // -0.0 to 0.0
      Key bits;
      std::memcpy(&bits, &x, sizeof x);
      const Key sign = static_cast<Key>(0) - (bits >> (8 * sizeof(T) - 1));
      return static_cast<Key>(bits ^ (sign | top));
    } else {
      return std::is_signed_v<T> ? static_cast<Key>(static_cast<Key>(x) ^ top) : static_cast<Key>(x);
    }
  }
  static UFUSE_INLINE T back(Key key) {
    if constexpr (std::is_floating_point_v<T>) {
      const Key sign = static_cast<Key>((key >> (8 * sizeof(T) - 1)) - 1);
      const Key bits = static_cast<Key>(key ^ (sign | top));
      T x;
      std::memcpy(&x, &bits, sizeof x);
      return x;
    } else {
      return static_cast<T>(std::is_signed_v<T> ? static_cast<Key>(key ^ top) : key);
    }
  }
};

/// Sorts `keys`, with `other` for room and `counts` those of each digit; returns which of the two is sorted.
template <class Key>
Key* radix_sort(Key* keys, Key* other, std::int64_t count, std::uint32_t (*counts)[kDigits]) {
  for (std::size_t pass = 0; pass < sizeof(Key); ++pass) {
    const int shift = static_cast<int>(pass) * kDigitBits;
    std::uint32_t* at = counts[pass];
    if (at[keys[0] >> shift & (kDigits - 1)] == static_cast<std::uint32_t>(count)) continue;
    std::uint32_t before = 0;
    for (int d = 0; d < kDigits; ++d) before += std::exchange(at[d], before);
    for (std::int64_t i = 0; i < count; ++i) other[at[keys[i] >> shift & (kDigits - 1)]++] = keys[i];
    std::swap(keys, other);
  }
  return keys;
}

template <class T>
void one_block(const SortedSteps& job, std::int64_t b) {
  using K = Keys<T>;
  using Key = typename K::Key;
  const auto* x = reinterpret_cast<const T*>(job.data) + b * job.block;
  const ScratchFrame frame(static_cast<std::size_t>(2 * job.block) * sizeof(Key));
  auto* keys = reinterpret_cast<Key*>(frame.data());
  std::uint32_t counts[sizeof(Key)][kDigits] = {};
  for (std::int64_t i = 0; i < job.block; ++i) {
    const Key key = K::of(x[i]);
    keys[i] = key;
    for (std::size_t d = 0; d < sizeof(Key); ++d) ++counts[d][key >> (d * kDigitBits) & (kDigits - 1)];
  }
  const Key* sorted = radix_sort(keys, keys + job.block, job.block, counts);
  const std::int64_t kept = job.block / job.step;
  auto* out = reinterpret_cast<T*>(job.out) + b * kept;
  for (std::int64_t i = 0; i < kept; ++i) out[i] = K::back(sorted[job.first[b] + i * job.step]);
}

}  // namespace

void sorted_steps(const SortedSteps& job) {
  const std::int64_t bytes = job.block * static_cast<std::int64_t>(item_size(job.dtype));
  // Sorting costs some 50 times what moving does.
  const int threads = threads_for_bytes(50 * bytes * job.blocks);
  switch (job.dtype) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code)                                                              \
  case DType::name:                                                                                      \
    parallel_for(job.blocks, threads, [&](std::int64_t b) { one_block<storage<DType::name>>(job, b); }); \
    return;
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  }
  throw std::invalid_argument("ufuse sorted_steps: no such element type");
}

}  // namespace ufuse
