//===- SoftmaxShift.h - What cancels in a softmax --------------------*- C++ -*-===//
#ifndef PRUNE_INTERFACES_IMPL_SOFTMAXSHIFT_H
#define PRUNE_INTERFACES_IMPL_SOFTMAXSHIFT_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "prune/Interfaces/Gradient.h"

namespace mlir::prune {

/// True if `operand` is subtracted in front of exponentials that are divided by their sum, the same element from all
/// exponentials of one sum: it cancels, and the gradient by it is zero. This is how a softmax takes off its maximum.
bool isShiftOfSoftmax(OpOperand &operand, const Gradients &gradients);

} // namespace mlir::prune

#endif // PRUNE_INTERFACES_IMPL_SOFTMAXSHIFT_H
