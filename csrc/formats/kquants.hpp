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

}  // namespace UFUSE_TIER
}  // namespace ufuse
