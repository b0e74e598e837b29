// Elementary and special functions of one argument. Accuracy is a contract: see the table in the tests.
#pragma once

#include "ops/math_erf.hpp"           // IWYU pragma: export
#include "ops/math_exp.hpp"           // IWYU pragma: export
#include "ops/math_inverse.hpp"       // IWYU pragma: export
#include "ops/math_log.hpp"           // IWYU pragma: export
#include "ops/math_logistic.hpp"      // IWYU pragma: export
#include "ops/math_trigonometry.hpp"  // IWYU pragma: export
