//===- LinalgGradient.cpp - Gradient rules of structured ops ------------------===//
//
// One rule for all structured ops. The body is a scalar function; its reverse mode runs in the body of a new generic
// over the same loops, which sums over the loops that do not name an element of the operand. Where several loops name
// one (windows), their elements are kept apart and added up by slices.
//
//===----------------------------------------------------------------------===//

#include "GenericBuilder.h"
#include "GradientModels.h"
#include "SoftmaxShift.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "prune/Dialect/Prune/IR/LinearForm.h"
#include "prune/Interfaces/Gradient.h"

using namespace mlir;
using namespace mlir::prune;
using linalg::LinalgOp;

/// Slices that the gradient of one windowed operand may be added up from.
static constexpr int64_t kMaxWindowSlices = 4096;

namespace {
/// What is stored of the values of all iterations that share an element of the result.
enum class Combiner {
  Each,       ///< there is one
  Sum,        ///< their sum
  Difference, ///< the start minus their sum
  Extremum    ///< the largest or smallest
};

/// One result of a structured op: `term` is the value, in the body, that is combined.
struct Combination {
  Combiner combiner = Combiner::Each;
  Value term;
};

/// Builds what one structured op adds to the gradients of its operands.
class LinalgGradientBuilder {
public:
  LinalgGradientBuilder(LinalgOp op, OpBuilder &builder, Gradients &gradients)
      : op(op), builder(builder), gradients(gradients), loc(op.getLoc()), loopSizes(op.getStaticLoopRanges()) {}

  LogicalResult build();

private:
  LogicalResult classify();
  void countExtrema();

  /// Clones the body into `b` and differentiates it. Returns null if that fails (an error is out).
  struct BodyGradients {
    IRMapping mapping;
    std::unique_ptr<Gradients> gradients;
  };
  FailureOr<BodyGradients> emitBody(OpBuilder &b, function_ref<Value(Value, AffineMap)> read,
                                    function_ref<Value(unsigned)> index);
  /// Gradient of what `select` picks from the body, as a tensor over `dims`.
  FailureOr<Value> buildGeneric(function_ref<Value(BodyGradients &)> select, ArrayRef<unsigned> dims);
  LogicalResult buildOperand(OpOperand &operand);
  LogicalResult buildCapturedScalar(Value captured);
  LogicalResult buildCapturedTensor(Value captured);
  /// Gradient of a convolution of stride 1 by its activations: a convolution again. Null if it is none.
  Value buildFlippedConvolution(OpOperand &operand);
  FailureOr<Value> foldWindows(OpOperand &operand, AffineMap map, ArrayRef<LinearForm> forms,
                               function_ref<Value(BodyGradients &)> select);

  /// `value` as `type`: with a dimension of size 1 for each result of `map` that is no loop.
  Value addUnitDims(Value value, RankedTensorType type, AffineMap map);

  Block &getBody() { return *op.getBlock(); }
  SmallVector<Operation *> getExtracts();

  LinalgOp op;
  OpBuilder &builder;
  Gradients &gradients;
  Location loc;
  SmallVector<int64_t> loopSizes;
  SmallVector<Combination> combinations;
  /// For results that are extrema: how many terms equal the result.
  SmallVector<Value> counts;
};
} // namespace

/// Values from outside that the ops of the body use.
static SetVector<Value> getCaptured(Block &body) {
  SetVector<Value> captured;
  for (Operation &inner : body)
    for (Value operand : inner.getOperands())
      if (operand.getParentBlock() != &body)
        captured.insert(operand);
  return captured;
}

