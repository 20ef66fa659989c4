//===- PlanMemory.cpp - Temporaries in one workspace --------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/CPUEntry.h"
#include "prune/Conversion/MemoryPlan.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEPLANMEMORY
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Most iterations of a parallel loop whose temporaries all have bytes of the workspace.
constexpr int64_t kMaxSeparate = 64;

namespace {
/// Plans functions, callees before their callers.
class Planner {
public:
  Planner(ModuleOp module, func::FuncOp entry) : symbols(module), entry(entry) {}

  /// Rewrites `function` and returns the bytes it needs.
  FailureOr<int64_t> plan(func::FuncOp function, WorkspaceStatistics &statistics);

private:
  /// Bytes the callee still has to be given.
  int64_t getWorkspace(func::CallOp call) {
    func::FuncOp callee = getCallee(call);
    return call.getNumOperands() < callee.getNumArguments() ? planned.lookup(callee) : 0;
  }
  func::FuncOp getCallee(func::CallOp call) { return symbols.lookup<func::FuncOp>(call.getCallee()); }
  LogicalResult planParallelLoops(func::FuncOp function, WorkspaceStatistics &statistics);
  LogicalResult addWorkspace(func::FuncOp function, ArrayRef<PlannedBuffer> buffers, int64_t size);

  SymbolTable symbols;
  func::FuncOp entry;
  llvm::DenseMap<func::FuncOp, int64_t> planned;
  llvm::DenseSet<func::FuncOp> active;
};
} // namespace

