//===- Nest.cpp - A linalg op as a loop nest over linear addresses --------------===//

#include "Nest.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"

using namespace mlir;
using namespace mlir::prune;

Value prune::constantIndex(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value).getResult();
}

Value prune::addIndex(ImplicitLocOpBuilder &b, Value lhs, Value rhs) {
  if (!lhs || getConstantIntValue(lhs) == 0)
    return rhs ? rhs : lhs;
  if (!rhs || getConstantIntValue(rhs) == 0)
    return lhs;
  return arith::AddIOp::create(b, lhs, rhs).getResult();
}

Value prune::addIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs) {
  if (rhs == 0)
    return lhs ? lhs : constantIndex(b, 0);
  if (!lhs)
    return constantIndex(b, rhs);
  if (auto value = getConstantIntValue(lhs))
    return constantIndex(b, *value + rhs);
  return arith::AddIOp::create(b, lhs, constantIndex(b, rhs)).getResult();
}

Value prune::mulIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs) {
  if (rhs == 1)
    return lhs;
  if (auto value = getConstantIntValue(lhs))
    return constantIndex(b, *value * rhs);
  return arith::MulIOp::create(b, lhs, constantIndex(b, rhs)).getResult();
}

Value prune::mulIndex(ImplicitLocOpBuilder &b, Value lhs, const Coefficient &rhs) {
  if (!rhs.dynamic)
    return mulIndex(b, lhs, rhs.value);
  if (getConstantIntValue(lhs) == 0)
    return lhs;
  return arith::MulIOp::create(b, lhs, rhs.dynamic).getResult();
}

namespace {
/// Adds stride * expr to the linear address of an operand.
void addTerm(ImplicitLocOpBuilder &b, NestOperand &operand, OpFoldResult stride, AffineExpr expr) {
  if (auto sum = dyn_cast<AffineBinaryOpExpr>(expr); sum && expr.getKind() == AffineExprKind::Add) {
    addTerm(b, operand, stride, sum.getLHS());
    addTerm(b, operand, stride, sum.getRHS());
    return;
  }
  auto staticStride = getConstantIntValue(stride);
  int64_t factor = 1;
  AffineExpr term = expr;
  if (auto product = dyn_cast<AffineBinaryOpExpr>(expr); product && expr.getKind() == AffineExprKind::Mul) {
    if (auto constant = dyn_cast<AffineConstantExpr>(product.getRHS())) {
      factor = constant.getValue();
      term = product.getLHS();
    }
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(term)) {
    if (staticStride)
      operand.base += *staticStride * constant.getValue() * factor;
    else if (constant.getValue() != 0)
      operand.dynamicBase =
          addIndex(b, operand.dynamicBase, mulIndex(b, cast<Value>(stride), constant.getValue() * factor));
    return;
  }
  if (auto dim = dyn_cast<AffineDimExpr>(term)) {
    Coefficient &coefficient = operand.coefficients[dim.getPosition()];
    if (staticStride && !coefficient.dynamic) {
      coefficient.value += *staticStride * factor;
      return;
    }
    Value scaled = staticStride ? constantIndex(b, *staticStride * factor)
                                : mulIndex(b, cast<Value>(stride), factor);
    Value previous = coefficient.dynamic;
    if (!previous && coefficient.value != 0)
      previous = constantIndex(b, coefficient.value);
    coefficient.dynamic = addIndex(b, previous, scaled);
    return;
  }
  for (auto [i, coefficient] : llvm::enumerate(operand.coefficients))
    if (expr.isFunctionOfDim(i))
      coefficient.irregular = true;
  operand.irregular.push_back({stride, expr});
}

/// One dimension of unit stride over the whole buffer of `source`, and its offset.
Value flatten(ImplicitLocOpBuilder &b, Value source, MemRefType type, ArrayRef<int64_t> strides, int64_t offset,
              SmallVectorImpl<OpFoldResult> &strideValues, Value &dynamicOffset, int64_t &staticOffset) {
  bool dynamic = ShapedType::isDynamic(offset) || llvm::any_of(strides, ShapedType::isDynamic) || !type.hasStaticShape();
  staticOffset = 0;
  if (!dynamic) {
    for (int64_t stride : strides)
      strideValues.push_back(b.getIndexAttr(stride));
    if (type.getRank() == 1 && strides[0] == 1)
      return source;
    int64_t span = 1;
    for (auto [size, stride] : llvm::zip(type.getShape(), strides))
      span += std::max<int64_t>(size - 1, 0) * stride;
    auto layout = offset == 0 ? MemRefLayoutAttrInterface()
                              : MemRefLayoutAttrInterface(StridedLayoutAttr::get(b.getContext(), offset, {1}));
    auto flatType = MemRefType::get({span}, type.getElementType(), layout, type.getMemorySpace());
    return memref::ReinterpretCastOp::create(b, flatType, source, offset, ArrayRef<int64_t>{span},
                                             ArrayRef<int64_t>{1})
        .getResult();
  }
  auto metadata = memref::ExtractStridedMetadataOp::create(b, source);
  OpFoldResult offsetValue = ShapedType::isDynamic(offset) ? OpFoldResult(metadata.getOffset())
                                                            : OpFoldResult(b.getIndexAttr(offset));
  Value span = constantIndex(b, 1);
  for (int64_t i = 0, e = type.getRank(); i < e; ++i) {
    OpFoldResult stride = ShapedType::isDynamic(strides[i]) ? OpFoldResult(metadata.getStrides()[i])
                                                            : OpFoldResult(b.getIndexAttr(strides[i]));
    strideValues.push_back(stride);
    Value last = addIndex(b, metadata.getSizes()[i], -1);
    Coefficient factor;
    if (auto value = getConstantIntValue(stride))
      factor.value = *value;
    else
      factor.dynamic = cast<Value>(stride);
    span = addIndex(b, span, mulIndex(b, last, factor));
  }
  auto flatType = MemRefType::get({ShapedType::kDynamic}, type.getElementType(),
                                  StridedLayoutAttr::get(b.getContext(), offset, {1}), type.getMemorySpace());
  return memref::ReinterpretCastOp::create(b, flatType, metadata.getBaseBuffer(), offsetValue,
                                           ArrayRef<OpFoldResult>{span}, ArrayRef<OpFoldResult>{b.getIndexAttr(1)})
      .getResult();
}
} // namespace

