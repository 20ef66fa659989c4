//===- MemoryPlan.cpp - Lifetimes of temporaries and their offsets ------------===//

#include "prune/Conversion/MemoryPlan.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "prune/Conversion/CPUEntry.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Lifetimes within one function. Positions number the entering and the leaving of each op in a walk, so that the
/// interval of an op contains those of all ops in its regions.
class LifetimeAnalysis {
public:
  LifetimeAnalysis(func::FuncOp function, Operation *parallel) : function(function), parallel(parallel) {
    number(function);
  }

  FailureOr<PlannedBuffer> getLifetime(memref::AllocOp alloc);
  PlannedBuffer getLifetime(func::CallOp call, int64_t size) {
    return {call, size, enter.lookup(call), leave.lookup(call)};
  }

private:
  void number(Operation *op);
  LogicalResult collectUsers(memref::AllocOp alloc, llvm::SetVector<Operation *> &users, bool &escapes);

  func::FuncOp function;
  Operation *parallel;
  int64_t counter = 0;
  llvm::DenseMap<Operation *, int64_t> enter, leave;
};
} // namespace

void LifetimeAnalysis::number(Operation *op) {
  enter[op] = counter++;
  for (Region &region : op->getRegions())
    for (Operation &nested : region.getOps())
      number(&nested);
  leave[op] = counter++;
}

static bool isBuffer(Value value) { return isa<BaseMemRefType>(value.getType()); }

/// All users of the memory of `alloc`. Errs on the side of too many: what an op does with a buffer it is given, its
/// buffer results and the buffer arguments of its blocks may be that buffer. `escapes`: its address becomes a number.
LogicalResult LifetimeAnalysis::collectUsers(memref::AllocOp alloc, llvm::SetVector<Operation *> &users,
                                             bool &escapes) {
  llvm::SetVector<Value> aliases;
  aliases.insert(alloc.getResult());
  auto addAll = [&](ValueRange values) {
    for (Value value : values)
      if (isBuffer(value))
        aliases.insert(value);
  };
  for (size_t i = 0; i < aliases.size(); ++i)
    for (Operation *user : aliases[i].getUsers()) {
      if (isa<memref::DeallocOp>(user))
        continue;
      users.insert(user);
      if (isa<func::ReturnOp>(user) || (isa<func::CallOp>(user) && llvm::any_of(user->getResults(), isBuffer)))
        return user->emitError() << "expected no buffer as the result of a function (run buffer-results-to-out-params "
                                    "before prune-plan-memory)";
      if (isa<memref::ExtractAlignedPointerAsIndexOp, UnrealizedConversionCastOp>(user))
        escapes = true;
      addAll(user->getResults());
      for (Region &region : user->getRegions())
        for (Block &block : region)
          addAll(block.getArguments());
      if (!user->hasTrait<OpTrait::IsTerminator>())
        continue;
      for (Block *successor : user->getSuccessors())
        addAll(successor->getArguments());
      Operation *parent = user->getParentOp();
      addAll(parent->getResults());
      for (Region &region : parent->getRegions())
        for (Block &block : region)
          addAll(block.getArguments());
    }
  return success();
}

/// The loop or region that several threads may run at the same time around `op`, if any.
static Operation *getParallelParent(Operation *op) {
  for (Operation *parent = op->getParentOp(); parent && !isa<func::FuncOp>(parent); parent = parent->getParentOp()) {
    StringRef dialect = parent->getName().getDialectNamespace();
    if (isa<scf::ParallelOp, scf::ForallOp>(parent) || dialect == "omp" || dialect == "gpu" || dialect == "async")
      return parent;
  }
  return nullptr;
}

static LogicalResult refuseParallel(Operation *op, Operation *allowed) {
  Operation *parallel = getParallelParent(op);
  if (parallel == allowed)
    return success();
  InFlightDiagnostic diag = op->emitError()
                            << "expected no temporary inside a parallel loop, whose iterations would share its bytes";
  diag.attachNote(parallel->getLoc()) << "the parallel loop is here";
  return diag;
}

