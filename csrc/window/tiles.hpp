// Tiles: rows of 16 lanes side by side. Lanes that lie along memory are transposed in registers, neighbours
// are read in place, whatever is strided, swapped or of another type is brought into a block first.
#pragma once

#include <limits>

#include "simd/vec.hpp"
#include "window/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

#if defined(__clang__)
#define UFUSE_WINDOW_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UFUSE_WINDOW_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, decltype(a){__VA_ARGS__})
#endif

/// 0, 1, ..., N - 1 as template arguments.
template <int... I>
struct Indices {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using type = Indices<I...>;
};

/// Exchanges the odd blocks of D lanes of `a` with the even ones of `b`.
template <int D, class U, int N, int... I>
UFUSE_INLINE void exchange(Vec<U, N>& a, Vec<U, N>& b, Indices<I...>) {
  const auto low = UFUSE_WINDOW_SHUFFLE(a.v, b.v, ((I & D) != 0 ? N + I - D : I)...);
  const auto high = UFUSE_WINDOW_SHUFFLE(a.v, b.v, ((I & D) != 0 ? N + I : I + D)...);
  a.v = low;
  b.v = high;
}

template <int D, class U, int N>
UFUSE_INLINE void transpose(Vec<U, N> (&v)[N]) {
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i)
    if ((i & D) == 0) exchange<D>(v[i], v[i + D], typename CountTo<N>::type{});
  if constexpr (D > 1) transpose<D / 2>(v);
}

template <class T>
using LaneBits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

template <class V>
UFUSE_INLINE void stream_store(char* to, V x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64)
    return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(x.v));
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32)
    return _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(x.v));
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16)
    return _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(x.v));
#endif
  x.store(to);
}

/// tile[row][lane] = from[lane][row]; `rows` is a multiple of N. Returns whether no element is NaN.
template <class T, int N>
bool lanes_to_tile(T* tile, const char* const* from, std::int64_t rows) {
  using V = Vec<T, N>;
  using U = Vec<LaneBits<T>, N>;
  mask_t<V> nan = V{} != V{};
  for (std::int64_t row = 0; row < rows; row += N)
#pragma GCC unroll 1
    for (int lane = 0; lane < kWindowLanes; lane += N) {
      U v[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        const V x = V::load(from[lane + i] + row * static_cast<std::int64_t>(sizeof(T)));
        nan = nan | (x != x);
        v[i] = bitcast<U>(x);
      }
      transpose<N / 2>(v);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) v[i].store(tile + (row + i) * kWindowLanes + lane);
    }
  bool clean = true;
  for (int i = 0; i < N; ++i) clean &= nan.v[i] == 0;
  return clean;
}

/// to[lane][row] = tile[row][lane]
template <class T, int N>
void tile_to_lanes(char* const* to, const T* tile, std::int64_t rows, bool stream) {
  using U = Vec<LaneBits<T>, N>;
  for (std::int64_t row = 0; row < rows; row += N)
#pragma GCC unroll 1
    for (int lane = 0; lane < kWindowLanes; lane += N) {
      U v[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) v[i] = U::load(tile + (row + i) * kWindowLanes + lane);
      transpose<N / 2>(v);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        char* at = to[lane + i] + row * static_cast<std::int64_t>(sizeof(T));
        if (stream)
          stream_store(at, v[i]);
        else
          v[i].store(at);
      }
    }
}

/// Rows of 16 lanes, `pitch` bytes apart.
struct Tile {
  const char* data;
  std::int64_t pitch;
  bool clean;  // no NaN
};

