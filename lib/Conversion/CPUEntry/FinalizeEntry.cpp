//===- FinalizeEntry.cpp - The final signature of four pointers ---------------===//

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "prune/Conversion/CPUEntry.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFINALIZEENTRY
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

FailureOr<func::FuncOp> mlir::prune::getBufferizedFunction(EntryOp entry) {
  auto module = entry->getParentOfType<ModuleOp>();
  auto function = module.lookupSymbol<func::FuncOp>(entry.getFunction());
  if (!function || function.isExternal())
    return entry.emitError() << "expected a func.func named '" << entry.getFunction() << "' with a body";
  auto fail = [&](const Twine &expected) {
    return function.emitError() << "expected " << expected << ", got " << function.getFunctionType()
                                << " (run one-shot-bufferize with function boundaries and "
                                   "buffer-results-to-out-params before)";
  };
  SmallVector<RankedTensorType> types;
  for (unsigned i = 0; i < entry.getNumInputs(); ++i)
    types.push_back(entry.getInputType(i));
  for (unsigned i = 0; i < entry.getNumOutputs(); ++i)
    types.push_back(entry.getOutputType(i));
  size_t extra = (entry.getWeights() ? 1 : 0) + (entry.getWorkspaceSize() ? 1 : 0);
  if (function.getNumResults() != 0 || function.getNumArguments() != types.size() + extra)
    return fail("the entry function to take its " + Twine(entry.getNumInputs()) + " inputs, its " +
                Twine(entry.getNumOutputs()) + " outputs and " + Twine(extra) + " more, and to return nothing");
  for (auto [i, type] : llvm::enumerate(types)) {
    Type expected = MemRefType::get(type.getShape(), type.getElementType());
    if (function.getArgument(i).getType() != expected)
      return fail("argument " + Twine(i) + " of the entry function to be a memref of row-major layout for its tensor");
  }
  for (size_t i = types.size(); i < types.size() + extra; ++i) {
    auto bytes = dyn_cast<MemRefType>(function.getArgument(i).getType());
    if (!bytes || bytes.getRank() != 1 || !bytes.hasStaticShape() || !bytes.getElementType().isSignlessInteger(8))
      return fail("argument " + Twine(i) + " of the entry function to be a memref of bytes");
  }
  return function;
}

/// `pointer` as the buffer `type`, for the ops on memrefs that are still to be lowered.
static Value createMemRef(OpBuilder &builder, Location loc, const LLVMTypeConverter &converter, MemRefType type,
                          Value pointer) {
  Value descriptor = MemRefDescriptor::fromStaticShape(builder, loc, converter, type, pointer);
  return UnrealizedConversionCastOp::create(builder, loc, type, descriptor).getResult(0);
}

LogicalResult mlir::prune::finalizeEntry(ModuleOp module) {
  FailureOr<EntryOp> entry = getEntry(module);
  if (failed(entry))
    return failure();
  FailureOr<func::FuncOp> found = getBufferizedFunction(*entry);
  if (failed(found))
    return failure();
  func::FuncOp function = *found;
  if (auto uses = SymbolTable::getSymbolUses(function.getSymNameAttr(), module))
    for (SymbolTable::SymbolUse use : *uses)
      if (use.getUser() != *entry)
        return use.getUser()->emitError() << "expected no call of the entry function '" << function.getName() << "'";

  MLIRContext *context = module.getContext();
  Location loc = function.getLoc();
  LLVMTypeConverter converter(context);
  auto pointerType = LLVM::LLVMPointerType::get(context);
  Block &body = function.getBody().front();
  unsigned numBuffers = body.getNumArguments(), numInputs = entry->getNumInputs(), numOutputs = entry->getNumOutputs();
  SmallVector<BlockArgument> pointers;
  for (unsigned i = 0; i < 4; ++i)
    pointers.push_back(body.addArgument(pointerType, loc));

  OpBuilder builder = OpBuilder::atBlockBegin(&body);
  // Caller's pointers: fixed during a call, so that loads of them may move.
  auto loadPointer = [&](Value array, unsigned index) -> Value {
    Value slot =
        LLVM::GEPOp::create(builder, loc, pointerType, pointerType, array, ArrayRef<LLVM::GEPArg>{int32_t(index)});
    return LLVM::LoadOp::create(builder, loc, pointerType, slot, /*alignment=*/8, /*isVolatile=*/false,
                                /*isNonTemporal=*/false, /*isInvariant=*/true);
  };
  for (unsigned i = 0; i < numBuffers; ++i) {
    Value pointer;
    if (i < numInputs)
      pointer = loadPointer(pointers[0], i);
    else if (i < numInputs + numOutputs)
      pointer = loadPointer(pointers[1], i - numInputs);
    else
      pointer = i == numInputs + numOutputs && entry->getWeights() ? pointers[2] : pointers[3];
    BlockArgument buffer = body.getArgument(i);
    buffer.replaceAllUsesWith(createMemRef(builder, loc, converter, cast<MemRefType>(buffer.getType()), pointer));
  }
  body.eraseArguments(0, numBuffers);
  function.setType(FunctionType::get(context, body.getArgumentTypes(), {}));

  // Nothing else reaches these bytes during a call; the two arrays are read only.
  auto unit = builder.getUnitAttr();
  SmallVector<Attribute> argAttrs;
  for (unsigned i = 0; i < 4; ++i) {
    SmallVector<NamedAttribute> attrs{builder.getNamedAttr("llvm.noalias", unit)};
    if (i < 3)
      attrs.push_back(builder.getNamedAttr("llvm.readonly", unit));
    if (i >= 2)
      attrs.push_back(builder.getNamedAttr("llvm.align", builder.getI64IntegerAttr(kBufferAlignment)));
    argAttrs.push_back(builder.getDictionaryAttr(attrs));
  }
  function.setAllArgAttrs(argAttrs);
  function->removeAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName());
  function.setPublic();
  if (!entry->getWorkspaceSize())
    entry->setWorkspaceSize(0);

  auto internal = LLVM::LinkageAttr::get(context, LLVM::Linkage::Internal);
  for (auto other : module.getOps<func::FuncOp>())
    if (other != function && !other.isExternal()) {
      other.setPrivate();
      other->setAttr("llvm.linkage", internal);
    }
  return success();
}

namespace {
struct FinalizeEntryPass : public mlir::prune::impl::PruneFinalizeEntryBase<FinalizeEntryPass> {
  using PruneFinalizeEntryBase::PruneFinalizeEntryBase;

  void runOnOperation() override {
    if (failed(finalizeEntry(getOperation())))
      signalPassFailure();
  }
};
} // namespace
