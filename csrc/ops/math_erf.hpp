// erf, and gelu through the normal distribution function.
#pragma once

#include "ops/math_core.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

/// A polynomial with positive coefficients at x >= 0. What each step's rounding lost is found to within
/// half an ULP of that step's coefficient, so the errors of all steps together stay below an ULP of the sum.
template <class V, class... C>
UFUSE_INLINE Sum<V> compensated_polynomial(V x, double c0, C... rest) {
  const V c = constant<V>(c0);
  if constexpr (sizeof...(rest) == 0) {
    return {c, constant<V>(0.0)};
  } else {
    const Sum<V> p = compensated_polynomial(x, rest...);
    const V sum = fma(p.high, x, c);
    const V lost = fma(p.high, x, -sum) + c;
    return {sum, fma(p.low, x, lost)};
  }
}

/// c + p x with all that rounding lost (Knuth's sum of two): compensated_polynomial is at its worst where
/// c dominates, which for c0 is everywhere near zero.
template <class V>
UFUSE_INLINE Sum<V> exact_step(V x, double c0, Sum<V> p) {
  const V c = constant<V>(c0);
  const V product = p.high * x;
  const V sum = product + c;
  const V from_c = sum - product;
  const V lost = (product - (sum - from_c)) + (c - from_c);
  return {sum, fma(p.low, x, product_error(p.high, x, product) + lost)};
}

/// y G(y), G(y) = Q(y) e^(y^2/2), Q the normal distribution's upper tail (G is Mills' ratio / sqrt(2 pi)).
template <class V>
  requires(is_single<V>)
