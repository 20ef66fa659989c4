//===- PruneToGPU.cpp - convert-prune-to-gpu ----------------------------------===//

#include "Kernels.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "prune/Conversion/LinalgToVector/LinalgToVector.h"
#include "prune/Conversion/Passes.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include <optional>

namespace mlir::prune {
#define GEN_PASS_DEF_CONVERTPRUNETOGPU
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

static LogicalResult lowerLinear(RewriterBase &rewriter, LinearOp op, const GPUTarget &target,
                                 const GPUKernelOptions &options) {
  if (StringRef library = findLibrary(op, options); !library.empty())
    return lowerByLibrary(rewriter, op, library, target, options);
  switch (op.getFormat()) {
  case StorageFormat::Matrix:
    return lowerMatrix(rewriter, op, target, options);
  case StorageFormat::CSR:
    return lowerCSR(rewriter, op, target, options);
  case StorageFormat::BlockCSR:
    return lowerBlockCSR(rewriter, op, target, options);
  case StorageFormat::TwoOfFour:
  case StorageFormat::Tiles:
    return lowerTiles(rewriter, op, target, options);
  case StorageFormat::Columns:
    return lowerColumns(rewriter, op, target);
  default:
    return op.emitOpError() << "has no kernel for " << target.chip << ": format "
                            << stringifyStorageFormat(op.getFormat()) << " is one of processors";
  }
}

/// True for what a host function may hold beside launches: it only names places and sizes.
static bool staysOnHost(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() || op->hasTrait<OpTrait::IsTerminator>() ||
         isa<ViewLikeOpInterface, memref::AllocOp, memref::DeallocOp, memref::GetGlobalOp, TensorMapOp,
             gpu::LaunchFuncOp>(op);
}

/// Lets launches of equal kernels share one; returns how many are left.
static int64_t mergeEqualKernels(ModuleOp module, gpu::GPUModuleOp kernels) {
  llvm::StringMap<gpu::GPUFuncOp> known;
  llvm::DenseMap<StringAttr, gpu::GPUFuncOp> twins;
  auto name = StringAttr::get(module.getContext(), "kernel");
  for (auto kernel : llvm::make_early_inc_range(kernels.getOps<gpu::GPUFuncOp>())) {
    StringAttr ownName = kernel.getNameAttr();
    SymbolTable::setSymbolName(kernel, name);
    std::string text;
    llvm::raw_string_ostream stream(text);
    kernel->print(stream, OpPrintingFlags().useLocalScope());
    SymbolTable::setSymbolName(kernel, ownName);
    auto [twin, isNew] = known.try_emplace(text, kernel);
    if (isNew)
      continue;
    twins[ownName] = twin->second;
    kernel.erase();
  }
  module.walk([&](gpu::LaunchFuncOp launch) {
    if (gpu::GPUFuncOp twin = twins.lookup(launch.getKernelName()))
      launch.setKernelAttr(SymbolRefAttr::get(kernels.getNameAttr(), FlatSymbolRefAttr::get(twin.getNameAttr())));
  });
  return known.size();
}

namespace {
struct ConvertPruneToGPU : prune::impl::ConvertPruneToGPUBase<ConvertPruneToGPU> {
  using Base::Base;

  void runOnOperation() override {
    llvm::Expected<GPUTarget> target = GPUTarget::parse(chip);
    if (!target) {
      getOperation().emitError() << llvm::toString(target.takeError());
      return signalPassFailure();
    }
    llvm::Expected<GPUCostModel> model = GPUCostModel::load(chip);
    if (!model) {
      getOperation().emitError() << llvm::toString(model.takeError());
      return signalPassFailure();
    }
    if (columnSplits < 0) {
      emitError(getOperation().getLoc()) << "expected column-splits of 0 or more, got " << int64_t(columnSplits);
      return signalPassFailure();
    }
    std::optional<ActivationCopies> parsedCopies =
        llvm::StringSwitch<std::optional<ActivationCopies>>(copies)
            .Case("auto", ActivationCopies::Auto)
            .Case("threads", ActivationCopies::Threads)
            .Case("engine",
                  target->isOpenCL || target->sm >= 90 ? std::optional(ActivationCopies::Engine) : std::nullopt)
            .Default(std::nullopt);
    if (!parsedCopies) {
      emitError(getOperation().getLoc()) << "expected copies auto, threads or engine (sm_90 and opencl), got '"
                                         << copies << "' for " << chip;
      return signalPassFailure();
    }
    options = {useTF32, useCuBLAS, columnSplits, *parsedCopies, std::move(*model)};
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && failed(lower(function, *target)))
        return signalPassFailure();
    if (auto kernels = getOperation().lookupSymbol<gpu::GPUModuleOp>(kKernelModule))
      numKernels += mergeEqualKernels(getOperation(), kernels);
    getOperation().walk([&](gpu::LaunchFuncOp) { ++numLaunches; });
    for (auto function : getOperation().getOps<func::FuncOp>())
      numLibraryCalls += function->hasAttr(kLibraryAttr);
  }

  LogicalResult lower(func::FuncOp function, const GPUTarget &target) {
    if (!function.getBody().hasOneBlock())
      return function.emitOpError() << "has no kernels for " << target.chip << ": expected a body without branches";
    SmallVector<Operation *> ops;
    for (Operation &op : function.getBody().front())
      if (!staysOnHost(&op))
        ops.push_back(&op);
    // A reduction takes its fill along.
    LinalgFills fills;
    for (Operation *op : ops)
      if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op); linalgOp && linalgOp.getNumReductionLoops() > 0)
        if (linalg::FillOp fill = getOwnFill(linalgOp))
          fills[op] = fill;
    for (auto [op, fill] : fills)
      llvm::erase(ops, fill);

    IRRewriter rewriter(&getContext());
    ArrayRef<Operation *> rest = ops;
    while (!rest.empty()) {
      SmallVector<linalg::LinalgOp> group = findRowGroup(rest);
      if (group.empty() ? failed(lower(rewriter, rest.front(), target, fills))
                        : failed(lowerRowGroup(rewriter, group, target, fills)))
        return failure();
      numRowGroups += !group.empty();
      rest = rest.drop_front(std::max<size_t>(group.size(), 1));
    }
    for (Operation *op : ops)
      rewriter.eraseOp(op);
    for (auto [op, fill] : fills)
      rewriter.eraseOp(fill);
    return success();
  }

  LogicalResult lower(RewriterBase &rewriter, Operation *op, const GPUTarget &target, const LinalgFills &fills) {
    if (auto linear = dyn_cast<LinearOp>(op))
      return lowerLinear(rewriter, linear, target, options);
    if (auto largest = dyn_cast<KeepLargestOp>(op); largest && isa<MemRefType>(largest.getMask().getType()))
      return lowerKeepLargest(rewriter, largest, target);
    if (auto copy = dyn_cast<memref::CopyOp>(op))
      return lowerCopy(rewriter, copy, target);
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op); linalgOp && linalgOp.hasPureBufferSemantics())
      return isProduct(linalgOp) ? lowerProduct(rewriter, linalgOp, target, fills)
                                 : lowerPointwise(rewriter, linalgOp, target, fills);
    return op->emitOpError() << "has no kernel for " << target.chip;
  }

private:
  GPUKernelOptions options;
};
} // namespace
