//===- FinalizeGPUEntry.cpp - Device code and the table of launches -----------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "prune/Conversion/CPUEntry.h"
#include "prune/Conversion/PruneToGPU/KernelBuilder.h"
#include "prune/ExecutionEngine/CodeGen.h"
#include "prune/ExecutionEngine/GPUCode.h"
#include "prune/Runtime/GPU.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEFINALIZEGPUENTRY
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Buffers of inputs and outputs start at multiples of this on the device, as CUDA's own allocations do.
constexpr int64_t kDeviceAlignment = 256;

namespace {
/// A place on the device.
struct Place {
  int64_t space, offset;
};

/// What becomes the table of prune_gpu_program.
struct LaunchTable {
  SmallVector<int64_t> words;
  int64_t numLaunches = 0, inputBytes = 0, outputBytes = 0;
  SmallVector<int64_t> offsets; ///< of the inputs, then the outputs
  std::string names;            ///< of the kernels, each with a final 0
  SmallVector<int64_t> maps;    ///< eight words for each tensor map
  llvm::DenseMap<StringAttr, int64_t> kernels;
};
} // namespace

static void addBuffers(LaunchTable &table, EntryOp entry) {
  auto add = [&](RankedTensorType type, int64_t &total) {
    int64_t bytes = type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
    table.offsets.push_back(total);
    table.words.append({total, bytes});
    total = llvm::alignTo(total + bytes, kDeviceAlignment);
  };
  for (unsigned i = 0; i < entry.getNumInputs(); ++i)
    add(entry.getInputType(i), table.inputBytes);
  for (unsigned i = 0; i < entry.getNumOutputs(); ++i)
    add(entry.getOutputType(i), table.outputBytes);
}

/// Where `buffer` lies, if that is known.
static std::optional<Place> findPlace(Value buffer, EntryOp entry, const LaunchTable &table) {
  int64_t shift = 0;
  while (Operation *op = buffer.getDefiningOp()) {
    auto view = dyn_cast<ViewLikeOpInterface>(op);
    if (!view)
      return std::nullopt;
    if (auto bytes = dyn_cast<memref::ViewOp>(op)) {
      std::optional<int64_t> by = getConstantIntValue(bytes.getByteShift());
      if (!by)
        return std::nullopt;
      shift += *by;
    }
    buffer = view.getViewSource();
  }
  unsigned index = cast<BlockArgument>(buffer).getArgNumber(), numInputs = entry.getNumInputs();
  if (index < table.offsets.size())
    return Place{index < numInputs ? PRUNE_GPU_INPUTS : PRUNE_GPU_OUTPUTS, table.offsets[index] + shift};
  bool isWeights = index == table.offsets.size() && entry.getWeights();
  return Place{isWeights ? PRUNE_GPU_WEIGHTS : PRUNE_GPU_WORKSPACE, shift};
}

/// An element type as cuTensorMapEncodeTiled numbers it.
static int64_t getDriverType(Type type) { return type.isInteger(8) ? 0 : type.isF16() ? 6 : type.isBF16() ? 9 : 7; }

/// The place of the bytes of a tensor map; equal ones share them.
static std::optional<Place> addTensorMap(LaunchTable &table, TensorMapOp map, EntryOp entry) {
  constexpr size_t kWords = 8;
  std::optional<Place> source = findPlace(map.getSource(), entry, table);
  if (!source)
    return std::nullopt;
  auto type = cast<MemRefType>(map.getSource().getType());
  int64_t columns = type.getShape().back();
  int64_t words[kWords] = {source->space,
                           source->offset,
                           columns,
                           type.getNumElements() / columns,
                           map.getBox()[0],
                           map.getBox()[1],
                           static_cast<int64_t>(map.getSwizzle()),
                           getDriverType(type.getElementType())};
  size_t index = 0, count = table.maps.size() / kWords;
  while (index < count && ArrayRef(table.maps).slice(index * kWords, kWords) != ArrayRef(words))
    ++index;
  if (index == count)
    table.maps.append(std::begin(words), std::end(words));
  return Place{PRUNE_GPU_MAPS, static_cast<int64_t>(index) * 128};
}

static LogicalResult addLaunch(LaunchTable &table, gpu::LaunchFuncOp launch, EntryOp entry) {
  auto [name, isNew] = table.kernels.try_emplace(launch.getKernelName(), table.kernels.size());
  if (isNew) {
    table.names += launch.getKernelName().getValue();
    table.names += '\0';
  }
  table.words.push_back(name->second);
  gpu::KernelDim3 grid = launch.getGridSizeOperandValues(), block = launch.getBlockSizeOperandValues();
  SmallVector<Value> sizes{grid.x, grid.y, grid.z, block.x, block.y, block.z};
  if (Value shared = launch.getDynamicSharedMemorySize())
    sizes.push_back(shared);
  for (Value size : sizes) {
    std::optional<int64_t> constant = getConstantIntValue(size);
    if (!constant)
      return launch.emitOpError() << "expected constant sizes of grid, block and shared memory";
    table.words.push_back(*constant);
  }
  if (sizes.size() == 6)
    table.words.push_back(0);
  table.words.push_back(launch.getNumKernelOperands());
  for (Value operand : launch.getKernelOperands()) {
    std::optional<Place> place;
    if (auto map = operand.getDefiningOp<TensorMapOp>())
      place = addTensorMap(table, map, entry);
    else if (isa<MemRefType>(operand.getType()))
      place = findPlace(operand, entry, table);
    if (!place)
      return launch.emitOpError() << "expected arguments that are buffers at a known place, got " << operand.getType();
    table.words.append({place->space, place->offset});
  }
  ++table.numLaunches;
  return success();
}

