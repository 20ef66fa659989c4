//===- Compare.cpp - Difference of two tensors --------------------------------===//

#include "prune/Support/Compare.h"
#include <cmath>
#include <limits>

using namespace mlir::prune;

static bool isFloat(ElementKind kind) { return kind >= ElementKind::Float16; }

llvm::Expected<Difference> mlir::prune::compareTensors(const HostTensor &actual, const HostTensor &expected,
                                                       double rtol, double atol) {
  if (actual.shape != expected.shape || isFloat(actual.kind) != isFloat(expected.kind))
    return llvm::createStringError("expected " + describe(expected.kind, expected.shape) + ", got " +
                                   describe(actual.kind, actual.shape));
  Difference result;
  result.numElements = actual.getNumElements();
  double worst = -1;
  for (int64_t i = 0; i < result.numElements; ++i) {
    double a = actual.getElement(i), e = expected.getElement(i);
    double difference = std::fabs(a - e);
    if (a == e || (std::isnan(a) && std::isnan(e)))
      difference = 0;
    else if (!std::isfinite(a) || !std::isfinite(e))
      difference = std::numeric_limits<double>::infinity();
    double relative = difference == 0 ? 0 : difference / std::fabs(e);
    result.maxAbs = std::max(result.maxAbs, difference);
    result.maxRel = std::max(result.maxRel, relative);
    if (difference > worst) {
      worst = difference;
      result.worst = i;
    }
    if (!(difference <= atol + rtol * std::fabs(e)) && difference != 0)
      ++result.numBeyond;
    else if (std::isinf(difference))
      ++result.numBeyond;
  }
  return result;
}
