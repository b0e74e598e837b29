// CPU tiers: every kernel source is compiled once per tier, and one table per tier is chosen at run time.
#pragma once

#include <string>
#include <vector>

#include "core/macros.hpp"

namespace ufuse {

/// In order of preference, worst first. `v4x` is v4 with VNNI and BF16, `v4a` has AMX for int8 and bfloat16
/// as well.
enum class Tier : int { v2, v3, v4, v4x, v4a, neon };

UFUSE_API const char* tier_name(Tier tier) noexcept;

/// Tiers compiled in and usable on this CPU, worst first.
UFUSE_API std::vector<Tier> available_tiers();

/// The tier in use: UFUSE_CPU_TIER if set, else the best available. Throws `std::invalid_argument` where
/// the variable names a tier that is unknown, or not available here.
UFUSE_API Tier active_tier();

/// Forces a tier by name (tests and measurements); an empty name returns to the default.
UFUSE_API void set_tier(const std::string& name);

}  // namespace ufuse

/// Defines `const Type& name(Tier)`, in namespace ufuse: the table that `const Type* name()` of a tier makes
/// when it is first asked for, never as the library is loaded: its code may not run on this CPU. Tiers v4x
/// and v4a are v4 to all but contractions.
#if defined(__x86_64__)
#define UFUSE_TIER_TABLES(Type, name) \
  namespace v2 {                      \
  const Type* name();                 \
  }                                   \
  namespace v3 {                      \
  const Type* name();                 \
  }                                   \
  namespace v4 {                      \
  const Type* name();                 \
  }                                   \
  const Type& name(Tier tier) {       \
    switch (tier) {                   \
      case Tier::v2:                  \
        return *v2::name();           \
      case Tier::v3:                  \
        return *v3::name();           \
      default:                        \
        return *v4::name();           \
    }                                 \
  }
#else
#define UFUSE_TIER_TABLES(Type, name) \
  namespace neon {                    \
  const Type* name();                 \
  }                                   \
  const Type& name(Tier) { return *neon::name(); }
#endif
