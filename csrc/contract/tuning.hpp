// Block sizes per tier, as data. Measured on two Zen 4 cores (32 KiB L1d, 1 MiB L2 each), 1024^3, as a
// share of the peak of independent multiply-adds, unless another case is named.
//
// kc decides the bits of a float result (a new accumulator starts with each k block), so it is the same on
// every tier; of integers it need not be. f32: 1024 is 7-10 % better than 256, since C is read and written
// less often. f64: 768 or 1024 with fewer rows are no better than 512, 256 is 4 % worse. Prefetching the tile
// of C: no gain there; a Granite Rapids gains (micro.hpp). nc: 2048 columns are one strip, or A is packed
// twice (f64 2048^3: 1 to 4 %).
#pragma once

#include <cstdint>

#include "core/macros.hpp"

namespace ufuse {
namespace UFUSE_TIER {

struct Shape {
  int mr;       // rows of the tile
  int vectors;  // registers of columns
  std::int64_t kc, mc, nc;
};

inline constexpr std::int64_t kBlockF32 = 1024, kBlockF64 = 512, kBlockInt8 = 2048;

#if defined(__AVX512F__)
// 32 registers: 28 accumulators, 2 of B, 1 of A. mc: packed A takes 448 KiB of the 1 MiB L2.
inline constexpr Shape kShapeF32{14, 2, kBlockF32, 112, 2048};
inline constexpr Shape kShapeF64{8, 3, kBlockF64, 112, 2064};  // 14 x 2: 2 % less (a Xeon 10); 6 x 4: 1 %
inline constexpr Shape kShapeI32{12, 2, kBlockF32, 96, 2048};  // a product waits in a register of its own
inline constexpr Shape kShapeI64{12, 2, kBlockF64, 96, 2048};
inline constexpr Shape kShapeSemiring32{8, 3, kBlockF32, 112, 2064};
inline constexpr Shape kShapeSemiring64{8, 3, kBlockF64, 112, 2064};
#if defined(__AVX512VNNI__)
inline constexpr Shape kShapeInt8{14, 2, kBlockInt8, 112, 4096};
// AMX (Granite Rapids, one core): the k block of a panel of A, 32 KiB, stays in L1, the strip of B, 1 MiB, in
// L2. 1024^3 and 2048^3 with 512 columns: 5 % less, and the same; 2048: the same, and 30 % less. 512 rows: 25
// % less, and the same.
inline constexpr Shape kShapeTiles{32, 2, 1024, 96, 1024};
#else
// vpmaddwd needs two more registers (the product before it is added, the odd bytes of B).
inline constexpr Shape kShapeInt8{12, 2, kBlockInt8, 96, 4096};
#endif
#elif defined(__AVX2__)
// 16 registers: 12 accumulators, 2 of B, 1 of A. mc: these machines have 256 to 512 KiB of L2.
inline constexpr Shape kShapeF32{6, 2, kBlockF32, 72, 2048};
inline constexpr Shape kShapeF64{6, 2, kBlockF64, 72, 2048};
inline constexpr Shape kShapeI32{4, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeI64{3, 2, kBlockF64, 63, 2048};  // 4 rows spill: a product takes 3 registers
inline constexpr Shape kShapeSemiring32{4, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeSemiring64{4, 2, kBlockF64, 64, 2048};
inline constexpr Shape kShapeInt8{4, 2, kBlockInt8, 64, 4096};
#elif defined(__aarch64__)
inline constexpr Shape kShapeF32{8, 2, kBlockF32, 64, 2048};  // 32 registers; not measured
inline constexpr Shape kShapeF64{8, 2, kBlockF64, 64, 2048};
inline constexpr Shape kShapeI32{8, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeI64{8, 2, kBlockF64, 64, 2048};
inline constexpr Shape kShapeSemiring32{8, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeSemiring64{8, 2, kBlockF64, 64, 2048};
inline constexpr Shape kShapeInt8{6, 2, kBlockInt8, 60, 4096};
#else
// 16 registers and two-operand instructions: a product needs a register of its own before it is added.
inline constexpr Shape kShapeF32{4, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeF64{4, 2, kBlockF64, 64, 2048};
inline constexpr Shape kShapeI32{4, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeI64{3, 2, kBlockF64, 63, 2048};
inline constexpr Shape kShapeSemiring32{4, 2, kBlockF32, 64, 2048};
inline constexpr Shape kShapeSemiring64{4, 2, kBlockF64, 64, 2048};
inline constexpr Shape kShapeInt8{4, 2, kBlockInt8, 64, 4096};
#endif

// Without its instruction, a pair of bfloat16 takes two registers of B instead of one, and a mask: fewer rows
// than float32, or the mask is read from the stack for every k (AVX2: 15 % slower, AVX-512: 2 %; Xeon,
// 512^3).
#if defined(__AVX512BF16__)
inline constexpr Shape kShapeBF16 = kShapeF32;
#elif defined(__AVX512F__)
inline constexpr Shape kShapeBF16{12, 2, kBlockF32, 108, 2048};
#elif defined(__AVX2__)
inline constexpr Shape kShapeBF16{5, 2, kBlockF32, 70, 2048};
#else
inline constexpr Shape kShapeBF16 = kShapeF32;
#endif

// As int32, whose product waits in a register of its own too, or as int8 where there is an instruction.
inline constexpr std::int64_t kBlockI16 = 2048;
#if defined(__AVX512VNNI__)
inline constexpr Shape kShapeI16{14, 2, kBlockI16, 112, 2048};
#else
inline constexpr Shape kShapeI16{kShapeI32.mr, kShapeI32.vectors, kBlockI16, kShapeI32.mc, 2048};
#endif

#if defined(__AVX512F__)
inline constexpr Shape kShapeArg32{4, 3, kBlockF32, 112, 2064};
inline constexpr Shape kShapeArg64{4, 3, kBlockF64, 112, 2064};
#else
inline constexpr Shape kShapeArg32{4, 1, kBlockF32, 64, 2048};
inline constexpr Shape kShapeArg64{4, 1, kBlockF64, 64, 2048};
#endif
inline constexpr Shape kShapeLong{4, 1, kBlockF64, 64, 2048};  // bound by its arithmetic, not by loads

}  // namespace UFUSE_TIER
}  // namespace ufuse
