//===- GPUChoice.cpp - Which storage a layer gets on a GPU ----------------------===//

#include "prune/Conversion/PruneToSparseTensor/GPUChoice.h"
#include "BreakEven.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::prune;

std::string GPUCandidate::describe() const {
  std::string text = llvm::formatv("{0} in {1}", stringifyGPUKernel(kind), stringifyGPUPrecision(precision)).str();
  if (kind == GPUKernelKind::CSR && tile.isByEntry())
    text += ", lanes along the entries";
  else if (kind == GPUKernelKind::CSR)
    text += llvm::formatv(", groups of {0} rows x {1} tokens, chunk {2}", tile.rows, tile.getNumTokens(), tile.chunk);
  else if (kind == GPUKernelKind::Columns)
    text += llvm::formatv(", tiles of {0} rows, chunk {1}", tile.rows, tile.chunk);
  return text;
}

namespace {

class GPUChooser {
public:
  GPUChooser(const GPULayer &layer, GPUPrecision precision, const GPUCostModel &model)
      : layer(layer), matrix(layer.matrix), precision(precision), model(model) {}
  GPUChoice run(std::optional<GPUKernelKind> only);

private:
  GPUCandidate makeCandidate(GPUKernelKind kind, bool isAsked) const;
  /// Why the storage is not possible; empty if it is.
  std::string refuse(GPUKernelKind kind, GPUPrecision precision) const;
  std::string refuseTwoOfFour(GPUPrecision precision) const;
  double estimate(const GPUCandidate &candidate) const;
  GPULayerCounts countColumns(double activationDensity, GPUPrecision precision) const {
    return model.countColumns(layer.tokens, matrix.numRows, matrix.numColumns, activationDensity, precision);
  }
  double findActivationBreakEven(GPUPrecision precision, double otherNs) const;
  /// Why the weight cannot be of the precision that was asked for; empty if it can.
  std::string refusePrecision() const;

  const GPULayer &layer;
  const MaskedMatrix &matrix;
  GPUPrecision precision;
  const GPUCostModel &model;
  double density = 1;
};

} // namespace

PackedWeight mlir::prune::packBlocks(const GPULayer &layer, const SparseTile &tile) {
  return tile.vectors ? packBlockFragments(layer.matrix, tile)
                      : packBlockCSR(layer.matrix, layer.blockRows, layer.blockColumns);
}

/// The largest finite numbers.
static constexpr float kMostF16 = 65504, kMostBF16 = 0x1.FEp127F;
/// With more columns, sums of products of 127 and 127 leave i32.
static constexpr int64_t kMostColumnsOfI8 = std::numeric_limits<int32_t>::max() / (kMostI8 * kMostI8);

std::string GPUChooser::refusePrecision() const {
  auto findWeight = [&](auto isBad) -> std::string {
    for (int64_t row = 0; row < matrix.numRows; ++row)
      for (int64_t column = 0; column < matrix.numColumns; ++column)
        if (float w = matrix.at(row, column); isBad(w))
          return llvm::formatv("weight [{0}, {1}] is {2}", row, column, w).str();
    return "";
  };
  if (!model.findRate(GPUKernelKind::Matrix, precision))
    return "the cost model has no rate for it";
  if (precision == GPUPrecision::F16 || precision == GPUPrecision::BF16) {
    float most = precision == GPUPrecision::F16 ? kMostF16 : kMostBF16;
    return findWeight([=](float w) { return std::isfinite(w) && std::abs(w) > most; });
  }
  if (precision != GPUPrecision::I8)
    return "";
  if (matrix.numColumns > kMostColumnsOfI8)
    return llvm::formatv("K = {0} > {1} may overflow sums in i32", matrix.numColumns, kMostColumnsOfI8).str();
  return findWeight([](float w) { return !std::isfinite(w); });
}

std::string GPUChooser::refuseTwoOfFour(GPUPrecision precision) const {
  if (precision == GPUPrecision::F32)
    return "f32 has no tensor cores";
  if (auto place = precision == GPUPrecision::TF32 ? findOverfullGroup(matrix, 1, 2) : std::nullopt)
    return llvm::formatv("tensor cores skip one of two in tf32, and row {0} keeps columns {1} and {2}", place->first,
                         place->second, place->second + 1)
        .str();
  if (auto place = findOverfullGroup(matrix, 2, 4))
    return llvm::formatv("row {0} keeps more than 2 of columns {1} to {2}", place->first, place->second,
                         place->second + 3)
        .str();
  if (matrix.numColumns % kTwoOfFourColumns != 0)
    return llvm::formatv("K = {0} is no multiple of {1}", matrix.numColumns, kTwoOfFourColumns).str();
  const GPUKernelRate *rate = model.findRate(GPUKernelKind::TwoOfFour, precision);
  if (rate && layer.tokens < rate->leastTokens)
    return llvm::formatv("M = {0} < {1}", layer.tokens, rate->leastTokens).str();
  return "";
}

