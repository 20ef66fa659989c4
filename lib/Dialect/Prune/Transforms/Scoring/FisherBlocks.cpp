//===- FisherBlocks.cpp - Second-order scores and updates ---------------------===//

#include "prune/Dialect/Prune/Transforms/Scoring/FisherBlocks.h"
#include "Matrices.h"
#include "prune/Dialect/Prune/Transforms/Masking/Selection.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include <atomic>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;

namespace {
using Vector = Eigen::VectorXd;

/// Blocks that one thread takes at a time.
constexpr int64_t kBlockChunk = 64;
} // namespace

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

/// True if `shape` is that of `size` elements in blocks of the size it says.
static bool isCutInto(int64_t blocks, int64_t size, int64_t block) {
  return block > 0 && blocks == static_cast<int64_t>(llvm::divideCeil(size, block));
}

llvm::Expected<FisherBlocks> FisherBlocks::get(HostTensor values, ArrayRef<int64_t> shape, WorkerPool &pool) {
  MatrixView view(shape);
  ArrayRef<int64_t> found = values.shape;
  FisherBlocks blocks;
  if (found.size() == 3 && isCutInto(found[0], view.size(), found[1]) && found[2] == found[1]) {
    blocks.columns = view.size();
    blocks.blockColumns = found[1];
  } else if (found.size() == 6 && isCutInto(found[0], view.rows, found[2]) &&
             isCutInto(found[1], view.columns, found[3]) && found.take_back(2) == found.slice(2, 2)) {
    blocks.rows = view.rows;
    blocks.columns = view.columns;
    blocks.blockRows = found[2];
    blocks.blockColumns = found[3];
  } else {
    return createStringError(
        llvm::formatv("expected [{0}/n, n, n] or [{1}/r, {2}/c, r, c, r, c], rounded up, got [{3:$[, ]}]", view.size(),
                      view.rows, view.columns, llvm::make_range(found.begin(), found.end()))
            .str());
  }
  int64_t blockElements = blocks.getBlockSize() * blocks.getBlockSize();
  std::atomic<int64_t> wrong{-1};
  pool.forEachChunk(blocks.getNumBlocks(), kBlockChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * blockElements; i < end * blockElements; ++i)
      if (!std::isfinite(values.getElement(i)))
        for (int64_t known = wrong; (known < 0 || i < known) && !wrong.compare_exchange_weak(known, i);) {
        }
  });
  if (wrong >= 0)
    return createStringError("expected finite numbers, got " + formatNumber(values.getElement(wrong)) + " at index " +
                             formatIndex(found, wrong));
  blocks.values = std::move(values);
  return blocks;
}

int64_t FisherBlocks::getNumBlocks() const { return ((rows - 1) / blockRows + 1) * getNumBlockColumns(); }

FisherBlocks::Elements FisherBlocks::getElements(int64_t block) const {
  Elements elements;
  int64_t row = block / getNumBlockColumns() * blockRows, column = block % getNumBlockColumns() * blockColumns;
  for (int64_t i = 0; i < std::min(blockRows, rows - row); ++i)
    for (int64_t j = 0; j < std::min(blockColumns, columns - column); ++j) {
      elements.indices.push_back((row + i) * columns + column + j);
      elements.places.push_back(i * blockColumns + j);
    }
  return elements;
}

std::string FisherBlocks::spell() const {
  return (rows > 1 ? std::to_string(blockRows) + "x" : "") + std::to_string(blockColumns);
}

