//===- TrainOps.cpp - Ops of fine-tuning --------------------------------------===//

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/SmallSet.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult GradientOp::verify() {
  if (getNumResults() < getBy().size() + 1)
    return emitOpError() << "expected at least " << getBy().size() + 1 << " results (gradient_c4), got "
                         << getNumResults();
  auto loss = dyn_cast<RankedTensorType>(getResult(0).getType());
  if (!loss || loss.getRank() != 0 || !isa<FloatType>(loss.getElementType()))
    return emitOpError() << "expected a float tensor of rank 0 as first result (gradient_c2), got "
                         << getResult(0).getType();
  llvm::SmallSet<int64_t, 8> seen;
  unsigned first = getNumResults() - getBy().size();
  for (auto [i, index] : llvm::enumerate(getBy())) {
    if (index < 0 || index >= static_cast<int64_t>(getInputs().size()))
      return emitOpError() << "by: expected arguments 0 to " << static_cast<int64_t>(getInputs().size()) - 1
                           << " (gradient_c3), got " << index;
    if (!seen.insert(index).second)
      return emitOpError() << "by: expected each argument once (gradient_c3), got " << index << " twice";
    Type type = getInputs()[index].getType();
    if (!isa<FloatType>(getElementTypeOrSelf(type)))
      return emitOpError() << "by: expected a float or float tensor (gradient_c3), got argument " << index
                           << " of type " << type;
    if (getResult(first + i).getType() != type)
      return emitOpError() << "result " << first + i << ": expected the type " << type << " of argument " << index
                           << " (gradient_c4), got " << getResult(first + i).getType();
  }
  return success();
}

LogicalResult GradientOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto function = symbols.lookupNearestSymbolFrom<FunctionOpInterface>(*this, getCalleeAttr());
  if (!function || function.isExternal())
    return emitOpError() << "expected a function with a body named '" << getCallee() << "' (gradient_c1), got none";
  if (!llvm::equal(function.getArgumentTypes(), getInputs().getTypes()))
    return emitOpError() << "expected operands of the types of the arguments of '" << getCallee()
                         << "' (gradient_c1): " << function.getArgumentTypes() << ", got " << getInputs().getTypes();
  TypeRange own = TypeRange(getResultTypes()).drop_back(getBy().size());
  if (!llvm::equal(function.getResultTypes(), own))
    return emitOpError() << "expected first the results of '" << getCallee()
                         << "' (gradient_c4): " << function.getResultTypes() << ", got " << own;
  return success();
}
