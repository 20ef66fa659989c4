//===- InlinePTX.cpp - Instructions that only PTX has -------------------------===//

#include "InlinePTX.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::prune;

/// "r,l" for "rl", after what is there.
static void appendConstraints(std::string &list, StringRef letters) {
  for (char letter : letters)
    list += (list.empty() ? "" : ",") + std::string(1, letter);
}

static LLVM::InlineAsmOp createAsm(KernelBuilder &b, StringRef text, std::string constraints, Type result,
                                   ValueRange operands) {
  constraints += constraints.empty() ? "~{memory}" : ",~{memory}";
  return LLVM::InlineAsmOp::create(
      b, result ? TypeRange(result) : TypeRange(), operands, text, constraints, /*has_side_effects=*/true,
      /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT), /*operand_attrs=*/ArrayAttr());
}

static SmallVector<Value> unpack(KernelBuilder &b, LLVM::InlineAsmOp packed, int64_t count) {
  SmallVector<Value> results;
  for (int64_t i = 0; i < count; ++i)
    results.push_back(LLVM::ExtractValueOp::create(b, packed.getResult(0), ArrayRef<int64_t>{i}));
  return results;
}

void InlinePTX::run(StringRef text, StringRef constraints, ValueRange operands) {
  std::string list;
  appendConstraints(list, constraints);
  createAsm(b, text, list, Type(), operands);
}

Value InlinePTX::get(StringRef text, Type type, StringRef result, StringRef constraints, ValueRange operands) {
  std::string list = ("=" + result).str();
  appendConstraints(list, constraints);
  return createAsm(b, text, list, type, operands).getResult(0);
}

SmallVector<Value> InlinePTX::getWords(StringRef text, int64_t count, StringRef constraints, ValueRange operands) {
  std::string list = "=r";
  for (int64_t i = 1; i < count; ++i)
    list += ",=r";
  appendConstraints(list, constraints);
  auto type = LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(count, b.getI32Type()));
  return unpack(b, createAsm(b, text, list, type, operands), count);
}

SmallVector<Value> InlinePTX::update(StringRef text, ValueRange registers, StringRef constraints, ValueRange operands) {
  std::string list;
  Type type = registers.front().getType();
  for (size_t i = 0; i < registers.size(); ++i)
    list += std::string(i == 0 ? "=" : ",=") + (type.isF32() ? "f" : "r");
  appendConstraints(list, constraints);
  for (size_t i = 0; i < registers.size(); ++i)
    list += "," + std::to_string(i);
  SmallVector<Value> all(operands);
  llvm::append_range(all, registers);
  auto packedType = LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(registers.size(), type));
  return unpack(b, createAsm(b, text, list, packedType, all), static_cast<int64_t>(registers.size()));
}

Value InlinePTX::i32(int64_t value) { return arith::ConstantIntOp::create(b, b.getI32Type(), value); }
Value InlinePTX::toI32(Value index) { return arith::IndexCastUIOp::create(b, b.getI32Type(), index); }
Value InlinePTX::toI64(Value index) { return arith::IndexCastUIOp::create(b, b.getI64Type(), index); }

Value InlinePTX::getSharedAddress(Value buffer) {
  return toI32(memref::ExtractAlignedPointerAsIndexOp::create(b, buffer));
}

Value InlinePTX::getGlobalAddress(Value buffer) {
  return toI64(memref::ExtractAlignedPointerAsIndexOp::create(b, buffer));
}
