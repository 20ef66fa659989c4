//===- LibraryCalls.cpp - Packed layers by libraries of CUDA -------------------===//
//
// A layer whose storage is that of a library becomes a call of an external function, which prune-finalize-gpu-entry
// writes into the table of launches. The library computes the bare product; a kernel applies the epilogue, if there is
// one.
//
//===----------------------------------------------------------------------===//

#include "TensorCoreKernels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace mlir::prune;

static bool isMatrixOfFloats(Type type, int64_t rows, int64_t columns) {
  auto shaped = cast<ShapedType>(type);
  return shaped.getShape() == ArrayRef<int64_t>{rows, columns} && isa<FloatType>(shaped.getElementType());
}

StringRef mlir::prune::findLibrary(LinearOp op, const GPUKernelOptions &options) {
  ValueRange storage = op.getStorage();
  bool isMatrix = storage.size() == 1 && isMatrixOfFloats(storage[0].getType(), op.getNumRows(), op.getNumColumns());
  if (op.getFormat() == StorageFormat::Matrix && isMatrix && options.useCuBLAS)
    return "cublas";
  if (op.getFormat() == StorageFormat::TwoOfFour && isMatrix)
    return "cusparselt";
  return op.getFormat() == StorageFormat::CSR && storage.size() == 3 ? "cusparse" : "";
}

/// A declaration for a call with these operands.
static func::FuncOp declare(RewriterBase &rewriter, Operation *op, StringRef library, ValueRange operands,
                            bool roundsToTF32) {
  auto module = op->getParentOfType<ModuleOp>();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(rewriter, op->getLoc(), library,
                                       rewriter.getFunctionType(ValueRange(operands).getTypes(), {}));
  function.setPrivate();
  function->setAttr(kLibraryAttr, rewriter.getStringAttr(library));
  if (roundsToTF32)
    function->setAttr(kTF32Attr, rewriter.getUnitAttr());
  SymbolTable(module).insert(function); // renames it if need be
  return function;
}

LogicalResult mlir::prune::lowerByLibrary(RewriterBase &rewriter, LinearOp op, StringRef library,
                                          const GPUTarget &target, const GPUKernelOptions &options) {
  if (target.isOpenCL)
    return op.emitOpError() << "has no kernel for " << target.chip << ": " << library << " needs an NVIDIA chip";
  if (failed(verifyRowMajor(op, target)))
    return failure();
  LayerBuffers layer(op);
  Block &epilogue = op.getEpilogue().front();
  Value result = epilogue.getTerminator()->getOperand(0);
  if (auto rounded = result.getDefiningOp<arith::TruncFOp>())
    result = rounded.getIn();
  bool isSum = result == epilogue.getArgument(0);
  // Libraries can round sums to the type of the factors; cuSPARSELt always does.
  Type factor = op.getInputType().getElementType(), wanted = op.getInitType().getElementType();
  bool rounds = library == "cusparselt" || (isSum && wanted == factor);
  Type type = rounds ? factor : rewriter.getF32Type();
  bool isBare = isSum && wanted == type;
  rewriter.setInsertionPoint(op);
  Value product = op.getInit();
  if (!isBare)
    product =
        memref::AllocOp::create(rewriter, op.getLoc(), MemRefType::get({1, layer.numTokens, layer.numRows}, type));
  SmallVector<Value> operands(op.getStorage());
  operands.append({op.getInput(), product});
  func::CallOp::create(rewriter, op.getLoc(), declare(rewriter, op, library, operands, options.useTF32), operands);
  return isBare ? success() : addParts(rewriter, layer, product, target);
}
