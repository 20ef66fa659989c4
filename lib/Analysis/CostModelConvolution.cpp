//===- CostModelConvolution.cpp - What convolutions will take -------------------===//
//
// Counts for the three codes that only convolutions have: the general loops over packed panels
// (lib/Conversion/LinalgToVector/Packing.cpp), the depthwise kernel and the copy of a window
// (lib/Conversion/PruneToVector). Each mirrors how that code cuts an image into vectors.
//
//===----------------------------------------------------------------------===//

#include "prune/Analysis/CostModel.h"
#include "llvm/ADT/bit.h"
#include <algorithm>

using namespace mlir::prune;

/// Vectors that `size` lanes take where what is left runs on narrower ones.
static int64_t countVectors(int64_t size, int64_t lanes) {
  return size / lanes + llvm::popcount(static_cast<uint64_t>(size % lanes));
}

int64_t mlir::prune::countRuns(const ConvolutionShape &convolution, int64_t tileLanes, int64_t vectorLanes) {
  int64_t width = convolution.result[1], pixels = convolution.result[0] * width, runs = 0;
  for (int64_t pixel = 0; pixel < pixels; ++runs)
    pixel += std::min({vectorLanes, width - pixel % width, tileLanes - pixel % tileLanes, pixels - pixel});
  return runs;
}

TileWork CostModel::countWindow(const WeightCounts &weight, const TokenShape &tokens, int64_t tileLanes,
                                int64_t vectors) const {
  const ConvolutionShape &convolution = *tokens.convolution;
  TileWork work{{KernelKind::Window, 1, tileLanes, 1}};
  double runs = static_cast<double>(tokens.batches * countRuns(convolution, tileLanes * vectors, tileLanes));
  double columns = static_cast<double>(weight.numColumns), stride = static_cast<double>(convolution.strides[1]);
  double pixelBytes = 4.0 * static_cast<double>(convolution.getNumInputPixels());
  double bytes = pixelBytes * columns / static_cast<double>(convolution.getNumTaps());
  at(work.counts, Cost::Column) = runs * columns;
  at(work.counts, Cost::Rest) = runs * columns * (stride - 1);
  at(work.counts, Cost::Group) = runs * static_cast<double>(convolution.getNumTaps() * weight.getNumChunks()) * stride;
  at(work.counts, Cost::Byte) =
      static_cast<double>(tokens.batches) * bytes * getMissShare(bytes + weight.bytes, secondLevelBytes);
  return work;
}

TileWork CostModel::countConvolution(const WeightCounts &weight, const TokenShape &tokens) const {
  const ConvolutionShape &convolution = *tokens.convolution;
  TileWork work{{KernelKind::Convolution, 1, lanes, 1}};
  int64_t height = convolution.result[0], width = convolution.result[1];
  double batches = static_cast<double>(tokens.batches), columns = static_cast<double>(weight.numColumns);
  int64_t rowsOfGroup = weight.numRows / convolution.groups, depth = weight.numColumns / convolution.groups;
  auto [lowY, lowX] = convolution.low;
  auto [highY, highX] = convolution.high;
  if (lowY + lowX + highY + highX > 0) { // a padded copy of the image comes first
    double padded = static_cast<double>((convolution.input[0] + lowY + highY) * (convolution.input[1] + lowX + highX));
    at(work.counts, Cost::Partial) =
        batches * columns / static_cast<double>(convolution.getNumTaps()) * padded / static_cast<double>(lanes);
  }
  at(work.counts, Cost::Call) = 1;
  bool isStrided = convolution.strides[1] > 1;
  constexpr int64_t minRows = 16, minDepth = 8;
  if (rowsOfGroup < minRows || depth < minDepth || height * width < 4) { // no panels
    int64_t vectors = height * (isStrided ? width : countVectors(width, lanes));
    at(work.counts, Cost::Shared) = batches * weight.rest * static_cast<double>(vectors);
    return work;
  }
  // Whole rows of the image join until vectors are full.
  int64_t registers = (lanes >= 16 ? 4 : 2) * lanes, joined = 1;
  if (width < registers || width % lanes != 0) {
    double best = 0;
    for (int64_t count = 1; count <= height && (count == 1 || count * width <= 16 * lanes); ++count) {
      int64_t total = count * width;
      double efficiency = static_cast<double>(total) / static_cast<double>(lanes * countVectors(total, lanes)) *
                          (height % count ? 0.95 : 1.0) * (total < registers ? 0.8 : 1.0);
      if (efficiency > best + 0.01) {
        best = efficiency;
        joined = count;
      }
    }
  }
  int64_t panels = height / joined;
  int64_t vectors = panels * countVectors(joined * width, lanes) + countVectors(height % joined * width, lanes);
  double panelBytes = lanes >= 16 ? 128 << 10 : 24 << 10;
  double blocks = std::max(1.0, 4.0 * static_cast<double>(depth * std::min<int64_t>(joined * width, 64)) / panelBytes);
  at(work.counts, Cost::Rest) = batches * weight.rest * static_cast<double>(vectors);
  at(work.counts, isStrided ? Cost::Single : Cost::Column) =
      batches * columns * static_cast<double>(height * (isStrided ? width : countVectors(width, lanes)));
  at(work.counts, Cost::Group) = batches * static_cast<double>(weight.numRows * vectors) * blocks;
  at(work.counts, Cost::Byte) =
      batches * weight.bytes * static_cast<double>(panels) * getMissShare(weight.bytes, secondLevelBytes);
  return work;
}

