// Moments of integers of one or two bytes: the sums of a chunk are exact.
//
// A chunk's sum of elements fits 32 bits, and its sum of squares 32 or 64, so there is no pivot to shift by,
// no order to keep, and as many elements per instruction as the integers allow. The state is the same as of
// other moments, rounded once.
#pragma once

#include "reduce/columns.hpp"

namespace ufuse {
namespace UFUSE_TIER {

template <class R>
struct IntegerMoments {
  using S = typename R::element;
  using Element [[gnu::aligned(1), gnu::may_alias]] = S;  // views need not be aligned
  using Sum = std::int32_t;
  using Squares = std::conditional_t<sizeof(S) == 1, std::uint32_t, std::uint64_t>;
  // The square of a signed byte leaves room for another's in 16 bits, so unsigned ones are shifted; the sum
  // of two squares of 16 bits wants 64.
  static constexpr int kShift = sizeof(S) == 1 && std::is_unsigned_v<S> ? 128 : 0;
  using Value = std::conditional_t<sizeof(S) == 1, std::int16_t, std::int32_t>;
  using Pair = std::conditional_t<sizeof(S) == 1, std::uint16_t, std::uint64_t>;

  static void rows(const RowsCall& call) {
    for (std::int64_t r = 0; r < call.rows; ++r) {
      const auto* x = reinterpret_cast<const Element*>(call.data + r * call.row_stride);
      const std::int64_t count = call.count, quarter = count / kTogether;
      Sum total = 0;
      Squares squares = 0;
      const Element* parts[kTogether];
      for (int k = 0; k < kTogether; ++k) parts[k] = x + k * quarter;
      for (std::int64_t i = 0; i < quarter; ++i) add<kTogether>(parts, i, total, squares);
      for (std::int64_t i = kTogether * quarter; i < count; ++i) add<1>(&x, i, total, squares);
      const bool masked = call.counts != nullptr;
      close(call.states, r * call.state_step, total, squares, count,
            masked ? static_cast<std::int64_t>(call.counts[r]) : count, masked ? call.pivots[r] : 0.0);
    }
  }

  static void columns(const ColumnsCall& call) {
    auto* total = static_cast<Sum*>(call.lanes[0]);
    auto* squares = static_cast<Squares*>(call.lanes[1]);
    for (std::int64_t c = 0; call.fresh && c < call.columns; ++c) {
      total[c] = 0;
      squares[c] = 0;
    }
    std::int64_t r = 0;
    for (; r + kRowsPerStep <= call.rows; r += kRowsPerStep) add_rows<kRowsPerStep>(call, r);
    for (; r + 2 <= call.rows; r += 2) add_rows<2>(call, r);
    for (; r < call.rows; ++r) add_rows<1>(call, r);
  }

  static void fold(void* const* a, const void* const* b, std::int64_t columns) {
    for (std::int64_t c = 0; c < columns; ++c) {
      static_cast<Sum*>(a[0])[c] += static_cast<const Sum*>(b[0])[c];
      static_cast<Squares*>(a[1])[c] += static_cast<const Squares*>(b[1])[c];
    }
  }

  static void close(void* const* states, const void* const* lanes, std::int64_t columns, const double* pivots,
                    const double* counts, std::int64_t count, std::int64_t) {
    for (std::int64_t c = 0; c < columns; ++c)
      close(states, c, static_cast<const Sum*>(lanes[0])[c], static_cast<const Squares*>(lanes[1])[c], count,
            counts != nullptr ? static_cast<std::int64_t>(counts[c]) : count,
            counts != nullptr ? pivots[c] : 0.0);
  }

 private:
  static constexpr int kTogether = 8;

  /// Adds element i of each of `Rows` rows, in the narrowest integers that hold them: the loops around are
  /// the compiler's to vectorize.
  template <int Rows>
  static UFUSE_INLINE void add(const Element* const* row, std::int64_t i, Sum& total, Squares& squares) {
    Value sum = 0;
    Squares sum_of_squares = 0;
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r += 2) {
      const auto a = static_cast<Value>(row[r][i] - kShift);
      const auto b = Rows > 1 ? static_cast<Value>(row[r + (Rows > 1)][i] - kShift) : Value{0};
      sum = static_cast<Value>(sum + a + b);
      sum_of_squares += static_cast<Pair>(square(a) + square(b));
    }
    total += sum;
    squares += sum_of_squares;
  }
  static UFUSE_INLINE Pair square(Value x) {
    using Unsigned = std::make_unsigned_t<Value>;
    return static_cast<Unsigned>(static_cast<Unsigned>(x) * static_cast<Unsigned>(x));
  }

  template <int Rows>
  static void add_rows(const ColumnsCall& call, std::int64_t first) {
    auto* total = static_cast<Sum*>(call.lanes[0]);
    auto* squares = static_cast<Squares*>(call.lanes[1]);
    const std::int64_t columns = call.columns;
    const Element* row[Rows];
    for (int r = 0; r < Rows; ++r) row[r] = reinterpret_cast<const Element*>(call.row[first + r]);
#pragma GCC ivdep
    for (std::int64_t c = 0; c < columns; ++c) {  // the sums are nowhere in the rows
      Sum sum = 0;
      Squares sum_of_squares = 0;
      add<Rows>(row, c, sum, sum_of_squares);
      total[c] += sum;
      squares[c] += sum_of_squares;
    }
  }

  /// The state of `kept` of `count` elements; the others were replaced by the pivot.
  static UFUSE_INLINE void close(void* const* states, std::int64_t at, Sum total, Squares squares,
                                 std::int64_t count, std::int64_t kept, double pivot) {
    const std::int64_t fill = static_cast<std::int64_t>(pivot) - kShift;
    const std::int64_t n = kept, left_out = count - kept, weight = n > 0 ? n : 1;
    const std::int64_t sum = total - fill * left_out;
    const std::int64_t sum_of_squares = static_cast<std::int64_t>(squares) - fill * fill * left_out;
    // 1024 * 1024 * 2^32 at the most: exact in 64 bits.
    const std::int64_t spread = n * sum_of_squares - sum * sum;
    const std::int64_t whole = static_cast<std::int32_t>(sum) / static_cast<std::int32_t>(weight);
    const double rest = static_cast<double>(sum - whole * n) / static_cast<double>(weight);
    const auto mean = n > 0 ? reducers::mean_of(static_cast<double>(whole + kShift), rest) : reducers::Mean{};
    static_cast<double*>(states[0])[at] = static_cast<double>(n);
    static_cast<double*>(states[1])[at] = mean.high;
    static_cast<double*>(states[2])[at] = mean.low;
    static_cast<double*>(states[3])[at] = static_cast<double>(spread) / static_cast<double>(weight);
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
