//===- ShrinkDims.cpp - Remove indices from all tensors, or mask them ---------===//

#include "../Normalize/ConstantStore.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Dialect/Prune/Transforms/Normalize.h"
#include "prune/Dialect/Prune/Transforms/Structured/Shrink.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Sequence.h"

using namespace mlir;
using namespace mlir::prune;

//===----------------------------------------------------------------------===//
// Uniform tensors
//===----------------------------------------------------------------------===//

/// What a fill writes to or a reshape reads: the tensor behind a uniform one. Null if there is none.
static OpOperand *getUniformSource(Operation *op) {
  if (auto fill = dyn_cast<linalg::FillOp>(op))
    return fill.getDpsInitOperand(0);
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op) ? &op->getOpOperand(0) : nullptr;
}

/// tensor.empty, a splat constant, tensor.splat or a fill or reshape of such: cheap to make again, and the same in any
/// size.
static bool isUniform(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !isa<RankedTensorType>(value.getType()))
    return false;
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return isa<SplatElementsAttr>(constant.getValue());
  if (isa<tensor::EmptyOp, tensor::SplatOp>(op))
    return true;
  OpOperand *source = getUniformSource(op);
  return source && isUniform(source->get());
}

/// A copy of the ops behind a uniform tensor, for one user.
static Value copyUniform(OpBuilder &builder, Value value) {
  Operation *copy = builder.clone(*value.getDefiningOp());
  if (OpOperand *source = getUniformSource(copy)) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(copy);
    source->set(copyUniform(builder, source->get()));
  }
  return copy->getResult(0);
}

/// True if `value`, or a tensor behind it, has other users.
static bool isShared(Value value) {
  OpOperand *source = getUniformSource(value.getDefiningOp());
  return !value.hasOneUse() || (source && isShared(source->get()));
}

void mlir::prune::unshareUniformTensors(ModuleOp module) {
  SmallVector<Operation *> users;
  module.walk([&](Operation *op) {
    if (!getUniformSource(op) || !isUniform(op->getResult(0)))
      users.push_back(op);
  });
  for (Operation *user : users)
    for (OpOperand &operand : user->getOpOperands())
      if (isUniform(operand.get()) && isShared(operand.get())) {
        OpBuilder builder(user);
        operand.set(copyUniform(builder, operand.get()));
      }
  // Those without a user left.
  bool changed = true;
  while (changed) {
    changed = false;
    SmallVector<Operation *> dead;
    module.walk([&](Operation *op) {
      if (op->getNumResults() == 1 && op->use_empty() && isUniform(op->getResult(0)))
        dead.push_back(op);
    });
    for (Operation *op : dead) {
      op->erase();
      changed = true;
    }
  }
}

//===----------------------------------------------------------------------===//
// Shrinking
//===----------------------------------------------------------------------===//

namespace {

/// The kept indices of all values, taken before any type changes.
class KeptDims : public ShrunkDims {
public:
  KeptDims(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan) {
    auto add = [&](Value value) {
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (!type)
        return;
      SmallVector<std::optional<SmallVector<int64_t>>> kept;
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        kept.push_back(plan.getKept(coupling, {value, dim}));
      if (llvm::any_of(kept, [](auto &indices) { return indices.has_value(); }))
        keptOf[value] = std::move(kept);
    };
    module.walk<WalkOrder::PreOrder>([&](Operation *op) {
      llvm::for_each(op->getResults(), add);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          llvm::for_each(block.getArguments(), add);
    });
  }

  std::optional<ArrayRef<int64_t>> getKept(Value value, int64_t dim) const override {
    auto found = keptOf.find(value);
    if (found == keptOf.end() || !found->second[dim])
      return std::nullopt;
    return ArrayRef<int64_t>(*found->second[dim]);
  }

  /// Values that shrink, in the order of the module.
  auto getValues() const { return llvm::make_first_range(keptOf); }

