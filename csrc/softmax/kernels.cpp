// Softmax for one tier: this file is compiled once per tier.
#include "softmax/kernels.hpp"

#include <algorithm>

#include "reduce/exponentials.hpp"
#include "simd/moves.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace {

constexpr std::int64_t kGroup = kLanes * kRowsPerStep;

template <class T>
inline constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
template <class T>
inline constexpr T kNothing = -std::numeric_limits<T>::infinity();

/// W lanes of a sum of exponentials, in the type of the elements.
template <class T, int W>
struct Terms {
  using V = Vec<T, W>;
  V sum = splat<V>(0), count = splat<V>(0);

  /// Adds those of v, which are returned.
  UFUSE_INLINE V add(V v, V largest) {
    const auto top = v == largest;
    const V e = ops::exp_not_above(v - largest);
    sum = sum + select(top, splat<V>(0), e);
    count = count + select(top, splat<V>(1), splat<V>(0));
    return e;
  }
};

/// What makes results of the elements of `lines` lines: of exponentials their share, or of their distances
/// from the largest the logarithm of the total. NaN where all results of the line are.
template <class T>
void last_terms(T* to, const T* largest, const T* counts, const double* others, std::int64_t lines,
                bool logarithm) {
  constexpr int W = kRegisterBytes / 8;
  using Wide = Vec<double, W>;
  using V = Vec<T, W>;
  for (std::int64_t i = 0; i < lines; i += W) {
    const V most = V::load(largest + i);
    const Wide count = convert<Wide>(V::load(counts + i)), rest = Wide::load(others + i);
    const V zero = splat<V>(0), nan = splat<V>(kNan<T>);
    V last;
    if (logarithm)
      last = convert<V>(log_of_total(count, rest));
    else
      last = select(most - most == zero, convert<V>(splat<Wide>(1.0) / (count + rest)), nan);
    select(last == last, last, nan).store(to + i);
  }
}

/// Writes `count` elements, `value(i, n)` being the n of them from i on in a register.
template <class V, class Value>
UFUSE_INLINE void write_row(char* to, std::int64_t count, bool stream, Value value) {
  constexpr int W = V::size;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(lane_t<V>));
  std::int64_t i = 0;
  auto some = [&](std::int64_t n) {
    store_partial(to + i * kSize, value(i, n), n);
    i += n;
  };
  const auto past = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(to) & (kLineBytes - 1));
  if (stream && past % kSize == 0 && count * kSize >= past + kLineBytes) {
    while (i * kSize < past) some(std::min<std::int64_t>(W, past / kSize - i));
    constexpr std::int64_t kLine = kLineBytes / kSize;
    for (; i + kLine <= count; i += kLine)
      for (std::int64_t part = 0; part < kLine; part += W)
        stream_register(to + (i + part) * kSize, value(i + part, W));
  }
  for (; i + W <= count; i += W) value(i, W).store(to + i * kSize);
  if (i < count) some(count - i);
}

template <class V>
UFUSE_INLINE V load_some(const lane_t<V>* from, std::int64_t count, lane_t<V> fill) {
  return count >= V::size ? V::load(from) : load_partial<V>(from, count, fill);
}

struct Largest {
  template <class V>
  static UFUSE_INLINE V fold(V a, V b) {
    return reducers::larger_number(a, b);
  }
};

template <class V>
UFUSE_INLINE lane_t<V> largest_of(const lane_t<V>* x, std::int64_t count) {
  constexpr int W = V::size, K = 4;
  V most[K];
  for (V& some : most) some = splat<V>(kNothing<lane_t<V>>);
  std::int64_t i = 0;
  for (; i + K * W <= count; i += K * W) {
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) most[k] = reducers::larger_number(most[k], V::load(x + i + k * W));
  }
  for (; i < count; i += W)
    most[0] = reducers::larger_number(most[0], load_some<V>(x + i, count - i, kNothing<lane_t<V>>));
  most[0] = reducers::larger_number(reducers::larger_number(most[0], most[1]),
                                    reducers::larger_number(most[2], most[3]));
  return fold_lanes<Largest>(most[0]);
}

