//===- LayerChoice.cpp - Which code a layer gets -------------------------------===//

#include "prune/Conversion/PruneToSparseTensor/LayerChoice.h"
#include "BreakEven.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

std::string LayerCandidate::describe() const {
  switch (kind) {
  case KernelKind::Contract:
    return "dense, by linalg.contract";
  case KernelKind::Convolution:
    return "dense, by the loops of a convolution";
  case KernelKind::Depthwise:
    return "dense, by prune.depthwise";
  case KernelKind::Dense:
    return llvm::formatv("dense, {0} rows, chunk {1}, {2} vectors", rows, chunk, vectors).str();
  case KernelKind::ChunkedCSR:
    return llvm::formatv("chunked_csr, chunk {0}, {1} vectors", chunk, vectors).str();
  case KernelKind::BlockRows:
    return llvm::formatv("block_rows, {0} rows, chunk {1}, {2} vectors", rows, chunk, vectors).str();
  case KernelKind::Columns:
    return "columns of nonzero activations";
  case KernelKind::Rows:
    return "rows of results that are kept";
  case KernelKind::AllColumns:
    return "dense, by columns";
  case KernelKind::Window:
    break; // a part of others
  }
  llvm_unreachable("covered switch");
}

WeightCounts mlir::prune::countWeight(const PackedWeight &packed) {
  WeightCounts counts;
  counts.numRows = packed.numRows;
  counts.numColumns = packed.numColumns;
  counts.rows = packed.rows;
  counts.chunk = packed.chunk;
  counts.bytes = static_cast<double>(packed.getNumBytes());
  auto addRun = [&](int64_t length, int64_t step) {
    counts.rest += length / step * step;
    counts.single += length % step;
  };
  switch (packed.format) {
  case StorageFormat::Dense: {
    return countDense(KernelKind::Dense, packed.numRows, packed.numColumns, packed.rows, packed.chunk);
  }
  case StorageFormat::ChunkedCSR:
    counts.kind = KernelKind::ChunkedCSR;
    for (size_t pair = 0; pair < packed.sharedCounts.size(); ++pair) {
      counts.shared += packed.sharedCounts[pair];
      addRun((packed.positions[pair + 1] - packed.positions[pair]) / 2 - packed.sharedCounts[pair],
             kEntriesPerStep / 2);
    }
    counts.groups = packed.sharedCounts.size();
    return counts;
  case StorageFormat::BlockRows:
    counts.kind = KernelKind::BlockRows;
    for (size_t block = 0; block + 1 < packed.positions.size(); ++block)
      addRun(packed.positions[block + 1] - packed.positions[block], kEntriesPerStep);
    counts.groups = packed.rowOrder.size();
    return counts;
  default:
    llvm_unreachable("no cost model for this format");
  }
}

WeightCounts mlir::prune::countDense(KernelKind kind, int64_t numRows, int64_t numColumns, int64_t rows,
                                     int64_t chunk) {
  WeightCounts counts;
  counts.kind = kind;
  counts.numRows = numRows;
  counts.numColumns = numColumns;
  counts.rows = rows;
  counts.chunk = chunk;
  if (kind == KernelKind::Contract || kind == KernelKind::Convolution || kind == KernelKind::Depthwise) {
    counts.rest = static_cast<double>(numRows) * numColumns;
    counts.bytes = 4.0 * numRows * numColumns;
    return counts;
  }
  int64_t groups = (numRows + rows - 1) / rows;
  counts.groups = static_cast<double>(groups * counts.getNumChunks());
  counts.rest = static_cast<double>(groups) * (numColumns / kEntriesPerStep * kEntriesPerStep);
  counts.single = static_cast<double>(groups) * (numColumns % kEntriesPerStep);
  counts.bytes = 4.0 * groups * rows * numColumns;
  return counts;
}

WeightCounts mlir::prune::countByColumns(KernelKind kind, int64_t numRows, int64_t numColumns, double density) {
  WeightCounts counts;
  counts.kind = kind;
  counts.numRows = numRows;
  counts.numColumns = numColumns;
  counts.rest = static_cast<double>(numRows) * numColumns * density;
  counts.bytes = 4 * counts.rest;
  return counts;
}