llvm::Error mlir::prune::findUnits(FisherProblem &problem, PatternAttrInterface pattern, ArrayRef<int64_t> shape) {
  if (pattern.hasElementUnits())
    return llvm::Error::success();
  std::optional<UnitBoxes> boxes = pattern.getUnitBoxes(shape);
  if (!boxes)
    return createStringError("the units of pattern " + spell(pattern) + " are no boxes");
  problem.unitOf.resize(problem.weight.size());
  std::vector<int64_t> blockOf(boxes->getNumUnits(), -1);
  for (auto [element, unit] : llvm::enumerate(problem.unitOf)) {
    int64_t block = problem.blocks.getBlock(element);
    unit = static_cast<int32_t>(boxes->getUnit(element));
    if (blockOf[unit] >= 0 && blockOf[unit] != block)
      return createStringError("expected units of pattern " + spell(pattern) + " within Fisher blocks, got blocks of " +
                               problem.blocks.spell() + ", and unit " + llvm::Twine(unit) + " in blocks " +
                               llvm::Twine(blockOf[unit]) + " and " + llvm::Twine(block));
    blockOf[unit] = block;
  }
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Solving
//===----------------------------------------------------------------------===//

namespace {

/// One block while it is worked on.
class FisherBlock {
public:
  FisherBlock(const FisherProblem &problem, int64_t index);

  bool isPositiveDefinite() const {
    return decomposition.info() == Eigen::Success && decomposition.matrixLLT().diagonal().allFinite();
  }
  int64_t size() const { return elements.size(); }
  int64_t getElement(int64_t i) const { return elements[i]; }
  Vector computeMultipliers() const;
  /// The change of the weight that makes up for pruning the elements at `pruned`, and prunes them.
  Vector computeChange(ArrayRef<int64_t> kept, ArrayRef<int64_t> pruned, bool refits) const;
  /// That of pruning them alone.
  Vector getLost(ArrayRef<int64_t> pruned) const;
  double getLoss(const Vector &change) const { return change.dot(fisher * change) / 2; }

private:
  const FisherProblem &problem;
  SmallVector<int64_t> elements;
  Matrix fisher;
  Vector weight;
  Eigen::LLT<Matrix> decomposition;
};

} // namespace

FisherBlock::FisherBlock(const FisherProblem &problem, int64_t index) : problem(problem) {
  auto [indices, places] = problem.blocks.getElements(index);
  elements = indices;
  fisher.resize(size(), size());
  weight.resize(size());
  for (int64_t i = 0; i < size(); ++i) {
    weight[i] = problem.weight[elements[i]];
    for (int64_t j = 0; j <= i; ++j)
      fisher(i, j) = fisher(j, i) = problem.blocks.getProduct(index, places[i], places[j]);
  }
  Matrix damped = fisher;
  damped.diagonal().array() += problem.damping;
  decomposition.compute(damped);
}

Vector FisherBlock::computeMultipliers() const {
  // F^-1 = Rᵀ R.
  Matrix root = Matrix::Identity(size(), size());
  decomposition.matrixL().solveInPlace(root);
  if (problem.unitOf.empty())
    return weight.cwiseQuotient(root.colwise().squaredNorm().transpose());
  Matrix inverse = root.transpose() * root;
  llvm::MapVector<int32_t, std::vector<int64_t>> units;
  for (int64_t i = 0; i < size(); ++i)
    units[problem.unitOf[elements[i]]].push_back(i);
  Vector multipliers(size());
  for (const auto &[unit, own] : units) {
    Matrix part = inverse(own, own);
    Vector values = weight(own);
    Vector solved = part.llt().solve(values);
    multipliers(own) = solved;
  }
  return multipliers;
}

Vector FisherBlock::getLost(ArrayRef<int64_t> pruned) const {
  Vector lost = Vector::Zero(size());
  for (int64_t i : pruned)
    lost[i] = -weight[i];
  return lost;
}

Vector FisherBlock::computeChange(ArrayRef<int64_t> kept, ArrayRef<int64_t> pruned, bool refits) const {
  Vector change = Vector::Zero(size());
  if (!refits) {
    Vector multipliers = computeMultipliers();
    for (int64_t i : pruned)
      change[i] = multipliers[i];
    Vector solved = decomposition.solve(change);
    change = -solved;
  } else if (!kept.empty()) {
    // The least loss, given that the pruned change by -w: F_kk d_k = F_kp w_p.
    std::vector<int64_t> rows(kept), columns(pruned);
    Matrix system = fisher(rows, rows), coupling = fisher(rows, columns);
    system.diagonal().array() += problem.damping;
    Vector wanted = coupling * weight(columns);
    Vector solved = system.llt().solve(wanted);
    change(rows) = solved;
  }
  for (int64_t i : pruned)
    change[i] = -weight[i];
  return change;
}

llvm::Expected<std::vector<float>> mlir::prune::computeMultipliers(const FisherProblem &problem, WorkerPool &pool) {
  fixCacheSizes();
  int64_t numBlocks = problem.blocks.getNumBlocks();
  std::vector<float> multipliers(problem.weight.size());
  std::vector<uint8_t> failed(numBlocks);
  pool.forEachChunk(numBlocks, kBlockChunk, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      FisherBlock block(problem, index);
      if (!block.isPositiveDefinite()) {
        failed[index] = 1;
        continue;
      }
      Vector found = block.computeMultipliers();
      for (int64_t i = 0; i < block.size(); ++i)
        multipliers[block.getElement(i)] = static_cast<float>(found[i]);
    }
  });
  if (auto place = llvm::find(failed, 1); place != failed.end())
    return createStringError("expected positive definite Fisher blocks with a damping of " +
                             formatNumber(problem.damping) + ", got block " + llvm::Twine(place - failed.begin()) +
                             ", which is not");
  return multipliers;
}

FisherLoss mlir::prune::updateByFisher(const FisherProblem &problem, ArrayRef<uint8_t> mask, bool refits,
                                       MutableArrayRef<float> updated, WorkerPool &pool) {
  fixCacheSizes();
  int64_t numBlocks = problem.blocks.getNumBlocks();
  std::vector<FisherLoss> losses(numBlocks);
  pool.forEachChunk(numBlocks, kBlockChunk, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      FisherBlock block(problem, index);
      SmallVector<int64_t> kept, pruned;
      for (int64_t i = 0; i < block.size(); ++i)
        (mask[block.getElement(i)] ? kept : pruned).push_back(i);
      Vector change = Vector::Zero(block.size());
      if (!pruned.empty()) {
        change = block.computeChange(kept, pruned, refits);
        losses[index] = {block.getLoss(block.getLost(pruned)), block.getLoss(change)};
      }
      for (int64_t i = 0; i < block.size(); ++i) {
        int64_t element = block.getElement(i);
        updated[element] = mask[element] ? static_cast<float>(problem.weight[element] + change[i]) : 0.0f;
      }
    }
  });
  FisherLoss total;
  for (const FisherLoss &loss : losses) {
    total.byMask += loss.byMask;
    total.updated += loss.updated;
  }
  return total;
}
