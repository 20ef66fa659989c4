//===- Parameterize.cpp - Weights of a model as arguments ---------------------===//

#include "Parameterize.h"
#include "BatchNorm.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Regex.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

/// Larger numbers stand for minus infinity in attention masks and the like.
static constexpr float kLargestWeight = 1e30f;

static void decline(arith::ConstantOp constant, StringRef name, StringRef reason) {
  remark::missed(constant.getLoc(), remark::RemarkOpts::name("NotTrained").category("fine-tune"))
      << remark::add("constant '{0}' is not trained because {1}", name.str(), reason.str());
}

/// Collects the masks on `parameter`.
static LogicalResult readMasks(Parameter &parameter) {
  bool hasBareUse = false;
  for (arith::ConstantOp constant : parameter.constants)
    for (Operation *user : constant->getUsers()) {
      auto apply = dyn_cast<ApplyOp>(user);
      if (apply && apply.getWeight() == constant)
        parameter.applies.push_back(apply);
      else if (!isa<MaskOp>(user))
        hasBareUse = true;
    }
  if (parameter.applies.empty())
    return success();
  ApplyOp first = parameter.applies.front();
  auto fail = [&](const Twine &what) {
    return emitError(first.getLoc()) << "weight '" << parameter.name << "' " << what;
  };
  if (hasBareUse)
    return fail("is used with a mask and without one; mask all of its uses or none");
  for (ApplyOp apply : parameter.applies) {
    Attribute mask = getConstantAttr(apply.getMask());
    if (apply.getMask() != first.getMask() && (!mask || mask != getConstantAttr(first.getMask())))
      return fail("has several masks; give it one");
    if (llvm::any_of(apply->getUsers(), [](Operation *user) { return isa<ApplyOp>(user); }))
      return fail("has masks on top of each other; fold them with prune-fold-masks first");
  }
  if (auto mask = first.getMask().getDefiningOp<MaskOp>()) {
    parameter.undecided = mask;
    return success();
  }
  auto emit = [&] { return emitError(first.getLoc()) << "mask of '" << parameter.name << "': "; };
  FailureOr<MaskData> mask = MaskData::read(getConstantAttr(first.getMask()), emit);
  if (failed(mask))
    return failure();
  parameter.mask.emplace(mask->bytes().begin(), mask->bytes().end());
  return success();
}

/// The means and variances of batch norms; those that stay as they are go to `kept`.
static LogicalResult findStatistics(func::FuncOp function, bool isFrozen, const llvm::Regex *freeze,
                                    llvm::DenseSet<Operation *> &followed, llvm::DenseSet<Operation *> &kept) {
  auto isConstant = [](Value value) { return value.getDefiningOp<arith::ConstantOp>() != nullptr; };
  for (BatchNorm norm : findBatchNorms(function, isConstant)) {
    arith::ConstantOp constants[] = {norm.mean->get().getDefiningOp<arith::ConstantOp>(),
                                     norm.variance->get().getDefiningOp<arith::ConstantOp>()};
    bool stays = isFrozen || llvm::any_of(constants, [&](arith::ConstantOp constant) {
                   return freeze && freeze->match(getConstantName(constant));
                 });
    for (arith::ConstantOp constant : constants) {
      if (!stays && !constant->hasOneUse()) {
        InFlightDiagnostic error = norm.op.emitError()
                                   << "expected a batch norm with a mean and a variance of its own, got '"
                                   << getConstantName(constant) << "' with " << llvm::range_size(constant->getUses())
                                   << " uses (batch-norm=frozen trains without them)";
        error.attachNote(constant.getLoc()) << "it is here";
        return error;
      }
      (stays ? kept : followed).insert(constant);
    }
  }
  return success();
}

