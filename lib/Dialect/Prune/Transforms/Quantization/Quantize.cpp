//===- Quantize.cpp - Linear layers as products of int8 ------------------------===//

#include "../Calibration/Examples.h"
#include "ActivationRanges.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Remarks.h"
#include "prune/Analysis/PrunableLayers.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Dialect/Prune/Transforms/Passes.h"
#include "prune/Support/Constants.h"
#include "prune/Support/RegexOption.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Regex.h"
#include <cmath>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEQUANTIZE
#include "prune/Dialect/Prune/Transforms/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {

/// An activation in integers: real = scale * (integer - zeroPoint).
struct ActivationScale {
  float scale = 1;
  int32_t zeroPoint = 0;
};

/// A layer and how its activation comes.
struct QuantizedLayer {
  PrunableLayer layer;
  ActivationScale scale;
  /// i8 that the model itself makes the activation of; null where ranges are observed.
  Value integers;
  bool isSigned = false; ///< of `integers`
  unsigned input = 0;    ///< without `integers`: place among the observed activations
};

/// A weight in integers, one scale for each row, and what the layers that use it need.
struct QuantizedWeight {
  Value value;
  std::vector<float> scales;
  std::vector<int32_t> rowSums;
  int64_t numKept = 0;
  double relativeError = 0; ///< of its elements, root mean square
};

class Quantizer {
public:
  Quantizer(ModuleOp module, const PruneQuantizeOptions &options) : module(module), options(options) {}

  LogicalResult run();

  int64_t numQuantized = 0, numDeclined = 0;

private:
  /// Errors about options are about no place in the module; printing the module with them would bury them.
  InFlightDiagnostic fail() { return emitError(module.getLoc()); }
  LogicalResult readOptions();
  std::string explainWhyNot(const PrunableLayer &layer);
  LogicalResult collect();
  FailureOr<QuantizedWeight> quantizeWeight(const PrunableLayer &layer);
  Value quantizeActivation(ImplicitLocOpBuilder &b, Value x, ActivationScale scale);
  Value makeUnsigned(ImplicitLocOpBuilder &b, Value integers);
  LogicalResult rewrite(QuantizedLayer &quantized);

  ModuleOp module;
  const PruneQuantizeOptions &options;
  func::FuncOp entry;
  std::shared_ptr<llvm::Regex> include, exclude;
  std::vector<QuantizedLayer> layers;
  llvm::MapVector<Value, QuantizedWeight> weights; ///< by the weight of f32, masked or not
  llvm::DenseMap<Value, Value> activations;        ///< unsigned integers by the activation, f32 or signed
};

} // namespace

LogicalResult Quantizer::readOptions() {
  auto emit = [&] { return fail(); };
  LogicalResult readsInclude = readRegex("include", options.include, include, emit);
  if (failed(readRegex("exclude", options.exclude, exclude, emit)) || failed(readsInclude))
    return failure();
  if (!(options.quantile > 0.5 && options.quantile <= 1))
    return fail() << "quantile: expected a value in (0.5, 1], got " << formatNumber(options.quantile);
  entry = module.lookupSymbol<func::FuncOp>(options.entry);
  if (!entry || entry.isExternal())
    return fail() << "entry: expected a function with a body, got '" << options.entry << "'";
  return success();
}

/// Why a layer stays f32; empty if it need not.
std::string Quantizer::explainWhyNot(const PrunableLayer &layer) {
  constexpr int64_t maxColumns = std::numeric_limits<int32_t>::max() / (255 * 127);
  auto contract = dyn_cast<linalg::ContractOp>(layer.op);
  if (!layer.isPrunable())
    return layer.reason;
  if (!contract)
    return "it is no linear layer";
  if (layer.op->getBlock() != &entry.front())
    return "it is not in the body of '" + entry.getName().str() + "' itself";
  if (layer.getShape().size() != 2)
    return "its weight is no matrix";
  auto type = cast<RankedTensorType>(layer.weight->get().getType());
  auto inputType = dyn_cast<RankedTensorType>(contract.getInputs()[0].getType());
  if (!type.getElementType().isF32() || !inputType || !inputType.getElementType().isF32())
    return "it does not compute in f32";
  if (!inputType.hasStaticShape())
    return "its activations have a dynamic shape";
  if (type.getDimSize(1) > maxColumns)
    return llvm::formatv("its {0} columns are more than the {1} whose sums fit 32 bits", type.getDimSize(1), maxColumns)
        .str();
  auto fill = contract.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
  if (!fill || !matchPattern(fill.getInputs().front(), m_AnyZeroFloat()))
    return "its destination is not filled with zero";
  for (auto apply = layer.weight->get().getDefiningOp<ApplyOp>(); apply;
       apply = apply.getWeight().getDefiningOp<ApplyOp>())
    if (!getConstantAttr(apply.getMask()))
      return "its mask is not a constant";
  if (include && !include->match(layer.name))
    return "include does not match it";
  if (exclude && exclude->match(layer.name))
    return "exclude matches it";
  return "";
}

