//===- Patterns.cpp - The patterns of the prune dialect ------------------------===//
//
// Units, groups and checks of #prune.unstructured, n_of_m, block and slice (GroupPatterns.cpp has the others). Sums run
// in double in a fixed order within each unit, so that scores do not depend on threads, ranges or machine. (Built with
// -ffp-contract=off.)
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

/// For value > 0; divisors near the largest integer do not overflow.
static int64_t ceilDiv(int64_t value, int64_t divisor) { return (value - 1) / divisor + 1; }

/// "tensor<6x4>" style shape for messages.
static std::string formatShape(ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleave(shape, os, "x");
  return text;
}

namespace {

/// Combines element scores into the score of a unit, one element at a time in a fixed order.
class Reducer {
public:
  Reducer(ScoreOrder order, ScoreReduction reduction) : magnitude(order == ScoreOrder::Magnitude), kind(reduction) {
    if (kind == ScoreReduction::Max && !magnitude)
      sum = -std::numeric_limits<double>::infinity();
  }
  void add(float score) {
    double value = magnitude ? std::fabs(score) : score;
    if (kind == ScoreReduction::Mean)
      sum += value;
    else if (kind == ScoreReduction::RootMeanSquare)
      sum += value * value;
    else
      sum = std::max(sum, value);
    ++count;
  }
  float get() const {
    if (kind == ScoreReduction::Max)
      return static_cast<float>(sum);
    double mean = sum / static_cast<double>(count);
    return static_cast<float>(kind == ScoreReduction::Mean ? mean : std::sqrt(mean));
  }

private:
  bool magnitude;
  ScoreReduction kind;
  double sum = 0;
  int64_t count = 0;
};

/// Outer, sliced and inner extent of a shape around one dimension.
struct SliceView {
  int64_t outer = 1, dim, inner = 1;
  SliceView(ArrayRef<int64_t> shape, int64_t position) : dim(shape[position]) {
    for (auto [index, size] : llvm::enumerate(shape)) {
      if (static_cast<int64_t>(index) < position)
        outer *= size;
      else if (static_cast<int64_t>(index) > position)
        inner *= size;
    }
  }
};

} // namespace

LogicalResult mlir::prune::verifyRankAtLeastTwo(function_ref<InFlightDiagnostic()> emitError, Attribute pattern,
                                                ArrayRef<int64_t> shape) {
  if (shape.size() >= 2)
    return success();
  return emitError() << "pattern " << pattern << " needs a weight of rank 2 or more, got rank " << shape.size();
}

//===----------------------------------------------------------------------===//
// Unstructured
//===----------------------------------------------------------------------===//

LogicalResult UnstructuredAttr::verifyShape(function_ref<InFlightDiagnostic()>, ArrayRef<int64_t>) const {
  return success();
}
bool UnstructuredAttr::hasElementUnits() const { return true; }
int64_t UnstructuredAttr::getColumnPeriod() const { return 1; }
LogicalResult UnstructuredAttr::verifyMask(function_ref<InFlightDiagnostic()>, ArrayRef<int64_t>,
                                           ArrayRef<uint8_t>) const {
  return success();
}
std::optional<UnitBoxes> UnstructuredAttr::getUnitBoxes(ArrayRef<int64_t> shape) const {
  return UnitBoxes{{1, 1, ShapedType::getNumElements(shape)}};
}
StringRef UnstructuredAttr::getStorageFormat() const { return "chunked-csr"; }
void UnstructuredAttr::printShort(raw_ostream &os) const { os << "unstructured"; }

//===----------------------------------------------------------------------===//
// n of m
//===----------------------------------------------------------------------===//

LogicalResult NOfMAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t n, int64_t m) {
  // n_of_m_c1
  if (n <= 0 || n > m)
    return emitError() << "expected 0 < n <= m in an n:m pattern, got " << n << ":" << m;
  return success();
}

LogicalResult NOfMAttr::verifyShape(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape) const {
  return verifyRankAtLeastTwo(emitError, *this, shape); // n_of_m_c2
}
bool NOfMAttr::hasElementUnits() const { return true; }
int64_t NOfMAttr::getColumnPeriod() const { return getM(); }

/// The common group of four: each pair is compared once, without branches.
static void constrainFour(const float *scores, ScoreOrder order, int64_t n, uint8_t *units) {
  uint32_t keys[4];
  int losses[4] = {0, 0, 0, 0};
  for (int i = 0; i < 4; ++i)
    keys[i] = getScoreKey(scores[i], order);
  for (int i = 0; i < 4; ++i)
    for (int j = i + 1; j < 4; ++j) {
      int wins = keys[i] >= keys[j];
      losses[j] += wins;
      losses[i] += 1 - wins;
    }
  for (int i = 0; i < 4; ++i)
    units[i] &= static_cast<uint8_t>(-(losses[i] < n));
}

