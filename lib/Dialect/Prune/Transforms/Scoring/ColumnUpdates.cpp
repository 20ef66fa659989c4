//===- ColumnUpdates.cpp - Masks with updates of what is kept -----------------===//

#include "prune/Dialect/Prune/Transforms/Scoring/ColumnUpdates.h"
#include "Matrices.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Columns that are decided by the scores at their beginning.
constexpr int64_t kBlockColumns = 128;
/// Rows, or columns of a triangular system, that one thread takes at a time.
constexpr int64_t kRowChunk = 64, kSolveChunk = 64;
/// How often scores are brought up to date at most while units of columns are chosen.
constexpr int64_t kChoiceRounds = 128;
} // namespace

std::optional<InverseFactor> mlir::prune::factorInverse(ArrayRef<double> gram, double numRows, double damping,
                                                        WorkerPool &pool) {
  fixCacheSizes();
  int64_t size = std::llround(std::sqrt(static_cast<double>(gram.size())));
  InverseFactor factor;
  factor.dead.resize(size);
  Matrix h = Eigen::Map<const Matrix>(gram.data(), size, size) * (2 / numRows);
  for (int64_t i = 0; i < size; ++i)
    if (h(i, i) == 0) {
      factor.dead.set(i);
      h(i, i) = 1;
    }
  // With the order of the columns reversed, H = R Rᵀ for R upper triangular; U is the inverse of R.
  h = h.reverse().eval();
  double mean = h.diagonal().mean();
  Matrix lower;
  for (factor.damping = damping;; factor.damping = std::min(10 * factor.damping, kMaxDamping)) {
    lower = h;
    lower.diagonal().array() += factor.damping * mean;
    Eigen::LLT<Eigen::Ref<Matrix>> decomposition(lower);
    if (decomposition.info() == Eigen::Success && lower.diagonal().allFinite())
      break;
    if (factor.damping >= kMaxDamping)
      return std::nullopt;
  }
  factor.damped.resize(gram.size());
  Eigen::Map<Matrix> damped(factor.damped.data(), size, size);
  damped = h.reverse();
  damped.diagonal().array() += factor.damping * mean;
  factor.upper.assign(gram.size(), 0);
  Eigen::Map<Matrix> upper(factor.upper.data(), size, size);
  pool.forEachChunk(size, kSolveChunk, [&](int64_t begin, int64_t end) {
    // Columns [begin, end) of the inverse, which are zero above their diagonal.
    int64_t rest = size - begin;
    Matrix columns = Matrix::Identity(rest, end - begin);
    lower.bottomRightCorner(rest, rest).triangularView<Eigen::Lower>().solveInPlace(columns);
    upper.block(0, size - end, rest, end - begin) = columns.reverse();
  });
  factor.diagonal.assign(size, 0);
  Eigen::Map<Eigen::VectorXd>(factor.diagonal.data(), size) = upper.diagonal();
  return factor;
}

namespace {

class ColumnUpdater {
public:
  ColumnUpdater(const UpdateProblem &problem, WorkerPool &pool)
      : problem(problem), pool(pool), weight(problem.rows, problem.columns),
        rowsOfGroup(problem.rows / static_cast<int64_t>(problem.factors.size())) {}

  void run();

private:
  const InverseFactor &getFactor(int64_t row) const { return problem.factors[row / rowsOfGroup]; }
  ArrayRef<uint8_t> getMask(int64_t row) const {
    return ArrayRef<uint8_t>(problem.mask).slice(row * problem.columns, problem.columns);
  }
  /// Calls `body(factor, first row, number of rows)` for stretches of rows that share a factor.
  void forEachRows(llvm::function_ref<void(const InverseFactor &, int64_t, int64_t)> body);
  void select(int64_t begin, int64_t end, int64_t numPruned);
  void updateBlock(int64_t begin, int64_t end, int64_t blockEnd, Matrix &errors, int64_t blockBegin);
  void updateRest(const Matrix &errors, int64_t blockBegin, int64_t blockEnd);
  void decide();
  void chooseUnits();
  void refit(const Matrix &original);

