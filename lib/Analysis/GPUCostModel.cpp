//===- GPUCostModel.cpp - What a packed layer will take on a GPU ---------------===//

#include "prune/Analysis/GPUCostModel.h"
#include "JSONReader.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace mlir::prune;
using llvm::StringRef;

namespace {
struct BuiltIn {
  StringRef chip, text;
};
} // namespace

static const BuiltIn kBuiltIns[] = {
#include "GPUCostModels.inc"
};

std::optional<GPUPrecision> mlir::prune::parseGPUPrecision(StringRef name) {
  const auto *found = llvm::find(kGPUPrecisionNames, name);
  if (found == std::end(kGPUPrecisionNames))
    return std::nullopt;
  return static_cast<GPUPrecision>(found - kGPUPrecisionNames);
}

int64_t SparseTile::getSharedBytes() const {
  constexpr int64_t quadBytes = 16;
  int64_t activations = quadBytes * vectors * (getCopiedColumns() + 1);
  return std::max(activations, 4 * getNumTokens() * (rows + 1)); // an odd stride keeps banks apart
}

bool SparseTile::isShared() const {
  constexpr int64_t halfSharedBytes = 113 << 10; // of chips with the most
  return getSharedBytes() <= halfSharedBytes;
}

int64_t SparseTile::getNumWarps() const {
  constexpr int64_t warpsOfProcessor = 32;
  int64_t bundles = rows / getRowsOfBundle();
  int64_t warps = std::min(bundles, isShared() ? warpsOfProcessor / 2 : warpsOfProcessor);
  while (bundles % warps != 0)
    --warps;
  return warps;
}