int64_t NOfMAttr::getNumGroups(ArrayRef<int64_t> shape) const {
  MatrixView view(shape);
  return view.rows * ceilDiv(view.columns, getM());
}

void NOfMAttr::constrainGroups(ArrayRef<int64_t> shape, ArrayRef<float> unitScores, ScoreOrder order, int64_t begin,
                               int64_t end, uint8_t *units) const {
  MatrixView view(shape);
  int64_t groupsPerRow = ceilDiv(view.columns, getM());
  SmallVector<uint32_t, 16> keys;
  // Where the group begins; kept along, as divisions would cost more than the rest.
  int64_t m = getM(), n = getN();
  int64_t row = begin / groupsPerRow, column = begin % groupsPerRow * m;
  for (int64_t group = begin; group < end; ++group, column += m) {
    if (column >= view.columns) {
      column = 0;
      ++row;
    }
    int64_t first = row * view.columns + column;
    int64_t size = std::min(m, view.columns - column);
    if (size <= n)
      continue;
    if (size == 4) {
      constrainFour(&unitScores[first], order, n, &units[first]);
      continue;
    }
    keys.resize(size);
    for (int64_t i = 0; i < size; ++i)
      keys[i] = getScoreKey(unitScores[first + i], order);
    // Rank by counting: a key loses to larger ones and to equal ones before it. Groups are short.
    for (int64_t i = 0; i < size; ++i) {
      int64_t better = 0;
      for (int64_t j = 0; j < size; ++j)
        better += j < i ? keys[j] >= keys[i] : keys[j] > keys[i];
      if (better >= n)
        units[first + i] = 0;
    }
  }
}

int64_t NOfMAttr::getNumImposed(ArrayRef<int64_t> shape) const {
  MatrixView view(shape);
  int64_t tail = view.columns % getM();
  return view.rows * (view.columns / getM() * (getM() - getN()) + std::max<int64_t>(0, tail - getN()));
}

LogicalResult NOfMAttr::verifyMask(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape,
                                   ArrayRef<uint8_t> mask) const {
  MatrixView view(shape);
  for (int64_t row = 0; row < view.rows; ++row) {
    for (int64_t column = 0; column < view.columns; column += getM()) {
      int64_t size = std::min(getM(), view.columns - column);
      int64_t kept = 0;
      for (int64_t i = 0; i < size; ++i)
        kept += mask[row * view.columns + column + i];
      // n_of_m_c3
      if (kept > getN())
        return emitError() << "expected at most " << getN() << " kept in each " << getM() << " along the columns, got "
                           << kept << " in row " << row << " from column " << column;
    }
  }
  return success();
}
std::optional<UnitBoxes> NOfMAttr::getUnitBoxes(ArrayRef<int64_t> shape) const {
  MatrixView view(shape);
  return UnitBoxes{{1, view.rows, view.columns}, {1, 1, 1}, getN(), getM()};
}
StringRef NOfMAttr::getStorageFormat() const { return "n-of-m"; }
void NOfMAttr::printShort(raw_ostream &os) const { os << getN() << ":" << getM(); }

//===----------------------------------------------------------------------===//
// Block
//===----------------------------------------------------------------------===//

LogicalResult BlockAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t rows, int64_t columns) {
  // block_c1
  if (rows <= 0 || columns <= 0)
    return emitError() << "expected a block of at least 1x1, got " << rows << "x" << columns;
  return success();
}

LogicalResult BlockAttr::verifyShape(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape) const {
  return verifyRankAtLeastTwo(emitError, *this, shape); // block_c2
}

SmallVector<int64_t> BlockAttr::getUnitGrid(ArrayRef<int64_t> shape) const {
  MatrixView view(shape);
  return {ceilDiv(view.rows, getRows()), ceilDiv(view.columns, getColumns())};
}

