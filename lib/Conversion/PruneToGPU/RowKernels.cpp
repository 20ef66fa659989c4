//===- RowKernels.cpp - A block for each row ----------------------------------===//
//
// Reductions along rows, and what happens to the same rows around them (softmax, layer norm), as one kernel. Its stages
// are the operations; threads of a block share the elements of the row, and wait for each other between stages. A
// temporary of the group alone lies in shared memory, one row of it.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"
#include "LinalgEmitter.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::prune;

/// Rows shorter than this are left to single threads.
constexpr int64_t kMinColumns = 32;
/// With fewer rows, a block for each would leave the device empty: operations without reduction stay apart.
constexpr int64_t kMinRows = 32;
/// Most shared memory for temporaries: several blocks have to fit a multiprocessor.
constexpr int64_t kMaxTemporaryBytes = 24 * 1024;

/// True for products and convolutions, whose results share what they read: neighbouring threads do better by
/// neighbouring results.
static bool sharesInputs(linalg::LinalgOp op) {
  int64_t largest = 0;
  for (Value input : op.getDpsInputs())
    if (auto type = dyn_cast<MemRefType>(input.getType()))
      largest = std::max(largest, type.getNumElements());
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  return largest * 4 < ShapedType::getNumElements(sizes);
}

/// The one operation by which `op` reduces, if it has such a one and the innermost loops are its reductions.
static Operation *getCombiner(linalg::LinalgOp op) {
  if (op.getNumDpsInits() != 1 || isProduct(op) || sharesInputs(op))
    return nullptr;
  SmallVector<Operation *> combiners;
  if (!matchReduction(op.getRegionOutputArgs(), 0, combiners) || combiners.size() != 1)
    return nullptr;
  Operation *combiner = combiners.front();
  if (combiner->getNumOperands() != 2 || !arith::getNeutralElement(combiner))
    return nullptr;
  auto kinds = op.getIteratorTypesArray();
  unsigned numParallel = op.getNumParallelLoops();
  bool innermost = llvm::all_of(ArrayRef(kinds).drop_front(numParallel),
                                [](utils::IteratorType kind) { return kind == utils::IteratorType::reduction; });
  return innermost ? combiner : nullptr;
}

namespace {
/// Decides which operations, from a first one on, work on the same rows.
class RowGroupFinder {
public:
  explicit RowGroupFinder(ArrayRef<int64_t> rows) : rows(rows) {}

  /// Adds `op` if it fits.
  bool add(linalg::LinalgOp op);

private:
  bool fitsLoops(linalg::LinalgOp op) const;
  bool isRowLocal(linalg::LinalgOp op, OpOperand &operand) const;

  ArrayRef<int64_t> rows;
  /// How the group reaches the memory of a buffer.
  struct Access {
    Value view;
    bool rowLocal = true, written = false;
  };
  llvm::DenseMap<Value, Access> accesses;
};
} // namespace

bool RowGroupFinder::fitsLoops(linalg::LinalgOp op) const {
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  if (sizes.size() < rows.size() || ArrayRef(sizes).take_front(rows.size()) != rows)
    return false;
  if (op.getNumReductionLoops() != 0)
    return op.getNumParallelLoops() == rows.size() && getCombiner(op);
  return llvm::product_of(rows) >= kMinRows || ShapedType::getNumElements(ArrayRef(sizes).drop_front(rows.size())) == 1;
}

bool RowGroupFinder::isRowLocal(linalg::LinalgOp op, OpOperand &operand) const {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (map.getNumResults() < rows.size())
    return false;
  for (size_t i = 0; i < rows.size(); ++i) {
    AffineExpr at = map.getResult(i);
    auto constant = dyn_cast<AffineConstantExpr>(at);
    if (at != getAffineDimExpr(i, op.getContext()) && !(rows[i] == 1 && constant && constant.getValue() == 0))
      return false;
  }
  return true;
}