/// The term if `value` picks the larger or smaller one of a term and `accumulator`.
static Value matchExtremum(Value value, Value accumulator) {
  Operation *def = value.getDefiningOp();
  if (!def)
    return {};
  if (isa<arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp>(def))
    return def->getOperand(0) == accumulator   ? def->getOperand(1)
           : def->getOperand(1) == accumulator ? def->getOperand(0)
                                               : Value();
  auto select = dyn_cast<arith::SelectOp>(def);
  if (!select)
    return {};
  auto compare = select.getCondition().getDefiningOp<arith::CmpFOp>();
  Value first = select.getTrueValue(), second = select.getFalseValue();
  if (!compare || (first != accumulator && second != accumulator))
    return {};
  bool isSame = compare.getLhs() == first && compare.getRhs() == second;
  bool isSwapped = compare.getLhs() == second && compare.getRhs() == first;
  using P = arith::CmpFPredicate;
  bool isOrder = !llvm::is_contained({P::AlwaysFalse, P::AlwaysTrue, P::OEQ, P::UEQ, P::ONE, P::UNE, P::ORD, P::UNO},
                                     compare.getPredicate());
  if (!isOrder || (!isSame && !isSwapped))
    return {};
  return first == accumulator ? second : first;
}

LogicalResult LinalgGradientBuilder::classify() {
  Operation *yield = getBody().getTerminator();
  for (auto [i, yielded] : llvm::enumerate(yield->getOperands())) {
    Combination &combination = combinations.emplace_back();
    combination.term = yielded;
    if (!gradients.get(op->getResult(i)) || op.getNumReductionLoops() == 0)
      continue;
    BlockArgument accumulator = op.getMatchingBlockArgument(op.getDpsInitOperand(i));
    Operation *def = yielded.getDefiningOp();
    if (isa_and_nonnull<arith::AddFOp>(def) && llvm::is_contained(def->getOperands(), accumulator) &&
        accumulator.hasOneUse()) {
      combination = {Combiner::Sum, def->getOperand(def->getOperand(0) == accumulator ? 1 : 0)};
    } else if (isa_and_nonnull<arith::SubFOp>(def) && def->getOperand(0) == accumulator && accumulator.hasOneUse()) {
      combination = {Combiner::Difference, def->getOperand(1)};
    } else if (Value term = matchExtremum(yielded, accumulator)) {
      combination = {Combiner::Extremum, term};
    } else {
      return op->emitOpError() << "cannot be differentiated: expected a reduction by sum, difference, maximum or "
                                  "minimum, got another one in result "
                               << i;
    }
  }
  return success();
}

SmallVector<Operation *> LinalgGradientBuilder::getExtracts() {
  SmallVector<Operation *> extracts;
  for (auto extract : getBody().getOps<tensor::ExtractOp>())
    extracts.push_back(extract);
  return extracts;
}

FailureOr<LinalgGradientBuilder::BodyGradients>
LinalgGradientBuilder::emitBody(OpBuilder &b, function_ref<Value(Value, AffineMap)> read,
                                function_ref<Value(unsigned)> index) {
  BodyGradients result;
  IRMapping &mapping = result.mapping;
  SmallVector<Value> sources;
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    bool isInit = op.isDpsInit(&operand);
    if (isInit && op.getNumReductionLoops() != 0)
      continue; // what ran so far, which no term reads
    Value element = isa<ShapedType>(operand.get().getType()) ? read(operand.get(), op.getMatchingIndexingMap(&operand))
                                                             : operand.get();
    mapping.map(argument, element);
    if (gradients.isActive(operand.get()))
      sources.push_back(element);
  }
  for (Value captured : getCaptured(getBody()))
    if (gradients.isActive(captured) && !isa<ShapedType>(captured.getType()))
      sources.push_back(captured);

  SmallVector<Operation *> clones;
  for (Operation &inner : getBody().without_terminator()) {
    auto isUnknown = [&](Value operand) {
      return operand.getParentBlock() == &getBody() && !mapping.contains(operand);
    };
    if (llvm::any_of(inner.getOperands(), isUnknown))
      continue;
    if (auto indexOp = dyn_cast<linalg::IndexOp>(inner)) {
      mapping.map(indexOp.getResult(), index(indexOp.getDim()));
      continue;
    }
    Operation *clone = b.clone(inner, mapping);
    // Elements of a captured tensor are where the reverse mode of the body ends.
    if (auto extract = dyn_cast<tensor::ExtractOp>(clone); extract && gradients.isActive(extract.getTensor()))
      sources.push_back(extract.getResult());
    else
      clones.push_back(clone);
  }
  result.gradients = std::make_unique<Gradients>(sources, clones);

  for (auto [i, combination] : llvm::enumerate(combinations)) {
    Value dy = gradients.get(op->getResult(i));
    Value term = mapping.lookupOrNull(combination.term);
    if (!dy)
      continue;
    if (!term) {
      // A constant from outside, or a reduction that feeds on itself.
      if (combination.term.getParentBlock() != &getBody())
        continue;
      return op->emitOpError() << "cannot be differentiated: expected terms of result " << i
                               << " that do not depend on the sum so far, got one that does";
    }
    AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(i));
    Value seed = read(dy, map);
    if (combination.combiner == Combiner::Difference)
      seed = arith::NegFOp::create(b, loc, seed);
    if (combination.combiner == Combiner::Extremum) {
      Value y = read(op->getResult(i), map), count = read(counts[i], map);
      Value isExtremum = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, term, y);
      Value share = arith::DivFOp::create(b, loc, seed, count);
      seed = arith::SelectOp::create(b, loc, isExtremum, share, createZeros(b, loc, seed.getType()));
    }
    result.gradients->add(b, loc, term, seed);
  }
  if (failed(result.gradients->sweep(b, clones)))
    return failure();
  return result;
}

