// Every scan for one tier: this file is compiled once per tier.
#include "scan/kernels.hpp"

#include "reduce/reducers.hpp"
#include "simd/transpose.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

using reducers::wide_t;

// --- what is accumulated -------------------------------------------------------------------------------

/// `identity` changes nothing: of sums of floats that is -0, which leaves the sign of the other zero.
template <class T, bool SkipNan>
struct Sum {
  using A = wide_t<T>;
  static constexpr A identity = std::is_floating_point_v<A> ? static_cast<A>(-0.0) : A{0};
  static constexpr A instead_of_nan = A{0};
  static constexpr bool skip_nan = SkipNan;
  // Sums within a block and over blocks: as monotone as a sum from the first element to the last (the
  // offset of a block is the last result before it), with an error that grows as n / kScanBlock does.
  static constexpr bool blocked = true;
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a + b;
  }
};

/// Products are not blocked: that of a block alone may overflow where the running product does not.
template <class T, bool SkipNan>
struct Prod {
  using A = wide_t<T>;
  static constexpr A identity = A{1};
  static constexpr A instead_of_nan = A{1};
  static constexpr bool skip_nan = SkipNan;
  static constexpr bool blocked = false;
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return a * b;
  }
};

template <class Op, class V>
UFUSE_INLINE V without_nan(V x) {
  if constexpr (!Op::skip_nan) {
    return x;
  } else if constexpr (is_vector<V>) {
    return select(x == x, x, splat<V>(Op::instead_of_nan));
  } else {
    return x == x ? x : Op::instead_of_nan;
  }
}

// --- lines along memory --------------------------------------------------------------------------------

template <class Op, class S, class R>
UFUSE_INLINE void scan_line(const char* in, char* out, std::int64_t count, typename Op::A& carry,
                            typename Op::A offset) {
  using A = typename Op::A;
  A running = carry;
  for (std::int64_t i = 0; i < count; ++i) {
    S x;
    std::memcpy(&x, in + i * static_cast<std::int64_t>(sizeof(S)), sizeof x);
    running = Op::fold(running, without_nan<Op>(static_cast<A>(x)));
    if (out == nullptr) continue;
    const R y = static_cast<R>(Op::fold(offset, running));
    std::memcpy(out + i * static_cast<std::int64_t>(sizeof(R)), &y, sizeof y);
  }
  carry = running;
}

template <class Op, class S, class R>
void line(const char* in, char* out, std::int64_t count, void* carry, const void* offset) {
  using A = typename Op::A;
  scan_line<Op, S, R>(in, out, count, *static_cast<A*>(carry), *static_cast<const A*>(offset));
}

/// W lanes: W elements of each are loaded, turned, added one after the other, turned back and stored.
template <class Op, class S, class R, bool Write, int W>
UFUSE_INLINE void scan_lanes(const ScanRowsCall& call, int first) {
  using A = typename Op::A;
  using Wide = Vec<A, W>;
  // Elements are turned in 4 bytes where they fit: half the work of 8.
  using Turned = std::conditional_t<(sizeof(S) < 4), std::int32_t, S>;
  auto* carries = static_cast<A*>(call.carry) + first;
  const auto* offsets = static_cast<const A*>(call.offset) + first;
  const char* in[W];
  char* out[W];
  for (int k = 0; k < W; ++k) {
    in[k] = call.in[first + k];
    out[k] = Write ? call.out[first + k] : nullptr;
  }
  auto carry = Wide::load(carries);
  [[maybe_unused]] const auto offset = Write ? Wide::load(offsets) : Wide{};
  std::int64_t i = 0;
  for (; i + W <= call.count; i += W) {
    Vec<Turned, W> x[W];
#pragma GCC unroll 8
    for (int k = 0; k < W; ++k)
      x[k] = convert<Vec<Turned, W>>(Vec<S, W>::load(in[k] + i * static_cast<std::int64_t>(sizeof(S))));
    transpose(x);
    [[maybe_unused]] Vec<R, W> y[W];
#pragma GCC unroll 8
    for (int k = 0; k < W; ++k) {
      carry = Op::fold(carry, without_nan<Op>(convert<Wide>(x[k])));
      if constexpr (Write) y[k] = convert<Vec<R, W>>(Op::fold(offset, carry));
    }
    if constexpr (Write) {
      transpose(y);
#pragma GCC unroll 8
      for (int k = 0; k < W; ++k) y[k].store(out[k] + i * static_cast<std::int64_t>(sizeof(R)));
    }
  }
  carry.store(carries);
  if (i == call.count) return;
  for (int k = 0; k < W; ++k)
    scan_line<Op, S, R>(in[k] + i * static_cast<std::int64_t>(sizeof(S)),
                        Write ? out[k] + i * static_cast<std::int64_t>(sizeof(R)) : nullptr, call.count - i,
                        carries[k], Write ? offsets[k] : A{});
}