FailureOr<PlannedBuffer> LifetimeAnalysis::getLifetime(memref::AllocOp alloc) {
  MemRefType type = alloc.getType();
  if (!type.hasStaticShape())
    return alloc.emitError() << "expected a temporary of static shape, got " << type
                             << " (fix the dynamic sizes when importing)";
  if (!type.getLayout().isIdentity() || type.getMemorySpace())
    return alloc.emitError() << "expected a temporary of row-major layout in the default memory space, got " << type;
  if (int64_t alignment = alloc.getAlignment().value_or(1); alignment > kBufferAlignment)
    return alloc.emitError() << "expected an alignment of at most " << kBufferAlignment << " bytes, got " << alignment;
  if (failed(refuseParallel(alloc, parallel)))
    return failure();
  llvm::SetVector<Operation *> users;
  bool escapes = false;
  if (failed(collectUsers(alloc, users, escapes)))
    return failure();

  PlannedBuffer buffer{alloc};
  DataLayout layout = DataLayout::closest(alloc);
  buffer.size = type.getNumElements() * layout.getTypeSize(type.getElementType());
  buffer.first = enter.lookup(function);
  buffer.last = leave.lookup(function);
  for (Operation *user : users) {
    Operation *loop = user->getParentOp();
    if (!user->hasTrait<OpTrait::IsTerminator>() || !isa<LoopLikeOpInterface>(loop) || !loop->isAncestor(alloc))
      continue;
    InFlightDiagnostic diag = alloc.emitError()
                              << "expected a temporary that no later iteration of its loop uses (allocate it outside)";
    diag.attachNote(loop->getLoc()) << "the loop is here";
    return diag;
  }
  // Lifetimes are counted in one block: the allocation's, or one around it where a branch yields the buffer.
  Block *block = alloc->getBlock();
  while (llvm::any_of(users, [&](Operation *user) { return !block->findAncestorOpInBlock(*user); })) {
    Operation *parent = block->getParentOp();
    if (parent == function || !block->getParent()->hasOneBlock())
      return buffer;
    block = parent->getBlock();
  }
  // Several blocks: the walk's order says nothing about the order of running.
  for (Region *region = block->getParent(); region; region = region->getParentRegion())
    if (!region->hasOneBlock())
      return buffer;
    else if (region->getParentOp() == function)
      break;
  if (escapes)
    return buffer;
  buffer.first = buffer.last = enter.lookup(alloc);
  if (!users.empty())
    buffer.first = std::numeric_limits<int64_t>::max();
  for (Operation *user : users) {
    Operation *ancestor = block->findAncestorOpInBlock(*user);
    buffer.first = std::min(buffer.first, enter.lookup(ancestor));
    buffer.last = std::max(buffer.last, leave.lookup(ancestor));
  }
  return buffer;
}

FailureOr<SmallVector<PlannedBuffer>> mlir::prune::collectBuffers(func::FuncOp function,
                                                                  function_ref<int64_t(func::CallOp)> calleeBytes,
                                                                  Operation *parallel) {
  LifetimeAnalysis analysis(function, parallel);
  SmallVector<PlannedBuffer> buffers;
  Operation *root = parallel ? parallel : function.getOperation();
  WalkResult walk = root->walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
      FailureOr<PlannedBuffer> buffer = analysis.getLifetime(alloc);
      if (failed(buffer))
        return WalkResult::interrupt();
      buffers.push_back(*buffer);
    } else if (auto call = dyn_cast<func::CallOp>(op)) {
      int64_t size = calleeBytes(call);
      if (size == 0)
        return WalkResult::advance();
      if (failed(refuseParallel(call, parallel)))
        return WalkResult::interrupt();
      buffers.push_back(analysis.getLifetime(call, size));
    } else if (isa<memref::ReallocOp>(op)) {
      op->emitError() << "expected temporaries of static size, got memref.realloc";
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  return buffers;
}

int64_t mlir::prune::assignOffsets(MutableArrayRef<PlannedBuffer> buffers, int64_t alignment) {
  SmallVector<PlannedBuffer *> order;
  for (PlannedBuffer &buffer : buffers) {
    buffer.size = llvm::alignTo(buffer.size, alignment);
    order.push_back(&buffer);
  }
  llvm::stable_sort(order, [](auto *a, auto *b) { return a->size > b->size; });
  int64_t total = 0;
  SmallVector<PlannedBuffer *> placed; // by offset
  for (PlannedBuffer *buffer : order) {
    int64_t offset = 0;
    for (PlannedBuffer *other : placed)
      if (other->overlaps(*buffer)) {
        if (offset + buffer->size <= other->offset)
          break;
        offset = std::max(offset, other->offset + other->size);
      }
    buffer->offset = offset;
    total = std::max(total, offset + buffer->size);
    placed.insert(llvm::upper_bound(placed, buffer, [](auto *a, auto *b) { return a->offset < b->offset; }), buffer);
  }
  return total;
}

int64_t mlir::prune::getLiveBytes(ArrayRef<PlannedBuffer> buffers, int64_t alignment) {
  // Ends after begins at the same position: lifetimes include both.
  SmallVector<std::pair<int64_t, int64_t>> events;
  for (const PlannedBuffer &buffer : buffers) {
    int64_t size = llvm::alignTo(buffer.size, alignment);
    events.push_back({buffer.first, size});
    events.push_back({buffer.last + 1, -size});
  }
  llvm::sort(events);
  int64_t live = 0, most = 0;
  for (auto [position, change] : events)
    most = std::max(most, live += change);
  return most;
}
