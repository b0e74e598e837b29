// Elementary and special functions. Accuracy is a contract: see the table in the tests.
#pragma once

#include "ops/math_erf.hpp"           // IWYU pragma: export
#include "ops/math_exp.hpp"           // IWYU pragma: export
#include "ops/math_gamma.hpp"         // IWYU pragma: export
#include "ops/math_gammaln.hpp"       // IWYU pragma: export
#include "ops/math_hyperbolic.hpp"    // IWYU pragma: export
#include "ops/math_inverse.hpp"       // IWYU pragma: export
#include "ops/math_log.hpp"           // IWYU pragma: export
#include "ops/math_logistic.hpp"      // IWYU pragma: export
#include "ops/math_power.hpp"         // IWYU pragma: export
#include "ops/math_trigonometry.hpp"  // IWYU pragma: export
