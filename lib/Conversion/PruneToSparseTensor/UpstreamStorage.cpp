//===- UpstreamStorage.cpp - Weights in the formats of the sparsifier -------------===//

#include "UpstreamStorage.h"
#include "ConstantStorage.h"
#include "mlir/Dialect/SparseTensor/IR/SparseTensor.h"

using namespace mlir;
using namespace mlir::prune;
using namespace mlir::sparse_tensor;

namespace {

/// Arrays of one compressed level and what lies below it.
struct LevelArrays {
  std::vector<int32_t> positions{0};
  std::vector<uint32_t> coordinates;
  std::vector<float> values;
};

} // namespace

static LevelType level(LevelFormat format) { return *buildLevelType(format, /*ordered=*/true, /*unique=*/true); }

static Value assemble(ImplicitLocOpBuilder &b, const MaskedMatrix &matrix, LevelArrays arrays,
                      ArrayRef<LevelType> levels, AffineMap dimToLvl, bool hasPositions, StringRef name) {
  if (arrays.values.empty()) { // the sparsifier takes slices of the arrays, which must not be empty
    arrays.coordinates.push_back(0);
    arrays.values.push_back(0.0f);
  }
  AffineMap lvlToDim = inferLvlToDim(dimToLvl, b.getContext());
  auto encoding = SparseTensorEncodingAttr::get(b.getContext(), levels, dimToLvl, lvlToDim, /*posWidth=*/32,
                                                /*crdWidth=*/32);
  auto size = [](const auto &array) { return static_cast<int64_t>(array.size()); };
  SmallVector<Value> levelArrays;
  if (hasPositions)
    levelArrays.push_back(
        makeConstant<int32_t>(b, arrays.positions, size(arrays.positions), b.getI32Type(), name + ".positions"));
  levelArrays.push_back(
      makeConstant<uint32_t>(b, arrays.coordinates, size(arrays.coordinates), b.getI32Type(), name + ".coordinates"));
  Value values = makeConstant<float>(b, arrays.values, size(arrays.values), b.getF32Type(), name + ".values");
  auto type = RankedTensorType::get({matrix.numRows, matrix.numColumns}, b.getF32Type(), encoding);
  return AssembleOp::create(b, type, levelArrays, values);
}

static Value assembleCompressed(ImplicitLocOpBuilder &b, const MaskedMatrix &matrix, bool byColumn, StringRef name) {
  LevelArrays arrays;
  int64_t outer = byColumn ? matrix.numColumns : matrix.numRows, inner = byColumn ? matrix.numRows : matrix.numColumns;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      int64_t row = byColumn ? j : i, column = byColumn ? i : j;
      if (!matrix.isKept(row, column))
        continue;
      arrays.coordinates.push_back(j);
      arrays.values.push_back(matrix.at(row, column));
    }
    arrays.positions.push_back(arrays.values.size());
  }
  AffineExpr d0 = b.getAffineDimExpr(0), d1 = b.getAffineDimExpr(1);
  AffineMap map =
      byColumn ? AffineMap::get(2, 0, {d1, d0}, b.getContext()) : AffineMap::get(2, 0, {d0, d1}, b.getContext());
  return assemble(b, matrix, arrays, {level(LevelFormat::Dense), level(LevelFormat::Compressed)}, map, true, name);
}

static Value assembleBlocks(ImplicitLocOpBuilder &b, const MaskedMatrix &matrix, int64_t rows, int64_t columns,
                            StringRef name) {
  LevelArrays arrays;
  for (int64_t row = 0; row < matrix.numRows; row += rows) {
    for (int64_t column = 0; column < matrix.numColumns; column += columns) {
      std::vector<float> block;
      bool isKept = false;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) {
          isKept |= matrix.isKept(row + r, column + c);
          block.push_back(matrix.at(row + r, column + c));
        }
      if (!isKept)
        continue;
      arrays.coordinates.push_back(column / columns);
      arrays.values.insert(arrays.values.end(), block.begin(), block.end());
    }
    arrays.positions.push_back(arrays.coordinates.size());
  }
  AffineExpr d0 = b.getAffineDimExpr(0), d1 = b.getAffineDimExpr(1);
  AffineMap map =
      AffineMap::get(2, 0, {d0.floorDiv(rows), d1.floorDiv(columns), d0 % rows, d1 % columns}, b.getContext());
  LevelType dense = level(LevelFormat::Dense);
  return assemble(b, matrix, arrays, {dense, level(LevelFormat::Compressed), dense, dense}, map, true, name);
}

static Value assembleNOfM(ImplicitLocOpBuilder &b, const MaskedMatrix &matrix, int64_t n, int64_t m, StringRef name) {
  LevelArrays arrays;
  for (int64_t row = 0; row < matrix.numRows; ++row)
    for (int64_t begin = 0; begin < matrix.numColumns; begin += m) {
      // Pruned columns with value zero fill the group up to n, in ascending order with the kept ones.
      int64_t kept = 0;
      for (int64_t c = 0; c < m; ++c)
        kept += matrix.isKept(row, begin + c);
      int64_t padding = n - kept;
      for (int64_t c = 0; c < m; ++c) {
        bool isKept = matrix.isKept(row, begin + c);
        if (!isKept && padding-- <= 0)
          continue;
        arrays.coordinates.push_back(c);
        arrays.values.push_back(matrix.at(row, begin + c));
      }
    }
  AffineExpr d0 = b.getAffineDimExpr(0), d1 = b.getAffineDimExpr(1);
  AffineMap map = AffineMap::get(2, 0, {d0, d1.floorDiv(m), d1 % m}, b.getContext());
  LevelType dense = level(LevelFormat::Dense);
  LevelType structured = *buildLevelType(LevelFormat::NOutOfM, /*ordered=*/true, /*unique=*/true, n, m);
  return assemble(b, matrix, arrays, {dense, dense, structured}, map, /*hasPositions=*/false, name);
}

Value mlir::prune::assembleForSparsifier(ImplicitLocOpBuilder &b, const MaskedMatrix &matrix, Attribute pattern,
                                         bool byColumn, StringRef name) {
  if (byColumn)
    return assembleCompressed(b, matrix, /*byColumn=*/true, name);
  if (auto block = dyn_cast_or_null<BlockAttr>(pattern)) {
    int64_t rows = block.getRows(), columns = block.getColumns();
    if (rows > 1 && columns > 1 && matrix.numRows % rows == 0 && matrix.numColumns % columns == 0)
      return assembleBlocks(b, matrix, rows, columns, name);
  }
  if (auto nOfM = dyn_cast_or_null<NOfMAttr>(pattern))
    // A single group would be a unit dimension, which the sparsifier's maps cannot invert.
    if (matrix.numColumns % nOfM.getM() == 0 && matrix.numColumns > nOfM.getM())
      return assembleNOfM(b, matrix, nOfM.getN(), nOfM.getM(), name);
  return assembleCompressed(b, matrix, /*byColumn=*/false, name);
}