PackedWeight mlir::prune::packCandidate(const LayerShape &shape, const LayerCandidate &candidate) {
  switch (candidate.kind) {
  case KernelKind::Dense:
    return packDense(shape.matrix, candidate.rows);
  case KernelKind::ChunkedCSR:
    return packChunkedCSR(shape.matrix, candidate.chunk);
  case KernelKind::BlockRows:
    return packBlockRows(shape.matrix, candidate.rows, candidate.chunk);
  default:
    return {}; // the weight stays as it is
  }
}

namespace {

class Chooser {
public:
  Chooser(const LayerShape &shape, const CostModel &model, const ChoiceOptions &options)
      : shape(shape), model(model), options(options) {}
  LayerChoice run();

private:
  TokenShape withVectors(int64_t vectors) const {
    TokenShape tokens = shape.tokens;
    tokens.vectors = vectors;
    return tokens;
  }
  void addDense();
  void addSparse();
  void addDynamic();
  void addTiles(KernelKind kind, const WeightCounts &counts, ArrayRef<int64_t> vectors);
  SmallVector<int64_t> getVectors(int64_t rows) const;
  SmallVector<int64_t> getChunks() const;
  WeightCounts countOtherChunk(const WeightCounts &known, int64_t chunk) const;
  std::optional<double> findBreakEven(const LayerCandidate &sparse, const LayerCandidate &dense);
  double estimateByColumns(KernelKind kind, double density) const {
    return model.estimate(countByColumns(kind, shape.matrix.numRows, shape.matrix.numColumns, density), withVectors(1));
  }
  std::optional<double> findDensity(KernelKind kind, double otherNs) const;
  void measure();

  const LayerShape &shape;
  const CostModel &model;
  const ChoiceOptions &options;
  LayerChoice choice;
  std::vector<WeightCounts> counts; ///< of each candidate, before sorting
};

} // namespace

/// Different widths of the register tile, widest first, without those that would run the same code.
SmallVector<int64_t> Chooser::getVectors(int64_t rows) const {
  if (options.vectors)
    return {options.vectors};
  int64_t lanes = getTileLanes(shape.tokens.lanes, shape.tokens.registerLanes);
  int64_t useful = (shape.tokens.lanes + lanes - 1) / lanes;
  SmallVector<int64_t> result;
  for (int64_t vectors = getTileVectors(shape.tokens.vectors, rows, shape.tokens.registers); vectors >= 1; vectors /= 2)
    if (vectors == 1 || vectors / 2 < useful)
      result.push_back(vectors);
  return result;
}

SmallVector<int64_t> Chooser::getChunks() const {
  constexpr int64_t maxChunk = 65536; // 16-bit offsets
  int64_t columns = shape.matrix.numColumns, unit = 1, most = maxChunk;
  if (const auto &convolution = shape.tokens.convolution) {
    // Whole channels, and a buffer of columns that fits on the stack of a thread.
    constexpr int64_t maxBuffer = 1536;
    unit = convolution->getNumTaps();
    most = std::max(maxBuffer / unit, int64_t(1)) * unit;
  }
  if (options.chunk)
    return {std::min(std::max(options.chunk / unit, int64_t(1)) * unit, columns)};
  SmallVector<int64_t> chunks;
  for (int64_t chunk : {96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096}) {
    chunk = std::max(chunk / unit, int64_t(1)) * unit;
    if (chunk >= std::min(columns, most))
      break;
    if (chunks.empty() || chunks.back() != chunk)
      chunks.push_back(chunk);
  }
  chunks.push_back(std::min(columns, most));
  return chunks;
}

void Chooser::addTiles(KernelKind kind, const WeightCounts &weight, ArrayRef<int64_t> vectors) {
  for (int64_t width : vectors) {
    LayerCandidate candidate;
    candidate.kind = kind;
    candidate.rows = weight.rows;
    candidate.chunk = weight.chunk;
    candidate.vectors = width;
    candidate.estimatedNs = model.estimate(weight, withVectors(width));
    choice.candidates.push_back(candidate);
    counts.push_back(weight);
  }
}

