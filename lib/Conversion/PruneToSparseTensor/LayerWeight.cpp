//===- LayerWeight.cpp - The known weight of a layer and its storage --------------===//

#include "LayerWeight.h"
#include "ConstantStorage.h"
#include "GatherKept.h"
#include "mlir/Dialect/SparseTensor/IR/SparseTensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "prune/Support/Constants.h"

using namespace mlir;
using namespace mlir::prune;

/// Rows of the blocks that a kernel can take, by the pattern of a mask; 0 for other masks.
static int64_t getBlockRows(ApplyOp apply, int64_t numRows) {
  auto block = dyn_cast<BlockAttr>(apply.getPattern());
  bool isBlocked = block && block.getRows() > 1 && numRows % block.getRows() == 0 && block.getRows() <= 8;
  return isBlocked ? block.getRows() : 0;
}

/// The same by what a mask keeps.
static int64_t findBlockRows(const MaskedMatrix &matrix) {
  for (int64_t rows : {8, 4, 2}) {
    if (matrix.numRows % rows != 0)
      continue;
    bool isBlocked = true;
    for (int64_t row = 0; row < matrix.numRows && isBlocked; ++row) {
      ArrayRef<uint8_t> first = matrix.mask.slice(row / rows * rows * matrix.numColumns, matrix.numColumns);
      isBlocked = matrix.mask.slice(row * matrix.numColumns, matrix.numColumns) == first;
    }
    if (isBlocked)
      return rows;
  }
  return 0;
}

bool LayerWeight::isKnown(Value weight) {
  if (auto decompress = weight.getDefiningOp<DecompressOp>())
    return static_cast<bool>(getConstantAttr(decompress.getMask()));
  auto apply = weight.getDefiningOp<ApplyOp>();
  return static_cast<bool>(getConstantAttr(apply ? apply.getWeight() : weight));
}

FailureOr<LayerWeight> LayerWeight::read(Operation *op, Value weight, bool isTransposed, int64_t wordColumns) {
  auto emitError = [&] { return op->emitOpError(); };
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t rows = type.getDimSize(0), columns = rows ? type.getNumElements() / rows : 0;
  LayerWeight result;
  result.name = "weight";
  auto readMask = [&](Value value) -> LogicalResult {
    Attribute attr = getConstantAttr(value);
    if (!attr)
      return op->emitOpError() << "expected a constant mask, run prune-evaluate-masks first";
    FailureOr<MaskData> mask = MaskData::read(attr, emitError);
    if (failed(mask))
      return failure();
    result.mask.emplace(std::move(*mask));
    return success();
  };

  if (auto decompress = weight.getDefiningOp<DecompressOp>()) {
    if (failed(readMask(decompress.getMask())))
      return failure();
    result.values = decompress.getValues();
    if (StringRef name = getLocationName(decompress.getLoc()); !name.empty())
      result.name = name.str();
    ArrayRef<uint8_t> bytes = result.mask->bytes();
    std::vector<int32_t> ranks(bytes.size(), -1);
    for (int32_t i = 0, rank = 0, e = bytes.size(); i < e; ++i)
      if (bytes[i])
        ranks[i] = rank++;
    if (isTransposed) {
      for (int64_t column = 0; column < columns; ++column)
        for (int64_t row = 0; row < rows; ++row) {
          result.ownMask.push_back(bytes[row * columns + column]);
          result.ranks.push_back(ranks[row * columns + column]);
        }
      result.name += " transposed";
      std::swap(rows, columns);
      bytes = result.ownMask;
    } else {
      result.ranks = std::move(ranks);
    }
    result.matrix = {{}, bytes, rows, columns};
    result.blockRows = findBlockRows(result.matrix);
    return result;
  }

  auto apply = weight.getDefiningOp<ApplyOp>();
  Value values = apply ? apply.getWeight() : weight;
  Attribute constant = getConstantAttr(values);
  if (apply) {
    if (failed(readMask(apply.getMask())))
      return failure();
    result.blockRows = getBlockRows(apply, rows);
    llvm::raw_string_ostream os(result.pattern);
    apply.getPattern().printShort(os);
  }
  ArrayRef<uint8_t> mask = result.mask ? result.mask->bytes() : ArrayRef<uint8_t>();
  if (wordColumns) {
    FailureOr<RawConstant> raw = readRawConstant(constant, emitError);
    if (failed(raw))
      return failure();
    std::vector<int8_t> values(rows * columns);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = raw->bytes[raw->isSplat ? 0 : i];
    result.words = packWords(values, mask, rows, wordColumns);
    result.wordColumns = wordColumns;
    result.matrix = result.words->getMatrix();
  } else {
    FailureOr<WeightData> data = WeightData::read(constant, emitError);
    if (failed(data))
      return failure();
    result.data.emplace(std::move(*data));
    result.matrix = {result.data->values(), mask, rows, columns};
  }
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant))
    result.name = resource.getRawHandle().getKey().str();
  else if (StringRef own = getLocationName(values.getLoc()); !own.empty())
    result.name = own.str();
  else if (StringRef layer = getLocationName(op->getLoc()); !layer.empty())
    result.name = layer.str();
  return result;
}

