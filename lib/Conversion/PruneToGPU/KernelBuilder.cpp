//===- KernelBuilder.cpp - Builds one kernel and its launch -------------------===//

#include "prune/Conversion/PruneToGPU/KernelBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace mlir::prune;

Value mlir::prune::getRootBuffer(Value buffer) {
  while (Operation *op = buffer.getDefiningOp()) {
    auto view = dyn_cast<ViewLikeOpInterface>(op);
    if (!view || isa<memref::ViewOp>(op))
      break;
    buffer = view.getViewSource();
  }
  return buffer;
}

/// `type` in the address space of the device's memory.
static MemRefType inSpace(MemRefType type, gpu::AddressSpace space) {
  return MemRefType::get(type.getShape(), type.getElementType(), type.getLayout(),
                         gpu::AddressSpaceAttr::get(type.getContext(), space));
}

static gpu::GPUModuleOp getKernelModule(Operation *op) {
  auto module = op->getParentOfType<ModuleOp>();
  if (auto kernels = module.lookupSymbol<gpu::GPUModuleOp>(kKernelModule))
    return kernels;
  module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), UnitAttr::get(op->getContext()));
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  return gpu::GPUModuleOp::create(builder, op->getLoc(), kKernelModule);
}

KernelBuilder::KernelBuilder(RewriterBase &rewriter, Operation *op, const GPUTarget &target, StringRef name,
                             ValueRange hostBuffers, std::array<int64_t, 3> grid, std::array<int64_t, 3> block)
    : ImplicitLocOpBuilder(op->getLoc(), rewriter), target(target), op(op), grid(grid), block(block) {
  gpu::GPUModuleOp kernels = getKernelModule(op);
  SmallVector<Type> types;
  for (Value buffer : hostBuffers) {
    auto type = cast<MemRefType>(buffer.getType());
    Value operand = type.getLayout().isIdentity() ? buffer : getRootBuffer(buffer);
    operands.push_back(operand);
    types.push_back(operand.getType());
  }
  setInsertionPointToEnd(&kernels.getBodyRegion().front());
  kernel = gpu::GPUFuncOp::create(*this, name, getFunctionType(types, {}));
  SymbolTable(kernels).insert(kernel); // renames it if need be
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), getUnitAttr());
  SmallVector<int32_t> blockSize(block.begin(), block.end());
  kernel.setKnownBlockSizeAttr(getDenseI32ArrayAttr(blockSize));
  setInsertionPointToStart(&kernel.getBody().front());
  for (auto [argument, buffer] : llvm::zip(kernel.getArguments(), hostBuffers)) {
    auto type = inSpace(cast<MemRefType>(buffer.getType()), gpu::AddressSpace::Global);
    // A launch passes what the kernel takes, without a space.
    Value global = memref::MemorySpaceCastOp::create(
        *this, inSpace(cast<MemRefType>(argument.getType()), gpu::AddressSpace::Global), argument);
    if (type == global.getType()) {
      buffers.push_back(global);
      continue;
    }
    auto [strides, offset] = type.getStridesAndOffset();
    hasDynamicOffset |= ShapedType::isDynamic(offset) || llvm::any_of(strides, ShapedType::isDynamic);
    buffers.push_back(hasDynamicOffset ? UnrealizedConversionCastOp::create(*this, type, global).getResult(0)
                                       : memref::ReinterpretCastOp::create(*this, type, global, offset, type.getShape(),
                                                                           strides, ArrayRef<NamedAttribute>())
                                             .getResult());
  }
}

LogicalResult KernelBuilder::finish() {
  gpu::ReturnOp::create(*this);
  if (hasDynamicOffset)
    return op->emitOpError() << "has no kernel for " << target.chip
                             << ": expected buffers whose place is known at compile time";
  // What a device of OpenCL has, the runtime asks it.
  if (!target.isOpenCL && sharedBytes > target.sharedBytes)
    return op->emitOpError() << "needs " << sharedBytes << " bytes of shared memory, " << target.chip << " has "
                             << target.sharedBytes << " for a block";
  setInsertionPoint(op);
  auto dim3 = [&](const std::array<int64_t, 3> &size) {
    return gpu::KernelDim3{constant(size[0]), constant(size[1]), constant(size[2])};
  };
  Value bytes;
  if (sharedBytes != 0)
    bytes = arith::ConstantIntOp::create(*this, getI32Type(), sharedBytes);
  gpu::LaunchFuncOp::create(*this, kernel, dim3(grid), dim3(block), bytes, operands);
  return success();
}

