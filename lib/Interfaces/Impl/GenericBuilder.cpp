//===- GenericBuilder.cpp - Generics whose inputs the body decides ------------===//

#include "GenericBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "prune/Interfaces/Gradient.h"

using namespace mlir;
using namespace mlir::prune;

GenericBuilder::GenericBuilder(OpBuilder &builder, Location loc, ArrayRef<int64_t> loopSizes)
    : builder(builder), loc(loc), loopSizes(loopSizes), block(std::make_unique<Block>()), body(builder.getContext()) {
  body.setInsertionPointToEnd(block.get()); // in no op yet, so the block knows no context
}

Value GenericBuilder::read(Value tensor, AffineMap map) {
  inputs.push_back(tensor);
  maps.push_back(map);
  return block->addArgument(getElementTypeOrSelf(tensor.getType()), loc);
}

/// Erases what nothing uses.
static void eraseDeadOps(Block &block, Value result) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op) && !llvm::is_contained(op.getResults(), result))
      op.erase();
}

Value GenericBuilder::finish(Value result, ArrayRef<unsigned> dims) {
  MLIRContext *context = builder.getContext();
  unsigned numLoops = loopSizes.size();
  eraseDeadOps(*block, result);

  // The loops of the result come first, in its order.
  SmallVector<unsigned> order(dims);
  for (unsigned loop = 0; loop < numLoops; ++loop)
    if (!llvm::is_contained(dims, loop))
      order.push_back(loop);
  SmallVector<AffineExpr> newLoops(numLoops);
  SmallVector<int64_t> newSizes(numLoops);
  SmallVector<unsigned> place(numLoops);
  for (auto [i, loop] : llvm::enumerate(order)) {
    newLoops[loop] = getAffineDimExpr(i, context);
    newSizes[i] = loopSizes[loop];
    place[loop] = i;
  }

  // Inputs that are read, and others as far as the trip counts must be known from them.
  llvm::SmallBitVector known(numLoops);
  known.set(0, dims.size());
  SmallVector<Value> kept;
  SmallVector<AffineMap> keptMaps;
  SmallVector<BlockArgument> arguments;
  auto keep = [&](unsigned i) {
    AffineMap map = maps[i].replaceDimsAndSymbols(newLoops, {}, numLoops, 0);
    for (AffineExpr expr : map.getResults())
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        known.set(dim.getPosition());
    kept.push_back(inputs[i]);
    keptMaps.push_back(map);
    arguments.push_back(block->getArgument(i));
  };
  for (unsigned i = 0; i < inputs.size(); ++i)
    if (!block->getArgument(i).use_empty() || result == block->getArgument(i))
      keep(i);
  SmallVector<int64_t> missingSizes;
  SmallVector<AffineExpr> missing;
  for (unsigned loop = 0; loop < numLoops; ++loop)
    if (!known.test(loop)) {
      missing.push_back(getAffineDimExpr(loop, context));
      missingSizes.push_back(newSizes[loop]);
    }
  Type elementType = result.getType();
  if (!missing.empty()) {
    kept.push_back(tensor::EmptyOp::create(builder, loc, missingSizes, elementType));
    keptMaps.push_back(AffineMap::get(numLoops, 0, missing, context));
  }

  auto type = RankedTensorType::get(ArrayRef(newSizes).take_front(dims.size()), elementType);
  bool isSum = dims.size() < numLoops;
  Value destination = isSum ? createZeros(builder, loc, type)
                            : tensor::EmptyOp::create(builder, loc, type.getShape(), elementType).getResult();
  SmallVector<AffineExpr> resultLoops;
  for (unsigned i = 0; i < dims.size(); ++i)
    resultLoops.push_back(getAffineDimExpr(i, context));
  keptMaps.push_back(AffineMap::get(numLoops, 0, resultLoops, context));
  SmallVector<utils::IteratorType> iterators(numLoops, utils::IteratorType::parallel);
  std::fill(iterators.begin() + dims.size(), iterators.end(), utils::IteratorType::reduction);
  auto generic = linalg::GenericOp::create(builder, loc, type, kept, destination, keptMaps, iterators,
                                           [&](OpBuilder &b, Location loc, ValueRange args) {
                                             Block *target = b.getInsertionBlock();
                                             Value value = result;
                                             for (auto [argument, replacement] : llvm::zip(arguments, args)) {
                                               if (value == argument)
                                                 value = replacement;
                                               argument.replaceAllUsesWith(replacement);
                                             }
                                             target->getOperations().splice(target->end(), block->getOperations());
                                             b.setInsertionPointToEnd(target);
                                             if (isSum)
                                               value = arith::AddFOp::create(b, loc, args.back(), value);
                                             linalg::YieldOp::create(b, loc, value);
                                           });
  generic.walk([&](linalg::IndexOp index) { index.setDim(place[index.getDim()]); });
  return generic.getResult(0);
}
