//===- LowerKernels.cpp - prune-lower-kernels ---------------------------------===//
//
// Kernels on memrefs become functions of the LLVM dialect that take one plain pointer for each buffer.
//
//===----------------------------------------------------------------------===//

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/GPUToLLVMSPV/GPUToLLVMSPVPass.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "prune/Conversion/Passes.h"
#include "prune/Support/GPUTarget.h"

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNELOWERKERNELS
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Address space of shared memory, for NVPTX and SPIR-V alike.
constexpr unsigned kSharedSpace = 3, kGlobalSpace = 1;
/// What tiles of warp-group instructions need.
constexpr int64_t kSharedAlignment = 1024;

static MemRefType withElement(MemRefType type, Type element) {
  return MemRefType::get(type.getShape(), element, type.getLayout(), type.getMemorySpace());
}

/// Truth values in memory are bytes: SPIR-V has no others, and the host writes them so.
static void storeTruthAsBytes(gpu::GPUFuncOp kernel) {
  Type byte = IntegerType::get(kernel.getContext(), 8);
  auto isTruth = [](Value value) {
    auto type = dyn_cast<MemRefType>(value.getType());
    return type && type.getElementType().isInteger(1);
  };
  SmallVector<Operation *> accesses;
  for (BlockArgument argument : kernel.getArguments())
    if (isTruth(argument))
      argument.setType(withElement(cast<MemRefType>(argument.getType()), byte));
  kernel.walk([&](Operation *op) {
    for (Value result : op->getResults())
      if (isTruth(result))
        result.setType(withElement(cast<MemRefType>(result.getType()), byte));
    accesses.push_back(op);
  });
  for (Operation *op : accesses) {
    OpBuilder builder(op);
    if (auto store = dyn_cast<memref::StoreOp>(op); store && store.getValue().getType().isInteger(1)) {
      store.getValueMutable().assign(arith::ExtUIOp::create(builder, op->getLoc(), byte, store.getValue()));
    } else if (auto load = dyn_cast<memref::LoadOp>(op); load && load.getType().isInteger(1)) {
      Type truth = load.getType();
      load.getResult().setType(byte);
      builder.setInsertionPointAfter(op);
      auto value = arith::TruncIOp::create(builder, op->getLoc(), truth, load);
      load.getResult().replaceAllUsesExcept(value, value);
    }
  }
}

/// `pointer` as the buffer `type`, for the ops on memrefs that are still to be lowered.
static Value createMemRef(OpBuilder &builder, Location loc, const LLVMTypeConverter &converter, MemRefType type,
                          Value pointer) {
  Value descriptor;
  if (type.hasStaticShape()) {
    descriptor = MemRefDescriptor::fromStaticShape(builder, loc, converter, type, pointer);
  } else {
    // Shared memory: views of it have sizes of their own.
    auto whole = MemRefDescriptor::poison(builder, loc, converter.convertType(type));
    whole.setAllocatedPtr(builder, loc, pointer);
    whole.setAlignedPtr(builder, loc, pointer);
    whole.setConstantOffset(builder, loc, 0);
    whole.setConstantStride(builder, loc, 0, 1);
    descriptor = whole;
  }
  return UnrealizedConversionCastOp::create(builder, loc, type, descriptor).getResult(0);
}

/// Makes pointers of the buffers that the kernel takes, and for OpenCL one more of its shared memory.
static void passPointers(gpu::GPUFuncOp kernel, const LLVMTypeConverter &converter, bool isOpenCL) {
  MLIRContext *context = kernel.getContext();
  Block &body = kernel.getBody().front();
  OpBuilder builder = OpBuilder::atBlockBegin(&body);
  Location loc = kernel.getLoc();
  auto global = LLVM::LLVMPointerType::get(context, kGlobalSpace);
  auto space = gpu::AddressSpaceAttr::get(context, gpu::AddressSpace::Global);
  unsigned numBuffers = body.getNumArguments();
  for (unsigned i = 0; i < numBuffers; ++i) {
    BlockArgument buffer = body.getArgument(i);
    auto type = cast<MemRefType>(buffer.getType());
    auto globalType = MemRefType::get(type.getShape(), type.getElementType(), type.getLayout(), space);
    Value memref = createMemRef(builder, loc, converter, globalType, body.addArgument(global, loc));
    for (Operation *user : llvm::make_early_inc_range(buffer.getUsers()))
      if (auto cast = dyn_cast<memref::MemorySpaceCastOp>(user); cast && cast.getType() == globalType) {
        cast.replaceAllUsesWith(memref);
        cast.erase();
      }
    // Any other use goes by the address that holds for all spaces.
    if (!buffer.use_empty())
      buffer.replaceAllUsesWith(memref::MemorySpaceCastOp::create(builder, loc, type, memref));
  }
  body.eraseArguments(0, numBuffers);
  SmallVector<gpu::DynamicSharedMemoryOp> shared;
  kernel.walk([&](gpu::DynamicSharedMemoryOp op) { shared.push_back(op); });
  if (isOpenCL && !shared.empty()) {
    Value pointer = body.addArgument(LLVM::LLVMPointerType::get(context, kSharedSpace), loc);
    Value memory = createMemRef(builder, loc, converter, shared.front().getType(), pointer);
    for (gpu::DynamicSharedMemoryOp op : shared) {
      op.replaceAllUsesWith(memory);
      op.erase();
    }
  }
  kernel.setFunctionType(FunctionType::get(context, body.getArgumentTypes(), {}));
}

//===----------------------------------------------------------------------===//
// bf16, which OpenCL does not have: its bits lie in memory and registers, and f32 computes
//===----------------------------------------------------------------------===//

static bool isBF16(Type type) { return getElementTypeOrSelf(type).isBF16(); }

