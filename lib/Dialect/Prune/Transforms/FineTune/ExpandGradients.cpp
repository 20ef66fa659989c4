//===- ExpandGradients.cpp - Reverse mode in the place of prune.gradient ------===//

#include "Recompute.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Interfaces/Gradient.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEEXPANDGRADIENTS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Clones the body of a function to where it is called, and those of the functions that it calls.
class Inliner {
public:
  explicit Inliner(SymbolTable &symbols) : symbols(symbols) {}

  /// The values that `callee` returns for `arguments`, computed at the place of `builder`. `place` is what calls.
  FailureOr<SmallVector<Value>> inlineCall(OpBuilder &builder, Operation *place, StringRef callee,
                                           ValueRange arguments) {
    auto function = symbols.lookup<func::FuncOp>(callee);
    if (!function || function.isExternal() || !function.getBody().hasOneBlock())
      return place->emitOpError() << "cannot be differentiated: expected a function of one block named '" << callee
                                  << "', got none";
    if (llvm::is_contained(stack, function))
      return place->emitOpError() << "cannot be differentiated: expected calls without recursion, got '" << callee
                                  << "' within itself";
    stack.push_back(function);
    IRMapping mapping;
    Block &body = function.getBody().front();
    mapping.map(body.getArguments(), arguments);
    for (Operation &op : body.without_terminator())
      if (failed(cloneOp(builder, op, mapping)))
        return failure();
    SmallVector<Value> results;
    for (Value returned : body.getTerminator()->getOperands())
      results.push_back(mapping.lookup(returned));
    stack.pop_back();
    return results;
  }

private:
  LogicalResult cloneOp(OpBuilder &builder, Operation &op, IRMapping &mapping) {
    if (auto call = dyn_cast<func::CallOp>(op)) {
      SmallVector<Value> arguments;
      for (Value operand : call.getOperands())
        arguments.push_back(mapping.lookup(operand));
      FailureOr<SmallVector<Value>> results = inlineCall(builder, call, call.getCallee(), arguments);
      if (failed(results))
        return failure();
      mapping.map(call.getResults(), *results);
      return success();
    }
    Operation *clone = builder.clone(op, mapping);
    SmallVector<func::CallOp> calls;
    clone->walk([&](func::CallOp call) { calls.push_back(call); });
    for (func::CallOp call : calls) {
      OpBuilder inner(call);
      FailureOr<SmallVector<Value>> results = inlineCall(inner, call, call.getCallee(), call.getOperands());
      if (failed(results))
        return failure();
      call.replaceAllUsesWith(*results);
      call.erase();
    }
    // Softmax as the reductions and elementwise ops that it consists of.
    if (auto aggregate = dyn_cast<linalg::AggregatedOpInterface>(clone)) {
      OpBuilder inner(clone);
      FailureOr<SmallVector<Value>> parts = aggregate.decomposeOperation(inner);
      if (failed(parts))
        return clone->emitOpError() << "cannot be differentiated: expected an op that can be decomposed, got one that "
                                       "cannot";
      mapping.map(op.getResults(), *parts);
      clone->erase();
    }
    return success();
  }

  SymbolTable &symbols;
  SmallVector<func::FuncOp> stack;
};

struct ExpandGradientsPass : public mlir::prune::impl::PruneExpandGradientsBase<ExpandGradientsPass> {
  using PruneExpandGradientsBase::PruneExpandGradientsBase;
  void runOnOperation() override;

private:
  LogicalResult expand(GradientOp op, SymbolTable &symbols);
};
} // namespace

/// Bytes of a statically shaped value of whole bytes or i1.
static int64_t getBytes(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrFloat())
    return 0;
  return type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
}

/// Bytes of the results of `ops` that ops behind the last of them, up to `end`, read.
static int64_t countStoredBytes(ArrayRef<Operation *> ops, Operation *end) {
  if (ops.empty())
    return 0;
  Operation *last = ops.back();
  int64_t bytes = 0;
  for (Operation *op : ops)
    for (Value result : op->getResults()) {
      auto isRead = [&](Operation *user) {
        Operation *ancestor = end->getBlock()->findAncestorOpInBlock(*user);
        return ancestor && last->isBeforeInBlock(ancestor) && ancestor->isBeforeInBlock(end);
      };
      if (!isa<arith::ConstantOp, linalg::FillOp, tensor::EmptyOp>(op) && llvm::any_of(result.getUsers(), isRead))
        bytes += getBytes(result);
    }
  return bytes;
}

