#include "core/cache.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace ufuse {
namespace {

std::int64_t from_sysfs(const char* path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path, "r"), [](std::FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  long kilobytes = 0;
  if (file == nullptr || std::fscanf(file.get(), "%ldK", &kilobytes) != 1) return 0;
  return std::int64_t{kilobytes} << 10;
}

}  // namespace

std::int64_t last_level_cache_bytes() noexcept {
  static const std::int64_t bytes = [] {
    // The kernel first: the C library adds up the caches of a whole socket on some virtual machines (320 MB
    // for a core that reaches 32).
    std::int64_t size = from_sysfs("/sys/devices/system/cpu/cpu0/cache/index3/size");
#if defined(_SC_LEVEL3_CACHE_SIZE)
    if (size <= 0) size = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return size > 0 ? size : 0;
  }();
  return bytes;
}

std::int64_t second_level_cache_bytes() noexcept {
  static const std::int64_t bytes = [] {
    const std::int64_t size = from_sysfs("/sys/devices/system/cpu/cpu0/cache/index2/size");
    return size > 0 ? size : std::int64_t{1} << 20;
  }();
  return bytes;
}

std::int64_t streaming_threshold() noexcept {
  // A cache of hundreds of megabytes belongs to many cores. On a machine that names 480 MB, streaming results
  // of 10 MB costs nothing where they stay in that cache, and beyond, dequantizing 80 MB runs at 44 GB/s
  // streamed and 22 not.
  return std::clamp<std::int64_t>(last_level_cache_bytes() / 2, 4 << 20, 16 << 20);
}

std::int64_t bytes_ahead() noexcept {
#if defined(__x86_64__)
  static const bool by_page = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
  }();
  return by_page ? 1024 : 0;
#else
  return 0;
#endif
}

}  // namespace ufuse