std::string GPUChooser::refuse(GPUKernelKind kind, GPUPrecision precision) const {
  if (kind == GPUKernelKind::Columns)
    return layer.tokens > kMostColumnsTokens ? llvm::formatv("M = {0} > {1}", layer.tokens, kMostColumnsTokens).str()
                                             : std::string();
  if (kind != GPUKernelKind::Matrix && matrix.mask.empty())
    return "the weight is not masked";
  if (kind == GPUKernelKind::BlockCSR) {
    if (layer.blockRows == 0)
      return "the pattern has no blocks";
    if (layer.blockRows > kMostBlockRows || layer.blockColumns > kMostBlockColumns)
      return llvm::formatv("blocks of {0} x {1} are larger than {2} x {3}", layer.blockRows, layer.blockColumns,
                           kMostBlockRows, kMostBlockColumns)
          .str();
  }
  if (kind == GPUKernelKind::TwoOfFour)
    if (std::string why = refuseTwoOfFour(precision); !why.empty())
      return why;
  if (kind != GPUKernelKind::CSR && !model.findRate(kind, precision))
    return llvm::formatv("{0} has no kernel for {1}", model.chip, stringifyGPUPrecision(precision)).str();
  return "";
}

GPUCandidate GPUChooser::makeCandidate(GPUKernelKind kind, bool isAsked) const {
  GPUCandidate candidate;
  candidate.isNotable = isAsked || (kind == GPUKernelKind::BlockCSR && layer.blockRows != 0) ||
                        (kind == GPUKernelKind::TwoOfFour && layer.isTwoOfFour) || kind == GPUKernelKind::Columns;
  candidate.kind = kind;
  candidate.precision = precision;
  if (kind == GPUKernelKind::CSR)
    candidate.precision = GPUPrecision::F32;
  bool isOfTensorCores = precision == GPUPrecision::TF32 || precision == GPUPrecision::I8;
  if ((kind == GPUKernelKind::BlockCSR || kind == GPUKernelKind::Columns) && isOfTensorCores)
    candidate.precision = GPUPrecision::F32;
  candidate.refusal = refuse(kind, candidate.precision);
  if (!candidate.isPossible())
    return candidate;
  if (kind == GPUKernelKind::CSR)
    candidate.tile = model.chooseCSRTile(layer.tokens, matrix.numRows, matrix.numColumns, density);
  if (kind == GPUKernelKind::Columns)
    candidate.tile = countColumns(*layer.activationDensity, candidate.precision).tile;
  bool isHalf = candidate.precision == GPUPrecision::F16 || candidate.precision == GPUPrecision::BF16;
  if (kind == GPUKernelKind::BlockCSR && isHalf && layer.blockRows % kFragmentSide == 0 &&
      layer.blockColumns % kFragmentSide == 0)
    candidate.tile = model.chooseFragmentTile(layer.tokens, matrix.numRows, matrix.numColumns, density);
  candidate.estimatedNs = estimate(candidate);
  return candidate;
}

double GPUChooser::estimate(const GPUCandidate &candidate) const {
  GPULayerCounts counts;
  switch (candidate.kind) {
  case GPUKernelKind::CSR:
    counts = countGPUWork(packCSR(matrix, candidate.tile), layer.tokens, candidate.precision);
    counts.tile = candidate.tile;
    break;
  case GPUKernelKind::BlockCSR:
    counts = countGPUWork(packBlocks(layer, candidate.tile), layer.tokens, candidate.precision);
    counts.tile = candidate.tile;
    break;
  case GPUKernelKind::Columns:
    counts = countColumns(*layer.activationDensity, candidate.precision);
    break;
  case GPUKernelKind::Matrix:
  case GPUKernelKind::TwoOfFour: {
    bool isHalved = candidate.kind == GPUKernelKind::TwoOfFour;
    counts.kind = candidate.kind;
    counts.precision = candidate.precision;
    counts.tokens = layer.tokens;
    counts.rows = matrix.numRows;
    counts.columns = matrix.numColumns;
    counts.entries = static_cast<double>(matrix.numRows) * matrix.numColumns / (isHalved ? 2 : 1);
    // 2:4 stores two bits more for each value.
    counts.bytes = counts.entries * (static_cast<double>(getElementBytes(candidate.precision)) + (isHalved ? 0.25 : 0));
    break;
  }
  }
  return model.estimate(counts);
}

