//===- Numbers.h - Numbers in text ----------------------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_IR_NUMBERS_H
#define PRUNE_DIALECT_PRUNE_IR_NUMBERS_H

#include "mlir/IR/OpImplementation.h"
#include <string>

namespace mlir::prune {

/// A number as people write it: 0.25 instead of 2.500000e-01.
std::string formatNumber(double value);

/// Parses a decimal number of either sign, with a point or without.
ParseResult parseNumber(AsmParser &parser, double &value);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_IR_NUMBERS_H