/// Reads off how `x` is made of integers in a model that is quantized already (DequantizeLinear in ONNX): the extended
/// integer, less the zero point, as f32 times a scale.
static void matchDequantized(Value x, QuantizedLayer &layer) {
  auto generic = x.getDefiningOp<linalg::GenericOp>();
  if (!generic || generic.getNumDpsInputs() != 1 || generic.getNumParallelLoops() != generic.getNumLoops() ||
      !llvm::all_of(generic.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }))
    return;
  auto scaled = generic.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::MulFOp>();
  auto number = scaled ? scaled.getLhs().getDefiningOp<arith::SIToFPOp>() : arith::SIToFPOp();
  FloatAttr scale;
  if (!number || !matchPattern(scaled.getRhs(), m_Constant(&scale)))
    return;
  Value integer = number.getIn();
  IntegerAttr zeroPoint;
  if (auto shifted = integer.getDefiningOp<arith::SubIOp>()) {
    if (!matchPattern(shifted.getRhs(), m_Constant(&zeroPoint)))
      return;
    integer = shifted.getLhs();
  }
  Operation *extend = integer.getDefiningOp();
  bool isSigned = isa_and_nonnull<arith::ExtSIOp>(extend);
  if (!(isSigned || isa_and_nonnull<arith::ExtUIOp>(extend)) ||
      extend->getOperand(0) != generic.getBody()->getArgument(0) || !extend->getOperand(0).getType().isInteger(8))
    return;
  int64_t zero = zeroPoint ? zeroPoint.getInt() : 0, least = isSigned ? -128 : 0;
  if (zero < least || zero > least + 255)
    return;
  layer.integers = generic.getInputs()[0];
  layer.isSigned = isSigned;
  layer.scale = {static_cast<float>(scale.getValueAsDouble()), static_cast<int32_t>(zero - least)};
}

LogicalResult Quantizer::collect() {
  MaskOp undecided;
  entry.walk([&](MaskOp mask) { undecided = mask; });
  if (undecided)
    return emitError(undecided.getLoc()) << "mask of '" << getWeightName(undecided)
                                         << "' is not decided (run prune-evaluate-masks)";
  int64_t numLinear = 0;
  bool isIncluded = false, isExcluded = false;
  for (PrunableLayer &layer : findPrunableLayers(module)) {
    if (!layer.weight || !(layer.kind == "linear" || layer.kind.ends_with("conv")))
      continue;
    if (layer.kind == "linear") {
      ++numLinear;
      isIncluded |= include && include->match(layer.name);
      isExcluded |= exclude && exclude->match(layer.name);
    }
    if (std::string reason = explainWhyNot(layer); !reason.empty()) {
      ++numDeclined;
      remark::missed(layer.op->getLoc(), remark::RemarkOpts::name("NotQuantized").category("quantize"))
          << remark::add("'{0}' stays f32 because {1}", layer.name, reason);
      continue;
    }
    QuantizedLayer quantized;
    matchDequantized(layer.op->getOperand(0), quantized);
    quantized.layer = std::move(layer);
    layers.push_back(std::move(quantized));
  }
  if (include && !isIncluded)
    return fail() << "include: '" << options.include << "' matches none of " << numLinear << " linear layers";
  if (exclude && !isExcluded)
    return fail() << "exclude: '" << options.exclude << "' matches none of " << numLinear << " linear layers";
  return success();
}

/// A constant of i8, as a resource unless it is small.
static Value createInt8(OpBuilder &builder, Location loc, ArrayRef<int64_t> shape, ArrayRef<int8_t> data,
                        StringRef name) {
  auto type = RankedTensorType::get(shape, builder.getI8Type());
  ArrayRef<char> bytes(reinterpret_cast<const char *>(data.data()), data.size());
  ElementsAttr attr = type.getNumElements() > kMaxInlineElements
                          ? makeResourceAttr(type, bytes, name)
                          : ElementsAttr(DenseElementsAttr::getFromRawBuffer(type, bytes));
  return arith::ConstantOp::create(builder, NameLoc::get(builder.getStringAttr(name), loc), cast<TypedAttr>(attr));
}

