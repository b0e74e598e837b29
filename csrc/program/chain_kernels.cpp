// The machine that runs chains: this file is compiled once per tier.
#include <cstring>
#include <type_traits>
#include <utility>

#include "ops/all.hpp"
#include "program/kernels.hpp"
#include "simd/narrow.hpp"

namespace ufuse {
namespace UFUSE_TIER {

const ChainKernel* chain_kernels();

namespace {

// Registers of an accumulator: one addition to 8 takes four cycles of AVX-512, about as long as its jump.
// With 16 of the 32, a polynomial was 7 % faster, minima and maxima 12 % slower.
constexpr int kGroup = 8;
static_assert(kGroup * kRegisterBytes <= static_cast<int>(kChainGroup));

template <class T>
UFUSE_INLINE T load_one(const char* from) {
  T x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

template <int G, class F>
UFUSE_INLINE void for_each(const F& f) {
  [&f]<int... K>(std::integer_sequence<int, K...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, K>()), ...);
  }(std::make_integer_sequence<int, G>());
}

/// G registers of lanes of T, float or double, or of integers of its size.
template <class T, int G>
struct Accumulator {
  using F = Register<T>;
  using I = rebind_t<F, typename IntOf<sizeof(T)>::type>;
  static constexpr int N = F::size;
  F v[G];

  template <class Functor, class L>
  UFUSE_INLINE void unary() {
    for_each<G>([&](auto k)
                    __attribute__((always_inline)) { v[k] = bitcast<F>(Functor::apply(bitcast<L>(v[k]))); });
  }

  template <class Functor, class L, unsigned Form>
  UFUSE_INLINE void binary(const char* at) {
    constexpr bool kSplat = (Form & ChainCode::kSplat) != 0, kReversed = (Form & ChainCode::kReversed) != 0;
    if constexpr (kSplat && !kReversed && std::is_same_v<Functor, ops::divide>)
      if (divided_by(load_one<T>(at))) return;
    L one{};
    if constexpr (kSplat) one = splat<L>(load_one<lane_t<L>>(at));
    for_each<G>([&](auto k) __attribute__((always_inline)) {
      const L mine = bitcast<L>(v[k]), other = kSplat ? one : L::load(at + k * kRegisterBytes);
      v[k] = bitcast<F>(kReversed ? Functor::apply(other, mine) : Functor::apply(mine, other));
    });
  }

  /// Division by one number without the divider. On a Granite Rapids 1024 float64 in L1 take 160 ns so, 290
  /// with it; float32 205 instead of 230, the second division of a chain 110 instead of 170, that of small
  /// integers 35 instead of 115. False where the values are none for it.
  template <bool Small = false>
  UFUSE_INLINE bool divided_by([[maybe_unused]] T one) {
    if constexpr (sizeof(F) == 64) {
      ops::Quotients<F> by(one);
      if (!by.holds) return false;
      if constexpr (!Small) {
        for_each<G>([&](auto k) __attribute__((always_inline)) { by.look_at(v[k]); });
        if (!by.are_exact()) return false;
      }
      for_each<G>([&](auto k)
                      __attribute__((always_inline)) { v[k] = Small ? by.of_small(v[k]) : by.of(v[k]); });
      return true;
    } else {
      return false;
    }
  }

