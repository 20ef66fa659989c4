//===- PrunableLayers.cpp - Which weights of a module can be pruned -----------===//

#include "prune/Analysis/PrunableLayers.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::prune;

arith::ConstantOp PrunableLayer::getConstant() const {
  return weight ? prune::getConstant(lookThroughMask(weight->get())) : arith::ConstantOp();
}

ArrayRef<int64_t> PrunableLayer::getShape() const {
  return weight ? cast<ShapedType>(weight->get().getType()).getShape() : ArrayRef<int64_t>();
}

namespace {
/// Where the constant behind an operand is used, and the first op between that use and the operand (none: null).
struct WeightUse {
  OpOperand *use = nullptr;
  Operation *between = nullptr;
};

class LayerFinder {
public:
  LayerFinder(ModuleOp module, SmallVectorImpl<PrunableLayer> &layers) : layers(layers) {
    module.walk([&](arith::ConstantOp constant) { takenNames.insert(getConstantName(constant)); });
  }
  void visit(Operation *op);

private:
  void visitContraction(linalg::LinalgOp op);
  void visitConvolution(linalg::LinalgOp op, StringRef kind, bool outputFirst, bool groupSplit);
  bool visitGather(linalg::LinalgOp op);
  void visitVectors(linalg::LinalgOp op);
  void add(Operation *op, OpOperand *weight, StringRef kind, int64_t flops, const Twine &reason);
  std::string makeName(Operation *op, StringRef kind);

  SmallVectorImpl<PrunableLayer> &layers;
  /// Next index of `<function>.<kind>_`.
  llvm::StringMap<unsigned> nextIndex;
  /// Names that constants carry themselves.
  llvm::StringSet<> takenNames;
  /// Names given to constants that carry none.
  llvm::DenseMap<Operation *, std::string> givenNames;
};

/// Follows `operand` back to a constant through ops that only move its elements.
std::optional<WeightUse> traceWeight(OpOperand &operand) {
  WeightUse result{&operand, nullptr};
  while (true) {
    Value value = lookThroughMask(result.use->get());
    Operation *def = value.getDefiningOp();
    if (!def)
      return std::nullopt;
    if (auto constant = dyn_cast<arith::ConstantOp>(def))
      return isa<RankedTensorType>(value.getType()) ? std::optional(result) : std::nullopt;
    bool moves = isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp, tensor::ExtractSliceOp,
                     linalg::TransposeOp, linalg::BroadcastOp>(def);
    if (auto generic = dyn_cast<linalg::GenericOp>(def))
      moves = generic.getNumDpsInputs() == 1 && generic.getNumParallelLoops() == generic.getNumLoops() &&
              isa<linalg::YieldOp>(generic.getBody()->front());
    if (!moves)
      return std::nullopt;
    result = {&def->getOpOperand(0), def};
  }
}

/// Two for each point of the iteration space.
int64_t countFlops(linalg::LinalgOp op) {
  int64_t points = 2;
  for (int64_t range : op.getStaticLoopRanges()) {
    if (ShapedType::isDynamic(range))
      return 0;
    points *= range;
  }
  return points;
}

/// The dimensions of the loops along an operand; empty unless its map is a projected permutation.
SmallVector<unsigned> getLoops(AffineMap map) {
  SmallVector<unsigned> loops;
  if (map.isProjectedPermutation())
    for (AffineExpr expr : map.getResults())
      loops.push_back(cast<AffineDimExpr>(expr).getPosition());
  return loops;
}
} // namespace

/// `<function>.<kind>_<index>`, unlike any name in the module.
std::string LayerFinder::makeName(Operation *op, StringRef kind) {
  auto function = op->getParentOfType<FunctionOpInterface>();
  std::string stem = ((function ? function.getName() : StringRef("module")) + "." + kind).str();
  std::string name;
  do
    name = stem + "_" + std::to_string(nextIndex[stem]++);
  while (takenNames.contains(name));
  return name;
}

void LayerFinder::add(Operation *op, OpOperand *weight, StringRef kind, int64_t flops, const Twine &reason) {
  PrunableLayer layer;
  layer.op = op;
  layer.weight = weight;
  layer.kind = kind;
  layer.flops = flops;
  layer.reason = reason.str();
  if (arith::ConstantOp constant = layer.getConstant()) {
    auto type = cast<RankedTensorType>(constant.getType());
    layer.params = type.getNumElements();
    if (layer.reason.empty() && !isa<FloatType>(type.getElementType()))
      layer.reason = "weight is not of a floating-point type";
    if (layer.reason.empty() && cast<ElementsAttr>(constant.getValue()).isSplat())
      layer.reason = "all elements of the weight are equal";
    layer.name = getConstantName(constant).str();
    if (layer.name.empty()) {
      std::string &given = givenNames[constant];
      if (given.empty())
        given = makeName(op, kind);
      layer.name = given;
    }
  } else {
    layer.name = getLocationName(op->getLoc()).str();
    if (layer.name.empty())
      layer.name = makeName(op, kind);
  }
  layers.push_back(std::move(layer));
}