static float getLargest(ArrayRef<float> numbers) {
  float largest = 0;
  for (float value : numbers)
    largest = std::max(largest, std::fabs(value));
  return largest;
}

/// The step of a row's integers: its largest number is 127 steps. In a model that was quantized before, the step that
/// all its numbers are multiples of, whether it was chosen for the row or for the weight, whose largest number is
/// `ofWeight`.
static float chooseStep(ArrayRef<float> row, float ofWeight) {
  float ofRow = getLargest(row), usual = ofRow / 127;
  if (usual == 0) // an empty row, or one so small that its step underflows
    return 1;
  for (float step : {usual, ofRow / 128, ofWeight / 127, ofWeight / 128})
    if (llvm::all_of(row, [&](float value) {
          float steps = value / step, whole = std::rint(steps);
          return std::fabs(steps - whole) < 1e-4f && whole >= -128 && whole <= 127;
        }))
      return step;
  return usual;
}

/// The integers of a layer's weight, under the same masks.
FailureOr<QuantizedWeight> Quantizer::quantizeWeight(const PrunableLayer &layer) {
  Value weight = layer.weight->get();
  auto type = cast<RankedTensorType>(weight.getType());
  SmallVector<ApplyOp> masks; // the outermost first
  for (auto apply = weight.getDefiningOp<ApplyOp>(); apply; apply = weight.getDefiningOp<ApplyOp>()) {
    masks.push_back(apply);
    weight = apply.getWeight();
  }
  auto emit = [&] { return emitError(layer.op->getLoc()) << "weight '" << layer.name << "': "; };
  FailureOr<WeightData> data = WeightData::read(getConstantAttr(weight), emit);
  if (failed(data))
    return failure();
  std::vector<float> values(data->values());
  QuantizedWeight result;
  std::vector<uint8_t> kept(values.size(), 1);
  for (ApplyOp apply : masks) {
    FailureOr<MaskData> mask = MaskData::read(getConstantAttr(apply.getMask()), emit);
    if (failed(mask))
      return failure();
    for (auto [value, isKept, keeps] : llvm::zip_equal(values, kept, mask->bytes())) {
      value = keeps ? value : 0.0f;
      isKept &= keeps;
    }
  }
  result.numKept = llvm::count(kept, 1);

  int64_t columns = type.getDimSize(1);
  for (auto [i, value] : llvm::enumerate(values))
    if (!std::isfinite(value))
      return emit() << "expected finite elements, got " << formatNumber(value) << " in row " << i / columns;
  float largest = getLargest(values);
  std::vector<int8_t> integers(values.size());
  double error = 0, size = 0;
  for (int64_t row = 0; row < type.getDimSize(0); ++row) {
    ArrayRef<float> numbers = ArrayRef(values).slice(row * columns, columns);
    float scale = chooseStep(numbers, largest);
    int32_t sum = 0;
    for (int64_t column = 0; column < columns; ++column) {
      int32_t integer = std::clamp<int32_t>(std::lrint(numbers[column] / scale), -128, 127);
      integers[row * columns + column] = integer;
      sum += integer;
      error += std::pow(static_cast<double>(integer) * scale - numbers[column], 2);
      size += std::pow(static_cast<double>(numbers[column]), 2);
    }
    result.scales.push_back(scale);
    result.rowSums.push_back(sum);
  }
  result.relativeError = size > 0 ? std::sqrt(error / size) : 0;

  OpBuilder builder(masks.empty() ? weight.getDefiningOp() : masks.front().getOperation());
  result.value = createInt8(builder, weight.getLoc(), type.getShape(), integers, layer.name + ".int8");
  for (ApplyOp apply : llvm::reverse(masks))
    result.value = ApplyOp::create(builder, apply.getLoc(), result.value, apply.getMask(), apply.getPattern(),
                                   apply.getNameAttr(), apply.getAllowEmpty());
  return result;
}

