//===- ShrinkVocabulary.cpp - Keep the rows of an embedding that are used -----===//

#include "prune/Dialect/Prune/Transforms/Structured/ShrinkVocabulary.h"
#include "../Normalize/ConstantStore.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/Transforms/Normalize.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"

using namespace mlir;
using namespace mlir::prune;

/// Reads ids, one on each line. Errors name file and line.
static FailureOr<llvm::BitVector> readIds(StringRef file, int64_t size, function_ref<InFlightDiagnostic()> emit) {
  auto buffer = llvm::MemoryBuffer::getFile(file, /*IsText=*/true);
  if (!buffer)
    return emit() << "cannot read '" << file << "': " << buffer.getError().message();
  llvm::BitVector ids(size);
  SmallVector<StringRef> lines;
  (*buffer)->getBuffer().split(lines, '\n');
  for (auto [number, line] : llvm::enumerate(lines)) {
    line = line.trim();
    if (line.empty())
      continue;
    int64_t id;
    if (line.getAsInteger(10, id) || id < 0 || id >= size)
      return emit() << file << ":" << number + 1 << ": expected an id from 0 to " << size - 1
                    << ", the last row of the table, got '" << line << "'";
    ids.set(id);
  }
  if (ids.none())
    return emit() << "'" << file << "' has no ids";
  return ids;
}

/// tensor.extract %table[%id, ...] inside linalg ops, with an id from a tensor.
static SmallVector<tensor::ExtractOp> findLookUps(arith::ConstantOp table) {
  SmallVector<tensor::ExtractOp> lookUps;
  for (Operation *user : table->getUsers())
    if (auto extract = dyn_cast<tensor::ExtractOp>(user);
        extract && extract->getParentOfType<linalg::LinalgOp>() && !extract.getIndices().empty() &&
        !extract.getIndices().front().getDefiningOp<linalg::IndexOp>())
      lookUps.push_back(extract);
  return lookUps;
}

FailureOr<int64_t> mlir::prune::shrinkVocabulary(ModuleOp module, const PruneShrinkVocabularyOptions &options) {
  auto emit = [&] { return emitError(module.getLoc()) << "prune-shrink-vocabulary: "; };
  std::string why;
  llvm::Regex name(options.table);
  if (!name.isValid(why))
    return emit() << "table: '" << options.table << "' is no regular expression: " << why;
  if (options.keep.empty())
    return emit() << "expected keep=FILE with the ids to keep, one on each line";
  SmallVector<arith::ConstantOp> tables;
  module.walk([&](arith::ConstantOp constant) {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (type && type.getRank() >= 2 && name.match(getConstantName(constant)) && !findLookUps(constant).empty())
      tables.push_back(constant);
  });
  if (tables.size() != 1)
    return emit() << "table: expected '" << options.table << "' to be found in the name of one table that is looked up"
                  << " by ids, got " << tables.size();
  arith::ConstantOp table = tables.front();
  auto type = cast<RankedTensorType>(table.getType());
  int64_t rows = type.getDimSize(0);
  FailureOr<llvm::BitVector> kept = readIds(options.keep, rows, emit);
  if (failed(kept))
    return failure();
  if (options.unknown < 0 || options.unknown >= rows || !kept->test(options.unknown))
    return emit() << "unknown: expected an id among those kept, got " << options.unknown;
  FailureOr<ConstantBytes> bytes = getConstantBytes(cast<ElementsAttr>(table.getValue()));
  int64_t rowBytes = getElementBytes(type.getElementType()) * (type.getNumElements() / rows);
  if (failed(bytes) || bytes->isSplat || rowBytes == 0)
    return table.emitError() << "cannot read the bytes of this table of type " << type;

  // New numbers of ids; those that go become the unknown one.
  SmallVector<int64_t> newId(rows);
  int64_t next = 0;
  for (int64_t id = 0; id < rows; ++id)
    if (kept->test(id))
      newId[id] = next++;
  for (int64_t id = 0; id < rows; ++id)
    if (!kept->test(id))
      newId[id] = newId[options.unknown];
  ConstantStore store(module.getContext(), NormalizeOptions().inlineLimit);
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(next * rowBytes, /*align=*/64);
  for (int64_t id = 0, out = 0; id < rows; ++id)
    if (kept->test(id))
      std::memcpy(blob.getMutableData().data() + out++ * rowBytes, bytes->data.data() + id * rowBytes, rowBytes);

  OpBuilder builder(table);
  SmallVector<int64_t> shape(type.getShape());
  shape[0] = next;
  RankedTensorType newType = type.clone(shape);
  Value newTable = arith::ConstantOp::create(
      builder, table.getLoc(), store.create(newType, std::move(blob), cast<ElementsAttr>(table.getValue())));
  auto mapType = RankedTensorType::get({rows}, builder.getI64Type());
  auto mapBytes = ArrayRef<char>(reinterpret_cast<const char *>(newId.data()), rows * sizeof(int64_t));
  Value map = arith::ConstantOp::create(
      builder, NameLoc::get(builder.getStringAttr(getConstantName(table).str() + ".ids")),
      store.create(mapType, HeapAsmResourceBlob::allocateAndCopyWithAlign(mapBytes, 64), ElementsAttr()));
  for (tensor::ExtractOp extract : findLookUps(table)) {
    builder.setInsertionPoint(extract);
    Location loc = extract.getLoc();
    Value id = tensor::ExtractOp::create(builder, loc, map, extract.getIndices().front());
    SmallVector<Value> indices(extract.getIndices());
    indices.front() = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), id);
    extract.getTensorMutable().assign(newTable);
    extract.getIndicesMutable().assign(indices);
  }
  if (table->use_empty())
    table->erase();
  else
    remark::missed(table.getLoc(), remark::RemarkOpts::name("Shared").category("prune-shrink-vocabulary"))
        << remark::add("'{0}' stays as a whole beside the smaller table: it is also used by '{1}'",
                       getConstantName(table).str(), table->user_begin()->getName().getStringRef().str());
  store.nameWeights(module);
  return rows - next;
}