  UFUSE_INLINE void load(const char* at) {
    for_each<G>([&](auto k) __attribute__((always_inline)) { v[k] = F::load(at + k * kRegisterBytes); });
  }
  UFUSE_INLINE void store(char* at) const {
    for_each<G>([&](auto k) __attribute__((always_inline)) { v[k].store(at + k * kRegisterBytes); });
  }
  /// Elements of another size, as lanes of L.
  template <class Q, class L>
  UFUSE_INLINE void load_as(const char* at) {
    for_each<G>([&](auto k) __attribute__((always_inline)) {
      v[k] = bitcast<F>(convert<L>(Vec<Q, N>::load(at + k * N * static_cast<int>(sizeof(Q)))));
    });
  }
  template <class Q, class L>
  UFUSE_INLINE void store_as(char* at) const {
    if constexpr (std::is_same_v<L, F>) {
      for_each<G>([&](auto k) __attribute__((always_inline)) {
        convert<Vec<Q, N>>(v[k]).store(at + k * N * static_cast<int>(sizeof(Q)));
      });
    } else {
      L lanes[G];
      for_each<G>([&](auto k) __attribute__((always_inline)) { lanes[k] = bitcast<L>(v[k]); });
      store_low<Q>(lanes, at);
    }
  }
  /// A product with the accumulator.
  template <class Functor, unsigned Form>
  UFUSE_INLINE void with_product(const char* left, const char* right) {
    constexpr bool kSplat = (Form & ChainCode::kSplat) != 0, kReversed = (Form & ChainCode::kReversed) != 0;
    F one{};
    if constexpr (kSplat) one = splat<F>(load_one<T>(right));
    for_each<G>([&](auto k) __attribute__((always_inline)) {
      const F other = kSplat ? one : F::load(right + k * kRegisterBytes);
      const F product = ops::multiply::apply(F::load(left + k * kRegisterBytes), other);
      v[k] = kReversed ? Functor::apply(product, v[k]) : Functor::apply(v[k], product);
    });
  }
};

struct AtLeast {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return math::larger(b, a);
  }
};
struct AtMost {
  template <class V>
  static UFUSE_INLINE V apply(V a, V b) {
    return math::smaller(b, a);
  }
};
template <class R>
struct CastTo {
  template <class V>
  static UFUSE_INLINE R apply(V a) {
    return ops::cast::apply<R>(a);
  }
};
struct RintToInt {
  template <class V>
  static UFUSE_INLINE rebind_t<V, std::int32_t> apply(V a) {
    return round_to_int(a);
  }
};

using Floats = Register<float>;
using Quantizers = ops::UniformQuantizers<ops::DivideThenRound, ops::HalfEven, ops::NanCode::lowest, Floats>;

/// Codes by one scale and zero point: a way of their own, or each number by itself.
template <class Q, int G>
UFUSE_INLINE void quantize(const Accumulator<float, G>& acc, const Quantizers& by, const ChainCode* m,
                           char* const* reg, char* to) {
  constexpr int N = Floats::size;
  using R = Vec<Q, N>;
  using I = typename Accumulator<float, G>::I;
  if (by.holds) {
    const auto one = by.at(0);
    I levels[G];
    for_each<G>([&](auto k) __attribute__((always_inline)) { levels[k] = one.template apply<I>(acc.v[k]); });
    store_low<Q>(levels, to);
    return;
  }
  alignas(64) char kept[G * kRegisterBytes];
  acc.store(kept);
  const Floats scale = splat<Floats>(load_one<float>(reg[m[1].reg]));
  const R zero_point = splat<R>(load_one<Q>(reg[m[2].reg]));
  const auto limits = splat<Vec<std::uint32_t, N>>(load_one<std::uint32_t>(reg[m[3].reg]));
#pragma GCC unroll 1
  for (int k = 0; k < G; ++k)
    ops::quantize_linear::apply<R>(Floats::load(kept + k * kRegisterBytes), scale, zero_point, limits)
        .store(to + k * N * static_cast<int>(sizeof(Q)));
}

/// One group, `offset` bytes of lanes from the beginning. What `acc` is before is not read.
template <class T, int G>
UFUSE_INLINE void run_group(Accumulator<T, G>& acc, const ChainCode* code, char* const* reg,
                            std::int64_t offset, [[maybe_unused]] const Quantizers* by) {
  using F = Register<T>;
  using I = typename Accumulator<T, G>::I;
  constexpr bool kSingle = sizeof(T) == 4;
  for (const ChainCode* m = code;; ++m) {
    char* const base = reg[m->reg];
    // Addresses of blocks, of elements smaller than lanes too.
    const auto at = [&](int smaller) __attribute__((always_inline)) {
      return base + static_cast<std::uint64_t>(offset) / static_cast<unsigned>(smaller);
    };
    switch (m->code) {
#define UFUSE_FORM(op, functor, L, form)                                                       \
  case ChainCode::of(ChainOp::op, form):                                                       \
    acc.template binary<functor, L, (form)>(((form) & ChainCode::kSplat) != 0 ? base : at(1)); \
    break;
#define UFUSE_BINARY(name)                             \
  UFUSE_FORM(name, ops::name, F, 0)                    \
  UFUSE_FORM(name, ops::name, F, ChainCode::kSplat)    \
  UFUSE_FORM(name, ops::name, F, ChainCode::kReversed) \
  UFUSE_FORM(name, ops::name, F, ChainCode::kSplat | ChainCode::kReversed)
#define UFUSE_UNARY(name)               \
  case ChainCode::of(ChainOp::name):    \
    acc.template unary<ops::name, F>(); \
    break;
      UFUSE_CHAIN_BINARY(UFUSE_BINARY)
      UFUSE_CHAIN_UNARY(UFUSE_UNARY)
      case ChainCode::of(ChainOp::divide_small, ChainCode::kSplat):
        if (!acc.template divided_by<true>(load_one<T>(base)))
          acc.template binary<ops::divide, F, ChainCode::kSplat>(base);
        break;
        UFUSE_FORM(at_least, AtLeast, F, ChainCode::kSplat)
        UFUSE_FORM(at_most, AtMost, F, ChainCode::kSplat)
#define UFUSE_PRODUCT(op, functor, form)                                                       \
  case ChainCode::of(ChainOp::op, form): {                                                     \
    ++m;                                                                                       \
    const char* const factor = reg[m->reg] + (((form) & ChainCode::kSplat) != 0 ? 0 : offset); \
    acc.template with_product<functor, (form)>(at(1), factor);                                 \
    break;                                                                                     \
  }
        UFUSE_PRODUCT(add_product, ops::add, 0)
        UFUSE_PRODUCT(add_product, ops::add, ChainCode::kSplat)
        UFUSE_PRODUCT(add_product, ops::add, ChainCode::kReversed)
        UFUSE_PRODUCT(add_product, ops::add, ChainCode::kSplat | ChainCode::kReversed)
        UFUSE_PRODUCT(subtract_product, ops::subtract, 0)
        UFUSE_PRODUCT(subtract_product, ops::subtract, ChainCode::kSplat)
        UFUSE_PRODUCT(subtract_product, ops::subtract, ChainCode::kReversed)
        UFUSE_PRODUCT(subtract_product, ops::subtract, ChainCode::kSplat | ChainCode::kReversed)
#undef UFUSE_PRODUCT
#undef UFUSE_BINARY
#undef UFUSE_UNARY
#undef UFUSE_FORM
      case ChainCode::of(ChainOp::load):
        acc.load(at(1));
        break;
      case ChainCode::of(ChainOp::load, ChainCode::kSplat): {
        const F one = splat<F>(load_one<T>(base));
        for_each<G>([&](auto k) __attribute__((always_inline)) { acc.v[k] = one; });
        break;
      }
      case ChainCode::of(ChainOp::keep):
        acc.store(at(1));
        break;
      case ChainCode::of(ChainOp::store):
        acc.store(at(1));
        return;
// What there is for one size of lane alone.
#define UFUSE_IF(condition, op, form, statement) \
  case ChainCode::of(ChainOp::op, form):         \
    if constexpr (condition) {                   \
      statement;                                 \
    }                                            \
    break;
#define UFUSE_END(condition, op, statement) \
  case ChainCode::of(ChainOp::op):          \
    if constexpr (condition) {              \
      statement;                            \
    }                                       \
    return;
#define UFUSE_INT_FORM(name, form)    \
  UFUSE_IF(kSingle, int_##name, form, \
           (acc.template binary<ops::name, I, (form)>(((form) & ChainCode::kSplat) != 0 ? base : at(1))))
#define UFUSE_INT_BINARY(name)               \
  UFUSE_INT_FORM(name, 0)                    \
  UFUSE_INT_FORM(name, ChainCode::kSplat)    \
  UFUSE_INT_FORM(name, ChainCode::kReversed) \
  UFUSE_INT_FORM(name, ChainCode::kSplat | ChainCode::kReversed)
#define UFUSE_INT_UNARY(name) UFUSE_IF(kSingle, int_##name, 0, (acc.template unary<ops::name, I>()))
        UFUSE_CHAIN_INT_BINARY(UFUSE_INT_BINARY)
        UFUSE_CHAIN_INT_UNARY(UFUSE_INT_UNARY)
        UFUSE_IF(kSingle, to_int, 0, (acc.template unary<CastTo<I>, F>()))
        UFUSE_IF(kSingle, to_float, 0, (acc.template unary<CastTo<F>, I>()))
        UFUSE_IF(kSingle, rint_to_int, 0, (acc.template unary<RintToInt, F>()))
        UFUSE_IF(kSingle, load_i8, 0, (acc.template load_as<std::int8_t, I>(at(4))))
        UFUSE_IF(kSingle, load_u8, 0, (acc.template load_as<std::uint8_t, I>(at(4))))
        UFUSE_IF(kSingle, load_i16, 0, (acc.template load_as<std::int16_t, I>(at(2))))
        UFUSE_IF(kSingle, load_u16, 0, (acc.template load_as<std::uint16_t, I>(at(2))))
        UFUSE_IF(!kSingle, load_float, 0, (acc.template load_as<float, F>(at(2))))
        UFUSE_IF(!kSingle, load_int, 0, (acc.template load_as<std::int32_t, F>(at(2))))
        UFUSE_END(!kSingle, store_float, (acc.template store_as<float, F>(at(2))))
        UFUSE_END(kSingle, store_8, (acc.template store_as<std::uint8_t, I>(at(4))))
        UFUSE_END(kSingle, store_16, (acc.template store_as<std::uint16_t, I>(at(2))))
        UFUSE_END(kSingle, quantize_i8, (quantize<std::int8_t>(acc, *by, m, reg, at(4))))
        UFUSE_END(kSingle, quantize_u8, (quantize<std::uint8_t>(acc, *by, m, reg, at(4))))
        UFUSE_END(kSingle, quantize_i16, (quantize<std::int16_t>(acc, *by, m, reg, at(2))))
        UFUSE_END(kSingle, quantize_u16, (quantize<std::uint16_t>(acc, *by, m, reg, at(2))))
#undef UFUSE_IF
#undef UFUSE_END
#undef UFUSE_INT_FORM
#undef UFUSE_INT_BINARY
#undef UFUSE_INT_UNARY
      default:
        __builtin_unreachable();
    }
  }
}

template <class T>
void run_groups(const ChainTask& task, const Quantizers* by) {
  constexpr std::int64_t kBytes = kGroup * kRegisterBytes;
  constexpr std::int64_t kLine = 64;
  constexpr std::int64_t kLeast = kBlockMultiple * static_cast<std::int64_t>(sizeof(T));
  static_assert(kLeast % kBytes == 0 || kLeast * 2 == kBytes);
  const std::int64_t bytes = task.count * static_cast<std::int64_t>(sizeof(T));
  // What is kept has the same place for all groups, and so moves back where blocks go on.
  const auto move_kept = [&](std::int64_t by_bytes) __attribute__((always_inline)) {
    for (int slot = 0; slot < task.slots; ++slot) task.reg[task.kept + slot] += by_bytes;
  };
  const auto ask = [&](std::int64_t offset) __attribute__((always_inline)) {
    for (int k = 0; k < task.asking; ++k) {
      const ChainTask::Ask& one = task.asks[k];
      const char* const at = task.reg[one.reg] + (offset >> one.log2_smaller) + one.ahead;
      const std::int64_t end = kBytes >> one.log2_smaller;
      for (std::int64_t byte = 0; byte < end; byte += kLine) __builtin_prefetch(at + byte, 0, 2);
    }
  };
  Accumulator<T, kGroup> acc{};
  for (std::int64_t row = 0;;) {
    std::int64_t offset = 0;
    for (; offset + kBytes <= bytes; offset += kBytes) {
      ask(offset);
      run_group(acc, task.code, task.reg, offset, by);
      move_kept(-kBytes);
    }
    if constexpr (kLeast < kBytes) {
      Accumulator<T, kGroup / 2> half{};
      if (offset < bytes) run_group(half, task.code, task.reg, offset, by);
    }
    move_kept(offset);
    if (++row == task.rows) return;
    for (int k = 0; k < task.moving; ++k) task.reg[task.moves[k].reg] += task.moves[k].stride;
  }
}

/// The same, to codes.
template <class Q>
void run_quantized(const ChainTask& task, const ChainCode* m) {
  constexpr int N = Quantizers::size;
  float scale[N];
  Q zero_point[N];
  std::uint32_t limits[N];
  for (int k = 0; k < N; ++k) {
    scale[k] = load_one<float>(task.reg[m[1].reg]);
    zero_point[k] = load_one<Q>(task.reg[m[2].reg]);
    limits[k] = load_one<std::uint32_t>(task.reg[m[3].reg]);
  }
  const Quantizers by(scale, zero_point, limits);
  run_groups<float>(task, &by);
}

void run_single(const ChainTask& task) {
  const ChainCode* last = task.code;
  while (!ends_chain(last->op())) ++last;
  switch (last->op()) {
    case ChainOp::quantize_i8:
      return run_quantized<std::int8_t>(task, last);
    case ChainOp::quantize_u8:
      return run_quantized<std::uint8_t>(task, last);
    case ChainOp::quantize_i16:
      return run_quantized<std::int16_t>(task, last);
    case ChainOp::quantize_u16:
      return run_quantized<std::uint16_t>(task, last);
    default:
      return run_groups<float>(task, nullptr);
  }
}

void run_double(const ChainTask& task) { run_groups<double>(task, nullptr); }

constexpr ChainKernel kKernels[] = {run_single, run_double};

}  // namespace

const ChainKernel* chain_kernels() { return kKernels; }

}  // namespace UFUSE_TIER
}  // namespace ufuse
