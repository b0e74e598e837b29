// Counting kernels for one tier: this file is compiled once per tier.
#include "count/kernels.hpp"

#include <algorithm>

#include "count/slots.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class Binner>
void find_slots(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map) {
  using T = typename Binner::element;
  constexpr int N = kWideLanes<typename Binner::Wide>;
  const Binner binner(map);
  const auto* at = static_cast<const T*>(x);
  std::int64_t i = 0;
  for (; i + N <= count; i += N) binner(at + i).store(slots + i);
  if (i < count) {
    T rest[N] = {};
    std::memcpy(rest, at + i, static_cast<std::size_t>(count - i) * sizeof(T));
    const auto found = binner(rest);
    std::memcpy(slots + i, &found.v, static_cast<std::size_t>(count - i) * 4);
  }
}

/// Finds the slots of one turn while it counts those of the turn before: they use different units of the
/// core. On Zen 4 it takes one store, a cycle, an element; turn after turn took 1.3 (float) and 1.7 (double),
/// and register by register 2.1, since small loads wait for the large store before them.
template <class Binner>
void count_turns(std::uint32_t* table, const void* x, std::int64_t count, const BinMap& map) {
  constexpr int N = kWideLanes<typename Binner::Wide>;
  constexpr int kStep = N < kCopies ? kCopies : N;
  constexpr int kAhead = 4096;  // bytes: double 0.52 ns an element from memory, 0.57 without
  alignas(64) std::uint32_t slots[2][kTurn];
  const auto one = [](std::int64_t) { return 1u; };
  const Binner binner(map);
  const auto* at = static_cast<const typename Binner::element*>(x);
  find_slots<Binner>(slots[0], at, std::min(kTurn, count), map);
  int now = 0;
  std::int64_t first = 0;
  for (; first + 2 * kTurn <= count; first += kTurn, now ^= 1) {
    for (std::int64_t i = 0; i < kTurn; i += kStep) {
      const auto* from = at + first + kTurn + i;
      __builtin_prefetch(reinterpret_cast<const char*>(from) + kAhead);
      for (int k = 0; k < kStep; k += N) binner(from + k).store(slots[now ^ 1] + i + k);
      for (int k = 0; k < kStep; k += kCopies) tally<kCopies>(table, slots[now] + i + k, kCopies, one);
    }
  }
  tally<kCopies>(table, slots[now], std::min(kTurn, count - first), one);
  first += kTurn;
  if (first >= count) return;
  find_slots<Binner>(slots[0], at + first, count - first, map);
  tally<kCopies>(table, slots[0], count - first, one);
}

template <class W>
void count_uniform(std::uint32_t* table, const void* x, std::int64_t count, const BinMap& map) {
  (map.even ? count_turns<EvenSlots<W, W>> : count_turns<UniformSlots<W, W>>)(table, x, count, map);
}

template <class W>
void find_cells(std::uint32_t* cells, const void* x, std::int64_t count, const BinMap& map) {
  constexpr int N = kWideLanes<W>;
  const Grid<W> grid(map);
  const auto* at = static_cast<const W*>(x);
  for (std::int64_t i = 0; i < count; i += N) {
    const std::int64_t lanes = std::min<std::int64_t>(N, count - i);
    W part[N] = {};
    std::memcpy(part, at + i, static_cast<std::size_t>(lanes) * sizeof(W));
    const auto loaded = Vec<W, N>::load(part);
    const Slots<W> found = map.by_bits ? grid.by_bits(loaded) : grid.linear(loaded);
    std::memcpy(cells + i, &found.v, static_cast<std::size_t>(lanes) * 4);
  }
}

std::uint32_t most_of(const std::uint32_t* slots, std::int64_t count) {
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < count; ++i) most = std::max(most, slots[i]);
  return most;
}

template <class Binner>
void put(CountKernels& t, BinKind kind, bool f64, DType type) {
  const auto k = static_cast<int>(kind);
  t.slots[k][f64][static_cast<int>(type)] = find_slots<Binner>;
}

/// Both ways to edges of equal distance.
template <class T, class W>
void find_uniform_slots(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map) {
  (map.even ? find_slots<EvenSlots<T, W>> : find_slots<UniformSlots<T, W>>)(slots, x, count, map);
}

/// Both grids in one kernel: which one is asked once per call.
template <class T, class W>
void find_edge_slots(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map) {
  (map.by_bits ? find_slots<EdgeSlots<T, W, true>> : find_slots<EdgeSlots<T, W, false>>)(slots, x, count,
                                                                                         map);
}
template <class T>
void put_type(CountKernels& t, DType type) {
  t.slots[static_cast<int>(BinKind::uniform)][true][static_cast<int>(type)] = find_uniform_slots<T, double>;
  t.slots[static_cast<int>(BinKind::edges)][true][static_cast<int>(type)] = find_edge_slots<T, double>;
  if constexpr (std::is_integral_v<T>) {
    using Value = ValueSlots<std::make_unsigned_t<T>>;
    put<Value>(t, BinKind::value, true, type);
    if constexpr (sizeof(T) >= 4)
      t.count[static_cast<int>(BinKind::value)][true][static_cast<int>(type)] = count_turns<Value>;
  }
}

CountKernels make_table() {
  CountKernels t{};
#define UFUSE_ELEMENT_TYPE(name, cpp, code) put_type<storage_t<cpp>>(t, DType::name);
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  t.slots[static_cast<int>(BinKind::uniform)][false][static_cast<int>(DType::F32)] =
      find_uniform_slots<float, float>;
  t.slots[static_cast<int>(BinKind::edges)][false][static_cast<int>(DType::F32)] =
      find_edge_slots<float, float>;
  t.count[static_cast<int>(BinKind::uniform)][false][static_cast<int>(DType::F32)] = count_uniform<float>;
  t.count[static_cast<int>(BinKind::uniform)][true][static_cast<int>(DType::F64)] = count_uniform<double>;
  t.most_of = most_of;
  t.cells[0] = find_cells<float>;
  t.cells[1] = find_cells<double>;
  return t;
}

}  // namespace

const CountKernels* count_kernels() {
  static const CountKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
