// Errors of quantization, summed: this file is compiled once per tier.
//
// What codes stand for is found in registers and compared there: decoding a slab into cache first and
// comparing it then took 1.4 cycles an element, where memory brings one in 1.0.
#include "distortion/kernels.hpp"

#include <type_traits>

#include "core/cache.hpp"
#include "ops/arithmetic.hpp"
#include "ops/lowfloat.hpp"
#include "ops/packing.hpp"
#include "simd/transpose.hpp"
#include "simd/vec.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

// Sums are kept in float32 for kGroup elements, of each lane 32, and then added in float64: in float64 alone
// a core takes 1.25 cycles an element. A sum of 64 terms errs by 4e-6 at most. (Of 32, what is added in
// float64 is a third of the time.)
constexpr int kLanes = kDistortionLanes;
constexpr std::int64_t kGroup = kDistortionGroup;
static_assert(kGroup % kLanes == 0);

using V = Vec<float, kLanes * 4 < kRegisterBytes ? kLanes : kRegisterBytes / 4>;
constexpr int kParts = kLanes / V::size;

/// kLanes sums, in as many registers as they take.
struct Lanes {
  V part[kParts] = {};

  UFUSE_INLINE double total() const {
    float lane[kLanes];
    for (int p = 0; p < kParts; ++p) part[p].store(lane + p * V::size);
    double sum[kLanes];
    for (int i = 0; i < kLanes; ++i) sum[i] = static_cast<double>(lane[i]);
    for (int half = kLanes / 2; half > 0; half /= 2)  // not one after the other: each would wait for the last
      for (int i = 0; i < half; ++i) sum[i] += sum[i + half];
    return sum[0];
  }
  UFUSE_INLINE double largest() const {
    float lane[kLanes];
    for (int p = 0; p < kParts; ++p) part[p].store(lane + p * V::size);
    for (int half = kLanes / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) lane[i] = lane[i + half] > lane[i] ? lane[i + half] : lane[i];
    return static_cast<double>(lane[0]);
  }
};

struct Group {
  Lanes xx, yy, xy, squares, magnitudes, largest;

  /// Adds `steps` times kLanes numbers; `y` gives the register of what stands for them from a place on.
  template <class Y>
  UFUSE_INLINE void add(const float* x, const Y& y, std::int64_t steps) {
    for (std::int64_t step = 0; step < steps; ++step) {
      for (int p = 0; p < kParts; ++p) {
        const std::int64_t i = step * kLanes + p * V::size;
        const V a = V::load(x + i), b = y(i), e = a - b, size = ops::magnitude(e);
        xx.part[p] = fma(a, a, xx.part[p]);
        yy.part[p] = fma(b, b, yy.part[p]);
        xy.part[p] = fma(a, b, xy.part[p]);
        squares.part[p] = fma(e, e, squares.part[p]);
        magnitudes.part[p] = magnitudes.part[p] + size;
        largest.part[p] = math::larger(size, largest.part[p]);  // which it stays where size is NaN
      }
    }
  }
  UFUSE_INLINE DistortionSums sums() const {
    return {xx.total(), yy.total(), xy.total(), squares.total(), magnitudes.total(), largest.largest()};
  }
};

/// In float64 throughout: where squares of float32 would overflow or vanish, and where there are zeros alone.
DistortionSums compare_wide(const float* x, const float* y, std::int64_t count) {
  using W = Register<double>;
  using Narrow = Vec<float, W::size>;
  constexpr int kWide = kLanes / W::size;
  W sums[5][kWide] = {}, largest[kWide] = {};
  const auto add_lanes = [&](const float* xs, const float* ys) {
    for (int p = 0; p < kWide; ++p) {
      const W a = convert<W>(Narrow::load(xs + p * W::size)), b = convert<W>(Narrow::load(ys + p * W::size));
      const W e = a - b, size = ops::magnitude(e);
      const W terms[5] = {a * a, b * b, a * b, e * e, size};
      for (int k = 0; k < 5; ++k) sums[k][p] = sums[k][p] + terms[k];
      largest[p] = math::larger(size, largest[p]);
    }
  };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) add_lanes(x + i, y + i);
  if (i < count) {
    float last[2][kLanes] = {};
    std::memcpy(last[0], x + i, static_cast<std::size_t>(count - i) * 4);
    std::memcpy(last[1], y + i, static_cast<std::size_t>(count - i) * 4);
    add_lanes(last[0], last[1]);
  }
  double totals[5] = {}, most = 0;
  for (int p = 0; p < kWide; ++p)
    for (int lane = 0; lane < W::size; ++lane) {
      for (int k = 0; k < 5; ++k) totals[k] += sums[k][p][lane];
      most = largest[p][lane] > most ? largest[p][lane] : most;
    }
  return {totals[0], totals[1], totals[2], totals[3], totals[4], most};
}