  /// The columns [begin, end) of a mask of the whole weight.
  std::vector<uint8_t> getColumns(ArrayRef<uint8_t> mask, int64_t begin, int64_t end) const;

  const UpdateProblem &problem;
  WorkerPool &pool;
  Matrix weight;
  int64_t rowsOfGroup;
};

} // namespace

std::vector<uint8_t> ColumnUpdater::getColumns(ArrayRef<uint8_t> mask, int64_t begin, int64_t end) const {
  std::vector<uint8_t> part;
  for (int64_t row = 0; row < problem.rows; ++row)
    llvm::append_range(part, mask.slice(row * problem.columns + begin, end - begin));
  return part;
}

/// Decides the mask of the columns [begin, end).
void ColumnUpdater::select(int64_t begin, int64_t end, int64_t numPruned) {
  int64_t width = end - begin;
  std::vector<float> values(problem.rows * width), scores(values.size());
  std::vector<uint8_t> mask(values.size());
  for (int64_t row = 0; row < problem.rows; ++row)
    for (int64_t i = 0; i < width; ++i)
      values[row * width + i] = static_cast<float>(weight(row, begin + i));
  int64_t groupSize = rowsOfGroup * width, shape[] = {problem.rows, width}, groupShape[] = {rowsOfGroup, width};
  pool.forEach(problem.factors.size(), [&](int64_t group) {
    ArrayRef<double> diagonal = ArrayRef(problem.factors[group].diagonal).slice(begin, width);
    std::vector<float> factorDiagonal(diagonal.begin(), diagonal.end());
    ScoreInputs inputs;
    inputs.name = problem.name;
    inputs.shape = groupShape;
    inputs.weight = ArrayRef(values).slice(group * groupSize, groupSize);
    inputs.factorDiagonal = factorDiagonal;
    problem.criterion.scoreElements(inputs, 0, groupSize, scores.data() + group * groupSize);
  });
  SelectionOptions options;
  options.pattern = problem.pattern;
  options.order = problem.criterion.getScoreOrder();
  options.reduction = problem.criterion.getReduction();
  options.withinRows = problem.criterion.ranksWithinRows();
  options.sparsity = static_cast<double>(numPruned) / countUnits(problem.pattern, shape);
  SelectionTensor tensor{shape, scores, /*minKeep=*/0, mask};
  selectMasks(tensor, options, pool);
  for (int64_t row = 0; row < problem.rows; ++row)
    std::copy_n(mask.begin() + row * width, width, problem.mask.begin() + row * problem.columns + begin);
}

/// Prunes the columns [begin, end) and makes up for it in those up to `blockEnd`.
void ColumnUpdater::updateBlock(int64_t begin, int64_t end, int64_t blockEnd, Matrix &errors, int64_t blockBegin) {
  pool.forEachChunk(problem.rows, kRowChunk, [&](int64_t firstRow, int64_t lastRow) {
    for (int64_t row = firstRow; row < lastRow; ++row) {
      const InverseFactor &factor = getFactor(row);
      double *values = &weight(row, 0);
      for (int64_t i = begin; i < end; ++i) {
        double &error = errors(row, i - blockBegin);
        if (problem.mask[row * problem.columns + i])
          continue;
        error = values[i] / factor.diagonal[i];
        const double *upper = factor.upper.data() + i * problem.columns;
        for (int64_t j = i + 1; j < blockEnd; ++j)
          values[j] -= error * upper[j];
        values[i] = 0;
      }
    }
  });
}

void ColumnUpdater::forEachRows(llvm::function_ref<void(const InverseFactor &, int64_t, int64_t)> body) {
  int64_t chunksOfGroup = llvm::divideCeil(rowsOfGroup, kRowChunk);
  pool.forEach(chunksOfGroup * static_cast<int64_t>(problem.factors.size()), [&](int64_t index) {
    int64_t group = index / chunksOfGroup, first = index % chunksOfGroup * kRowChunk;
    body(problem.factors[group], group * rowsOfGroup + first, std::min(kRowChunk, rowsOfGroup - first));
  });
}

