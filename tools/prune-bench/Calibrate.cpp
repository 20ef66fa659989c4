//===- Calibrate.cpp - prune-bench calibrate -----------------------------------===//
//
// For each register tile that layers can get: compiles layers of several shapes, densities and chunks, times them in
// turn, and fits nanoseconds per counted step to the times.
//
//===----------------------------------------------------------------------===//

#include "Calibrate.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "prune/InitAll.h"
#include "prune/Pipelines/LayerTiming.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"
#include <cmath>
#include <random>
#include <unistd.h>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// One layer to measure.
struct Trial {
  int64_t numRows, numColumns;
  double density; ///< of the weight, or of the activations where zeros are skipped
  int64_t chunk;  ///< 0: all columns
  int64_t batches, lanes;
  std::optional<ConvolutionShape> convolution = std::nullopt;
  int64_t vectors = 0; ///< of the kernel behind a window
};

/// Trials that run one tile alone.
struct TrialGroup {
  KernelTile tile;
  std::vector<Trial> trials;
  int64_t wordColumns = 1; ///< columns of int8 in each column of a trial; 1: f32
};

/// A weight with rows and columns of uneven density, as pruning by magnitude leaves them.
struct RandomLayer {
  std::vector<float> weight;
  std::vector<uint8_t> mask;

  RandomLayer(const Trial &trial, int64_t blockRows) : weight(trial.numRows * trial.numColumns) {
    std::mt19937 engine(static_cast<unsigned>(trial.numRows * 31 + trial.numColumns));
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<double> uniform;
    for (float &value : weight)
      value = normal(engine);
    if (trial.density >= 1)
      return;
    std::vector<double> columnScale(trial.numColumns);
    for (double &scale : columnScale)
      scale = std::exp(0.3 * normal(engine));
    mask.resize(weight.size());
    for (int64_t row = 0; row < trial.numRows; row += blockRows) {
      double rowScale = std::exp(0.3 * normal(engine));
      for (int64_t column = 0; column < trial.numColumns; ++column) {
        bool kept = uniform(engine) < trial.density * rowScale * columnScale[column] / 1.09;
        for (int64_t r = row; r < std::min(trial.numRows, row + blockRows); ++r)
          mask[r * trial.numColumns + column] = kept;
      }
    }
  }
};

int64_t readCacheSize(int name, int64_t otherwise) {
  long size = sysconf(name);
  return size > 0 ? size : otherwise;
}

class Calibration {
public:
  Calibration(const CalibrateOptions &options) : options(options) {}
  int run();

private:
  SmallVector<std::pair<int64_t, int64_t>> getTiles(int64_t rows, bool hasSingleLane) const;
  std::vector<TrialGroup> makeGroups() const;
  TrialGroup makeConvolutions(KernelKind kind) const;
  std::vector<TrialGroup> makeWords() const;
  void measureGroup(const TrialGroup &group);
  int fail(const llvm::Twine &message) {
    llvm::errs() << "prune-bench: " << message << "\n";
    return 1;
  }

  const CalibrateOptions &options;
  DialectRegistry registry;
  CPUTarget target;
  VectorUnits units;
  CostModel model;
  double sumError = 0, worstError = 0;
  int64_t numSamples = 0;
};

} // namespace

/// The lanes and vectors of tiles with groups of `rows` rows: whole registers, narrower ones, a single lane.
SmallVector<std::pair<int64_t, int64_t>> Calibration::getTiles(int64_t rows, bool hasSingleLane) const {
  int64_t lanes = units.bits / 32;
  SmallVector<std::pair<int64_t, int64_t>> tiles;
  for (int64_t vectors = 4; vectors >= 1; vectors /= 2)
    if (getTileVectors(vectors, rows, units.registers) == vectors)
      tiles.emplace_back(lanes, vectors);
  for (int64_t narrow = lanes / 2; narrow >= 4; narrow /= 2)
    tiles.emplace_back(narrow, 1);
  if (hasSingleLane)
    tiles.emplace_back(1, 1);
  return tiles;
}

