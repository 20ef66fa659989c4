//===- LayerDecision.cpp - Masks from statistics of activations ---------------===//

#include "LayerDecision.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

void mlir::prune::countPrunedTogether(ArrayRef<LayerDecision *> members, WorkerPool &pool) {
  MaskOp first = members.front()->mask;
  PatternAttrInterface pattern = first.getPattern();
  if (members.size() == 1) {
    ArrayRef<int64_t> shape = first.getWeight().getType().getShape();
    int64_t numUnits = countUnits(pattern, shape), imposed = pattern.getNumImposed(shape);
    int64_t wanted =
        first.getTargetSparsity() ? countPruned(first.getTargetSparsity()->convertToDouble(), numUnits) : imposed;
    members.front()->numPruned = std::max(imposed, std::min(wanted, numUnits - first.getEffectiveMinKeep()));
    return;
  }
  SelectionOptions options = getSelectionOptions(first);
  options.order = ScoreOrder::Magnitude;
  options.reduction = ScoreReduction::Mean;
  options.withinRows = false;
  // Vectors of unknown length first: tensors point into them.
  std::vector<WeightData> weights;
  std::vector<std::vector<uint8_t>> masks(members.size());
  weights.reserve(members.size());
  SmallVector<SelectionTensor> tensors;
  for (auto [member, mask] : llvm::zip_equal(members, masks)) {
    weights.push_back(std::move(*WeightData::read(getConstantAttr(member->mask.getWeight()))));
    mask.resize(weights.back().values().size());
    tensors.push_back({weights.back().shape(), weights.back().values(), member->mask.getEffectiveMinKeep(), mask});
  }
  selectMasks(tensors, options, pool);
  for (auto [member, tensor, mask] : llvm::zip_equal(members, tensors, masks))
    member->numPruned = countPrunedUnits(pattern, tensor.shape, mask);
}

/// Decides `decision` by its scores, without an update.
static LogicalResult decideByScores(LayerDecision &decision, const InputStatistic &statistic, ArrayRef<float> norms,
                                    ArrayRef<InverseFactor> factors, WorkerPool &pool) {
  MaskOp mask = decision.mask;
  CriterionAttrInterface criterion = mask.getCriterion();
  ArrayRef<int64_t> shape = mask.getWeight().getType().getShape();
  int64_t groupSize = decision.values.size() / statistic.numGroups, columns = statistic.numColumns;
  int64_t groupShape[] = {groupSize / columns, columns};
  std::vector<float> scores(decision.values.size());
  pool.forEach(statistic.numGroups, [&](int64_t group) {
    std::vector<float> diagonal;
    if (!factors.empty())
      diagonal.assign(factors[group].diagonal.begin(), factors[group].diagonal.end());
    ScoreInputs inputs;
    inputs.name = decision.name;
    inputs.shape = groupShape;
    inputs.weight = ArrayRef(decision.values).slice(group * groupSize, groupSize);
    inputs.columnNorms = norms.slice(group * columns, columns);
    inputs.factorDiagonal = diagonal;
    criterion.scoreElements(inputs, 0, groupSize, scores.data() + group * groupSize);
  });
  if (int64_t place = findNaN(scores, pool); place >= 0)
    return emitError(mask.getLoc()) << "criterion " << spell(criterion) << " scores weight '" << decision.name
                                    << "' NaN at index " << formatIndex(shape, place);
  SelectionOptions options = getSelectionOptions(mask);
  options.sparsity = static_cast<double>(decision.numPruned) / countUnits(mask.getPattern(), shape);
  options.normalization = std::nullopt;
  SelectionTensor tensor{shape, scores, /*minKeep=*/0, decision.bytes};
  selectMasks(tensor, options, pool);
  for (auto [value, keeps] : llvm::zip_equal(decision.values, decision.bytes))
    value = keeps ? value : 0.0f;
  return success();
}