UFUSE_INLINE Sum<V> times_mills(V y) {
  // 16 intervals of [0, 15), bounded where 1 + y is 2^i (1 + j/4). In each G = c0 + c1 d + ... + c6 d^6, d
  // from the middle; relative error 2^-27.6. The rows are c0, what its rounding lost, c1, ..., c6. A table
  // keeps c0 dominant, so that the sum loses half an ULP; a quotient of polynomials on [0, 15) loses 3.
  alignas(64) static constexpr float kG[8][16] = {
      {0.4537932276725769f, 0.37960442900657654f, 0.32335618138313293f, 0.2797705829143524f,
       0.23076032102108002f, 0.18523167073726654f, 0.15365193784236908f, 0.1307247281074524f,
       0.10634515434503555f, 0.08480339497327805f, 0.07034269720315933f, 0.06001567468047142f,
       0.04912254586815834f, 0.0395066924393177f, 0.03301897272467613f, 0.028352661058306694f},
      {-5.630669264178323e-09f, -1.1372707220402845e-09f, -1.2667268123323083e-08f, -1.2641860891449141e-08f,
       2.9274394020006866e-10f, -6.056923851360807e-09f, -4.1793096761111315e-10f, 5.9934799345739975e-09f,
       -7.016673353454905e-10f, -2.8640334548413193e-09f, -3.1777598330506862e-09f, 6.627620674493073e-10f,
       3.4658154124400653e-10f, 1.6623268317417228e-09f, -1.6474207553685005e-09f, -5.309554462762378e-10f},
      {-0.3422181308269501f, -0.2565906345844269f, -0.196844682097435f, -0.15414303541183472f,
       -0.11049188673496246f, -0.07478687167167664f, -0.05322542041540146f, -0.039449263364076614f,
       -0.02673424780368805f, -0.017327016219496727f, -0.012057463638484478f, -0.008840390481054783f,
       -0.005961912218481302f, -0.003875339636579156f, -0.002714627655223012f, -0.0020050329621881247f},
      {0.20550797879695892f, 0.14169147610664368f, 0.10016413033008575f, 0.07244770973920822f,
       0.04632273688912392f, 0.027177324518561363f, 0.016947370022535324f, 0.011119632981717587f,
       0.006387652363628149f, 0.0034159100614488125f, 0.0020133231300860643f, 0.0012765679275617003f,
       0.0007136304047890007f, 0.0003766501322388649f, 0.00022172070748638362f, 0.00014109912444837391f},
      {-0.1055087298154831f, -0.06781486421823502f, -0.04474544897675514f, -0.030249357223510742f,
       -0.01752864569425583f, -0.009075116366147995f, -0.005031279753893614f, -0.0029566269367933273f,
       -0.001458996208384633f, -0.0006517812144011259f, -0.00032805107184685767f, -0.0001809004315873608f,
       -8.427683496847749e-05f, -3.6277095205150545e-05f, -1.7991966160479933e-05f, -9.881813639367465e-06f},
      {0.048079364001750946f, 0.029063360765576363f, 0.01804766245186329f, 0.011494294740259647f,
       0.006102534476667643f, 0.0028236822690814734f, 0.00140673597343266f, 0.0007470928831025958f,
       0.0003201321524102241f, 0.00012069354124832898f, 5.22429654665757e-05f, 2.518076689739246e-05f,
       9.827468602452427e-06f, 3.463773964540451e-06f, 1.4508711956295883e-06f, 6.887922268106195e-07f},
      {-0.02000383846461773f, -0.011606919579207897f, -0.006803757511079311f, -0.004100105259567499f,
       -0.002002633409574628f, -0.000835942686535418f, -0.0003747906011994928f, -0.00018273034947924316f,
       -6.895273691043258e-05f, -2.1993053451296873e-05f, -8.227307262131944e-06f, -3.4598663205542834e-06f,
       -1.1574882137210807e-06f, -3.328415800751827e-07f, -1.1796355892101928e-07f, -4.795767694076858e-08f},
      {0.007639331743121147f, 0.0042298524640500546f, 0.002391676651313901f, 0.0013495807070285082f,
       0.0006104492349550128f, 0.00023199936549644917f, 9.496010170551017e-05f, 4.251578502589837e-05f,
       1.406651790603064e-05f, 3.849852873827331e-06f, 1.2580338761836174e-06f, 4.644513182938681e-07f,
       1.3153676547972282e-07f, 3.123295400087045e-08f, 9.404033995963346e-09f, 3.301962481216947e-09f}};
  using B = bits_t<V>;
  constexpr int kQuarter = 21;  // exponent and two bits of the significand choose the interval
  const B shifted = bitcast<B>(y + constant<V>(1.0));
  const B index = ((shifted >> kQuarter) - splat<B>(0x3f800000 >> kQuarter)) & splat<B>(15);
  const B middle = (shifted & splat<B>(~((1 << kQuarter) - 1))) | splat<B>(1 << (kQuarter - 1));
  const V d = y - (bitcast<V>(middle) - constant<V>(1.0));
  V slope = lookup16<V>(kG[7], index);
  for (int row = 6; row >= 2; --row) {
    slope = fma(slope, d, lookup16<V>(kG[row], index));
  }
  const V c0 = lookup16<V>(kG[0], index);
  const V g = fma(slope, d, c0);
  const V g_low = fma(slope, d, c0 - g) + lookup16<V>(kG[1], index);
  const V u = y * g;
  return {u, fma(y, g_low, product_error(y, g, u))};
}

template <class V>
  requires(!is_single<V>)
UFUSE_INLINE Sum<V> times_mills(V y) {
  // Rational minimax on [0, 38.8]: relative error 2^-59.9.
  const Sum<V> num =
      exact_step(y, 0.5,
                 compensated_polynomial(y, 0.8278977850561721, 0.6795691920079501, 0.3573157592738411,
                                        0.13203267805531801, 0.03566347014733114, 0.007121879615430496,
                                        0.0010395510983966987, 0.0001065539238642522, 6.974619066141454e-06,
                                        2.2413666460837873e-07));
  const Sum<V> den =
      exact_step(y, 1.0,
                 compensated_polynomial(y, 2.4536801309152096, 2.8168918776218916, 2.0013075119633146,
                                        0.9800162803818083, 0.34828017766017216, 0.0919658655580207,
                                        0.018117872227196748, 0.002623250953726695, 0.00026765290562870723,
                                        1.7482777356000814e-05, 5.618273008887176e-07));
  const V inverse = constant<V>(1.0) / den.high;
  const V u = y * num.high;
  const V u_low = fma(y, num.low, product_error(y, num.high, u));
  const V v = u * inverse;
  const V remainder = fma(-v, den.low, fma(-v, den.high, u) + u_low);
  return {v, remainder * inverse};
}

}  // namespace math