std::vector<TrialGroup> Calibration::makeGroups() const {
  int64_t lanes = units.bits / 32;
  std::vector<TrialGroup> groups;
  auto add = [&](KernelKind kind, int64_t rows, int64_t tileLanes, int64_t vectors, ArrayRef<double> densities) {
    TrialGroup group{{kind, rows, tileLanes, vectors}, {}};
    bool isWhole = tileLanes == lanes;
    struct Shape {
      int64_t rows, columns;
    };
    SmallVector<Shape> shapes{{384, 384}, {1536, 384}, {384, 1536}, {768, 3072}};
    // Dense weights of those shapes soon leave the second-level cache: what the loops cost shows in small ones.
    if (kind == KernelKind::Dense)
      shapes.append({{96, 384}, {192, 192}, {192, 576}});
    for (Shape shape : shapes) {
      size_t index = 0;
      const int64_t chunks[] = {96, 128, 192, 384, shape.columns};
      for (double density : densities)
        for (const int64_t &chunk : chunks) {
          if (chunk > shape.columns || (&chunk != std::end(chunks) - 1 && chunk == shape.columns))
            continue;
          // Every second combination, all of them over the shapes; dense code has few.
          bool isDense = kind == KernelKind::Dense;
          if (!isDense && (index + shape.rows / 384 + shape.columns / 384) % 2) {
            ++index;
            continue;
          }
          ++index;
          // Panels of one tile, and lanes of which a tile is a part and has to be copied.
          bool isPart = isWhole && index % 4 == 0;
          if (isDense && isWhole)
            group.trials.push_back({shape.rows, shape.columns, density, chunk, 1, 2 * tileLanes * vectors});
          int64_t tokens = tileLanes * vectors;
          if (isPart)
            group.trials.push_back({shape.rows, shape.columns, density, chunk, 1, 2 * tokens});
          else
            group.trials.push_back({shape.rows, shape.columns, density, chunk, isWhole ? 2 : 1, tokens});
        }
    }
    groups.push_back(std::move(group));
  };
  auto addTiles = [&](KernelKind kind, int64_t rows, ArrayRef<double> densities) {
    for (auto [tileLanes, vectors] : getTiles(rows, /*hasSingleLane=*/kind != KernelKind::Dense))
      add(kind, rows, tileLanes, vectors, densities);
  };
  auto wants = [&](KernelKind kind) {
    return options.kinds.empty() || StringRef(options.kinds).contains(stringifyKernelKind(kind));
  };
  if (wants(KernelKind::ChunkedCSR))
    addTiles(KernelKind::ChunkedCSR, 2, {0.02, 0.05, 0.1, 0.2, 0.4});
  if (wants(KernelKind::BlockRows))
    for (int64_t rows : {2, 4, 8})
      addTiles(KernelKind::BlockRows, rows, {0.05, 0.2, 0.5});
  if (wants(KernelKind::Dense))
    for (int64_t rows : {6, 12})
      addTiles(KernelKind::Dense, rows, {1.0});
  if (wants(KernelKind::Contract)) {
    TrialGroup group{{KernelKind::Contract, 1, lanes, 1}, {}};
    for (int64_t tokens : {1, 2, 3, 5, 7})
      for (auto [rows, columns] :
           {std::pair<int64_t, int64_t>{384, 384}, {1536, 384}, {384, 1536}, {3072, 768}, {4096, 4096}})
        group.trials.push_back({rows, columns, 1.0, columns, 1, tokens});
    groups.push_back(std::move(group));
  }
  if (wants(KernelKind::Columns)) {
    auto add = [&](KernelKind kind, int64_t tileRows, ArrayRef<int64_t> tokens, ArrayRef<double> densities) {
      TrialGroup group{{kind, tileRows, lanes, 1}, {}};
      for (int64_t number : tokens)
        for (double density : densities)
          for (auto [rows, columns] :
               {std::pair<int64_t, int64_t>{384, 384}, {1536, 384}, {384, 1536}, {3072, 768}, {4096, 4096}})
            group.trials.push_back({rows, columns, density, columns, 1, number});
      groups.push_back(std::move(group));
    };
    add(KernelKind::Columns, 1, {1, 4, 16}, {0.1, 0.3, 0.5, 1.0});
    add(KernelKind::Rows, 1, {1, 4, 16}, {0.1, 0.3, 0.5, 1.0});
    add(KernelKind::AllColumns, 1, {1, 2, 3}, {1.0});
    add(KernelKind::AllColumns, kMostStreamingTokens + 1, {4, 8, 16}, {1.0});
  }
  // The copy of a window after the kernels that use it: what they take is known by then.
  for (KernelKind kind : {KernelKind::Convolution, KernelKind::Depthwise, KernelKind::Window})
    if (wants(kind))
      groups.push_back(makeConvolutions(kind));
  if (units.hasVNNI && (options.kinds.empty() || StringRef(options.kinds).contains("words")))
    llvm::append_range(groups, makeWords());
  return groups;
}

