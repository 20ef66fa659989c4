//===- LowerDynamic.cpp - prune-lower-dynamic -------------------------------------===//

#include "SelectLargest.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/Transforms/Dynamic/Dynamic.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNELOWERDYNAMIC
#include "prune/Dialect/Prune/Transforms/Dynamic/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Beyond, n² comparisons take longer than 32 passes.
constexpr int64_t kMaxRanked = 64;

namespace {

using BodyFn = function_ref<Value(ImplicitLocOpBuilder &b, ValueRange args)>;

/// Emits the code of one mask. A dimension with units of several indices is seen as two: units, and what they hold.
class MaskLowering {
public:
  /// `useKeepLargest`: choose among many units by prune.keep_largest.
  explicit MaskLowering(DynamicMaskOp op, bool useKeepLargest = false);
  Value emitScores();
  Value emitMask(Value threshold);
  int64_t getUnitDim() const { return unitDim; }

private:
  Value emitThreshold(Value scores, Value threshold);
  Value emitKeep(Value scores);
  Value emitRanking(Value scores, int64_t ranked);
  Value emitKeepLargest(Value scores, int64_t ranked);
  /// Whether prune.keep_largest chooses.
  bool usesKeepLargest() { return useKeepLargest && op.getKeep() && op.getGroupSize() > kMaxRanked; }
  bool hasSingleElements() const { return scored.size() == shape.size(); }
  Value emitGeneric(ValueRange inputs, ArrayRef<AffineMap> maps, Value init, BodyFn body);
  Value makeEmpty(ArrayRef<int64_t> shape, Type element) { return tensor::EmptyOp::create(b, shape, element); }
  Value makeFloat(double value) { return arith::ConstantOp::create(b, b.getFloatAttr(scoreType, value)); }
  AffineMap getIdentity(int64_t rank) { return b.getMultiDimIdentityMap(rank); }

  DynamicMaskOp op;
  bool useKeepLargest;
  ImplicitLocOpBuilder b;
  Type scoreType;
  SmallVector<int64_t> shape;              ///< of the input, the dimension with units seen as two
  SmallVector<ReassociationIndices> split; ///< from the input's shape to that; empty if it is the same
  SmallVector<int64_t> scored;             ///< its dimensions that scores have
  int64_t unitDim = 0;                     ///< position of the units among these
};

} // namespace

MaskLowering::MaskLowering(DynamicMaskOp op, bool useKeepLargest)
    : op(op), useKeepLargest(useKeepLargest), b(op.getLoc(), op) {
  RankedTensorType type = op.getInput().getType();
  scoreType = type.getElementType().isF64() ? type.getElementType() : b.getF32Type();
  int64_t along = op.getAlong(), unit = op.getUnit();
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    if (dim == along)
      unitDim = scored.size();
    if (!llvm::is_contained(op.getWhole(), dim))
      scored.push_back(shape.size());
    split.push_back({static_cast<int64_t>(shape.size())});
    shape.push_back(dim == along ? op.getNumUnits() : type.getDimSize(dim));
    if (dim == along && unit > 1) {
      split.back().push_back(shape.size());
      shape.push_back(unit);
    }
  }
  if (unit == 1)
    split.clear();
}

/// One result over parallel loops, of which those that the result's map does not name are reductions.
Value MaskLowering::emitGeneric(ValueRange inputs, ArrayRef<AffineMap> maps, Value init, BodyFn body) {
  SmallVector<utils::IteratorType> loops;
  for (unsigned loop = 0; loop < maps.back().getNumDims(); ++loop)
    loops.push_back(maps.back().isFunctionOfDim(loop) ? utils::IteratorType::parallel : utils::IteratorType::reduction);
  return linalg::GenericOp::create(b, init.getType(), inputs, init, maps, loops,
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder nested(loc, builder);
                                     linalg::YieldOp::create(nested, body(nested, args));
                                   })
      .getResult(0);
}

