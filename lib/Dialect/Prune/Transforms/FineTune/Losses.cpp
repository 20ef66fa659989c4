//===- Losses.cpp - Loss functions as structured ops --------------------------===//
//
// Everything is a generic that reverse mode has a rule for. All losses are means: cross entropy over the rows of the
// output (all dimensions but the last), cosine distance too, the others over all elements.
//
//===----------------------------------------------------------------------===//

#include "Losses.h"
#include "Emit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include <limits>

using namespace mlir;
using namespace mlir::prune;

FailureOr<LossSignature> mlir::prune::getLossSignature(Location loc, Type output,
                                                       const PruneBuildTrainingOptions &options) {
  if (!llvm::is_contained({"cross-entropy", "mse", "bce", "cosine"}, options.loss))
    return emitError(loc) << "loss: expected cross-entropy, mse, bce or cosine, got '" << options.loss << "'";
  if (!(options.labelSmoothing >= 0 && options.labelSmoothing < 1))
    return emitError(loc) << "label-smoothing: expected a value in [0, 1), got "
                          << formatNumber(options.labelSmoothing);
  auto type = dyn_cast<RankedTensorType>(output);
  bool isByRow = options.loss == "cross-entropy" || options.loss == "cosine";
  if (!type || !type.hasStaticShape() || !type.getElementType().isF32() || type.getNumElements() == 0 ||
      (isByRow && type.getRank() < 2))
    return emitError(loc) << "loss: " << options.loss << " expects a first output of static shape, "
                          << (isByRow ? "two or more dimensions" : "at least one element") << " and f32, got "
                          << output;
  LossSignature signature{"target", type, false};
  if (options.loss == "cross-entropy")
    signature = {"labels", RankedTensorType::get(type.getShape().drop_back(), IntegerType::get(type.getContext(), 64)),
                 true};
  return signature;
}

namespace {
/// The rows of a tensor: everything but its last dimension.
struct Rows {
  explicit Rows(Value tensor)
      : type(cast<RankedTensorType>(tensor.getType())), element(type.getElementType()),
        reduced(RankedTensorType::get(type.getShape().drop_back(), element)) {
    MLIRContext *context = type.getContext();
    all = AffineMap::getMultiDimIdentityMap(type.getRank(), context);
    outer = AffineMap::get(type.getRank(), 0, all.getResults().drop_back(), context);
  }
  RankedTensorType type;
  Type element;
  RankedTensorType reduced;
  AffineMap all, outer;
};
} // namespace

/// Mean of a tensor: its sum over the number of elements. Sums of sums: one of a million terms in f32 is off by 1e-4.
static Value emitMean(ImplicitLocOpBuilder &b, Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  Type element = type.getElementType();
  Value sum = tensor;
  while (cast<RankedTensorType>(sum.getType()).getRank() > 0) {
    Rows rows(sum);
    sum = emitReduction(b, sum, rows.all, rows.reduced, rows.outer, b.getFloatAttr(element, 0.0),
                        [](ImplicitLocOpBuilder &b, ValueRange args) {
                          return SmallVector<Value>{arith::AddFOp::create(b, args[1], args[0])};
                        });
  }
  return emitMap(b, sum, RankedTensorType::get({}, element),
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value count = emitFloat(b, double(type.getNumElements()), element);
                   return SmallVector<Value>{arith::DivFOp::create(b, args[0], count)};
                 })
      .front();
}

/// True (i1) where the last index of the loop nest is the label.
static Value emitIsLabel(ImplicitLocOpBuilder &b, Value label, int64_t rank) {
  Value index = linalg::IndexOp::create(b, rank - 1);
  Value integer = arith::IndexCastOp::create(b, b.getI64Type(), index);
  return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, integer, label);
}

/// True (i1) if the label is a class. As unsigned a negative label is larger than any class.
static Value emitIsClass(ImplicitLocOpBuilder &b, Value label, int64_t classes) {
  Value count = arith::ConstantOp::create(b, b.getI64IntegerAttr(classes));
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, label, count);
}

