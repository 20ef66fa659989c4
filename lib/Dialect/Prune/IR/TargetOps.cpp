//===- TargetOps.cpp - What a lowered model says of itself --------------------===//

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace mlir::prune;

//===----------------------------------------------------------------------===//
// prune.entry
//===----------------------------------------------------------------------===//

RankedTensorType EntryOp::getInputType(unsigned i) {
  return cast<RankedTensorType>(cast<TypeAttr>(getInputTypes()[i]).getValue());
}
RankedTensorType EntryOp::getOutputType(unsigned i) {
  return cast<RankedTensorType>(cast<TypeAttr>(getOutputTypes()[i]).getValue());
}
StringRef EntryOp::getInputName(unsigned i) { return cast<StringAttr>(getInputNames()[i]).getValue(); }
StringRef EntryOp::getOutputName(unsigned i) { return cast<StringAttr>(getOutputNames()[i]).getValue(); }

/// True for the element types whose values lie in memory as NumPy would put them.
static bool isBoundaryElementType(Type type) {
  if (auto integer = dyn_cast<IntegerType>(type))
    return !integer.isSigned() && llvm::is_contained({1u, 8u, 16u, 32u, 64u}, integer.getWidth());
  return type.isF16() || type.isBF16() || type.isF32() || type.isF64();
}

static LogicalResult verifySide(EntryOp op, StringRef what, ArrayAttr names, ArrayAttr types) {
  if (names.size() != types.size())
    return op.emitOpError() << "expected one name for each of " << types.size() << " " << what << " types, got "
                            << names.size();
  llvm::StringSet<> seen;
  for (auto [i, name, type] : llvm::enumerate(names.getAsRange<StringAttr>(), types.getAsRange<TypeAttr>())) {
    if (name.getValue().empty())
      return op.emitOpError() << what << " " << i << ": expected a name, got an empty one";
    if (!seen.insert(name.getValue()).second)
      return op.emitOpError() << what << " " << i << ": expected a name of its own, got " << name << ", which is taken";
    auto tensor = dyn_cast<RankedTensorType>(type.getValue());
    if (!tensor || !tensor.hasStaticShape() || tensor.getEncoding() || !isBoundaryElementType(tensor.getElementType()))
      return op.emitOpError() << what << " " << name
                              << ": expected a tensor of static shape of i1, i8 to i64, f16, bf16, f32 or f64, got "
                              << type.getValue();
  }
  return success();
}

LogicalResult EntryOp::verify() {
  if (failed(verifySide(*this, "input", getInputNames(), getInputTypes())) ||
      failed(verifySide(*this, "output", getOutputNames(), getOutputTypes())))
    return failure();
  if (auto size = getWorkspaceSize(); size && (static_cast<int64_t>(*size) < 0 || *size % 64 != 0))
    return emitOpError() << "expected a workspace of a multiple of 64 bytes, got " << static_cast<int64_t>(*size);
  if (static_cast<int64_t>(getThreads()) < 1)
    return emitOpError() << "expected at least 1 thread, got " << static_cast<int64_t>(getThreads());
  return success();
}

static bool matchesTypes(TypeRange actual, ArrayAttr expected) {
  return actual.size() == expected.size() &&
         llvm::all_of(llvm::zip(actual, expected.getAsRange<TypeAttr>()),
                      [](auto p) { return std::get<0>(p) == std::get<1>(p).getValue(); });
}

LogicalResult EntryOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto function = symbols.lookupNearestSymbolFrom<FunctionOpInterface>(*this, getFunctionAttr());
  if (!function)
    return emitOpError() << "expected a function named " << getFunctionAttr() << " in the module";
  if (auto weights = getWeightsAttr(); weights && !symbols.lookupNearestSymbolFrom<BlobOp>(*this, weights))
    return emitOpError() << "expected weights to name a prune.blob, got " << weights;
  auto fail = [&](const Twine &expected) {
    InFlightDiagnostic diag = emitOpError() << "expected " << expected;
    diag.attachNote(function.getLoc()) << "function " << getFunctionAttr() << " takes (" << function.getArgumentTypes()
                                       << ") and returns (" << function.getResultTypes() << ")";
    return diag;
  };
  if (isa<LLVM::LLVMFuncOp>(function.getOperation())) {
    bool pointers = llvm::all_of(function.getArgumentTypes(), [](Type t) { return isa<LLVM::LLVMPointerType>(t); });
    bool returnsNothing = llvm::all_of(function.getResultTypes(), [](Type t) { return isa<LLVM::LLVMVoidType>(t); });
    if (function.getNumArguments() != 4 || !pointers || !returnsNothing)
      return fail("the lowered function to take four pointers and return nothing");
    return success();
  }
  bool onTensors = llvm::any_of(function.getArgumentTypes(), llvm::IsaPred<TensorType>) ||
                   llvm::any_of(function.getResultTypes(), llvm::IsaPred<TensorType>);
  if (onTensors && (!matchesTypes(function.getArgumentTypes(), getInputTypes()) ||
                    !matchesTypes(function.getResultTypes(), getOutputTypes())))
    return fail("the function on tensors to have the types of the entry");
  return success();
}

static ParseResult parseSignature(OpAsmParser &parser, ArrayAttr &names, ArrayAttr &types) {
  SmallVector<Attribute> nameList, typeList;
  auto parseOne = [&]() -> ParseResult {
    std::string name;
    Type type;
    // Not parseAttribute: it would take the colon as the string's own type.
    if (parser.parseString(&name) || parser.parseColonType(type))
      return failure();
    nameList.push_back(parser.getBuilder().getStringAttr(name));
    typeList.push_back(TypeAttr::get(type));
    return success();
  };
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, parseOne))
    return failure();
  names = parser.getBuilder().getArrayAttr(nameList);
  types = parser.getBuilder().getArrayAttr(typeList);
  return success();
}

static void printSignature(OpAsmPrinter &printer, EntryOp, ArrayAttr names, ArrayAttr types) {
  printer << "(";
  llvm::interleaveComma(llvm::zip(names, types), printer,
                        [&](auto pair) { printer << std::get<0>(pair) << ": " << std::get<1>(pair); });
  printer << ")";
}

//===----------------------------------------------------------------------===//
// prune.blob
//===----------------------------------------------------------------------===//

LogicalResult BlobOp::verify() {
  ShapedType type = getData().getShapedType();
  if (!isa<DenseElementsAttr, DenseResourceElementsAttr>(getData()) || type.getRank() != 1 ||
      !type.getElementType().isSignlessInteger(8))
    return emitOpError() << "expected dense or dense_resource data of a one-dimensional tensor of i8, got " << type;
  return success();
}

// The custom<Signature> functions above are what the generated parser and printer call.
#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneTargetOps.cpp.inc"
