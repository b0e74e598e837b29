#include "streams/exact_sums.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/threads.hpp"

namespace ufuse {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::int64_t kSegment = 1 << 16;  // elements of a row that one task adds up
constexpr std::int64_t kTask = 1 << 14;     // elements at least, of several rows
constexpr std::int64_t kCarry = 1 << 12;    // of a segment until carries are due: 2**10 for each bank
constexpr int kBanks = 4;
constexpr std::uint64_t kLow = 0xFFFFFFFF;

/// Leaves limbs of magnitude up to 2**31 but for the last: negative sums have no more of them than positive.
void carry(std::int64_t* limb, int limbs) {
  for (int i = 0; i + 1 < limbs; ++i) {
    const std::int64_t over = (limb[i] + (std::int64_t{1} << 31)) >> 32;
    limb[i] -= over * (std::int64_t{1} << 32);
    limb[i + 1] += over;
  }
}

/// Adds a part of a mantissa, with the sign 0 or -1.
UFUSE_INLINE void put(std::int64_t& limb, std::uint64_t part, std::int64_t sign) {
  limb += (static_cast<std::int64_t>(part) ^ sign) - sign;
}

template <bool Squares>
UFUSE_INLINE void add(std::int64_t* limb, double x, std::int64_t* specials) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof x);
  const auto sign = static_cast<std::int64_t>(bits) >> 63;
  const std::uint64_t exponent = bits >> 52 & 0x7FF;
  if (exponent == 0x7FF) [[unlikely]] {
    ++specials[x != x ? 0 : Squares || sign == 0 ? 1 : 2];
    return;
  }
  const std::uint64_t normal = exponent != 0;
  const std::uint64_t mantissa = (bits & ((std::uint64_t{1} << 52) - 1)) | normal << 52;
  const std::uint64_t at = (exponent - normal) << Squares;  // of the last bit, in units
  const auto shift = static_cast<int>(at & 31);
  std::int64_t* first = limb + (at >> 5);
  if constexpr (Squares) {
    const Wide square = static_cast<Wide>(mantissa) * mantissa;
    const Wide low = static_cast<Wide>(static_cast<std::uint64_t>(square)) << shift;
    const Wide high = (square >> 64) << shift;
    put(first[0], static_cast<std::uint64_t>(low) & kLow, 0);
    put(first[1], static_cast<std::uint64_t>(low) >> 32, 0);
    put(first[2], static_cast<std::uint64_t>(low >> 64) + (static_cast<std::uint64_t>(high) & kLow), 0);
    put(first[3], static_cast<std::uint64_t>(high >> 32), 0);
  } else {
    put(first[0], (mantissa << shift) & kLow, sign);
    put(first[1], mantissa >> (32 - shift), sign);
  }
}

template <class T, bool Squares>
UFUSE_INLINE void add_element(std::int64_t* limb, T x, std::int64_t* specials) {
  const auto wide = static_cast<double>(x);
  if constexpr (Squares && sizeof(T) == sizeof(float))
    add<false>(limb, wide * wide, specials);  // exact
  else
    add<Squares>(limb, wide, specials);
}

/// Adds `count` elements to `limbs` and `specials`, which are zeros.
template <class T, bool Squares>
void one_segment(const T* x, std::int64_t count, std::int64_t* limbs, std::int64_t* specials) {
  constexpr int size = limbs_of(sizeof(T) == sizeof(float) ? DType::F32 : DType::F64, Squares);
  if (count < 2 * size) {  // not worth four banks
    for (std::int64_t i = 0; i < count; ++i) add_element<T, Squares>(limbs, x[i], specials);
    carry(limbs, size);
    return;
  }
  std::int64_t bank[kBanks][size] = {};
  for (std::int64_t start = 0; start < count; start += kCarry) {
    const std::int64_t stop = std::min(count, start + kCarry);
    std::int64_t i = start;
    for (; i + kBanks <= stop; i += kBanks)
      for (int b = 0; b < kBanks; ++b) add_element<T, Squares>(bank[b], x[i + b], specials);
    for (; i < stop; ++i) add_element<T, Squares>(bank[0], x[i], specials);
    for (auto& one : bank) carry(one, size);
  }
  for (int i = 0; i < size; ++i)
    for (const auto& one : bank) limbs[i] += one[i];
  carry(limbs, size);
}

template <class T, bool Squares>
void all_rows(const ExactSums& job) {
  constexpr int size = limbs_of(sizeof(T) == sizeof(float) ? DType::F32 : DType::F64, Squares);
  const auto* x = reinterpret_cast<const T*>(job.data);
  std::fill_n(job.limbs, job.rows * size, 0);
  std::fill_n(job.specials, job.rows * 3, 0);
  // An element costs about what moving 50 bytes does.
  const int threads = threads_for_bytes(50 * job.rows * job.count);
  if (job.count <= kSegment) {
    const std::int64_t group = std::max<std::int64_t>(1, kTask / std::max<std::int64_t>(1, job.count));
    parallel_for((job.rows + group - 1) / group, threads, [&](std::int64_t task) {
      for (std::int64_t row = task * group; row < std::min(job.rows, (task + 1) * group); ++row)
        one_segment<T, Squares>(x + row * job.count, job.count, job.limbs + row * size,
                                job.specials + row * 3);
    });
    return;
  }
  const std::int64_t segments = (job.count + kSegment - 1) / kSegment;
  constexpr int stride = size + 3;
  std::vector<std::int64_t> parts(static_cast<std::size_t>(segments * stride));
  for (std::int64_t row = 0; row < job.rows; ++row) {
    std::fill(parts.begin(), parts.end(), 0);
    parallel_for(segments, threads, [&](std::int64_t s) {
      std::int64_t* part = parts.data() + s * stride;
      one_segment<T, Squares>(x + row * job.count + s * kSegment,
                              std::min(kSegment, job.count - s * kSegment), part, part + size);
    });
    for (std::int64_t s = 0; s < segments; ++s) {
      const std::int64_t* part = parts.data() + s * stride;
      for (int i = 0; i < size; ++i) job.limbs[row * size + i] += part[i];
      for (int i = 0; i < 3; ++i) job.specials[row * 3 + i] += part[size + i];
    }
    carry(job.limbs + row * size, size);
  }
}

}  // namespace

void exact_sums(const ExactSums& job) {
  if (job.dtype == DType::F32)
    job.squares ? all_rows<float, true>(job) : all_rows<float, false>(job);
  else
    job.squares ? all_rows<double, true>(job) : all_rows<double, false>(job);
}

}  // namespace ufuse