void Chooser::addDense() {
  int64_t numRows = shape.matrix.numRows, numColumns = shape.matrix.numColumns;
  const std::optional<ConvolutionShape> &convolution = shape.tokens.convolution;
  if (convolution && options.allowContract) {
    WeightCounts whole = countDense(KernelKind::Convolution, numRows, numColumns, 1, numColumns);
    whole.rest /= static_cast<double>(convolution->groups);
    whole.bytes /= static_cast<double>(convolution->groups);
    addTiles(KernelKind::Convolution, whole, {1});
  }
  if (convolution && convolution->groups > 1)
    return; // packed, it would multiply with all channels
  bool isContract = !convolution && options.allowContract && shape.tokens.lanes < options.contractLanes;
  if (isContract) {
    addTiles(KernelKind::Contract, countDense(KernelKind::Contract, numRows, numColumns, 1, numColumns), {1});
    // What is only derived would win or lose by chance.
    if (shape.allowsColumns && model.isMeasured(KernelKind::AllColumns))
      addTiles(KernelKind::AllColumns, countByColumns(KernelKind::AllColumns, numRows, numColumns, 1), {1});
  }
  if (isContract && shape.tokens.lanes == 1)
    return; // one value of the weight for each load
  constexpr int64_t usualRows = 6;
  SmallVector<int64_t> groups{std::min(options.denseRows ? options.denseRows : usualRows, numRows)};
  // One token of words: the rows of a group are the lanes of a register.
  if (!options.denseRows && shape.wordColumns > 1 && shape.tokens.lanes == 1 && shape.tokens.registerLanes <= numRows) {
    for (int64_t chunk : getChunks())
      addTiles(KernelKind::Dense, countDense(KernelKind::Dense, numRows, numColumns, shape.tokens.registerLanes, chunk),
               {1});
    return;
  }
  // Lanes of one vector leave registers for more rows. More lanes are better served by two vectors side by side, which
  // share what is loaded of the weight.
  int64_t tileLanes = getTileLanes(shape.tokens.lanes, shape.tokens.registerLanes);
  if (!options.denseRows && 2 * usualRows <= numRows && shape.tokens.lanes <= tileLanes)
    groups.push_back(2 * usualRows);
  for (int64_t rows : groups) {
    SmallVector<int64_t> vectors = getVectors(rows);
    if (!options.denseRows && rows > usualRows)
      vectors = {vectors.back()};
    for (int64_t chunk : getChunks())
      addTiles(KernelKind::Dense, countDense(KernelKind::Dense, numRows, numColumns, rows, chunk), vectors);
  }
}

/// Counts for another chunk without packing for it: entries as they are, with the share that `known` could pair.
WeightCounts Chooser::countOtherChunk(const WeightCounts &known, int64_t chunk) const {
  WeightCounts result = known;
  result.chunk = chunk;
  double groupsPerChunk = known.groups / known.getNumChunks();
  result.groups = groupsPerChunk * result.getNumChunks();
  // What does not fill a step depends on the number of runs, not on their length.
  double perRun = known.groups ? std::min(known.single / known.groups, 1.5) : 0;
  double entries = known.rest + known.single;
  result.single = std::min(entries, perRun * result.groups);
  result.rest = entries - result.single;
  return result;
}

void Chooser::addSparse() {
  SmallVector<int64_t> chunks = getChunks();
  auto add = [&](KernelKind kind, int64_t rows) {
    // Packing takes time: pack for the chunk in the middle and work out the others.
    LayerCandidate sample;
    sample.kind = kind;
    sample.rows = rows;
    sample.chunk =
        *llvm::min_element(chunks, [](int64_t a, int64_t b) { return std::abs(a - 256) < std::abs(b - 256); });
    WeightCounts known = countWeight(packCandidate(shape, sample));
    for (int64_t chunk : chunks)
      addTiles(kind, chunk == sample.chunk ? known : countOtherChunk(known, chunk), getVectors(rows));
  };
  if (shape.blockRows > 1)
    add(KernelKind::BlockRows, shape.blockRows);
  else
    add(KernelKind::ChunkedCSR, 2);
}

