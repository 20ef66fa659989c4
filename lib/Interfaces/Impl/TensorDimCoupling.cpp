//===- TensorDimCoupling.cpp - How tensor ops tie dimensions ------------------===//

#include "DimCouplingModels.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "prune/Interfaces/DimCoupling.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Number of kept indices below `bound`.
int64_t countBelow(ArrayRef<int64_t> kept, int64_t bound) {
  return std::distance(kept.begin(), llvm::lower_bound(kept, bound));
}

//===----------------------------------------------------------------------===//
// Empty tensors, casts, reshapes
//===----------------------------------------------------------------------===//

/// tensor.empty: any size will do.
struct EmptyModel : public DimCouplingOpInterface::ExternalModel<EmptyModel, tensor::EmptyOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    if (!cast<tensor::EmptyOp>(op).getType().hasStaticShape())
      freezeAll(relations, op->getResult(0), "has a size that is known at run time only");
  }
};

struct CastModel : public DimCouplingOpInterface::ExternalModel<CastModel, tensor::CastOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    tieAll(relations, op->getOperand(0), op->getResult(0));
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    return element(op->getOperand(0), dim);
  }
};

struct SplatModel : public DimCouplingOpInterface::ExternalModel<SplatModel, tensor::SplatOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    if (!cast<tensor::SplatOp>(op).getType().hasStaticShape())
      freezeAll(relations, op->getResult(0), "has a size that is known at run time only");
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t, ElementFn) const {
    return getUniformElement(cast<tensor::SplatOp>(op).getInput()).number;
  }
};

/// A scalar read at given indices.
struct ExtractModel : public DimCouplingOpInterface::ExternalModel<ExtractModel, tensor::ExtractOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    freezeAll(relations, cast<tensor::ExtractOp>(op).getTensor(), "is read at one index");
  }
};

/// Ties each dimension of the collapsed side to the factors of the expanded side.
void tieReshape(DimRelations &relations, Value collapsed, Value expanded,
                ArrayRef<ReassociationIndices> reassociation) {
  for (auto [dim, indices] : llvm::enumerate(reassociation)) {
    SmallVector<DimRef> factors;
    for (int64_t index : indices)
      factors.push_back({expanded, index});
    DimRef flat{collapsed, static_cast<int64_t>(dim)};
    if (llvm::any_of(factors, [](DimRef factor) { return ShapedType::isDynamic(factor.getSize()); })) {
      relations.freeze(flat, "is reshaped to a size that is known at run time only");
      for (DimRef factor : factors)
        relations.freeze(factor, "comes from a reshape to a size that is known at run time only");
      continue;
    }
    relations.tieProduct(flat, factors);
  }
}

/// The dimension of the collapsed side that dimension `dim` of the expanded side is a factor of.
int64_t getFlatDim(ArrayRef<ReassociationIndices> reassociation, int64_t dim) {
  for (auto [flat, indices] : llvm::enumerate(reassociation))
    if (llvm::is_contained(indices, dim))
      return flat;
  return -1;
}

struct CollapseModel : public DimCouplingOpInterface::ExternalModel<CollapseModel, tensor::CollapseShapeOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    auto collapse = cast<tensor::CollapseShapeOp>(op);
    tieReshape(relations, collapse.getResult(), collapse.getSrc(), collapse.getReassociationIndices());
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    auto collapse = cast<tensor::CollapseShapeOp>(op);
    // Indices go with one of the factors: whichever it is, the element must be the same.
    TypedAttr all;
    SmallVector<ReassociationIndices> reassociation = collapse.getReassociationIndices();
    for (int64_t factor : reassociation[dim]) {
      if (collapse.getSrcType().getDimSize(factor) == 1)
        continue;
      TypedAttr one = element(collapse.getSrc(), factor);
      if (!one || (all && all != one))
        return {};
      all = one;
    }
    return all;
  }
};

