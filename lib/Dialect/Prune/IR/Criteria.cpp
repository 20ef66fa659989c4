//===- Criteria.cpp - The criteria of the prune dialect ------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

namespace {
/// A number of a criterion, and what it is unless said otherwise.
struct NumberParameter {
  StringRef name;
  double usual;
  double value = usual;
};
} // namespace

/// Parses `<name = number, ...>` or nothing.
static ParseResult parseParameters(AsmParser &parser, MutableArrayRef<NumberParameter> parameters) {
  if (failed(parser.parseOptionalLess()))
    return success();
  SmallVector<StringRef> seen;
  auto parseOne = [&]() -> ParseResult {
    SMLoc place = parser.getCurrentLocation();
    StringRef word;
    if (parser.parseKeyword(&word) || parser.parseEqual())
      return failure();
    auto found = llvm::find_if(parameters, [&](const NumberParameter &parameter) { return parameter.name == word; });
    bool isKnown = found != parameters.end();
    if (!isKnown || llvm::is_contained(seen, word)) {
      auto names = llvm::map_range(parameters, [](const NumberParameter &parameter) { return parameter.name; });
      return parser.emitError(place) << "expected " << llvm::join(names, " or ") << (isKnown ? " once" : "") << ", got "
                                     << word << (isKnown ? " twice" : "");
    }
    seen.push_back(word);
    return parseNumber(parser, found->value);
  };
  return failure(parser.parseCommaSeparatedList(parseOne) || parser.parseGreater());
}

/// Prints what is not as usual.
static void printParameters(AsmPrinter &printer, ArrayRef<NumberParameter> parameters) {
  StringRef lead = "<";
  for (const NumberParameter &parameter : parameters) {
    if (parameter.value == parameter.usual)
      continue;
    printer << lead << parameter.name << " = " << parameter.value;
    lead = ", ";
  }
  if (lead != "<")
    printer << ">";
}

/// Prints the short spelling: numbers behind colons, as far as one is not as usual.
static void printShortParameters(raw_ostream &os, ArrayRef<NumberParameter> parameters) {
  while (!parameters.empty() && parameters.back().value == parameters.back().usual)
    parameters = parameters.drop_back();
  for (const NumberParameter &parameter : parameters)
    os << ":" << formatNumber(parameter.value);
}

//===----------------------------------------------------------------------===//
// Magnitude
//===----------------------------------------------------------------------===//

uint32_t MagnitudeAttr::getRequiredInputs() const { return NeedsWeight; }
bool MagnitudeAttr::isWeightItself() const { return true; }

ScoreReduction MagnitudeAttr::getReduction() const {
  switch (getNorm()) {
  case Norm::l1:
    return ScoreReduction::Mean;
  case Norm::l2:
    return ScoreReduction::RootMeanSquare;
  case Norm::linf:
    return ScoreReduction::Max;
  }
  llvm_unreachable("unknown norm");
}

void MagnitudeAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  std::copy(inputs.weight.begin() + begin, inputs.weight.begin() + end, scores);
}

void MagnitudeAttr::printShort(raw_ostream &os) const {
  os << "magnitude";
  if (getNorm() != Norm::l1)
    os << ":" << stringifyNorm(getNorm());
}

//===----------------------------------------------------------------------===//
// Random
//===----------------------------------------------------------------------===//

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64-bit words that mixes well.
static uint64_t mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
  return word ^ (word >> 31);
}

uint32_t RandomAttr::getRequiredInputs() const { return 0; }

void RandomAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  uint64_t stream = mix(getSeed() + 0x9e3779b97f4a7c15u) ^ llvm::xxh3_64bits(inputs.name);
  for (int64_t i = begin; i < end; ++i) {
    uint64_t word = mix(stream + static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u);
    scores[i - begin] = static_cast<float>(word >> 40) * 0x1p-24f; // 24 bits are exact in f32
  }
}

void RandomAttr::printShort(raw_ostream &os) const {
  os << "random";
  if (getSeed() != 0)
    os << ":" << getSeed();
}

//===----------------------------------------------------------------------===//
// Taylor
//===----------------------------------------------------------------------===//

uint32_t TaylorAttr::getRequiredInputs() const { return NeedsWeight | NeedsGradient; }

void TaylorAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = std::abs(inputs.weight[i] * inputs.gradient[i]);
}