/// loss(row) = log(sum exp z) - sum q z with z = x - max(row), q the smoothed label: since q sums to 1 the maximum
/// cancels. A label that is no class makes the loss NaN.
static Value emitCrossEntropy(ImplicitLocOpBuilder &b, Value output, Value labels, double smoothing) {
  Rows rows(output);
  int64_t rank = rows.type.getRank(), classes = rows.type.getShape().back();
  Type element = rows.element;
  auto lowest = b.getFloatAttr(element, -std::numeric_limits<double>::infinity());
  Value max = emitReduction(b, output, rows.all, rows.reduced, rows.outer, lowest,
                            [](ImplicitLocOpBuilder &b, ValueRange args) {
                              return SmallVector<Value>{arith::MaximumFOp::create(b, args[1], args[0])};
                            });
  auto zero = b.getFloatAttr(element, 0.0);
  AffineMap maps[] = {rows.all, rows.outer};
  Value sum = emitReduction(b, {output, max}, maps, rows.reduced, rows.outer, zero,
                            [](ImplicitLocOpBuilder &b, ValueRange args) {
                              Value z = arith::SubFOp::create(b, args[0], args[1]);
                              return SmallVector<Value>{arith::AddFOp::create(b, args[2], math::ExpOp::create(b, z))};
                            });
  AffineMap labelMaps[] = {rows.all, rows.outer, rows.outer};
  Value chosen =
      emitReduction(b, {output, max, labels}, labelMaps, rows.reduced, rows.outer, zero,
                    [&](ImplicitLocOpBuilder &b, ValueRange args) {
                      Value z = arith::SubFOp::create(b, args[0], args[1]);
                      Value q =
                          arith::SelectOp::create(b, emitIsLabel(b, args[2], rank),
                                                  emitFloat(b, 1 - smoothing + smoothing / double(classes), element),
                                                  emitFloat(b, smoothing / double(classes), element));
                      return SmallVector<Value>{arith::AddFOp::create(b, args[3], arith::MulFOp::create(b, q, z))};
                    });
  Value losses =
      emitMap(b, {sum, chosen, labels}, rows.reduced, [&](ImplicitLocOpBuilder &b, ValueRange args) {
        Value loss = arith::SubFOp::create(b, math::LogOp::create(b, args[0]), args[1]);
        Value invalid = emitFloat(b, std::numeric_limits<double>::quiet_NaN(), element);
        return SmallVector<Value>{arith::SelectOp::create(b, emitIsClass(b, args[2], classes), loss, invalid)};
      }).front();
  return emitMean(b, losses);
}

static Value emitMeanSquare(ImplicitLocOpBuilder &b, Value output, Value target) {
  auto type = cast<RankedTensorType>(output.getType());
  Value squares = emitMap(b, {output, target}, type, [](ImplicitLocOpBuilder &b, ValueRange args) {
                    Value d = arith::SubFOp::create(b, args[0], args[1]);
                    return SmallVector<Value>{arith::MulFOp::create(b, d, d)};
                  }).front();
  return emitMean(b, squares);
}

/// Binary cross entropy on logits: max(x, 0) - x y + log(1 + exp(-|x|)).
static Value emitBinaryCrossEntropy(ImplicitLocOpBuilder &b, Value output, Value target) {
  auto type = cast<RankedTensorType>(output.getType());
  Type element = type.getElementType();
  Value losses = emitMap(b, {output, target}, type, [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value x = args[0];
                   Value positive = arith::MaximumFOp::create(b, x, emitFloat(b, 0, element));
                   Value size = math::AbsFOp::create(b, x);
                   Value e = math::ExpOp::create(b, arith::NegFOp::create(b, size));
                   Value tail = math::LogOp::create(b, arith::AddFOp::create(b, emitFloat(b, 1, element), e));
                   Value rest = arith::SubFOp::create(b, positive, arith::MulFOp::create(b, x, args[1]));
                   return SmallVector<Value>{arith::AddFOp::create(b, rest, tail)};
                 }).front();
  return emitMean(b, losses);
}

