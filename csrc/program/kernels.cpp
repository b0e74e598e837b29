// The tables of one tier: the kernels of the basic operations, and moves. This file is compiled once per
// tier.
#include "ops/arithmetic.hpp"
#include "ops/cast.hpp"
#include "ops/compare.hpp"
#include "ops/invariant.hpp"
#include "ops/lowfloat.hpp"
#include "ops/numbers.hpp"
#include "ops/packing.hpp"
#include "ops/quantize.hpp"
#include "ops/random.hpp"
#include "program/block_kernels.hpp"
#include "simd/moves.hpp"

namespace ufuse {
namespace UFUSE_TIER {

const ChainKernel* chain_kernels();
KernelGroup exponentials();
KernelGroup trigonometry();
KernelGroup special();

namespace {

using enum DType;
constexpr KernelRow kBasic[] = {
#include "operations_basic.inc"
};

template <class T>
void load_strided(void* block, const char* from, std::int64_t stride, std::int64_t count) {
  gather<T>(block, 0, &from, 1, stride, count);
}

template <class T>
void store_strided(char* to, std::int64_t stride, const void* block, std::int64_t count) {
  const auto* from = static_cast<const T*>(block);
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * stride, from + i, sizeof(T));
}

template <class T>
void fill(void* block, const void* value, std::int64_t count) {
  T x;
  std::memcpy(&x, value, sizeof x);
  auto* to = static_cast<T*>(block);
  for (std::int64_t i = 0; i < count; ++i) to[i] = x;
}

/// One value per row, as often as the row has elements. Whole registers are stored, into the next row where
/// this one ends, which that fills then: rows of 32 bytes one by one took a cycle an element.
template <class T>
void spread(void* block, const char* from, std::int64_t stride, std::int64_t rows, std::int64_t columns) {
  using V = Register<T>;
  auto* to = static_cast<T*>(block);
  const T* const end = to + rows * columns;
  for (std::int64_t r = 0; r < rows; ++r, from += stride, to += columns) {
    T x;
    std::memcpy(&x, from, sizeof x);
    const V all = splat<V>(x);
    std::int64_t i = 0;
    for (; i < columns && to + i + V::size <= end; i += V::size) all.store(to + i);
    for (; i < columns; ++i) to[i] = x;
  }
}

void stream(char* to, const void* block, std::int64_t bytes) {
  const auto* from = static_cast<const char*>(block);
#if defined(__x86_64__)
  using Line = Vec<float, kRegisterBytes / 4>;
  const auto head = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(to) & 63);
  if (bytes >= head + 64) {
    std::memcpy(to, from, static_cast<std::size_t>(head));
    std::int64_t i = head;
    for (; i + 64 <= bytes; i += 64) {  // whole lines, so that none is read first
      for (int part = 0; part < 64; part += kRegisterBytes)
        stream_register(to + i + part, Line::load(from + i + part));
    }
    std::memcpy(to + i, from + i, static_cast<std::size_t>(bytes - i));
    return;
  }
#endif
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;
constexpr MoveKernels kMove = {
    {load_strided<uint8_t>, load_strided<uint16_t>, load_strided<uint32_t>, load_strided<uint64_t>},
    {store_strided<uint8_t>, store_strided<uint16_t>, store_strided<uint32_t>, store_strided<uint64_t>},
    {fill<uint8_t>, fill<uint16_t>, fill<uint32_t>, fill<uint64_t>},
    {spread<uint8_t>, spread<uint16_t>, spread<uint32_t>, spread<uint64_t>},
    {swap_bytes<uint8_t>, swap_bytes<uint16_t>, swap_bytes<uint32_t>, swap_bytes<uint64_t>},
    stream,
};

}  // namespace

const ProgramKernels* program_kernels() {
  static const ProgramKernels table = {
      {group_of(kBasic), exponentials(), trigonometry(), special()}, chain_kernels(), kMove};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