/// Products of words of four columns of int8; the sizes of these trials are in words.
std::vector<TrialGroup> Calibration::makeWords() const {
  int64_t lanes = units.bits / 32;
  std::vector<TrialGroup> groups;
  auto add = [&](KernelKind kind, int64_t rows, int64_t tileLanes, int64_t vectors, ArrayRef<double> densities) {
    TrialGroup group{{kind, rows, tileLanes, vectors}, {}, /*wordColumns=*/4};
    size_t index = 0;
    for (auto [numRows, numColumns] :
         {std::pair<int64_t, int64_t>{96, 96}, {384, 96}, {1536, 96}, {384, 384}, {768, 768}, {2048, 512}})
      for (double density : densities)
        for (int64_t chunk : {int64_t(96), int64_t(192), numColumns}) {
          bool isWhole = chunk == numColumns;
          // Every second combination of what cuts the columns, but all of those whose steps differ most.
          bool isUneven = kind == KernelKind::ChunkedCSR;
          if (chunk > numColumns || (!isWhole && !isUneven && ++index % 2))
            continue;
          int64_t tokens = tileLanes * vectors;
          group.trials.push_back({numRows, numColumns, density, chunk, tileLanes == lanes ? 2 : 1, tokens});
        }
    groups.push_back(std::move(group));
  };
  auto addTiles = [&](KernelKind kind, int64_t rows, ArrayRef<double> densities) {
    for (auto [tileLanes, vectors] : getTiles(rows, /*hasSingleLane=*/true))
      add(kind, rows, tileLanes, vectors, densities);
  };
  // Dense code first, which bounds the steps of the others.
  for (int64_t rows : {6, 12})
    addTiles(KernelKind::Dense, rows, {1.0});
  add(KernelKind::Dense, lanes, 1, 1, {1.0});
  addTiles(KernelKind::ChunkedCSR, 2, {0.03, 0.1, 0.35, 0.6, 0.95});
  for (int64_t rows : {2, 4, 8})
    addTiles(KernelKind::BlockRows, rows, {0.1, 0.4});
  return groups;
}

TrialGroup Calibration::makeConvolutions(KernelKind kind) const {
  int64_t lanes = units.bits / 32;
  TrialGroup group{{kind, 1, lanes, 1}, {}};
  struct Layer {
    int64_t filters, channels, size, kernel, stride, dilation;
  };
  // Those of common networks, and the same at other sizes of the image, so that vectors are full or not.
  const Layer layers[] = {
      {64, 64, 56, 3, 1, 1},   {128, 128, 28, 3, 1, 1}, {256, 256, 14, 3, 1, 1}, {512, 512, 7, 3, 1, 1},
      {32, 32, 64, 3, 1, 1},   {64, 32, 112, 3, 1, 1},  {96, 96, 35, 3, 1, 1},   {64, 128, 56, 3, 2, 1},
      {256, 128, 28, 3, 2, 1}, {512, 256, 14, 3, 2, 1}, {64, 3, 112, 7, 2, 1},   {128, 64, 56, 1, 2, 1},
      {512, 256, 28, 1, 2, 1}, {48, 48, 28, 5, 1, 1},   {24, 48, 20, 5, 1, 1},   {128, 128, 32, 3, 1, 2},
      {192, 192, 16, 3, 1, 2}, {8, 32, 32, 3, 1, 1},    {12, 64, 17, 3, 1, 1},   {4, 16, 64, 5, 1, 1}};
  for (const Layer &layer : layers) {
    bool isDepthwise = kind == KernelKind::Depthwise;
    if (isDepthwise && layer.kernel == 1)
      continue;
    ConvolutionShape convolution;
    int64_t reach = (layer.kernel - 1) * layer.dilation,
            result = (layer.size + reach / 2 * 2 - reach - 1) / layer.stride + 1;
    convolution.kernel = {layer.kernel, layer.kernel};
    convolution.strides = {layer.stride, layer.stride};
    convolution.dilations = {layer.dilation, layer.dilation};
    convolution.low = convolution.high = {reach / 2, reach / 2};
    convolution.input = {layer.size, layer.size};
    convolution.result = {result, result};
    int64_t taps = convolution.getNumTaps(), columns = isDepthwise ? taps : layer.channels * taps;
    if (kind != KernelKind::Window) {
      int64_t rows = isDepthwise ? layer.channels : layer.filters;
      group.trials.push_back({rows, columns, 1.0, columns, 1, result * result, convolution});
      continue;
    }
    // Few filters and entries, so that the copy is most of the time.
    for (int64_t chunk : {96, 384}) {
      chunk = std::min(std::max(chunk / taps, int64_t(1)) * taps, columns);
      for (int64_t vectors : {4, 2})
        group.trials.push_back({16, columns, 0.05, chunk, 1, result * result, convolution, vectors});
    }
  }
  return group;
}