void LayerWeight::expandGroups(int64_t groups) {
  int64_t rows = matrix.numRows, columns = matrix.numColumns, rowsOfGroup = rows / groups;
  std::vector<uint8_t> wideMask(rows * columns * groups);
  std::vector<float> wideWeight(matrix.weight.empty() ? 0 : wideMask.size());
  std::vector<int32_t> wideRanks(ranks.empty() ? 0 : wideMask.size(), -1);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t from = row * columns, to = (row * groups + row / rowsOfGroup) * columns;
    llvm::copy(matrix.mask.slice(from, columns), wideMask.begin() + to);
    if (!wideWeight.empty())
      llvm::copy(matrix.weight.slice(from, columns), wideWeight.begin() + to);
    if (!wideRanks.empty())
      llvm::copy(ArrayRef(ranks).slice(from, columns), wideRanks.begin() + to);
  }
  ownMask = std::move(wideMask);
  ownWeight = std::move(wideWeight);
  ranks = std::move(wideRanks);
  matrix = {ownWeight, ownMask, rows, columns * groups};
  if (blockRows && rowsOfGroup % blockRows != 0)
    blockRows = 0;
}

void LayerWeight::splitTaps(int64_t numTaps) {
  int64_t filters = matrix.numRows, channels = matrix.numColumns / numTaps;
  auto split = [&](auto from) {
    std::vector<typename decltype(from)::value_type> to;
    to.reserve(from.size());
    for (int64_t tap = numTaps - 1; tap >= 0 && !from.empty(); --tap)
      for (int64_t row = 0; row < filters * channels; ++row)
        to.push_back(from[row * numTaps + tap]);
    return to;
  };
  std::vector<uint8_t> newMask = split(matrix.mask);
  std::vector<float> newWeight = split(matrix.weight);
  ranks = split(ArrayRef(ranks));
  ownMask = std::move(newMask);
  ownWeight = std::move(newWeight);
  matrix = {ownWeight, ownMask, filters * numTaps, channels};
  if (blockRows && filters % blockRows != 0)
    blockRows = 0;
}

SmallVector<Value> mlir::prune::makeStorage(ImplicitLocOpBuilder &b, const PackedWeight &packed,
                                            const LayerWeight &weight) {
  MLIRContext *context = b.getContext();
  Type element = weight.words ? b.getI32Type() : cast<Type>(b.getF32Type());
  StringRef name = weight.name;
  int64_t chunks = packed.getNumChunks(), rows = packed.getNumStorageRows();
  auto makeValues = [&](ArrayRef<int64_t> shape) -> Value {
    if (weight.words)
      return makeConstant<int32_t>(b, packed.getWords(weight.words->words), shape, element, name + ".words");
    if (!weight.values)
      return makeConstant<float>(b, packed.getValues(weight.matrix.weight), shape, element, name + ".values");
    std::vector<int32_t> places;
    for (int32_t source : packed.sources)
      places.push_back(source < 0 ? -1 : weight.ranks[source]);
    return gatherKept(b, weight.values, places, shape, name + ".places");
  };
  if (packed.format == StorageFormat::Dense)
    return {makeValues({rows, packed.numColumns, packed.rows})};

  using namespace sparse_tensor;
  int64_t numEntries = packed.coordinates.size();
  Value positions = makeConstant<int32_t>(b, packed.positions, static_cast<int64_t>(packed.positions.size()),
                                          b.getI32Type(), name + ".positions");
  Value coordinates = makeConstant<uint16_t>(b, packed.coordinates, numEntries, b.getI16Type(), name + ".coordinates");
  Value values = makeValues(static_cast<int64_t>(packed.sources.size()));
  bool isBlocked = packed.format == StorageFormat::BlockRows;
  // The entries of a pair of rows are one level, shared columns first: coordinates are neither sorted nor unique.
  auto compressed = isBlocked ? *buildLevelType(LevelFormat::Compressed, /*ordered=*/true, /*unique=*/true)
                              : *buildLevelType(LevelFormat::Compressed, /*ordered=*/false, /*unique=*/false);
  LevelType dense = *buildLevelType(LevelFormat::Dense, /*ordered=*/true, /*unique=*/true);
  SmallVector<LevelType> levels{dense, dense, compressed};
  SmallVector<int64_t> shape{chunks, rows, packed.chunk};
  if (isBlocked) {
    levels.push_back(dense);
    shape.push_back(packed.rows);
  }
  AffineMap identity = AffineMap::getMultiDimIdentityMap(levels.size(), context);
  auto encoding = SparseTensorEncodingAttr::get(context, levels, identity, identity, /*posWidth=*/32, /*crdWidth=*/16);
  Value assembled = AssembleOp::create(b, RankedTensorType::get(shape, element, encoding),
                                       ValueRange{positions, coordinates}, values);
  int64_t ordered = isBlocked ? rows : 2 * rows;
  Value rowOrder = makeConstant<int32_t>(b, packed.rowOrder, {chunks, ordered}, b.getI32Type(), name + ".rows");
  if (isBlocked)
    return {assembled, rowOrder};
  return {assembled, rowOrder,
          makeConstant<uint16_t>(b, packed.sharedCounts, {chunks, rows}, b.getI16Type(), name + ".shared")};
}