/// Elementwise on operands that have all loops of `type`, or the one dimension `perRow` of it.
static Value createElementwise(ImplicitLocOpBuilder &b, ValueRange inputs, ArrayRef<AffineMap> maps,
                               RankedTensorType type, function_ref<Value(ImplicitLocOpBuilder &, ValueRange)> compute) {
  Value empty = tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
  SmallVector<AffineMap> allMaps(maps);
  allMaps.push_back(b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, type, inputs, empty, allMaps, loops,
                                   [&](OpBuilder &builder, Location loc, ValueRange args) {
                                     ImplicitLocOpBuilder body(loc, builder);
                                     linalg::YieldOp::create(body, compute(body, args));
                                   })
      .getResult(0);
}

Value Quantizer::quantizeActivation(ImplicitLocOpBuilder &b, Value x, ActivationScale scale) {
  Value &known = activations[x];
  if (known)
    return known;
  auto type = cast<RankedTensorType>(x.getType());
  known = createElementwise(
      b, x, b.getMultiDimIdentityMap(type.getRank()), type.clone(b.getI8Type()),
      [&](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
        auto number = [&](double value) -> Value {
          return arith::ConstantOp::create(body, body.getF32FloatAttr(value));
        };
        auto bound = [&](arith::CmpFPredicate beyond, Value value, Value limit) -> Value {
          return arith::SelectOp::create(body, arith::CmpFOp::create(body, beyond, value, limit), value, limit);
        };
        Value steps = math::RoundEvenOp::create(body, arith::DivFOp::create(body, args[0], number(scale.scale)));
        Value shifted = arith::AddFOp::create(body, steps, number(scale.zeroPoint));
        // NaN is no number above 0.
        Value positive = bound(arith::CmpFPredicate::OGT, shifted, number(0));
        Value clamped = bound(arith::CmpFPredicate::OLT, positive, number(255));
        Value integer = arith::FPToSIOp::create(body, body.getI32Type(), clamped);
        return arith::TruncIOp::create(body, body.getI8Type(), integer);
      });
  return known;
}

/// The integers that a range is spread over.
static ActivationScale getScale(ActivationRange range) {
  ActivationScale result;
  float scale = (range.high - range.low) / 255;
  if (scale > 0)
    result = {scale, std::clamp<int32_t>(std::lrint(-range.low / scale), 0, 255)};
  return result;
}

/// Signed integers with 128 added.
Value Quantizer::makeUnsigned(ImplicitLocOpBuilder &b, Value integers) {
  Value &known = activations[integers];
  if (known)
    return known;
  auto type = cast<RankedTensorType>(integers.getType());
  known = createElementwise(b, integers, b.getMultiDimIdentityMap(type.getRank()), type,
                            [](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
                              Value sign = arith::ConstantOp::create(body, body.getI8IntegerAttr(-128));
                              return arith::XOrIOp::create(body, args[0], sign);
                            });
  return known;
}