double GPUChooser::findActivationBreakEven(GPUPrecision precision, double otherNs) const {
  return findBreakEvenDensity(
      [&](double density) { return model.estimate(countColumns(density, precision)) <= otherNs; });
}

GPUChoice GPUChooser::run(std::optional<GPUKernelKind> only) {
  GPUChoice choice;
  if (!matrix.mask.empty())
    density = static_cast<double>(llvm::count_if(matrix.mask, [](uint8_t byte) { return byte != 0; })) /
              static_cast<double>(matrix.mask.size());
  choice.density = density;
  if (std::string why = refusePrecision(); !why.empty()) {
    choice.fallback = llvm::formatv("{0} declined: {1}", stringifyGPUPrecision(precision), why).str();
    precision = GPUPrecision::F32; // which every model has
  }
  choice.candidates.push_back(makeCandidate(GPUKernelKind::Matrix, false));
  for (GPUKernelKind kind : {GPUKernelKind::CSR, GPUKernelKind::BlockCSR, GPUKernelKind::TwoOfFour})
    if (!only || only == kind)
      choice.candidates.push_back(makeCandidate(kind, only.has_value()));
  if (layer.activationDensity && (!only || only == GPUKernelKind::Columns)) {
    double otherNs = std::numeric_limits<double>::infinity();
    for (const GPUCandidate &other : choice.candidates)
      if (other.isPossible())
        otherNs = std::min(otherNs, other.estimatedNs);
    choice.candidates.push_back(makeCandidate(GPUKernelKind::Columns, only.has_value()));
    const GPUCandidate &columns = choice.candidates.back();
    choice.activationDensity = layer.activationDensity;
    if (columns.isPossible())
      choice.activationBreakEven = findActivationBreakEven(columns.precision, otherNs);
  }
  // Possible ones first, then the one that was asked for, then by time.
  auto rank = [&](const GPUCandidate &c) { return std::tuple(!c.isPossible(), only && c.kind != only, c.estimatedNs); };
  llvm::stable_sort(choice.candidates, [&](const GPUCandidate &a, const GPUCandidate &b) { return rank(a) < rank(b); });
  return choice;
}

GPUChoice mlir::prune::chooseGPUStorage(const GPULayer &layer, GPUPrecision precision, const GPUCostModel &model,
                                        std::optional<GPUKernelKind> only) {
  return GPUChooser(layer, precision, model).run(only);
}

std::string GPUChoice::explain(bool wasForced) const {
  auto time = [](const GPUCandidate &candidate) {
    return llvm::formatv("{0:f1} us estimated", candidate.estimatedNs / 1e3).str();
  };
  const GPUCandidate &best = getBest();
  std::string what = llvm::formatv("at density {0:f2}", density);
  std::string breakEven;
  if (activationBreakEven)
    breakEven = llvm::formatv("expected density {0:f2}, {1} break-even {2:f2}", *activationDensity,
                              *activationDensity <= *activationBreakEven ? "below" : "above", *activationBreakEven);
  if (best.kind == GPUKernelKind::Columns)
    what = "skips columns of zero activations: " + breakEven;
  std::string text =
      llvm::formatv("{0} {1} ({2}{3})", best.describe(), what, time(best), wasForced ? ", as asked" : "");
  bool isDense = best.kind == GPUKernelKind::Matrix;
  for (const GPUCandidate &other : llvm::drop_begin(candidates)) {
    StringRef name = other.kind == GPUKernelKind::TwoOfFour ? "2:4" : stringifyGPUKernel(other.kind);
    if (!other.isPossible()) {
      if (other.isNotable)
        text += llvm::formatv("; {0} declined: {1}", name, other.refusal);
    } else if (other.kind == GPUKernelKind::Columns) {
      text += llvm::formatv("; {0} declined: {1} ({2})", other.describe(), breakEven, time(other));
    } else if (isDense) {
      bool usesTensorCores = best.precision != GPUPrecision::F32;
      text += llvm::formatv("; {0} declined at {1:f0} %: dense {2} are faster ({3})", name, 100 * (1 - density),
                            usesTensorCores ? "tensor cores" : "multiply-adds", time(other));
    } else {
      text += llvm::formatv("; {0} declined: slower ({1})", other.describe(), time(other));
    }
  }
  if (!fallback.empty())
    text += "; " + fallback;
  return text;
}