void TaylorAttr::printShort(raw_ostream &os) const { os << "taylor"; }

//===----------------------------------------------------------------------===//
// Fisher
//===----------------------------------------------------------------------===//

uint32_t FisherAttr::getRequiredInputs() const { return NeedsWeight | NeedsSquaredGradient; }

void FisherAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = inputs.weight[i] * inputs.weight[i] * inputs.squaredGradient[i] / 2;
}

void FisherAttr::printShort(raw_ostream &os) const { os << "fisher"; }

//===----------------------------------------------------------------------===//
// OBS
//===----------------------------------------------------------------------===//

LogicalResult OBSAttr::verify(function_ref<InFlightDiagnostic()> emitError, APFloat damping) {
  double value = damping.convertToDouble();
  if (!(value > 0) || !std::isfinite(value)) // obs_c1
    return emitError() << "expected a positive damping of obs, got " << formatNumber(value);
  return success();
}

Attribute OBSAttr::parse(AsmParser &parser, Type) {
  NumberParameter damping{"damping", kUsualDamping};
  if (parseParameters(parser, damping))
    return {};
  return parser.getChecked<OBSAttr>(parser.getContext(), APFloat(damping.value));
}

void OBSAttr::print(AsmPrinter &printer) const {
  printParameters(printer, NumberParameter{"damping", kUsualDamping, getFisherDamping()});
}

uint32_t OBSAttr::getRequiredInputs() const { return NeedsWeight | NeedsFisherBlocks; }
ScoreOrder OBSAttr::getScoreOrder() const { return ScoreOrder::Signed; }
bool OBSAttr::updatesWeights() const { return true; }
double OBSAttr::getFisherDamping() const { return getDamping().convertToDouble(); }

void OBSAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = inputs.weight[i] * inputs.multipliers[i] / 2;
}

void OBSAttr::printShort(raw_ostream &os) const {
  os << "obs";
  printShortParameters(os, NumberParameter{"damping", kUsualDamping, getFisherDamping()});
}

//===----------------------------------------------------------------------===//
// Movement
//===----------------------------------------------------------------------===//

static LogicalResult verifyRate(function_ref<InFlightDiagnostic()> emitError, double rate) {
  if (!(rate > 0) || !std::isfinite(rate)) // movement_c1, soft_movement_c1
    return emitError() << "expected a positive rate of movement, got " << formatNumber(rate);
  return success();
}

/// The movement of one step from a score of 0.
static void scoreMovement(double rate, const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) {
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = -(static_cast<float>(rate) * (inputs.gradient[i] * inputs.weight[i]));
}

static Value emitF32(OpBuilder &builder, Location loc, double value) {
  return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(static_cast<float>(value)));
}

LogicalResult MovementAttr::verify(function_ref<InFlightDiagnostic()> emitError, APFloat rate) {
  return verifyRate(emitError, rate.convertToDouble());
}

Attribute MovementAttr::parse(AsmParser &parser, Type) {
  NumberParameter rate{"rate", 1};
  if (parseParameters(parser, rate))
    return {};
  return parser.getChecked<MovementAttr>(parser.getContext(), APFloat(rate.value));
}

void MovementAttr::print(AsmPrinter &printer) const {
  printParameters(printer, NumberParameter{"rate", 1, getRate().convertToDouble()});
}

uint32_t MovementAttr::getRequiredInputs() const { return NeedsWeight | NeedsGradient; }
ScoreOrder MovementAttr::getScoreOrder() const { return ScoreOrder::Signed; }
bool MovementAttr::keepsScores() const { return true; }

void MovementAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  scoreMovement(getRate().convertToDouble(), inputs, begin, end, scores);
}

Value MovementAttr::emitScoreStep(OpBuilder &builder, Location loc, Value score, Value weight, Value gradient) const {
  Value rate = emitF32(builder, loc, getRate().convertToDouble());
  Value product = arith::MulFOp::create(builder, loc, gradient, weight);
  return arith::SubFOp::create(builder, loc, score, arith::MulFOp::create(builder, loc, rate, product));
}

void MovementAttr::printShort(raw_ostream &os) const {
  os << "movement";
  printShortParameters(os, NumberParameter{"rate", 1, getRate().convertToDouble()});
}

