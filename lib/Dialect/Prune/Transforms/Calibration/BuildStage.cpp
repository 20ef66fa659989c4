//===- BuildStage.cpp - A stage as a function of its own ----------------------===//

#include "Stages.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <functional>
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

static int64_t getProduct(ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t(1), std::multiplies<>());
}

bool mlir::prune::isPadded(const LayerInput &input, Value padding) {
  return padding && cast<RankedTensorType>(padding.getType()).getNumElements() == getProduct(input.rows);
}

/// Clones what `op` reads, as far as it is repeated, and `op` itself.
static void cloneInto(OpBuilder &builder, Operation *op, IRMapping &mapping) {
  for (Value read : getReads(op))
    if (!mapping.contains(read))
      cloneInto(builder, read.getDefiningOp(), mapping);
  builder.clone(*op, mapping);
}

OwningOpRef<ModuleOp> mlir::prune::buildStage(const Stage &stage, Statistic kind, Value padding) {
  MLIRContext *context = stage.inputs.front().activation.getContext();
  OpBuilder builder(context);
  ImplicitLocOpBuilder b(UnknownLoc::get(context), builder);
  OwningOpRef<ModuleOp> module(ModuleOp::create(b.getLoc()));
  b.setInsertionPointToStart(module->getBody());
  auto function = func::FuncOp::create(b, "main", b.getFunctionType(TypeRange(ValueRange(stage.reads)), {}));
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  IRMapping mapping;
  mapping.map(stage.reads, body->getArguments());
  for (Operation *op : stage.ops)
    cloneInto(b, op, mapping);

  SmallVector<Value> results;
  for (Value kept : stage.keeps)
    results.push_back(mapping.lookup(kept));
  for (const LayerInput &input : stage.inputs) {
    if (!mapping.contains(input.activation))
      cloneInto(b, input.activation.getDefiningOp(), mapping);
    int64_t columns = getProduct(input.columns);
    SmallVector<int64_t> shape(kind == Statistic::Gram ? 3 : 2, columns);
    shape.front() = input.numGroups;
    results.push_back(ObserveOp::create(
        b, RankedTensorType::get(shape, b.getF64Type()), mapping.lookup(input.activation),
        isPadded(input, padding) ? mapping.lookup(padding) : Value(), kind, input.view, input.rows, input.columns));
  }
  func::ReturnOp::create(b, results);
  function.setType(b.getFunctionType(body->getArgumentTypes(), TypeRange(ValueRange(results))));
  return module;
}
