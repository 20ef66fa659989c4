//===- RatioSearch.h - The ratio that meets a target ----------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_RATIOSEARCH_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_RATIOSEARCH_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace mlir::prune {

/// A target counts as met within this part of it.
inline constexpr double kTargetTolerance = 0.02;

/// How much of what shall be left.
struct RatioTarget {
  enum class Quantity { Params, Flops, Latency };
  Quantity quantity = Quantity::Params;
  double share = 1;

  /// `params:SHARE`, `flops:SHARE` or `latency:SHARE`, with a share in (0, 1].
  static std::optional<RatioTarget> parse(StringRef text, std::string &error);
  std::string spell() const;
};

struct RatioSearchResult {
  double ratio = 0;
  /// What is left at this ratio.
  double share = 1;
  /// False if even the largest ratio, which is then the result, leaves more than the target.
  bool isReachable = true;
};

/// Encloses the ratio. `getShare` gives what is left at a ratio in [0, 1); the nearest of all tries wins. Counts are
/// searched to a thousandth of the target; latencies, each of which takes seconds, until one is within the tolerance.
FailureOr<RatioSearchResult> searchRatio(const RatioTarget &target,
                                         llvm::function_ref<FailureOr<double>(double)> getShare);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_STRUCTURED_RATIOSEARCH_H
