//===- Prune.h - The prune dialect ----------------------------------*- C++ -*-===//
#ifndef PRUNE_DIALECT_PRUNE_IR_PRUNE_H
#define PRUNE_DIALECT_PRUNE_IR_PRUNE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "prune/Dialect/Prune/IR/Scoring.h"

#include "prune/Dialect/Prune/IR/PruneEnums.h.inc"
#include "prune/Dialect/Prune/IR/PruneInterfaces.h.inc"

#include "prune/Dialect/Prune/IR/PruneDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "prune/Dialect/Prune/IR/PruneAttrs.h.inc"

#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneOps.h.inc"

#define GET_OP_CLASSES
#include "prune/Dialect/Prune/IR/PruneTargetOps.h.inc"

#endif // PRUNE_DIALECT_PRUNE_IR_PRUNE_H