void LinalgGradientBuilder::countExtrema() {
  counts.resize(combinations.size());
  for (auto [i, combination] : llvm::enumerate(combinations)) {
    if (combination.combiner != Combiner::Extremum || !gradients.get(op->getResult(i)))
      continue;
    AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(i));
    GenericBuilder generic(builder, loc, loopSizes);
    OpBuilder &b = generic.getBody();
    IRMapping mapping;
    for (OpOperand *operand : op.getDpsInputOperands())
      mapping.map(op.getMatchingBlockArgument(operand),
                  isa<ShapedType>(operand->get().getType())
                      ? generic.read(operand->get(), op.getMatchingIndexingMap(operand))
                      : operand->get());
    for (Operation &inner : getBody().without_terminator())
      if (llvm::all_of(inner.getOperands(), [&](Value operand) {
            return operand.getParentBlock() != &getBody() || mapping.contains(operand);
          }))
        b.clone(inner, mapping);
    Value term = mapping.lookupOrDefault(combination.term);
    Value y = generic.read(op->getResult(i), map);
    Value isExtremum = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, term, y);
    Value one = arith::ConstantOp::create(b, loc, b.getFloatAttr(term.getType(), 1.0));
    Value share = arith::SelectOp::create(b, loc, isExtremum, one, createZeros(b, loc, term.getType()));
    SmallVector<unsigned> dims;
    for (AffineExpr expr : map.getResults())
      dims.push_back(cast<AffineDimExpr>(expr).getPosition());
    counts[i] = generic.finish(share, dims);
  }
}

FailureOr<Value> LinalgGradientBuilder::buildGeneric(function_ref<Value(BodyGradients &)> select,
                                                     ArrayRef<unsigned> dims) {
  GenericBuilder generic(builder, loc, loopSizes);
  auto read = [&](Value tensor, AffineMap map) { return generic.read(tensor, map); };
  auto index = [&](unsigned dim) -> Value { return linalg::IndexOp::create(generic.getBody(), loc, dim); };
  FailureOr<BodyGradients> body = emitBody(generic.getBody(), read, index);
  if (failed(body))
    return failure();
  Value selected = select(*body);
  if (!selected)
    return Value();
  return generic.finish(selected, dims);
}

