//===- ExpandObservations.cpp - Loops in the place of prune.observe -----------===//
//
// Rows are taken in blocks. The matrix of a block is copied out of the activation, which makes windows, groups and left
// out rows the same as everything else; its statistic is a product in f32, and blocks add up in f64.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Dialect/Prune/IR/LinearForm.h"
#include "prune/Dialect/Prune/Transforms/Calibration/Calibration.h"
#include <functional>
#include <numeric>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEEXPANDOBSERVATIONS
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

/// Rows whose products are summed in f32.
static constexpr int64_t kBlockRows = 1024;

static int64_t getProduct(ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t(1), std::multiplies<>());
}

namespace {

/// Part of the row indices: an offset (null: 0) and a count for each dimension.
struct RowBlock {
  SmallVector<Value> offsets;
  SmallVector<int64_t> counts;
};

class ObservationExpander {
public:
  explicit ObservationExpander(ObserveOp op)
      : op(op), b(op.getLoc(), op), rows(op.getRows()), columns(op.getColumns()), numColumns(getProduct(columns)),
        numGroups(cast<RankedTensorType>(op.getResult().getType()).getDimSize(0)),
        isGram(op.getStatistic() == Statistic::Gram) {
    for (AffineExpr expr : op.getView().getResults())
      forms.push_back(*getLinearForm(expr));
  }

  void run();

private:
  /// [R, K], or [G, R, K] with several groups; likewise for statistics.
  RankedTensorType getType(ArrayRef<int64_t> shape, Type elementType) const {
    SmallVector<int64_t> whole;
    if (numGroups > 1)
      whole.push_back(numGroups);
    llvm::append_range(whole, shape);
    return RankedTensorType::get(whole, elementType);
  }
  RankedTensorType getStatisticType(Type elementType) const {
    SmallVector<int64_t> shape(isGram ? 2 : 1, numColumns);
    return getType(shape, elementType);
  }
  Value emitZeros(RankedTensorType type);
  Value emitSlice(Value tensor, ArrayRef<Value> offsets, ArrayRef<int64_t> sizes);
  Value emitRows(const RowBlock &block);
  Value emitStatistic(Value matrix);
  Value addBlock(const RowBlock &block, Value sums);
  Value addRows(unsigned dim, RowBlock block, Value sums);

  ObserveOp op;
  ImplicitLocOpBuilder b;
  ArrayRef<int64_t> rows, columns;
  int64_t numColumns, numGroups;
  bool isGram;
  /// Of each dimension of the activation, over (group, rows, columns).
  SmallVector<LinearForm> forms;
  /// Of the shape of the rows; null: all rows count.
  Value selected;
};

} // namespace

Value ObservationExpander::emitZeros(RankedTensorType type) {
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  Value empty = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
  return linalg::FillOp::create(b, ValueRange(zero), ValueRange(empty)).getResult(0);
}

Value ObservationExpander::emitSlice(Value tensor, ArrayRef<Value> offsets, ArrayRef<int64_t> sizes) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (type.getShape() == sizes)
    return tensor;
  SmallVector<OpFoldResult> mixedOffsets, mixedSizes, strides(sizes.size(), b.getIndexAttr(1));
  for (auto [offset, size] : llvm::zip_equal(offsets, sizes)) {
    mixedOffsets.push_back(offset ? OpFoldResult(offset) : b.getIndexAttr(0));
    mixedSizes.push_back(b.getIndexAttr(size));
  }
  return tensor::ExtractSliceOp::create(b, type.clone(sizes), tensor, mixedOffsets, mixedSizes, strides);
}

