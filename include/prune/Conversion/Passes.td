//===- Passes.td - Passes of prune/Conversion ---*- tablegen -*-===//
include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Kernels of packed layers
//===----------------------------------------------------------------------===//

def ConvertPruneToVector : Pass<"convert-prune-to-vector"> {
  let summary = "Loops of scf and vector for packed layers on memrefs";
  let description = [{
    Replaces every `prune.linear` on memrefs by loops over lane tiles, chunks of columns and groups of rows. The
    accumulators of a group stay in vector registers; the epilogue runs on them in the last chunk.

    Lanes that do not fill a tile are handled by a narrower tile whose last vector is masked. A tile that is not a
    whole row of lanes copies its chunk of activations into a buffer on the stack of `chunk * lanes * vectors` elements.

    Refuses operands with dynamic shape or a layout that is not the identity: run it after bufferization of static shapes.
  }];
  let options = [
    Option<"lanes", "lanes", "int64_t", "8", "Elements of one vector register">,
    Option<"vectors", "vectors", "int64_t", "4", "Vectors of lanes that one row accumulates at once">,
    Option<"parallel", "parallel", "bool", "false", "Emit scf.parallel over leading dimensions and lane tiles">];
  let statistics = [Statistic<"numLayers", "num-layers", "Packed layers lowered">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}