Value LinalgGradientBuilder::buildFlippedConvolution(OpOperand &operand) {
  // Sum over x * w and nothing else.
  if (op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 || combinations[0].combiner != Combiner::Sum ||
      op.isDpsInit(&operand))
    return {};
  auto product = combinations[0].term.getDefiningOp<arith::MulFOp>();
  if (!product || llvm::range_size(getBody().without_terminator()) != 2)
    return {};
  OpOperand *weight = op.getDpsInputOperand(operand.getOperandNumber() == 0 ? 1 : 0);
  AffineMap map = op.getMatchingIndexingMap(&operand), weightMap = op.getMatchingIndexingMap(weight);
  AffineMap resultMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (!weightMap.isProjectedPermutation() || !resultMap.isProjectedPermutation())
    return {};
  auto type = cast<RankedTensorType>(operand.get().getType());

  // y[.. o ..] += x[.. o + c k ..] w[.. k ..], so dx[.. i ..] += dy[.. i - c k ..] w[.. k ..].
  MLIRContext *context = builder.getContext();
  SmallVector<int64_t> sizes(loopSizes), low(resultMap.getNumResults(), 0);
  SmallVector<AffineExpr> dyExprs(resultMap.getResults());
  SmallVector<unsigned> dims;
  llvm::SmallBitVector reversed(loopSizes.size());
  for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
    if (auto plain = dyn_cast<AffineDimExpr>(expr)) {
      dims.push_back(plain.getPosition());
      continue;
    }
    std::optional<LinearForm> form = getLinearForm(expr);
    if (!form || form->constant != 0 || form->terms.size() != 2)
      return {};
    auto isResultLoop = [&](unsigned loop) { return resultMap.isFunctionOfDim(loop); };
    auto [o, k] = std::pair(form->terms[0], form->terms[1]);
    if (!isResultLoop(o.first))
      std::swap(o, k);
    if (!isResultLoop(o.first) || isResultLoop(k.first) || o.second != 1 || weightMap.isFunctionOfDim(o.first) ||
        !weightMap.isFunctionOfDim(k.first))
      return {};
    unsigned place = *resultMap.getResultPosition(getAffineDimExpr(o.first, context));
    low[place] = k.second * (loopSizes[k.first] - 1);
    dyExprs[place] = getAffineDimExpr(o.first, context) + getAffineDimExpr(k.first, context) * k.second;
    sizes[o.first] = type.getDimSize(dim);
    reversed.set(k.first);
    dims.push_back(o.first);
  }
  if (reversed.none())
    return {};

  // The weight from its end, in the order of the loops of the convolution to come.
  SmallVector<unsigned> weightLoops;
  for (AffineExpr expr : weightMap.getResults())
    weightLoops.push_back(cast<AffineDimExpr>(expr).getPosition());
  SmallVector<unsigned> order;
  for (unsigned loop : dims)
    if (llvm::is_contained(weightLoops, loop))
      order.push_back(loop);
  for (unsigned loop = 0; loop < loopSizes.size(); ++loop)
    if (llvm::is_contained(weightLoops, loop) && !llvm::is_contained(order, loop))
      order.push_back(loop);
  SmallVector<int64_t> copySizes;
  SmallVector<AffineExpr> from(weightLoops.size()), weightExprs;
  SmallVector<unsigned> copyDims;
  for (auto [i, loop] : llvm::enumerate(order)) {
    AffineExpr expr = getAffineDimExpr(i, context);
    unsigned place = llvm::find(weightLoops, loop) - weightLoops.begin();
    from[place] = reversed.test(loop) ? -expr + (loopSizes[loop] - 1) : expr;
    copySizes.push_back(loopSizes[loop]);
    weightExprs.push_back(getAffineDimExpr(loop, context));
    copyDims.push_back(i);
  }
  GenericBuilder copy(builder, loc, copySizes);
  Value element = copy.read(weight->get(), AffineMap::get(order.size(), 0, from, context));
  Value flipped = copy.finish(element, copyDims);

  Value dy = gradients.get(op->getResult(0));
  SmallVector<OpFoldResult> padding;
  SmallVector<int64_t> paddedShape(cast<RankedTensorType>(dy.getType()).getShape());
  for (auto [size, amount] : llvm::zip(paddedShape, low)) {
    padding.push_back(builder.getIndexAttr(amount));
    size += 2 * amount;
  }
  Value zero = createZeros(builder, loc, type.getElementType());
  auto paddedType = RankedTensorType::get(paddedShape, type.getElementType());
  Value padded = tensor::PadOp::create(builder, loc, paddedType, dy, padding, padding, zero);

  GenericBuilder generic(builder, loc, sizes);
  Value a = generic.read(padded, AffineMap::get(sizes.size(), 0, dyExprs, context));
  Value b = generic.read(flipped, AffineMap::get(sizes.size(), 0, weightExprs, context));
  return generic.finish(arith::MulFOp::create(generic.getBody(), loc, a, b), dims);
}