/// The sum of a line: its largest element, how many equal it, and the exponentials of the others, which are
/// kept unless only their sum is wanted.
template <class T>
UFUSE_INLINE void sum_row(const T* x, std::int64_t count, std::int64_t ahead, bool keep, T* values, T& most,
                          T& equal, double& rest) {
  constexpr int W = std::min(kLanes, kRegisterBytes / static_cast<int>(sizeof(T))), K = kLanes / W;
  using V = Vec<T, W>;
  using Lanes = ExponentialLanes<T, W>;
  using Sum = typename Lanes::Sum;
  const V largest = splat<V>(largest_of<V>(x, count));
  Sum others[K * Lanes::kParts] = {};
  V counts[K] = {};
  auto move = [&](int k, const Terms<T, W>& terms) __attribute__((always_inline)) {
    counts[k] = counts[k] + terms.count;
    for (int i = 0; i < Lanes::kParts; ++i) {
      Sum& to = others[k * Lanes::kParts + i];
      to = to + Lanes::part(terms.sum, i);
    }
  };
  std::int64_t i = 0;
  for (; i + kGroup <= count; i += kGroup) {
    prefetch_row<kGroup* static_cast<int>(sizeof(T))>(reinterpret_cast<const char*>(x + i), ahead);
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      Terms<T, W> terms;
#pragma GCC unroll 8
      for (int r = 0; r < kRowsPerStep; ++r) {
        const std::int64_t at = i + r * kLanes + k * W;
        const V e = terms.add(V::load(x + at), largest);
        if (keep) e.store(values + at);
      }
      move(k, terms);
    }
  }
  if (i < count) prefetch_row<kLineBytes>(reinterpret_cast<const char*>(x + i), ahead);
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) {
    if (i + k * W >= count) break;
    Terms<T, W> terms;
    for (std::int64_t at = i + k * W; at < count; at += kLanes) {
      const V e = terms.add(load_some<V>(x + at, count - at, kNothing<T>), largest);
      if (keep) e.store(values + at);
    }
    move(k, terms);
  }
  most = largest[0];
  equal = fold_registers<reducers::sum<T>>(counts);
  rest = fold_registers<reducers::sum<double>>(others);
}

template <class T>
void softmax_rows(const SoftmaxRows& call) {
  constexpr int W = std::min(kLanes, kRegisterBytes / static_cast<int>(sizeof(T)));
  using V = Vec<T, W>;
  const std::int64_t count = call.count, pitch = softmax_row_bytes(count, sizeof(T));
  const std::int64_t together = softmax_rows_together(pitch);
  const bool logarithm = call.logarithm;
  alignas(64) T most[kSoftmaxRows] = {}, equal[kSoftmaxRows] = {}, last[kSoftmaxRows];
  alignas(64) double others[kSoftmaxRows] = {};
  for (std::int64_t first = 0; first < call.rows; first += together) {
    const std::int64_t rows = std::min(together, call.rows - first);
    for (std::int64_t r = 0; r < rows; ++r)
      sum_row(reinterpret_cast<const T*>(call.in + (first + r) * call.in_stride), count, call.ahead,
              !logarithm, reinterpret_cast<T*>(call.values + r * pitch), most[r], equal[r], others[r]);
    last_terms(last, most, equal, others, rows, logarithm);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto* x = reinterpret_cast<const T*>(call.in + (first + r) * call.in_stride);
      const auto* values = reinterpret_cast<const T*>(call.values + r * pitch);
      const V largest = splat<V>(most[r]), factor = splat<V>(last[r]);
      char* const out = call.out + (first + r) * call.out_stride;
      if (last[r] != last[r])
        write_row<V>(out, count, call.stream, [](std::int64_t, std::int64_t) { return splat<V>(kNan<T>); });
      else if (logarithm)
        write_row<V>(out, count, call.stream,
                     [=](std::int64_t at, std::int64_t n) __attribute__((always_inline)) {
                       return (load_some<V>(x + at, n, T{0}) - largest) - factor;
                     });
      else
        write_row<V>(out, count, call.stream,
                     [=](std::int64_t at, std::int64_t)
                         __attribute__((always_inline)) { return V::load(values + at) * factor; });
    }
  }
}

