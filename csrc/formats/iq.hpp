// Decoding of GGUF's IQ formats; `iq.cpp` has them, since their tables are large.
#pragma once

#include <cstddef>

#include "formats/kernels.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace formats {

#define UFUSE_DECODED_ONLY(name)                      \
  struct name {                                       \
    static constexpr std::nullptr_t encode = nullptr; \
    static void decode(const DecodeCall& call);       \
  };
UFUSE_DECODED_ONLY(IQ1_S)
UFUSE_DECODED_ONLY(IQ1_M)
UFUSE_DECODED_ONLY(IQ2_XXS)
UFUSE_DECODED_ONLY(IQ2_XS)
UFUSE_DECODED_ONLY(IQ2_S)
UFUSE_DECODED_ONLY(IQ3_XXS)
UFUSE_DECODED_ONLY(IQ3_S)
UFUSE_DECODED_ONLY(IQ4_NL)
UFUSE_DECODED_ONLY(IQ4_XS)
#undef UFUSE_DECODED_ONLY

}  // namespace formats
}  // namespace UFUSE_TIER
}  // namespace ufuse