FailureOr<Nest> prune::buildNest(ImplicitLocOpBuilder &b, linalg::LinalgOp op, std::string &reason) {
  Nest nest;
  nest.op = op;
  SmallVector<Range> ranges = op.createLoopRanges(b, b.getLoc());
  SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
  unsigned numLoops = ranges.size();
  nest.indexed.assign(numLoops, false);
  nest.body().walk([&](linalg::IndexOp index) { nest.indexed[index.getDim()] = true; });

  Block &body = nest.body();
  unsigned argument = 0;
  for (OpOperand &use : op->getOpOperands()) {
    NestOperand operand;
    operand.operand = &use;
    operand.output = op.isDpsInit(&use);
    operand.accumulates = operand.output && accumulatesOn(op, use);
    operand.elementType = getElementTypeOrSelf(use.get().getType());
    operand.coefficients.assign(numLoops, Coefficient());
    if (argument < body.getNumArguments())
      operand.argument = body.getArgument(argument++);
    if (auto type = dyn_cast<MemRefType>(use.get().getType())) {
      SmallVector<int64_t> strides;
      int64_t offset;
      if (failed(type.getStridesAndOffset(strides, offset))) {
        reason = "operand " + std::to_string(use.getOperandNumber()) + " has a layout without strides";
        return failure();
      }
      SmallVector<OpFoldResult> strideValues;
      Value dynamicOffset;
      operand.flat = flatten(b, use.get(), type, strides, offset, strideValues, dynamicOffset, operand.base);
      AffineMap map = op.getMatchingIndexingMap(&use);
      for (auto [expr, stride] : llvm::zip(map.getResults(), strideValues))
        addTerm(b, operand, stride, expr);
    } else if (isa<ShapedType>(use.get().getType())) {
      reason = "operand " + std::to_string(use.getOperandNumber()) + " is not a buffer";
      return failure();
    }
    nest.operands.push_back(std::move(operand));
  }

  // Dimensions of extent one disappear.
  SmallVector<int> kept;
  for (unsigned i = 0; i < numLoops; ++i) {
    auto size = getConstantIntValue(ranges[i].size);
    if (size == 0)
      nest.empty = true;
    bool irregular = llvm::any_of(nest.operands, [&](NestOperand &o) { return o.coefficients[i].irregular; });
    if (size == 1 && !irregular) {
      nest.dimOf.push_back(-1);
      continue;
    }
    NestDim dim;
    dim.size = size ? *size : ShapedType::kDynamic;
    if (!size)
      dim.dynamicSize = cast<Value>(ranges[i].size);
    dim.reduction = kinds[i] == utils::IteratorType::reduction;
    nest.dimOf.push_back(kept.size());
    kept.push_back(i);
    nest.dims.push_back(dim);
  }
  for (NestOperand &operand : nest.operands) {
    SmallVector<Coefficient> coefficients;
    for (int i : kept)
      coefficients.push_back(operand.coefficients[i]);
    operand.coefficients = std::move(coefficients);
  }
  SmallVector<bool> indexed;
  for (int i : kept)
    indexed.push_back(nest.indexed[i]);
  nest.indexed = std::move(indexed);
  return nest;
}

void prune::mergeDims(Nest &nest) {
  auto mergeable = [&](unsigned outer, unsigned inner) {
    const NestDim &a = nest.dims[outer], &c = nest.dims[inner];
    if (a.reduction != c.reduction || !a.isStatic() || !c.isStatic() || nest.indexed[outer] || nest.indexed[inner])
      return false;
    return llvm::all_of(nest.operands, [&](const NestOperand &operand) {
      const Coefficient &ca = operand.coefficients[outer], &cc = operand.coefficients[inner];
      return ca.isStatic() && cc.isStatic() && ca.value == c.size * cc.value;
    });
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (unsigned outer = 0; outer < nest.dims.size() && !changed; ++outer) {
      for (unsigned inner = 0; inner < nest.dims.size() && !changed; ++inner) {
        // A merged reduction keeps its order only if the outer dimension already ran outside.
        if (inner == outer || (nest.dims[outer].reduction && inner < outer) || !mergeable(outer, inner))
          continue;
        nest.dims[outer].size *= nest.dims[inner].size;
        for (NestOperand &operand : nest.operands) {
          operand.coefficients[outer] = operand.coefficients[inner];
          operand.coefficients.erase(operand.coefficients.begin() + inner);
        }
        nest.dims.erase(nest.dims.begin() + inner);
        nest.indexed.erase(nest.indexed.begin() + inner);
        for (int &dim : nest.dimOf) {
          if (dim == static_cast<int>(inner))
            dim = outer;
          if (dim > static_cast<int>(inner))
            --dim;
        }
        changed = true;
      }
    }
  }
}
