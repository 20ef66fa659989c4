//===- ConstantsToBlob.cpp - Collect large constants beside the code ----------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Remarks.h"
#include "prune/Conversion/CPUEntry.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECONSTANTSTOBLOB
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// The bytes of a constant as code reads them from memory: row-major, i1 as one byte.
struct ConstantBytes {
  ArrayRef<char> bytes;
  /// Backs `bytes` where the attribute stores something shorter.
  std::vector<char> storage;
};

/// A constant and its place in the blob.
struct BlobEntry {
  memref::GlobalOp global;
  ConstantBytes content;
  int64_t offset = 0;
};
} // namespace

/// Bytes of one element, or 0 if it is no whole number of bytes.
static int64_t getElementBytes(Type type) {
  if (type.isInteger(1))
    return 1;
  if (type.isIndex())
    return 8;
  if (!type.isIntOrFloat() || type.getIntOrFloatBitWidth() % 8 != 0 ||
      !llvm::isPowerOf2_32(type.getIntOrFloatBitWidth()))
    return 0;
  return type.getIntOrFloatBitWidth() / 8;
}

/// Why `global` has to stay in the code, or nothing if it may move.
static StringRef getReasonToStay(memref::GlobalOp global, int64_t inlineElements) {
  MemRefType type = global.getType();
  if (!global.getConstant() || !global.getInitialValue() || !isa<ElementsAttr>(*global.getInitialValue()))
    return "it is not constant";
  if (type.getNumElements() <= inlineElements)
    return "it is small";
  if (!type.getLayout().isIdentity() || type.getMemorySpace())
    return "its layout is not plain";
  if (getElementBytes(type.getElementType()) == 0)
    return "its elements are no whole bytes";
  if (!isa<DenseElementsAttr, DenseResourceElementsAttr>(*global.getInitialValue()))
    return "its data is neither dense nor a resource";
  return {};
}

static FailureOr<ConstantBytes> getBytes(memref::GlobalOp global) {
  ConstantBytes result;
  MemRefType type = global.getType();
  int64_t elementBytes = getElementBytes(type.getElementType());
  size_t numBytes = type.getNumElements() * elementBytes;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(*global.getInitialValue())) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob || blob->getData().size() != numBytes)
      return global.emitError() << "expected " << numBytes << " bytes of data in resource '"
                                << resource.getRawHandle().getKey() << "', got "
                                << (blob ? Twine(blob->getData().size()) : Twine("none"));
    result.bytes = blob->getData();
    return result;
  }
  auto dense = cast<DenseElementsAttr>(*global.getInitialValue());
  if (type.getElementType().isInteger(1)) {
    result.storage.reserve(numBytes);
    for (bool value : dense.getValues<bool>())
      result.storage.push_back(value);
  } else if (dense.isSplat()) {
    ArrayRef<char> element = dense.getRawData().take_front(elementBytes);
    result.storage.reserve(numBytes);
    for (size_t i = 0; i < numBytes; i += elementBytes)
      result.storage.insert(result.storage.end(), element.begin(), element.end());
  } else {
    result.bytes = dense.getRawData();
    assert(result.bytes.size() == numBytes && "one element after the other");
    return result;
  }
  result.bytes = result.storage;
  return result;
}

/// Functions in which one of `globals` is used, and all that call them.
static FailureOr<llvm::SetVector<func::FuncOp>> findUsers(ModuleOp module, func::FuncOp entry,
                                                          const llvm::DenseMap<StringAttr, size_t> &globals) {
  llvm::SetVector<func::FuncOp> users;
  module.walk([&](memref::GetGlobalOp op) {
    if (globals.contains(op.getNameAttr().getAttr()))
      users.insert(op->getParentOfType<func::FuncOp>());
  });
  llvm::DenseMap<func::FuncOp, SmallVector<func::CallOp>> callers;
  SymbolTableCollection symbols;
  module.walk([&](func::CallOp call) {
    if (auto callee = symbols.lookupNearestSymbolFrom<func::FuncOp>(call, call.getCalleeAttr()))
      callers[callee].push_back(call);
  });
  for (size_t i = 0; i < users.size(); ++i) {
    func::FuncOp function = users[i];
    for (func::CallOp call : callers[function])
      users.insert(call->getParentOfType<func::FuncOp>());
    if (function == entry)
      continue;
    if (function.isPublic())
      return function.emitError() << "expected every function that uses weights, other than the entry, to be private; '"
                                  << function.getName() << "' is public";
    std::optional<SymbolTable::UseRange> uses = SymbolTable::getSymbolUses(function.getSymNameAttr(), module);
    for (SymbolTable::SymbolUse use : *uses)
      if (!isa<func::CallOp>(use.getUser()))
        return use.getUser()->emitError()
               << "expected function '" << function.getName() << "', which uses weights, to be called directly";
  }
  return users;
}

