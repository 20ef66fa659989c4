//===- PruneToLoops.cpp - convert-prune-to-loops --------------------------------===//
//
// What is known at compile time (units, groups, who competes with whom) becomes calls of the functions in
// MaskLibrary.mlir; scratch is allocated here, with static sizes, so that prune-plan-memory can place it.
//
//===----------------------------------------------------------------------===//

#include "prune/Conversion/PruneToLoops/PruneToLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_CONVERTPRUNETOLOOPS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// A place in the order of scores, see MaskLibrary.mlir.
struct Cut {
  Value key, last;
};

/// The units of some weights, one after the other, and the calls that work on them.
class UnitRanking {
public:
  UnitRanking(RewriterBase &rewriter, Operation *op, MaskLibrary &library)
      : b(op->getLoc(), rewriter), op(op), library(library) {}

  /// Fails, with a message, on buffers that do not lie row-major in memory.
  LogicalResult checkLayouts();
  /// Lays the pattern on one weight more.
  void addWeight(PatternAttrInterface pattern, ArrayRef<int64_t> shape);
  void allocate();

  void writeKeys(unsigned weight, Value scores, ScoreOrder order, ScoreReduction reduction, Value into);
  /// Makes all units candidates but those that groups forbid.
  void openAll();
  Cut findCut(unsigned weight, Value keep);
  void writeMask(unsigned weight, Cut cut, Value mask);

  ValueRange call(StringRef name, TypeRange results, ValueRange arguments);
  Value makeIndex(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
  Value makeTrue(bool value) { return arith::ConstantOp::create(b, b.getBoolAttr(value)); }
  Value makeKey(int64_t value) { return arith::ConstantOp::create(b, b.getI64IntegerAttr(value)); }
  /// A buffer of run-time size that is allocated with a static one.
  Value makeBuffer(int64_t size, Type element);
  /// The elements of a buffer in a row.
  Value flatten(Value buffer);
  /// Sizes and box of a weight.
  SmallVector<Value> getBoxes(unsigned weight);
  Value getBegin(unsigned weight) { return makeIndex(begins[weight]); }
  Value getEnd(unsigned weight) { return makeIndex(begins[weight + 1]); }

  ImplicitLocOpBuilder b;
  Value keys, states;
  SmallVector<UnitBoxes> boxes;
  SmallVector<int64_t> begins = {0};

private:
  Operation *op;
  MaskLibrary &library;
};

} // namespace

LogicalResult UnitRanking::checkLayouts() {
  for (Value operand : op->getOperands())
    if (auto type = dyn_cast<MemRefType>(operand.getType()); type && !type.getLayout().isIdentity())
      return op->emitOpError() << "expected buffers of row-major layout, got " << type;
  return success();
}

void UnitRanking::addWeight(PatternAttrInterface pattern, ArrayRef<int64_t> shape) {
  boxes.push_back(*pattern.getUnitBoxes(shape));
  begins.push_back(begins.back() + boxes.back().getNumUnits());
}

void UnitRanking::allocate() {
  keys = makeBuffer(begins.back(), b.getI32Type());
  states = makeBuffer(begins.back(), b.getI8Type());
}

ValueRange UnitRanking::call(StringRef name, TypeRange results, ValueRange arguments) {
  library.require(name);
  return func::CallOp::create(b, name, results, arguments).getResults();
}

Value UnitRanking::makeBuffer(int64_t size, Type element) {
  Value buffer = memref::AllocOp::create(b, MemRefType::get({size}, element));
  return flatten(buffer);
}

Value UnitRanking::flatten(Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  if (type.getRank() > 1) {
    ReassociationIndices all = llvm::to_vector(llvm::seq<int64_t>(type.getRank()));
    buffer = memref::CollapseShapeOp::create(b, buffer, ArrayRef<ReassociationIndices>{all});
  }
  return memref::CastOp::create(b, MemRefType::get({ShapedType::kDynamic}, type.getElementType()), buffer);
}

SmallVector<Value> UnitRanking::getBoxes(unsigned weight) {
  SmallVector<Value> values;
  for (const std::array<int64_t, 3> &sizes : {boxes[weight].sizes, boxes[weight].box})
    for (int64_t size : sizes)
      values.push_back(makeIndex(size));
  return values;
}

void UnitRanking::writeKeys(unsigned weight, Value scores, ScoreOrder order, ScoreReduction reduction, Value into) {
  SmallVector<Value> arguments = {flatten(scores), makeTrue(order == ScoreOrder::Signed)};
  bool areElements = boxes[weight].areElements();
  if (!areElements) {
    arguments.push_back(makeIndex(static_cast<int64_t>(reduction)));
    llvm::append_range(arguments, getBoxes(weight));
  }
  arguments.push_back(into);
  arguments.push_back(getBegin(weight));
  call(areElements ? "prune_write_keys" : "prune_write_box_keys", {}, arguments);
}

