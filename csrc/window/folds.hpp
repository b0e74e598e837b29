// What is folded over a window: states of lanes, over a register or one plain value.
//
// `single` is the state of one element, `after` takes the element that follows a state, `before` the one that
// precedes it; where `kClean` is false, `valid` says which lanes have an element at all. `merge` puts the
// state of later elements behind an earlier one. Of elements that compare equal the last one wins, as
// bottleneck's argmin has it.
#pragma once

#include <limits>

#include "reduce/reducers.hpp"

namespace ufuse {
namespace UFUSE_TIER {

/// How many elements have been folded, and which row this is: what a step may need to know.
template <class V>
struct Step {
  V reciprocal;  // 1 / the count after it
  V row;
};

/// What a merge of na and nb elements may need to know: nb / n, and na * nb / n.
template <class V>
struct Shares {
  V later, both;
};

/// x / divisor: the product with the reciprocal and its residual (Markstein 1990), half the time of a
/// division.
template <class V>
UFUSE_INLINE V quotient(V x, V divisor, V reciprocal) {
  const V q = x * reciprocal;
  const V rest = fma(-q, divisor, x);
  return select(rest == rest, fma(rest, reciprocal, q), q);  // of an infinity there is no residual
}

template <class A_>
struct SumFold {
  using A = A_;
  static constexpr int kParts = 1;
  static constexpr bool kRows = false;
  template <class V>
  static UFUSE_INLINE void start(V (&s)[1]) {
    s[0] = splat<V>(A{0});
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void single(V (&s)[1], V x, mask_t<V> valid, V) {
    s[0] = kClean ? x : select(valid, x, splat<V>(A{0}));
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void after(V (&s)[1], V x, mask_t<V> valid, const Step<V>&) {
    s[0] = s[0] + (kClean ? x : select(valid, x, splat<V>(A{0})));
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void before(V (&s)[1], V x, mask_t<V> valid, const Step<V>& step) {
    after<kClean>(s, x, valid, step);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void merge(V (&a)[1], const V (&b)[1], const Shares<V>&) {
    a[0] = a[0] + b[0];
  }
  template <class V>
  static UFUSE_INLINE V finish(const V (&s)[1], V divisor, V reciprocal, V, bool) {
    return quotient(s[0], divisor, reciprocal);
  }
};

/// Mean and sum of squared deviations: Welford's steps, merged by Chan, Golub and LeVeque's formula.
template <class A_>
struct MomentsFold {
  using A = A_;
  static constexpr int kParts = 2;
  static constexpr bool kRows = false;
  template <class V>
  static UFUSE_INLINE void start(V (&s)[2]) {
    s[0] = s[1] = splat<V>(A{0});
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void single(V (&s)[2], V x, mask_t<V> valid, V) {
    s[0] = kClean ? x : select(valid, x, splat<V>(A{0}));
    s[1] = s[0] - s[0];  // NaN of an infinity
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void after(V (&s)[2], V x, mask_t<V> valid, const Step<V>& step) {
    if constexpr (!kClean) x = select(valid, x, s[0]);
    const V d = x - s[0];
    s[0] = fma(d, step.reciprocal, s[0]);
    s[1] = fma(d, x - s[0], s[1]);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void before(V (&s)[2], V x, mask_t<V> valid, const Step<V>& step) {
    after<kClean>(s, x, valid, step);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void merge(V (&a)[2], const V (&b)[2], const Shares<V>& n) {
    const V d = b[0] - a[0];
    V square = d * d;  // may overflow where one of them is empty
    if constexpr (!kClean) square = select(n.both > splat<V>(A{0}), square, splat<V>(A{0}));
    a[1] = fma(square, n.both, a[1] + b[1]);
    a[0] = fma(d, n.later, a[0]);
  }
  template <class V>
  static UFUSE_INLINE V finish(const V (&s)[2], V divisor, V reciprocal, V, bool root) {
    const V variance = quotient(s[1], divisor, reciprocal);
    return root ? sqrt(variance) : variance;
  }
};

/// `a` where it beats `b`, else `b`: the later one of equals.
template <bool kLargest, class V>
UFUSE_INLINE V better(V a, V b) {
#if defined(__x86_64__)
  if constexpr (is_vector<V>) return kLargest ? reducers::x86_maximum(a, b) : reducers::x86_minimum(a, b);
#endif
  return select(kLargest ? a > b : a < b, a, b);
}

template <class A_, bool kLargest>
struct ExtremeFold {
  using A = A_;
  static constexpr int kParts = 1;
  static constexpr bool kRows = false;
  static constexpr A kNone =
      kLargest ? -std::numeric_limits<A>::infinity() : std::numeric_limits<A>::infinity();
  template <class V>
  static UFUSE_INLINE void start(V (&s)[1]) {
    s[0] = splat<V>(kNone);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void single(V (&s)[1], V x, mask_t<V> valid, V) {
    s[0] = kClean ? x : select(valid, x, splat<V>(kNone));
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void after(V (&s)[1], V x, mask_t<V> valid, const Step<V>&) {
    s[0] = better<kLargest>(s[0], kClean ? x : select(valid, x, splat<V>(kNone)));
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void before(V (&s)[1], V x, mask_t<V> valid, const Step<V>&) {
    s[0] = better<kLargest>(kClean ? x : select(valid, x, splat<V>(kNone)), s[0]);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void merge(V (&a)[1], const V (&b)[1], const Shares<V>&) {
    a[0] = better<kLargest>(a[0], b[0]);
  }
  template <class V>
  static UFUSE_INLINE V finish(const V (&s)[1], V, V, V, bool) {
    return s[0];
  }
};

/// The extreme and its row, as a number; a state of nothing is NaN, so that an infinity beats it.
template <class A_, bool kLargest>
struct IndexFold {
  using A = A_;
  static constexpr int kParts = 2;
  static constexpr bool kRows = true;  // part 1 is a row
  template <class V>
  static UFUSE_INLINE mask_t<V> beats(V a, V b) {
    return kLargest ? a > b : a < b;
  }
  template <class V>
  static UFUSE_INLINE void start(V (&s)[2]) {
    s[0] = splat<V>(std::numeric_limits<A>::quiet_NaN());
    s[1] = splat<V>(A{0});
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void single(V (&s)[2], V x, mask_t<V>, V row) {
    s[0] = x;
    s[1] = row;
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void after(V (&s)[2], V x, mask_t<V> valid, const Step<V>& step) {
    auto keep = beats(s[0], x);
    if constexpr (!kClean) keep = keep | (x != x);
    (void)valid;
    s[0] = select(keep, s[0], x);
    s[1] = select(keep, s[1], step.row);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void before(V (&s)[2], V x, mask_t<V> valid, const Step<V>& step) {
    auto take = beats(x, s[0]) | (s[0] != s[0]);
    if constexpr (!kClean) take = take & valid;
    s[0] = select(take, x, s[0]);
    s[1] = select(take, step.row, s[1]);
  }
  template <bool kClean, class V>
  static UFUSE_INLINE void merge(V (&a)[2], const V (&b)[2], const Shares<V>&) {
    auto keep = beats(a[0], b[0]);
    if constexpr (!kClean) keep = keep | (b[0] != b[0]);
    a[0] = select(keep, a[0], b[0]);
    a[1] = select(keep, a[1], b[1]);
  }
  template <class V>
  static UFUSE_INLINE V finish(const V (&s)[2], V, V, V row, bool) {
    return row - s[1];
  }
};

}  // namespace UFUSE_TIER
}  // namespace ufuse
