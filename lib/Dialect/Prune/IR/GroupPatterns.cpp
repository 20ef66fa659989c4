//===- GroupPatterns.cpp - Patterns whose groups span rows ---------------------===//
//
// Groups and checks of #prune.transposable and #prune.v_n_m. Masks of both are masks of #prune.n_of_m too.
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <array>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// A weight cut into rectangles of one size, smaller at the lower and right edge.
struct Tiling {
  MatrixView view;
  int64_t rows, columns;
  int64_t perRow;

  Tiling(ArrayRef<int64_t> shape, int64_t rows, int64_t columns)
      : view(shape), rows(rows), columns(columns), perRow(llvm::divideCeil(view.columns, columns)) {}

  int64_t size() const { return static_cast<int64_t>(llvm::divideCeil(view.rows, rows)) * perRow; }
  int64_t getRow(int64_t tile) const { return tile / perRow * rows; }
  int64_t getColumn(int64_t tile) const { return tile % perRow * columns; }
  int64_t countRows(int64_t tile) const { return std::min(rows, view.rows - getRow(tile)); }
  int64_t countColumns(int64_t tile) const { return std::min(columns, view.columns - getColumn(tile)); }
};

} // namespace

//===----------------------------------------------------------------------===//
// Transposable
//===----------------------------------------------------------------------===//

/// The longest side of a square: elements have a bit each in two words of 32.
static constexpr int64_t kMaxSide = 8;

/// Elements that live in a rectangle of `rows` x `columns`.
static int64_t countLiving(int64_t rows, int64_t columns, int64_t n) {
  return std::min(rows * std::min(n, columns), columns * std::min(n, rows));
}

namespace {

/// What an element is worth, larger first: its score, then its place, as bits that masks are compared by. Sums and
/// differences order as the masks do.
using Worth = std::array<int64_t, 3>;

Worth operator+(const Worth &a, const Worth &b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
Worth operator-(const Worth &a, const Worth &b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

/// Finds the best mask of one square as a flow of the largest worth from rows to columns: elements are added one at a
/// time, each by the path of alternately added and taken elements that gains the most. That keeps the mask the best of
/// its count.
class SquareSelector {
public:
  SquareSelector(int64_t rows, int64_t columns, int64_t n) : rows(rows), columns(columns), n(n) {}

  void setScores(function_ref<float(int64_t row, int64_t column)> score);
  void select() {
    while (addOne()) {
    }
  }
  bool isKept(int64_t row, int64_t column) const { return kept[row][column]; }

private:
  /// The best path found so far to a row or column.
  struct Node {
    bool isReached = false;
    Worth gain{};
    int64_t from = -1;
    void reach(const Worth &newGain, int64_t newFrom) {
      isReached = true;
      gain = newGain;
      from = newFrom;
    }
  };
  bool addOne();

  int64_t rows, columns, n;
  Worth worth[kMaxSide][kMaxSide] = {};
  bool kept[kMaxSide][kMaxSide] = {};
  int64_t keptInRow[kMaxSide] = {}, keptInColumn[kMaxSide] = {};
};

} // namespace

void SquareSelector::setScores(function_ref<float(int64_t, int64_t)> score) {
  // 47 bits for finite scores; 64 of them are less than one that is infinite, and 64 of those fit.
  float largest = 0;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      if (float size = std::fabs(score(row, column)); std::isfinite(size))
        largest = std::max(largest, size);
  int shift = largest > 0 ? 46 - std::ilogb(largest) : 0;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) {
      float value = score(row, column);
      int64_t number = std::isinf(value) ? (value > 0 ? int64_t(1) << 55 : -(int64_t(1) << 55))
                                         : static_cast<int64_t>(std::ldexp(static_cast<double>(value), shift));
      int64_t place = row * columns + column, bit = int64_t(1) << (31 - place % 32);
      worth[row][column] = {number, place < 32 ? bit : 0, place < 32 ? 0 : bit};
    }
}

bool SquareSelector::addOne() {
  Node rowNodes[kMaxSide], columnNodes[kMaxSide];
  for (int64_t row = 0; row < rows; ++row)
    rowNodes[row].isReached = keptInRow[row] < n;
  for (bool changed = true; changed;) {
    changed = false;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        // Adding leads from the row to the column, taking from the column to the row.
        Node &source = kept[row][column] ? columnNodes[column] : rowNodes[row];
        Node &target = kept[row][column] ? rowNodes[row] : columnNodes[column];
        if (!source.isReached)
          continue;
        Worth gain = kept[row][column] ? source.gain - worth[row][column] : source.gain + worth[row][column];
        if (target.isReached && target.gain >= gain)
          continue;
        target.reach(gain, kept[row][column] ? column : row);
        changed = true;
      }
  }
  int64_t best = -1;
  for (int64_t column = 0; column < columns; ++column)
    if (columnNodes[column].isReached && keptInColumn[column] < n &&
        (best < 0 || columnNodes[column].gain > columnNodes[best].gain))
      best = column;
  if (best < 0)
    return false;
  ++keptInColumn[best];
  for (int64_t column = best;;) {
    int64_t row = columnNodes[column].from;
    kept[row][column] = true;
    column = rowNodes[row].from;
    if (column < 0) {
      ++keptInRow[row];
      return true;
    }
    kept[row][column] = false;
  }
}