  RankedTensorType getShrunkType(Value value) const {
    auto type = cast<RankedTensorType>(value.getType());
    SmallVector<int64_t> shape(type.getShape());
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (std::optional<ArrayRef<int64_t>> kept = getKept(value, dim))
        shape[dim] = kept->size();
    return type.clone(shape);
  }

private:
  llvm::MapVector<Value, SmallVector<std::optional<SmallVector<int64_t>>>> keptOf;
};

/// The bytes of `source` at the kept indices of each dimension.
AsmResourceBlob gather(ArrayRef<char> source, ArrayRef<int64_t> shape, ArrayRef<std::optional<ArrayRef<int64_t>>> kept,
                       int64_t elementBytes) {
  // Trailing dimensions that are whole move as one run.
  int64_t run = elementBytes, rank = shape.size();
  while (rank > 0 && !kept[rank - 1])
    run *= shape[--rank];
  SmallVector<int64_t> counts(rank), strides(rank), index(rank, 0);
  int64_t stride = run, runs = 1;
  for (int64_t dim = rank; dim-- > 0;) {
    strides[dim] = stride;
    stride *= shape[dim];
    counts[dim] = kept[dim] ? kept[dim]->size() : shape[dim];
    runs *= counts[dim];
  }
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(runs * run, /*align=*/64);
  char *out = blob.getMutableData().data();
  for (int64_t i = 0; i < runs; ++i, out += run) {
    int64_t offset = 0;
    for (int64_t dim = 0; dim < rank; ++dim)
      offset += (kept[dim] ? (*kept[dim])[index[dim]] : index[dim]) * strides[dim];
    std::memcpy(out, source.data() + offset, run);
    for (int64_t dim = rank; dim-- > 0;) {
      if (++index[dim] < counts[dim])
        break;
      index[dim] = 0;
    }
  }
  return blob;
}

FailureOr<ElementsAttr> shrinkConstant(arith::ConstantOp constant, RankedTensorType newType, const ShrunkDims &dims,
                                       ConstantStore &store) {
  auto elements = cast<ElementsAttr>(constant.getValue());
  if (auto splat = dyn_cast<SplatElementsAttr>(elements))
    return ElementsAttr(splat.resizeSplat(newType));
  auto type = cast<RankedTensorType>(elements.getType());
  SmallVector<std::optional<ArrayRef<int64_t>>> kept;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    kept.push_back(dims.getKept(constant.getResult(), dim));
  if (type.getElementType().isInteger(1)) {
    if (auto dense = dyn_cast<DenseElementsAttr>(elements)) {
      // Packed into bits: by element.
      SmallVector<char> bytes;
      for (bool value : dense.getValues<bool>())
        bytes.push_back(value);
      AsmResourceBlob blob = gather(bytes, type.getShape(), kept, 1);
      SmallVector<bool> values(blob.getData().begin(), blob.getData().end());
      return ElementsAttr(DenseElementsAttr::get(newType, values));
    }
  }
  FailureOr<ConstantBytes> bytes = getConstantBytes(elements);
  int64_t elementBytes = getElementBytes(type.getElementType());
  if (failed(bytes) || elementBytes == 0)
    return constant.emitError() << "cannot read the bytes of this constant of type " << type;
  return store.create(newType, gather(bytes->data, type.getShape(), kept, elementBytes), elements);
}

/// Lets the divisions behind a mean divide by `terms`.
void setDivisors(const MeanSite &mean, int64_t terms) {
  for (const MeanSite::Divisor &divisor : mean.divisors) {
    double number = static_cast<double>(std::max<int64_t>(terms - divisor.less, 1));
    Value old = divisor.use->get();
    Type type = old.getType();
    OpBuilder builder(divisor.use->getOwner());
    // Scalars of a region come from outside of it.
    if (auto op = divisor.use->getOwner()->getParentOfType<linalg::LinalgOp>())
      builder.setInsertionPoint(op);
    TypedAttr value = builder.getFloatAttr(getElementTypeOrSelf(type), divisor.reciprocal ? 1 / number : number);
    if (auto shaped = dyn_cast<RankedTensorType>(type))
      value = DenseElementsAttr::get(shaped, Attribute(value));
    divisor.use->set(arith::ConstantOp::create(builder, old.getLoc(), value));
  }
}

/// Function types from the types of arguments and returned values.
void updateFunctionTypes(ModuleOp module) {
  module.walk([](FunctionOpInterface function) {
    if (function.isExternal())
      return;
    SmallVector<Type> results(function.getResultTypes());
    for (Block &block : function.getFunctionBody())
      if (!block.empty() && block.back().hasTrait<OpTrait::ReturnLike>())
        results = SmallVector<Type>(block.back().getOperandTypes());
    function.setType(
        function.cloneTypeWith(TypeRange(function.getFunctionBody().getArgumentTypes()), TypeRange(results)));
  });
}

} // namespace

