//===- OutlineKernels.cpp - prune-outline-kernels -------------------------------===//
//
// Equal kernels of a network compile once: each becomes a call, and calls of equal functions share one. Two kernels are
// equal if their functions print the same text, which holds types, attributes, constants and region.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Transforms/RegionUtils.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"
#include "prune/Conversion/Passes.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEOUTLINEKERNELS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// The type under which a kernel takes a buffer: views at different places of one buffer are the same to it.
Type argumentType(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref || memref.getLayout().isIdentity())
    return type;
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(memref.getStridesAndOffset(strides, offset)))
    return type;
  return MemRefType::get(memref.getShape(), memref.getElementType(),
                         StridedLayoutAttr::get(type.getContext(), ShapedType::kDynamic, strides),
                         memref.getMemorySpace());
}

bool isKernel(Operation *op) {
  auto destination = dyn_cast<DestinationStyleOpInterface>(op);
  return destination && destination.hasPureBufferSemantics() && op->getNumResults() == 0 &&
         !op->getParentOfType<linalg::LinalgOp>();
}

std::string kernelName(Operation *op) {
  std::string name = op->getName().getStringRef().str();
  std::replace(name.begin(), name.end(), '.', '_');
  return "kernel_" + name;
}

/// A private function that holds copies of `ops`, the last of which names it; its arguments stand for `operands`.
func::FuncOp makeFunction(ArrayRef<Operation *> ops, ArrayRef<Value> operands, ArrayRef<Value> constants) {
  Operation *op = ops.back();
  OpBuilder b(op->getContext());
  SmallVector<Type> types;
  for (Value operand : operands)
    types.push_back(argumentType(operand.getType()));
  Location loc = UnknownLoc::get(op->getContext());
  auto function = func::FuncOp::create(b, loc, "kernel", b.getFunctionType(types, {}));
  function.setPrivate();
  // One call may be all there is, but the caller would grow beyond what register allocation likes.
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  // The threads are taken: a second team inside would only cost.
  if (op->getParentOfType<scf::ParallelOp>())
    function->setAttr(kSerialAttrName, b.getUnitAttr());
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  IRMapping mapping;
  for (Value constant : constants)
    mapping.map(constant, b.clone(*constant.getDefiningOp())->getResult(0));
  for (auto [operand, argument] : llvm::zip(operands, entry->getArguments()))
    mapping.map(operand, argument);
  for (Operation *original : ops)
    b.clone(*original, mapping)->walk([&](Operation *inner) { inner->setLoc(loc); });
  for (Value constant : constants)
    mapping.lookup(constant).getDefiningOp()->setLoc(loc);
  func::ReturnOp::create(b, loc);
  return function;
}

struct PruneOutlineKernels : mlir::prune::impl::PruneOutlineKernelsBase<PruneOutlineKernels> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    SmallVector<Operation *> kernels;
    module.walk([&](func::FuncOp function) {
      function.walk([&](Operation *op) {
        if (isKernel(op))
          kernels.push_back(op);
      });
    });
    // An accumulation takes its fill along, and may then start from the value.
    DenseMap<Operation *, Operation *> fills;
    for (Operation *op : kernels)
      if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
        if (linalg::FillOp fill = getOwnFill(linalgOp))
          fills[op] = fill;
    for (auto [op, fill] : fills)
      llvm::erase(kernels, fill);
    llvm::StringMap<func::FuncOp> functions;
    for (Operation *op : kernels) {
      SmallVector<Operation *> ops;
      if (Operation *fill = fills.lookup(op))
        ops.push_back(fill);
      ops.push_back(op);
      SetVector<Value> used;
      for (Operation *member : ops) {
        used.insert(member->operand_begin(), member->operand_end());
        getUsedValuesDefinedAbove(member->getRegions(), used);
      }
      SmallVector<Value> operands, constants;
      for (Value value : used) {
        bool isConstant = value.getDefiningOp() && value.getDefiningOp()->hasTrait<OpTrait::ConstantLike>();
        (isConstant ? constants : operands).push_back(value);
      }
      func::FuncOp function = makeFunction(ops, operands, constants);
      std::string text;
      llvm::raw_string_ostream stream(text);
      function.print(stream, OpPrintingFlags().printGenericOpForm());
      auto [known, isNew] = functions.try_emplace(stream.str(), function);
      if (isNew) {
        function.setName(kernelName(op));
        symbols.insert(function);
        ++numKernels;
      } else {
        function.erase();
      }
      OpBuilder b(op);
      SmallVector<Value> arguments;
      for (auto [operand, type] : llvm::zip(operands, known->second.getArgumentTypes()))
        arguments.push_back(
            operand.getType() == type ? operand : memref::CastOp::create(b, op->getLoc(), type, operand).getResult());
      func::CallOp::create(b, op->getLoc(), known->second, arguments);
      for (Operation *member : llvm::reverse(ops))
        member->erase();
      ++numCalls;
    }
  }
};
} // namespace