/// Whether float32 has kept what there was: nothing overflowed, and no sum of squares is near its smallest.
bool is_exact(const DistortionSums& s) {
  constexpr double kLeast = 1e-30, kMost = 3e38;
  const bool fits = s.xx < kMost && s.yy < kMost && s.magnitudes < kMost;
  return fits && s.xx > kLeast && (s.squares > kLeast || s.largest == 0);
}

// --- what stands for the numbers: of one row -------------------------------------------------------------

/// The numbers themselves.
struct Numbers {
  static constexpr int kCodes = V::size;
  const float* y;

  UFUSE_INLINE Numbers(const CodeRows& rows, std::int64_t, std::int64_t column)
      : y(reinterpret_cast<const float*>(rows.codes) + column) {}
  UFUSE_INLINE V at(std::int64_t i) const { return V::load(y + i); }
  UFUSE_INLINE void some(float* to, std::int64_t count) const {
    std::memcpy(to, y, static_cast<std::size_t>(count) * 4);
  }
};

/// Loads `count` of the values, fewer than a register has, and as many zeros as are left.
template <class R>
UFUSE_INLINE R load_some(const void* from, std::int64_t count) {
  using T = lane_t<R>;
  T some[R::size] = {};
  std::memcpy(some, from, static_cast<std::size_t>(count) * sizeof(T));
  return R::load(some);
}

/// What a functor makes of codes. `Scales` and `Zeros`: they have one for each code.
template <class F, class Q, class S, class Z, bool HasZero, int Floats, bool Scales, bool Zeros>
struct Codes {
  static constexpr int kCodes = V::size / Floats;  // in a register of numbers
  using Quantized = Vec<Q, kCodes>;
  using Scale = Vec<S, kCodes>;
  using Zero = Vec<Z, kCodes>;
  using Result = std::conditional_t<Floats == 2, Vec<double, kCodes>, Vec<float, kCodes>>;
  const Q* codes;
  const S* scales;
  const Z* zeros;
  Scale scale;
  Zero zero;

  UFUSE_INLINE Codes(const CodeRows& rows, std::int64_t row, std::int64_t column)
      : codes(reinterpret_cast<const Q*>(rows.codes) + row * rows.columns + column),
        scales(reinterpret_cast<const S*>(rows.scale + row * rows.scale_row) + (Scales ? column : 0)),
        zeros(reinterpret_cast<const Z*>(rows.zero + row * rows.zero_row) + (Zeros ? column : 0)),
        scale{},
        zero{} {
    if constexpr (!Scales) scale = splat<Scale>(*scales);
    if constexpr (!Zeros && HasZero) zero = splat<Zero>(*zeros);
  }
  static UFUSE_INLINE V decode(Quantized q, Scale s, Zero z) {
    if constexpr (HasZero) {
      return bitcast<V>(F::template apply<Result>(q, s, z));
    } else {
      return bitcast<V>(F::template apply<Result>(q, s));
    }
  }
  UFUSE_INLINE V at(std::int64_t i) const {
    const std::int64_t k = i / Floats;
    Scale s = scale;
    Zero z = zero;
    if constexpr (Scales) s = Scale::load(scales + k);
    if constexpr (Zeros) z = Zero::load(zeros + k);
    return decode(Quantized::load(codes + k), s, z);
  }
  /// The first `count` numbers, fewer than kLanes.
  UFUSE_INLINE void some(float* to, std::int64_t count) const {
    for (std::int64_t i = 0; i < count; i += V::size) {
      const std::int64_t k = i / Floats, left = (count - i + Floats - 1) / Floats;
      const std::int64_t there = left < kCodes ? left : kCodes;
      Scale s = scale;
      Zero z = zero;
      if constexpr (Scales) s = load_some<Scale>(scales + k, there);
      if constexpr (Zeros) z = load_some<Zero>(zeros + k, there);
      float decoded[V::size];
      decode(load_some<Quantized>(codes + k, there), s, z).store(decoded);
      for (std::int64_t j = 0; j < V::size && i + j < count; ++j) to[i + j] = decoded[j];
    }
  }
};