void UnitRanking::openAll() {
  call("prune_open", {}, states);
  for (auto [weight, units] : llvm::enumerate(boxes)) {
    if (units.m == 0)
      continue;
    int64_t columns = (units.sizes[2] - 1) / units.box[2] + 1;
    int64_t rows = units.getNumUnits() / columns;
    call("prune_constrain", {},
         {keys, states, getBegin(weight), makeIndex(rows), makeIndex(columns), makeIndex(units.n), makeIndex(units.m)});
  }
}

Cut UnitRanking::findCut(unsigned weight, Value keep) {
  ValueRange cut = call("prune_find_cut", {b.getI64Type(), b.getIndexType()},
                        {keys, states, getBegin(weight), getEnd(weight), keep});
  return {cut[0], cut[1]};
}

void UnitRanking::writeMask(unsigned weight, Cut cut, Value mask) {
  SmallVector<Value> arguments = {keys, states, cut.key, cut.last, getBegin(weight)};
  llvm::append_range(arguments, getBoxes(weight));
  arguments.push_back(flatten(mask));
  call("prune_write_mask", {}, arguments);
}

/// The key of the largest float that is `threshold` or less: keys above it are those of scores above the threshold.
static int64_t getThresholdKey(APFloat threshold, ScoreOrder order) {
  bool losesInfo;
  threshold.convert(APFloat::IEEEsingle(), APFloat::rmTowardNegative, &losesInfo);
  if (order == ScoreOrder::Magnitude && threshold.isNegative() && !threshold.isZero())
    return -1;
  return getScoreKey(threshold.convertToFloat(), order);
}

namespace {

/// One `prune.select_masks` on its way to loops.
class Selection {
public:
  Selection(RewriterBase &rewriter, SelectMasksOp op, MaskLibrary &library)
      : op(op), units(rewriter, op, library), b(units.b) {}

  LogicalResult lower();

private:
  /// The least that each weight keeps.
  SmallVector<Value> getLeast();
  /// A buffer that holds `values`.
  Value makeList(ArrayRef<Value> values);
  SmallVector<Cut> rankTogether(ArrayRef<Value> least);
  SmallVector<Cut> rankNormalized(ArrayRef<Value> least);

  SelectMasksOp op;
  UnitRanking units;
  ImplicitLocOpBuilder &b;
};

} // namespace

SmallVector<Value> Selection::getLeast() {
  SmallVector<Value> least;
  Value usual = units.makeIndex(1);
  if (op.getSparsity()) {
    Value one = arith::ConstantOp::create(b, b.getF64FloatAttr(1));
    Value isAll = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, op.getSparsity(), one);
    usual = arith::SelectOp::create(b, isAll, units.makeIndex(0), usual);
  }
  for (unsigned weight = 0; weight < units.boxes.size(); ++weight)
    least.push_back(op.getMinKeepOf(weight) < 0 ? usual : units.makeIndex(op.getMinKeepOf(weight)));
  return least;
}

Value Selection::makeList(ArrayRef<Value> values) {
  Value list = units.makeBuffer(values.size(), b.getIndexType());
  for (auto [place, value] : llvm::enumerate(values))
    memref::StoreOp::create(b, value, list, units.makeIndex(place));
  return list;
}

SmallVector<Cut> Selection::rankTogether(ArrayRef<Value> least) {
  SmallVector<Value> bounds;
  for (int64_t begin : units.begins)
    bounds.push_back(units.makeIndex(begin));
  Value keep = units.call("prune_budget", b.getIndexType(), {units.states, op.getSparsity()})[0];
  ValueRange cut = units.call("prune_rank_together", {b.getI64Type(), b.getIndexType()},
                              {units.keys, units.states, makeList(bounds), makeList(least), keep});
  return SmallVector<Cut>(units.boxes.size(), Cut{cut[0], cut[1]});
}

SmallVector<Cut> Selection::rankNormalized(ArrayRef<Value> least) {
  int64_t largest = 0;
  for (const UnitBoxes &weight : units.boxes)
    largest = std::max(largest, weight.getNumUnits());
  Value first = units.makeBuffer(largest, b.getI32Type()), second = units.makeBuffer(largest, b.getI32Type());
  Value worths = units.makeBuffer(units.begins.back(), b.getF64Type());
  Value isSigned = units.makeTrue(op.getCriterion().getScoreOrder() == ScoreOrder::Signed);
  Value isLamp = units.makeTrue(op.getNormalization() == Normalization::LAMP);
  Value keep = units.call("prune_budget", b.getIndexType(), {units.states, op.getSparsity()})[0];
  SmallVector<Value> places = {units.makeIndex(0)};
  for (unsigned weight = 0; weight < units.boxes.size(); ++weight) {
    Value count = units.call("prune_normalize", b.getIndexType(),
                             {units.keys, isSigned, units.states, units.getBegin(weight), units.getEnd(weight), isLamp,
                              first, second, worths, places.back()})[0];
    places.push_back(arith::AddIOp::create(b, places.back(), count));
  }
  Value kept = units.makeBuffer(units.boxes.size(), b.getIndexType());
  units.call("prune_split_by_rank", {}, {worths, makeList(places), makeList(least), keep, kept});
  SmallVector<Cut> cuts;
  for (unsigned weight = 0; weight < units.boxes.size(); ++weight)
    cuts.push_back(units.findCut(weight, memref::LoadOp::create(b, kept, units.makeIndex(weight))));
  return cuts;
}

