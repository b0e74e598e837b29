// Encoders of the K-quants of GGUF: super-blocks of 256 elements, whose sub-blocks' scales are quantized too.
#pragma once

#include "formats/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {

void encode_q2_k(const EncodeCall& call);
void encode_q3_k(const EncodeCall& call);
void encode_q4_k(const EncodeCall& call);
void encode_q5_k(const EncodeCall& call);
void encode_q6_k(const EncodeCall& call);
/// Q4_0 to Q5_1 with importance, whose scales are searched like those of the K-quants.
void encode_weighted(const EncodeCall& call, int bits, bool offset);

}  // namespace UFUSE_TIER
}  // namespace ufuse