/// The density at which the line through the sparse estimates of this mask and of half its entries meets the dense one.
std::optional<double> Chooser::findBreakEven(const LayerCandidate &sparse, const LayerCandidate &dense) {
  const WeightCounts &full = counts[&sparse - choice.candidates.data()];
  WeightCounts half = full;
  for (double *entries : {&half.shared, &half.rest, &half.single, &half.bytes})
    *entries /= 2;
  double halfNs = model.estimate(half, withVectors(sparse.vectors));
  double slope = (sparse.estimatedNs - halfNs) / (choice.density / 2);
  if (!(slope > 0) || !std::isfinite(dense.estimatedNs))
    return std::nullopt;
  return std::clamp(choice.density + (dense.estimatedNs - sparse.estimatedNs) / slope, 0.0, 1.0);
}

void Chooser::addDynamic() {
  auto add = [&](KernelKind kind, std::optional<double> density) {
    if (density)
      addTiles(kind, countByColumns(kind, shape.matrix.numRows, shape.matrix.numColumns, *density), {1});
  };
  add(KernelKind::Columns, shape.activationDensity);
  add(KernelKind::Rows, shape.resultDensity);
}

/// The largest density with which code of this kind takes at most `otherNs`.
std::optional<double> Chooser::findDensity(KernelKind kind, double otherNs) const {
  if (!std::isfinite(otherNs) || !std::isfinite(estimateByColumns(kind, 1)))
    return std::nullopt;
  return findBreakEvenDensity([&](double density) { return estimateByColumns(kind, density) <= otherNs; });
}

void Chooser::measure() {
  // The best by estimate, the best of each kind among them.
  std::vector<LayerCandidate> &all = choice.candidates;
  SmallVector<size_t> picked;
  auto pick = [&](size_t i) {
    if (!llvm::is_contained(picked, i))
      picked.push_back(i);
  };
  for (KernelKind kind : kKernelKinds) {
    auto *first = llvm::find_if(all, [&](const LayerCandidate &c) { return c.kind == kind; }).base();
    if (first != all.data() + all.size())
      pick(first - all.data());
  }
  for (size_t i = 0; i < all.size() && picked.size() < options.numMeasured; ++i)
    pick(i);
  std::vector<LayerCandidate> trials;
  for (size_t i : picked)
    trials.push_back(all[i]);
  std::vector<double> times = options.measure(shape, trials);
  for (auto [i, ns] : llvm::zip(picked, times))
    if (std::isfinite(ns))
      all[i].measuredNs = ns;
  llvm::stable_sort(all, [](const LayerCandidate &a, const LayerCandidate &b) {
    if (a.measuredNs.has_value() != b.measuredNs.has_value())
      return a.measuredNs.has_value();
    return a.measuredNs ? *a.measuredNs < *b.measuredNs : a.estimatedNs < b.estimatedNs;
  });
}

double mlir::prune::getDensity(const LayerShape &shape) {
  if (shape.matrix.mask.empty())
    return 1.0;
  int64_t groups = shape.tokens.convolution ? shape.tokens.convolution->groups : 1;
  int64_t size = shape.matrix.numRows * shape.matrix.numColumns / groups;
  int64_t kept = llvm::count_if(shape.matrix.mask, [](uint8_t byte) { return byte != 0; });
  return static_cast<double>(kept) / static_cast<double>(size);
}

bool mlir::prune::isFasterByRows(const CostModel &model, const WeightCounts &weight, const TokenShape &tokens,
                                 int64_t threads) {
  constexpr double regionNs = 2000, leastGain = 0.9;
  if (threads < 2)
    return false;
  double byTiles = 0, byRows = regionNs * static_cast<double>(weight.getNumChunks());
  for (const TileWork &work : model.countWork(weight, tokens)) {
    std::optional<CostArray> ns = model.getCosts(work.tile);
    if (!ns)
      return false;
    double total = multiply(work.counts, *ns);
    // Every thread copies what all rows read.
    bool isCopy = work.tile.kind == KernelKind::Window;
    double copy = isCopy ? total : at(work.counts, Cost::Column) * at(*ns, Cost::Column);
    int64_t turns = (work.tiles + threads - 1) / threads;
    byTiles += total * static_cast<double>(turns) / static_cast<double>(work.tiles);
    byRows += copy + (total - copy) / static_cast<double>(threads);
  }
  return byRows < leastGain * byTiles;
}

