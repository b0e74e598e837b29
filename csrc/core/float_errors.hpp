// The floating-point exception flags of a thread: what of a run is suspected to have gone wrong.
//
// The processor sets them as it computes and never clears them, so that asking costs nothing per element: 3
// ns a call. They only say that something may be worth a warning; kernels also set some for what they compute
// and do not choose. What is told is found out by NumPy (src/ufuse/executors/float_errors.py).
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace ufuse {

/// NumPy's numbers (NPY_FPE_*).
inline constexpr unsigned kDivideByZero = 1, kOverflow = 2, kUnderflow = 4, kInvalid = 8;

#if defined(__SSE__)

namespace detail {
inline constexpr unsigned kInvalidBit = 1, kZeroBit = 4, kOverflowBit = 8, kUnderflowBit = 16,
                          kErrorBits = kInvalidBit | kZeroBit | kOverflowBit | kUnderflowBit;
}

/// The errors whose flags are set.
inline unsigned float_errors() noexcept {
  using namespace detail;
  const unsigned bits = _mm_getcsr() & kErrorBits;
  if (bits == 0) return 0;
  return ((bits & kZeroBit) != 0 ? kDivideByZero : 0) | ((bits & kOverflowBit) != 0 ? kOverflow : 0) |
         ((bits & kUnderflowBit) != 0 ? kUnderflow : 0) | ((bits & kInvalidBit) != 0 ? kInvalid : 0);
}
inline void clear_float_errors() noexcept {
  const unsigned state = _mm_getcsr();
  if ((state & detail::kErrorBits) != 0) _mm_setcsr(state & ~detail::kErrorBits);
}
inline void add_float_errors(unsigned errors) noexcept {
  using namespace detail;
  if (errors == 0) return;
  _mm_setcsr(_mm_getcsr() | ((errors & kDivideByZero) != 0 ? kZeroBit : 0) |
             ((errors & kOverflow) != 0 ? kOverflowBit : 0) |
             ((errors & kUnderflow) != 0 ? kUnderflowBit : 0) | ((errors & kInvalid) != 0 ? kInvalidBit : 0));
}

#else

inline unsigned float_errors() noexcept {
  const int bits = std::fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID);
  return ((bits & FE_DIVBYZERO) != 0 ? kDivideByZero : 0) | ((bits & FE_OVERFLOW) != 0 ? kOverflow : 0) |
         ((bits & FE_UNDERFLOW) != 0 ? kUnderflow : 0) | ((bits & FE_INVALID) != 0 ? kInvalid : 0);
}
inline void clear_float_errors() noexcept {
  std::feclearexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID);
}
inline void add_float_errors(unsigned errors) noexcept {
  if (errors == 0) return;
  std::feraiseexcept(
      ((errors & kDivideByZero) != 0 ? FE_DIVBYZERO : 0) | ((errors & kOverflow) != 0 ? FE_OVERFLOW : 0) |
      ((errors & kUnderflow) != 0 ? FE_UNDERFLOW : 0) | ((errors & kInvalid) != 0 ? FE_INVALID : 0));
}

#endif

/// Watches what the calling thread does, and the threads that work for it (`run_gang`, `parallel_for`);
/// leaves its flags as they were.
class FloatErrorWatch {
 public:
  FloatErrorWatch() noexcept : before_(float_errors()) {
    if (before_ != 0) clear_float_errors();
  }
  ~FloatErrorWatch() {
    if (clean_ && before_ == 0) return;
    clear_float_errors();
    add_float_errors(before_);
  }
  FloatErrorWatch(const FloatErrorWatch&) = delete;
  FloatErrorWatch& operator=(const FloatErrorWatch&) = delete;

  /// To be asked at the end.
  unsigned found() noexcept {
    const unsigned errors = float_errors();
    clean_ = errors == 0;
    return errors;
  }

 private:
  unsigned before_;
  bool clean_ = false;
};

}  // namespace ufuse