FailureOr<std::vector<ShrunkWeight>> mlir::prune::shrinkDims(ModuleOp module, const DimCoupling &coupling,
                                                             const ShrinkPlan &plan) {
  KeptDims kept(module, coupling, plan);
  std::vector<ShrunkWeight> weights;
  ConstantStore store(module.getContext(), NormalizeOptions().inlineLimit);
  IRRewriter rewriter(module.getContext());
  // Data first: it may be missing, and then nothing has changed yet.
  SmallVector<std::pair<arith::ConstantOp, ElementsAttr>> constants;
  for (Value value : kept.getValues())
    if (arith::ConstantOp constant = prune::getConstant(value)) {
      FailureOr<ElementsAttr> attr = shrinkConstant(constant, kept.getShrunkType(value), kept, store);
      if (failed(attr))
        return failure();
      constants.push_back({constant, *attr});
      auto type = cast<RankedTensorType>(value.getType());
      if (!isa<FloatType>(type.getElementType()) || isa<SplatElementsAttr>(constant.getValue()))
        continue;
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        if (std::optional<ArrayRef<int64_t>> indices = kept.getKept(value, dim)) {
          ShrunkWeight weight{getConstantName(constant).str(), SmallVector<int64_t>(type.getShape()), dim, {}};
          for (int64_t i = 0, next = 0; i < type.getDimSize(dim); ++i)
            if (next < static_cast<int64_t>(indices->size()) && (*indices)[next] == i)
              ++next;
            else
              weight.removed.push_back(i);
          weights.push_back(std::move(weight));
        }
    }
  for (Value value : kept.getValues())
    value.setType(kept.getShrunkType(value));
  for (auto [constant, attr] : constants)
    constant.setValueAttr(attr);
  LogicalResult result = success();
  module.walk([&](DimCouplingOpInterface op) {
    rewriter.setInsertionPoint(op);
    if (failed(op.shrinkDims(rewriter, kept)))
      result = failure();
  });
  for (const MeanSite &mean : coupling.getMeanSites())
    if (int64_t terms = mean.countTerms(); terms != mean.terms)
      setDivisors(mean, terms);
  updateFunctionTypes(module);
  store.nameWeights(module);
  if (failed(result))
    return failure();
  return weights;
}

