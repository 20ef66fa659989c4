//===- GPUCostModel.h - What a packed layer will take on a GPU -------*- C++ -*-===//
//
// A roofline for each kernel: multiply-adds at a rate that the kernel sustains with all processors busy, bytes at the
// rate of the memory, and a launch. No IR here.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_ANALYSIS_GPUCOSTMODEL_H
#define PRUNE_ANALYSIS_GPUCOSTMODEL_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir::prune {

/// The kernels of packed layers, by their storage.
enum class GPUKernelKind { Matrix, CSR, BlockCSR, TwoOfFour, Columns };
inline constexpr llvm::StringRef kGPUKernelNames[] = {"matrix", "csr", "block_csr", "two_of_four", "columns"};
inline llvm::StringRef stringifyGPUKernel(GPUKernelKind kind) { return kGPUKernelNames[static_cast<size_t>(kind)]; }

/// What is multiplied: f32 exactly, f32 rounded by tensor cores, 16 bits, or whole numbers of 8 bits; sums are f32, of
/// whole numbers i32.
enum class GPUPrecision { F32, TF32, F16, BF16, I8 };
inline constexpr llvm::StringRef kGPUPrecisionNames[] = {"f32", "tf32", "f16", "bf16", "i8"};
inline llvm::StringRef stringifyGPUPrecision(GPUPrecision precision) {
  return kGPUPrecisionNames[static_cast<size_t>(precision)];
}
std::optional<GPUPrecision> parseGPUPrecision(llvm::StringRef name);
/// Bytes of an element in memory.
inline int64_t getElementBytes(GPUPrecision precision) {
  return precision == GPUPrecision::I8 ? 1 : precision == GPUPrecision::F16 || precision == GPUPrecision::BF16 ? 2 : 4;
}

/// Warps of a block of threads that runs a sparse tile, and threads of each.
inline constexpr int64_t kTileWarps = 8, kWarpThreads = 32;
/// Entries of a row that the CSR kernel loads at once, to multiples of which runs are padded; tokens of a lane; and
/// warps of a block of threads that are few enough for each to have more in flight.
inline constexpr int64_t kCSRStep = 4, kCSRTokens = 4, kFewCSRWarps = 8;

/// Rows and columns of the blocks that tensor cores take at once, and tokens.
inline constexpr int64_t kFragmentSide = 16, kFragmentTokens = 8;

/// Rows of the transposed weight that a warp loads before it uses them, where zeros of the activations are skipped; and
/// the most tokens that do so.
inline constexpr int64_t kColumnsStep = 8, kMostColumnsTokens = 16;
/// Most sums of a thread of that kernel, and most chunks, whose sums a second one adds up.
inline constexpr int64_t kMostColumnsSums = 64, kMostColumnsChunks = 32;

/// How a sparse kernel divides its work. CSR: a block of threads takes a group of `rows` rows and 4 * `vectors` tokens,
/// and goes through chunks of columns whose activations it copies into shared memory; `vectors` lanes have four tokens
/// of a row each, so that a warp has several rows side by side: a bundle. Without `vectors` the lanes of a warp run
/// along the entries of one row instead, for few tokens. Blocks on tensor cores: 8 * `vectors` tokens and
/// fragments of 16 x 16, a warp for each 16 rows; with 16 rows in all several warps share them. Without `vectors` the
/// kernel is that of multiply-adds. Columns: a block of threads adds up `rows` results, side by side in a warp, over
/// `chunk` columns, which its warps share.
struct SparseTile {
  int64_t vectors = 0;
  int64_t rows = 1;
  int64_t chunk = 0;

  // Of CSR.
  bool isByEntry() const { return vectors == 0; }
  int64_t getNumTokens() const { return kCSRTokens * vectors; }
  int64_t getRowsOfBundle() const { return kWarpThreads / vectors; }
  /// Columns that are copied of a chunk: 32 for each warp at a time.
  int64_t getCopiedColumns() const { return (chunk + kWarpThreads - 1) / kWarpThreads * kWarpThreads; }
  /// The first of the quads of 16 bytes, four tokens each, that a column of a chunk has in shared memory. Quads are
  /// exchanged by the column so that the warp that copies has no bank conflicts: the place of the i-th quad is this one
  /// exclusive-or i.
  uint16_t getPlace(int64_t inChunk) const { return static_cast<uint16_t>((inChunk * vectors) ^ (inChunk / 4 % 8)); }
  /// That of a column of zeros, for padding.
  uint16_t getZeroPlace() const { return static_cast<uint16_t>(getCopiedColumns() * vectors); }
  /// Shared memory of a block of threads: activations of a chunk, and later the results on their way out.
  int64_t getSharedBytes() const;
  /// Whether two blocks of threads share a processor: small tiles, of up to 16 warps; others have up to 32.
  bool isShared() const;
  /// As many as the bundles of a group can be divided among.
  int64_t getNumWarps() const;
  int64_t getBundlesOfWarp() const { return rows / getRowsOfBundle() / getNumWarps(); }
  /// Steps that a warp loads before it needs them: the fewer others there are to wait beside it, the more.
  int64_t getStepsAhead() const;
};