/// Decides `decision` with an update and says in a remark what that was good for.
static void decideWithUpdate(LayerDecision &decision, const InputStatistic &statistic, ArrayRef<InverseFactor> factors,
                             const UpdateSettings &settings, WorkerPool &pool) {
  int64_t columns = statistic.numColumns, rows = decision.values.size() / columns;
  // What is only said is only found out if somebody listens.
  bool isHeard = decision.mask.getContext()->getRemarkEngine();
  std::vector<float> before = isHeard ? decision.values : std::vector<float>();
  UpdateProblem problem;
  problem.criterion = decision.mask.getCriterion();
  problem.pattern = decision.mask.getPattern();
  problem.name = decision.name;
  problem.rows = rows;
  problem.columns = columns;
  problem.factors = factors;
  problem.numPruned = decision.numPruned;
  problem.counts = settings.counts;
  problem.refits = settings.refits;
  problem.isDecided = decision.isGiven;
  problem.unitOfColumn = decision.unitOfColumn;
  problem.weight = decision.values;
  problem.mask = decision.bytes;
  pruneWithUpdates(problem, pool);
  if (!isHeard)
    return;

  auto measure = [&](ArrayRef<float> values) { return getSquaredNorm(values, rows, columns, statistic.sums, pool); };
  double all = measure(before);
  std::vector<float> lost = before, changed = before;
  for (auto [i, value] : llvm::enumerate(decision.values)) {
    lost[i] = decision.bytes[i] ? 0.0f : lost[i];
    changed[i] -= value;
  }
  double byMask = all > 0 ? measure(lost) / all : 0, updated = all > 0 ? measure(changed) / all : 0;
  int64_t dead = 0;
  for (const InverseFactor &factor : factors)
    dead += factor.dead.count();
  remark::passed(decision.mask.getLoc(), remark::RemarkOpts::name("Updated").category("calibrate")) << remark::add(
      "'{0}' prunes {1} of {2} units: squared error {3} by the mask alone, {4} with the update; damping "
      "{5}, {6} dead columns, {7} rows",
      decision.name, decision.numPruned, countUnits(problem.pattern, decision.mask.getWeight().getType().getShape()),
      formatNumber(byMask), formatNumber(updated), formatNumber(factors.front().damping), dead, statistic.numRows);
}

LogicalResult mlir::prune::decideLayers(ArrayRef<LayerDecision *> members, const InputStatistic &statistic,
                                        const UpdateSettings &settings, WorkerPool &pool) {
  MaskOp first = members.front()->mask;
  auto fail = [&] { return emitError(first.getLoc()) << "the input of weight '" << members.front()->name << "' "; };
  if (statistic.numRows == 0)
    return fail() << "has no row that counts: padding leaves out all of them";
  if (!llvm::all_of(statistic.sums, [](double sum) { return std::isfinite(sum); }))
    return fail() << "holds NaN, infinity or numbers whose squares are no f32";
  bool isGram = statistic.kind == Statistic::Gram;
  int64_t columns = statistic.numColumns, numGroups = statistic.numGroups;
  std::vector<float> norms(numGroups * columns);
  for (int64_t i = 0; i < numGroups * columns; ++i)
    norms[i] = static_cast<float>(statistic.sums[isGram ? i * columns + i % columns : i] / statistic.numRows);

  std::vector<InverseFactor> factors;
  if (isGram) {
    std::vector<std::optional<InverseFactor>> found(numGroups);
    auto factor = [&](int64_t group, WorkerPool &own) {
      ArrayRef<double> gram = ArrayRef(statistic.sums).slice(group * columns * columns, columns * columns);
      found[group] = factorInverse(gram, statistic.numRows, settings.damping, own);
    };
    if (numGroups == 1)
      factor(0, pool);
    else
      pool.forEach(numGroups, [&](int64_t group) {
        WorkerPool alone(1);
        factor(group, alone);
      });
    for (std::optional<InverseFactor> &factor : found) {
      if (!factor)
        return fail() << "has a Gram matrix that is not positive definite, with a damping of "
                      << formatNumber(kMaxDamping) << " either";
      if (factor->damping != settings.damping)
        remark::missed(first.getLoc(), remark::RemarkOpts::name("Damping").category("calibrate")) << remark::add(
            "damping of the input of '{0}' raised from {1} to {2}: its Gram matrix is not positive definite",
            members.front()->name, formatNumber(settings.damping), formatNumber(factor->damping));
      factors.push_back(std::move(*factor));
    }
  }
  for (LayerDecision *member : members) {
    if (member->mask.getCriterion().updatesWeights())
      decideWithUpdate(*member, statistic, factors, settings, pool);
    else if (failed(decideByScores(*member, statistic, norms, factors, pool)))
      return failure();
  }
  return success();
}