LogicalResult mlir::prune::reorderConstants(ModuleOp module, const ShrunkDims &order) {
  ConstantStore store(module.getContext(), NormalizeOptions().inlineLimit);
  SmallVector<std::pair<arith::ConstantOp, ElementsAttr>> constants;
  WalkResult walk = module.walk([&](arith::ConstantOp constant) {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (!type || llvm::none_of(llvm::seq(type.getRank()), [&](int64_t dim) { return order.getKept(constant, dim); }))
      return WalkResult::advance();
    FailureOr<ElementsAttr> attr = shrinkConstant(constant, type, order, store);
    if (failed(attr))
      return WalkResult::interrupt();
    constants.push_back({constant, *attr});
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  for (auto [constant, attr] : constants)
    constant.setValueAttr(attr);
  store.nameWeights(module);
  return success();
}

//===----------------------------------------------------------------------===//
// Masking
//===----------------------------------------------------------------------===//

LogicalResult mlir::prune::maskDims(ModuleOp module, const DimCoupling &coupling, const ShrinkPlan &plan) {
  KeptDims kept(module, coupling, plan);
  ConstantStore store(module.getContext(), NormalizeOptions().inlineLimit);
  for (Value value : kept.getValues()) {
    arith::ConstantOp constant = prune::getConstant(value);
    if (!constant || isa<SplatElementsAttr>(constant.getValue()))
      continue;
    auto elements = cast<ElementsAttr>(constant.getValue());
    auto type = cast<RankedTensorType>(value.getType());
    FailureOr<ConstantBytes> bytes = getConstantBytes(elements);
    if (failed(bytes) || !isa<FloatType>(type.getElementType()))
      continue;
    int64_t elementBytes = getElementBytes(type.getElementType());
    AsmResourceBlob blob = HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes->data, /*align=*/64);
    MutableArrayRef<char> data = blob.getMutableData();
    SmallVector<int64_t> strides = getRowMajorStrides(type.getShape());
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      std::optional<ArrayRef<int64_t>> indices = kept.getKept(value, dim);
      if (!indices)
        continue;
      int64_t size = type.getDimSize(dim), run = strides[dim] * elementBytes;
      int64_t outer = type.getNumElements() / (size * strides[dim]);
      llvm::BitVector alive(size);
      for (int64_t index : *indices)
        alive.set(index);
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t i = 0; i < size; ++i)
          if (!alive.test(i))
            std::memset(data.data() + (o * size + i) * run, 0, run);
    }
    constant.setValueAttr(store.create(type, std::move(blob), elements));
  }
  llvm::MapVector<Operation *, int64_t> termsOf;
  for (const MeanSite &mean : coupling.getMeanSites()) {
    std::optional<ArrayRef<int64_t>> indices = kept.getKept(mean.dim.value, mean.dim.dim);
    if (!indices)
      continue;
    int64_t &terms = termsOf.try_emplace(mean.reduction, mean.terms).first->second;
    auto type = cast<RankedTensorType>(mean.dim.value.getType());
    terms = terms / type.getDimSize(mean.dim.dim) * indices->size();
    setDivisors(mean, terms);
    if (!mean.needsMask)
      continue;
    // terms * mask
    OpBuilder builder(mean.reduction);
    Location loc = mean.reduction->getLoc();
    SmallVector<float> ones(type.getDimSize(mean.dim.dim), 0);
    for (int64_t index : *indices)
      ones[index] = 1;
    auto maskType = RankedTensorType::get({type.getDimSize(mean.dim.dim)}, builder.getF32Type());
    Value mask = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(maskType, ArrayRef<float>(ones)));
    Value empty = tensor::EmptyOp::create(builder, loc, type.getShape(), type.getElementType());
    AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
    AffineMap along = AffineMap::get(type.getRank(), 0, builder.getAffineDimExpr(mean.dim.dim));
    auto masked = linalg::GenericOp::create(
        builder, loc, type, ValueRange{mean.operand->get(), mask}, empty, {identity, along, identity},
        SmallVector<utils::IteratorType>(type.getRank(), utils::IteratorType::parallel),
        [](OpBuilder &b, Location at, ValueRange args) {
          Value factor = args[1];
          auto wanted = cast<FloatType>(args[0].getType());
          if (wanted.getWidth() > 32)
            factor = arith::ExtFOp::create(b, at, wanted, factor);
          else if (wanted.getWidth() < 32)
            factor = arith::TruncFOp::create(b, at, wanted, factor);
          linalg::YieldOp::create(b, at, arith::MulFOp::create(b, at, args[0], factor).getResult());
        });
    // Every use by this reduction: a square is the product of two.
    for (OpOperand &operand : mean.reduction->getOpOperands())
      if (operand.get() == mean.dim.value)
        operand.set(masked.getResult(0));
  }
  return success();
}
