// Every kernel of the catalogue for one tier: this file is compiled once per tier.
#include "program/kernels.hpp"

#include "ops/all.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class T>
struct StorageOf {
  using type = T;
};
template <>
struct StorageOf<Bool8> {
  using type = std::uint8_t;
};
template <DType D>
using storage = typename StorageOf<cpp_type<D>>::type;

constexpr int largest(int a, int b, int c = 1, int d = 1) {
  const int x = a > b ? a : b, y = c > d ? c : d;
  return x > y ? x : y;
}

// Lanes per step: the widest type involved fills one register. Two steps at a time hide the latency of the
// long functions.
template <class F, DType O, DType A>
void unary(void* out, const void* a, const void*, const void*, std::int64_t count) {
  using TO = storage<O>;
  using TA = storage<A>;
  constexpr int N = kRegisterBytes / largest(sizeof(TO), sizeof(TA));
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N) {
    const auto x = Vec<TA, N>::load(static_cast<const TA*>(a) + i);
    F::template apply<Vec<TO, N>>(x).store(static_cast<TO*>(out) + i);
  }
}

template <class F, DType O, DType A, DType B>
void binary(void* out, const void* a, const void* b, const void*, std::int64_t count) {
  using TO = storage<O>;
  using TA = storage<A>;
  using TB = storage<B>;
  constexpr int N = kRegisterBytes / largest(sizeof(TO), sizeof(TA), sizeof(TB));
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N) {
    const auto x = Vec<TA, N>::load(static_cast<const TA*>(a) + i);
    const auto y = Vec<TB, N>::load(static_cast<const TB*>(b) + i);
    F::template apply<Vec<TO, N>>(x, y).store(static_cast<TO*>(out) + i);
  }
}

template <class F, DType O, DType A, DType B, DType C>
void ternary(void* out, const void* a, const void* b, const void* c, std::int64_t count) {
  using TO = storage<O>;
  using TA = storage<A>;
  using TB = storage<B>;
  using TC = storage<C>;
  constexpr int N = kRegisterBytes / largest(sizeof(TO), sizeof(TA), sizeof(TB), sizeof(TC));
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < count; i += N) {
    const auto x = Vec<TA, N>::load(static_cast<const TA*>(a) + i);
    const auto y = Vec<TB, N>::load(static_cast<const TB*>(b) + i);
    const auto z = Vec<TC, N>::load(static_cast<const TC*>(c) + i);
    F::template apply<Vec<TO, N>>(x, y, z).store(static_cast<TO*>(out) + i);
  }
}

template <Op op, class F, DType O, DType... In>
constexpr KernelRow row() {
  static_assert(sizeof...(In) <= kMaxArity);
  KernelRow r{op, O, {In...}, sizeof...(In), nullptr};
  if constexpr (sizeof...(In) == 1) r.kernel = unary<F, O, In...>;
  if constexpr (sizeof...(In) == 2) r.kernel = binary<F, O, In...>;
  if constexpr (sizeof...(In) == 3) r.kernel = ternary<F, O, In...>;
  return r;
}

using enum DType;
constexpr KernelRow kRows[] = {
#define UFUSE_KERNEL(name, ...) row<Op::name, ops::name, __VA_ARGS__>(),
#include "catalogue.inc"
#undef UFUSE_KERNEL
};

template <class T>
void load_strided(void* block, const char* from, std::int64_t stride, std::int64_t count) {
  auto* to = static_cast<T*>(block);
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i, from + i * stride, sizeof(T));
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

template <class T>
void swap_bytes(void* block, std::int64_t count) {
  auto* data = static_cast<T*>(block);
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (sizeof(T) == 2) data[i] = __builtin_bswap16(data[i]);
    if constexpr (sizeof(T) == 4) data[i] = __builtin_bswap32(data[i]);
    if constexpr (sizeof(T) == 8) data[i] = __builtin_bswap64(data[i]);
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
      for (int part = 0; part < 64; part += kRegisterBytes) {
        const Line line = Line::load(from + i + part);
#if defined(__AVX512F__)
        _mm512_stream_ps(reinterpret_cast<float*>(to + i + part), line.v);
#elif defined(__AVX2__)
        _mm256_stream_ps(reinterpret_cast<float*>(to + i + part), line.v);
#else
        _mm_stream_ps(reinterpret_cast<float*>(to + i + part), line.v);
#endif
      }
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
    {swap_bytes<uint8_t>, swap_bytes<uint16_t>, swap_bytes<uint32_t>, swap_bytes<uint64_t>},
    stream,
};

}  // namespace

extern const ProgramKernels program_kernels;
const ProgramKernels program_kernels = {kRows, static_cast<int>(sizeof kRows / sizeof kRows[0]), kMove};

}  // namespace UFUSE_TIER
}  // namespace ufuse
