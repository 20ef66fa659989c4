//===- PlanMemory.cpp - Temporaries in one workspace --------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/CPUEntry.h"
#include "prune/Conversion/MemoryPlan.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEPLANMEMORY
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Plans functions, callees before their callers.
class Planner {
public:
  Planner(ModuleOp module, func::FuncOp entry) : symbols(module), entry(entry) {}

  /// Rewrites `function` and returns the bytes it needs.
  FailureOr<int64_t> plan(func::FuncOp function, WorkspaceStatistics &statistics);

private:
  func::FuncOp getCallee(func::CallOp call) { return symbols.lookup<func::FuncOp>(call.getCallee()); }
  LogicalResult rewrite(func::FuncOp function, ArrayRef<PlannedBuffer> buffers, int64_t size);

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
  FailureOr<SmallVector<PlannedBuffer>> buffers =
      collectBuffers(function, [&](func::CallOp call) { return planned.lookup(getCallee(call)); });
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
  if (failed(rewrite(function, *buffers, size)))
    return failure();
  active.erase(function);
  planned[function] = size;
  return size;
}

LogicalResult Planner::rewrite(func::FuncOp function, ArrayRef<PlannedBuffer> buffers, int64_t size) {
  SmallVector<Operation *> deallocs;
  function.walk([&](memref::DeallocOp op) { deallocs.push_back(op); });
  for (Operation *op : deallocs)
    op->erase();
  if (size == 0 && buffers.empty())
    return success();
  OpBuilder builder = OpBuilder::atBlockBegin(&function.getBody().front());
  Type byte = builder.getI8Type();
  unsigned index = function.getNumArguments();
  if (failed(function.insertArgument(index, MemRefType::get({size}, byte), {}, function.getLoc())))
    return function.emitError() << "cannot give the function an argument for the workspace";
  Value workspace = function.getArgument(index);
  for (const PlannedBuffer &buffer : buffers) {
    Location loc = buffer.op->getLoc();
    bool isCall = isa<func::CallOp>(buffer.op);
    Type type = isCall ? MemRefType::get({buffer.size}, byte) : cast<memref::AllocOp>(buffer.op).getType();
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