/// What a kernel does.
struct GPULayerCounts {
  GPUKernelKind kind = GPUKernelKind::Matrix;
  GPUPrecision precision = GPUPrecision::F32;
  int64_t tokens = 1, rows = 0, columns = 0;
  double entries = 0;   ///< stored values, padding included; of the columns kernel those that it reads
  double bytes = 0;     ///< of these and their coordinates
  double imbalance = 1; ///< entries of the group of rows with the most over their mean
  SparseTile tile;      ///< of the CSR and the columns kernel, and of blocks on tensor cores
};

/// What one kernel sustains.
struct GPUKernelRate {
  GPUKernelKind kind = GPUKernelKind::Matrix;
  GPUPrecision precision = GPUPrecision::F32;
  double teraflops = 0;                 ///< on stored values, two for each multiply-add
  int64_t tileRows = 1, tileTokens = 1; ///< what a block of threads computes
  int64_t leastTokens = 1;              ///< with fewer the kernel is not chosen
};

/// Rows of a tile that a block of threads multiplies by the warp-group instructions of sm_90, and bytes of a row (and
/// of a token) in a tile of columns.
inline constexpr int64_t kWarpGroupRows = 128, kWarpGroupRowBytes = 128;

/// How that kernel divides its work: tokens of a tile, and blocks of threads that share them.
struct WarpGroupTile {
  int64_t tokens = 256, cluster = 2;
  double cycles = 0; ///< of all tiles on all processors, without splitting columns

  /// Blocks of threads for a layer, in whole clusters.
  int64_t countBlocks(int64_t rows, int64_t numTokens) const;
};

class GPUCostModel {
public:
  std::string chip;
  std::string machine; ///< where the figures come from, for readers
  int64_t processors = 1;
  int64_t sharedBytes = 48 << 10; ///< of a block of threads
  double clockGHz = 1;
  double memoryGBps = 1;
  double tileBytesPerCycle = 1; ///< from the second-level cache into the shared memory of one processor
  double csrEfficiency = 1;     ///< share of the shared memory's bandwidth that the CSR kernel reaches
  double launchNs = 0;
  std::vector<GPUKernelRate> kernels;

  /// Into how many parts to split the columns of a layer whose kernel has `blocks` blocks of threads, each of which
  /// takes `blockNs` for all of its `columnTiles` steps, `together` of them on a processor: more blocks share them, but
  /// the sums of all parts for `results` results go through memory, and another kernel adds them up.
  int64_t chooseColumnSplits(int64_t blocks, int64_t together, int64_t columnTiles, double blockNs,
                             int64_t results) const;

  /// Reads a cost model. `file` is named in errors.
  static llvm::Expected<GPUCostModel> parse(llvm::StringRef text, llvm::StringRef file);
  /// The built-in model of a chip, or the file of that name.
  static llvm::Expected<GPUCostModel> load(llvm::StringRef chipOrFile);
  /// Chips with a built-in model.
  static std::vector<llvm::StringRef> getChips();

  /// The rate of a kernel, or null if the chip has no such kernel.
  const GPUKernelRate *findRate(GPUKernelKind kind, GPUPrecision precision) const;
  /// Nanoseconds of one call; infinite where the chip has no such kernel.
  double estimate(const GPULayerCounts &counts) const;
  /// The tile with the least estimate for a weight that keeps `density` of its elements.
  SparseTile chooseCSRTile(int64_t tokens, int64_t rows, int64_t columns, double density) const;
  /// The same for blocks on tensor cores, of which a share of `density` is kept.
  SparseTile chooseFragmentTile(int64_t tokens, int64_t rows, int64_t columns, double density) const;
  /// True if a dense or 2:4 layer on tensor cores is one of warp groups: enough tokens and rows for most of a tile, and
  /// rows of whole 16 bytes, which the tensor copy engine wants.
  bool suitsWarpGroups(const GPULayerCounts &counts) const;
  /// Cycles of their kernel for a tile of columns.
  static double getWarpGroupStepCycles(int64_t tokens, bool isHalved);
  /// Nanoseconds of so many tiles of columns, as tiles and splits are chosen by: of no fewer cycles than were measured
  /// to hide what comes before products.
  double getWarpGroupNs(int64_t columnTiles, int64_t tokens, bool isHalved) const;
  /// The tile whose turns on all processors take the fewest cycles.
  WarpGroupTile chooseWarpGroupTile(int64_t tokens, int64_t rows, int64_t columns, int64_t elementBytes,
                                    bool isHalved) const;
  /// The work of the columns kernel where `density` of the activations are not zero, in the tile with the least
  /// estimate.
  GPULayerCounts countColumns(int64_t tokens, int64_t rows, int64_t columns, double density,
                              GPUPrecision precision) const;

private:
  double estimateCSR(const GPULayerCounts &counts) const;
  double estimateCSRTile(const GPULayerCounts &counts) const;
  double estimateFragments(const GPULayerCounts &counts) const;
  double estimateColumns(const GPULayerCounts &counts) const;
  double estimateWarpGroups(const GPULayerCounts &counts) const;
  /// What more than one part of the columns costs: sums through memory, and a second kernel.
  double getPartsNs(int64_t splits, int64_t results) const;
};

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_GPUCOSTMODEL_H
