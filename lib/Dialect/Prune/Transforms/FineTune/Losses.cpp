//===- Losses.cpp - Loss functions as structured ops --------------------------===//
//
// Everything is a generic that reverse mode has a rule for. All losses are means: those that compare distributions and
// directions over the rows of the output (all dimensions but the last), the others over all elements.
//
//===----------------------------------------------------------------------===//

#include "Losses.h"
#include "Emit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <limits>

using namespace mlir;
using namespace mlir::prune;

static constexpr std::pair<LossKind, StringLiteral> kKinds[] = {{LossKind::CrossEntropy, "cross-entropy"},
                                                                {LossKind::MeanSquare, "mse"},
                                                                {LossKind::BinaryCrossEntropy, "bce"},
                                                                {LossKind::Cosine, "cosine"},
                                                                {LossKind::Divergence, "kl"}};

std::optional<LossKind> mlir::prune::parseLossKind(StringRef name) {
  for (auto [kind, spelling] : kKinds)
    if (spelling == name)
      return kind;
  return std::nullopt;
}

StringRef mlir::prune::stringifyLossKind(LossKind kind) {
  return llvm::find_if(kKinds, [&](const auto &entry) { return entry.first == kind; })->second;
}

/// True if a loss has one value for each row of the output, false if it has one for each element.
static bool isByRow(LossKind kind) {
  return kind == LossKind::CrossEntropy || kind == LossKind::Cosine || kind == LossKind::Divergence;
}

LogicalResult Loss::verify(Location loc, StringRef option, Type output) const {
  auto type = dyn_cast<RankedTensorType>(output);
  if (!type || !type.hasStaticShape() || !type.getElementType().isF32() || type.getNumElements() == 0 ||
      (isByRow(kind) && type.getRank() < 2))
    return emitError(loc) << option << ": " << stringifyLossKind(kind) << " expects an output of static shape, "
                          << (isByRow(kind) ? "two or more dimensions" : "at least one element") << " and f32, got "
                          << output;
  return success();
}