/// Types as CUDA's libraries number them.
static int64_t getLibraryType(Type type) { return type.isF16() ? 2 : type.isBF16() ? 14 : 0; }

/// A product by a library: storage, activations and result.
static LogicalResult addLibraryCall(LaunchTable &table, func::CallOp call, EntryOp entry) {
  auto callee = call->getParentOfType<ModuleOp>().lookupSymbol<func::FuncOp>(call.getCallee());
  auto library = callee->getAttrOfType<StringAttr>(kLibraryAttr);
  if (!library || call.getNumOperands() < 3)
    return call.emitOpError() << "expected a call of a product by a library, got one of '" << call.getCallee() << "'";
  unsigned last = call.getNumOperands() - 1;
  auto type = [&](unsigned i) { return cast<MemRefType>(call.getOperand(i).getType()); };
  int64_t columns = type(last - 1).getShape().back(), tokens = type(last - 1).getNumElements() / columns,
          rows = type(last).getNumElements() / tokens, stored = type(last - 2).getNumElements();
  int64_t which = library == "cublas"       ? PRUNE_GPU_CUBLAS
                  : library == "cusparselt" ? PRUNE_GPU_CUSPARSELT
                                            : PRUNE_GPU_CUSPARSE;
  table.words.append({which, tokens, rows, columns, getLibraryType(type(last - 1).getElementType()),
                      getLibraryType(type(last).getElementType()), callee->hasAttr(kTF32Attr), stored,
                      int64_t(call.getNumOperands())});
  for (Value operand : call.getOperands()) {
    std::optional<Place> place = findPlace(operand, entry, table);
    if (!place)
      return call.emitOpError() << "expected arguments that are buffers at a known place, got " << operand.getType();
    table.words.append({place->space, place->offset});
  }
  ++table.numLaunches;
  return success();
}

static LLVM::GlobalOp createBytes(OpBuilder &builder, Location loc, StringRef name, StringRef bytes) {
  auto type = LLVM::LLVMArrayType::get(builder.getI8Type(), bytes.size());
  return LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name,
                                builder.getStringAttr(bytes), /*alignment=*/64);
}

static LLVM::GlobalOp createWords(OpBuilder &builder, Location loc, StringRef name, ArrayRef<int64_t> words) {
  auto type = LLVM::LLVMArrayType::get(builder.getI64Type(), words.size());
  return LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name,
                                builder.getI64TensorAttr(words));
}

/// The global `prune_gpu_program`, field by field as in Runtime/GPU.h.
static LLVM::GlobalOp createProgram(OpBuilder &builder, EntryOp entry, const GPUTarget &target, StringRef code,
                                    const LaunchTable &table, int64_t weightBytes) {
  Location loc = entry.getLoc();
  MLIRContext *context = builder.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  Type word = builder.getI64Type();
  std::string chip = target.chip + '\0';
  // PTX is text; CUDA looks for its end.
  std::string bytes = code.str();
  if (code.starts_with("//"))
    bytes += '\0';
  LLVM::GlobalOp chipOp = createBytes(builder, loc, "prune_gpu_chip", chip);
  LLVM::GlobalOp codeOp = createBytes(builder, loc, "prune_gpu_code", bytes);
  LLVM::GlobalOp namesOp = createBytes(builder, loc, "prune_gpu_kernels", table.names);
  LLVM::GlobalOp tableOp = createWords(builder, loc, "prune_gpu_table", table.words);
  LLVM::GlobalOp mapsOp;
  if (!table.maps.empty())
    mapsOp = createWords(builder, loc, "prune_gpu_maps", table.maps);

  // A pointer to a global, a null pointer or a number.
  struct Field {
    Field(LLVM::GlobalOp global) : isPointer(true), global(global) {}
    Field(int64_t number) : number(number) {}
    bool isPointer = false;
    LLVM::GlobalOp global;
    int64_t number = 0;
  };
  const Field null = LLVM::GlobalOp();
  const Field fields[] = {null, // run
                          target.isOpenCL ? PRUNE_GPU_OPENCL : PRUNE_GPU_CUDA,
                          chipOp,
                          codeOp,
                          bytes.size(),
                          namesOp,
                          table.kernels.size(),
                          tableOp,
                          table.numLaunches,
                          entry.getNumInputs(),
                          entry.getNumOutputs(),
                          table.inputBytes,
                          table.outputBytes,
                          weightBytes,
                          entry.getWorkspaceSize().value_or(0),
                          mapsOp,
                          table.maps.size() / 8,
                          null}; // state
  SmallVector<Type> types;
  for (const Field &field : fields)
    types.push_back(field.isPointer ? pointer : word);
  auto type = LLVM::LLVMStructType::getLiteral(context, types);
  auto program = LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/false, LLVM::Linkage::External, kGPUProgram,
                                        Attribute());
  OpBuilder::InsertionGuard guard(builder);
  builder.createBlock(&program.getInitializerRegion());
  Value value = LLVM::PoisonOp::create(builder, loc, type);
  for (size_t i = 0; i < types.size(); ++i) {
    Value element;
    if (!fields[i].isPointer)
      element = LLVM::ConstantOp::create(builder, loc, word, fields[i].number);
    else if (fields[i].global)
      element = LLVM::AddressOfOp::create(builder, loc, fields[i].global);
    else
      element = LLVM::ZeroOp::create(builder, loc, pointer);
    value = LLVM::InsertValueOp::create(builder, loc, value, element, i);
  }
  LLVM::ReturnOp::create(builder, loc, value);
  return program;
}

