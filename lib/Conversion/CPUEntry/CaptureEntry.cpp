//===- CaptureEntry.cpp - Write down the signature of a model -----------------===//

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/IR/Verifier.h"
#include "prune/Conversion/CPUEntry.h"
#include "prune/Support/GPUTarget.h"
#include "prune/Support/Target.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNECAPTUREENTRY
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

static constexpr StringLiteral kNameAttr = "prune.name";

FailureOr<EntryOp> mlir::prune::getEntry(ModuleOp module) {
  auto entries = llvm::to_vector(module.getOps<EntryOp>());
  if (entries.size() == 1)
    return entries.front();
  if (entries.empty())
    return module.emitError() << "expected one prune.entry in the module, got none (run prune-capture-entry while the "
                                 "function is on tensors)";
  InFlightDiagnostic diag = entries[1].emitError() << "expected one prune.entry in the module, got " << entries.size();
  diag.attachNote(entries[0].getLoc()) << "the first one is here";
  return diag;
}

/// Names of one side: those given, and `prefix` with the index where there is none or it is taken.
static ArrayAttr collectNames(Builder &builder, StringRef prefix, unsigned count,
                              function_ref<StringAttr(unsigned)> given) {
  llvm::StringSet<> taken;
  for (unsigned i = 0; i < count; ++i)
    if (StringAttr name = given(i))
      taken.insert(name.getValue());
  SmallVector<Attribute> names;
  for (unsigned i = 0; i < count; ++i) {
    if (StringAttr name = given(i); name && !name.empty()) {
      names.push_back(name);
      continue;
    }
    std::string name = (prefix + Twine(i)).str();
    while (!taken.insert(name).second)
      name += "_";
    names.push_back(builder.getStringAttr(name));
  }
  return builder.getArrayAttr(names);
}

static ArrayAttr getTypes(Builder &builder, TypeRange types) {
  return builder.getTypeArrayAttr(llvm::to_vector(types));
}

FailureOr<EntryOp> mlir::prune::captureEntry(ModuleOp module, const PruneCaptureEntryOptions &options) {
  if (auto entries = module.getOps<EntryOp>(); !entries.empty())
    return (*entries.begin()).emitError() << "expected a module without prune.entry, got one";
  auto function = module.lookupSymbol<func::FuncOp>(options.function);
  if (!function || function.isExternal())
    return module.emitError() << "expected a function named '" << options.function << "' with a body, got none";
  for (auto [side, types] :
       {std::pair("argument", function.getArgumentTypes()), std::pair("result", function.getResultTypes())})
    for (auto [i, type] : llvm::enumerate(types)) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      if (!tensor || !tensor.hasStaticShape())
        return function.emitError() << side << " " << i
                                    << " of the entry function: expected a tensor of static shape, got " << type
                                    << (tensor ? " (fix the dynamic sizes when importing)" : "");
    }
  if (options.threads < 1)
    return module.emitError() << "expected at least 1 thread, got " << options.threads;
  llvm::Expected<CPUTarget> target = resolveTarget(options.cpu, options.features);
  if (!target)
    return module.emitError() << llvm::toString(target.takeError());

  if (!options.gpu.empty())
    if (llvm::Expected<GPUTarget> chip = GPUTarget::parse(options.gpu); !chip)
      return module.emitError() << llvm::toString(chip.takeError());

  OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
  ArrayAttr inputs = collectNames(builder, "in", function.getNumArguments(),
                                  [&](unsigned i) { return function.getArgAttrOfType<StringAttr>(i, kNameAttr); });
  ArrayAttr outputs = collectNames(builder, "out", function.getNumResults(),
                                   [&](unsigned i) { return function.getResultAttrOfType<StringAttr>(i, kNameAttr); });
  auto entry = EntryOp::create(builder, function.getLoc(), FlatSymbolRefAttr::get(function.getSymNameAttr()), inputs,
                               getTypes(builder, function.getArgumentTypes()), outputs,
                               getTypes(builder, function.getResultTypes()),
                               /*weights=*/nullptr, /*workspace_size=*/nullptr,
                               target->cpu.empty() ? StringAttr() : builder.getStringAttr(target->cpu),
                               target->features.empty() ? StringAttr() : builder.getStringAttr(target->features),
                               options.gpu.empty() ? StringAttr() : builder.getStringAttr(options.gpu),
                               builder.getI64IntegerAttr(options.threads));
  // Checked here, so that names that clash are reported at the function and not by the verifier of the pass manager.
  if (failed(mlir::verify(entry)))
    return failure();

  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    function.removeArgAttr(i, kNameAttr);
    // Inputs belong to the caller: bufferization would else compute in them where they are not needed later.
    function.setArgAttr(i, bufferization::BufferizationDialect::kWritableAttrName, builder.getBoolAttr(false));
  }
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    function.removeResultAttr(i, builder.getStringAttr(kNameAttr));
  for (auto other : module.getOps<func::FuncOp>())
    if (other != function && !other.isExternal())
      other.setPrivate();
  function.setPublic();
  return entry;
}

namespace {
struct CaptureEntryPass : public mlir::prune::impl::PruneCaptureEntryBase<CaptureEntryPass> {
  using PruneCaptureEntryBase::PruneCaptureEntryBase;

  void runOnOperation() override {
    PruneCaptureEntryOptions options{function, cpu, features, gpu, threads};
    if (failed(captureEntry(getOperation(), options)))
      signalPassFailure();
  }
};
} // namespace
