//===- ChannelSearch.h - Orders of channels that suit n:m masks -----*- C++ -*-===//
//
// N:m masks keep n of m consecutive columns of each row. Which columns are neighbours is chance, so another order of
// the channels behind them may keep more magnitude (Pool and Yu 2021). No IR here.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_CHANNELSEARCH_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_CHANNELSEARCH_H

#include "prune/Dialect/Prune/IR/Scoring.h"
#include "prune/Support/Parallel.h"
#include <string>
#include <vector>

namespace mlir::prune {

/// A weight some of whose columns belong to channels.
struct ChannelWeight {
  /// Takes the elements of a matrix, which are finite, and for each column its channel, or -1 for one that stays.
  /// Channels have equally many columns each; the k-th of one takes the place of the k-th of another.
  ChannelWeight(ArrayRef<float> values, MatrixView view, ArrayRef<int32_t> channelOfColumn, int64_t numChannels);

  const float *getColumn(int64_t column) const { return magnitudes.data() + column * numRows; }

  /// Rows of a stored column: those of the matrix and zeros up to a multiple of the lanes that are added up together.
  int64_t numRows;
  /// Column by column.
  std::vector<float> magnitudes;
  std::vector<int32_t> channelOfColumn;
  /// Ascending.
  std::vector<std::vector<int64_t>> columnsOfChannel;
};

/// Elements of a group of columns that masks keep, and its size.
struct ChannelPattern {
  int64_t n = 2, m = 4;
  static constexpr int64_t kMaxSize = 32;
};

struct ChannelOrder {
  /// The channel at each place; the order as it is if nothing better was found.
  std::vector<int32_t> channelAt;
  /// What masks keep of the magnitude of all weights, in more than the order as it is.
  double gain = 0;
  /// Why no order keeps more than another; empty if that is not so.
  std::string whyNot;
};

/// Searches for the order of `numChannels` channels that keeps the most magnitude in all `weights` together. Places
/// whose columns share groups form stripes; channels of two stripes at a time are rearranged in the best way (all ways
/// to divide them for groups of up to four columns, else exchanges of two), the largest gains first, until nothing
/// gains; then three channels change places at random, and the search goes on from there. Two stripes without columns
/// that stay are searched exhaustively. `effort` multiplies the number of evaluations after which it stops. The same
/// result for any number of threads and on every machine.
ChannelOrder searchChannelOrder(ArrayRef<ChannelWeight> weights, int64_t numChannels, ChannelPattern pattern,
                                double effort, WorkerPool &pool);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_CHANNELSEARCH_H