LogicalResult TransposableAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t n, int64_t m) {
  // transposable_c1
  if (n <= 0 || n > m || m > kMaxSide)
    return emitError() << "expected 0 < n <= m <= " << kMaxSide << " in a transposable n:m pattern, got " << n << ":"
                       << m;
  return success();
}

LogicalResult TransposableAttr::verifyShape(function_ref<InFlightDiagnostic()> emitError,
                                            ArrayRef<int64_t> shape) const {
  return verifyRankAtLeastTwo(emitError, *this, shape); // transposable_c2
}
bool TransposableAttr::hasElementUnits() const { return true; }
int64_t TransposableAttr::getColumnPeriod() const { return getM(); }
int64_t TransposableAttr::getNumGroups(ArrayRef<int64_t> shape) const { return Tiling(shape, getM(), getM()).size(); }

void TransposableAttr::constrainGroups(ArrayRef<int64_t> shape, ArrayRef<float> unitScores, ScoreOrder order,
                                       int64_t begin, int64_t end, uint8_t *units) const {
  Tiling squares(shape, getM(), getM());
  int64_t stride = squares.view.columns;
  for (int64_t square = begin; square < end; ++square) {
    int64_t rows = squares.countRows(square), columns = squares.countColumns(square);
    int64_t first = squares.getRow(square) * stride + squares.getColumn(square);
    SquareSelector selector(rows, columns, getN());
    selector.setScores([&](int64_t row, int64_t column) {
      float score = unitScores[first + row * stride + column];
      return order == ScoreOrder::Magnitude ? std::fabs(score) : score;
    });
    selector.select();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column)
        units[first + row * stride + column] &= selector.isKept(row, column);
  }
}

int64_t TransposableAttr::getNumImposed(ArrayRef<int64_t> shape) const {
  MatrixView view(shape);
  int64_t m = getM(), n = getN(), rows = view.rows / m, columns = view.columns / m;
  int64_t lastRows = view.rows % m, lastColumns = view.columns % m;
  return view.size() - rows * columns * countLiving(m, m, n) - rows * countLiving(m, lastColumns, n) -
         columns * countLiving(lastRows, m, n) - countLiving(lastRows, lastColumns, n);
}

LogicalResult TransposableAttr::verifyMask(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape,
                                           ArrayRef<uint8_t> mask) const {
  // transposable_c3
  if (failed(NOfMAttr::get(getContext(), getN(), getM()).verifyMask(emitError, shape, mask)))
    return failure();
  MatrixView view(shape);
  for (int64_t row = 0; row < view.rows; row += getM())
    for (int64_t column = 0; column < view.columns; ++column) {
      int64_t kept = 0;
      for (int64_t i = row, end = std::min(row + getM(), view.rows); i < end; ++i)
        kept += mask[i * view.columns + column];
      if (kept > getN())
        return emitError() << "expected at most " << getN() << " kept in each " << getM() << " along the rows, got "
                           << kept << " in column " << column << " from row " << row;
    }
  return success();
}
StringRef TransposableAttr::getStorageFormat() const { return "n-of-m"; }
void TransposableAttr::printShort(raw_ostream &os) const { os << "transposable:" << getN() << ":" << getM(); }

//===----------------------------------------------------------------------===//
// V:N:M
//===----------------------------------------------------------------------===//

