// Encoders of the K-quants for one tier: this file is compiled once per tier.
//
// As many super-blocks as a register has lanes are encoded together, a lane each. Their elements are turned
// so that element i of all is a row; sub-blocks are then searched row by row (kquants_affine.hpp,
// kquants_symmetric.hpp), and the sub-blocks' scales are quantized, all in the order in which ggml goes
// through one super-block. With scales known, elements are quantized and packed as they lie in memory.
//
// Source of layouts and searches: ggml, src/ggml-quants.c, `quantize_row_q*_K_ref`, and with importance
// `quantize_row_q*_K_impl`.
#include "formats/kquants.hpp"

#include "formats/kquants_affine.hpp"
#include "formats/kquants_pack.hpp"
#include "formats/kquants_rows.hpp"
#include "formats/kquants_symmetric.hpp"
#include "formats/kquants_weighted.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace kquants {
namespace {

/// Super-blocks whose scales are sought.
struct Batch {
  alignas(64) float x[kElements * kLanes];           // rows
  alignas(64) float importance[kElements * kLanes];  // rows, where there is any
  alignas(64) float weights[kAbreast * 32 * kLanes];
  // Not at the same place of a page as the elements they belong to: there, by the pages' physical addresses,
  // a core may take loads of elements for loads of levels just stored. One process of five ran at 0.4 of the
  // speed.
  float apart[16 * kLanes];
  alignas(64) float levels[kAbreast * 32 * kLanes];
  alignas(64) float scale[kMostSubs * kLanes];   // of sub-blocks
  alignas(64) float shift[kMostSubs * kLanes];   // minus the smallest value
  alignas(64) float weight[kMostSubs * kLanes];  // the sum of the elements'
  bool weighted;
  const float* next;  // the super-blocks that come after these

  Batch(const EncodeCall& call, std::int64_t first, int count)
      : weighted(call.importance != nullptr), next(call.values + (first + kLanes) * kElements) {
    turn<kElements>(
        x, [&](int lane) { return lane < count ? call.values + (first + lane) * kElements : nullptr; });
    if (weighted)
      turn<kElements>(importance, [&](int lane) {
        const std::int64_t at = (call.phase + first + lane) % call.period;
        return lane < count ? call.importance + at * kElements : nullptr;
      });
  }

  /// Has as many of the next elements brought near as a sub-block of these is: Q3_K takes a sixth less time.
  /// All at once, before the search, gained nothing.
  UFUSE_INLINE void ask_ahead(int sub, int size) const {
    constexpr int kLine = 16;
    for (int i = 0; i < size * kLanes; i += kLine) __builtin_prefetch(next + sub * size * kLanes + i, 0, 3);
  }

  V energy() const {
    V sum = splat<V>(0);
    for (int i = 0; i < kElements; ++i) sum = sum + row(x, i) * row(x, i);
    return sum;
  }

