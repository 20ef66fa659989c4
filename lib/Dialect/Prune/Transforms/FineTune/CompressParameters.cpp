//===- CompressParameters.cpp - Parameters that are kept elements only --------===//

#include "MaskUpdates.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Numbers.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult mlir::prune::compressParameters(Location loc, MutableArrayRef<Parameter> parameters,
                                              const MaskPlan &plan) {
  if (plan.regrow > 0)
    return emitError(loc) << "sparse: expected masks that stay, got regrow=" << formatNumber(plan.regrow);
  if (plan.trainsPruned)
    return emitError(loc) << "sparse: expected update=masked, got straight-through";
  for (Parameter &parameter : parameters) {
    if (!parameter.isMasked())
      continue;
    if (MaskOp undecided = parameter.undecided)
      return emitError(undecided.getLoc()) << "sparse: expected a mask of '" << parameter.name
                                           << "' that is decided, got one that is not (run prune-evaluate-masks)";
    FailureOr<WeightData> data = WeightData::read(parameter.value);
    std::vector<float> kept;
    for (auto [weight, keeps] : llvm::zip_equal(data->values(), *parameter.mask))
      if (keeps)
        kept.push_back(weight);
    parameter.compressedBy = makeMaskAttr(parameter.getMaskType(), *parameter.mask, parameter.name + ".mask");
    parameter.mask.reset();
    parameter.type = RankedTensorType::get({static_cast<int64_t>(kept.size())}, parameter.type.getElementType());
    parameter.value = makeWeightAttr(parameter.type, kept, parameter.name + ".kept");
  }
  return success();
}
