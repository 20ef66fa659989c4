// Weights aligned to 64 bytes survive bytecode, also through a pipe, where upstream's reader has no aligned memory.
// RUN: prune-opt %S/target-ops.mlir --emit-bytecode | prune-opt | FileCheck %S/target-ops.mlir
// RUN: prune-opt %S/target-ops.mlir --emit-bytecode -o %t.mlirbc && prune-opt %t.mlirbc | FileCheck %S/target-ops.mlir