  /// Weights of the elements from `first` on as llama.cpp makes them of an importance matrix, and their sum.
  void weigh(int first, int size, V variance, float* to, float* sum_to) const {
    V sum = splat<V>(0);
    for (int i = 0; i < size; ++i) {
      const V v = row(x, first + i);
      const V w = row(importance, first + i) * sqrt(variance + v * v);
      store_row(to, i, w);
      sum = sum + w;
    }
    sum.store(sum_to);
  }
};

UFUSE_INLINE void keep(Found& found, int sub, const Fit& fit) {
  store_row(found.inverse, sub, fit.inverse);
  store_row(found.origin, sub, fit.origin);
}

// --- Q2_K, Q4_K, Q5_K: scales and smallest values ---------------------------------------------------------

/// Scales (or shifts) of sub-blocks as whole numbers; returns what they are multiples of, as it will be read.
template <class Kind>
V quantize_scales(Batch& batch, const float* scales, std::int32_t* codes, std::uint16_t* unit) {
  constexpr int kSubs = kElements / Kind::kSize;
  constexpr float kTop = Kind::kScaleTop;
  if (batch.weighted) {
    const V best = fit_scales(scales, batch.weight, kSubs, kTop, batch.levels);
    for (int j = 0; j < kSubs; ++j) store_row(codes, j, convert<I>(row(batch.levels, j)));
    return put_halves(best, unit);
  }
  const V zero = splat<V>(0), top = splat<V>(kTop);
  V most = zero;
  for (int j = 0; j < kSubs; ++j) most = larger(row(scales, j), most);
  const Mask some = most > zero;
  const V inverse = select(some, top / most, zero);
  for (int j = 0; j < kSubs; ++j) store_row(codes, j, nearest(inverse * row(scales, j)) & splat<I>(0xff));
  return put_halves(select(some, most / top, zero), unit);
}

template <class Kind>
void find(Batch& batch, Found& found) {
  constexpr int kSize = Kind::kSize, kSubs = kElements / kSize;
  const V variance =
      batch.weighted ? splat<V>(Kind::kVariances) * batch.energy() * splat<V>(1.0F / kElements) : splat<V>(0);
  for (int j = 0; j < kSubs; j += kAbreast) {
    const float* x = batch.x + j * kSize * kLanes;
    for (int m = 0; m < kAbreast; ++m) {
      batch.ask_ahead(j + m, kSize);
      float* weights = batch.weights + m * kSize * kLanes;
      if (batch.weighted)
        batch.weigh((j + m) * kSize, kSize, variance, weights, batch.weight + (j + m) * kLanes);
      else
        Kind::weigh(x + m * kSize * kLanes, weights);
    }
    Fit fits[kAbreast];
    if (batch.weighted)
      fit_affine<kSize, Kind::kHigh, false>(x, batch.weights, batch.levels, {-0.9F, 0.05F, 36}, fits);
    else
      fit_affine<kSize, Kind::kHigh, Kind::kAbsolute>(x, batch.weights, batch.levels, Kind::kSteps, fits);
    for (int m = 0; m < kAbreast; ++m) {
      store_row(batch.scale, j + m, fits[m].scale);
      store_row(batch.shift, j + m, fits[m].shift);
      keep(found, j + m, fits[m]);
    }
  }
  const V unit = quantize_scales<Kind>(batch, batch.scale, found.scale_code, found.unit);
  const V shift_unit = quantize_scales<Kind>(batch, batch.shift, found.shift_code, found.shift_unit);
  Kind::as_stored(found, batch.weighted);
  for (int j = 0; j < kSubs; ++j) {
    store_row(found.step, j, unit * convert<V>(int_row(found.scale_code, j)));
    store_row(found.shift, j, shift_unit * convert<V>(int_row(found.shift_code, j)));
  }
}

/// Six bits each. Larger ones, which a search for scales of both signs may leave, run into their neighbours'.
inline void store_six_bits(std::int32_t* codes, bool clamps) {
  for (int j = 0; clamps && j < 8; ++j) store_row(codes, j, smaller(splat<I>(63), int_row(codes, j)));
  for (int j = 4; j < 8; ++j) {
    const I whole = int_row(codes, j - 4), code = int_row(codes, j);
    store_row(codes, j, (code & splat<I>(15)) | ((((whole >> 6) | (code >> 4)) & splat<I>(3)) << 4));
    store_row(codes, j - 4, whole & splat<I>(63));
  }
}

struct Affine32 {
  static constexpr int kSize = 32, kLow = 0;
  static constexpr float kScaleTop = 63, kVariances = 2;
  static constexpr bool kShifted = true, kAbsolute = false;

  static void weigh(const float* x, float* weights) {
    V sum = splat<V>(0);
    for (int i = 0; i < kSize; ++i) sum = sum + row(x, i) * row(x, i);
    const V spread = sqrt(sum * splat<V>(1.0F / kSize));
    for (int i = 0; i < kSize; ++i) store_row(weights, i, spread + magnitude(row(x, i)));
  }
};

struct Q4K : Affine32 {
  static constexpr int kBytes = 144, kHigh = 15;
  static constexpr Steps kSteps = {-1.0F, 0.1F, 20};

  static void as_stored(Found& found, bool weighted) {
    store_six_bits(found.scale_code, !weighted);
    store_six_bits(found.shift_code, !weighted);
  }

  static void write(const Found& found, int lane, const std::uint8_t* levels, std::uint8_t* to) {
    to = put_half(put_half(to, found.unit[lane]), found.shift_unit[lane]);
    pack_scales(to, found.scale_code + lane, found.shift_code + lane);
    for (int k = 0; k < 4; ++k) pack<32, 4>(to + 12 + 32 * k, levels + 64 * k, 0);
  }
};

struct Q5K : Affine32 {
  static constexpr int kBytes = 176, kHigh = 31;
  static constexpr Steps kSteps = {-0.5F, 0.1F, 15};

  static void as_stored(Found& found, bool) {
    store_six_bits(found.scale_code, true);
    store_six_bits(found.shift_code, true);
  }

