//===- RatioSearch.cpp - The ratio that meets a target ------------------------===//

#include "prune/Dialect/Prune/Transforms/Structured/RatioSearch.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

static constexpr int kMaxCounts = 32;
static constexpr int kMaxMeasurements = 8;
/// As near to 1 as makes no difference to groups of less than a million units.
static constexpr double kMaxRatio = 1 - 0x1p-20;

static StringRef toString(RatioTarget::Quantity quantity) {
  switch (quantity) {
  case RatioTarget::Quantity::Params:
    return "params";
  case RatioTarget::Quantity::Flops:
    return "flops";
  case RatioTarget::Quantity::Latency:
    return "latency";
  }
  llvm_unreachable("unknown quantity");
}

std::optional<RatioTarget> RatioTarget::parse(StringRef text, std::string &error) {
  RatioTarget target;
  auto [name, number] = text.split(':');
  bool isKnown = false;
  for (Quantity quantity : {Quantity::Params, Quantity::Flops, Quantity::Latency})
    if (name == toString(quantity)) {
      target.quantity = quantity;
      isKnown = true;
    }
  if (!isKnown || number.getAsDouble(target.share)) {
    error = ("target: expected params:SHARE, flops:SHARE or latency:SHARE, got '" + text + "'").str();
    return std::nullopt;
  }
  if (!(target.share > 0 && target.share <= 1)) {
    error = "target: expected a share in (0, 1], got " + formatNumber(target.share);
    return std::nullopt;
  }
  return target;
}

std::string RatioTarget::spell() const { return (toString(quantity) + ":" + formatNumber(share)).str(); }

FailureOr<RatioSearchResult> mlir::prune::searchRatio(const RatioTarget &target,
                                                      llvm::function_ref<FailureOr<double>(double)> getShare) {
  bool isLatency = target.quantity == RatioTarget::Quantity::Latency;
  double goodEnough = target.share * (isLatency ? kTargetTolerance : 0.001);
  RatioSearchResult best;
  auto attempt = [&](double ratio) -> FailureOr<double> {
    FailureOr<double> share = getShare(ratio);
    if (succeeded(share) && std::abs(*share - target.share) < std::abs(best.share - target.share))
      best = {ratio, *share, true};
    return share;
  };
  if (1 - target.share <= goodEnough)
    return best;
  FailureOr<double> least = attempt(kMaxRatio);
  if (failed(least))
    return failure();
  if (*least > target.share * (1 + kTargetTolerance))
    return RatioSearchResult{kMaxRatio, *least, false};
  // What is left falls almost evenly with the ratio: a line between the ends of the interval hits better than its
  // middle. It stays away from the ends, so that the interval shrinks whatever the curve and the noise.
  double low = 0, high = kMaxRatio, lowShare = 1, highShare = *least;
  for (int i = 0; i < (isLatency ? kMaxMeasurements : kMaxCounts); ++i) {
    if (std::abs(best.share - target.share) <= goodEnough)
      break;
    double part = lowShare > highShare ? (lowShare - target.share) / (lowShare - highShare) : 0.5;
    double ratio = low + std::clamp(part, 0.1, 0.9) * (high - low);
    FailureOr<double> share = attempt(ratio);
    if (failed(share))
      return failure();
    bool isLow = *share > target.share;
    (isLow ? low : high) = ratio;
    (isLow ? lowShare : highShare) = *share;
  }
  return best;
}