/// The function of four pointers: calls `run`, the first field of the program.
static void createEntryFunction(OpBuilder &builder, EntryOp entry, LLVM::GlobalOp program) {
  Location loc = entry.getLoc();
  MLIRContext *context = builder.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), SmallVector<Type>(4, pointer));
  auto function = LLVM::LLVMFuncOp::create(builder, loc, entry.getFunction(), type);
  Block *body = function.addEntryBlock(builder);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(body);
  Value address = LLVM::AddressOfOp::create(builder, loc, program);
  Value run = LLVM::LoadOp::create(builder, loc, pointer, address);
  auto runType = LLVM::LLVMFunctionType::get(builder.getI32Type(), SmallVector<Type>(4, pointer));
  SmallVector<Value> operands{run, address, body->getArgument(0), body->getArgument(1), body->getArgument(2)};
  LLVM::CallOp::create(builder, loc, runType, operands);
  LLVM::ReturnOp::create(builder, loc, ValueRange());
}

static int64_t getWeightBytes(EntryOp entry) {
  if (!entry.getWeights())
    return 0;
  auto blob = entry->getParentOfType<ModuleOp>().lookupSymbol<BlobOp>(*entry.getWeights());
  return blob.getData().getShapedType().getNumElements();
}

namespace {
struct PruneFinalizeGPUEntry : prune::impl::PruneFinalizeGPUEntryBase<PruneFinalizeGPUEntry> {
  using Base::Base;

  void getDependentDialects(DialectRegistry &registry) const override {
    Base::getDependentDialects(registry);
    registerCodeGenTranslations(registry);
  }

  LogicalResult finalize() {
    ModuleOp module = getOperation();
    llvm::Expected<GPUTarget> target = GPUTarget::parse(chip);
    if (!target)
      return module.emitError() << llvm::toString(target.takeError());
    llvm::Expected<GPUCodeFormat> codeFormat = parseGPUCodeFormat(format, *target);
    if (!codeFormat)
      return module.emitError() << llvm::toString(codeFormat.takeError());
    FailureOr<EntryOp> entry = getEntry(module);
    if (failed(entry))
      return failure();
    FailureOr<func::FuncOp> function = getBufferizedFunction(*entry);
    if (failed(function))
      return failure();

    LaunchTable table;
    addBuffers(table, *entry);
    for (Operation &op : function->getBody().front()) {
      if (auto launch = dyn_cast<gpu::LaunchFuncOp>(op)) {
        if (failed(addLaunch(table, launch, *entry)))
          return failure();
      } else if (auto call = dyn_cast<func::CallOp>(op)) {
        if (failed(addLibraryCall(table, call, *entry)))
          return failure();
      } else if (!op.hasTrait<OpTrait::ConstantLike>() && !isa<ViewLikeOpInterface, TensorMapOp, func::ReturnOp>(op)) {
        return op.emitOpError() << "expected launches and views of buffers only";
      }
    }
    std::string code;
    auto kernels = module.lookupSymbol<gpu::GPUModuleOp>(kKernelModule);
    if (kernels) {
      llvm::Expected<std::string> compiled = compileKernels(kernels, *target, *codeFormat);
      if (!compiled)
        return kernels.emitError() << llvm::toString(compiled.takeError());
      code = std::move(*compiled);
    }
    int64_t weightBytes = getWeightBytes(*entry);
    numLaunches += table.numLaunches;
    codeBytes += code.size();

    OpBuilder builder(*function);
    LLVM::GlobalOp program = createProgram(builder, *entry, *target, code, table, weightBytes);
    // Everything is on the device: the caller gives no workspace.
    entry->setWorkspaceSize(0);
    auto others = llvm::to_vector(module.getOps<func::FuncOp>());
    createEntryFunction(builder, *entry, program);
    for (func::FuncOp other : others)
      other.erase();
    if (kernels)
      kernels.erase();
    module->removeAttr(gpu::GPUDialect::getContainerModuleAttrName());
    return success();
  }

  void runOnOperation() override {
    if (failed(finalize()))
      signalPassFailure();
  }
};
} // namespace