namespace ops {

struct erf {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const V ax = at_most(without_sign(x), is_single<V> ? 3.93 : 5.95);  // 1 beyond
    const auto small = ax < constant<V>(is_single<V> ? 1.0 : 0.9);
    // Small: x + x P(x^2). Large: 1 - 2^P(x), P fits log2(erfc(x)).
    const V t = select(small, ax * ax, ax);
    V slope;
    V c0;
    if constexpr (is_single<V>) {
      // [0, 1] and [1, 3.93]: errors 2^-29.3 and 2^-29.6.
      c0 = select(small, constant<V>(0.12837916612625122), constant<V>(-0.0004978088545612991));
      slope = polynomial_of_two<V>(small, t,                                     //
                                   -0.3761262595653534, -1.626024842262268,      //
                                   0.11283581703901291, -0.9206845164299011,     //
                                   -0.026853594928979874, -0.14871911704540253,  //
                                   0.005187851842492819, 0.031489498913288116,   //
                                   -0.000800571870058775, -0.00424836203455925,  //
                                   7.838525925762951e-05, 0.0002684415958356112);
    } else {
      // [0, 0.9] and [0.9, 5.95]: errors 2^-56.4 and 2^-58.1.
      c0 = select(small, constant<V>(0.1283791670955126), constant<V>(-9.878917106351373e-08));
      slope = polynomial_of_two<V>(small, t,                                          //
                                   -0.37612638903184076, -1.6279059789436832,         //
                                   0.11283791670969674, -0.9184533085081321,          //
                                   -0.026866170647733344, -0.14825442959598406,       //
                                   0.005223977649424719, 0.027566870301838676,        //
                                   -0.0008548328308566363, 0.00034154168101416254,    //
                                   0.00012055375392758658, -0.0024812983511065772,    //
                                   -1.492652521025619e-05, 0.0008630235622647951,     //
                                   1.6473014236861992e-06, -2.17707711493488e-05,     //
                                   -1.6436390416361217e-07, -0.00012515377496295245,  //
                                   1.4869649725796542e-08, 7.537124989559363e-05,     //
                                   -1.030506814466028e-09, -2.746555725539393e-05,    //
                                   0.0, 7.250406465578721e-06,                        //
                                   0.0, -1.4445933222959531e-06,                      //
                                   0.0, 2.1713525363937158e-07,                       //
                                   0.0, -2.3990553419435422e-08,                      //
                                   0.0, 1.8430509900659048e-09,                       //
                                   0.0, -8.803158949953628e-11,                       //
                                   0.0, 1.9689678275474883e-12);
    }
    const V one = constant<V>(1.0);
    const V p = fma(slope, t, c0);
    const V n = nearest(p);
    const V f = (p - n) + fma(slope, t, c0 - p);  // with what p's rounding lost
    const V large = fma(-power_of_two(n), fma(exp2_slope(f), f, one), one);
    return with_sign(select(small, fma(p, ax, ax), large), x);
  }
};

/// x Phi(x) = 0.5 x (1 + erf(x / sqrt(2))), as max(x, 0) - y Q(y) with y = |x|, Q(y) = 1 - Phi(y): relative
/// accuracy holds in the left tail, where 1 + erf cancels. Q(y) = e^(-y^2 / 2) G(y), G smooth.
struct gelu {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    const V y = at_most(without_sign(x), is_single<V> ? 14.5 : 38.8);  // Q underflows before
    const V s = y * y;
    const V exponent = s * constant<V>(-0.5);
    const V n = nearest(exponent, kLog2E);
    // e^r - 1 = a + b as in logistic().
    const V a = fma(n, constant<V>(-kLn2High<V>), exponent);
    const V a_low = fma(n, constant<V>(-kLn2Low<V>), constant<V>(-0.5) * product_error(y, y, s));
    const V r = a + a_low;
    const V b = fma(r * r, exp_curvature(r), a_low);
    const Sum<V> u = times_mills(y);
    // (u.high + u.low) (1 + a + b), the leading sum and product without rounding.
    const V ua = u.high * a;
    const V sum = u.high + ua;
    const V rest = fma(u.high, b, fma(u.low, r, u.low)) + product_error(u.high, a, ua);
    const V below = scale(sum + (((u.high - sum) + ua) + rest), n);  // y Q(y)
    return with_sign(larger(constant<V>(0.0), x) - below, x);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