template <class T>
class Tiles {
 public:
  static constexpr std::int64_t kPitch = kWindowLanes * static_cast<std::int64_t>(sizeof(T));
  static constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));
  static constexpr int N = Register<T>::size;

  UFUSE_INLINE explicit Tiles(const WindowJob& job) : job_(job) {}

  /// Rows [row, row + rows) of a group, those outside of the axis NaN; brought to `block` unless they can be
  /// read in place.
  Tile fetch(const LaneGroup& g, std::int64_t row, std::int64_t rows, T* block) const {
    return job_.columns ? fetch_columns(g, row, rows, block) : fetch_lanes(g, row, rows, block);
  }

  /// Where rows [row, row + rows) of the results may be written directly, at `pitch`; null if nowhere.
  char* place(const LaneGroup& g, std::int64_t row, std::int64_t rows, bool& stream) const {
    if (!job_.columns || !job_.plain_out || job_.out_lane_stride != kSize || g.lanes != kWindowLanes ||
        row + rows > g.rows[0])
      return nullptr;
    char* at = g.out[0] + row * job_.out_stride;
    stream = job_.stream &&
             (reinterpret_cast<std::uintptr_t>(at) | static_cast<std::uintptr_t>(job_.out_stride)) % 64 == 0;
    return at;
  }

  /// Writes rows [row, row + rows) from a tile.
  void store(const LaneGroup& g, std::int64_t row, std::int64_t rows, const T* tile) const {
    if (!job_.columns && job_.plain_out && job_.out_stride == kSize && g.lanes == kWindowLanes) {
      char* to[kWindowLanes];
      bool whole = rows % 8 == 0;
      std::uintptr_t address = 0;
      for (int lane = 0; lane < kWindowLanes; ++lane) {
        to[lane] = g.out[lane] + row * kSize;
        whole &= row + rows <= g.rows[lane];
        address |= reinterpret_cast<std::uintptr_t>(to[lane]);
      }
      const bool stream = job_.stream && address % 64 == 0;
      if (whole && rows % N == 0) return tile_to_lanes<T, N>(to, tile, rows, stream);
      if constexpr (N > 8) {
        if (whole) return tile_to_lanes<T, 8>(to, tile, rows, stream);
      }
    }
    if (job_.result == DType::F32)
      scatter<float>(g, row, rows, tile);
    else
      scatter<double>(g, row, rows, tile);
  }

  static T missing() { return std::numeric_limits<T>::quiet_NaN(); }

  /// `count` elements `stride` bytes apart, converted.
  void read_run(T* to, const char* from, std::int64_t stride, std::int64_t count) const {
    const int log2 = job_.stored_log2;
    if (job_.stored == job_.element) {
      job_.pieces->gather[log2](to, 0, &from, 1, stride, count);
      if (job_.swapped) job_.pieces->swap[log2](to, count);
      return;
    }
    if constexpr (std::is_same_v<T, double>) {
      alignas(64) char raw[kTileRows * 8];
      job_.pieces->gather[log2](raw, 0, &from, 1, stride, count);
      if (job_.swapped) job_.pieces->swap[log2](raw, count);
      job_.pieces->to_f64[static_cast<int>(job_.stored)](to, raw, count);
    }
  }

  /// Writes results of one lane.
  void write_run(char* to, const T* from, std::int64_t count) const {
    if (job_.plain_out && job_.out_stride == kSize)
      std::memcpy(to, from, static_cast<std::size_t>(count * kSize));
    else if (job_.result == DType::F32)
      scatter_run<float>(to, from, 1, count);
    else
      scatter_run<double>(to, from, 1, count);
  }

 private:
  Tile fetch_columns(const LaneGroup& g, std::int64_t row, std::int64_t rows, T* block) const {
    const std::int64_t first = g.base[0] + row;
    const char* from = g.x[0] + row * job_.stride;
    if (job_.plain && job_.lane_stride == kSize && g.lanes == kWindowLanes && first >= 0 &&
        first + rows <= job_.length)
      return {from, job_.stride, no_nan(from, job_.stride, rows)};
    for (std::int64_t k = 0; k < rows; ++k) {
      T* to = block + k * kWindowLanes;
      int lane = 0;
      if (first + k >= 0 && first + k < job_.length) {
        read_run(to, from + k * job_.stride, job_.lane_stride, g.lanes);
        lane = g.lanes;
      }
      for (; lane < kWindowLanes; ++lane) to[lane] = lane < g.lanes || lane == 0 ? missing() : to[0];
    }
    const char* data = reinterpret_cast<const char*>(block);
    return {data, kPitch, no_nan(data, kPitch, rows)};
  }

  Tile fetch_lanes(const LaneGroup& g, std::int64_t row, std::int64_t rows, T* block) const {
    alignas(64) T piece[kWindowLanes][kTileRows];
    const char* from[kWindowLanes];
    const std::int64_t padded = rows % 8 == 0 ? rows : (rows + 15) / 16 * 16;
    for (int lane = 0; lane < kWindowLanes; ++lane) {
      if (lane >= g.lanes) {
        from[lane] = from[0];
        continue;
      }
      const std::int64_t first = g.base[lane] + row;
      const char* at = g.x[lane] + row * job_.stride;
      if (job_.plain && job_.stride == kSize && first >= 0 && first + padded <= job_.length) {
        from[lane] = at;
        continue;
      }
      T* to = piece[lane];
      from[lane] = reinterpret_cast<const char*>(to);
      const std::int64_t begin = first < 0 ? (-first < rows ? -first : rows) : 0;
      const std::int64_t left = job_.length - first;
      const std::int64_t end = left > rows ? rows : left;
      for (std::int64_t k = 0; k < begin; ++k) to[k] = missing();
      if (begin < end) read_run(to + begin, at + begin * job_.stride, job_.stride, end - begin);
      for (std::int64_t k = end > begin ? end : begin; k < padded; ++k) to[k] = missing();
    }
    bool clean;
    if (padded % N == 0) {
      clean = lanes_to_tile<T, N>(block, from, padded);
    } else {
      constexpr int kHalf = N > 8 ? 8 : N;
      clean = lanes_to_tile<T, kHalf>(block, from, padded);
    }
    return {reinterpret_cast<const char*>(block), kPitch, clean};
  }

  static bool no_nan(const char* data, std::int64_t pitch, std::int64_t rows) {
    using V = Register<T>;
    mask_t<V> nan = V{} != V{};
    for (std::int64_t k = 0; k < rows; ++k)
#pragma GCC unroll 8
      for (int lane = 0; lane < kWindowLanes; lane += V::size) {
        const V x = V::load(data + k * pitch + lane * kSize);
        nan = nan | (x != x);
      }
    bool clean = true;
    for (int i = 0; i < V::size; ++i) clean &= nan.v[i] == 0;
    return clean;
  }

  template <class R>
  void scatter(const LaneGroup& g, std::int64_t row, std::int64_t rows, const T* tile) const {
    for (int lane = 0; lane < g.lanes; ++lane) {
      const std::int64_t left = g.rows[lane] - row;
      scatter_run<R>(g.out[lane] + row * job_.out_stride, tile + lane, kWindowLanes,
                     rows < left ? rows : left);
    }
  }
  template <class R>
  void scatter_run(char* to, const T* from, std::int64_t step, std::int64_t count) const {
    for (std::int64_t k = 0; k < count; ++k) {
      const auto value = static_cast<R>(from[k * step]);
      std::memcpy(to + k * job_.out_stride, &value, sizeof value);
    }
  }

  const WindowJob& job_;
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