/// Fits constants of which steps take no less than the same multiply-adds in dense code; what a fit explains by other
/// counts would else make dense masks look faster in sparse storage.
static CostArray fitBounded(std::vector<CostSample> &samples, const CostArray &dense) {
  CostArray ns = fitCosts(samples), fixed{};
  for (Cost cost : {Cost::Shared, Cost::Rest}) {
    double least = at(dense, Cost::Rest);
    if (at(ns, cost) == 0 || at(ns, cost) >= least)
      continue;
    at(fixed, cost) = least;
    for (CostSample &sample : samples) {
      sample.knownNs += least * at(sample.counts, cost);
      at(sample.counts, cost) = 0;
    }
    ns = fitCosts(samples);
  }
  for (Cost cost : {Cost::Shared, Cost::Rest})
    at(ns, cost) += at(fixed, cost);
  return ns;
}

void Calibration::measureGroup(const TrialGroup &group) {
  const KernelTile &tile = group.tile;
  bool isOfWords = group.wordColumns > 1;
  llvm::outs() << llvm::formatv("{0,-12} rows {1,2} lanes {2,2} vectors {3}{4}", stringifyKernelKind(tile.kind),
                                tile.rows, tile.lanes, tile.vectors, isOfWords ? " words" : "");
  llvm::outs().flush();
  std::vector<std::unique_ptr<TimedLayer>> layers;
  std::vector<CostSample> samples;
  CostModel counting = isOfWords ? model.forWords() : model;
  for (const Trial &trial : group.trials) {
    int64_t blockRows = tile.kind == KernelKind::BlockRows ? tile.rows : 1;
    bool skips = tile.kind == KernelKind::Columns, skipsResults = tile.kind == KernelKind::Rows,
         isByColumns = skips || skipsResults || tile.kind == KernelKind::AllColumns;
    Trial weightTrial = trial;
    if (isByColumns)
      weightTrial.density = 1;
    RandomLayer weight(weightTrial, blockRows);
    LayerShape shape;
    if (skips)
      shape.activationDensity = trial.density;
    if (skipsResults)
      shape.resultDensity = trial.density;
    shape.matrix = {weight.weight, weight.mask, trial.numRows, trial.numColumns};
    shape.blockRows = blockRows > 1 ? blockRows : 0;
    shape.wordColumns = group.wordColumns;
    bool isWindow = tile.kind == KernelKind::Window;
    LayerCandidate candidate;
    candidate.kind = isWindow ? KernelKind::ChunkedCSR : tile.kind;
    candidate.rows = isWindow ? 2 : tile.rows;
    candidate.chunk = trial.chunk;
    candidate.vectors = isWindow ? trial.vectors : tile.vectors;
    shape.tokens = {trial.batches, trial.lanes, units.bits / 32, units.registers, candidate.vectors, trial.convolution};
    auto layer = TimedLayer::create(registry, shape, candidate, target.cpu, target.features, /*threads=*/1);
    if (!layer) {
      llvm::errs() << "\nprune-bench: " << llvm::toString(layer.takeError()) << "\n";
      continue;
    }
    WeightCounts counts = isByColumns ? countByColumns(tile.kind, trial.numRows, trial.numColumns, trial.density)
                          : candidate.isSparse()
                              ? countWeight(packCandidate(shape, candidate))
                              : countDense(tile.kind, trial.numRows, trial.numColumns, tile.rows, trial.chunk);
    layers.push_back(std::move(*layer));
    // A trial runs one kind of tile only, but for the kernel behind a window, whose constants are there already.
    CostSample sample;
    for (const TileWork &work : counting.countWork(counts, shape.tokens)) {
      if (isWindow && work.tile.kind != KernelKind::Window)
        sample.knownNs += multiply(work.counts, model.getCosts(work.tile).value_or(CostArray{}));
      else if (at(sample.counts, Cost::Call) == 0)
        sample.counts = work.counts;
    }
    samples.push_back(sample);
  }
  std::vector<double> times = timeInTurn(layers, options.rounds, /*leastNs=*/3e5);
  for (auto [sample, time] : llvm::zip(samples, times))
    sample.ns = time;
  CostArray ns;
  if (options.check.empty()) {
    // A call costs far less than any of these layers and would only take up what other counts do not explain.
    constexpr double callNs = 100;
    for (CostSample &sample : samples)
      at(sample.counts, Cost::Call) = 0;
    bool isBounded = isOfWords && tile.kind != KernelKind::Dense && tile.lanes > 1;
    KernelTile denseTile{KernelKind::Dense, tile.rows, tile.lanes, tile.vectors};
    ns = isBounded ? fitBounded(samples, counting.getCosts(denseTile).value_or(CostArray{})) : fitCosts(samples);
    at(ns, Cost::Call) = tile.kind == KernelKind::Window ? 0 : callNs; // that of the kernel behind it
    std::vector<KernelCosts> &kernels = isOfWords ? model.word.kernels : model.kernels;
    llvm::erase_if(kernels, [&](const KernelCosts &costs) { return costs.tile == tile; });
    kernels.push_back({tile, ns});
    if (isOfWords)
      model.word.source = "measured by prune-bench calibrate";
  } else {
    ns = counting.getCosts(tile).value_or(CostArray{});
  }
  double sum = 0, worst = 0;
  for (const CostSample &sample : samples) {
    double error = std::abs((sample.knownNs + multiply(sample.counts, ns)) / sample.ns - 1);
    sum += error;
    worst = std::max(worst, error);
  }
  sumError += sum;
  numSamples += static_cast<int64_t>(samples.size());
  worstError = std::max(worstError, worst);
  llvm::outs() << llvm::formatv(": {0,2} layers, error {1:f1} % on average, {2:f1} % at most\n", samples.size(),
                                100 * sum / std::max<size_t>(1, samples.size()), 100 * worst);
}