LogicalResult ExpandGradientsPass::expand(GradientOp op, SymbolTable &symbols) {
  OpBuilder builder(op);
  Operation *before = op->getPrevNode();
  FailureOr<SmallVector<Value>> results = Inliner(symbols).inlineCall(builder, op, op.getCallee(), op.getInputs());
  if (failed(results))
    return failure();
  SmallVector<Operation *> ops;
  for (Operation *inner = before ? before->getNextNode() : &op->getBlock()->front(); inner != op;
       inner = inner->getNextNode())
    ops.push_back(inner);

  SmallVector<Value> sources;
  for (int64_t index : op.getBy())
    sources.push_back(op.getInputs()[index]);
  Gradients gradients(sources, ops);
  Location loc = op.getLoc();
  Value loss = results->front();
  auto lossType = cast<RankedTensorType>(loss.getType());
  Value one = arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(lossType, builder.getFloatAttr(lossType.getElementType(), 1.0)));
  gradients.add(builder, loc, loss, one);
  if (failed(gradients.sweep(builder, ops)))
    return failure();

  int64_t bytes = countStoredBytes(ops, op);
  if (recompute == "elementwise") {
    int64_t before = bytes, values = recomputeElementwise(ops, op);
    bytes = countStoredBytes(ops, op);
    numRecomputed += values;
    remark::analysis(loc, remark::RemarkOpts::name("Recomputed").category("gradient"))
        << remark::add("the gradient of '{0}' recomputes {1} values and keeps {2} bytes less", op.getCallee(), values,
                       before - bytes)
        << remark::metric("FreedBytes", before - bytes);
  }
  storedBytes += bytes;
  ++numGradients;
  remark::analysis(loc, remark::RemarkOpts::name("Stored").category("gradient"))
      << remark::add("the gradient of '{0}' keeps {1} bytes of the forward part", op.getCallee(), bytes)
      << remark::metric("StoredBytes", bytes);
  for (auto [index, source] : llvm::zip(op.getBy(), sources)) {
    Value gradient = gradients.get(source);
    if (!gradient) {
      remark::missed(loc, remark::RemarkOpts::name("NoDependence").category("gradient")) << remark::add(
          "the loss of '{0}' does not depend on argument {1}: its gradient is zero", op.getCallee(), index);
      gradient = createZeros(builder, loc, source.getType());
    }
    results->push_back(gradient);
  }
  op.replaceAllUsesWith(*results);
  op.erase();
  // Most rules compute more than is used in the end: what nothing reads goes at once.
  for (Operation *inner : llvm::reverse(ops))
    if (isOpTriviallyDead(inner))
      inner->erase();
  return success();
}

void ExpandGradientsPass::runOnOperation() {
  ModuleOp module = getOperation();
  if (recompute != "none" && recompute != "elementwise") {
    module.emitError() << "recompute: expected none or elementwise, got '" << recompute << "'";
    return signalPassFailure();
  }
  SymbolTable symbols(module);
  // Inner ones first: a function whose own gradients are code can itself be differentiated.
  while (true) {
    SmallVector<GradientOp> open;
    module.walk([&](GradientOp op) { open.push_back(op); });
    if (open.empty())
      return;
    auto isReady = [&](GradientOp op) {
      auto callee = symbols.lookup<func::FuncOp>(op.getCallee());
      return !callee || !callee.walk([](GradientOp) { return WalkResult::interrupt(); }).wasInterrupted();
    };
    auto ready = llvm::find_if(open, isReady);
    if (ready == open.end()) {
      open.front().emitOpError() << "cannot be expanded: expected a callee that does not take its own gradient, got '"
                                 << open.front().getCallee() << "'";
      return signalPassFailure();
    }
    if (failed(expand(*ready, symbols)))
      return signalPassFailure();
  }
}
