//===- ControlFlowGradient.cpp - Gradient rules of scf ops --------------------===//

#include "GradientModels.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "prune/Interfaces/Gradient.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::prune;

/// Active values from outside that `region` reads.
static void collectActive(Region &region, const Gradients &gradients, llvm::SetVector<Value> &values) {
  region.walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (!region.isAncestor(operand.getParentRegion()) && gradients.isActive(operand))
        values.insert(operand);
  });
}

namespace {
/// The branch that was taken is computed again and differentiated, in an scf.if on the same condition.
struct IfGradient : GradientOpInterface::ExternalModel<IfGradient, scf::IfOp> {
  LogicalResult buildGradient(Operation *operation, OpBuilder &builder, Gradients &gradients) const {
    auto op = cast<scf::IfOp>(operation);
    Location loc = op.getLoc();
    llvm::SetVector<Value> sources;
    collectActive(op.getThenRegion(), gradients, sources);
    collectActive(op.getElseRegion(), gradients, sources);
    SmallVector<Type> types(ValueRange(sources.getArrayRef()).getTypes());
    auto reverse = scf::IfOp::create(builder, loc, types, op.getCondition(), /*addThenBlock=*/true,
                                     /*addElseBlock=*/true);
    for (auto [from, to] : {std::pair(op.thenBlock(), reverse.thenBlock()), {op.elseBlock(), reverse.elseBlock()}}) {
      OpBuilder b = OpBuilder::atBlockEnd(to);
      IRMapping mapping;
      SmallVector<Operation *> clones;
      for (Operation &inner : from->without_terminator())
        clones.push_back(b.clone(inner, mapping));
      Gradients local(sources.getArrayRef(), clones);
      for (auto [yielded, result] : llvm::zip(from->getTerminator()->getOperands(), op.getResults()))
        if (Value dy = gradients.get(result))
          local.add(b, loc, mapping.lookupOrDefault(yielded), dy);
      if (failed(local.sweep(b, clones)))
        return failure();
      SmallVector<Value> terms;
      for (Value source : sources) {
        Value term = local.get(source);
        terms.push_back(term ? term : createZeros(b, loc, source.getType()));
      }
      scf::YieldOp::create(b, loc, terms);
    }
    for (auto [source, term] : llvm::zip(sources, reverse.getResults()))
      gradients.add(builder, loc, source, term);
    return success();
  }
};
} // namespace

void prune::registerControlFlowGradients(DialectRegistry &registry) {
  registry.addExtension(
      +[](MLIRContext *context, scf::SCFDialect *) { scf::IfOp::attachInterface<IfGradient>(*context); });
}