/// The matrix of the rows of `block`, those that are not selected zero.
Value ObservationExpander::emitRows(const RowBlock &block) {
  // Loops of the copy: group, rows of the block, columns. Without groups the first does not exist.
  SmallVector<int64_t> sizes{numGroups};
  llvm::append_range(sizes, block.counts);
  llvm::append_range(sizes, columns);
  unsigned firstLoop = numGroups > 1 ? 0 : 1, numLoops = sizes.size() - firstLoop;
  SmallVector<Value> sliceOffsets;
  SmallVector<int64_t> sliceSizes;
  SmallVector<AffineExpr> exprs;
  for (const LinearForm &form : forms) {
    Value offset = form.constant ? Value(arith::ConstantIndexOp::create(b, form.constant)) : Value();
    int64_t size = 1;
    AffineExpr expr = b.getAffineConstantExpr(0);
    for (auto [loop, factor] : form.terms) {
      size += factor * (sizes[loop] - 1);
      if (loop >= firstLoop)
        expr = expr + b.getAffineDimExpr(loop - firstLoop) * factor;
      Value start = loop >= 1 && loop <= rows.size() ? block.offsets[loop - 1] : Value();
      if (!start)
        continue;
      if (factor != 1)
        start = arith::MulIOp::create(b, start, arith::ConstantIndexOp::create(b, factor));
      offset = offset ? Value(arith::AddIOp::create(b, offset, start)) : start;
    }
    sliceOffsets.push_back(offset);
    sliceSizes.push_back(size);
    exprs.push_back(expr);
  }
  SmallVector<Value> inputs{emitSlice(op.getActivation(), sliceOffsets, sliceSizes)};
  SmallVector<AffineMap> maps{AffineMap::get(numLoops, 0, exprs, b.getContext())};
  if (selected) {
    inputs.push_back(emitSlice(selected, block.offsets, block.counts));
    maps.push_back(b.getMultiDimIdentityMap(numLoops).getSliceMap(1 - firstLoop, rows.size()));
  }
  maps.push_back(b.getMultiDimIdentityMap(numLoops));
  SmallVector<int64_t> shape(ArrayRef<int64_t>(sizes).drop_front(firstLoop));
  Value empty = tensor::EmptyOp::create(b, shape, b.getF32Type());
  SmallVector<utils::IteratorType> loops(numLoops, utils::IteratorType::parallel);
  Value copy =
      linalg::GenericOp::create(b, TypeRange(empty.getType()), inputs, ValueRange(empty), maps, loops,
                                [&](OpBuilder &builder, Location loc, ValueRange args) {
                                  ImplicitLocOpBuilder b(loc, builder);
                                  Value value = args[0];
                                  if (selected) {
                                    Type type = args[1].getType();
                                    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
                                    Value counts =
                                        isa<FloatType>(type)
                                            ? Value(arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, args[1], zero))
                                            : Value(arith::CmpIOp::create(b, arith::CmpIPredicate::ne, args[1], zero));
                                    Value none = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
                                    value = arith::SelectOp::create(b, counts, value, none);
                                  }
                                  linalg::YieldOp::create(b, value);
                                })
          .getResult(0);
  SmallVector<ReassociationIndices> parts;
  int64_t next = 0;
  auto join = [&](size_t count) {
    ReassociationIndices &part = parts.emplace_back();
    for (size_t i = 0; i < count; ++i)
      part.push_back(next++);
  };
  if (numGroups > 1)
    join(1);
  join(rows.size());
  join(columns.size());
  RankedTensorType type = getType({getProduct(block.counts), numColumns}, b.getF32Type());
  return tensor::CollapseShapeOp::create(b, type, copy, parts);
}

/// The statistic of one matrix in f32.
Value ObservationExpander::emitStatistic(Value matrix) {
  // Loops: group, column, column of the other factor, row.
  MLIRContext *context = b.getContext();
  AffineExpr g = b.getAffineDimExpr(0), i = b.getAffineDimExpr(1), j = b.getAffineDimExpr(2), r = b.getAffineDimExpr(3);
  if (numGroups == 1) {
    i = b.getAffineDimExpr(0);
    j = b.getAffineDimExpr(1);
    r = b.getAffineDimExpr(2);
  }
  unsigned numLoops = numGroups > 1 ? 4 : 3;
  auto map = [&](unsigned loops, AffineExpr first, AffineExpr second) {
    SmallVector<AffineExpr> exprs;
    if (numGroups > 1)
      exprs.push_back(g);
    exprs.push_back(first);
    if (second)
      exprs.push_back(second);
    return AffineMap::get(loops, 0, exprs, context);
  };
  RankedTensorType type = getStatisticType(b.getF32Type());
  Value zeros = emitZeros(type);
  if (isGram)
    return linalg::ContractOp::create(
               b, TypeRange(type), ValueRange{matrix, matrix}, ValueRange(zeros),
               b.getAffineMapArrayAttr({map(numLoops, r, i), map(numLoops, r, j), map(numLoops, i, j)}))
        ->getResult(0);
  SmallVector<utils::IteratorType> loops(numLoops - 1, utils::IteratorType::parallel);
  loops.back() = utils::IteratorType::reduction;
  r = j;
  return linalg::GenericOp::create(b, TypeRange(type), ValueRange(matrix), ValueRange(zeros),
                                   {map(numLoops - 1, r, i), map(numLoops - 1, i, {})}, loops,
                                   [](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder b(loc, builder);
                                     Value square = arith::MulFOp::create(b, args[0], args[0]);
                                     linalg::YieldOp::create(b, Value(arith::AddFOp::create(b, args[1], square)));
                                   })
      .getResult(0);
}