TileWork CostModel::countDepthwise(const WeightCounts &weight, const TokenShape &tokens) const {
  const ConvolutionShape &convolution = *tokens.convolution;
  int64_t height = convolution.result[0], width = convolution.result[1], tileLanes = lanes;
  while (lanes >= 16 ? tileLanes / 2 >= width : tileLanes > width)
    tileLanes /= 2;
  TileWork work{{KernelKind::Depthwise, 1, tileLanes, 1}};
  int64_t blockRows = std::min<int64_t>(tokens.registers >= 32 ? 6 : 4, height);
  int64_t reads = (blockRows - 1) * convolution.strides[0] + (convolution.kernel[0] - 1) * convolution.dilations[0] + 1;
  reads = std::min(reads, blockRows * convolution.kernel[0]); // rows that strides or dilations skip are not read
  double strips = static_cast<double>(tokens.batches * weight.numRows * ((width + tileLanes - 1) / tileLanes));
  double rows = static_cast<double>(height), taps = static_cast<double>(convolution.getNumTaps());
  double bytes = 4.0 * static_cast<double>(weight.numRows * convolution.getNumInputPixels());
  at(work.counts, Cost::Rest) = strips * rows * taps;
  at(work.counts, Cost::Single) = strips * rows / static_cast<double>(blockRows) *
                                  static_cast<double>(reads * convolution.kernel[1] * convolution.strides[1]);
  at(work.counts, Cost::Group) = strips * rows;
  at(work.counts, Cost::Column) = strips;
  at(work.counts, Cost::Byte) = static_cast<double>(tokens.batches) * bytes * getMissShare(bytes, secondLevelBytes);
  at(work.counts, Cost::Call) = 1;
  return work;
}

std::optional<CostArray> CostModel::deriveCosts(const KernelTile &tile) const {
  std::optional<CostArray> dense = findMeasured({KernelKind::Dense, 6, tile.lanes, 1});
  std::optional<CostArray> sparse = findMeasured({KernelKind::ChunkedCSR, 2, tile.lanes, 1});
  if (!dense || !sparse)
    return std::nullopt;
  // One multiply-add of vectors, and one vector copied.
  double multiplyAdd = at(*dense, Cost::Rest) / 6, copy = std::max(at(*sparse, Cost::Column), multiplyAdd);
  CostArray ns{};
  at(ns, Cost::Byte) = at(*dense, Cost::Byte);
  at(ns, Cost::Call) = at(*dense, Cost::Call);
  switch (tile.kind) {
  case KernelKind::Window:
    at(ns, Cost::Column) = at(ns, Cost::Rest) = copy;
    at(ns, Cost::Group) = 4 * copy;
    return ns;
  case KernelKind::Convolution:
    at(ns, Cost::Rest) = multiplyAdd;
    at(ns, Cost::Shared) = at(ns, Cost::Group) = 2 * multiplyAdd;
    at(ns, Cost::Column) = at(ns, Cost::Single) = at(ns, Cost::Partial) = copy;
    return ns;
  case KernelKind::Depthwise:
    at(ns, Cost::Rest) = multiplyAdd;
    at(ns, Cost::Single) = at(ns, Cost::Group) = copy;
    return ns;
  case KernelKind::Columns:
  case KernelKind::Rows:
  case KernelKind::AllColumns:
    at(ns, Cost::Rest) = multiplyAdd;
    at(ns, Cost::Column) = copy;
    if (std::optional<CostArray> contract = findMeasured({KernelKind::Contract, 1, tile.lanes, 1}))
      at(ns, Cost::Byte) = at(*contract, Cost::Byte);
    return ns;
  default:
    return std::nullopt;
  }
}