  static void write(const Found& found, int lane, const std::uint8_t* levels, std::uint8_t* to) {
    to = put_half(put_half(to, found.unit[lane]), found.shift_unit[lane]);
    pack_scales(to, found.scale_code + lane, found.shift_code + lane);
    pack<32, 1>(to + 12, levels, 4);
    for (int k = 0; k < 4; ++k) pack<32, 4>(to + 44 + 32 * k, levels + 64 * k, 0);
  }
};

struct Q2K {
  static constexpr int kBytes = 84, kSize = 16, kLow = 0, kHigh = 3;
  static constexpr float kScaleTop = 15, kVariances = 1;
  static constexpr bool kShifted = true, kAbsolute = true;
  static constexpr Steps kSteps = {-0.5F, 0.1F, 15};

  static void weigh(const float* x, float* weights) {
    for (int i = 0; i < kSize; ++i) store_row(weights, i, magnitude(row(x, i)));
  }

  static void as_stored(Found& found, bool) {  // four bits each
    for (int j = 0; j < 16; ++j) {
      const I both = int_row(found.scale_code, j) | (int_row(found.shift_code, j) << 4);
      store_row(found.scale_code, j, both & splat<I>(15));
      store_row(found.shift_code, j, (both >> 4) & splat<I>(15));
    }
  }

  static void write(const Found& found, int lane, const std::uint8_t* levels, std::uint8_t* to) {
    for (int j = 0; j < 16; ++j)
      to[j] = static_cast<std::uint8_t>(found.scale_code[j * kLanes + lane] |
                                        (found.shift_code[j * kLanes + lane] << 4));
    pack<32, 2>(to + 16, levels, 0);
    pack<32, 2>(to + 48, levels + 128, 0);
    put_half(put_half(to + 80, found.unit[lane]), found.shift_unit[lane]);
  }
};

// --- Q3_K, Q6_K: scales alone -----------------------------------------------------------------------------

/// The scale that is largest in magnitude, with its sign.
V largest_scale(const float* scales) {
  V most = splat<V>(0), value = most;
  for (int j = 0; j < kMostSubs; ++j) {
    const V scale = row(scales, j);
    const Mask more = magnitude(scale) > most;
    most = select(more, magnitude(scale), most);
    value = select(more, scale, value);
  }
  return value;
}

struct Symmetric16 {
  static constexpr int kSize = 16;
  static constexpr bool kShifted = false;
};

struct Q3K : Symmetric16 {
  static constexpr int kBytes = 110, kLow = -4, kHigh = 3;

  static void find(Batch& batch, Found& found) {
    const V zero = splat<V>(0);
    V unit;
    if (batch.weighted) {
      const V variance = splat<V>(2) * batch.energy() * splat<V>(1.0F / kElements);
      for (int j = 0; j < kMostSubs; ++j) {
        batch.ask_ahead(j, kSize);
        batch.weigh(j * kSize, kSize, variance, batch.weights, batch.weight + j * kLanes);
        const Fit fit = fit_symmetric<4>(batch.x + j * kSize * kLanes, batch.weights, kSize);
        store_row(batch.scale, j, fit.scale);
        keep(found, j, fit);
      }
      const Fit fit = fit_symmetric<32>(batch.scale, batch.weight, kMostSubs);
      for (int j = 0; j < kMostSubs; ++j) {
        const I level = clamp(nearest(fit.inverse * row(batch.scale, j)), -32, 31) + splat<I>(32);
        store_row(found.scale_code, j, select(fit.inverse == fit.inverse, level, splat<I>(0)));
      }
      unit = put_halves(fit.scale, found.unit);
    } else {
      for (int j = 0; j < kMostSubs; ++j) {
        const int at = j * kSize * kLanes;
        batch.ask_ahead(j, kSize);
        store_row(batch.scale, j, fit_in_turn<kSize, 4>(batch.x + at, found.levels + at, batch.levels));
      }
      const V largest = largest_scale(batch.scale), inverse = splat<V>(-32) / largest;
      const Mask some = largest != zero;
      for (int j = 0; j < kMostSubs; ++j) {
        const I byte = (nearest(inverse * row(batch.scale, j)) << 24) >> 24;
        store_row(found.scale_code, j, select(some, clamp(byte, -32, 31) + splat<I>(32), splat<I>(0)));
      }
      unit = put_halves(select(some, splat<V>(1) / inverse, zero), found.unit);
    }
    found.keeps_levels = !batch.weighted;
    for (int j = 0; j < kMostSubs; ++j)
      store_row(found.step, j, unit * convert<V>(int_row(found.scale_code, j) - splat<I>(32)));
  }

