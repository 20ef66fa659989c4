//===- KernelBuilder.cpp - What the emitters of kernels share -------------------===//

#include "KernelBuilder.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "prune/Analysis/CostModel.h"

using namespace mlir;
using namespace mlir::prune;

Value VectorKernelBuilder::applyEpilogue(Block &body, ValueRange arguments, ArrayRef<int64_t> shape) {
  IRMapping mapping;
  mapping.map(body.getArguments(), arguments);
  // Constants may have been hoisted out of the region.
  auto lookup = [&](Value value) -> Value {
    if (Value mapped = mapping.lookupOrNull(value))
      return mapped;
    return vector::BroadcastOp::create(b, VectorType::get(shape, value.getType()), value);
  };
  for (Operation &scalar : body.without_terminator()) {
    SmallVector<Type> types;
    for (Type type : scalar.getResultTypes())
      types.push_back(VectorType::get(shape, type));
    if (auto constant = dyn_cast<arith::ConstantOp>(scalar)) {
      auto splat = DenseElementsAttr::get(cast<ShapedType>(types.front()), constant.getValue());
      mapping.map(constant.getResult(), arith::ConstantOp::create(b, splat).getResult());
      continue;
    }
    SmallVector<Value> operands;
    for (Value operand : scalar.getOperands())
      operands.push_back(lookup(operand));
    OperationState state(b.getLoc(), scalar.getName().getStringRef(), operands, types, scalar.getAttrs());
    state.propertiesAttr = scalar.getPropertiesAsAttribute();
    Operation *vectorized = b.create(state);
    mapping.map(scalar.getResults(), vectorized->getResults());
  }
  return lookup(cast<YieldOp>(body.getTerminator()).getValues().front());
}

Value VectorKernelBuilder::collapse(Value memref, int64_t rowDim) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t rank = type.getRank();
  if (rowDim == 0) {
    SmallVector<int64_t> shape{1};
    llvm::append_range(shape, type.getShape());
    SmallVector<ReassociationIndices> groups{{0, 1}};
    for (int64_t dim = 1; dim < rank; ++dim)
      groups.push_back({dim + 1});
    memref = memref::ExpandShapeOp::create(b, shape, memref, groups);
    type = cast<MemRefType>(memref.getType());
    ++rank;
    ++rowDim;
  }
  if (rank == 3)
    return memref;
  ReassociationIndices leading, lanes;
  for (int64_t dim = 0; dim < rowDim; ++dim)
    leading.push_back(dim);
  for (int64_t dim = rowDim + 1; dim < rank; ++dim)
    lanes.push_back(dim);
  return memref::CollapseShapeOp::create(b, memref, ArrayRef<ReassociationIndices>{leading, {rowDim}, lanes});
}

Value VectorKernelBuilder::loadIndex(Value memref, ValueRange indices) {
  Value loaded = memref::LoadOp::create(b, memref, indices);
  return arith::IndexCastUIOp::create(b, b.getIndexType(), loaded);
}

Value VectorKernelBuilder::guard(Value value) {
  bool isVector = isa<VectorType>(value.getType());
  return LLVM::InlineAsmOp::create(b, value.getType(), value, "", isVector ? "=v,0" : "=r,0",
                                   /*has_side_effects=*/false, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

SmallVector<Value> VectorKernelBuilder::forLoop(Value begin, Value end, int64_t step, ValueRange init,
                                                function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(b, begin, end, index(step), init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  scf::YieldOp::create(b, body(loop.getInductionVar(), loop.getRegionIterArgs()));
  return llvm::to_vector_of<Value>(loop.getResults());
}

SmallVector<Value> VectorKernelBuilder::loadCoordinates(Value coordinates, Value position, int64_t factor) {
  auto type = VectorType::get(kEntriesPerStep, b.getI16Type());
  Value narrow = vector::LoadOp::create(b, type, coordinates, ValueRange{position});
  Value wide = vector::BitCastOp::create(b, VectorType::get(1, b.getI64Type()), narrow);
  Value word = vector::ExtractOp::create(b, wide, ArrayRef<int64_t>{0});
  if (factor != 1)
    word = arith::MulIOp::create(b, word, arith::ConstantIntOp::create(b, factor, 64));
  word = guard(word);
  SmallVector<Value> columns;
  Value low = arith::ConstantIntOp::create(b, 0xffff, 64), sixteen = arith::ConstantIntOp::create(b, 16, 64);
  for (int64_t i = 0; i < kEntriesPerStep; ++i) {
    Value column = i + 1 == kEntriesPerStep ? word : arith::AndIOp::create(b, word, low).getResult();
    columns.push_back(arith::IndexCastUIOp::create(b, b.getIndexType(), column));
    word = arith::ShRUIOp::create(b, word, sixteen);
  }
  return columns;
}