/// The scores of the blocks [begin, end) of one row of blocks. Goes row by row through memory; each block still sees
/// its elements in row-major order.
template <bool Magnitude, ScoreReduction Reduction>
static void reduceBlocks(const float *rows, int64_t numRows, MatrixView view, int64_t width, int64_t begin, int64_t end,
                         float *scores) {
  constexpr int64_t kStrip = 512;
  double sums[kStrip];
  for (int64_t strip = begin; strip < end; strip += kStrip) {
    int64_t stop = std::min(end, strip + kStrip);
    bool isSigned = !Magnitude && Reduction == ScoreReduction::Max;
    std::fill_n(sums, stop - strip, isSigned ? -std::numeric_limits<double>::infinity() : 0.0);
    auto add = [&](double &sum, float score) {
      double value = Magnitude ? std::fabs(score) : score;
      if (Reduction == ScoreReduction::Mean)
        sum += value;
      else if (Reduction == ScoreReduction::RootMeanSquare)
        sum += value * value;
      else
        sum = std::max(sum, value);
    };
    int64_t first = strip * width, last = width == 1 ? stop : std::min(stop * width, view.columns);
    for (int64_t row = 0; row < numRows; ++row) {
      const float *data = rows + row * view.columns;
      if (width == 1) {
        for (int64_t column = first; column < last; ++column)
          add(sums[column - first], data[column]);
        continue;
      }
      for (int64_t block = strip; block < stop; ++block)
        for (int64_t column = block * width, e = std::min(column + width, last); column < e; ++column)
          add(sums[block - strip], data[column]);
    }
    for (int64_t block = strip; block < stop; ++block) {
      double count = static_cast<double>(numRows * std::min(width, view.columns - block * width));
      double sum = sums[block - strip];
      if (Reduction == ScoreReduction::Mean)
        sum /= count;
      else if (Reduction == ScoreReduction::RootMeanSquare)
        sum = std::sqrt(sum / count);
      scores[block - begin] = static_cast<float>(sum);
    }
  }
}

void BlockAttr::reduceScores(ArrayRef<int64_t> shape, ArrayRef<float> elementScores, ScoreOrder order,
                             ScoreReduction reduction, int64_t begin, int64_t end, float *unitScores) const {
  MatrixView view(shape);
  int64_t blocksPerRow = ceilDiv(view.columns, getColumns());
  bool magnitude = order == ScoreOrder::Magnitude;
  auto *reduce =
      reduction == ScoreReduction::Mean
          ? (magnitude ? &reduceBlocks<true, ScoreReduction::Mean> : &reduceBlocks<false, ScoreReduction::Mean>)
      : reduction == ScoreReduction::Max
          ? (magnitude ? &reduceBlocks<true, ScoreReduction::Max> : &reduceBlocks<false, ScoreReduction::Max>)
          : (magnitude ? &reduceBlocks<true, ScoreReduction::RootMeanSquare>
                       : &reduceBlocks<false, ScoreReduction::RootMeanSquare>);
  for (int64_t unit = begin; unit < end;) {
    int64_t blockRow = unit / blocksPerRow, block = unit % blocksPerRow;
    int64_t count = std::min(blocksPerRow - block, end - unit);
    int64_t row = blockRow * getRows();
    reduce(elementScores.data() + row * view.columns, std::min(getRows(), view.rows - row), view, getColumns(), block,
           block + count, unitScores + (unit - begin));
    unit += count;
  }
}

void BlockAttr::expandUnits(ArrayRef<int64_t> shape, ArrayRef<uint8_t> units, int64_t begin, int64_t end,
                            uint8_t *mask) const {
  MatrixView view(shape);
  int64_t blocksPerRow = ceilDiv(view.columns, getColumns());
  int64_t row = begin / view.columns, column = begin % view.columns;
  for (int64_t i = begin; i < end; ++row, column = 0) {
    const uint8_t *blocks = units.data() + row / getRows() * blocksPerRow;
    int64_t last = std::min(view.columns, column + end - i);
    if (getColumns() == 1) {
      mask = std::copy(blocks + column, blocks + last, mask);
    } else {
      for (int64_t k = column; k < last; ++k)
        *mask++ = blocks[k / getColumns()];
    }
    i += last - column;
  }
}

LogicalResult BlockAttr::verifyMask(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape,
                                    ArrayRef<uint8_t> mask) const {
  MatrixView view(shape);
  for (int64_t row0 = 0; row0 < view.rows; row0 += getRows()) {
    int64_t row1 = std::min(row0 + getRows(), view.rows);
    // The usual case, fast: the rows of blocks of one column are all alike.
    const uint8_t *first = mask.data() + row0 * view.columns;
    bool alike = getColumns() == 1;
    for (int64_t row = row0 + 1; row < row1 && alike; ++row)
      alike = std::equal(first, first + view.columns, mask.data() + row * view.columns);
    if (alike)
      continue;
    for (int64_t column0 = 0; column0 < view.columns; column0 += getColumns()) {
      int64_t column1 = std::min(column0 + getColumns(), view.columns);
      int64_t kept = 0;
      for (int64_t row = row0; row < row1; ++row)
        for (int64_t column = column0; column < column1; ++column)
          kept += mask[row * view.columns + column];
      int64_t size = (row1 - row0) * (column1 - column0);
      // block_c3
      if (kept != 0 && kept != size)
        return emitError() << "expected each " << getRows() << "x" << getColumns()
                           << " block kept or pruned whole, got " << kept << " of " << size << " kept at row " << row0
                           << ", column " << column0;
    }
  }
  return success();
}