LayerChoice Chooser::run() {
  choice.density = getDensity(shape);
  if (options.allowDense)
    addDense();
  if (options.allowSparse)
    addSparse();
  if (options.allowDynamic)
    addDynamic();
  auto better = [](const LayerCandidate &a, const LayerCandidate &b) { return a.estimatedNs < b.estimatedNs; };
  LayerCandidate *sparse = nullptr, *dense = nullptr;
  for (LayerCandidate &candidate : choice.candidates) {
    if (candidate.skipsActivations() || candidate.skipsResults())
      continue;
    LayerCandidate *&best = candidate.isSparse() ? sparse : dense;
    if (!best || better(candidate, *best))
      best = &candidate;
  }
  choice.activationDensity = shape.activationDensity;
  choice.resultDensity = shape.resultDensity;
  double otherNs = std::min(sparse ? sparse->estimatedNs : INFINITY, dense ? dense->estimatedNs : INFINITY);
  if (shape.activationDensity && options.allowDynamic) {
    choice.activationBreakEven = findDensity(KernelKind::Columns, otherNs);
    if (shape.getNumTokens() > 1) // one token takes the same loops either way
      choice.mostSkipped = findDensity(KernelKind::Columns, estimateByColumns(KernelKind::AllColumns, 1)).value_or(1);
  }
  if (shape.resultDensity && options.allowDynamic)
    choice.resultBreakEven = findDensity(KernelKind::Rows, otherNs);
  if (sparse && dense && choice.density > 0)
    choice.breakEven = findBreakEven(*sparse, *dense);
  llvm::stable_sort(choice.candidates, better);
  if (options.measure)
    measure();
  const LayerCandidate &best = choice.getBest();
  choice.packed = packCandidate(shape, best);
  if (best.isSparse() || best.kind == KernelKind::Dense) {
    WeightCounts known = countWeight(choice.packed);
    known.chunk = best.chunk;
    choice.splitsRows = isFasterByRows(model, known, withVectors(best.vectors), options.threads);
  }
  return std::move(choice);
}

LayerChoice mlir::prune::chooseLayer(const LayerShape &shape, const CostModel &model, const ChoiceOptions &options) {
  return Chooser(shape, model, options).run();
}

static std::string describeTime(const LayerCandidate &candidate) {
  if (candidate.measuredNs)
    return llvm::formatv("{0:f1} us measured, {1:f1} estimated", *candidate.measuredNs / 1e3,
                         candidate.estimatedNs / 1e3)
        .str();
  return llvm::formatv("{0:f1} us estimated", candidate.estimatedNs / 1e3).str();
}

std::string LayerChoice::explain() const {
  const LayerCandidate &best = getBest();
  std::string text;
  if (best.skipsActivations() || best.skipsResults())
    text = llvm::formatv("{0}, density {1:f2} of them ({2})", best.describe(),
                         best.skipsResults() ? *resultDensity : *activationDensity, describeTime(best));
  else if (!best.isSparse() && breakEven && density > *breakEven)
    text = llvm::formatv("dense because density {0:f2} is above break-even {1:f2} for this shape and target: {2} ({3})",
                         density, *breakEven, best.describe(), describeTime(best));
  else
    text = llvm::formatv("{0} at density {1:f2} ({2})", best.describe(), density, describeTime(best));
  // The best of the other side, or just the second.
  const LayerCandidate *second = nullptr;
  for (const LayerCandidate &candidate : llvm::drop_begin(candidates))
    if (!second || (second->isSparse() == best.isSparse() && candidate.isSparse() != best.isSparse()))
      second = &candidate;
  if (splitsRows)
    text += "; threads share its rows";
  auto addBreakEven = [&](StringRef what, bool isTaken, std::optional<double> density, std::optional<double> most) {
    if (most)
      text += llvm::formatv("; {0}skipping {1} pays below density {2:f2}",
                            isTaken ? "" : llvm::formatv("density {0:f2}: ", *density).str(), what, *most);
  };
  addBreakEven("zeros of the activations", best.skipsActivations(), activationDensity, activationBreakEven);
  addBreakEven("pruned results", best.skipsResults(), resultDensity, resultBreakEven);
  if (best.skipsActivations() && mostSkipped < 1)
    text += llvm::formatv("; dense by columns in calls with a density above {0:f2}", mostSkipped);
  if (second)
    text += "; next " + second->describe() + " (" + describeTime(*second) + ")";
  return text;
}