void LayerFinder::visitContraction(linalg::LinalgOp op) {
  OpOperand *lhs = op.getDpsInputOperand(0), *rhs = op.getDpsInputOperand(1);
  std::optional<WeightUse> uses[2] = {traceWeight(*lhs), traceWeight(*rhs)};
  int64_t flops = countFlops(op);
  if (!uses[0] && !uses[1])
    return add(op, nullptr, "attention", flops, "product of two activations, no constant weight");
  if (uses[0] && uses[1])
    return add(op, uses[1]->use, "linear", flops, "product of two constants");
  bool isRhs = uses[1].has_value();
  WeightUse weight = isRhs ? *uses[1] : *uses[0];
  if (weight.between)
    return add(op, weight.use, "linear", flops,
               "weight is reached through " + weight.between->getName().getStringRef() + "; run prune-normalize");
  AffineMap outMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  AffineMap otherMap = op.getMatchingIndexingMap(isRhs ? lhs : rhs);
  SmallVector<unsigned> loops = getLoops(op.getMatchingIndexingMap(isRhs ? rhs : lhs));
  SmallVector<unsigned> otherLoops = getLoops(otherMap), outLoops = getLoops(outMap);
  unsigned outputs = 0, batches = 0;
  for (unsigned loop : loops) {
    bool inOut = llvm::is_contained(outLoops, loop);
    outputs += inOut;
    batches += inOut && llvm::is_contained(otherLoops, loop);
  }
  if (batches)
    return add(op, weight.use, "linear", flops, "weight differs along a batch dimension");
  if (outputs != 1 || loops.size() < 2)
    return add(op, weight.use, "linear", flops, "weight is not a matrix of outputs by inputs");
  if (!llvm::is_contained(outLoops, loops.front()))
    return add(op, weight.use, "linear", flops, "weight is [in, out], masks need [out, in]; run prune-normalize");
  if (!isRhs)
    return add(op, weight.use, "linear", flops, "weight is the left factor; run prune-normalize");
  add(op, weight.use, "linear", flops, "");
}

void LayerFinder::visitConvolution(linalg::LinalgOp op, StringRef kind, bool outputFirst, bool groupSplit) {
  int64_t flops = countFlops(op);
  std::optional<WeightUse> weight = traceWeight(*op.getDpsInputOperand(1));
  if (!weight)
    return add(op, nullptr, kind, flops, "filter is not a constant");
  if (weight->between && !(groupSplit && isa<tensor::ExpandShapeOp>(weight->between)))
    return add(op, weight->use, kind, flops,
               "filter is reached through " + weight->between->getName().getStringRef() + "; run prune-normalize");
  if (groupSplit && !weight->between)
    return add(op, weight->use, kind, flops, "filter is split into groups; run prune-normalize");
  if (!outputFirst)
    return add(op, weight->use, kind, flops, "dimension 0 of the filter is not the output channel");
  add(op, weight->use, kind, flops, "");
}

/// A table that elements are read from by computed index.
bool LayerFinder::visitGather(linalg::LinalgOp op) {
  bool found = false;
  op.getBlock()->walk([&](tensor::ExtractOp extract) {
    OpOperand &table = extract->getOpOperand(0);
    if (!traceWeight(table))
      return;
    found = true;
    if (isa<FloatType>(getElementTypeOrSelf(table.get().getType())))
      add(op, traceWeight(table)->use, "embedding", 0,
          "rows are gathered, not multiplied: masks save no time and cost accuracy of rare inputs");
  });
  return found;
}

/// Constant vectors of elementwise ops: biases, scales of norms, tables that are added.
void LayerFinder::visitVectors(linalg::LinalgOp op) {
  for (OpOperand *operand : op.getDpsInputOperands()) {
    arith::ConstantOp constant = prune::getConstant(lookThroughMask(operand->get()));
    auto type = constant ? dyn_cast<RankedTensorType>(constant.getType()) : RankedTensorType();
    if (!type || type.getNumElements() < 2 || !isa<FloatType>(type.getElementType()) ||
        cast<ElementsAttr>(constant.getValue()).isSplat())
      continue;
    int64_t longSides = llvm::count_if(type.getShape(), [](int64_t size) { return size > 1; });
    if (longSides > 1) {
      add(op, operand, "table", 0, "used elementwise, not in a product");
      continue;
    }
    bool scales = llvm::any_of(op.getMatchingBlockArgument(operand).getUsers(),
                               [](Operation *user) { return isa<arith::MulFOp, arith::DivFOp>(user); });
    add(op, operand, scales ? "norm" : "bias", 0, "a vector: masks save neither time nor memory");
  }
}