/// Makes up for the errors of a block in the columns behind it.
void ColumnUpdater::updateRest(const Matrix &errors, int64_t blockBegin, int64_t blockEnd) {
  int64_t width = blockEnd - blockBegin, rest = problem.columns - blockEnd;
  if (rest == 0)
    return;
  forEachRows([&](const InverseFactor &factor, int64_t row, int64_t count) {
    Eigen::Map<const Matrix> upper(factor.upper.data(), problem.columns, problem.columns);
    weight.block(row, blockEnd, count, rest).noalias() -=
        errors.middleRows(row, count) * upper.block(blockBegin, blockEnd, width, rest);
  });
}

/// Gives the elements that are kept in a row the values w with the least (w - v) H (w - v)ᵀ, where v is the row of
/// `original`: H restricted to them, times w, is what H makes of v there.
void ColumnUpdater::refit(const Matrix &original) {
  forEachRows([&](const InverseFactor &factor, int64_t begin, int64_t count) {
    Eigen::Map<const Matrix> damped(factor.damped.data(), problem.columns, problem.columns);
    Matrix wanted = original.middleRows(begin, count) * damped;
    for (int64_t row = begin, end; row < begin + count; row = end) {
      // Rows in a block of the pattern have one mask.
      for (end = row + 1; end < begin + count && getMask(end) == getMask(row);)
        ++end;
      SmallVector<int64_t> kept;
      for (int64_t i = 0; i < problem.columns; ++i)
        if (getMask(row)[i])
          kept.push_back(i);
      int64_t size = kept.size();
      Matrix system(size, size), values(size, end - row);
      for (int64_t i = 0; i < size; ++i) {
        for (int64_t j = 0; j < size; ++j)
          system(i, j) = damped(kept[i], kept[j]);
        for (int64_t other = row; other < end; ++other)
          values(i, other - row) = wanted(other - begin, kept[i]);
      }
      Eigen::LLT<Eigen::Ref<Matrix>> decomposition(system);
      decomposition.solveInPlace(values);
      for (int64_t i = 0; i < size; ++i)
        for (int64_t other = row; other < end; ++other)
          weight(other, kept[i]) = values(i, other - row);
    }
  });
}

/// Chooses as many units of columns as the mask prunes.
void ColumnUpdater::chooseUnits() {
  int64_t columns = problem.columns;
  llvm::MapVector<int32_t, std::vector<int64_t>> alive;
  llvm::SmallDenseSet<int32_t> pruned;
  for (auto [column, unit] : llvm::enumerate(problem.unitOfColumn)) {
    if (unit < 0)
      continue;
    alive[unit].push_back(column);
    if (!problem.mask[column])
      pruned.insert(unit);
  }
  Eigen::Map<const Matrix> upper(problem.factors.front().upper.data(), columns, columns);
  Matrix inverse = upper.transpose() * upper, rest = weight;
  int64_t left = pruned.size(), step = std::max<int64_t>(1, left / kChoiceRounds);
  std::vector<uint8_t> keeps(columns, 1);
  while (left > 0) {
    // The lowest scores go first; of equal ones the later unit.
    std::vector<std::tuple<double, int64_t, int32_t>> scores;
    for (const auto &[unit, own] : alive) {
      Matrix part = rest(Eigen::all, own), block = inverse(own, own);
      double score = part.cwiseProduct(block.llt().solve(part.transpose()).transpose()).sum();
      scores.push_back({score, -own.front(), unit});
    }
    int64_t count = std::min({step, left, static_cast<int64_t>(scores.size())});
    std::partial_sort(scores.begin(), scores.begin() + count, scores.end());
    std::vector<int64_t> going;
    for (auto &[score, place, unit] : ArrayRef(scores).take_front(count)) {
      llvm::append_range(going, alive[unit]);
      alive.erase(unit);
    }
    Matrix block = inverse(going, Eigen::all), own = inverse(going, going);
    Matrix solved = own.llt().solve(block);
    rest -= rest(Eigen::all, going) * solved;
    inverse -= block.transpose() * solved;
    for (int64_t column : going)
      keeps[column] = 0;
    left -= count;
  }
  for (int64_t row = 0; row < problem.rows; ++row)
    llvm::copy(keeps, problem.mask.begin() + row * columns);
}