bool RowGroupFinder::add(linalg::LinalgOp op) {
  if (!op.hasPureBufferSemantics() || !fitsLoops(op))
    return false;
  llvm::DenseMap<Value, Access> next = accesses;
  auto touch = [&](Value buffer, bool rowLocal, bool written) {
    Access &access = next.try_emplace(getRootBuffer(buffer), Access{buffer}).first->second;
    access.rowLocal &= rowLocal && access.view == buffer;
    access.written |= written;
  };
  for (OpOperand &operand : op->getOpOperands())
    if (isa<MemRefType>(operand.get().getType()))
      touch(operand.get(), isRowLocal(op, operand), op.isDpsInit(&operand));
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  for (Value value : captured)
    if (isa<MemRefType>(value.getType()))
      touch(value, /*rowLocal=*/false, /*written=*/false);
  for (auto &[root, access] : next)
    if (access.written && !access.rowLocal)
      return false;
  accesses = std::move(next);
  return true;
}

SmallVector<linalg::LinalgOp> mlir::prune::findRowGroup(ArrayRef<Operation *> ops) {
  SmallVector<linalg::LinalgOp> candidates;
  linalg::LinalgOp reduction;
  for (Operation *op : ops) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp)
      break;
    candidates.push_back(linalgOp);
    if (linalgOp.getNumReductionLoops() == 0 || reduction)
      continue;
    if (!getCombiner(linalgOp))
      break;
    reduction = linalgOp;
  }
  if (!reduction)
    return {};
  SmallVector<int64_t> sizes = reduction.getStaticLoopRanges();
  ArrayRef<int64_t> rows = ArrayRef(sizes).take_front(reduction.getNumParallelLoops());
  if (ShapedType::getNumElements(sizes) / std::max<int64_t>(llvm::product_of(rows), 1) < kMinColumns)
    return {};
  RowGroupFinder finder(rows);
  SmallVector<linalg::LinalgOp> group;
  bool reduces = false;
  for (linalg::LinalgOp op : candidates) {
    if (!finder.add(op))
      break;
    group.push_back(op);
    reduces |= op == reduction;
  }
  return reduces ? group : SmallVector<linalg::LinalgOp>();
}

namespace {
/// Emits the stages of a group.
class RowEmitter {
public:
  RowEmitter(KernelBuilder &builder, ArrayRef<int64_t> rows, LinalgBuffers buffers, const LinalgFills &fills)
      : b(builder), rows(rows), buffers(std::move(buffers)), fills(fills), thread(b.threadId()),
        rowIndices(b.delinearize(b.blockId(), rows)) {}

  void emit(linalg::LinalgOp op) {
    if (op.getNumReductionLoops() == 0)
      emitElements(op);
    else
      emitReduction(op);
  }

private:
  /// The loops of `op` at the `number`-th element of the row.
  SmallVector<Value> getLoops(linalg::LinalgOp op, Value number) {
    SmallVector<Value> loops(rowIndices);
    SmallVector<int64_t> sizes = op.getStaticLoopRanges();
    llvm::append_range(loops, b.delinearize(number, ArrayRef(sizes).drop_front(rows.size())));
    return loops;
  }
  Value getNumElements(linalg::LinalgOp op) {
    SmallVector<int64_t> sizes = op.getStaticLoopRanges();
    return b.constant(ShapedType::getNumElements(ArrayRef(sizes).drop_front(rows.size())));
  }
  void emitElements(linalg::LinalgOp op);
  void emitReduction(linalg::LinalgOp op);

  KernelBuilder &b;
  ArrayRef<int64_t> rows;
  LinalgBuffers buffers;
  const LinalgFills &fills;
  Value thread;
  SmallVector<Value> rowIndices;
  llvm::DenseMap<Type, Value> partials; ///< an element for each thread, by type
};
} // namespace

void RowEmitter::emitElements(linalg::LinalgOp op) {
  LinalgEmitter emitter(b, op, buffers);
  b.forLoop(thread, getNumElements(op), b.getBlock()[0], [&](Value number) {
    SmallVector<Value> loops = getLoops(op, number);
    emitter.store(emitter.emitBody(emitter.loadInputs(loops), emitter.loadOutputs(loops), loops), loops);
  });
}

