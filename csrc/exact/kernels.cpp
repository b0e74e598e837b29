// Cuts of blocks for one tier: this file is compiled once per tier.
#include "exact/kernels.hpp"

#include <cstring>

#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

template <class V>
UFUSE_INLINE V magnitude(V x) {
  using I = rebind_t<V, typename IntOf<sizeof(lane_t<V>)>::type>;
  using L = lane_t<I>;
  constexpr L kSign = L{1} << (8 * sizeof(L) - 2);
  return bitcast<V>(static_cast<I>(bitcast<I>(x) & splat<I>(kSign | (kSign - 1))));
}

/// The larger; `largest` where x is NaN.
template <class V>
UFUSE_INLINE V larger(V x, V largest) {
  return select(x > largest, x, largest);
}

/// Element i of what may lie at any address.
template <class T>
UFUSE_INLINE T element_at(const void* data, std::int64_t i) {
  T x;
  std::memcpy(&x, static_cast<const char*>(data) + i * static_cast<std::int64_t>(sizeof x), sizeof x);
  return x;
}

/// A register of the elements from i on.
template <class V>
UFUSE_INLINE V load_at(const void* data, std::int64_t i) {
  return V::load(static_cast<const char*>(data) + i * static_cast<std::int64_t>(sizeof(lane_t<V>)));
}

template <class T>
double largest(const void* data, std::int64_t count) {
  using V = Register<T>;
  constexpr int K = 4;
  V most[K] = {};
  std::int64_t i = 0;
  for (; i + K * V::size <= count; i += K * V::size) {
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) most[k] = larger(magnitude(load_at<V>(data, i + k * V::size)), most[k]);
  }
  T found{};
  for (; i < count; ++i) {
    const T x = element_at<T>(data, i), size = x < 0 ? -x : x;
    found = size > found ? size : found;
  }
  for (int k = 1; k < K; ++k) most[0] = larger(most[k], most[0]);
  for (int l = 0; l < V::size; ++l) found = most[0][l] > found ? most[0][l] : found;
  return static_cast<double>(found);
}

/// Takes from x what lies above the last bit of `sum`, and adds it there.
template <class V>
UFUSE_INLINE V take(V& sum, V x) {
  const V next = sum + x;
  const V part = next - sum;
  sum = next;
  return x - part;
}

template <class T, int Cuts, bool Keep>
UFUSE_INLINE bool cut_block(const void* data, std::int64_t count, ExactPair anchors, ExactPair* sums,
                            double* rest) {
  constexpr int W = kRegisterBytes / 8, K = 4;
  using Wide = Vec<double, W>;
  using Bits = Vec<std::int64_t, W>;
  const Wide high = splat<Wide>(anchors.first), low = splat<Wide>(anchors.second);
  Wide first[K], second[K];
  Bits left[K] = {};
  for (int k = 0; k < K; ++k) {
    first[k] = high;
    second[k] = low;
  }
  std::int64_t i = 0;
  for (; i + K * W <= count; i += K * W) {
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) {
      const Wide x = convert<Wide>(load_at<Vec<T, W>>(data, i + k * W));
      Wide over = take(first[k], x);
      if constexpr (Cuts == 2) over = take(second[k], over);
      left[k] = left[k] | bitcast<Bits>(over);
      if constexpr (Keep) over.store(rest + i + k * W);
    }
  }
  std::int64_t any = 0;
  double a = anchors.first, b = anchors.second;
  for (; i < count; ++i) {
    double over = take(a, static_cast<double>(element_at<T>(data, i)));
    if constexpr (Cuts == 2) over = take(b, over);
    any |= over != 0.0;  // NaN is, too
    if constexpr (Keep) rest[i] = over;
  }
  double total = a - anchors.first, below = b - anchors.second;
  for (int k = 0; k < K; ++k) {
    const Wide x = first[k] - high, y = second[k] - low;
    for (int l = 0; l < W; ++l) {
      total += x[l];
      below += y[l];
      any |= left[k][l] << 1;  // but for signs: the rest of -0.0 is -0.0
    }
  }
  *sums = {total, below};
  return any != 0;
}

