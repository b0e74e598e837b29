#include "reduce/elements.hpp"

#include <cmath>
#include <cstring>

namespace ufuse {
namespace {

template <class T>
double load_double(const char* at) {
  T x;
  std::memcpy(&x, at, sizeof x);
  return static_cast<double>(x);
}

template <class T>
void store_double(char* at, double value) {
  const auto x = static_cast<T>(value);
  std::memcpy(at, &x, sizeof x);
}

}  // namespace

double as_double(const char* at, DType type) {
  switch (type) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  case DType::name:                         \
    return load_double<storage_t<cpp>>(at);
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  }
  return 0.0;
}

void put_element(char* at, DType type, double value) {
  switch (type) {
#define UFUSE_ELEMENT_TYPE(name, cpp, code) \
  case DType::name:                         \
    return store_double<storage_t<cpp>>(at, value);
#include "elements.inc"
#undef UFUSE_ELEMENT_TYPE
  }
}

double value_of(const Feed& feed, const char* data, std::int64_t index) {
  if (feed.converted || feed.coding == Coding::plain)
    return as_double(data + index * feed.size, feed.element);
  std::uint16_t code;
  std::memcpy(&code, data + index * feed.stored_size, sizeof code);
  if (feed.coding == Coding::bfloat16) {
    const std::uint32_t bits = static_cast<std::uint32_t>(code) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(value);
  }
  const int exponent = code >> 10 & 31, fraction = code & 1023;
  const double size = exponent == 31  ? (fraction == 0 ? HUGE_VAL : std::nan(""))
                      : exponent == 0 ? std::ldexp(fraction, -24)
                                      : std::ldexp(1024 + fraction, exponent - 25);
  return (code & 0x8000) != 0 ? -size : size;
}

}  // namespace ufuse