FailureOr<Value> LinalgGradientBuilder::foldWindows(OpOperand &operand, AffineMap map, ArrayRef<LinearForm> forms,
                                                    function_ref<Value(BodyGradients &)> select) {
  auto type = cast<RankedTensorType>(operand.get().getType());
  // Per dimension one loop becomes a slice with a stride, the longest that names nothing else; all others are unrolled.
  SmallVector<unsigned> uses(loopSizes.size(), 0);
  for (const LinearForm &form : forms)
    for (auto [loop, factor] : form.terms)
      ++uses[loop];
  SmallVector<std::optional<std::pair<unsigned, int64_t>>> sliced(forms.size());
  SmallVector<unsigned> unrolled, dims;
  for (auto [choice, form] : llvm::zip(sliced, forms))
    for (auto term : form.terms)
      if (uses[term.first] == 1 && (!choice || loopSizes[term.first] > loopSizes[choice->first]))
        choice = term;
  int64_t numSlices = 1;
  for (auto [choice, form] : llvm::zip(sliced, forms))
    for (auto [loop, factor] : form.terms)
      if ((!choice || choice->first != loop) && !llvm::is_contained(unrolled, loop)) {
        unrolled.push_back(loop);
        numSlices *= loopSizes[loop];
      }
  if (numSlices > kMaxWindowSlices)
    return op->emitOpError() << "cannot be differentiated: expected windows of at most " << kMaxWindowSlices
                             << " elements in operand " << operand.getOperandNumber() << ", got " << numSlices;
  dims = unrolled;
  for (auto &choice : sliced)
    if (choice)
      dims.push_back(choice->first);
  FailureOr<Value> apart = buildGeneric(select, dims);
  if (failed(apart) || !*apart)
    return apart;

  SmallVector<int64_t> sliceShape;
  for (auto &choice : sliced)
    if (choice)
      sliceShape.push_back(loopSizes[choice->first]);
  auto sliceType = RankedTensorType::get(sliceShape, type.getElementType());
  auto attrs = [&](ArrayRef<int64_t> numbers) { return getAsIndexOpFoldResult(builder.getContext(), numbers); };
  Value sum = createZeros(builder, loc, type);
  SmallVector<int64_t> position(unrolled.size(), 0);
  for (int64_t step = 0; step < numSlices; ++step) {
    for (int64_t rest = step, i = unrolled.size() - 1; i >= 0; --i) {
      position[i] = rest % loopSizes[unrolled[i]];
      rest /= loopSizes[unrolled[i]];
    }
    SmallVector<int64_t> fromOffsets(position), fromSizes(position.size(), 1), ones(dims.size(), 1);
    fromOffsets.append(sliceShape.size(), 0);
    fromSizes.append(sliceShape);
    SmallVector<int64_t> offsets, sizes, strides;
    for (auto [choice, form] : llvm::zip(sliced, forms)) {
      int64_t offset = form.constant;
      for (auto [loop, factor] : form.terms)
        if (auto *found = llvm::find(unrolled, loop); found != unrolled.end())
          offset += factor * position[found - unrolled.begin()];
      offsets.push_back(offset);
      sizes.push_back(choice ? loopSizes[choice->first] : 1);
      strides.push_back(choice ? choice->second : 1);
    }
    Value part = tensor::ExtractSliceOp::create(builder, loc, sliceType, *apart, attrs(fromOffsets), attrs(fromSizes),
                                                attrs(ones));
    Value old =
        tensor::ExtractSliceOp::create(builder, loc, sliceType, sum, attrs(offsets), attrs(sizes), attrs(strides));
    AffineMap identity = builder.getMultiDimIdentityMap(sliceShape.size());
    GenericBuilder add(builder, loc, sliceShape);
    Value a = add.read(old, identity), b = add.read(part, identity);
    Value total = add.finish(arith::AddFOp::create(add.getBody(), loc, a, b),
                             llvm::to_vector(llvm::seq<unsigned>(0, sliceShape.size())));
    sum = tensor::InsertSliceOp::create(builder, loc, total, sum, attrs(offsets), attrs(sizes), attrs(strides));
  }
  return sum;
}