LogicalResult mlir::prune::moveConstantsToBlob(ModuleOp module, int64_t inlineElements, BlobStatistics &statistics) {
  FailureOr<EntryOp> entry = getEntry(module);
  if (failed(entry))
    return failure();
  if (entry->getWeights() || entry->getWorkspaceSize())
    return entry->emitError() << "expected an entry without weights and workspace, got one with "
                              << (entry->getWeights() ? "weights" : "a workspace")
                              << " (prune-constants-to-blob runs once, before prune-plan-memory)";
  FailureOr<func::FuncOp> entryFunction = getBufferizedFunction(*entry);
  if (failed(entryFunction))
    return failure();

  // Decide: the constants, in the order of their first use.
  SymbolTable symbols(module);
  SmallVector<BlobEntry> blob;
  llvm::DenseMap<StringAttr, size_t> placed;
  llvm::DenseSet<StringAttr> staying;
  WalkResult walk = module.walk([&](memref::GetGlobalOp op) {
    StringAttr name = op.getNameAttr().getAttr();
    auto global = symbols.lookup<memref::GlobalOp>(name);
    if (!global || placed.contains(name) || staying.contains(name))
      return WalkResult::advance();
    StringRef reason = getReasonToStay(global, inlineElements);
    if (reason.empty() && !op->getParentOfType<func::FuncOp>())
      reason = "it is used outside of functions";
    if (!reason.empty()) {
      staying.insert(name);
      if (reason != "it is small")
        remark::missed(global.getLoc(), remark::RemarkOpts::name("ConstantInCode").category("constants-to-blob"))
            << remark::reason("constant '{0}' stays in the code: {1}", name.getValue().str(), reason.str());
      return WalkResult::advance();
    }
    FailureOr<ConstantBytes> content = getBytes(global);
    if (failed(content))
      return WalkResult::interrupt();
    placed[name] = blob.size();
    blob.push_back({global, std::move(*content)});
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  statistics.numInline = staying.size();
  statistics.numConstants = blob.size();
  if (blob.empty())
    return success();
  FailureOr<llvm::SetVector<func::FuncOp>> users = findUsers(module, *entryFunction, placed);
  if (failed(users))
    return failure();

  // Place: one after the other, an equal content where its twin is.
  int64_t size = 0;
  llvm::DenseMap<std::pair<uint64_t, size_t>, SmallVector<size_t, 1>> byHash;
  llvm::BitVector isDuplicate(blob.size());
  for (auto [i, item] : llvm::enumerate(blob)) {
    ArrayRef<char> bytes = item.content.bytes;
    uint64_t hash = llvm::xxh3_64bits(ArrayRef(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()));
    // Shifted: the top values of the key are the map's own markers.
    auto &candidates = byHash[{hash >> 1, bytes.size()}];
    auto twin = llvm::find_if(candidates, [&](size_t j) { return blob[j].content.bytes == bytes; });
    if (twin != candidates.end()) {
      item.offset = blob[*twin].offset;
      isDuplicate.set(i);
      ++statistics.numDuplicates;
      continue;
    }
    candidates.push_back(i);
    item.offset = size;
    size = llvm::alignTo(size + bytes.size(), kBufferAlignment);
  }
  statistics.numBytes = size;
  AsmResourceBlob data = HeapAsmResourceBlob::allocate(size, kBufferAlignment);
  MutableArrayRef<char> out = data.getMutableData();
  llvm::fill(out, 0);
  for (auto [i, item] : llvm::enumerate(blob))
    if (!isDuplicate[i])
      llvm::copy(item.content.bytes, out.begin() + item.offset);

  // Rewrite: the blob, the argument, the views, the calls.
  OpBuilder builder(*entry);
  builder.setInsertionPointAfter(*entry);
  auto blobType = RankedTensorType::get({size}, builder.getI8Type());
  auto blobOp = BlobOp::create(builder, entry->getLoc(), builder.getStringAttr("weights"), /*sym_visibility=*/nullptr,
                               DenseResourceElementsAttr::get(blobType, "prune_weights", std::move(data)));
  StringAttr blobName = symbols.insert(blobOp);
  auto bytesType = MemRefType::get({size}, builder.getI8Type());
  llvm::DenseMap<func::FuncOp, Value> weightsOf;
  for (func::FuncOp function : *users) {
    unsigned index = function.getNumArguments();
    if (failed(function.insertArgument(index, bytesType, {}, function.getLoc())))
      return function.emitError() << "cannot give the function an argument for the weights";
    Value weights = function.getArgument(index);
    weightsOf[function] = weights;
    builder.setInsertionPointToStart(&function.getBody().front());
    llvm::DenseMap<StringAttr, Value> views;
    SmallVector<Operation *> replaced; // erased last: the builder may stand at one of them
    function.walk([&](memref::GetGlobalOp op) {
      auto it = placed.find(op.getNameAttr().getAttr());
      if (it == placed.end())
        return;
      Value &view = views[it->first];
      if (!view) {
        Value offset = arith::ConstantIndexOp::create(builder, op.getLoc(), blob[it->second].offset);
        view = memref::ViewOp::create(builder, op.getLoc(), op.getType(), weights, offset, ValueRange());
      }
      op.replaceAllUsesWith(view);
      replaced.push_back(op);
    });
    for (Operation *op : replaced)
      op->erase();
  }
  module.walk([&](func::CallOp call) {
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (callee && weightsOf.contains(callee))
      call.getOperandsMutable().append(weightsOf[call->getParentOfType<func::FuncOp>()]);
  });
  for (BlobEntry &item : blob)
    symbols.erase(item.global);
  if (weightsOf.contains(*entryFunction))
    entry->setWeightsAttr(FlatSymbolRefAttr::get(blobName));
  return success();
}

namespace {
struct ConstantsToBlobPass : public mlir::prune::impl::PruneConstantsToBlobBase<ConstantsToBlobPass> {
  using PruneConstantsToBlobBase::PruneConstantsToBlobBase;

  void runOnOperation() override {
    BlobStatistics statistics;
    if (failed(moveConstantsToBlob(getOperation(), inlineElements, statistics)))
      return signalPassFailure();
    numConstants += statistics.numConstants;
    numDuplicates += statistics.numDuplicates;
    numInline += statistics.numInline;
    numBytes += statistics.numBytes;
  }
};
} // namespace
