//===- TokenDims.h - Which dimensions behind an activation are tokens --*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_DYNAMIC_TOKENDIMS_H
#define PRUNE_TRANSFORMS_DYNAMIC_TOKENDIMS_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallBitVector.h"
#include <vector>

namespace mlir::prune {

/// An op that reads what was made of the tokens, and which dimensions of each operand are tokens; empty where none is.
struct TokenUse {
  Operation *op = nullptr;
  SmallVector<llvm::SmallBitVector> operands;
};

/// Follows the tokens of one activation through the ops of its block.
class TokenDims {
public:
  /// `dim` of `value` are the tokens. Fails, with an error at the op, if they reach one that knows tokens apart or that
  /// no rule covers.
  static FailureOr<TokenDims> follow(Value value, int64_t dim);

  /// The ops that depend on the activation, in order, but for the terminator.
  ArrayRef<TokenUse> getUses() const { return uses; }
  /// The dimensions of `value` that are tokens; empty if there are none.
  llvm::SmallBitVector get(Value value) const { return dims.lookup(value); }

private:
  LogicalResult visit(Operation *op);
  LogicalResult visitStructured(Operation *op, TokenUse &use);
  LogicalResult visitReshape(Operation *op, ArrayRef<SmallVector<int64_t, 2>> groups, bool expands, TokenUse &use);
  LogicalResult visitElementwise(Operation *op, TokenUse &use);

  int64_t numTokens = 0;
  llvm::DenseMap<Value, llvm::SmallBitVector> dims;
  std::vector<TokenUse> uses;
};

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_DYNAMIC_TOKENDIMS_H
