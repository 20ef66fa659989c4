//===- TensorGradient.cpp - Gradient rules of tensor and prune ops ------------===//

#include "GenericBuilder.h"
#include "GradientModels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "prune/Dialect/Prune/IR/PruneDynamic.h"
#include "prune/Interfaces/Gradient.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// Moves elements without computing; `Derived` says where they come from.
template <typename Derived, typename Op> struct Model : GradientOpInterface::ExternalModel<Derived, Op> {
  LogicalResult buildGradient(Operation *operation, OpBuilder &builder, Gradients &gradients) const {
    auto op = cast<Op>(operation);
    return Derived::build(op, builder, op.getLoc(), gradients, gradients.get(op->getResult(0)));
  }
};

struct CastGradient : Model<CastGradient, tensor::CastOp> {
  static LogicalResult build(tensor::CastOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    gradients.add(b, loc, op.getSource(), tensor::CastOp::create(b, loc, op.getSource().getType(), dy));
    return success();
  }
};

struct CollapseGradient : Model<CollapseGradient, tensor::CollapseShapeOp> {
  static LogicalResult build(tensor::CollapseShapeOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    Value term = tensor::ExpandShapeOp::create(b, loc, op.getSrcType(), dy, op.getReassociationIndices());
    gradients.add(b, loc, op.getSrc(), term);
    return success();
  }
};

struct ExpandGradient : Model<ExpandGradient, tensor::ExpandShapeOp> {
  static LogicalResult build(tensor::ExpandShapeOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    Value term = tensor::CollapseShapeOp::create(b, loc, op.getSrcType(), dy, op.getReassociationIndices());
    gradients.add(b, loc, op.getSrc(), term);
    return success();
  }
};

struct PadGradient : Model<PadGradient, tensor::PadOp> {
  static LogicalResult build(tensor::PadOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    Value padding = op.getConstantPaddingValue();
    if (!padding || gradients.isActive(padding))
      return op.emitOpError() << "cannot be differentiated: expected padding by a constant, got another value";
    RankedTensorType type = op.getSourceType();
    SmallVector<OpFoldResult> ones(type.getRank(), b.getIndexAttr(1));
    Value term = tensor::ExtractSliceOp::create(b, loc, type, dy, op.getMixedLowPad(),
                                                getAsIndexOpFoldResult(b.getContext(), type.getShape()), ones);
    gradients.add(b, loc, op.getSource(), term);
    return success();
  }
};

struct ExtractSliceGradient : Model<ExtractSliceGradient, tensor::ExtractSliceOp> {
  static LogicalResult build(tensor::ExtractSliceOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    Value zeros = createZeros(b, loc, op.getSourceType());
    Value term = tensor::InsertSliceOp::create(b, loc, dy, zeros, op.getMixedOffsets(), op.getMixedSizes(),
                                               op.getMixedStrides());
    gradients.add(b, loc, op.getSource(), term);
    return success();
  }
};

struct InsertSliceGradient : Model<InsertSliceGradient, tensor::InsertSliceOp> {
  static LogicalResult build(tensor::InsertSliceOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    if (gradients.isActive(op.getSource())) {
      Value term = tensor::ExtractSliceOp::create(b, loc, op.getSourceType(), dy, op.getMixedOffsets(),
                                                  op.getMixedSizes(), op.getMixedStrides());
      gradients.add(b, loc, op.getSource(), term);
    }
    if (gradients.isActive(op.getDest())) {
      Value zeros = createZeros(b, loc, op.getSourceType());
      Value term = tensor::InsertSliceOp::create(b, loc, zeros, dy, op.getMixedOffsets(), op.getMixedSizes(),
                                                 op.getMixedStrides());
      gradients.add(b, loc, op.getDest(), term);
    }
    return success();
  }
};

struct ConcatGradient : Model<ConcatGradient, tensor::ConcatOp> {
  static LogicalResult build(tensor::ConcatOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    int64_t dim = op.getDim(), offset = 0;
    for (Value input : op.getInputs()) {
      auto type = cast<RankedTensorType>(input.getType());
      SmallVector<int64_t> offsets(type.getRank(), 0), ones(type.getRank(), 1);
      offsets[dim] = offset;
      offset += type.getDimSize(dim);
      if (!gradients.isActive(input))
        continue;
      auto attrs = [&](ArrayRef<int64_t> numbers) { return getAsIndexOpFoldResult(b.getContext(), numbers); };
      Value term =
          tensor::ExtractSliceOp::create(b, loc, type, dy, attrs(offsets), attrs(type.getShape()), attrs(ones));
      gradients.add(b, loc, input, term);
    }
    return success();
  }
};

struct ExtractGradient : Model<ExtractGradient, tensor::ExtractOp> {
  static LogicalResult build(tensor::ExtractOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    Value zeros = createZeros(b, loc, op.getTensor().getType());
    gradients.add(b, loc, op.getTensor(), tensor::InsertOp::create(b, loc, dy, zeros, op.getIndices()));
    return success();
  }
};