/// Leaves no arithmetic on bf16 but what moves its bits.
static LogicalResult computeBF16InF32(gpu::GPUModuleOp kernels) {
  MLIRContext *context = kernels.getContext();
  TypeConverter converter;
  arith::populateEmulateUnsupportedFloatsConversions(converter, BFloat16Type::get(context), Float32Type::get(context));
  ConversionTarget target(*context);
  arith::populateEmulateUnsupportedFloatsLegality(target, converter);
  auto isLegal = [&](Operation *op) { return converter.isLegal(op); };
  target.addDynamicallyLegalDialect<math::MathDialect>(isLegal);
  target.addDynamicallyLegalOp<arith::FPToSIOp, arith::FPToUIOp, arith::SIToFPOp, arith::UIToFPOp>(isLegal);
  RewritePatternSet widening(context);
  arith::populateEmulateUnsupportedFloatsPatterns(widening, converter);
  if (failed(applyPartialConversion(kernels, target, std::move(widening))))
    return failure();
  // Upstream lets results stay f32 from one operation to the next.
  kernels.walk([](arith::TruncFOp op) { op.setFastmath(arith::FastMathFlags::none); });
  kernels.walk([](arith::ExtFOp op) { op.setFastmath(arith::FastMathFlags::none); });
  RewritePatternSet rounding(context);
  arith::populateExpandBFloat16Patterns(rounding);
  if (failed(applyPatternsGreedily(kernels, std::move(rounding))))
    return failure();
  WalkResult walk = kernels.walk([](Operation *op) {
    if (!isa_and_present<arith::ArithDialect, math::MathDialect>(op->getDialect()) ||
        isa<arith::BitcastOp, arith::ConstantOp, arith::SelectOp>(op) ||
        llvm::none_of(
            llvm::concat<const Type>(SmallVector<Type>(op->getOperandTypes()), SmallVector<Type>(op->getResultTypes())),
            isBF16))
      return WalkResult::advance();
    op->emitOpError("has no form in kernels for opencl and bf16");
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

namespace {
struct LowerConstantOfBF16 : ConvertOpToLLVMPattern<arith::ConstantOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(arith::ConstantOp op, OpAdaptor, ConversionPatternRewriter &rewriter) const override {
    if (!isBF16(op.getType()))
      return rewriter.notifyMatchFailure(op, "is not of bf16");
    Type bits = rewriter.getI16Type();
    TypedAttr value;
    if (auto number = dyn_cast<FloatAttr>(op.getValue()))
      value = IntegerAttr::get(bits, number.getValue().bitcastToAPInt());
    else if (auto numbers = dyn_cast<DenseElementsAttr>(op.getValue()))
      value = numbers.bitcast(bits);
    else
      return rewriter.notifyMatchFailure(op, "is neither a number nor dense");
    rewriter.replaceOpWithNewOp<LLVM::ConstantOp>(op, value.getType(), value);
    return success();
  }
};

struct PruneLowerKernels : prune::impl::PruneLowerKernelsBase<PruneLowerKernels> {
  using Base::Base;

  void runOnOperation() override {
    gpu::GPUModuleOp kernels = getOperation();
    llvm::Expected<GPUTarget> target = GPUTarget::parse(chip);
    if (!target) {
      kernels.emitError() << llvm::toString(target.takeError());
      return signalPassFailure();
    }
    MLIRContext *context = &getContext();
    LowerToLLVMOptions options(context);
    options.overrideIndexBitwidth(64);
    LLVMTypeConverter converter(context, options);
    if (target->isOpenCL) {
      if (failed(computeBF16InF32(kernels)))
        return signalPassFailure();
      Type bits = IntegerType::get(context, 16);
      converter.addConversion([=](BFloat16Type) { return bits; });
      converter.addConversion([=](VectorType type) -> std::optional<Type> {
        return isBF16(type) && type.getRank() == 1 ? std::optional<Type>(type.clone(bits)) : std::nullopt;
      });
      populateGpuMemorySpaceAttributeConversions(converter);
    } else {
      configureGpuToNVVMTypeConverter(converter);
    }
    for (auto kernel : kernels.getOps<gpu::GPUFuncOp>()) {
      storeTruthAsBytes(kernel);
      passPointers(kernel, converter, target->isOpenCL);
    }

    RewritePatternSet patterns(context);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns);
    if (target->isOpenCL) {
      patterns.add<LowerConstantOfBF16>(converter, /*benefit=*/2);
      populateGpuToLLVMSPVConversionPatterns(converter, patterns);
    } else {
      populateGpuToNVVMConversionPatterns(converter, patterns);
    }
    // Preferred to calls of CUDA's libdevice, which this compiler does without.
    populateMathToLLVMConversionPatterns(converter, patterns, /*approximateLog1p=*/true, /*benefit=*/10);

    LLVMConversionTarget legality(*context);
    legality.addLegalDialect<NVVM::NVVMDialect>();
    legality.addIllegalDialect<arith::ArithDialect, cf::ControlFlowDialect, gpu::GPUDialect, math::MathDialect,
                               memref::MemRefDialect, ub::UBDialect, vector::VectorDialect>();
    legality.addLegalOp<gpu::GPUModuleOp>();
    if (failed(applyPartialConversion(kernels, legality, std::move(patterns))))
      return signalPassFailure();
    // Upstream's name of the dynamic shared memory is a variable of no bytes; as a declaration it is what CUDA means.
    for (auto global : kernels.getOps<LLVM::GlobalOp>())
      if (global.getAddrSpace() == kSharedSpace) {
        global.setLinkage(LLVM::Linkage::External);
        global.setAlignment(kSharedAlignment);
      }
  }
};
} // namespace