/// The mean of |x|, or of x, over the elements of each unit.
Value MaskLowering::emitScores() {
  Value input = op.getInput();
  if (!split.empty())
    input = tensor::ExpandShapeOp::create(b, op.getInput().getType().clone(shape), input, split);
  SmallVector<int64_t> scoreShape;
  SmallVector<AffineExpr> results;
  int64_t elements = 1;
  for (auto [dim, size] : llvm::enumerate(shape)) {
    if (!llvm::is_contained(scored, static_cast<int64_t>(dim))) {
      elements *= size;
      continue;
    }
    scoreShape.push_back(size);
    results.push_back(b.getAffineDimExpr(dim));
  }
  AffineMap identity = getIdentity(shape.size()), map = AffineMap::get(shape.size(), 0, results, b.getContext());
  auto element = [&](ImplicitLocOpBuilder &body, Value x) -> Value {
    if (x.getType() != scoreType)
      x = arith::ExtFOp::create(body, scoreType, x);
    return op.getIsSigned() ? x : math::AbsFOp::create(body, x).getResult();
  };
  Value empty = makeEmpty(scoreShape, scoreType);
  if (hasSingleElements())
    return emitGeneric(input, {identity, map}, empty,
                       [&](ImplicitLocOpBuilder &body, ValueRange args) { return element(body, args[0]); });
  Value zeros = linalg::FillOp::create(b, makeFloat(0), empty).getResult(0);
  Value sums = emitGeneric(input, {identity, map}, zeros, [&](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
    return arith::AddFOp::create(body, args[1], element(body, args[0]));
  });
  AffineMap scores = getIdentity(scoreShape.size());
  Value count = makeFloat(static_cast<double>(elements));
  return emitGeneric(sums, {scores, scores}, empty, [&](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
    return arith::DivFOp::create(body, args[0], count);
  });
}

Value MaskLowering::emitThreshold(Value scores, Value threshold) {
  auto type = cast<RankedTensorType>(scores.getType());
  if (!threshold)
    threshold = makeFloat(op.getThreshold()->convertToDouble());
  AffineMap map = getIdentity(type.getRank());
  return emitGeneric(scores, {map, map}, makeEmpty(type.getShape(), b.getI1Type()),
                     [&](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
                       return arith::CmpFOp::create(body, arith::CmpFPredicate::UGT, args[0], threshold);
                     });
}

/// Counts for each unit those along dimension `ranked` that rank before it.
Value MaskLowering::emitRanking(Value scores, int64_t ranked) {
  // The last loop goes over the others.
  ArrayRef<int64_t> sizes = cast<RankedTensorType>(scores.getType()).getShape();
  int64_t rank = sizes.size();
  AffineMap own = AffineMap::get(rank + 1, 0, getIdentity(rank).getResults(), b.getContext());
  AffineMap other = own.replace(b.getAffineDimExpr(ranked), b.getAffineDimExpr(rank), rank + 1, 0);
  Value zero = arith::ConstantOp::create(b, b.getI32IntegerAttr(0));
  Value init = linalg::FillOp::create(b, zero, makeEmpty(sizes, b.getI32Type())).getResult(0);
  auto countBefore = [&](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
    // NaN is larger than all numbers and equal to itself.
    auto isLarger = [&](Value x, Value y) -> Value {
      Value larger = arith::CmpFOp::create(body, arith::CmpFPredicate::UGT, x, y);
      Value isNumber = arith::CmpFOp::create(body, arith::CmpFPredicate::ORD, y, y);
      return arith::AndIOp::create(body, larger, isNumber);
    };
    Value isLower = arith::CmpIOp::create(body, arith::CmpIPredicate::ult, linalg::IndexOp::create(body, rank),
                                          linalg::IndexOp::create(body, ranked));
    Value yes = arith::ConstantOp::create(body, body.getBoolAttr(true));
    Value notSmaller = arith::XOrIOp::create(body, isLarger(args[0], args[1]), yes);
    Value ranksBefore = arith::SelectOp::create(body, isLower, notSmaller, isLarger(args[1], args[0]));
    return arith::AddIOp::create(body, args[2], arith::ExtUIOp::create(body, body.getI32Type(), ranksBefore));
  };
  Value before = emitGeneric({scores, scores}, {own, other, own}, init, countBefore);
  Value keep = arith::ConstantOp::create(b, b.getI32IntegerAttr(static_cast<int32_t>(*op.getKeep())));
  return emitGeneric(before, {getIdentity(rank), getIdentity(rank)}, makeEmpty(sizes, b.getI1Type()),
                     [&](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
                       return arith::CmpIOp::create(body, arith::CmpIPredicate::slt, args[0], keep);
                     });
}