struct ExpandModel : public DimCouplingOpInterface::ExternalModel<ExpandModel, tensor::ExpandShapeOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    auto expand = cast<tensor::ExpandShapeOp>(op);
    tieReshape(relations, expand.getSrc(), expand.getResult(), expand.getReassociationIndices());
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    auto expand = cast<tensor::ExpandShapeOp>(op);
    return element(expand.getSrc(), getFlatDim(expand.getReassociationIndices(), dim));
  }
  LogicalResult shrinkDims(Operation *op, RewriterBase &rewriter, const ShrunkDims &) const {
    auto expand = cast<tensor::ExpandShapeOp>(op);
    if (!expand.getResultType().hasStaticShape())
      return success();
    rewriter.modifyOpInPlace(expand, [&] { expand.setStaticOutputShape(expand.getResultType().getShape()); });
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Slices, concatenation, padding
//===----------------------------------------------------------------------===//

/// Relations of a slice of `whole` (a strided box) that is `part`, whose dimensions lack those in `dropped`.
void tieSlice(DimRelations &relations, OffsetSizeAndStrideOpInterface slice, Value part, Value whole,
              const llvm::SmallBitVector &dropped) {
  int64_t partDim = 0;
  for (int64_t dim = 0, rank = cast<RankedTensorType>(whole.getType()).getRank(); dim < rank; ++dim) {
    DimRef wholeRef{whole, dim};
    std::optional<DimRef> partRef;
    if (!dropped.test(dim))
      partRef = DimRef{part, partDim++};
    int64_t offset = slice.getStaticOffsets()[dim], size = slice.getStaticSizes()[dim];
    bool isStatic = !ShapedType::isDynamic(offset) && !ShapedType::isDynamic(size);
    bool dense = slice.getStaticStrides()[dim] == 1 || size == 1;
    if (isStatic && dense && partRef && size > 1) {
      if (size == wholeRef.getSize())
        relations.tie(*partRef, wholeRef);
      else
        relations.tieRange(*partRef, wholeRef, offset);
      continue;
    }
    if (isStatic && size == wholeRef.getSize() && size == 1)
      continue;
    StringRef why = !isStatic ? "is sliced at positions that are known at run time only"
                    : dense   ? "is read at one index"
                              : "is sliced with a stride";
    relations.freeze(wholeRef, why);
    if (partRef)
      relations.freeze(*partRef, why);
  }
}

/// Offsets and sizes of a slice after dimensions of `whole` have lost indices.
void shrinkSlice(RewriterBase &rewriter, OffsetSizeAndStrideOpInterface slice, Value whole, const ShrunkDims &dims,
                 function_ref<void(ArrayRef<int64_t>, ArrayRef<int64_t>)> set) {
  SmallVector<int64_t> offsets(slice.getStaticOffsets()), sizes(slice.getStaticSizes());
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    std::optional<ArrayRef<int64_t>> kept = dims.getKept(whole, dim);
    if (!kept)
      continue;
    int64_t end = countBelow(*kept, offsets[dim] + sizes[dim]);
    offsets[dim] = countBelow(*kept, offsets[dim]);
    sizes[dim] = end - offsets[dim];
  }
  rewriter.modifyOpInPlace(slice, [&] { set(offsets, sizes); });
}

struct ExtractSliceModel : public DimCouplingOpInterface::ExternalModel<ExtractSliceModel, tensor::ExtractSliceOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    auto slice = cast<tensor::ExtractSliceOp>(op);
    tieSlice(relations, slice, slice.getResult(), slice.getSource(), slice.getDroppedDims());
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    auto slice = cast<tensor::ExtractSliceOp>(op);
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    for (int64_t source = 0, result = 0; source < slice.getSourceType().getRank(); ++source)
      if (!dropped.test(source) && result++ == dim)
        return element(slice.getSource(), source);
    return {};
  }
  LogicalResult shrinkDims(Operation *op, RewriterBase &rewriter, const ShrunkDims &dims) const {
    auto slice = cast<tensor::ExtractSliceOp>(op);
    shrinkSlice(rewriter, slice, slice.getSource(), dims, [&](ArrayRef<int64_t> offsets, ArrayRef<int64_t> sizes) {
      slice.setStaticOffsets(offsets);
      slice.setStaticSizes(sizes);
    });
    return success();
  }
};

struct InsertSliceModel : public DimCouplingOpInterface::ExternalModel<InsertSliceModel, tensor::InsertSliceOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    auto slice = cast<tensor::InsertSliceOp>(op);
    tieAll(relations, slice.getDest(), slice.getResult());
    tieSlice(relations, slice, slice.getSource(), slice.getResult(), slice.getDroppedDims());
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    auto slice = cast<tensor::InsertSliceOp>(op);
    TypedAttr source;
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    for (int64_t whole = 0, part = 0; whole < slice.getDestType().getRank(); ++whole)
      if (!dropped.test(whole)) {
        if (whole == dim)
          source = element(slice.getSource(), part);
        ++part;
      }
    // Where the slices cover the dimension, what lay below does not matter.
    if (slice.getDest().getDefiningOp<tensor::EmptyOp>())
      return source;
    return meetElements(source, element(slice.getDest(), dim));
  }
  LogicalResult shrinkDims(Operation *op, RewriterBase &rewriter, const ShrunkDims &dims) const {
    auto slice = cast<tensor::InsertSliceOp>(op);
    shrinkSlice(rewriter, slice, slice.getResult(), dims, [&](ArrayRef<int64_t> offsets, ArrayRef<int64_t> sizes) {
      slice.setStaticOffsets(offsets);
      slice.setStaticSizes(sizes);
    });
    return success();
  }
};