Value LinalgGradientBuilder::addUnitDims(Value value, RankedTensorType type, AffineMap map) {
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  SmallVector<ReassociationIndices> groups(rank);
  int64_t group = -1;
  for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
    group += isa<AffineDimExpr>(expr);
    if (rank > 0) // leading ones belong to the first
      groups[std::max<int64_t>(group, 0)].push_back(dim);
  }
  return tensor::ExpandShapeOp::create(builder, loc, type, value, groups);
}

LogicalResult LinalgGradientBuilder::buildOperand(OpOperand &operand) {
  if (!gradients.isActive(operand.get()) || isShiftOfSoftmax(operand, gradients))
    return success();
  BlockArgument argument = op.getMatchingBlockArgument(&operand);
  if (op.isDpsInit(&operand) && op.getNumReductionLoops() != 0) {
    unsigned i = operand.getOperandNumber() - op.getNumDpsInputs();
    Value dy = gradients.get(op->getResult(i));
    if (!dy)
      return success();
    if (combinations[i].combiner == Combiner::Extremum)
      return op->emitOpError() << "cannot be differentiated: expected a maximum or minimum that starts from a "
                                  "constant, got one that starts from operand "
                               << operand.getOperandNumber();
    gradients.add(builder, loc, operand.get(), dy);
    return success();
  }
  auto select = [&](BodyGradients &body) { return body.gradients->get(body.mapping.lookup(argument)); };
  if (!isa<ShapedType>(operand.get().getType())) {
    FailureOr<Value> total = buildGeneric(select, {});
    if (failed(total))
      return failure();
    if (*total)
      gradients.add(builder, loc, operand.get(), tensor::ExtractOp::create(builder, loc, *total, ValueRange()));
    return success();
  }

  auto type = cast<RankedTensorType>(operand.get().getType());
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (Value flipped = buildFlippedConvolution(operand)) {
    gradients.add(builder, loc, operand.get(), flipped);
    return success();
  }
  SmallVector<LinearForm> forms;
  for (AffineExpr expr : map.getResults()) {
    std::optional<LinearForm> form = getLinearForm(expr);
    if (!form)
      return op->emitOpError() << "cannot be differentiated: expected indices that are sums of loops in operand "
                               << operand.getOperandNumber() << ", got " << AffineMapAttr::get(map);
    forms.push_back(std::move(*form));
  }
  FailureOr<Value> term;
  bool hasUnitsAtZero = llvm::all_of(llvm::zip(forms, type.getShape()), [](auto pair) {
    return !std::get<0>(pair).terms.empty() || std::get<1>(pair) == 1;
  });
  if (map.isProjectedPermutation(/*allowZeroInResults=*/true) && hasUnitsAtZero) {
    SmallVector<unsigned> dims;
    for (const LinearForm &form : forms)
      if (!form.terms.empty())
        dims.push_back(form.terms.front().first);
    term = buildGeneric(select, dims);
    if (succeeded(term) && *term && dims.size() != forms.size())
      term = addUnitDims(*term, type, map);
  } else {
    term = foldWindows(operand, map, forms, select);
  }
  if (failed(term))
    return failure();
  if (*term)
    gradients.add(builder, loc, operand.get(), *term);
  return success();
}

LogicalResult LinalgGradientBuilder::buildCapturedScalar(Value captured) {
  auto select = [&](BodyGradients &body) { return body.gradients->get(captured); };
  FailureOr<Value> total = buildGeneric(select, {});
  if (failed(total))
    return failure();
  if (*total)
    gradients.add(builder, loc, captured, tensor::ExtractOp::create(builder, loc, *total, ValueRange()));
  return success();
}

