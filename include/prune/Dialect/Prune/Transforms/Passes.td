//===- Passes.td - Passes of prune/Dialect/Prune/Transforms ---*- tablegen -*-===//
include "mlir/Pass/PassBase.td"
