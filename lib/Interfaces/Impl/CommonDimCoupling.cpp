//===- CommonDimCoupling.cpp - Coupling rules of constants and masks ----------===//

#include "DimCouplingModels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Interfaces/DimCoupling.h"

using namespace mlir;
using namespace mlir::prune;

void prune::tieAll(DimRelations &relations, Value a, Value b) {
  auto aType = dyn_cast<RankedTensorType>(a.getType()), bType = dyn_cast<RankedTensorType>(b.getType());
  if (!aType && !bType)
    return;
  if (!aType || !bType || aType.getRank() != bType.getRank()) {
    for (Value value : {a, b})
      freezeAll(relations, value, "is passed on as another type");
    return;
  }
  for (int64_t dim = 0; dim < aType.getRank(); ++dim)
    relations.tie({a, dim}, {b, dim});
}

void prune::freezeAll(DimRelations &relations, Value value, const Twine &reason) {
  if (auto type = dyn_cast<RankedTensorType>(value.getType()))
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      relations.freeze({value, dim}, reason);
}

KnownScalar prune::getUniformElement(Value value) {
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return {};
  if (auto elements = dyn_cast<SplatElementsAttr>(attr))
    return {dyn_cast<TypedAttr>(elements.getSplatValue<Attribute>()), {}};
  if (!isa<ShapedType>(value.getType()))
    return {dyn_cast<TypedAttr>(attr), {}};
  return {};
}

namespace {

/// A constant: free in every dimension. Weights hold zero at removed indices, splats what they always hold.
struct ConstantModel : public DimCouplingOpInterface::ExternalModel<ConstantModel, arith::ConstantOp> {
  void collectDimRelations(Operation *, DimRelations &) const {}

  TypedAttr getRemovedElement(Operation *op, OpResult result, int64_t, ElementFn) const {
    if (KnownScalar uniform = getUniformElement(result); uniform.number)
      return uniform.number;
    return dyn_cast_or_null<TypedAttr>(
        Builder(op->getContext()).getZeroAttr(cast<RankedTensorType>(result.getType()).getElementType()));
  }
};

/// A masked weight.
struct ApplyModel : public DimCouplingOpInterface::ExternalModel<ApplyModel, ApplyOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    for (Value operand : op->getOperands())
      tieAll(relations, op->getResult(0), operand);
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    return element(op->getOperand(0), dim);
  }
};

} // namespace

void prune::registerDimCouplingExternalModels(DialectRegistry &registry) {
  registerLinalgDimCoupling(registry);
  registerTensorDimCoupling(registry);
  registry.addExtension(+[](MLIRContext *context, arith::ArithDialect *) {
    arith::ConstantOp::attachInterface<ConstantModel>(*context);
  });
  registry.addExtension(+[](MLIRContext *context, PruneDialect *) { ApplyOp::attachInterface<ApplyModel>(*context); });
}