FailureOr<SmallVector<Parameter>> mlir::prune::findParameters(func::FuncOp function,
                                                              const PruneBuildTrainingOptions &options) {
  llvm::Regex freeze(options.freeze);
  if (std::string error; !options.freeze.empty() && !freeze.isValid(error))
    return emitError(function.getLoc()) << "freeze: '" << options.freeze << "' is no regular expression: " << error;
  llvm::DenseSet<Operation *> statistics, frozenStatistics;
  if (failed(findStatistics(function, options.batchNorm == "frozen", options.freeze.empty() ? nullptr : &freeze,
                            statistics, frozenStatistics)))
    return failure();

  llvm::MapVector<Attribute, Parameter> found; // By name and value.
  llvm::StringMap<arith::ConstantOp> owners;
  unsigned numUnnamed = 0, numFrozen = 0;
  WalkResult walk = function.walk([&](arith::ConstantOp constant) -> WalkResult {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    bool isStatistic = statistics.contains(constant);
    if (!type || !isa<FloatType>(type.getElementType()) || constant->use_empty() ||
        (type.getNumElements() < 2 && !isStatistic))
      return WalkResult::advance();
    auto attr = cast<ElementsAttr>(constant.getValue());
    std::string name = getConstantName(constant).str();
    // Numbers that fill a tensor are part of the arithmetic, unless somebody gave them a name.
    if (isa<SplatElementsAttr>(attr) && name.empty() && !isStatistic)
      return WalkResult::advance();
    bool isUnnamed = name.empty();
    if (isUnnamed)
      name = (function.getName() + ".constant_" + Twine(numUnnamed++)).str();
    if (!options.freeze.empty() && freeze.match(name)) {
      ++numFrozen;
      for (Operation *user : constant->getUsers())
        if (isa<MaskOp>(user))
          return emitError(user->getLoc()) << "freeze: '" << options.freeze << "' matches '" << name
                                           << "', whose mask is not decided (run prune-evaluate-masks)";
      decline(constant, name, "freeze matches it");
      return WalkResult::advance();
    }
    if (frozenStatistics.contains(constant)) {
      decline(constant, name, "its batch norm is frozen");
      return WalkResult::advance();
    }
    if (!type.getElementType().isF32()) {
      decline(constant, name, "its elements are not f32");
      return WalkResult::advance();
    }
    FailureOr<WeightData> data = WeightData::read(attr);
    if (failed(data))
      return emitError(constant.getLoc()) << "the data of weight '" << name << "' is not at hand";
    if (llvm::any_of(data->values(), [](float value) { return !(std::fabs(value) <= kLargestWeight); })) {
      decline(constant, name, "it holds numbers that are not finite or beyond 1e30");
      return WalkResult::advance();
    }
    if (isUnnamed)
      remark::analysis(constant.getLoc(), remark::RemarkOpts::name("Unnamed").category("fine-tune"))
          << remark::add("constant without a name is trained as '{0}'", name);
    Attribute key = ArrayAttr::get(function.getContext(), {StringAttr::get(function.getContext(), name), attr});
    auto [owner, isNew] = owners.try_emplace(name, constant);
    Parameter &parameter = found[key];
    if (!isNew && parameter.constants.empty()) {
      InFlightDiagnostic error = emitError(constant.getLoc())
                                 << "two different weights are named '" << name << "'; parameters need one name each";
      error.attachNote(owner->second.getLoc()) << "the other one is here";
      return error;
    }
    parameter.name = name;
    parameter.isStatistic = isStatistic;
    parameter.type = type;
    parameter.value = attr;
    parameter.constants.push_back(constant);
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  if (!options.freeze.empty() && !numFrozen)
    return emitError(function.getLoc()) << "freeze: '" << options.freeze << "' matches none of " << found.size()
                                        << " weights";
  SmallVector<Parameter> parameters;
  for (auto &[key, parameter] : found) {
    if (failed(readMasks(parameter)))
      return failure();
    parameters.push_back(std::move(parameter));
  }
  if (llvm::all_of(parameters, [](const Parameter &parameter) { return parameter.isStatistic; }))
    return emitError(function.getLoc()) << "function '" << function.getName() << "' has no weight to train";
  return parameters;
}

ElementsAttr mlir::prune::makeWeightAttr(RankedTensorType type, ArrayRef<float> values, StringRef name) {
  ArrayRef<char> bytes(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float));
  return static_cast<int64_t>(values.size()) <= kMaxInlineElements
             ? ElementsAttr(DenseElementsAttr::getFromRawBuffer(type, bytes))
             : makeResourceAttr(type, bytes, name);
}

func::FuncOp mlir::prune::clonePrivate(func::FuncOp function, StringRef name, IRMapping &mapping) {
  OpBuilder builder(function);
  builder.setInsertionPointAfter(function);
  auto clone = cast<func::FuncOp>(builder.clone(*function, mapping));
  clone.setName(name);
  clone.setPrivate();
  for (unsigned i = 0; i < clone.getNumArguments(); ++i)
    clone.setArgAttrs(i, DictionaryAttr());
  for (unsigned i = 0; i < clone.getNumResults(); ++i)
    clone.setResultAttrs(i, DictionaryAttr());
  return clone;
}

func::FuncOp mlir::prune::cloneWithoutMasks(func::FuncOp function, StringRef name) {
  IRMapping mapping;
  func::FuncOp clone = clonePrivate(function, name, mapping);
  clone.walk([](ApplyOp apply) {
    apply.replaceAllUsesWith(apply.getWeight());
    apply.erase();
  });
  clone.walk([](MaskOp mask) { mask.erase(); });
  return clone;
}

func::FuncOp mlir::prune::cloneWithParameters(func::FuncOp function, ArrayRef<Parameter> parameters, StringRef name) {
  IRMapping mapping;
  func::FuncOp clone = clonePrivate(function, name, mapping);
  for (auto [index, parameter] : llvm::enumerate(parameters)) {
    arith::ConstantOp first = parameter.constants.front();
    (void)clone.insertArgument(index, parameter.type, DictionaryAttr(), first.getLoc());
    Value argument = clone.getArgument(index);
    for (ApplyOp apply : parameter.applies) {
      Operation *copy = mapping.lookup(apply.getResult()).getDefiningOp();
      Value weight = argument;
      if (parameter.compressedBy) {
        ImplicitLocOpBuilder b(NameLoc::get(StringAttr::get(clone.getContext(), parameter.name), first.getLoc()), copy);
        Value mask = arith::ConstantOp::create(b, cast<TypedAttr>(parameter.compressedBy));
        weight = DecompressOp::create(b, copy->getResultTypes().front(), argument, mask);
      }
      copy->getResult(0).replaceAllUsesWith(weight);
      copy->erase();
    }
    if (MaskOp undecided = parameter.undecided)
      mapping.lookup(undecided.getResult()).getDefiningOp()->erase();
    for (arith::ConstantOp constant : parameter.constants) {
      Operation *copy = mapping.lookup(constant.getResult()).getDefiningOp();
      copy->getResult(0).replaceAllUsesWith(argument);
      copy->erase();
    }
  }
  return clone;
}