void RowEmitter::emitReduction(linalg::LinalgOp op) {
  LinalgEmitter emitter(b, op, buffers);
  Operation *combiner = getCombiner(op);
  auto combine = [&](Value x, Value y) {
    Operation *clone = b.clone(*combiner);
    clone->setOperands({x, y});
    return clone->getResult(0);
  };
  Value neutral = arith::ConstantOp::create(b, *arith::getNeutralElement(combiner));
  int64_t threads = b.getBlock()[0];
  Value own = b.forLoop(thread, getNumElements(op), threads, neutral, [&](Value number, ValueRange carried) {
                 SmallVector<Value> loops = getLoops(op, number);
                 return emitter.emitBody(emitter.loadInputs(loops), carried, loops);
               }).front();
  Value &partial = partials[own.getType()];
  if (!partial)
    partial = b.allocShared(MemRefType::get({threads}, own.getType()));
  memref::StoreOp::create(b, own, partial, thread);
  b.barrier();
  for (int64_t half = threads / 2; half > 0; half /= 2) {
    b.ifThen(b.less(thread, b.constant(half)), [&] {
      Value near = memref::LoadOp::create(b, partial, thread);
      Value far = memref::LoadOp::create(b, partial, b.add(thread, half));
      memref::StoreOp::create(b, combine(near, far), partial, thread);
    });
    b.barrier();
  }
  b.ifThen(b.less(thread, b.constant(1)), [&] {
    SmallVector<Value> loops = getLoops(op, b.constant(0));
    Value sum = memref::LoadOp::create(b, partial, b.constant(0));
    linalg::FillOp fill = fills.lookup(op);
    Value start = fill ? b.clone(*fill.getInputs().front().getDefiningOp())->getResult(0)
                       : emitter.loadOutputs(loops, /*all=*/true).front();
    emitter.store(combine(start, sum), loops);
  });
}

/// True if only operations of `group`, and fills that they take along, use the allocation that `buffer` is.
static bool isTemporary(Value buffer, ArrayRef<linalg::LinalgOp> group, const LinalgFills &fills) {
  return buffer.getDefiningOp<memref::AllocOp>() && llvm::all_of(buffer.getUsers(), [&](Operation *user) {
           return llvm::any_of(group,
                               [&](Operation *member) { return member == user || fills.lookup(member) == user; });
         });
}

LogicalResult mlir::prune::lowerRowGroup(RewriterBase &rewriter, ArrayRef<linalg::LinalgOp> group,
                                         const GPUTarget &target, const LinalgFills &fills) {
  linalg::LinalgOp reduction;
  int64_t columns = 1;
  llvm::SetVector<Value> all;
  for (linalg::LinalgOp op : group) {
    if (op.getNumReductionLoops() != 0)
      reduction = op;
    if (failed(collectBuffers(op, all)))
      return failure();
  }
  SmallVector<int64_t> sizes = reduction.getStaticLoopRanges(), rows = sizes;
  rows.truncate(reduction.getNumParallelLoops());
  int64_t numRows = ShapedType::getNumElements(rows);
  for (linalg::LinalgOp op : group)
    columns = std::max(columns, ShapedType::getNumElements(op.getStaticLoopRanges()) / numRows);

  // Temporaries in shared memory, as rows; the rest are arguments.
  SmallVector<Value> arguments;
  SmallVector<std::pair<Value, MemRefType>> temporaries;
  int64_t bytes = 0;
  for (Value buffer : all) {
    auto type = cast<MemRefType>(buffer.getType());
    int64_t rowBytes = type.getNumElements() / numRows * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
    if (!isTemporary(buffer, group, fills) || bytes + rowBytes > kMaxTemporaryBytes) {
      arguments.push_back(buffer);
      continue;
    }
    bytes += llvm::alignTo(rowBytes, 16);
    SmallVector<int64_t> shape(type.getShape());
    std::fill_n(shape.begin(), rows.size(), 1);
    temporaries.push_back({buffer, MemRefType::get(shape, type.getElementType())});
  }
  int64_t threads = columns > 512 ? 256 : columns > 64 ? 128 : 32;
  KernelBuilder b(rewriter, group.back(), target, group.size() == 1 ? "reduce_rows" : "rows", arguments,
                  {numRows, 1, 1}, {threads, 1, 1});
  LinalgBuffers buffers;
  for (auto [i, buffer] : llvm::enumerate(arguments))
    buffers.mapping.map(buffer, b.getBuffer(i));
  for (auto &[buffer, type] : temporaries) {
    buffers.mapping.map(buffer, b.allocShared(type));
    buffers.rows.insert(buffer);
  }
  buffers.numRowDims = rows.size();
  RowEmitter emitter(b, rows, std::move(buffers), fills);
  for (auto [i, op] : llvm::enumerate(group)) {
    if (i != 0)
      b.barrier();
    emitter.emit(op);
  }
  return b.finish();
}
