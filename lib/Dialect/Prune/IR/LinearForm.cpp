//===- LinearForm.cpp - Affine expressions as sums of terms -------------------===//

#include "prune/Dialect/Prune/IR/LinearForm.h"

using namespace mlir;
using namespace mlir::prune;

std::optional<LinearForm> mlir::prune::getLinearForm(AffineExpr expr) {
  LinearForm form;
  SmallVector<AffineExpr> summands{expr};
  while (!summands.empty()) {
    AffineExpr summand = summands.pop_back_val();
    if (auto constant = dyn_cast<AffineConstantExpr>(summand)) {
      form.constant += constant.getValue();
    } else if (auto dim = dyn_cast<AffineDimExpr>(summand)) {
      form.terms.push_back({dim.getPosition(), 1});
    } else if (auto binary = dyn_cast<AffineBinaryOpExpr>(summand)) {
      auto dim = dyn_cast<AffineDimExpr>(binary.getLHS());
      auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS());
      if (binary.getKind() == AffineExprKind::Add) {
        summands.push_back(binary.getRHS());
        summands.push_back(binary.getLHS());
      } else if (binary.getKind() == AffineExprKind::Mul && dim && factor && factor.getValue() > 0) {
        form.terms.push_back({dim.getPosition(), factor.getValue()});
      } else {
        return std::nullopt;
      }
    } else {
      return std::nullopt;
    }
  }
  return form;
}