Value ObservationExpander::addBlock(const RowBlock &block, Value sums) {
  Value statistic = emitStatistic(emitRows(block));
  int64_t rank = cast<RankedTensorType>(sums.getType()).getRank();
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, TypeRange(sums.getType()), ValueRange(statistic), ValueRange(sums), maps, loops,
                                   [](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder b(loc, builder);
                                     Value wide = arith::ExtFOp::create(b, b.getF64Type(), args[0]);
                                     linalg::YieldOp::create(b, Value(arith::AddFOp::create(b, args[1], wide)));
                                   })
      .getResult(0);
}

/// Adds the rows of `block`, whose dimensions before `dim` are decided.
Value ObservationExpander::addRows(unsigned dim, RowBlock block, Value sums) {
  int64_t below = getProduct(rows.drop_front(std::min<size_t>(dim + 1, rows.size())));
  if (dim == rows.size() || rows[dim] * below <= kBlockRows)
    return addBlock(block, sums);
  int64_t step = std::max<int64_t>(1, kBlockRows / below), rest = rows[dim] % step;
  auto addStep = [&](Value offset, int64_t count, Value sums) {
    RowBlock part = block;
    part.offsets[dim] = offset;
    part.counts[dim] = count;
    return step == 1 ? addRows(dim + 1, part, sums) : addBlock(part, sums);
  };
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  auto loop = scf::ForOp::create(b, index(0), index(rows[dim] - rest), index(step), ValueRange(sums));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value next = addStep(loop.getInductionVar(), step, loop.getRegionIterArg(0));
    scf::YieldOp::create(b, next);
  }
  return rest ? addStep(index(rows[dim] - rest), rest, loop.getResult(0)) : loop.getResult(0);
}

void ObservationExpander::run() {
  if ((selected = op.getSelected())) {
    auto type = cast<RankedTensorType>(selected.getType());
    if (type.getShape() != rows) {
      // By way of one dimension: shapes may have nothing in common but the number of elements.
      RankedTensorType flat = type.clone({type.getNumElements()});
      if (type.getRank() != 1)
        selected = tensor::CollapseShapeOp::create(b, flat, selected,
                                                   ArrayRef{llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank()))});
      if (rows.size() != 1)
        selected = tensor::ExpandShapeOp::create(b, type.clone(rows), selected,
                                                 ArrayRef{llvm::to_vector<2>(llvm::seq<int64_t>(0, rows.size()))});
    }
  }
  RowBlock all{SmallVector<Value>(rows.size()), SmallVector<int64_t>(rows)};
  Value sums = addRows(0, all, emitZeros(getStatisticType(b.getF64Type())));
  if (numGroups == 1) {
    SmallVector<ReassociationIndices> parts(1, {0, 1});
    if (isGram)
      parts.push_back({2});
    sums = tensor::ExpandShapeOp::create(b, op.getResult().getType(), sums, parts);
  }
  op.replaceAllUsesWith(sums);
  op.erase();
}

int64_t mlir::prune::expandObservations(ModuleOp module) {
  SmallVector<ObserveOp> ops;
  module.walk([&](ObserveOp op) { ops.push_back(op); });
  for (ObserveOp op : ops)
    ObservationExpander(op).run();
  return ops.size();
}

namespace {
struct ExpandObservations : prune::impl::PruneExpandObservationsBase<ExpandObservations> {
  void runOnOperation() override { numObservations = expandObservations(getOperation()); }
};
} // namespace
