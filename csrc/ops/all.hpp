// Every functor of the catalogue.
#pragma once

#include "ops/arithmetic.hpp"
#include "ops/cast.hpp"
#include "ops/compare.hpp"
#include "ops/invariant.hpp"
#include "ops/lowfloat.hpp"
#include "ops/math.hpp"
#include "ops/numbers.hpp"
#include "ops/packing.hpp"
#include "ops/quantize.hpp"
#include "ops/random.hpp"