/// As `softmax_rows`, of each column: tiles of columns one after the other. Storing a tile and reading the
/// next one take turns at rows, so that memory reads and writes at the same time: over axis 0 of (4096, 4096)
/// float32 17.3 GB/s, where a call for each tile, and no more state than its own, gave 15.6.
template <class T>
class Tiles {
 public:
  explicit Tiles(const SoftmaxTiles& call)
      : call_(call), values_(reinterpret_cast<T*>(call.values)), rows_(call.rows), pitch_(call.pitch) {}

  void run() {
    std::int64_t first = 0, columns = std::min(call_.first, call_.columns);
    std::fill_n(coming_, kMost, splat<V>(kNothing<T>));
    for (std::int64_t r = 0; r < rows_; ++r) read(first, columns, r, registers_of(columns));
    while (columns > 0) {
      std::copy_n(coming_, kMost, largest_);
      std::fill_n(coming_, kMost, splat<V>(kNothing<T>));
      const std::int64_t next = first + columns, more = std::min(call_.width, call_.columns - next);
      if (columns == kColumns)
        sum(kAll);
      else
        sum(registers_of(columns));
      if (columns == kColumns && more == kColumns)
        for (std::int64_t r = 0; r < rows_; ++r) {
          write(first, kColumns, r, kAll);
          read(next, kColumns, r, kAll);
        }
      else
        for (std::int64_t r = 0; r < rows_; ++r) {
          write(first, columns, r, registers_of(columns));
          read(next, more, r, registers_of(more));
        }
      first = next;
      columns = more;
    }
  }

 private:
  static constexpr int W = kRegisterBytes / static_cast<int>(sizeof(T));
  static constexpr int kMost = kSoftmaxTileBytes / kRegisterBytes, kColumns = W * kMost;
  static constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  using V = Vec<T, W>;
  using Lanes = ExponentialLanes<T, W>;
  static constexpr std::integral_constant<int, kMost> kAll{};

  static int registers_of(std::int64_t columns) { return static_cast<int>((columns + W - 1) / W); }

  /// Brings row r of a tile to `values`.
  template <class Registers>
  UFUSE_INLINE void read(std::int64_t first, std::int64_t columns, std::int64_t r, Registers registers) {
    constexpr std::int64_t kAhead = 16;
    T* const to = values_ + r * pitch_;
    const T* from = to;
    if (call_.in != nullptr) {
      const char* const tile = call_.in + first * kSize;
      from = reinterpret_cast<const T*>(tile + call_.in_offset[r]);
      if (r + kAhead < rows_)
        for (std::int64_t at = 0; at < columns * kSize; at += kLineBytes)
          __builtin_prefetch(tile + call_.in_offset[r + kAhead] + at);
    }
    for (int k = 0; k < registers; ++k) {
      const V v = load_some<V>(from + k * W, columns - k * W, T{0});
      v.store(to + k * W);
      coming_[k] = reducers::larger_number(coming_[k], v);
    }
  }