RankedTensorType Loss::getTargetType(RankedTensorType output) const {
  if (kind != LossKind::CrossEntropy)
    return output;
  return RankedTensorType::get(output.getShape().drop_back(), IntegerType::get(output.getContext(), 64));
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

/// The number that an element of a tensor of any arithmetic type is, as a float.
static Value emitToFloat(ImplicitLocOpBuilder &b, Value value, Type element) {
  if (value.getType() == element)
    return value;
  if (auto type = dyn_cast<FloatType>(value.getType()))
    return type.getWidth() < element.getIntOrFloatBitWidth() ? Value(arith::ExtFOp::create(b, element, value))
                                                             : Value(arith::TruncFOp::create(b, element, value));
  return value.getType().isInteger(1) ? Value(arith::UIToFPOp::create(b, element, value))
                                      : Value(arith::SIToFPOp::create(b, element, value));
}

/// Sums over the last dimensions until `rank` are left, one after the other: one sum of a million terms in f32 is off
/// by 1e-4.
static Value emitSumsTo(ImplicitLocOpBuilder &b, Value tensor, int64_t rank) {
  while (cast<RankedTensorType>(tensor.getType()).getRank() > rank) {
    Rows rows(tensor);
    tensor = emitReduction(b, tensor, rows.all, rows.reduced, rows.outer, b.getFloatAttr(rows.element, 0.0),
                           [](ImplicitLocOpBuilder &b, ValueRange args) {
                             return SmallVector<Value>{arith::AddFOp::create(b, args[1], args[0])};
                           });
  }
  return tensor;
}

/// Mean of a tensor. With `weights`, whose dimensions are the first ones of the tensor: sum of w x over sum of w.
static Value emitMean(ImplicitLocOpBuilder &b, Value tensor, Value weights) {
  auto type = cast<RankedTensorType>(tensor.getType());
  Type element = type.getElementType();
  auto scalar = RankedTensorType::get({}, element);
  double count = type.getNumElements();
  if (!weights) {
    return emitMap(b, emitSumsTo(b, tensor, 0), scalar,
                   [&](ImplicitLocOpBuilder &b, ValueRange args) {
                     return SmallVector<Value>{arith::DivFOp::create(b, args[0], emitFloat(b, count, element))};
                   })
        .front();
  }
  auto weightType = cast<RankedTensorType>(weights.getType());
  Value rows = emitSumsTo(b, tensor, weightType.getRank());
  RankedTensorType types[] = {cast<RankedTensorType>(rows.getType()), cast<RankedTensorType>(rows.getType())};
  SmallVector<Value> terms = emitMap(b, {rows, weights}, types, [&](ImplicitLocOpBuilder &b, ValueRange args) {
    Value weight = emitToFloat(b, args[1], element);
    return SmallVector<Value>{arith::MulFOp::create(b, args[0], weight), weight};
  });
  // How many elements one weight counts for.
  double share = count / double(weightType.getNumElements());
  return emitMap(b, {emitSumsTo(b, terms[0], 0), emitSumsTo(b, terms[1], 0)}, scalar,
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value total = arith::MulFOp::create(b, args[1], emitFloat(b, share, element));
                   return SmallVector<Value>{arith::DivFOp::create(b, args[0], total)};
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

/// (x - max) / T.
static Value emitShifted(ImplicitLocOpBuilder &b, Value x, Value max, double temperature) {
  Value z = arith::SubFOp::create(b, x, max);
  return temperature == 1 ? z : Value(arith::MulFOp::create(b, z, emitFloat(b, 1 / temperature, x.getType())));
}

namespace {
/// The maximum of each row, and the sum of exp((x - max) / T).
struct ExpSums {
  ExpSums(ImplicitLocOpBuilder &b, const Rows &rows, Value logits, double temperature);
  Value max, sum;
};
} // namespace

ExpSums::ExpSums(ImplicitLocOpBuilder &b, const Rows &rows, Value logits, double temperature) {
  auto lowest = b.getFloatAttr(rows.element, -std::numeric_limits<double>::infinity());
  max = emitReduction(b, logits, rows.all, rows.reduced, rows.outer, lowest,
                      [](ImplicitLocOpBuilder &b, ValueRange args) {
                        return SmallVector<Value>{arith::MaximumFOp::create(b, args[1], args[0])};
                      });
  AffineMap maps[] = {rows.all, rows.outer};
  sum = emitReduction(b, {logits, max}, maps, rows.reduced, rows.outer, b.getFloatAttr(rows.element, 0.0),
                      [&](ImplicitLocOpBuilder &b, ValueRange args) {
                        Value power = math::ExpOp::create(b, emitShifted(b, args[0], args[1], temperature));
                        return SmallVector<Value>{arith::AddFOp::create(b, args[2], power)};
                      });
}

/// loss(row) = log(sum exp z) - sum q z with z = x - max(row), q the smoothed label: since q sums to 1 the maximum
/// cancels. A label that is no class makes the loss NaN.
static Value emitCrossEntropies(ImplicitLocOpBuilder &b, Value output, Value labels, double smoothing) {
  Rows rows(output);
  int64_t rank = rows.type.getRank(), classes = rows.type.getShape().back();
  Type element = rows.element;
  ExpSums sums(b, rows, output, /*temperature=*/1);
  AffineMap labelMaps[] = {rows.all, rows.outer, rows.outer};
  Value chosen =
      emitReduction(b, {output, sums.max, labels}, labelMaps, rows.reduced, rows.outer, b.getFloatAttr(element, 0.0),
                    [&](ImplicitLocOpBuilder &b, ValueRange args) {
                      Value z = arith::SubFOp::create(b, args[0], args[1]);
                      Value q =
                          arith::SelectOp::create(b, emitIsLabel(b, args[2], rank),
                                                  emitFloat(b, 1 - smoothing + smoothing / double(classes), element),
                                                  emitFloat(b, smoothing / double(classes), element));
                      return SmallVector<Value>{arith::AddFOp::create(b, args[3], arith::MulFOp::create(b, q, z))};
                    });
  return emitMap(b, {sums.sum, chosen, labels}, rows.reduced,
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value loss = arith::SubFOp::create(b, math::LogOp::create(b, args[0]), args[1]);
                   Value invalid = emitFloat(b, std::numeric_limits<double>::quiet_NaN(), element);
                   return SmallVector<Value>{
                       arith::SelectOp::create(b, emitIsClass(b, args[2], classes), loss, invalid)};
                 })
      .front();
}

static Value emitSquares(ImplicitLocOpBuilder &b, Value output, Value target) {
  auto type = cast<RankedTensorType>(output.getType());
  return emitMap(b, {output, target}, type,
                 [](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value d = arith::SubFOp::create(b, args[0], args[1]);
                   return SmallVector<Value>{arith::MulFOp::create(b, d, d)};
                 })
      .front();
}

/// Binary cross entropy on logits: max(x, 0) - x y + log(1 + exp(-|x|)).
static Value emitBinaryCrossEntropies(ImplicitLocOpBuilder &b, Value output, Value target) {
  auto type = cast<RankedTensorType>(output.getType());
  Type element = type.getElementType();
  return emitMap(b, {output, target}, type,
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value x = args[0];
                   Value positive = arith::MaximumFOp::create(b, x, emitFloat(b, 0, element));
                   Value size = math::AbsFOp::create(b, x);
                   Value e = math::ExpOp::create(b, arith::NegFOp::create(b, size));
                   Value tail = math::LogOp::create(b, arith::AddFOp::create(b, emitFloat(b, 1, element), e));
                   Value rest = arith::SubFOp::create(b, positive, arith::MulFOp::create(b, x, args[1]));
                   return SmallVector<Value>{arith::AddFOp::create(b, rest, tail)};
                 })
      .front();
}

/// 1 - <x, y> / (|x| |y|) for each row; the norms are guarded as PyTorch guards them, by 1e-8 at least.
static Value emitCosineDistances(ImplicitLocOpBuilder &b, Value output, Value target) {
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
  return emitMap(b, products, rows.reduced,
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value least = emitFloat(b, 1e-16, element);
                   Value xx = math::SqrtOp::create(b, arith::MaximumFOp::create(b, args[1], least));
                   Value yy = math::SqrtOp::create(b, arith::MaximumFOp::create(b, args[2], least));
                   Value cosine = arith::DivFOp::create(b, args[0], arith::MulFOp::create(b, xx, yy));
                   return SmallVector<Value>{arith::SubFOp::create(b, emitFloat(b, 1, element), cosine)};
                 })
      .front();
}

