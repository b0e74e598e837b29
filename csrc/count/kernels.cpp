// Counting kernels for one tier: this file is compiled once per tier.
#include "count/kernels.hpp"

#include "count/slots.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

/// Calls `use(slots, lanes)` for each register of elements.
template <class Binner, class Use>
UFUSE_INLINE void each_register(const void* x, std::int64_t count, const BinMap& map, Use use) {
  using T = typename Binner::element;
  constexpr int N = kWideLanes<typename Binner::Wide>;
  const Binner binner(map);
  const auto* at = static_cast<const T*>(x);
  std::int64_t i = 0;
  for (; i + N <= count; i += N) use(binner(at + i), i, N);
  if (i < count) {
    T rest[N] = {};
    std::memcpy(rest, at + i, static_cast<std::size_t>(count - i) * sizeof(T));
    use(binner(rest), i, static_cast<int>(count - i));
  }
}

template <class Binner>
void find_slots(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map) {
  constexpr int N = kWideLanes<typename Binner::Wide>;
  each_register<Binner>(x, count, map,
                        [&](auto found, std::int64_t i, int lanes) __attribute__((always_inline)) {
                          if (lanes == N)
                            found.store(slots + i);
                          else
                            std::memcpy(slots + i, &found.v, static_cast<std::size_t>(lanes) * 4);
                        });
}

template <class Binner, int Copies>
void add_elements(std::uint32_t* table, const void* x, std::int64_t count, const BinMap& map) {
  constexpr int N = kWideLanes<typename Binner::Wide>;
  each_register<Binner>(x, count, map,
                        [&](auto found, std::int64_t, int lanes) __attribute__((always_inline)) {
                          alignas(64) std::uint32_t slot[N];
                          (found * splat<decltype(found)>(Copies)).store(slot);
                          if (lanes == N) {
#pragma GCC unroll 16
                            for (int i = 0; i < N; ++i)
                              ++table[slot[i] + static_cast<std::uint32_t>(i % Copies)];
                          } else {
                            for (int i = 0; i < lanes; ++i)
                              ++table[slot[i] + static_cast<std::uint32_t>(i % Copies)];
                          }
                        });
}

template <int Copies>
void weigh_slots(double* table, const std::uint32_t* slots, const double* weights, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) table[slots[i] * Copies + (i % Copies)] += weights[i];
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

template <class Binner>
void put(CountKernels& t, BinKind kind, bool f64, DType type) {
  const auto k = static_cast<int>(kind);
  const auto d = static_cast<int>(type);
  t.slots[k][f64][d] = find_slots<Binner>;
  t.add[0][k][f64][d] = add_elements<Binner, 1>;
  t.add[1][k][f64][d] = add_elements<Binner, kCountCopies>;
}

/// Both grids in one kernel: which one is asked once per call.
template <class T, class W>
void find_edge_slots(std::uint32_t* slots, const void* x, std::int64_t count, const BinMap& map) {
  (map.by_bits ? find_slots<EdgeSlots<T, W, true>> : find_slots<EdgeSlots<T, W, false>>)(slots, x, count,
                                                                                         map);
}
template <class T, class W, int Copies>
void add_edge_elements(std::uint32_t* table, const void* x, std::int64_t count, const BinMap& map) {
  (map.by_bits ? add_elements<EdgeSlots<T, W, true>, Copies>
               : add_elements<EdgeSlots<T, W, false>, Copies>)(table, x, count, map);
}

template <class T, class W>
void put_edges(CountKernels& t, DType type) {
  constexpr auto k = static_cast<int>(BinKind::edges);
  constexpr bool f64 = std::is_same_v<W, double>;
  const auto d = static_cast<int>(type);
  t.slots[k][f64][d] = find_edge_slots<T, W>;
  t.add[0][k][f64][d] = add_edge_elements<T, W, 1>;
  t.add[1][k][f64][d] = add_edge_elements<T, W, kCountCopies>;
}

template <class T>
void put_type(CountKernels& t, DType type) {
  put<UniformSlots<T, double>>(t, BinKind::uniform, true, type);
  put_edges<T, double>(t, type);
  if constexpr (std::is_integral_v<T>)
    put<ValueSlots<std::make_unsigned_t<T>>>(t, BinKind::value, true, type);
}

CountKernels make_table() {
  CountKernels t{};
#define UFUSE_ELEMENT_TYPE(name, cpp, code) put_type<storage_t<cpp>>(t, DType::name);
#include "catalogue.inc"
#undef UFUSE_ELEMENT_TYPE
  put<UniformSlots<float, float>>(t, BinKind::uniform, false, DType::F32);
  put_edges<float, float>(t, DType::F32);
  t.weigh[0] = weigh_slots<1>;
  t.weigh[1] = weigh_slots<kCountCopies>;
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