/// Rows of prune.keep_largest lie along the last dimension.
Value MaskLowering::emitKeepLargest(Value scores, int64_t ranked) {
  auto type = cast<RankedTensorType>(scores.getType());
  int64_t last = type.getRank() - 1;
  SmallVector<int64_t> permutation = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  std::swap(permutation[ranked], permutation[last]); // its own inverse
  auto transpose = [&](Value value) {
    auto from = cast<RankedTensorType>(value.getType());
    SmallVector<int64_t> shape = llvm::map_to_vector(permutation, [&](int64_t dim) { return from.getDimSize(dim); });
    return linalg::TransposeOp::create(b, value, makeEmpty(shape, from.getElementType()), permutation)->getResult(0);
  };
  if (ranked != last)
    scores = transpose(scores);
  type = cast<RankedTensorType>(scores.getType());
  Value init = makeEmpty(type.getShape(), b.getI1Type());
  Value kept = KeepLargestOp::create(b, init.getType(), scores, init, *op.getKeep(),
                                     /*magnitude=*/hasSingleElements() && !op.getIsSigned())
                   .getResult(0);
  return ranked != last ? transpose(kept) : kept;
}

/// The units of each group that score highest.
Value MaskLowering::emitKeep(Value scores) {
  auto type = cast<RankedTensorType>(scores.getType());
  SmallVector<ReassociationIndices> groups;
  int64_t ranked = unitDim;
  if (op.getOf()) { // groups are one more dimension
    SmallVector<int64_t> sizes(type.getShape());
    int64_t of = *op.getOf();
    sizes[unitDim] /= of;
    sizes.insert(sizes.begin() + ++ranked, of);
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      groups.push_back({dim + (dim > unitDim ? 1 : 0)});
      if (dim == unitDim)
        groups.back().push_back(dim + 1);
    }
    type = type.clone(sizes);
    scores = tensor::ExpandShapeOp::create(b, type, scores, groups);
  }
  bool isLong = ranked + 1 == type.getRank() && type.getShape().back() > kMaxRanked && scoreType.isF32();
  Value kept = usesKeepLargest() ? emitKeepLargest(scores, ranked)
               : isLong          ? emitLargest(b, scores, *op.getKeep())
                                 : emitRanking(scores, ranked);
  return op.getOf() ? tensor::CollapseShapeOp::create(b, kept, groups).getResult() : kept;
}

Value MaskLowering::emitMask(Value threshold) {
  // prune.keep_largest takes elements as they are.
  Value scores = usesKeepLargest() && hasSingleElements() ? op.getInput() : emitScores();
  Value mask = op.getKeep() ? emitKeep(scores) : emitThreshold(scores, threshold);
  if (!hasSingleElements()) { // each element gets what its unit got
    SmallVector<AffineExpr> results;
    for (int64_t dim : scored)
      results.push_back(b.getAffineDimExpr(dim));
    AffineMap map = AffineMap::get(shape.size(), 0, results, b.getContext());
    mask = emitGeneric(mask, {map, getIdentity(shape.size())}, makeEmpty(shape, b.getI1Type()),
                       [](ImplicitLocOpBuilder &, ValueRange args) { return args[0]; });
  }
  return split.empty() ? mask : tensor::CollapseShapeOp::create(b, mask, split).getResult();
}

Value mlir::prune::emitUnitScores(DynamicMaskOp op) { return MaskLowering(op).emitScores(); }
int64_t mlir::prune::getUnitDim(DynamicMaskOp op) { return MaskLowering(op).getUnitDim(); }
Value mlir::prune::emitDynamicMask(DynamicMaskOp op, Value threshold) { return MaskLowering(op).emitMask(threshold); }

static Value lowerGate(GateOp op) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  RankedTensorType type = op.getType();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  Value empty = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
  SmallVector<AffineMap> maps(3, b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, type, ValueRange{op.getInput(), op.getMask()}, empty, maps, loops,
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     Value kept = arith::SelectOp::create(builder, loc, args[1], args[0], zero);
                                     linalg::YieldOp::create(builder, loc, kept);
                                   })
      .getResult(0);
}

namespace {
struct PruneLowerDynamic : prune::impl::PruneLowerDynamicBase<PruneLowerDynamic> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<DynamicMaskOp, GateOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (auto mask = dyn_cast<DynamicMaskOp>(op); mask && !mask.getKeep() && !mask.getThreshold()) {
        mask.emitOpError() << "expected a threshold for its sparsity, got none: run prune-calibrate-gates first";
        return signalPassFailure();
      }
    }
    for (Operation *op : ops) {
      if (auto mask = dyn_cast<DynamicMaskOp>(op)) {
        op->getResult(0).replaceAllUsesWith(MaskLowering(mask, useKeepLargest).emitMask(/*threshold=*/Value()));
        ++numMasks;
      } else {
        op->getResult(0).replaceAllUsesWith(lowerGate(cast<GateOp>(op)));
        ++numGates;
      }
      op->erase();
    }
  }
};
} // namespace