/// Decides the columns from left to right.
void ColumnUpdater::decide() {
  int64_t rows = problem.rows, columns = problem.columns;
  PatternAttrInterface pattern = problem.pattern;
  int64_t period = pattern.getColumnPeriod(), shape[] = {rows, columns};
  int64_t block = llvm::alignTo(kBlockColumns, period);
  int64_t stretch = pattern.getNumGroups(shape) > 0 ? period : block;
  // What the pattern does not impose is spread evenly over the units that it leaves.
  int64_t imposed = pattern.getNumImposed(shape), all = countUnits(pattern, shape) - imposed;
  int64_t extra = problem.numPruned - imposed, seen = 0, given = 0;
  std::vector<uint8_t> ranked;
  if (problem.counts == ColumnCounts::Ranked) {
    select(0, columns, problem.numPruned);
    ranked.assign(problem.mask.begin(), problem.mask.end());
  }
  for (int64_t blockBegin = 0; blockBegin < columns; blockBegin += block) {
    int64_t blockEnd = std::min(blockBegin + block, columns);
    Matrix errors = Matrix::Zero(rows, blockEnd - blockBegin);
    for (int64_t begin = blockBegin; begin < blockEnd; begin += stretch) {
      int64_t end = std::min(begin + stretch, blockEnd), part[] = {rows, end - begin};
      int64_t own = pattern.getNumImposed(part);
      seen += countUnits(pattern, part) - own;
      int64_t share = getShare(extra, seen, all) - given;
      given += share;
      select(begin, end,
             ranked.empty() ? own + share : countPrunedUnits(pattern, part, getColumns(ranked, begin, end)));
      updateBlock(begin, end, blockEnd, errors, blockBegin);
    }
    updateRest(errors, blockBegin, blockEnd);
  }
}

void ColumnUpdater::run() {
  fixCacheSizes();
  int64_t rows = problem.rows, columns = problem.columns;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < columns; ++i)
      weight(row, i) = getFactor(row).dead[i] ? 0.0 : problem.weight[row * columns + i];
  Matrix original = weight;
  if (!problem.isDecided)
    decide();
  else if (!problem.unitOfColumn.empty())
    chooseUnits();
  if (problem.refits || problem.isDecided)
    refit(original);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < columns; ++i)
      problem.weight[row * columns + i] = problem.mask[row * columns + i] ? static_cast<float>(weight(row, i)) : 0.0f;
}

void mlir::prune::pruneWithUpdates(const UpdateProblem &problem, WorkerPool &pool) {
  ColumnUpdater(problem, pool).run();
}

double mlir::prune::getSquaredNorm(ArrayRef<float> weight, int64_t rows, int64_t columns, ArrayRef<double> grams,
                                   WorkerPool &pool) {
  fixCacheSizes();
  int64_t numGroups = static_cast<int64_t>(grams.size()) / (columns * columns), rowsOfGroup = rows / numGroups;
  int64_t chunksOfGroup = llvm::divideCeil(rowsOfGroup, kRowChunk);
  std::vector<double> sums(chunksOfGroup * numGroups);
  pool.forEach(sums.size(), [&](int64_t index) {
    int64_t group = index / chunksOfGroup, first = index % chunksOfGroup * kRowChunk;
    int64_t row = group * rowsOfGroup + first, count = std::min(kRowChunk, rowsOfGroup - first);
    using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Matrix part = Eigen::Map<const Floats>(weight.data() + row * columns, count, columns).cast<double>();
    Eigen::Map<const Matrix> gram(grams.data() + group * columns * columns, columns, columns);
    Matrix product = part * gram;
    sums[index] = product.cwiseProduct(part).sum();
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}