int64_t SparseTile::getStepsAhead() const {
  if (getNumWarps() <= kFewCSRWarps)
    return 4;
  return getBundlesOfWarp() <= 2 ? 2 : 1;
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

llvm::Expected<GPUCostModel> GPUCostModel::parse(StringRef text, StringRef file) {
  llvm::Expected<llvm::json::Value> value = JSONReader::parse(text, file);
  if (!value)
    return value.takeError();
  JSONReader reader(file);
  const llvm::json::Object *root = reader.root(*value);
  GPUCostModel model;
  model.chip = reader.string(*root, "chip", "$");
  model.machine = reader.string(*root, "machine", "$");
  model.processors = reader.count(*root, "processors", "$");
  model.sharedBytes = reader.count(*root, "shared_bytes", "$");
  // A rate of zero would make times infinite.
  auto rate = [&](const llvm::json::Object &object, StringRef key, const llvm::Twine &path) {
    double result = reader.number(object, key, path);
    if (result == 0)
      reader.fail(path + "." + key, "a number above 0", object.get(key));
    return result;
  };
  model.clockGHz = rate(*root, "clock_ghz", "$");
  model.memoryGBps = rate(*root, "memory_gbps", "$");
  model.tileBytesPerCycle = rate(*root, "tile_bytes_per_cycle", "$");
  model.csrEfficiency = rate(*root, "csr_efficiency", "$");
  model.launchNs = reader.number(*root, "launch_ns", "$");
  const llvm::json::Array *kernels = reader.array(*root, "kernels", "$");
  for (size_t i = 0; i < kernels->size() && reader.error.empty(); ++i) {
    std::string path = ("$.kernels[" + llvm::Twine(i) + "]").str();
    const llvm::json::Object *entry = reader.entry(*kernels, i, path);
    GPUKernelRate kernel;
    kernel.kind = static_cast<GPUKernelKind>(reader.choice(*entry, "kind", kGPUKernelNames, path));
    kernel.precision = static_cast<GPUPrecision>(reader.choice(*entry, "precision", kGPUPrecisionNames, path));
    kernel.teraflops = rate(*entry, "tflops", path);
    kernel.tileRows = reader.count(*entry, "tile_rows", path);
    kernel.tileTokens = reader.count(*entry, "tile_tokens", path);
    kernel.leastTokens = reader.count(*entry, "least_tokens", path);
    model.kernels.push_back(kernel);
  }
  if (!model.findRate(GPUKernelKind::Matrix, GPUPrecision::F32))
    reader.fail("$.kernels", "a kernel of kind matrix and precision f32", nullptr);
  if (!reader.error.empty())
    return llvm::createStringError(reader.error);
  return model;
}

llvm::Expected<GPUCostModel> GPUCostModel::load(StringRef chipOrFile) {
  for (const BuiltIn &builtIn : kBuiltIns)
    if (builtIn.chip == chipOrFile)
      return parse(builtIn.text, chipOrFile);
  auto buffer = llvm::MemoryBuffer::getFile(chipOrFile);
  if (!buffer)
    return llvm::createStringError("cost model '" + chipOrFile + "': " + buffer.getError().message() +
                                   ", and the built-in ones are " + llvm::join(getChips(), ", "));
  return parse((*buffer)->getBuffer(), chipOrFile);
}

std::vector<StringRef> GPUCostModel::getChips() {
  std::vector<StringRef> chips;
  for (const BuiltIn &builtIn : kBuiltIns)
    chips.push_back(builtIn.chip);
  return chips;
}

//===----------------------------------------------------------------------===//
// Estimates
//===----------------------------------------------------------------------===//

const GPUKernelRate *GPUCostModel::findRate(GPUKernelKind kind, GPUPrecision precision) const {
  const auto *found = llvm::find_if(kernels, [&](const GPUKernelRate &rate) {
                        return rate.kind == kind && rate.precision == precision;
                      }).base();
  return found == kernels.data() + kernels.size() ? nullptr : found;
}

/// Rounds of blocks of threads that the processors go through.
static double countRounds(int64_t blocks, int64_t processors) {
  // With many blocks the last round overlaps with others.
  int64_t rounds = llvm::divideCeil(blocks, processors);
  return rounds <= 4 ? static_cast<double>(rounds) : static_cast<double>(blocks) / static_cast<double>(processors);
}

/// Cycles of all tiles. Measured on an H200: what copies take adds to what entries take, although both go on side by
/// side.
double GPUCostModel::estimateCSRTile(const GPULayerCounts &counts) const {
  // Of shared memory for a step, and until entries that were asked for are there.
  constexpr double stepCycles = 4.0 * kCSRStep, entryLatency = 380, leastLatency = 120;
  // Of a bundle in a chunk; of a chunk, whose barrier waits for memory; and of a result on its way out.
  constexpr double runCycles = 8, chunkCycles = 400, resultCycles = 1.0 / 32;
  const SparseTile &tile = counts.tile;
  int64_t columns = counts.columns, chunks = llvm::divideCeil(columns, tile.chunk);
  int64_t groups = llvm::divideCeil(counts.rows, tile.rows);
  int64_t blocks = groups * llvm::divideCeil(counts.tokens, tile.getNumTokens());
  int64_t fitting = tile.isShared() && 2 * tile.getSharedBytes() <= sharedBytes ? 2 : 1;
  auto together = static_cast<double>(blocks > processors ? fitting : 1);
  // Eight lanes take different banks; those of several rows may meet.
  double conflicts = tile.vectors == 8 ? 1 : tile.vectors == 4 ? 1.28 : 2;
  double entries = counts.entries / static_cast<double>(groups) * counts.imbalance;
  double steps = entries / static_cast<double>(kCSRStep * tile.getRowsOfBundle());
  double latency = std::max(entryLatency / static_cast<double>(tile.getStepsAhead()), leastLatency);
  auto runs = static_cast<double>(tile.rows / tile.getRowsOfBundle() * chunks);
  double inner = std::max(together * (steps * stepCycles * conflicts + runCycles * runs) / csrEfficiency,
                          steps / static_cast<double>(tile.getNumWarps()) * latency);
  double copy = 4.0 * static_cast<double>(columns * tile.getNumTokens()) / tileBytesPerCycle;
  double results = resultCycles * static_cast<double>(tile.rows * tile.getNumTokens());
  double round = together * (copy + results) + inner + chunkCycles * static_cast<double>(chunks);
  return round * countRounds(blocks, processors * static_cast<int64_t>(together));
}

double GPUCostModel::estimateCSR(const GPULayerCounts &counts) const {
  const SparseTile &tile = counts.tile;
  auto tokens = static_cast<double>(counts.tokens);
  double memoryNs = (counts.bytes + 4.0 * tokens * (counts.rows + counts.columns)) / memoryGBps;
  double cycles;
  if (tile.isByEntry()) {
    // Every lane gathers from its own column: half a load a cycle was seen of the first-level cache.
    constexpr double gatherCycles = 2;
    cycles = counts.imbalance * counts.entries * tokens * gatherCycles / static_cast<double>(processors);
  } else {
    cycles = estimateCSRTile(counts);
  }
  return launchNs + std::max(memoryNs, cycles / clockGHz);
}

double GPUCostModel::estimateColumns(const GPULayerCounts &counts) const {
  // Columns here and there come at so much of the memory's rate, measured on an H200. Latencies of memory and of a list
  // are guesses.
  constexpr double share = 0.72, stepNs = 800, listNs = 300;
  constexpr int64_t blocksOfProcessor = 4, listColumns = 2048;
  const SparseTile &tile = counts.tile;
  auto tokens = static_cast<double>(counts.tokens), rows = static_cast<double>(counts.rows);
  int64_t chunks = llvm::divideCeil(counts.columns, tile.chunk);
  // With several chunks their sums go through memory, and a second kernel adds them up.
  double bytes =
      counts.bytes + 4 * tokens * (static_cast<double>(counts.columns) + rows * (chunks > 1 ? 2 * chunks : 1));
  double steps = std::ceil(counts.entries / rows / static_cast<double>(chunks * kTileWarps * kColumnsStep));
  double blockNs = steps * stepNs + llvm::divideCeil(tile.chunk, listColumns) * listNs;
  int64_t blocks = llvm::divideCeil(counts.rows, tile.rows) * chunks;
  double rounds = countRounds(blocks, processors * blocksOfProcessor);
  return (chunks > 1 ? 2 : 1) * launchNs + std::max(bytes / (share * memoryGBps), rounds * blockNs);
}

double GPUCostModel::estimateFragments(const GPULayerCounts &counts) const {
  constexpr int64_t fragmentBytes = 512;
  const SparseTile &tile = counts.tile;
  int64_t tileTokens = tile.vectors * kFragmentTokens;
  auto tokenTiles = llvm::divideCeil(counts.tokens, tileTokens);
  double fragments = counts.entries / (kFragmentSide * kFragmentSide);
  double tokenBytes = 2.0 * static_cast<double>(tileTokens);
  double memoryNs = (counts.bytes + 2.0 * counts.tokens * (counts.rows + counts.columns)) / memoryGBps;
  // Rates of an H200, which the measured times of tiles follow within a tenth.
  double cycles;
  if (tile.rows == kFragmentSide) {
    // Every block reads its activations: bytes of the second-level cache.
    constexpr double cacheBytes = 18, leastCycles = 600;
    double bytes = fragments * tokenTiles * (fragmentBytes + kFragmentSide * tokenBytes);
    // Blocks of threads that leave processors idle.
    double busy = std::min(1.0, static_cast<double>(llvm::divideCeil(counts.rows, kFragmentSide) * tokenTiles) /
                                    (2.0 * static_cast<double>(processors)));
    cycles = leastCycles + bytes / (cacheBytes * static_cast<double>(processors) * busy);
  } else {
    // Copies, fragments from the cache, activations from shared memory, and what no other block of threads hides; but
    // chunks do not come faster one after the other.
    constexpr double copiedBytes = 64, cacheBytes = 32, sharedRate = 128, fixedCycles = 4000, chunkCycles = 1200;
    int64_t groups = llvm::divideCeil(counts.rows, tile.rows);
    double ofGroup = fragments / static_cast<double>(groups);
    double block = fixedCycles + tokenBytes * static_cast<double>(counts.columns) / copiedBytes +
                   ofGroup * (fragmentBytes / cacheBytes + kFragmentSide * tokenBytes / sharedRate);
    block = std::max(block, chunkCycles * static_cast<double>(llvm::divideCeil(counts.columns, tile.chunk)));
    cycles = block * countRounds(groups * tokenTiles, processors);
  }
  return launchNs + std::max(memoryNs, cycles / clockGHz);
}

GPULayerCounts GPUCostModel::countColumns(int64_t tokens, int64_t rows, int64_t columns, double density,
                                          GPUPrecision precision) const {
  GPULayerCounts best;
  best.kind = GPUKernelKind::Columns;
  best.precision = precision;
  best.tokens = tokens;
  best.rows = rows;
  best.columns = columns;
  // A column is read if any of the tokens needs it.
  double read = 1 - std::pow(1 - density, static_cast<double>(tokens));
  best.entries = read * static_cast<double>(rows) * static_cast<double>(columns);
  int64_t elementBytes = getElementBytes(precision);
  best.bytes = static_cast<double>(elementBytes) * best.entries;
  // Lanes as wide as their loads and sums may be: narrower ones make more blocks, but none of them is done earlier.
  constexpr int64_t loadBytes = 16, leastChunk = 64;
  int64_t width = loadBytes / elementBytes;
  while (width * tokens > kMostColumnsSums)
    width /= 2;
  double bestNs = std::numeric_limits<double>::infinity();
  for (int64_t chunks = 1; chunks <= kMostColumnsChunks; chunks *= 2) {
    if (chunks > 1 && columns / chunks < leastChunk)
      break;
    GPULayerCounts counts = best;
    int64_t chunk = llvm::alignTo(llvm::divideCeil(columns, chunks), kWarpThreads);
    counts.tile = {0, width * kWarpThreads, std::min(chunk, columns)};
    double ns = estimateColumns(counts);
    if (ns < bestNs) {
      bestNs = ns;
      best.tile = counts.tile;
    }
  }
  return best;
}

double GPUCostModel::estimate(const GPULayerCounts &counts) const {
  if (counts.kind == GPUKernelKind::CSR)
    return estimateCSR(counts);
  if (counts.kind == GPUKernelKind::Columns)
    return estimateColumns(counts);
  const GPUKernelRate *rate = findRate(counts.kind, counts.precision);
  if (!rate)
    return std::numeric_limits<double>::infinity();
  auto tokens = static_cast<double>(counts.tokens);
  auto elementBytes = static_cast<double>(getElementBytes(counts.precision));
  // A pass that reads f32 and writes what is narrower.
  double convertNs = elementBytes < 4 ? launchNs + (4 + elementBytes) * tokens * counts.columns / memoryGBps : 0;
  if (counts.kind == GPUKernelKind::BlockCSR && counts.tile.vectors != 0)
    return convertNs + estimateFragments(counts);
  if (counts.precision != GPUPrecision::I8 && suitsWarpGroups(counts))
    return convertNs + estimateWarpGroups(counts);
  // Fewer tokens than a tile of tensor cores cost as much as one.
  constexpr int64_t leastTile = 16;
  int64_t blocks = llvm::divideCeil(counts.rows, rate->tileRows) * llvm::divideCeil(counts.tokens, rate->tileTokens);
  double busy = static_cast<double>(blocks) / (countRounds(blocks, processors) * static_cast<double>(processors));
  double flops = 2.0 * counts.entries * llvm::alignTo(counts.tokens, leastTile);
  double computeNs = flops / (rate->teraflops * 1e3 * std::max(busy, 1.0 / static_cast<double>(processors)));
  double activationBytes = tokens * (elementBytes * counts.columns + 4.0 * counts.rows);
  // Where few tokens leave processors idle, the kernel splits differently and the memory decides.
  double memoryNs = (counts.bytes + activationBytes) / memoryGBps;
  if (counts.tokens <= leastTile)
    computeNs = std::min(computeNs, 2 * memoryNs);
  return launchNs + convertNs + std::max(computeNs, memoryNs);
}

double GPUCostModel::getPartsNs(int64_t splits, int64_t results) const {
  constexpr double sumBytes = 8; // four written, four read
  return launchNs + sumBytes * static_cast<double>(splits * results) / memoryGBps;
}

int64_t GPUCostModel::chooseColumnSplits(int64_t blocks, int64_t together, int64_t columnTiles, double blockNs,
                                         int64_t results) const {
  constexpr int64_t leastTiles = 2; // in flight at once
  int64_t best = 1, most = std::min(together * processors / blocks, columnTiles / leastTiles);
  double bestNs = 0;
  for (int64_t splits = 1; splits <= std::max<int64_t>(most, 1); ++splits) {
    double share = static_cast<double>(llvm::divideCeil(columnTiles, splits)) / static_cast<double>(columnTiles);
    double ns = blockNs * share;
    if (splits > 1)
      ns += getPartsNs(splits, results);
    if (splits == 1 || ns < bestNs) {
      best = splits;
      bestNs = ns;
    }
  }
  return best;
}

SparseTile GPUCostModel::chooseCSRTile(int64_t tokens, int64_t rows, int64_t columns, double density) const {
  GPULayerCounts counts;
  counts.kind = GPUKernelKind::CSR;
  counts.tokens = tokens;
  counts.rows = rows;
  counts.columns = columns;
  auto setEntries = [&](const SparseTile &tile) {
    int64_t chunks = llvm::divideCeil(columns, tile.chunk);
    double runs = static_cast<double>(llvm::alignTo(rows, tile.rows) * chunks);
    double length = density * static_cast<double>(rows * columns) / runs;
    // A run of n entries is padded by (step - 1) / 2 of them on average, an empty one by none.
    double padding = (kCSRStep - 1) / 2.0 * (1 - std::exp(-length));
    // The longest of several random rows is longer by so many deviations, and choosing similar ones saves half of it.
    if (!tile.isByEntry())
      padding += 0.5 * (0.2 + 0.4 * std::log2(tile.getRowsOfBundle())) * std::sqrt(length * (1 - density));
    counts.entries = runs * (length + padding);
    counts.bytes = 6 * counts.entries;
  };
  SparseTile best;
  double bestNs = std::numeric_limits<double>::infinity();
  auto consider = [&](const SparseTile &tile) {
    counts.tile = tile;
    setEntries(tile);
    double ns = estimateCSR(counts);
    if (ns < bestNs) {
      bestNs = ns;
      best = tile;
    }
  };
  constexpr int64_t mostTokensByEntry = 8, maxChunk = 65536, mostBundlesOfWarp = 8;
  if (tokens <= mostTokensByEntry && columns <= maxChunk)
    consider({0, 1, columns});
  for (int64_t vectors : {8, 4, 2})
    for (int64_t bundles : {256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4})
      // Chunks as long as fit, for one block of threads on a processor or for two.
      for (int64_t blocks : {1, 2}) {
        SparseTile tile{vectors, bundles * (kWarpThreads / vectors), columns};
        for (int64_t chunks = 2; tile.getSharedBytes() > sharedBytes / blocks && tile.chunk > kWarpThreads; ++chunks)
          tile.chunk = llvm::alignTo(llvm::divideCeil(columns, chunks), kWarpThreads);
        if (tile.getSharedBytes() <= sharedBytes && tile.getBundlesOfWarp() <= mostBundlesOfWarp)
          consider(tile);
      }
  return best;
}

SparseTile GPUCostModel::chooseFragmentTile(int64_t tokens, int64_t rows, int64_t columns, double density) const {
  GPULayerCounts counts;
  counts.kind = GPUKernelKind::BlockCSR;
  counts.precision = GPUPrecision::F16;
  counts.tokens = tokens;
  counts.rows = rows;
  counts.columns = columns;
  counts.entries = density * static_cast<double>(rows) * static_cast<double>(columns);
  SparseTile best;
  double bestNs = std::numeric_limits<double>::infinity();
  auto consider = [&](int64_t tileRows, int64_t tileTokens, int64_t chunk) {
    counts.tile = {tileTokens / kFragmentTokens, tileRows, chunk};
    double ns = estimateFragments(counts);
    if (ns < bestNs) {
      bestNs = ns;
      best = counts.tile;
    }
  };
  constexpr int64_t mostTokens = 512, mostCoordinate = 1 << 16;
  if (tokens <= mostTokens && columns <= mostCoordinate * kFragmentSide)
    for (int64_t tileTokens : {32, 16, 8})
      if (tileTokens == 8 || tileTokens / 2 < tokens)
        consider(kFragmentSide, tileTokens, llvm::alignTo(columns, kFragmentSide));
  // Copies come in 64 columns. A chunk of a tile, and a fragment's sums of all warps, fit in shared memory.
  constexpr int64_t mostColumns = 256, columnUnit = 64, halfBytes = 2, padding = 8, sumBytesOfRow = 32;
  for (int64_t tileTokens : {128, 96, 64, 48, 32})
    for (int64_t tileRows : {256, 384}) {
      auto fits = [&](int64_t chunk) {
        return tileTokens * (chunk + padding) * halfBytes + tileRows * sumBytesOfRow <= sharedBytes;
      };
      int64_t chunk = std::min<int64_t>(mostColumns, llvm::alignTo(columns, columnUnit));
      while (chunk > columnUnit && !fits(chunk))
        chunk = llvm::alignTo(chunk / 2, columnUnit);
      // More sums for each thread, or more threads, than there are registers for.
      constexpr int64_t mostSums = 256 * 128;
      if (tileRows * tileTokens <= mostSums && fits(chunk))
        consider(tileRows, tileTokens, chunk);
    }
  return best;
}