int Calibration::run() {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::prune::registerAllDialects(registry);
  auto resolved = resolveTarget(options.cpu, options.features);
  if (!resolved)
    return fail(llvm::toString(resolved.takeError()));
  target = *resolved;
  auto described = describeVectorUnits(target);
  if (!described)
    return fail(llvm::toString(described.takeError()));
  units = *described;
  auto missing = findMissingFeatures(target);
  if (!missing)
    return fail(llvm::toString(missing.takeError()));
  if (!missing->empty())
    return fail("cannot calibrate for cpu '" + options.cpu + "': this machine lacks " + missing->front());
  const std::string &start = options.check.empty() ? options.base : options.check;
  if (!start.empty()) {
    auto loaded = CostModel::load(start);
    if (!loaded)
      return fail(llvm::toString(loaded.takeError()));
    model = std::move(*loaded);
    if (model.lanes != units.bits / 32)
      return fail("cost model '" + start + "': expected " + llvm::Twine(units.bits / 32) +
                  " lanes, as the cpu to calibrate for has, got " + llvm::Twine(model.lanes));
  } else {
    model.cpu = target.cpu;
    model.lanes = units.bits / 32;
    model.machine = llvm::sys::getHostCPUName().str();
    // What streams past a chunk, entries of the weight and sums, takes the rest.
    model.firstLevelBytes = readCacheSize(_SC_LEVEL1_DCACHE_SIZE, model.firstLevelBytes) * 3 / 4;
    model.secondLevelBytes = readCacheSize(_SC_LEVEL2_CACHE_SIZE, model.secondLevelBytes);
  }
  for (const TrialGroup &group : makeGroups())
    measureGroup(group);
  llvm::outs() << llvm::formatv("all: {0} layers, error {1:f1} % on average, {2:f1} % at most\n", numSamples,
                                100 * sumError / std::max<int64_t>(1, numSamples), 100 * worstError);
  if (options.output.empty())
    return 0;
  llvm::Error error = llvm::writeToOutput(options.output, [&](llvm::raw_ostream &os) {
    os << llvm::formatv("{0:1}\n", model.toJSON());
    return llvm::Error::success();
  });
  if (error)
    return fail("cannot write '" + options.output + "': " + llvm::toString(std::move(error)));
  return 0;
}

int mlir::prune::calibrate(const CalibrateOptions &options) { return Calibration(options).run(); }