LogicalResult VNMAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t v, int64_t n, int64_t m) {
  // v_n_m_c1
  if (v <= 0 || n <= 0 || n > kKeptColumns || m < kKeptColumns)
    return emitError() << "expected v > 0 and 0 < n <= " << kKeptColumns << " <= m in a v:n:m pattern, got " << v << ":"
                       << n << ":" << m;
  return success();
}

LogicalResult VNMAttr::verifyShape(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape) const {
  return verifyRankAtLeastTwo(emitError, *this, shape); // v_n_m_c2
}
bool VNMAttr::hasElementUnits() const { return true; }
int64_t VNMAttr::getColumnPeriod() const { return getM(); }
int64_t VNMAttr::getNumGroups(ArrayRef<int64_t> shape) const { return Tiling(shape, getV(), getM()).size(); }

/// The `count` largest of `values` as ascending indices; of equal ones the lower index.
template <typename T> static SmallVector<int64_t, 4> findLargest(ArrayRef<T> values, int64_t count) {
  SmallVector<int64_t, 4> found;
  while (static_cast<int64_t>(found.size()) < std::min<int64_t>(count, values.size())) {
    int64_t best = -1;
    for (int64_t i = 0, e = values.size(); i < e; ++i)
      if (!llvm::is_contained(found, i) && (best < 0 || values[i] > values[best]))
        best = i;
    found.push_back(best);
  }
  llvm::sort(found);
  return found;
}

void VNMAttr::constrainGroups(ArrayRef<int64_t> shape, ArrayRef<float> unitScores, ScoreOrder order, int64_t begin,
                              int64_t end, uint8_t *units) const {
  Tiling blocks(shape, getV(), getM());
  int64_t stride = blocks.view.columns;
  SmallVector<double> sums;
  SmallVector<uint32_t, 4> keys;
  for (int64_t block = begin; block < end; ++block) {
    int64_t columns = blocks.countColumns(block);
    int64_t first = blocks.getRow(block) * stride + blocks.getColumn(block);
    int64_t last = first + blocks.countRows(block) * stride;
    sums.assign(columns, 0);
    for (int64_t row = first; row < last; row += stride)
      for (int64_t column = 0; column < columns; ++column) {
        double score = unitScores[row + column];
        sums[column] += order == ScoreOrder::Magnitude ? std::fabs(score) : score;
      }
    SmallVector<int64_t, 4> chosen = findLargest(ArrayRef<double>(sums), kKeptColumns);
    for (int64_t row = first; row < last; row += stride) {
      keys.clear();
      for (int64_t column : chosen)
        keys.push_back(getScoreKey(unitScores[row + column], order));
      SmallVector<uint8_t> lives(columns, 0);
      for (int64_t place : findLargest(ArrayRef<uint32_t>(keys), getN()))
        lives[chosen[place]] = 1;
      for (int64_t column = 0; column < columns; ++column)
        units[row + column] &= lives[column];
    }
  }
}

int64_t VNMAttr::getNumImposed(ArrayRef<int64_t> shape) const {
  // Four columns offer each row the n that it may keep.
  return NOfMAttr::get(getContext(), getN(), getM()).getNumImposed(shape);
}

LogicalResult VNMAttr::verifyMask(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape,
                                  ArrayRef<uint8_t> mask) const {
  // v_n_m_c3
  if (failed(NOfMAttr::get(getContext(), getN(), getM()).verifyMask(emitError, shape, mask)))
    return failure();
  Tiling blocks(shape, getV(), getM());
  int64_t stride = blocks.view.columns;
  for (int64_t block = 0, e = blocks.size(); block < e; ++block) {
    int64_t row = blocks.getRow(block), column = blocks.getColumn(block), used = 0;
    for (int64_t c = column, end = column + blocks.countColumns(block); c < end; ++c) {
      bool isUsed = false;
      for (int64_t r = row, last = row + blocks.countRows(block); r < last; ++r)
        isUsed |= mask[r * stride + c] != 0;
      used += isUsed;
    }
    if (used > kKeptColumns)
      return emitError() << "expected kept weights in at most " << kKeptColumns << " columns of each " << getV() << "x"
                         << getM() << " block, got " << used << " at row " << row << ", column " << column;
  }
  return success();
}
StringRef VNMAttr::getStorageFormat() const { return "n-of-m"; }
void VNMAttr::printShort(raw_ostream &os) const { os << getV() << ":" << getN() << ":" << getM(); }
