//===- ColumnUpdates.cpp - Masks with updates of what is kept -----------------===//

#include "prune/Dialect/Prune/Transforms/Scoring/ColumnUpdates.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "llvm/Support/MathExtras.h"
// Threads are ours.
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

namespace {
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Columns that are decided by the scores at their beginning.
constexpr int64_t kBlockColumns = 128;
/// Rows, or columns of a triangular system, that one thread takes at a time.
constexpr int64_t kRowChunk = 16, kSolveChunk = 64;
} // namespace

/// Sums are split by the sizes of caches, which must not differ between machines.
static void fixCacheSizes() { Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 4 << 20); }

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
  void select(int64_t begin, int64_t end, int64_t numPruned);
  void updateBlock(int64_t begin, int64_t end, int64_t blockEnd, Matrix &errors, int64_t blockBegin);
  void updateRest(const Matrix &errors, int64_t blockBegin, int64_t blockEnd);

  const UpdateProblem &problem;
  WorkerPool &pool;
  Matrix weight;
  int64_t rowsOfGroup;
};

} // namespace

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

/// Makes up for the errors of a block in the columns behind it.
void ColumnUpdater::updateRest(const Matrix &errors, int64_t blockBegin, int64_t blockEnd) {
  int64_t width = blockEnd - blockBegin, rest = problem.columns - blockEnd;
  if (rest == 0)
    return;
  int64_t chunk = std::min<int64_t>(rowsOfGroup, 4 * kRowChunk);
  // Rows of one factor at a time.
  int64_t chunksOfGroup = llvm::divideCeil(rowsOfGroup, chunk);
  pool.forEach(chunksOfGroup * static_cast<int64_t>(problem.factors.size()), [&](int64_t index) {
    int64_t group = index / chunksOfGroup, first = index % chunksOfGroup * chunk;
    int64_t row = group * rowsOfGroup + first, count = std::min(chunk, rowsOfGroup - first);
    Eigen::Map<const Matrix> upper(problem.factors[group].upper.data(), problem.columns, problem.columns);
    weight.block(row, blockEnd, count, rest).noalias() -=
        errors.middleRows(row, count) * upper.block(blockBegin, blockEnd, width, rest);
  });
}

void ColumnUpdater::run() {
  fixCacheSizes();
  int64_t rows = problem.rows, columns = problem.columns;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < columns; ++i)
      weight(row, i) = getFactor(row).dead[i] ? 0.0 : problem.weight[row * columns + i];

  PatternAttrInterface pattern = problem.pattern;
  int64_t period = pattern.getColumnPeriod(), shape[] = {rows, columns};
  int64_t block = llvm::alignTo(kBlockColumns, period);
  int64_t stretch = pattern.getNumGroups(shape) > 0 ? period : block;
  // What the pattern does not impose is spread evenly over the units that it leaves.
  int64_t imposed = pattern.getNumImposed(shape), all = countUnits(pattern, shape) - imposed;
  int64_t extra = problem.numPruned - imposed, seen = 0, given = 0;
  for (int64_t blockBegin = 0; blockBegin < columns; blockBegin += block) {
    int64_t blockEnd = std::min(blockBegin + block, columns);
    Matrix errors = Matrix::Zero(rows, blockEnd - blockBegin);
    for (int64_t begin = blockBegin; begin < blockEnd; begin += stretch) {
      int64_t end = std::min(begin + stretch, blockEnd), part[] = {rows, end - begin};
      int64_t own = pattern.getNumImposed(part);
      seen += countUnits(pattern, part) - own;
      int64_t share = countPruned(static_cast<double>(extra) * seen / all, 1) - given;
      select(begin, end, own + share);
      given += share;
      updateBlock(begin, end, blockEnd, errors, blockBegin);
    }
    updateRest(errors, blockBegin, blockEnd);
  }
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < columns; ++i)
      problem.weight[row * columns + i] =
          problem.mask[row * columns + i] ? static_cast<float>(weight(row, i)) : 0.0f;
}

void mlir::prune::pruneWithUpdates(const UpdateProblem &problem, WorkerPool &pool) {
  ColumnUpdater(problem, pool).run();
}

double mlir::prune::getSquaredNorm(ArrayRef<float> weight, int64_t rows, int64_t columns, ArrayRef<double> grams,
                                   WorkerPool &pool) {
  fixCacheSizes();
  int64_t numGroups = static_cast<int64_t>(grams.size()) / (columns * columns), rowsOfGroup = rows / numGroups;
  int64_t chunk = std::min<int64_t>(rowsOfGroup, 4 * kRowChunk), chunksOfGroup = llvm::divideCeil(rowsOfGroup, chunk);
  std::vector<double> sums(chunksOfGroup * numGroups);
  pool.forEach(sums.size(), [&](int64_t index) {
    int64_t group = index / chunksOfGroup, first = index % chunksOfGroup * chunk;
    int64_t row = group * rowsOfGroup + first, count = std::min(chunk, rowsOfGroup - first);
    using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Matrix part = Eigen::Map<const Floats>(weight.data() + row * columns, count, columns).cast<double>();
    Eigen::Map<const Matrix> gram(grams.data() + group * columns * columns, columns, columns);
    Matrix product = part * gram;
    sums[index] = product.cwiseProduct(part).sum();
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}
