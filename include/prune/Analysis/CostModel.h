//===- CostModel.h - What a packed layer will take -------------------*- C++ -*-===//
//
// Predicts the time of a layer from counts of what its loops do and constants of the processor, which
// `prune-bench calibrate` measures. No IR here: the counts come from the packed weight.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_ANALYSIS_COSTMODEL_H
#define PRUNE_ANALYSIS_COSTMODEL_H

#include "prune/Support/Target.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/JSON.h"
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace mlir::prune {

/// The code that computes a layer: `linalg.contract` or a convolution left to the general loops, `prune.depthwise`, or
/// one of the formats of `prune.linear`. `Window` is the copy that feeds the latter the activations of a convolution,
/// `Columns` are `prune.list_nonzeros` and `prune.sum_columns`, `Rows` the list of a mask and `prune.multiply_rows`,
/// `AllColumns` is `prune.sum_all_columns`.
enum class KernelKind {
  Contract,
  Convolution,
  Depthwise,
  Dense,
  ChunkedCSR,
  BlockRows,
  Window,
  Columns,
  Rows,
  AllColumns
};
inline constexpr KernelKind kKernelKinds[] = {
    KernelKind::Contract,  KernelKind::Convolution, KernelKind::Depthwise, KernelKind::Dense, KernelKind::ChunkedCSR,
    KernelKind::BlockRows, KernelKind::Window,      KernelKind::Columns,   KernelKind::Rows,  KernelKind::AllColumns};

llvm::StringRef stringifyKernelKind(KernelKind kind);

/// A register tile: what the constants of a cost model belong to.
struct KernelTile {
  KernelKind kind = KernelKind::Dense;
  int64_t rows = 1;
  int64_t lanes = 1;   ///< elements of the registers in use
  int64_t vectors = 1; ///< registers along the tokens

  bool operator==(const KernelTile &other) const {
    return kind == other.kind && rows == other.rows && lanes == other.lanes && vectors == other.vectors;
  }
};

/// Entries that one step of the inner loops takes: as many 16-bit coordinates as a 64-bit load holds. What is left runs
/// one by one.
constexpr int64_t kEntriesPerStep = 4;

/// Elements of the registers that a layer of `numLanes` tokens uses: fewer tokens take a narrower register.
int64_t getTileLanes(int64_t numLanes, int64_t registerLanes);

/// `vectors`, or the largest half, quarter.. of it with which the accumulators of `rows` rows stay in registers.
int64_t getTileVectors(int64_t vectors, int64_t rows, int64_t registers);

/// Tokens up to which a dense product by columns is bound by the stream of the weight.
inline constexpr int64_t kMostStreamingTokens = 3;

/// Multiply-adds, about 5 us of them, below which a parallel region, a microsecond or two, does not pay.
inline constexpr int64_t kMinParallelWork = 100000;

/// What the loops do, by what each costs; docs/Design/2026-11-22-cost-model.md says what kernels of convolutions count.
enum class Cost {
  Shared,  ///< columns that two rows have in common
  Rest,    ///< steps over one column for each row of a group
  Single,  ///< the same in the remainder loop
  Group,   ///< groups of rows, in each chunk
  Partial, ///< groups that load the sums of an earlier chunk
  Column,  ///< columns copied beside each other before the product
  Miss,    ///< loads of activations beyond the first-level cache
  Byte,    ///< bytes of the weight beyond the second-level cache
  Call     ///< layers
};
inline constexpr size_t kNumCosts = 9;
using CostArray = std::array<double, kNumCosts>;

/// Counts of one pass over a packed weight, the same for every tile of tokens.
struct WeightCounts {
  KernelKind kind = KernelKind::Dense;
  int64_t numRows = 0;
  int64_t numColumns = 0;
  int64_t rows = 1;                        ///< of a group
  int64_t chunk = 0;                       ///< columns
  double shared = 0, rest = 0, single = 0; ///< as in `Cost`
  double groups = 0;                       ///< in all chunks
  double bytes = 0;                        ///< of the storage

  int64_t getNumChunks() const { return chunk ? (numColumns + chunk - 1) / chunk : 1; }
};

/// The convolution that a layer is; its weight has a column for each channel and element of the kernel. Names as in
/// `#prune.window`, pairs are rows and columns of the image.
struct ConvolutionShape {
  using Pair = std::array<int64_t, 2>;
  Pair kernel{1, 1}, strides{1, 1}, dilations{1, 1}, low{0, 0}, high{0, 0};
  Pair input{1, 1}, result{1, 1}; ///< pixels
  int64_t groups = 1;             ///< of channels; rows of a group have no entries in the columns of others

  int64_t getNumTaps() const { return kernel[0] * kernel[1]; }
  int64_t getNumInputPixels() const { return input[0] * input[1]; }
};

/// The tokens or pixels of a layer and the registers they meet.
struct TokenShape {
  int64_t batches = 1; ///< products with the same weight, or panels of tokens
  int64_t lanes = 1;   ///< tokens of each
  int64_t registerLanes = 8;
  int64_t registers = 16;
  int64_t vectors = 4; ///< most vectors of a tile
  std::optional<ConvolutionShape> convolution = std::nullopt;
};

/// Runs into which the window copy cuts the pixels of one image: each lies in a tile of `tileLanes` lanes, in a row of
/// the result and in one vector.
int64_t countRuns(const ConvolutionShape &convolution, int64_t tileLanes, int64_t vectorLanes);

/// Constants of one tile, in nanoseconds, in the order of `Cost`.
struct KernelCosts {
  KernelTile tile;
  CostArray ns{};
};

/// What words of int8 columns cost where the target has vpdpbusd: constants of their own where they were measured, else
/// those of columns of f32 times these.
struct WordCosts {
  double step = 1;                     ///< a word multiplied and added, instead of a column
  double column = 2;                   ///< a word brought together from four columns, instead of a column copied
  std::string source = "not measured"; ///< where the numbers are from, for readers
  std::vector<KernelCosts> kernels{};
};

/// Counts of one tile and how often it runs.
struct TileWork {
  KernelTile tile;
  CostArray counts{};
  int64_t tiles = 1; ///< of which each could run on a thread of its own
};

class CostModel {
public:
  std::string cpu;     ///< as LLVM names it
  std::string machine; ///< where it was measured, for readers
  int64_t lanes = 8;   ///< of a whole register
  int64_t firstLevelBytes = 32 << 10;
  int64_t secondLevelBytes = 1 << 20;
  std::vector<KernelCosts> kernels;
  WordCosts word;
  bool isOfWords = false; ///< what forWords gives: columns are words, which are always copied

  /// Reads what toJSON writes. `file` is named in errors.
  static llvm::Expected<CostModel> parse(llvm::StringRef text, llvm::StringRef file);
  /// A model that is built in, by its cpu, or the file of that name.
  static llvm::Expected<CostModel> load(llvm::StringRef nameOrFile);
  /// The built-in model for a processor: its own, or that of its vector registers.
  static llvm::StringRef findBuiltIn(llvm::StringRef cpu, const VectorUnits &units);
  llvm::json::Value toJSON() const;

  /// The tiles a layer runs, with counts that depend on this model's caches.
  std::vector<TileWork> countWork(const WeightCounts &weight, const TokenShape &tokens) const;
  /// The model of layers whose columns are words of int8 columns.
  CostModel forWords() const;
  /// Nanoseconds of one call.
  double estimate(const WeightCounts &weight, const TokenShape &tokens) const;
  /// True if a kernel of this kind was measured, and is not derived from others.
  bool isMeasured(KernelKind kind) const {
    return llvm::any_of(kernels, [&](const KernelCosts &known) { return known.tile.kind == kind; });
  }
  /// Constants for `tile`: those measured, or the nearest ones scaled to its rows and vectors. Kinds of convolutions
  /// that a model does not have are derived from dense and chunked_csr.
  std::optional<CostArray> getCosts(const KernelTile &tile) const;

private:
  TileWork countByColumns(const WeightCounts &weight, const TokenShape &tokens) const;
  TileWork countConvolution(const WeightCounts &weight, const TokenShape &tokens) const;
  TileWork countDepthwise(const WeightCounts &weight, const TokenShape &tokens) const;
  TileWork countWindow(const WeightCounts &weight, const TokenShape &tokens, int64_t tileLanes, int64_t vectors) const;
  std::optional<CostArray> findMeasured(const KernelTile &tile) const;
  std::optional<CostArray> deriveCosts(const KernelTile &tile) const;
};

/// A measured layer that runs one kind of tile, and `knownNs` of it that other constants explain.
struct CostSample {
  CostArray counts{};
  double ns = 0;
  double knownNs = 0;
};

/// Constants, none negative, with the least sum of squared relative errors.
CostArray fitCosts(llvm::ArrayRef<CostSample> samples);

double multiply(const CostArray &counts, const CostArray &ns);

inline double &at(CostArray &counts, Cost cost) { return counts[static_cast<size_t>(cost)]; }
inline double at(const CostArray &counts, Cost cost) { return counts[static_cast<size_t>(cost)]; }

/// The share of a working set that a cache does not hold.
inline double getMissShare(double bytes, double cacheBytes) { return bytes > cacheBytes ? 1 - cacheBytes / bytes : 0; }

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_COSTMODEL_H