template <class T>
bool cut(const void* data, std::int64_t count, ExactPair anchors, ExactPair* sums, double* rest) {
  if (rest != nullptr) return cut_block<T, 2, true>(data, count, anchors, sums, rest);
  // float32 have 24 bits, of the 42 of a cut: one mostly does.
  if constexpr (sizeof(T) == 4)
    if (!cut_block<T, 1, false>(data, count, anchors, sums, rest)) return false;
  return cut_block<T, 2, false>(data, count, anchors, sums, rest);
}

/// Calls `body(column, lanes)` for registers of columns, and for those left one by one.
template <int W, class Body>
UFUSE_INLINE void for_columns(std::int64_t columns, Body body) {
  std::int64_t c = 0;
  for (; c + W <= columns; c += W) body(c, std::integral_constant<int, W>{});
  for (; c < columns; ++c) body(c, std::integral_constant<int, 1>{});
}

template <class T>
void largest_columns(const ExactColumns& call, double* largest) {
  constexpr int W = kRegisterBytes / 8;
  // Some rows at once, so that the values are loaded and stored less often; no more streams than the
  // prefetcher follows.
  constexpr std::int64_t kRows = 8;
  for (std::int64_t r = 0; r < call.rows; r += kRows) {
    const char* row[kRows];
    const std::int64_t rows = call.rows - r < kRows ? call.rows - r : kRows;
    for (std::int64_t j = 0; j < rows; ++j) row[j] = call.row[r + j];
    for_columns<W>(call.columns, [=](std::int64_t c, auto lanes) __attribute__((always_inline)) {
      constexpr int N = lanes;
      using Wide = Vec<double, N>;
      Vec<T, N> most{};
      for (std::int64_t j = 0; j < rows; ++j)
        most = larger(magnitude(Vec<T, N>::load(row[j] + c * static_cast<std::int64_t>(sizeof(T)))), most);
      const Wide before = r == 0 ? Wide{} : Wide::load(largest + c);
      larger(convert<Wide>(most), before).store(largest + c);
    });
  }
}

template <class T, int Cuts>
UFUSE_INLINE void cut_columns_at(const ExactColumns& call, const double* first, const double* second,
                                 double* next_first, double* next_second, std::int64_t* left) {
  constexpr int W = kRegisterBytes / 8, K = Cuts == 1 ? 4 : 2;
  auto step = [&](std::int64_t c, auto lanes, auto registers) __attribute__((always_inline)) {
    constexpr int N = lanes, R = registers;
    using Wide = Vec<double, N>;
    using Bits = Vec<std::int64_t, N>;
    Wide high[R], low[R];
    Bits bits[R] = {};
    for (int k = 0; k < R; ++k) {
      high[k] = Wide::load(first + c + k * N);
      if constexpr (Cuts == 2) low[k] = Wide::load(second + c + k * N);
    }
    for (std::int64_t r = 0; r < call.rows; ++r) {
#pragma GCC unroll 4
      for (int k = 0; k < R; ++k) {
        const auto x = Vec<T, N>::load(call.row[r] + (c + k * N) * static_cast<std::int64_t>(sizeof(T)));
        Wide over = take(high[k], convert<Wide>(x));
        if constexpr (Cuts == 2) over = take(low[k], over);
        bits[k] = bits[k] | bitcast<Bits>(over);
      }
    }
    for (int k = 0; k < R; ++k) {
      high[k].store(next_first + c + k * N);
      if constexpr (Cuts == 2) low[k].store(next_second + c + k * N);
      (bits[k] << 1).store(left + c + k * N);  // but for signs
    }
  };
  std::int64_t c = 0;
  for (; c + K * W <= call.columns; c += K * W)
    step(c, std::integral_constant<int, W>{}, std::integral_constant<int, K>{});
  for (; c < call.columns; ++c) step(c, std::integral_constant<int, 1>{}, std::integral_constant<int, 1>{});
}

template <class T>
void cut_columns(const ExactColumns& call, const double* first, const double* second, double* next_first,
                 double* next_second, std::int64_t* left) {
  if (second != nullptr)
    cut_columns_at<T, 2>(call, first, second, next_first, next_second, left);
  else
    cut_columns_at<T, 1>(call, first, second, next_first, next_second, left);
}

template <class T>
constexpr ExactKernel kernel_of() {
  return {largest<T>, cut<T>, largest_columns<T>, cut_columns<T>};
}

}  // namespace

const ExactKernels* exact_kernels() {
  static const ExactKernels table = {kernel_of<float>(), kernel_of<double>()};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
