//===- Criteria.cpp - The criteria of the prune dialect ------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "llvm/Support/xxhash.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

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
// Movement
//===----------------------------------------------------------------------===//

LogicalResult MovementAttr::verify(function_ref<InFlightDiagnostic()> emitError, APFloat rate) {
  double value = rate.convertToDouble();
  if (!(value > 0) || !std::isfinite(value)) // movement_c1
    return emitError() << "expected a positive rate of movement, got " << formatNumber(value);
  return success();
}

Attribute MovementAttr::parse(AsmParser &parser, Type) {
  double rate = 1;
  if (succeeded(parser.parseOptionalLess()) && (parser.parseKeyword("rate") || parser.parseEqual() ||
                                                failed(parseNumber(parser, rate)) || parser.parseGreater()))
    return {};
  return parser.getChecked<MovementAttr>(parser.getContext(), APFloat(rate));
}

void MovementAttr::print(AsmPrinter &printer) const {
  if (!getRate().isExactlyValue(1))
    printer << "<rate = " << getRate().convertToDouble() << ">";
}

uint32_t MovementAttr::getRequiredInputs() const { return NeedsWeight | NeedsGradient; }
ScoreOrder MovementAttr::getScoreOrder() const { return ScoreOrder::Signed; }
bool MovementAttr::keepsScores() const { return true; }

/// The movement of one step from a score of 0.
void MovementAttr::scoreElements(const ScoreInputs &inputs, int64_t begin, int64_t end, float *scores) const {
  float rate = static_cast<float>(getRate().convertToDouble());
  for (int64_t i = begin; i < end; ++i)
    scores[i - begin] = -(rate * (inputs.gradient[i] * inputs.weight[i]));
}

Value MovementAttr::emitScoreStep(OpBuilder &builder, Location loc, Value score, Value weight, Value gradient) const {
  Value rate =
      arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(static_cast<float>(getRate().convertToDouble())));
  Value product = arith::MulFOp::create(builder, loc, gradient, weight);
  return arith::SubFOp::create(builder, loc, score, arith::MulFOp::create(builder, loc, rate, product));
}

void MovementAttr::printShort(raw_ostream &os) const {
  os << "movement";
  if (!getRate().isExactlyValue(1))
    os << ":" << formatNumber(getRate().convertToDouble());
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