  /// The sums of the tile in `values`, which become its exponentials.
  template <class Registers>
  UFUSE_INLINE void sum(Registers registers) {
    for (int lane = 0; lane < kLanes; ++lane) {
      std::fill_n(others_[lane], registers * W, 0.0);
      std::fill_n(counts_[lane], registers * W, T{0});
    }
    for (std::int64_t window = 0; window < rows_; window += kGroup)
      for (std::int64_t lane = 0; lane < kLanes && window + lane < rows_; ++lane) {
        const std::int64_t row = window + lane;
        const std::int64_t steps = std::min<std::int64_t>((rows_ - row + kLanes - 1) / kLanes, kRowsPerStep);
        for (int k = 0; k < registers; ++k) {
          T* const at = values_ + row * pitch_ + k * W;
          if (steps < kRowsPerStep)
            add(at, steps, lane, k);
          else
            add(at, std::integral_constant<int, kRowsPerStep>{}, lane, k);
        }
      }
    for (int half = kLanes / 2; half > 0; half /= 2)
      for (int lane = 0; lane < half; ++lane)
        for (int c = 0; c < registers * W; ++c) {
          others_[lane][c] += others_[lane + half][c];
          counts_[lane][c] += counts_[lane + half][c];
        }
    alignas(64) T most[kColumns];
    for (int k = 0; k < registers; ++k) largest_[k].store(most + k * W);
    last_terms(last_, most, counts_[0], others_[0], registers * W, call_.logarithm);
    nan_ = false;
    for (int c = 0; c < registers * W; ++c) nan_ |= last_[c] != last_[c];
  }

  /// Adds the terms of some elements of a lane.
  template <class Steps>
  UFUSE_INLINE void add(T* at, Steps steps, std::int64_t lane, int k) {
    const V largest = largest_[k];
    const std::int64_t step = kLanes * pitch_;
    Terms<T, W> terms;
    for (std::int64_t r = 0; r < steps; ++r) {
      const V e = terms.add(V::load(at + r * step), largest);
      if (!call_.logarithm) e.store(at + r * step);
    }
    for (int i = 0; i < Lanes::kParts; ++i) {
      double* const to = others_[lane] + k * W + i * Lanes::Sum::size;
      (Lanes::Sum::load(to) + Lanes::part(terms.sum, i)).store(to);
    }
    T* const equal = counts_[lane] + k * W;
    (V::load(equal) + terms.count).store(equal);
  }

  /// Stores the results of row r of a tile.
  template <class Registers>
  UFUSE_INLINE void write(std::int64_t first, std::int64_t columns, std::int64_t r, Registers registers) {
    T* const from = values_ + r * pitch_;
    const bool kept = call_.out == nullptr;
    char* const to = kept ? reinterpret_cast<char*>(from) : call_.out + call_.out_offset[r] + first * kSize;
    const bool stream = call_.stream && !kept && columns * kSize % kLineBytes == 0 &&
                        reinterpret_cast<std::uintptr_t>(to) % kLineBytes == 0;
    for (int k = 0; k < registers; ++k) {
      const V factor = V::load(last_ + k * W), v = V::load(from + k * W);
      V y = call_.logarithm ? (v - largest_[k]) - factor : v * factor;
      if (nan_) y = select(factor == factor, y, splat<V>(kNan<T>));
      char* const at = to + k * W * kSize;
      if (stream)
        stream_register(at, y);
      else if (columns - k * W >= W || kept)
        y.store(at);
      else
        store_partial(at, y, columns - k * W);
    }
  }

  const SoftmaxTiles call_;
  T* const values_;
  const std::int64_t rows_, pitch_;
  V largest_[kMost], coming_[kMost];  // of the tile in `values`, and of the next one
  alignas(64) double others_[kLanes][kColumns];
  alignas(64) T counts_[kLanes][kColumns];
  alignas(64) T last_[kColumns];
  bool nan_ = false;
};

template <class T>
void softmax_tiles(const SoftmaxTiles& call) {
  Tiles<T>(call).run();
}

}  // namespace

const SoftmaxKernels* softmax_kernels() {
  static constexpr SoftmaxKernels table{{softmax_rows<float>, softmax_rows<double>},
                                        {softmax_tiles<float>, softmax_tiles<double>}};
  return &table;
}

}  // namespace UFUSE_TIER
}  // namespace ufuse