template <class Op, class S, class R>
void rows(const ScanRowsCall& call) {
  constexpr int W = kRegisterBytes / 8;
  for (int first = 0; first < kScanLanes; first += W) {
    if (call.out != nullptr)
      scan_lanes<Op, S, R, true, W>(call, first);
    else
      scan_lanes<Op, S, R, false, W>(call, first);
  }
}

// --- lines across memory -------------------------------------------------------------------------------

template <class Op, class S, class R, bool Write>
UFUSE_INLINE void scan_columns(const ScanColumnsCall& call) {
  using A = typename Op::A;
  constexpr int W = kRegisterBytes / 8;
  using Wide = Vec<A, W>;
  constexpr auto kIn = static_cast<std::int64_t>(sizeof(S)), kOut = static_cast<std::int64_t>(sizeof(R));
  auto* carries = static_cast<A*>(call.carry);
  const auto* offsets = static_cast<const A*>(call.offset);
  const char* in[kScanRows];
  char* out[kScanRows];
  for (std::int64_t r = 0; r < call.rows; ++r) {
    in[r] = call.in[r];
    out[r] = Write ? call.out[r] : nullptr;
  }
  auto step = [&](std::int64_t c, auto count) __attribute__((always_inline)) {
    auto carry = Wide::load(carries + c);
    [[maybe_unused]] const auto offset = Write ? Wide::load(offsets + c) : Wide{};
    for (std::int64_t r = 0; r < count; ++r) {
      carry = Op::fold(carry, without_nan<Op>(convert<Wide>(Vec<S, W>::load(in[r] + c * kIn))));
      if constexpr (Write) convert<Vec<R, W>>(Op::fold(offset, carry)).store(out[r] + c * kOut);
    }
    carry.store(carries + c);
  };
  std::int64_t c = 0;
  if (call.rows == kScanRows) {
    for (; c + W <= call.columns; c += W) step(c, std::integral_constant<std::int64_t, kScanRows>{});
  } else {
    for (; c + W <= call.columns; c += W) step(c, call.rows);
  }
  for (; c < call.columns; ++c)
    for (std::int64_t r = 0; r < call.rows; ++r)
      scan_line<Op, S, R>(in[r] + c * kIn, Write ? out[r] + c * kOut : nullptr, 1, carries[c],
                          Write ? offsets[c] : A{});
}

template <class Op, class S, class R>
void columns(const ScanColumnsCall& call) {
  if (call.out != nullptr)
    scan_columns<Op, S, R, true>(call);
  else
    scan_columns<Op, S, R, false>(call);
}

// --- running values ------------------------------------------------------------------------------------

template <class Op>
void start(void* values, std::int64_t count) {
  auto* at = static_cast<typename Op::A*>(values);
  for (std::int64_t i = 0; i < count; ++i) at[i] = Op::identity;
}

template <class Op>
void advance(void* offsets, void* carries, std::int64_t count) {
  auto* to = static_cast<typename Op::A*>(offsets);
  auto* from = static_cast<typename Op::A*>(carries);
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = Op::fold(to[i], from[i]);
    from[i] = Op::identity;
  }
}

// --- the table -----------------------------------------------------------------------------------------

template <class Op, class S, class R>
constexpr ScanKernel kernel_of() {
  return {rows<Op, S, R>, columns<Op, S, R>, line<Op, S, R>, start<Op>, advance<Op>, Op::blocked};
}

template <class T, class R>
constexpr void put(ScanKernels& t, DType in, DType out) {
  using S = storage_t<T>;
  const auto i = static_cast<int>(in), o = static_cast<int>(out);
  t.kernel[static_cast<int>(ScanId::sum)][i][o] = kernel_of<Sum<T, false>, S, R>();
  t.kernel[static_cast<int>(ScanId::prod)][i][o] = kernel_of<Prod<T, false>, S, R>();
  if constexpr (std::is_floating_point_v<T>) {
    t.kernel[static_cast<int>(ScanId::nansum)][i][o] = kernel_of<Sum<T, true>, S, R>();
    t.kernel[static_cast<int>(ScanId::nanprod)][i][o] = kernel_of<Prod<T, true>, S, R>();
  }
}

constexpr ScanKernels make_table() {
  ScanKernels t{};
#define UFUSE_ELEMENT_TYPE(name, cpp, code)                                   \
  if constexpr (std::is_floating_point_v<cpp>) {                              \
    put<cpp, float>(t, DType::name, DType::F32);                              \
    put<cpp, double>(t, DType::name, DType::F64);                             \
  } else {                                                                    \
    constexpr bool kSigned = std::is_same_v<wide_t<cpp>, std::int64_t>;       \
    put<cpp, wide_t<cpp>>(t, DType::name, kSigned ? DType::I64 : DType::U64); \
  }
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  return t;
}

}  // namespace

const ScanKernels* scan_kernels() {
  static const ScanKernels table = make_table();
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