std::optional<UnitBoxes> BlockAttr::getUnitBoxes(ArrayRef<int64_t> shape) const {
  MatrixView view(shape);
  return UnitBoxes{{1, view.rows, view.columns},
                   {1, std::min(getRows(), view.rows), std::min(getColumns(), view.columns)}};
}
int64_t BlockAttr::getColumnPeriod() const { return getColumns(); }
StringRef BlockAttr::getStorageFormat() const {
  if (getRows() == 1 && getColumns() == 1)
    return "chunked-csr";
  return getColumns() == 1 ? "rx1" : "bsr";
}
void BlockAttr::printShort(raw_ostream &os) const { os << getRows() << "x" << getColumns(); }

//===----------------------------------------------------------------------===//
// Slice
//===----------------------------------------------------------------------===//

LogicalResult SliceAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t dim, int64_t group) {
  // slice_c1
  if (dim < 0)
    return emitError() << "expected a dimension of 0 or more in a slice pattern, got " << dim;
  if (group <= 0)
    return emitError() << "expected a group of 1 or more in a slice pattern, got " << group;
  return success();
}

LogicalResult SliceAttr::verifyShape(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape) const {
  // slice_c2
  if (getDim() >= static_cast<int64_t>(shape.size()))
    return emitError() << "pattern slices dimension " << getDim() << ", but the weight " << formatShape(shape)
                       << " has rank " << shape.size();
  return success();
}

SmallVector<int64_t> SliceAttr::getUnitGrid(ArrayRef<int64_t> shape) const {
  return {ceilDiv(shape[getDim()], getGroup())};
}

void SliceAttr::reduceScores(ArrayRef<int64_t> shape, ArrayRef<float> elementScores, ScoreOrder order,
                             ScoreReduction reduction, int64_t begin, int64_t end, float *unitScores) const {
  SliceView view(shape, getDim());
  for (int64_t unit = begin; unit < end; ++unit) {
    int64_t first = unit * getGroup(), last = std::min(first + getGroup(), view.dim);
    Reducer reducer(order, reduction);
    for (int64_t outer = 0; outer < view.outer; ++outer)
      for (int64_t i = (outer * view.dim + first) * view.inner, e = (outer * view.dim + last) * view.inner; i < e; ++i)
        reducer.add(elementScores[i]);
    unitScores[unit - begin] = reducer.get();
  }
}

void SliceAttr::expandUnits(ArrayRef<int64_t> shape, ArrayRef<uint8_t> units, int64_t begin, int64_t end,
                            uint8_t *mask) const {
  SliceView view(shape, getDim());
  for (int64_t i = begin; i < end;) {
    int64_t index = i / view.inner;
    int64_t next = std::min(end, (index + 1) * view.inner);
    std::fill(mask, mask + (next - i), units[index % view.dim / getGroup()]);
    mask += next - i;
    i = next;
  }
}

LogicalResult SliceAttr::verifyMask(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape,
                                    ArrayRef<uint8_t> mask) const {
  SliceView view(shape, getDim());
  int64_t numUnits = ceilDiv(view.dim, getGroup());
  SmallVector<int64_t> kept(numUnits, 0);
  for (int64_t outer = 0; outer < view.outer; ++outer)
    for (int64_t index = 0; index < view.dim; ++index) {
      const uint8_t *first = mask.data() + (outer * view.dim + index) * view.inner;
      for (int64_t i = 0; i < view.inner; ++i)
        kept[index / getGroup()] += first[i];
    }
  for (int64_t unit = 0; unit < numUnits; ++unit) {
    int64_t width = std::min(getGroup(), view.dim - unit * getGroup());
    int64_t size = width * view.outer * view.inner;
    // slice_c3
    if (kept[unit] != 0 && kept[unit] != size)
      return emitError() << "expected each slice of " << getGroup() << " along dimension " << getDim()
                         << " kept or pruned whole, got " << kept[unit] << " of " << size << " kept from index "
                         << unit * getGroup();
  }
  return success();
}
std::optional<UnitBoxes> SliceAttr::getUnitBoxes(ArrayRef<int64_t> shape) const {
  SliceView view(shape, getDim());
  return UnitBoxes{{view.outer, view.dim, view.inner}, {view.outer, std::min(getGroup(), view.dim), view.inner}};
}
StringRef SliceAttr::getStorageFormat() const { return "dense"; }
void SliceAttr::printShort(raw_ostream &os) const {
  os << "slice:" << getDim();
  if (getGroup() != 1)
    os << ":" << getGroup();
}
