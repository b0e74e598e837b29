// erf, and gelu through the normal distribution function.
#pragma once

#include "ops/math_wide.hpp"

namespace ufuse {
namespace UFUSE_TIER {
namespace math {

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

/// e^(y^2) erfc(y), y in [0, 27.5].
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE Sum<V> scaled_erfc(Sum<V> y) {
  const Sum<V> shifted = sum_of_two(y.high, constant<V>(3.0));
  const Sum<V> w = long_inverse(Sum<V>{shifted.high, shifted.low + y.low});
  // Times y + 3 it is a polynomial of v = 1 / (y + 3) less a middle, on two intervals of [0.033, 0.334] that
  // meet at 0.165: errors 2^-60.1 and 2^-60.3. The last steps keep what rounding loses, of c0 as well.
  const auto near = w.high > constant<V>(0.165);
  const Sum<V> v = sum_of_two(w.high, select(near, constant<V>(-0.25), constant<V>(-0.1015625)));
  const V p3 = polynomial_of_two<V>(
      near, v.high,  //
      130.98282691693774, 35.41432318351256, 217.3593737743044, 90.1543833548625, 47.84871619539651,
      173.5102289694296, -557.9301070028297, 184.08798878253177, -562.7845469184081, -185.78819058267126,
      1681.5890182233625, -1186.005884090956, 2108.709071179285, -1508.8854771094493, -6931.944382652879,
      3450.7549714526294, -5082.602978377207, 14124.257223654724, 32636.243373980167, -1204.425349002192,
      -7665.726475299843, -94826.36133881996, -138576.9863642578, -90941.64705485644, 209195.6890130864,
      636659.7714297511, 382459.21008423896, 1027114.2157988903, -1443210.9300857726, -4425261.269060096);
  const V c2 = select(near, constant<V>(45.55727614944982), constant<V>(11.517506958430797));
  const V p2 = fma(p3, v.high, c2);
  const Sum<V> inner{p2, fma(p3, v.high, c2 - p2)};
  const V c1 = select(near, constant<V>(10.644231727676596), constant<V>(3.234135251937445));
  const V c0 = select(near, constant<V>(1.710334304623228), constant<V>(0.803025895268382));
  const V c0_low = select(near, constant<V>(2.1034038224641773e-17), constant<V>(-4.205710198301895e-17));
  const Sum<V> p = last_steps(Sum<V>{v.high, v.low + w.low}, inner, c1, c0, c0_low);
  const V g = p.high * w.high;
  return {g, fma(p.low, w.high, fma(p.high, w.low, product_error(p.high, w.high, g)))};
}

/// As above: half of y e^(y^2/2) erfc(y / sqrt 2).
template <class V>
  requires(!is_single<V>)
UFUSE_INLINE Sum<V> times_mills(V y) {
  constexpr double kRoot = 0.7071067811865476;  // of 1/2, and what it lacks
  const Sum<V> scaled = exact_product(y, constant<V>(kRoot));
  const Sum<V> g = scaled_erfc(Sum<V>{scaled.high, fma(y, constant<V>(-4.833646656726457e-17), scaled.low)});
  const V half = constant<V>(0.5) * y;
  const V u = half * g.high;
  return {u, fma(half, g.low, product_error(half, g.high, u))};
}

/// erfc for float values in double lanes.
struct ShortErfc {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    const V y = at_most(without_sign(x), 10.2);  // 0 beyond, as a float
    const V w = short_inverse(static_cast<V>(y + constant<V>(3.0)));
    // e^(y^2) erfc(y) (y + 3) on [0, 10.1], by v = 1 / (y + 3) - 3/16: error 2^-29.2.
    const V p = polynomial(static_cast<V>(w - constant<V>(0.1875)), 1.1942899087727825, 6.278825585206192,
                           25.861560222835873, 80.85946381628452, 175.99417288906778, 193.356047732343,
                           -190.12080955767416, -945.6445756111164, -213.09883005698052, 3252.855498492106,
                           423.0435880414723);
    const V below = short_exp2(static_cast<V>(y * y * constant<V>(-kLog2E))) * (p * w);
    return select(x < constant<V>(0.0), constant<V>(2.0) - below, below);
  }
};

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

struct erfc {
  template <class V>
  static UFUSE_INLINE V apply(V x) {
    using namespace math;
    if constexpr (is_single<V>) {
      return in_double<ShortErfc>(x);
    } else {
      const V y = at_most(without_sign(x), 27.3);  // 0 beyond
      const Sum<V> square = exact_product(y, y);
      const Scaled<V> e = long_exp(Sum<V>{-square.high, -square.low});
      const Sum<V> g = scaled_erfc(Sum<V>{y, constant<V>(0.0)});
      const V product = e.value.high * g.high;
      const V rest =
          fma(e.value.high, g.low, e.value.low * g.high) + product_error(e.value.high, g.high, product);
      const V below = scale(product + rest, e.n);
      return select(x < constant<V>(0.0), constant<V>(2.0) - below, below);
    }
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
    // Tiny x: the parts of the other way would each be rounded as denormals.
    const V half = x * constant<V>(0.5);
    const V full = with_sign(larger(constant<V>(0.0), x) - below, x);
    return select(y < constant<V>(is_single<V> ? 0x1p-30 : 0x1p-60), half, full);
  }
};

}  // namespace ops
}  // namespace UFUSE_TIER
}  // namespace ufuse