LogicalResult LinalgGradientBuilder::buildCapturedTensor(Value captured) {
  // Elements are named by data: one iteration after the other adds to the rows it read.
  Value sum = createZeros(builder, loc, captured.getType());
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0), one = arith::ConstantIndexOp::create(builder, loc, 1);
  // Before the loops, as all of them stand at the builder's place.
  SmallVector<Value> bounds;
  for (int64_t size : loopSizes)
    bounds.push_back(arith::ConstantIndexOp::create(builder, loc, size));
  SmallVector<scf::ForOp> loops;
  SmallVector<Value> ivs;
  OpBuilder b(builder);
  Value carried = sum;
  for (Value bound : bounds) {
    auto loop = scf::ForOp::create(b, loc, zero, bound, one, carried);
    loops.push_back(loop);
    ivs.push_back(loop.getInductionVar());
    carried = loop.getRegionIterArg(0);
    b = OpBuilder::atBlockEnd(loop.getBody());
  }
  auto read = [&](Value tensor, AffineMap map) -> Value {
    SmallVector<Value> indices;
    for (AffineExpr expr : map.getResults()) {
      std::optional<LinearForm> form = getLinearForm(expr);
      Value index = arith::ConstantIndexOp::create(b, loc, form ? form->constant : 0);
      for (auto [loop, factor] : form ? form->terms : decltype(form->terms)()) {
        Value scaled = ivs[loop];
        if (factor != 1)
          scaled = arith::MulIOp::create(b, loc, scaled, arith::ConstantIndexOp::create(b, loc, factor).getResult());
        index = arith::AddIOp::create(b, loc, index, scaled);
      }
      indices.push_back(index);
    }
    return tensor::ExtractOp::create(b, loc, tensor, indices);
  };
  FailureOr<BodyGradients> body = emitBody(b, read, [&](unsigned dim) { return ivs[dim]; });
  if (failed(body))
    return failure();
  for (Operation *inner : getExtracts()) {
    auto extract = cast<tensor::ExtractOp>(inner);
    if (extract.getTensor() != captured)
      continue;
    Value term = body->gradients->get(body->mapping.lookupOrNull(extract.getResult()));
    if (!term)
      continue;
    SmallVector<Value> indices;
    for (Value index : extract.getIndices())
      indices.push_back(body->mapping.lookupOrDefault(index));
    Value old = tensor::ExtractOp::create(b, loc, carried, indices);
    carried = tensor::InsertOp::create(b, loc, arith::AddFOp::create(b, loc, old, term), carried, indices);
  }
  if (loops.empty()) {
    gradients.add(builder, loc, captured, carried);
    return success();
  }
  scf::YieldOp::create(b, loc, carried);
  for (size_t i = loops.size() - 1; i-- > 0;) {
    OpBuilder end = OpBuilder::atBlockEnd(loops[i].getBody());
    scf::YieldOp::create(end, loc, loops[i + 1].getResults());
  }
  gradients.add(builder, loc, captured, loops.front().getResult(0));
  return success();
}

LogicalResult LinalgGradientBuilder::build() {
  for (Value value : op->getOperands())
    if (auto shaped = dyn_cast<ShapedType>(value.getType()); shaped && !shaped.hasStaticShape())
      return op->emitOpError() << "cannot be differentiated: expected static shapes, got " << shaped;
  if (failed(classify()))
    return failure();
  countExtrema();
  for (OpOperand &operand : op->getOpOperands())
    if (failed(buildOperand(operand)))
      return failure();
  for (Value captured : getCaptured(getBody())) {
    if (!gradients.isActive(captured))
      continue;
    if (failed(isa<ShapedType>(captured.getType()) ? buildCapturedTensor(captured) : buildCapturedScalar(captured)))
      return failure();
  }
  return success();
}

namespace {
template <typename Op> struct LinalgGradient : GradientOpInterface::ExternalModel<LinalgGradient<Op>, Op> {
  LogicalResult buildGradient(Operation *op, OpBuilder &builder, Gradients &gradients) const {
    return LinalgGradientBuilder(cast<LinalgOp>(op), builder, gradients).build();
  }
};

template <typename... Ops> void attachAll(MLIRContext *context) {
  (Ops::template attachInterface<LinalgGradient<Ops>>(*context), ...);
}
} // namespace

void prune::registerLinalgGradients(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, linalg::LinalgDialect *) {
    attachAll<
#define GET_OP_LIST
#include "mlir/Dialect/Linalg/IR/LinalgStructuredOps.cpp.inc"
        >(context);
  });
}