LogicalResult Selection::lower() {
  if (failed(units.checkLayouts()))
    return failure();
  ScoreOrder order = op.getCriterion().getScoreOrder();
  for (Value scores : op.getScores())
    units.addWeight(op.getPattern(), cast<MemRefType>(scores.getType()).getShape());
  units.allocate();
  for (auto [weight, scores] : llvm::enumerate(op.getScores()))
    units.writeKeys(weight, scores, order, op.getCriterion().getReduction(), units.keys);
  units.openAll();

  SmallVector<Value> least = getLeast();
  SmallVector<Cut> cuts;
  if (op.getSparsity()) {
    // A weight alone is normalised by itself.
    cuts = op.getNormalization() && least.size() > 1 ? rankNormalized(least) : rankTogether(least);
  } else {
    // Without a target everything that its group allows lives.
    Value key = units.makeKey(op.getThreshold() ? getThresholdKey(*op.getThreshold(), order) : -1);
    for (auto [weight, needed] : llvm::enumerate(least)) {
      ValueRange cut =
          units.call("prune_cut_at", {b.getI64Type(), b.getIndexType()},
                     {units.keys, units.states, units.getBegin(weight), units.getEnd(weight), key, needed});
      cuts.push_back({cut[0], cut[1]});
    }
  }
  for (auto [weight, cut, mask] : llvm::enumerate(cuts, op.getInits()))
    units.writeMask(weight, cut, mask);
  return success();
}

LogicalResult mlir::prune::lowerSelectMasks(RewriterBase &rewriter, SelectMasksOp op, MaskLibrary &library) {
  rewriter.setInsertionPoint(op);
  if (failed(Selection(rewriter, op, library).lower()))
    return failure();
  rewriter.eraseOp(op);
  return success();
}

LogicalResult mlir::prune::lowerRegrowMask(RewriterBase &rewriter, RegrowMaskOp op, MaskLibrary &library) {
  rewriter.setInsertionPoint(op);
  UnitRanking units(rewriter, op, library);
  if (failed(units.checkLayouts()))
    return failure();
  ImplicitLocOpBuilder &b = units.b;
  units.addWeight(op.getPattern(), cast<MemRefType>(op.getWeight().getType()).getShape());
  units.allocate();
  units.writeKeys(0, op.getWeight(), ScoreOrder::Magnitude, ScoreReduction::Mean, units.keys);
  SmallVector<Value> arguments = {units.flatten(op.getMask())};
  llvm::append_range(arguments, units.getBoxes(0));
  arguments.push_back(units.states);
  Value kept = units.call("prune_read_mask", b.getIndexType(), arguments)[0];
  Value exchanged = units.call("prune_count_share", b.getIndexType(), {op.getShare(), kept})[0];
  Cut stays = units.findCut(0, arith::SubIOp::create(b, kept, exchanged));
  units.call("prune_settle", {}, {units.keys, units.states, units.getBegin(0), units.getEnd(0), stays.key, stays.last});
  units.call("prune_reopen", {}, units.states);
  // The weights have been ranked: their keys give way to those of the gradient.
  units.writeKeys(0, op.getGradient(), ScoreOrder::Magnitude, ScoreReduction::Mean, units.keys);
  units.writeMask(0, units.findCut(0, exchanged), op.getInit());
  rewriter.eraseOp(op);
  return success();
}

namespace {
struct ConvertPruneToLoops : prune::impl::ConvertPruneToLoopsBase<ConvertPruneToLoops> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<SelectMasksOp, RegrowMaskOp>(op))
        ops.push_back(op);
    });
    if (ops.empty())
      return;
    FailureOr<MaskLibrary> library = MaskLibrary::load(getOperation());
    if (failed(library))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    for (Operation *op : ops) {
      if (!cast<DestinationStyleOpInterface>(op).hasPureBufferSemantics()) {
        op->emitOpError() << "expected buffers, got tensors: bufferize before generating loops";
        return signalPassFailure();
      }
      auto select = dyn_cast<SelectMasksOp>(op);
      if (failed(select ? lowerSelectMasks(rewriter, select, *library)
                        : lowerRegrowMask(rewriter, cast<RegrowMaskOp>(op), *library)))
        return signalPassFailure();
      ++numOps;
    }
  }
};
} // namespace
