#include "core/tiers.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ufuse {
namespace {

constexpr Tier kCompiled[] = {
#if defined(__x86_64__)
    Tier::v2, Tier::v3, Tier::v4, Tier::v4x, Tier::v4a,
#else
    Tier::neon,
#endif
};

#if defined(__x86_64__)
/// Whether the CPU has AMX for int8 and bfloat16 and this process may use it. Linux asks to be asked, once
/// per process, as the registers take 8 KB of a signal's frame; it refuses where it knows nothing of them
/// (before 5.16, or a sandbox), or where a thread's signal stack is too small.
bool tiles_allowed() {
#if defined(__linux__)
  static const bool allowed = [] {
    constexpr unsigned kNeeded = 1u << 24 | 1u << 25 | 1u << 22;  // tiles, and both kinds of products
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kNeeded) != kNeeded) return false;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return allowed;
#else
  return false;
#endif
}
#endif

bool cpu_has(Tier tier) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("bmi");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  switch (tier) {
    case Tier::v2:
      return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    case Tier::v3:
      return v3;
    case Tier::v4:
      return v4;
    case Tier::v4x:
      return v4 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
    case Tier::v4a:
      return cpu_has(Tier::v4x) && tiles_allowed();
    case Tier::neon:
      return false;
  }
  return false;
#else
  return tier == Tier::neon;
#endif
}

std::string list_of(const std::vector<Tier>& tiers) {
  std::string text;
  for (const Tier tier : tiers) text += (text.empty() ? "" : ", ") + std::string(tier_name(tier));
  return text;
}

Tier checked(const std::string& name, const char* source) {
  for (const Tier tier : kCompiled)  // no other is looked at: v4a would ask the system for its tiles
    if (name == tier_name(tier) && cpu_has(tier)) return tier;
  const bool known =
      name == "v2" || name == "v3" || name == "v4" || name == "v4x" || name == "v4a" || name == "neon";
  throw std::invalid_argument(std::string(source) + ": expected one of the CPU tiers of this machine (" +
                              list_of(available_tiers()) + "), got '" + name + "'" +
                              (known ? ", which this CPU or build does not have" : "") +
                              "; unset it to use the best one");
}

constexpr int kUndecided = -1;
std::atomic<int> forced{kUndecided};
std::atomic<int> decided{kUndecided};

}  // namespace

const char* tier_name(Tier tier) noexcept {
  switch (tier) {
    case Tier::v2:
      return "v2";
    case Tier::v3:
      return "v3";
    case Tier::v4:
      return "v4";
    case Tier::v4x:
      return "v4x";
    case Tier::v4a:
      return "v4a";
    case Tier::neon:
      return "neon";
  }
  return "unknown";
}

std::vector<Tier> available_tiers() {
  std::vector<Tier> tiers;
  for (const Tier tier : kCompiled)
    if (cpu_has(tier)) tiers.push_back(tier);
  return tiers;
}

Tier active_tier() {
  int tier = forced.load(std::memory_order_relaxed);
  if (tier == kUndecided) tier = decided.load(std::memory_order_relaxed);
  if (tier == kUndecided) {
    const auto tiers = available_tiers();
    if (tiers.empty())
      throw std::runtime_error("ufuse: this CPU has none of the compiled tiers (x86-64-v2 is the least)");
    const char* wanted = std::getenv("UFUSE_CPU_TIER");
    tier = static_cast<int>(wanted != nullptr && *wanted != '\0' ? checked(wanted, "UFUSE_CPU_TIER")
                                                                 : tiers.back());
    decided.store(tier, std::memory_order_relaxed);
  }
  return static_cast<Tier>(tier);
}

void set_tier(const std::string& name) {
  forced.store(name.empty() ? kUndecided : static_cast<int>(checked(name, "set_tier")),
               std::memory_order_relaxed);
}

}  // namespace ufuse