  static void write(const Found& found, int lane, const std::uint8_t* levels, std::uint8_t* to) {
    pack<32, 1>(to, levels, 2);
    pack<32, 2>(to + 32, levels, 0);
    pack<32, 2>(to + 64, levels + 128, 0);
    pack_scales(to + 96, found.scale_code + lane);
    put_half(to + 108, found.unit[lane]);
  }
};

struct Q6K : Symmetric16 {
  static constexpr int kBytes = 210, kLow = -32, kHigh = 31;

  static void find(Batch& batch, Found& found) {
    for (int j = 0; j < kMostSubs; ++j) {
      const float* x = batch.x + j * kSize * kLanes;
      const float* weights = batch.importance + j * kSize * kLanes;
      batch.ask_ahead(j, kSize);
      if (!batch.weighted) {
        weights = batch.weights;
        for (int i = 0; i < kSize; ++i) store_row(batch.weights, i, row(x, i) * row(x, i));
      }
      const Fit fit = fit_symmetric<32>(x, weights, kSize);
      store_row(batch.scale, j, fit.scale);
      keep(found, j, fit);
    }
    const V largest = largest_scale(batch.scale), inverse = splat<V>(-128) / largest;
    (magnitude(largest) < splat<V>(kNothing)).store(found.blank);
    const V unit = put_halves(splat<V>(1) / inverse, found.unit);
    for (int j = 0; j < kMostSubs; ++j) {
      const I code = smaller(splat<I>(127), nearest(inverse * row(batch.scale, j)));
      store_row(found.scale_code, j, code);
      store_row(found.step, j, unit * convert<V>((code << 24) >> 24));
    }
  }

  static void write(const Found& found, int lane, const std::uint8_t* levels, std::uint8_t* to) {
    if (found.blank[lane] != 0) {
      __builtin_memset(to, 0, kBytes);
      return;
    }
    for (int half = 0; half < 2; ++half) {
      pack<64, 4>(to + 64 * half, levels + 128 * half, 0);
      pack<32, 2>(to + 128 + 32 * half, levels + 128 * half, 4);
    }
    for (int j = 0; j < kMostSubs; ++j)
      to[192 + j] = static_cast<std::uint8_t>(found.scale_code[j * kLanes + lane]);
    put_half(to + 208, found.unit[lane]);
  }
};

template <class Kind>
void encode(const EncodeCall& call) {
  Found found;
  found.keeps_levels = false;
  bool beyond = false;
  for (std::int64_t first = 0; first < call.blocks; first += kLanes) {
    const std::int64_t left = call.blocks - first;
    const int count = left < kLanes ? static_cast<int>(left) : kLanes;
    Batch batch(call, first, count);
    // No scale, nor smallest value, is larger than the elements: a float16 overflows from 65520 on.
    beyond |= some_from(batch.x, kElements, 32768);
    if constexpr (Kind::kShifted)
      find<Kind>(batch, found);
    else
      Kind::find(batch, found);
    for (int lane = 0; lane < count; ++lane) {
      alignas(64) std::uint8_t levels[kElements];
      quantize_elements<Kind>(call.values + (first + lane) * kElements, found, lane, levels);
      Kind::write(found, lane, levels, call.codes + (first + lane) * Kind::kBytes);
    }
  }
  *call.overflow = beyond ? Overflow::some : Overflow::none;
}

}  // namespace
}  // namespace kquants

void encode_weighted(const EncodeCall& call, int bits, bool offset) {
  if (bits == 4)
    offset ? kquants::Weighted<4, true>::encode(call) : kquants::Weighted<4, false>::encode(call);
  else
    offset ? kquants::Weighted<5, true>::encode(call) : kquants::Weighted<5, false>::encode(call);
}

void encode_q2_k(const EncodeCall& call) { kquants::encode<kquants::Q2K>(call); }
void encode_q3_k(const EncodeCall& call) { kquants::encode<kquants::Q3K>(call); }
void encode_q4_k(const EncodeCall& call) { kquants::encode<kquants::Q4K>(call); }
void encode_q5_k(const EncodeCall& call) { kquants::encode<kquants::Q5K>(call); }
void encode_q6_k(const EncodeCall& call) { kquants::encode<kquants::Q6K>(call); }

}  // namespace UFUSE_TIER
}  // namespace ufuse