FailureOr<int64_t> Planner::plan(func::FuncOp function, WorkspaceStatistics &statistics) {
  if (auto it = planned.find(function); it != planned.end())
    return it->second;
  if (function.isExternal())
    return 0;
  if (!active.insert(function).second)
    return function.emitError() << "expected no recursion, function '" << function.getName() << "' calls itself";

  WalkResult walk = function.walk([&](func::CallOp call) {
    WorkspaceStatistics callee;
    if (failed(plan(getCallee(call), callee)))
      return WalkResult::interrupt();
    statistics.numBuffers += callee.numBuffers;
    statistics.totalBytes += callee.totalBytes;
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  if (failed(planParallelLoops(function, statistics)))
    return failure();
  FailureOr<SmallVector<PlannedBuffer>> buffers =
      collectBuffers(function, [&](func::CallOp call) { return getWorkspace(call); });
  if (failed(buffers))
    return failure();
  int64_t size = assignOffsets(*buffers, kBufferAlignment);
  for (const PlannedBuffer &buffer : *buffers)
    if (isa<memref::AllocOp>(buffer.op)) {
      ++statistics.numBuffers;
      statistics.totalBytes += buffer.size;
    }
  statistics.liveBytes = getLiveBytes(*buffers, kBufferAlignment);
  statistics.plannedBytes = size;
  if (size != 0 && function != entry && function.isPublic())
    return function.emitError() << "expected every function with temporaries, other than the entry, to be private; '"
                                << function.getName() << "' is public";
  if (failed(addWorkspace(function, *buffers, size)))
    return failure();
  active.erase(function);
  planned[function] = size;
  return size;
}

/// Replaces the allocations by views of `workspace`, and hands calls theirs.
static void placeBuffers(OpBuilder &builder, ArrayRef<PlannedBuffer> buffers, Value workspace) {
  for (const PlannedBuffer &buffer : buffers) {
    Location loc = buffer.op->getLoc();
    bool isCall = isa<func::CallOp>(buffer.op);
    Type type =
        isCall ? MemRefType::get({buffer.size}, builder.getI8Type()) : cast<memref::AllocOp>(buffer.op).getType();
    Value offset = arith::ConstantIndexOp::create(builder, loc, buffer.offset);
    Value view = memref::ViewOp::create(builder, loc, type, workspace, offset, ValueRange());
    if (isCall) {
      cast<func::CallOp>(buffer.op).getOperandsMutable().append(view);
      continue;
    }
    buffer.op->getResult(0).replaceAllUsesWith(view);
  }
  // Last, because the builder may stand at one of them.
  for (const PlannedBuffer &buffer : buffers)
    if (isa<memref::AllocOp>(buffer.op))
      buffer.op->erase();
}

/// Iterations of a parallel loop over [0, n) in steps of one, if they are few enough for temporaries of their own.
static std::optional<int64_t> getFewIterations(scf::ParallelOp loop) {
  if (loop.getNumLoops() != 1 || !isConstantIntValue(loop.getLowerBound().front(), 0) ||
      !isConstantIntValue(loop.getStep().front(), 1))
    return std::nullopt;
  std::optional<int64_t> trips = getConstantIntValue(loop.getUpperBound().front());
  return trips && *trips <= kMaxSeparate ? trips : std::nullopt;
}

/// Temporaries of a parallel loop lie on the stack of each thread, as one planned buffer; large ones in the workspace,
/// once for each iteration.
LogicalResult Planner::planParallelLoops(func::FuncOp function, WorkspaceStatistics &statistics) {
  SmallVector<scf::ParallelOp> loops;
  function.walk<WalkOrder::PreOrder>([&](scf::ParallelOp loop) {
    loops.push_back(loop);
    return WalkResult::skip();
  });
  for (scf::ParallelOp loop : loops) {
    FailureOr<SmallVector<PlannedBuffer>> buffers =
        collectBuffers(function, [&](func::CallOp call) { return getWorkspace(call); }, loop);
    if (failed(buffers))
      return failure();
    if (buffers->empty())
      continue;
    int64_t size = assignOffsets(*buffers, kBufferAlignment);
    OpBuilder builder(loop);
    Value memory;
    if (size > kMaxStackBytes) {
      std::optional<int64_t> trips = getFewIterations(loop);
      if (!trips)
        return loop.emitError() << "expected at most " << kMaxStackBytes
                                << " bytes of temporaries inside a parallel loop of more than " << kMaxSeparate
                                << " iterations, got " << size;
      Location loc = loop.getLoc();
      Value all = memref::AllocOp::create(builder, loc, MemRefType::get({*trips * size}, builder.getI8Type()));
      builder.setInsertionPointToStart(loop.getBody());
      Value bytes = arith::ConstantIndexOp::create(builder, loc, size);
      Value offset = arith::MulIOp::create(builder, loc, loop.getInductionVars().front(), bytes);
      auto type = MemRefType::get({size}, builder.getI8Type());
      memory = memref::ViewOp::create(builder, loc, type, all, offset, ValueRange());
    } else {
      builder.setInsertionPointToStart(loop.getBody());
      memory = memref::AllocaOp::create(builder, loop.getLoc(), MemRefType::get({size}, builder.getI8Type()),
                                        builder.getI64IntegerAttr(kBufferAlignment));
    }
    placeBuffers(builder, *buffers, memory);
    statistics.numBuffers += buffers->size();
    statistics.totalBytes += size;
  }
  return success();
}

LogicalResult Planner::addWorkspace(func::FuncOp function, ArrayRef<PlannedBuffer> buffers, int64_t size) {
  SmallVector<Operation *> deallocs;
  function.walk([&](memref::DeallocOp op) { deallocs.push_back(op); });
  for (Operation *op : deallocs)
    op->erase();
  if (size == 0 && buffers.empty())
    return success();
  OpBuilder builder = OpBuilder::atBlockBegin(&function.getBody().front());
  unsigned index = function.getNumArguments();
  if (failed(function.insertArgument(index, MemRefType::get({size}, builder.getI8Type()), {}, function.getLoc())))
    return function.emitError() << "cannot give the function an argument for the workspace";
  placeBuffers(builder, buffers, function.getArgument(index));
  return success();
}

LogicalResult mlir::prune::planMemory(ModuleOp module, WorkspaceStatistics &statistics) {
  FailureOr<EntryOp> entry = getEntry(module);
  if (failed(entry))
    return failure();
  if (entry->getWorkspaceSize())
    return entry->emitError() << "expected an entry without workspace, got one of " << *entry->getWorkspaceSize()
                              << " bytes (prune-plan-memory runs once)";
  FailureOr<func::FuncOp> function = getBufferizedFunction(*entry);
  if (failed(function))
    return failure();
  FailureOr<int64_t> size = Planner(module, *function).plan(*function, statistics);
  if (failed(size))
    return failure();
  if (*size != 0)
    entry->setWorkspaceSize(*size);
  remark::analysis(function->getLoc(), remark::RemarkOpts::name("Workspace").category("plan-memory"))
      << remark::add("{0} temporaries of {1} bytes in a workspace of {2} bytes", statistics.numBuffers,
                     statistics.totalBytes, *size)
      << remark::metric("Buffers", statistics.numBuffers) << remark::metric("TotalBytes", statistics.totalBytes)
      << remark::metric("LiveBytes", statistics.liveBytes) << remark::metric("WorkspaceBytes", *size);
  return success();
}

namespace {
struct PlanMemoryPass : public mlir::prune::impl::PrunePlanMemoryBase<PlanMemoryPass> {
  using PrunePlanMemoryBase::PrunePlanMemoryBase;

  void runOnOperation() override {
    WorkspaceStatistics statistics;
    if (failed(planMemory(getOperation(), statistics)))
      return signalPassFailure();
    numBuffers += statistics.numBuffers;
    totalBytes += statistics.totalBytes;
    liveBytes += statistics.liveBytes;
    plannedBytes += statistics.plannedBytes;
  }
};
} // namespace