/// 1 - <x, y> / (|x| |y|) for each row; the norms are guarded as PyTorch guards them, by 1e-8 at least.
static Value emitCosineDistance(ImplicitLocOpBuilder &b, Value output, Value target) {
  Rows rows(output);
  Type element = rows.element;
  auto dot = [&](Value x, Value y) {
    AffineMap maps[] = {rows.all, rows.all};
    return emitReduction(b, {x, y}, maps, rows.reduced, rows.outer, b.getFloatAttr(element, 0.0),
                         [](ImplicitLocOpBuilder &b, ValueRange args) {
                           Value product = arith::MulFOp::create(b, args[0], args[1]);
                           return SmallVector<Value>{arith::AddFOp::create(b, args[2], product)};
                         });
  };
  Value products[] = {dot(output, target), dot(output, output), dot(target, target)};
  Value losses = emitMap(b, products, rows.reduced, [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value least = emitFloat(b, 1e-16, element);
                   Value xx = math::SqrtOp::create(b, arith::MaximumFOp::create(b, args[1], least));
                   Value yy = math::SqrtOp::create(b, arith::MaximumFOp::create(b, args[2], least));
                   Value cosine = arith::DivFOp::create(b, args[0], arith::MulFOp::create(b, xx, yy));
                   return SmallVector<Value>{arith::SubFOp::create(b, emitFloat(b, 1, element), cosine)};
                 }).front();
  return emitMean(b, losses);
}

Value mlir::prune::emitLoss(ImplicitLocOpBuilder &b, Value output, Value labels,
                            const PruneBuildTrainingOptions &options) {
  if (options.loss == "cross-entropy")
    return emitCrossEntropy(b, output, labels, options.labelSmoothing);
  if (options.loss == "bce")
    return emitBinaryCrossEntropy(b, output, labels);
  if (options.loss == "cosine")
    return emitCosineDistance(b, output, labels);
  return emitMeanSquare(b, output, labels);
}

Value mlir::prune::emitCorrect(ImplicitLocOpBuilder &b, Value output, Value labels) {
  Rows rows(output);
  int64_t rank = rows.type.getRank(), classes = rows.type.getShape().back();
  Type element = rows.element, i64 = b.getI64Type();
  AffineMap maps[] = {rows.all, rows.outer};
  Value own = emitReduction(b, {output, labels}, maps, rows.reduced, rows.outer, b.getFloatAttr(element, 0.0),
                            [&](ImplicitLocOpBuilder &b, ValueRange args) {
                              Value isLabel = emitIsLabel(b, args[1], rank);
                              return SmallVector<Value>{arith::SelectOp::create(b, isLabel, args[0], args[2])};
                            });
  // How many classes come before the label in the order of outputs. NaN comes before everything.
  AffineMap rankMaps[] = {rows.all, rows.outer, rows.outer};
  Value before = emitReduction(b, {output, own, labels}, rankMaps, rows.reduced.clone(i64), rows.outer,
                               b.getI64IntegerAttr(0), [&](ImplicitLocOpBuilder &b, ValueRange args) {
                                 Value index = arith::IndexCastOp::create(b, i64, linalg::IndexOp::create(b, rank - 1));
                                 Value larger = arith::CmpFOp::create(b, arith::CmpFPredicate::UGT, args[0], args[1]);
                                 Value equal = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, args[0], args[1]);
                                 Value lower = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, index, args[2]);
                                 Value wins = arith::OrIOp::create(b, larger, arith::AndIOp::create(b, equal, lower));
                                 return SmallVector<Value>{
                                     arith::AddIOp::create(b, args[3], arith::ExtUIOp::create(b, i64, wins))};
                               });
  return emitSum(b, {before, labels}, i64, [&](ImplicitLocOpBuilder &b, ValueRange args) {
    Value zero = arith::ConstantOp::create(b, b.getI64IntegerAttr(0));
    Value first = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, args[0], zero);
    Value right = arith::AndIOp::create(b, first, emitIsClass(b, args[1], classes));
    return SmallVector<Value>{arith::ExtUIOp::create(b, i64, right)};
  });
}
