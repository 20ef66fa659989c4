//===- Passes.td - Passes of prune/Conversion ---*- tablegen -*-===//
include "mlir/Pass/PassBase.td"