LogicalResult Quantizer::rewrite(QuantizedLayer &quantized) {
  const PrunableLayer &layer = quantized.layer;
  auto contract = cast<linalg::ContractOp>(layer.op);
  Value x = contract.getInputs()[0];
  QuantizedWeight &weight = weights[layer.weight->get()];
  if (!weight.value) {
    FailureOr<QuantizedWeight> integers = quantizeWeight(layer);
    if (failed(integers))
      return failure();
    weight = std::move(*integers);
  }
  ActivationScale scale = quantized.scale;
  OpBuilder builder(contract);
  ImplicitLocOpBuilder b(contract.getLoc(), builder);
  Value integers = !quantized.integers  ? quantizeActivation(b, x, scale)
                   : quantized.isSigned ? makeUnsigned(b, quantized.integers)
                                        : quantized.integers;

  auto type = cast<RankedTensorType>(contract->getResult(0).getType());
  auto sumType = type.clone(b.getI32Type());
  Value zero = arith::ConstantOp::create(b, b.getI32IntegerAttr(0));
  Value empty = tensor::EmptyOp::create(b, type.getShape(), b.getI32Type());
  Value zeros = linalg::FillOp::create(b, zero, empty).getResult(0);
  SmallVector<AffineMap> maps = contract.getIndexingMapsArray();
  Value sums = linalg::GenericOp::create(b, sumType, ValueRange{integers, weight.value}, zeros, maps,
                                         contract.getIteratorTypesArray(),
                                         [](OpBuilder &nested, Location loc, ValueRange args) {
                                           ImplicitLocOpBuilder body(loc, nested);
                                           Type i32 = body.getI32Type();
                                           Value left = arith::ExtUIOp::create(body, i32, args[0]);
                                           Value right = arith::ExtSIOp::create(body, i32, args[1]);
                                           Value product = arith::MulIOp::create(body, left, right);
                                           Value sum = arith::AddIOp::create(body, args[2], product);
                                           linalg::YieldOp::create(body, sum);
                                         })
                   .getResult(0);

  std::vector<int32_t> offsets;
  std::vector<float> scales;
  for (auto [sum, weightScale] : llvm::zip_equal(weight.rowSums, weight.scales)) {
    offsets.push_back(-scale.zeroPoint * sum);
    scales.push_back(scale.scale * weightScale);
  }
  int64_t rows = scales.size();
  auto constant = [&](Type element, auto numbers) -> Value {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(RankedTensorType::get({rows}, element), numbers));
  };
  unsigned rowDim = *maps[2].getResultPosition(maps[1].getResult(0));
  AffineMap perRow = AffineMap::get(type.getRank(), 0, b.getAffineDimExpr(rowDim));
  Value result = createElementwise(
      b,
      {sums, constant(b.getI32Type(), ArrayRef<int32_t>(offsets)), constant(b.getF32Type(), ArrayRef<float>(scales))},
      {b.getMultiDimIdentityMap(type.getRank()), perRow, perRow}, type,
      [](ImplicitLocOpBuilder &body, ValueRange args) -> Value {
        Value sum = arith::AddIOp::create(body, args[0], args[1]);
        return arith::MulFOp::create(body, arith::SIToFPOp::create(body, body.getF32Type(), sum), args[2]);
      });
  remark::passed(contract.getLoc(), remark::RemarkOpts::name("Quantized").category("quantize"))
      << llvm::formatv("'{0}': activations [{1}, {2}] in steps of {3} with zero point {4}; {5} of {6} weights kept, "
                       "relative error of the weight {7}",
                       layer.name, formatNumber(scale.scale * -scale.zeroPoint),
                       formatNumber(scale.scale * (255 - scale.zeroPoint)), formatNumber(scale.scale), scale.zeroPoint,
                       weight.numKept, layer.params, formatNumber(float(weight.relativeError)))
             .str();
  contract->getResult(0).replaceAllUsesWith(result);
  contract->erase();
  ++numQuantized;
  return success();
}

LogicalResult Quantizer::run() {
  if (failed(readOptions()) || failed(collect()))
    return failure();
  llvm::SetVector<Value> inputs;
  for (QuantizedLayer &quantized : layers)
    if (Value x = quantized.layer.op->getOperand(0); !quantized.integers) {
      inputs.insert(x);
      quantized.input = llvm::find(inputs, x) - inputs.begin();
    }
  if (!inputs.empty()) {
    if (options.data.empty())
      return fail() << "data: expected an .npz file with examples, got none";
    llvm::Expected<Examples> examples = Examples::read(options.data, entry);
    if (!examples)
      return fail() << "data: " << llvm::toString(examples.takeError());
    FailureOr<std::vector<ActivationRange>> ranges =
        observeRanges(entry, inputs.getArrayRef(), *examples, options.quantile);
    if (failed(ranges))
      return failure();
    for (QuantizedLayer &quantized : layers)
      if (!quantized.integers)
        quantized.scale = getScale((*ranges)[quantized.input]);
  }
  for (QuantizedLayer &quantized : layers)
    if (failed(rewrite(quantized)))
      return failure();
  // Weights of f32 that nobody reads any more.
  for (Value weight : llvm::make_first_range(weights))
    for (Operation *op = weight.getDefiningOp(); op && op->use_empty();) {
      Operation *below = op->getNumOperands() ? op->getOperand(0).getDefiningOp() : nullptr;
      op->erase();
      op = below;
    }
  return success();
}

namespace {
struct PruneQuantize : prune::impl::PruneQuantizeBase<PruneQuantize> {
  using Base::Base;

  void runOnOperation() override {
    PruneQuantizeOptions options;
    options.data = data;
    options.entry = entry;
    options.quantile = quantile;
    options.include = include;
    options.exclude = exclude;
    Quantizer quantizer(getOperation(), options);
    if (failed(quantizer.run()))
      return signalPassFailure();
    numQuantized += quantizer.numQuantized;
    numDeclined += quantizer.numDeclined;
  }
};
} // namespace