void LayerFinder::visit(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp) {
    if (op->getName().getDialectNamespace() == "tosa" &&
        llvm::is_contained({"conv2d", "conv3d", "depthwise_conv2d", "transpose_conv2d", "matmul"},
                           op->getName().stripDialect()))
      add(op, nullptr, op->getName().stripDialect() == "matmul" ? "linear" : "conv", 0,
          "still in TOSA; run prune-normalize");
    return;
  }
  // Kind, dimension 0 of the filter is the output channel, filter has a dimension for the groups.
  struct Form {
    StringRef kind;
    bool outputFirst, groupSplit;
  };
  using namespace linalg;
  std::optional<Form> form =
      llvm::TypeSwitch<Operation *, std::optional<Form>>(op)
          .Case<Conv1DNcwFcwOp, Conv2DNchwFchwOp, Conv2DNhwcFhwcOp, Conv3DNcdhwFcdhwOp>(
              [](auto) { return Form{"conv", true, false}; })
          .Case<Conv2DNchwFchwQOp, Conv2DNhwcFhwcQOp>([](auto) { return Form{"conv", true, false}; })
          .Case<Conv1DNwcWcfOp, Conv2DNhwcHwcfOp, Conv3DNdhwcDhwcfOp, Conv2DNhwcHwcfQOp, Conv3DNdhwcDhwcfQOp, Conv1DOp,
                Conv2DOp, Conv3DOp>([](auto) { return Form{"conv", false, false}; })
          .Case<Conv2DNgchwGfchwOp, Conv2DNgchwGfchwQOp, Conv2DNhwgcGfhwcOp, Conv2DNhwgcGfhwcQOp>(
              [](auto) { return Form{"grouped-conv", true, true}; })
          .Case<Conv2DNgchwFgchwOp>([](auto) { return Form{"grouped-conv", false, true}; })
          .Case<DepthwiseConv1DNcwCwOp, DepthwiseConv2DNchwChwOp, DepthwiseConv3DNcdhwCdhwOp>(
              [](auto) { return Form{"depthwise-conv", true, false}; })
          .Case<DepthwiseConv1DNwcWcOp, DepthwiseConv1DNwcWcmOp, DepthwiseConv2DNhwcHwcOp, DepthwiseConv2DNhwcHwcmOp,
                DepthwiseConv2DNhwcHwcQOp, DepthwiseConv2DNhwcHwcmQOp, DepthwiseConv3DNdhwcDhwcOp,
                DepthwiseConv3DNdhwcDhwcmOp>([](auto) { return Form{"depthwise-conv", false, false}; })
          .Default([](Operation *) { return std::nullopt; });
  if (form)
    return visitConvolution(linalgOp, form->kind, form->outputFirst, form->groupSplit);
  if (isa<linalg::BroadcastOp>(op)) {
    // A bias as the start value of a convolution or contraction.
    bool isStart = llvm::any_of(op->getUsers(), [&](Operation *user) {
      auto target = dyn_cast<linalg::LinalgOp>(user);
      return target && target.getNumReductionLoops() > 0 &&
             target.isDpsInit(
                 &*llvm::find_if(user->getOpOperands(), [&](OpOperand &use) { return use.get() == op->getResult(0); }));
    });
    if (isStart)
      visitVectors(linalgOp);
    return;
  }
  if (isaContractionOpInterface(linalgOp))
    return visitContraction(linalgOp);
  if (visitGather(linalgOp))
    return;
  bool moves = isa<linalg::FillOp, linalg::CopyOp, linalg::TransposeOp>(op) ||
               isa<linalg::YieldOp>(linalgOp.getBlock()->front());
  if (linalgOp.getNumReductionLoops() == 0 && !moves)
    visitVectors(linalgOp);
}

SmallVector<PrunableLayer> prune::findPrunableLayers(ModuleOp module) {
  SmallVector<PrunableLayer> layers;
  LayerFinder finder(module, layers);
  module.walk<WalkOrder::PreOrder>([&](Operation *op) { finder.visit(op); });
  return layers;
}