LogicalResult SoftMovementAttr::verify(function_ref<InFlightDiagnostic()> emitError, APFloat rate, APFloat penalty) {
  if (failed(verifyRate(emitError, rate.convertToDouble())))
    return failure();
  double value = penalty.convertToDouble();
  if (!(value >= 0) || !std::isfinite(value)) // soft_movement_c2
    return emitError() << "expected a penalty of 0 or more of soft movement, got " << formatNumber(value);
  return success();
}

Attribute SoftMovementAttr::parse(AsmParser &parser, Type) {
  NumberParameter parameters[] = {{"rate", 1}, {"penalty", 0}};
  if (parseParameters(parser, parameters))
    return {};
  return parser.getChecked<SoftMovementAttr>(parser.getContext(), APFloat(parameters[0].value),
                                             APFloat(parameters[1].value));
}

void SoftMovementAttr::print(AsmPrinter &printer) const {
  printParameters(printer, {{"rate", 1, getRate().convertToDouble()}, {"penalty", 0, getPenalty().convertToDouble()}});
}

uint32_t SoftMovementAttr::getRequiredInputs() const { return NeedsWeight | NeedsGradient; }
ScoreOrder SoftMovementAttr::getScoreOrder() const { return ScoreOrder::Signed; }
bool SoftMovementAttr::keepsScores() const { return true; }

void SoftMovementAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  scoreMovement(getRate().convertToDouble(), inputs, begin, end, scores);
}

Value SoftMovementAttr::emitScoreStep(OpBuilder &builder, Location loc, Value score, Value weight,
                                      Value gradient) const {
  Value slope = arith::MulFOp::create(builder, loc, gradient, weight);
  if (!getPenalty().isZero()) {
    // The slope of the sigmoid is e / (1 + e)² with e = exp(-|s|), which does not overflow.
    Value e = math::ExpOp::create(builder, loc,
                                  arith::NegFOp::create(builder, loc, math::AbsFOp::create(builder, loc, score)));
    Value sum = arith::AddFOp::create(builder, loc, emitF32(builder, loc, 1), e);
    Value sigmoid = arith::DivFOp::create(builder, loc, e, arith::MulFOp::create(builder, loc, sum, sum));
    Value penalty = emitF32(builder, loc, getPenalty().convertToDouble());
    slope = arith::AddFOp::create(builder, loc, slope, arith::MulFOp::create(builder, loc, penalty, sigmoid));
  }
  Value rate = emitF32(builder, loc, getRate().convertToDouble());
  return arith::SubFOp::create(builder, loc, score, arith::MulFOp::create(builder, loc, rate, slope));
}

FailureOr<double> SoftMovementAttr::getScoreThreshold(function_ref<InFlightDiagnostic()> emitError,
                                                      double threshold) const {
  if (!(threshold > 0 && threshold < 1))
    return emitError() << "expected a value in (0, 1) with soft-movement, got " << formatNumber(threshold);
  return std::log(threshold / (1 - threshold));
}

void SoftMovementAttr::printShort(raw_ostream &os) const {
  os << "soft-movement";
  printShortParameters(os, {{"rate", 1, getRate().convertToDouble()}, {"penalty", 0, getPenalty().convertToDouble()}});
}

//===----------------------------------------------------------------------===//
// Criteria that see activations
//===----------------------------------------------------------------------===//

uint32_t WandaAttr::getRequiredInputs() const { return NeedsWeight | NeedsColumnNorms; }
bool WandaAttr::ranksWithinRows() const { return true; }

void WandaAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  int64_t columns = MatrixView(inputs.shape).columns;
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = std::abs(inputs.weight[i]) * std::sqrt(inputs.columnNorms[i % columns]);
}

void WandaAttr::printShort(raw_ostream &os) const { os << "wanda"; }

uint32_t SparseGPTAttr::getRequiredInputs() const { return NeedsWeight | NeedsGram; }
ScoreReduction SparseGPTAttr::getReduction() const { return ScoreReduction::RootMeanSquare; }
bool SparseGPTAttr::updatesWeights() const { return true; }

void SparseGPTAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  int64_t columns = MatrixView(inputs.shape).columns;
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = std::abs(inputs.weight[i]) / inputs.factorDiagonal[i % columns];
}

void SparseGPTAttr::printShort(raw_ostream &os) const { os << "sparsegpt"; }
