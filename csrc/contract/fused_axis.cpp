#include "contract/fused_axis.hpp"

#include <algorithm>
#include <utility>

namespace ufuse::contract {
namespace {

struct Span {
  std::int64_t begin, end;
};

/// Walks the squares of one array; `outer` is made of the labels beside the two.
class SquareWalk {
 public:
  SquareWalk(const Label& inner, const Label& other, const Squares& squares, const FusedAxis& outer,
             std::size_t array)
      : inner_(inner), other_(other), squares_(squares), outer_(outer), array_(array) {}

  std::vector<std::int64_t> offsets() {
    const std::int64_t u_side = squares_.other_side, v_side = squares_.inner_side;
    const std::int64_t u_whole = squares_.whole_first ? other_.size / u_side * u_side : other_.size;
    const std::int64_t v_whole = squares_.whole_first ? inner_.size / v_side * v_side : inner_.size;
    offsets_.reserve(static_cast<std::size_t>(outer_.size() * other_.size * inner_.size));
    part({0, u_whole}, {0, v_whole});
    part({0, u_whole}, {v_whole, inner_.size});
    part({u_whole, other_.size}, {0, inner_.size});
    return std::move(offsets_);
  }

 private:
  void part(Span us, Span vs) {
    const std::int64_t side = squares_.other_side;
    if (squares_.others_within) {
      for (std::int64_t u = us.begin; u < us.end; u += side)
        for (std::int64_t o = 0; o < outer_.size(); ++o) row(o, {u, std::min(u + side, us.end)}, vs);
    } else {
      for (std::int64_t o = 0; o < outer_.size(); ++o)
        for (std::int64_t u = us.begin; u < us.end; u += side) row(o, {u, std::min(u + side, us.end)}, vs);
    }
  }

  /// A row of squares at one position of the outer labels.
  void row(std::int64_t o, Span us, Span vs) {
    const std::int64_t start = outer_.axis(array_).at(o), side = squares_.inner_side;
    for (std::int64_t v = vs.begin; v < vs.end; v += side) square(start, us, {v, std::min(v + side, vs.end)});
  }

  void square(std::int64_t start, Span us, Span vs) {
    const std::int64_t along_u = other_.strides[array_], along_v = inner_.strides[array_];
    for (std::int64_t u = us.begin; u < us.end; ++u)
      for (std::int64_t v = vs.begin; v < vs.end; ++v) offsets_.push_back(start + u * along_u + v * along_v);
  }

  const Label &inner_, &other_;
  const Squares& squares_;
  const FusedAxis& outer_;
  std::size_t array_;
  std::vector<std::int64_t> offsets_;
};

}  // namespace

std::int64_t extent(const std::vector<Label>& labels) {
  std::int64_t size = 1;
  for (const Label& label : labels) size *= label.size;
  return size;
}

std::vector<Label> merged(const std::vector<Label>& labels) {
  std::vector<Label> result;
  for (const Label& label : labels) {
    if (label.size == 1) continue;
    bool continues = !result.empty();
    for (std::size_t k = 0; continues && k < label.strides.size(); ++k)
      continues = result.back().strides[k] == label.strides[k] * label.size;
    if (continues) {
      result.back().size *= label.size;
      result.back().strides = label.strides;
    } else {
      result.push_back(label);
    }
  }
  return result;
}

bool steps_evenly(const std::vector<Label>& labels, std::size_t array) {
  for (std::size_t i = 1; i < labels.size(); ++i)
    if (labels[i - 1].strides[array] != labels[i].strides[array] * labels[i].size) return false;
  return true;
}

FusedAxis::FusedAxis(const std::vector<Label>& labels, std::size_t arrays)
    : size_(extent(labels)), axes_(arrays), offsets_(arrays) {
  for (std::size_t k = 0; k < arrays; ++k) {
    axes_[k] = {size_, labels.empty() ? 0 : labels.back().strides[k], nullptr};
    if (size_ == 0 || steps_evenly(labels, k)) continue;
    std::vector<std::int64_t>& offsets = offsets_[k];
    offsets.reserve(static_cast<std::size_t>(size_));
    offsets.assign(1, 0);
    for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
      const std::size_t inner = offsets.size();
      for (std::int64_t i = 1; i < label->size; ++i)
        for (std::size_t j = 0; j < inner; ++j) offsets.push_back(offsets[j] + i * label->strides[k]);
    }
    axes_[k].offsets = offsets.data();
  }
}

FusedAxis::FusedAxis(const std::vector<Label>& labels, std::size_t arrays, const Squares& squares)
    : size_(extent(labels)), axes_(arrays), offsets_(arrays) {
  std::vector<Label> rest;
  for (const std::size_t i : squares.order) rest.push_back(labels[i]);
  const FusedAxis outer(rest, arrays);
  for (std::size_t k = 0; k < arrays; ++k) {
    offsets_[k] = SquareWalk(labels[squares.inner], labels[squares.other], squares, outer, k).offsets();
    axes_[k] = {size_, 0, offsets_[k].data()};
  }
}

}  // namespace ufuse::contract