Value KernelBuilder::addTensorMap(Value buffer, ArrayRef<int64_t> box, int64_t swizzleBytes) {
  Value map;
  {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPoint(op);
    map = TensorMapOp::create(*this, MemRefType::get({128}, getI8Type()), buffer, box, swizzleBytes);
  }
  operands.push_back(map);
  auto type = cast<MemRefType>(map.getType());
  Value argument = kernel.getBody().front().addArgument(type, getLoc());
  SmallVector<Type> types(kernel.getFunctionType().getInputs());
  types.push_back(type);
  kernel.setFunctionType(getFunctionType(types, {}));
  return memref::MemorySpaceCastOp::create(*this, inSpace(type, gpu::AddressSpace::Global), argument);
}

Value KernelBuilder::threadId(unsigned dim) {
  return gpu::ThreadIdOp::create(*this, getIndexType(), static_cast<gpu::Dimension>(dim), getIndexAttr(block[dim]));
}

Value KernelBuilder::blockId(unsigned dim) {
  return gpu::BlockIdOp::create(*this, getIndexType(), static_cast<gpu::Dimension>(dim), getIndexAttr(grid[dim]));
}

Value KernelBuilder::allocShared(MemRefType type, int64_t alignment) {
  OpBuilder::InsertionGuard guard(*this);
  if (!sharedBase) {
    setInsertionPointToStart(&kernel.getBody().front());
    auto bytes = MemRefType::get({ShapedType::kDynamic}, getI8Type());
    sharedBase = gpu::DynamicSharedMemoryOp::create(*this, inSpace(bytes, gpu::AddressSpace::Workgroup));
  }
  setInsertionPointAfter(sharedBase.getDefiningOp());
  sharedBytes = llvm::alignTo(sharedBytes, alignment);
  Value view = memref::ViewOp::create(*this, inSpace(type, gpu::AddressSpace::Workgroup), sharedBase,
                                      constant(sharedBytes), ValueRange());
  // Truth values take a byte.
  sharedBytes += type.getNumElements() * llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  return view;
}

void KernelBuilder::barrier() { gpu::BarrierOp::create(*this); }

Value KernelBuilder::constant(int64_t value) { return arith::ConstantIndexOp::create(*this, value); }
Value KernelBuilder::zero(Type type) { return arith::ConstantOp::create(*this, getZeroAttr(type)); }
Value KernelBuilder::add(Value x, Value y) { return arith::AddIOp::create(*this, x, y); }
Value KernelBuilder::add(Value x, int64_t y) { return y == 0 ? x : add(x, constant(y)); }
Value KernelBuilder::sub(Value x, Value y) { return arith::SubIOp::create(*this, x, y); }
Value KernelBuilder::mul(Value x, Value y) { return arith::MulIOp::create(*this, x, y); }
Value KernelBuilder::mul(Value x, int64_t y) { return y == 1 ? x : mul(x, constant(y)); }
Value KernelBuilder::div(Value x, int64_t y) {
  return y == 1 ? x : arith::DivUIOp::create(*this, x, constant(y)).getResult();
}
Value KernelBuilder::rem(Value x, int64_t y) {
  return y == 1 ? constant(0) : arith::RemUIOp::create(*this, x, constant(y)).getResult();
}
Value KernelBuilder::less(Value x, Value y) { return arith::CmpIOp::create(*this, arith::CmpIPredicate::ult, x, y); }