template <class Row>
DistortionSums compare_rows(const float* x, const CodeRows& rows, std::int64_t count) {
  constexpr int kFloats = V::size / Row::kCodes;
  const std::int64_t columns = rows.columns * kFloats;  // here a column is a number
  DistortionSums all;
  std::int64_t row = 0, column = 0;
  const std::int64_t ahead = bytes_ahead();
  for (std::int64_t i = 0; i < count; i += kGroup) {
    if (ahead != 0)
      for (std::int64_t k = 0; k < kGroup; k += 16)
        __builtin_prefetch(reinterpret_cast<const char*>(x + i + k) + ahead, 0, 2);
    const std::int64_t some = count - i < kGroup ? count - i : kGroup, rest = some % kLanes;
    const std::int64_t first_row = row, first_column = column;
    /// Calls f(place in the group, row, numbers) for what the group has of each row, but for the rest.
    const auto each_row = [&](auto f) {
      row = first_row;
      column = first_column;
      for (std::int64_t done = 0; done < some - rest;) {
        const std::int64_t here = columns - column, left = some - rest - done,
                           part = here < left ? here : left;
        f(done, Row(rows, row, column / kFloats), part);
        done += part;
        column += part;
        if (column == columns) {
          column = 0;
          ++row;
        }
      }
    };
    Group group;
    each_row([&](std::int64_t at, const Row& y, std::int64_t numbers) {
      group.add(x + i + at, [&y](std::int64_t k) { return y.at(k); }, numbers / kLanes);
    });
    DistortionSums s = group.sums();
    float last[2][kLanes] = {};  // the rest, among zeros
    if (rest != 0) {
      std::memcpy(last[0], x + i + some - rest, static_cast<std::size_t>(rest) * 4);
      Row(rows, row, column / kFloats).some(last[1], rest);
      Group few;
      few.add(last[0], [&last](std::int64_t k) { return V::load(last[1] + k); }, 1);
      s.add(few.sums());
    }
    if (!is_exact(s)) {
      float y[kGroup];
      each_row([&](std::int64_t at, const Row& part, std::int64_t numbers) {
        for (std::int64_t k = 0; k < numbers; k += V::size) part.at(k).store(y + at + k);
      });
      std::memcpy(y + some - rest, last[1], static_cast<std::size_t>(rest) * 4);
      s = compare_wide(x + i, y, some);
    }
    all.add(s);
  }
  return all;
}

DistortionSums compare(const float* x, const float* y, std::int64_t count) {
  return compare_rows<Numbers>(x, {reinterpret_cast<const char*>(y), nullptr, nullptr, count, 0, 0}, count);
}

void turn(const float* from, std::int64_t rows, std::int64_t lanes, float* to) {
  constexpr int kSide = V::size < 8 ? V::size : 8;
  using Side = Vec<float, kSide>;
  for (std::int64_t lane = 0; lane < lanes; lane += kSide)
    for (std::int64_t row = 0; row < rows; row += kSide) {
      Side square[kSide];
      for (int k = 0; k < kSide; ++k) square[k] = Side::load(from + (row + k) * lanes + lane);
      transpose(square);
      for (int k = 0; k < kSide; ++k) square[k].store(to + (lane + k) * rows + row);
    }
}

// --- the rows of the catalogue that decode ---------------------------------------------------------------

using enum DType;

template <class F, DType Q, DType S, DType Z, bool HasZero, int Floats>
constexpr CodesRow row(const char* name) {
  using A = storage<Q>;
  using B = storage<S>;
  using C = storage<Z>;
  CodesRow r{name, Q, S, Z, HasZero, Floats, {}};
  r.compare[static_cast<int>(ScaleLayout::single)] =
      compare_rows<Codes<F, A, B, C, HasZero, Floats, false, false>>;
  if constexpr (Floats == 1) {
    r.compare[static_cast<int>(ScaleLayout::scales)] =
        compare_rows<Codes<F, A, B, C, HasZero, Floats, true, false>>;
    if constexpr (HasZero)
      r.compare[static_cast<int>(ScaleLayout::both)] =
          compare_rows<Codes<F, A, B, C, HasZero, Floats, true, true>>;
  }
  return r;
}

constexpr CodesRow kCodes[] = {
    row<ops::dequantize_linear, I8, F32, I8, true, 1>("dequantize_linear"),
    row<ops::dequantize_linear, U8, F32, U8, true, 1>("dequantize_linear"),
    row<ops::dequantize_linear, I16, F32, I16, true, 1>("dequantize_linear"),
    row<ops::dequantize_linear, U16, F32, U16, true, 1>("dequantize_linear"),
    row<ops::dequantize_nibbles, U8, F32, I8, true, 2>("dequantize_nibbles"),
    row<ops::dequantize_nibbles, U8, F32, U8, true, 2>("dequantize_nibbles"),
#define UFUSE_FLOAT_FORMAT(name, exponent, fraction, ...)                  \
  row<ops::dequantize_##name, (exponent) + (fraction) < 8 ? U8 : U16, F32, \
      (exponent) + (fraction) < 8 ? U8 : U16, false, 1>("dequantize_" #name),
#include "floats.inc"
#undef UFUSE_FLOAT_FORMAT
};

}  // namespace

const DistortionKernels* distortion_kernels() {
  static const DistortionKernels table = {compare, turn, kCodes,
                                          static_cast<int>(sizeof kCodes / sizeof kCodes[0])};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
