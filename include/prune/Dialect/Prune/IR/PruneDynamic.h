//===- PruneDynamic.h - Masks on activations ------------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_IR_PRUNEDYNAMIC_H
#define PRUNE_DIALECT_PRUNE_IR_PRUNEDYNAMIC_H

#include "prune/Dialect/Prune/IR/Prune.h"

#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneDynamicOps.h.inc"

#endif // PRUNE_DIALECT_PRUNE_IR_PRUNEDYNAMIC_H