/// T² KL(p || q) for each row with p = softmax(target / T) and q = softmax(output / T): with the logarithms of both as
/// z - log(sum exp z), sum p (z_p - z_q) - log(sum exp z_p) + log(sum exp z_q).
static Value emitDivergences(ImplicitLocOpBuilder &b, Value output, Value target, double temperature) {
  Rows rows(output);
  Type element = rows.element;
  ExpSums q(b, rows, output, temperature), p(b, rows, target, temperature);
  AffineMap maps[] = {rows.all, rows.outer, rows.all, rows.outer};
  Value weighted = emitReduction(b, {target, p.max, output, q.max}, maps, rows.reduced, rows.outer,
                                 b.getFloatAttr(element, 0.0), [&](ImplicitLocOpBuilder &b, ValueRange args) {
                                   Value zp = emitShifted(b, args[0], args[1], temperature);
                                   Value zq = emitShifted(b, args[2], args[3], temperature);
                                   Value difference = arith::SubFOp::create(b, zp, zq);
                                   Value term = arith::MulFOp::create(b, math::ExpOp::create(b, zp), difference);
                                   return SmallVector<Value>{arith::AddFOp::create(b, args[4], term)};
                                 });
  return emitMap(b, {weighted, p.sum, q.sum}, rows.reduced,
                 [&](ImplicitLocOpBuilder &b, ValueRange args) {
                   Value mean = arith::DivFOp::create(b, args[0], args[1]);
                   Value logs =
                       arith::SubFOp::create(b, math::LogOp::create(b, args[2]), math::LogOp::create(b, args[1]));
                   Value square = emitFloat(b, temperature * temperature, element);
                   return SmallVector<Value>{arith::MulFOp::create(b, square, arith::AddFOp::create(b, mean, logs))};
                 })
      .front();
}

Value Loss::emit(ImplicitLocOpBuilder &b, Value output, Value target, Value rowWeights) const {
  auto emitEach = [&] {
    switch (kind) {
    case LossKind::CrossEntropy:
      return emitCrossEntropies(b, output, target, labelSmoothing);
    case LossKind::MeanSquare:
      return emitSquares(b, output, target);
    case LossKind::BinaryCrossEntropy:
      return emitBinaryCrossEntropies(b, output, target);
    case LossKind::Cosine:
      return emitCosineDistances(b, output, target);
    case LossKind::Divergence:
      return emitDivergences(b, output, target, temperature);
    }
    llvm_unreachable("unknown kind of loss");
  };
  return emitMean(b, emitEach(), rowWeights);
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
