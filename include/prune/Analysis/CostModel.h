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
#include "llvm/Support/JSON.h"
#include <array>

namespace mlir::prune {

/// The code that computes a layer: `linalg.contract` left to the general loops, or one of the formats of
/// `prune.linear`.
enum class KernelKind { Contract, Dense, ChunkedCSR, BlockRows };

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

/// What the loops do, by what each costs.
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

/// The tokens of a layer and the registers they meet.
struct TokenShape {
  int64_t batches = 1; ///< products with the same weight, or panels of tokens
  int64_t lanes = 1;   ///< tokens of each
  int64_t registerLanes = 8;
  int64_t registers = 16;
  int64_t vectors = 4; ///< most vectors of a tile
};

/// Constants of one tile, in nanoseconds, in the order of `Cost`.
struct KernelCosts {
  KernelTile tile;
  CostArray ns{};
};

/// Counts of one tile and how often it runs.
struct TileWork {
  KernelTile tile;
  CostArray counts{};
};

class CostModel {
public:
  std::string cpu;     ///< as LLVM names it
  std::string machine; ///< where it was measured, for readers
  int64_t lanes = 8;   ///< of a whole register
  int64_t firstLevelBytes = 32 << 10;
  int64_t secondLevelBytes = 1 << 20;
  std::vector<KernelCosts> kernels;

  /// Reads what toJSON writes. `file` is named in errors.
  static llvm::Expected<CostModel> parse(llvm::StringRef text, llvm::StringRef file);
  /// A model that is built in, by its cpu, or the file of that name.
  static llvm::Expected<CostModel> load(llvm::StringRef nameOrFile);
  /// The built-in model for a processor: its own, or that of its vector registers.
  static llvm::StringRef findBuiltIn(llvm::StringRef cpu, const VectorUnits &units);
  llvm::json::Value toJSON() const;

  /// The tiles a layer runs, with counts that depend on this model's caches.
  std::vector<TileWork> countWork(const WeightCounts &weight, const TokenShape &tokens) const;
  /// Nanoseconds of one call.
  double estimate(const WeightCounts &weight, const TokenShape &tokens) const;
  /// Constants for `tile`: those measured, or the nearest ones scaled to its rows and vectors.
  std::optional<CostArray> getCosts(const KernelTile &tile) const;
};

/// A measured layer that runs one kind of tile.
struct CostSample {
  CostArray counts{};
  double ns = 0;
};

/// Constants, none negative, with the least sum of squared relative errors.
CostArray fitCosts(llvm::ArrayRef<CostSample> samples);

double multiply(const CostArray &counts, const CostArray &ns);

} // namespace mlir::prune

#endif // PRUNE_ANALYSIS_COSTMODEL_H