SmallVector<Value> KernelBuilder::delinearize(Value number, ArrayRef<int64_t> shape) {
  SmallVector<Value> indices(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    indices[i] = i == 0 ? number : rem(number, shape[i]);
    if (i > 0)
      number = div(number, shape[i]);
  }
  return indices;
}

SmallVector<Value> KernelBuilder::forLoop(Value lo, Value hi, Value step, ValueRange init, LoopBody body) {
  auto loop = scf::ForOp::create(*this, lo, hi, step, init);
  {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPointToStart(loop.getBody());
    SmallVector<Value> results = body(loop.getInductionVar(), loop.getRegionIterArgs());
    // Without init the loop made its own terminator.
    if (!init.empty())
      scf::YieldOp::create(*this, results);
  }
  return llvm::to_vector_of<Value>(loop.getResults());
}

SmallVector<Value> KernelBuilder::forLoop(Value lo, Value hi, int64_t step, ValueRange init, LoopBody body) {
  return forLoop(lo, hi, constant(step), init, body);
}

void KernelBuilder::forLoop(Value lo, Value hi, int64_t step, function_ref<void(Value index)> body) {
  forLoop(lo, hi, step, {}, [&](Value index, ValueRange) {
    body(index);
    return SmallVector<Value>();
  });
}

void KernelBuilder::ifThen(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  body();
}

SmallVector<Value> KernelBuilder::inlineBlock(Block &block, ValueRange arguments, IRMapping mapping) {
  for (auto [from, to] : llvm::zip(block.getArguments(), arguments))
    mapping.map(from, to);
  auto cloneConstants = [&](Operation *user) {
    for (Value operand : user->getOperands())
      if (Operation *source = operand.getDefiningOp(); !mapping.contains(operand) && source &&
                                                       source->hasTrait<OpTrait::ConstantLike>() &&
                                                       !block.getParent()->isAncestor(source->getParentRegion()))
        mapping.map(operand, clone(*source)->getResult(0));
  };
  for (Operation &member : block) {
    member.walk(cloneConstants);
    bool isMapped = llvm::all_of(member.getResults(), [&](Value result) { return mapping.contains(result); }) &&
                    member.getNumResults() != 0;
    if (!member.hasTrait<OpTrait::IsTerminator>() && !isMapped)
      clone(member, mapping);
  }
  return llvm::map_to_vector(block.getTerminator()->getOperands(),
                             [&](Value value) { return mapping.lookupOrDefault(value); });
}

Value KernelBuilder::emitEpilogue(LinearOp layer, Value sum, ValueRange indices, unsigned firstExtra) {
  SmallVector<Value> arguments{convert(sum, layer.getEpilogue().front().getArgument(0).getType())};
  for (auto [i, extra] : llvm::enumerate(layer.getExtras())) {
    auto type = cast<MemRefType>(extra.getType());
    bool isPerRow = type.getRank() == 1 && layer.getInitType().getRank() != 1;
    SmallVector<Value> place(isPerRow ? indices.slice(layer.getRowDim(), 1) : indices);
    if (type.getShape().back() == 1) // a number for each token
      place.back() = constant(0);
    arguments.push_back(memref::LoadOp::create(*this, getBuffer(firstExtra + i), place));
  }
  return inlineBlock(layer.getEpilogue().front(), arguments).front();
}

Value KernelBuilder::convert(Value value, Type type) {
  Type from = value.getType();
  if (from == type)
    return value;
  unsigned bits = from.getIntOrFloatBitWidth(), wanted = type.getIntOrFloatBitWidth();
  if (isa<FloatType>(from) && isa<FloatType>(type)) {
    if (bits == wanted) // f16 and bf16
      return convert(convert(value, getF32Type()), type);
    return bits < wanted ? arith::ExtFOp::create(*this, type, value).getResult()
                         : arith::TruncFOp::create(*this, type, value).getResult();
  }
  if (isa<IntegerType>(from) && isa<FloatType>(type))
    return arith::SIToFPOp::create(*this, type, value);
  return bits < wanted ? arith::ExtSIOp::create(*this, type, value).getResult()
                       : arith::TruncIOp::create(*this, type, value).getResult();
}
