//===- Criteria.cpp - The criteria of the prune dialect ------------------------===//

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