struct InsertGradient : Model<InsertGradient, tensor::InsertOp> {
  static LogicalResult build(tensor::InsertOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    gradients.add(b, loc, op.getScalar(), tensor::ExtractOp::create(b, loc, dy, op.getIndices()));
    if (gradients.isActive(op.getDest())) {
      Value zero = createZeros(b, loc, op.getScalar().getType());
      gradients.add(b, loc, op.getDest(), tensor::InsertOp::create(b, loc, zero, dy, op.getIndices()));
    }
    return success();
  }
};

struct FromElementsGradient : Model<FromElementsGradient, tensor::FromElementsOp> {
  static LogicalResult build(tensor::FromElementsOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    auto type = cast<RankedTensorType>(op.getType());
    for (auto [i, element] : llvm::enumerate(op.getElements())) {
      SmallVector<Value> indices;
      int64_t stride = type.getNumElements();
      for (int64_t size : type.getShape()) {
        stride /= size;
        indices.push_back(arith::ConstantIndexOp::create(b, loc, i / stride % size));
      }
      if (gradients.isActive(element))
        gradients.add(b, loc, element, tensor::ExtractOp::create(b, loc, dy, indices));
    }
    return success();
  }
};

struct SplatGradient : Model<SplatGradient, tensor::SplatOp> {
  static LogicalResult build(tensor::SplatOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    auto type = cast<RankedTensorType>(op.getType());
    if (!type.hasStaticShape())
      return op.emitOpError() << "cannot be differentiated: expected a static shape, got " << type;
    GenericBuilder sum(b, loc, type.getShape());
    Value total = sum.finish(sum.read(dy, b.getMultiDimIdentityMap(type.getRank())), {});
    gradients.add(b, loc, op.getInput(), tensor::ExtractOp::create(b, loc, total, ValueRange()));
    return success();
  }
};

/// The mask decides by bits, not by a product: no NaN and no -0 passes.
struct ApplyGradient : Model<ApplyGradient, ApplyOp> {
  static LogicalResult build(ApplyOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    auto type = cast<RankedTensorType>(op.getType());
    AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
    GenericBuilder generic(b, loc, type.getShape());
    Value kept = generic.read(op.getMask(), identity), element = generic.read(dy, identity);
    OpBuilder &body = generic.getBody();
    Value zero = createZeros(body, loc, type.getElementType());
    Value term = generic.finish(arith::SelectOp::create(body, loc, kept, element, zero),
                                llvm::to_vector(llvm::seq<unsigned>(0, type.getRank())));
    gradients.add(b, loc, op.getWeight(), term);
    return success();
  }
};

struct BarrierGradient : Model<BarrierGradient, BarrierOp> {
  static LogicalResult build(BarrierOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    gradients.add(b, loc, op.getSource(), dy);
    return success();
  }
};

struct DecompressGradient : Model<DecompressGradient, DecompressOp> {
  static LogicalResult build(DecompressOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    gradients.add(b, loc, op.getValues(), CompressOp::create(b, loc, op.getValues().getType(), dy, op.getMask()));
    return success();
  }
};

struct CompressGradient : Model<CompressGradient, CompressOp> {
  static LogicalResult build(CompressOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    gradients.add(b, loc, op.getWeight(), DecompressOp::create(b, loc, op.getWeight().getType(), dy, op.getMask()));
    return success();
  }
};

/// Straight through: which elements are kept is taken for a constant.
struct GateGradient : Model<GateGradient, GateOp> {
  static LogicalResult build(GateOp op, OpBuilder &b, Location loc, Gradients &gradients, Value dy) {
    gradients.add(b, loc, op.getInput(), GateOp::create(b, loc, op.getType(), dy, op.getMask()));
    return success();
  }
};

} // namespace

void prune::registerTensorGradients(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, tensor::TensorDialect *) {
    tensor::CastOp::attachInterface<CastGradient>(*context);
    tensor::CollapseShapeOp::attachInterface<CollapseGradient>(*context);
    tensor::ConcatOp::attachInterface<ConcatGradient>(*context);
    tensor::ExpandShapeOp::attachInterface<ExpandGradient>(*context);
    tensor::ExtractOp::attachInterface<ExtractGradient>(*context);
    tensor::ExtractSliceOp::attachInterface<ExtractSliceGradient>(*context);
    tensor::FromElementsOp::attachInterface<FromElementsGradient>(*context);
    tensor::InsertOp::attachInterface<InsertGradient>(*context);
    tensor::InsertSliceOp::attachInterface<InsertSliceGradient>(*context);
    tensor::PadOp::attachInterface<PadGradient>(*context);
    tensor::SplatOp::attachInterface<SplatGradient>(*context);
  });
  registry.addExtension(+[](MLIRContext *context, PruneDialect *) {
    ApplyOp::attachInterface<ApplyGradient>(*context);
    BarrierOp::attachInterface<BarrierGradient>(*context);
    CompressOp::attachInterface<CompressGradient>(*context);
    DecompressOp::attachInterface<DecompressGradient>(*context);
    GateOp::attachInterface<GateGradient>(*context);
  });
}