struct ConcatModel : public DimCouplingOpInterface::ExternalModel<ConcatModel, tensor::ConcatOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    auto concat = cast<tensor::ConcatOp>(op);
    int64_t along = concat.getDim(), offset = 0;
    for (Value input : concat.getInputs()) {
      auto type = cast<RankedTensorType>(input.getType());
      for (int64_t dim = 0; dim < type.getRank(); ++dim) {
        DimRef part{input, dim}, whole{concat.getResult(), dim};
        if (dim != along)
          relations.tie(part, whole);
        else if (type.isDynamicDim(dim) || whole.getType().isDynamicDim(dim))
          freezeAll(relations, input, "is concatenated at a position that is known at run time only");
        else
          relations.tieRange(part, whole, offset);
      }
      offset += type.getDimSize(along);
    }
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    TypedAttr all = element(op->getOperand(0), dim);
    for (Value input : op->getOperands())
      all = meetElements(all, element(input, dim));
    return all;
  }
};

struct PadModel : public DimCouplingOpInterface::ExternalModel<PadModel, tensor::PadOp> {
  void collectDimRelations(Operation *op, DimRelations &relations) const {
    auto pad = cast<tensor::PadOp>(op);
    for (int64_t dim = 0; dim < pad.getSourceType().getRank(); ++dim) {
      DimRef part{pad.getSource(), dim}, whole{pad.getResult(), dim};
      int64_t low = pad.getStaticLow()[dim], high = pad.getStaticHigh()[dim];
      if (low == 0 && high == 0) {
        relations.tie(part, whole);
      } else if (ShapedType::isDynamic(low) || ShapedType::isDynamic(high) || ShapedType::isDynamic(part.getSize())) {
        relations.freeze(part, "is padded by a size that is known at run time only");
        relations.freeze(whole, "is padded by a size that is known at run time only");
      } else {
        relations.tieRange(part, whole, low);
      }
    }
    if (!pad.getConstantPaddingValue())
      freezeAll(relations, pad.getResult(), "is padded with computed values");
  }
  TypedAttr getRemovedElement(Operation *op, OpResult, int64_t dim, ElementFn element) const {
    auto pad = cast<tensor::PadOp>(op);
    Value padding = pad.getConstantPaddingValue();
    if (!padding)
      return {};
    // Other dimensions may be padded too: removed indices then hold both.
    bool none = llvm::all_of(llvm::concat<const int64_t>(pad.getStaticLow(), pad.getStaticHigh()),
                             [](int64_t size) { return size == 0; });
    TypedAttr inside = element(pad.getSource(), dim);
    return none ? inside : meetElements(inside, getUniformElement(padding).number);
  }
  LogicalResult shrinkDims(Operation *op, RewriterBase &rewriter, const ShrunkDims &dims) const {
    auto pad = cast<tensor::PadOp>(op);
    SmallVector<int64_t> low(pad.getStaticLow()), high(pad.getStaticHigh());
    for (size_t dim = 0; dim < low.size(); ++dim)
      if (std::optional<ArrayRef<int64_t>> kept = dims.getKept(pad.getResult(), dim)) {
        // Types have shrunk already: what the padding keeps is what the source does not.
        low[dim] = countBelow(*kept, low[dim]);
        high[dim] = static_cast<int64_t>(kept->size()) - low[dim] - pad.getSourceType().getDimSize(dim);
      }
    rewriter.modifyOpInPlace(pad, [&] {
      pad.setStaticLow(low);
      pad.setStaticHigh(high);
    });
    return success();
  }
};

} // namespace

void prune::registerTensorDimCoupling(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, tensor::TensorDialect *) {
    tensor::EmptyOp::attachInterface<EmptyModel>(*context);
    tensor::CastOp::attachInterface<CastModel>(*context);
    tensor::SplatOp::attachInterface<SplatModel>(*context);
    tensor::ExtractOp::attachInterface<ExtractModel>(*context);
    tensor::CollapseShapeOp::attachInterface<CollapseModel>(*context);
    tensor::ExpandShapeOp::attachInterface<ExpandModel>(*context);
    tensor::ExtractSliceOp::attachInterface<ExtractSliceModel>(*context);
    tensor::InsertSliceOp::attachInterface<InsertSliceModel>(*context);
    tensor::ConcatOp::attachInterface<ConcatModel>(*context);
    tensor::PadOp::attachInterface<PadModel>(*context);
  });
}
