#include "contract/finish.hpp"

#include <cstring>

#include "core/cache.hpp"
#include "core/scratch.hpp"

namespace ufuse {
namespace {

/// Calls move(address in the array, address in the tile) for each element, rows of `cols` in the tile.
template <class Move>
void walk(char* data, const Axis& rows, const Axis& cols, const EpilogueTile& tile, char* local,
          std::int64_t size, const Move& move) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    char* row = data + rows.at(tile.row0 + i);
    for (std::int64_t j = 0; j < tile.cols; ++j, local += size) move(row + cols.at(tile.col0 + j), local);
  }
}

/// The same with the size known to the compiler.
template <class Move>
void walk_by_size(char* data, const Axis& rows, const Axis& cols, const EpilogueTile& tile, char* local,
                  std::int64_t size, const Move& move) {
  const auto sized = [&](auto bytes) {
    walk(data, rows, cols, tile, local, size, [&](char* at, char* here) { move(at, here, bytes); });
  };
  switch (size) {
    case 1:
      return sized(std::integral_constant<std::size_t, 1>());
    case 2:
      return sized(std::integral_constant<std::size_t, 2>());
    case 4:
      return sized(std::integral_constant<std::size_t, 4>());
    default:
      return sized(std::integral_constant<std::size_t, 8>());
  }
}

}  // namespace

void ProgramFinish::add(void* data, const Axis& rows, const Axis& cols, const Axis& batch) {
  arrays_.push_back({static_cast<char*>(data), rows, cols, batch});
  affine_ = affine_ && rows.affine() && cols.affine();
}

std::int64_t ProgramFinish::size_of(std::size_t array) const {
  return static_cast<std::int64_t>(
      item_size(array == 0 ? program_.output_dtype(0) : program_.input_dtype(static_cast<int>(array))));
}

void ProgramFinish::operator()(const EpilogueTile& tile) const {
  try {
    if (affine_)
      run_affine(tile);
    else
      run_scattered(tile);
  } catch (...) {
    failure_.note();
  }
}

// The program's operands are its output, the sums, and the further inputs.
void ProgramFinish::run_affine(const EpilogueTile& tile) const {
  const std::int64_t shape[] = {tile.rows, tile.cols};
  std::int64_t strides[kMaxOperands][2];
  ProgramOperand operands[kMaxOperands];
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    const Array& array = arrays_[i];
    const std::size_t to = i == 0 ? 0 : i + 1;
    strides[to][0] = array.rows.stride;
    strides[to][1] = array.cols.stride;
    operands[to] = {
        array.data + array.batch.at(tile.batch) + array.rows.at(tile.row0) + array.cols.at(tile.col0),
        strides[to], false};
  }
  strides[1][0] = tile.ld * sum_size_;
  strides[1][1] = sum_size_;
  operands[1] = {static_cast<char*>(tile.acc), strides[1], false};
  program_.run_here(2, shape, {operands, arrays_.size() + 1});
}

void ProgramFinish::run_scattered(const EpilogueTile& tile) const {
  const std::int64_t shape[] = {tile.rows, tile.cols};
  const std::int64_t count = tile.rows * tile.cols;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < arrays_.size(); ++i) bytes += round_up(count * size_of(i), kCacheLine);
  const ScratchFrame scratch(static_cast<std::size_t>(bytes));
  std::int64_t strides[kMaxOperands][2];
  ProgramOperand operands[kMaxOperands];
  char* local = scratch.data();
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    const Array& array = arrays_[i];
    const std::size_t to = i == 0 ? 0 : i + 1;
    const std::int64_t size = size_of(i);
    strides[to][0] = tile.cols * size;
    strides[to][1] = size;
    operands[to] = {local, strides[to], false};
    if (i > 0)
      walk_by_size(array.data + array.batch.at(tile.batch), array.rows, array.cols, tile, local, size,
                   [](char* at, char* here, auto n) { std::memcpy(here, at, n); });
    local += round_up(count * size, kCacheLine);
  }
  strides[1][0] = tile.ld * sum_size_;
  strides[1][1] = sum_size_;
  operands[1] = {static_cast<char*>(tile.acc), strides[1], false};
  program_.run_here(2, shape, {operands, arrays_.size() + 1});
  const Array& c = arrays_[0];
  walk_by_size(c.data + c.batch.at(tile.batch), c.rows, c.cols, tile, scratch.data(), size_of(0),
               [](char* at, char* here, auto n) { std::memcpy(at, here, n); });
}

}  // namespace ufuse
