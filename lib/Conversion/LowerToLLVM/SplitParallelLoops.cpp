//===- SplitParallelLoops.cpp - prune-split-parallel-loops ----------------------===//
//
// Threads of OpenMP that find their share of a loop by themselves. The runtime's own work sharing costs a call for each
// loop and thread, and libomp as Debian builds it allocates memory in that call.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Conversion/Passes.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNESPLITPARALLELLOOPS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// The runtime's function `name`, declared if it is not yet.
static func::FuncOp declare(ModuleOp module, OpBuilder &builder, StringRef name) {
  if (auto found = module.lookupSymbol<func::FuncOp>(name))
    return found;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(module.getBody());
  auto function =
      func::FuncOp::create(builder, module.getLoc(), name, builder.getFunctionType({}, builder.getI32Type()));
  function.setPrivate();
  return function;
}

/// Iterations of dimension `dim`.
static Value getTripCount(OpBuilder &builder, Location loc, scf::ParallelOp loop, unsigned dim) {
  Value extent = arith::SubIOp::create(builder, loc, loop.getUpperBound()[dim], loop.getLowerBound()[dim]);
  Value trips = arith::CeilDivSIOp::create(builder, loc, extent, loop.getStep()[dim]);
  return arith::MaxSIOp::create(builder, loc, trips, arith::ConstantIndexOp::create(builder, loc, 0));
}

static void split(IRRewriter &rewriter, scf::ParallelOp loop, ModuleOp module, unsigned numThreads) {
  Location loc = loop.getLoc();
  rewriter.setInsertionPoint(loop);
  SmallVector<Value> trips;
  for (unsigned dim = 0; dim < loop.getNumLoops(); ++dim)
    trips.push_back(getTripCount(rewriter, loc, loop, dim));
  Value total = trips.front();
  for (Value trip : llvm::drop_begin(trips))
    total = arith::MulIOp::create(rewriter, loc, total, trip);
  omp::ParallelOperands clauses;
  clauses.numThreads = arith::ConstantIntOp::create(rewriter, loc, numThreads, 32);
  auto parallel = omp::ParallelOp::create(rewriter, loc, clauses);
  rewriter.createBlock(&parallel.getRegion());
  auto call = [&](StringRef name) -> Value {
    auto result = func::CallOp::create(rewriter, loc, declare(module, rewriter, name), ValueRange());
    return arith::IndexCastOp::create(rewriter, loc, rewriter.getIndexType(), result.getResult(0));
  };
  Value thread = call("omp_get_thread_num"), threads = call("omp_get_num_threads");
  Value one = arith::ConstantIndexOp::create(rewriter, loc, 1);
  // Shares differ by one iteration at most.
  auto bound = [&](Value index) -> Value {
    return arith::DivUIOp::create(rewriter, loc, arith::MulIOp::create(rewriter, loc, total, index), threads);
  };
  Value begin = bound(thread), end = bound(arith::AddIOp::create(rewriter, loc, thread, one));
  auto share = scf::ForOp::create(rewriter, loc, begin, end, one);
  omp::TerminatorOp::create(rewriter, loc);

  rewriter.setInsertionPointToStart(share.getBody());
  SmallVector<Value> ivs(loop.getNumLoops());
  Value rest = share.getInductionVar();
  for (unsigned dim = loop.getNumLoops(); dim-- > 0;) {
    Value position = rest;
    if (dim > 0) {
      position = arith::RemUIOp::create(rewriter, loc, rest, trips[dim]);
      rest = arith::DivUIOp::create(rewriter, loc, rest, trips[dim]);
    }
    Value scaled = arith::MulIOp::create(rewriter, loc, position, loop.getStep()[dim]);
    ivs[dim] = arith::AddIOp::create(rewriter, loc, loop.getLowerBound()[dim], scaled);
  }
  // Buffers on the stack live for one iteration.
  auto scope = memref::AllocaScopeOp::create(rewriter, loc, TypeRange());
  Block *body = rewriter.createBlock(&scope.getBodyRegion());
  rewriter.setInsertionPointToEnd(body);
  memref::AllocaScopeReturnOp::create(rewriter, loc, ValueRange());
  rewriter.eraseOp(loop.getBody()->getTerminator());
  rewriter.inlineBlockBefore(loop.getBody(), body->getTerminator(), ivs);
  rewriter.eraseOp(loop);
}

namespace {
struct PruneSplitParallelLoops : mlir::prune::impl::PruneSplitParallelLoopsBase<PruneSplitParallelLoops> {
  using PruneSplitParallelLoopsBase::PruneSplitParallelLoopsBase;

  void runOnOperation() override {
    SmallVector<scf::ParallelOp> loops;
    getOperation()->walk<WalkOrder::PreOrder>([&](scf::ParallelOp loop) {
      if (!loop.getInitVals().empty())
        return WalkResult::advance();
      loops.push_back(loop);
      return WalkResult::skip();
    });
    IRRewriter rewriter(&getContext());
    for (scf::ParallelOp loop : loops)
      split(rewriter, loop, getOperation(), threads);
    numSplit += loops.size();
  }
};
} // namespace
