//===- CodegenPasses.td - Passes of the dense code generator ---*- tablegen -*-===//
#ifndef PRUNE_CONVERSION_CODEGENPASSES
#define PRUNE_CONVERSION_CODEGENPASSES
include "mlir/Pass/PassBase.td"

def ConvertLinalgToVectorLoops : Pass<"convert-linalg-to-vector-loops"> {
  let summary = "Turn linalg operations on memrefs into loops over vectors";
  let description = [{
    Each `linalg` operation on memrefs, named or generic, becomes a nest of `scf.for` around one-dimensional `vector`
    operations of power-of-two width. The operation is seen as loop dimensions and one linear address per operand, so
    that layouts, transposes and windows are numbers; dimensions that are contiguous everywhere merge.

    The lanes run along a parallel dimension that is contiguous in the outputs where there is one, else along a
    contiguous reduction, whose lanes are combined at the end in a fixed order. Accumulators of reductions stay in
    registers; tiles of rows by vectors reuse what they load. Inputs that are contiguous along another parallel
    dimension are transposed in registers. Ends of a dimension run on narrower vectors: nothing outside an operand is
    read or written.

    Shapes and strides may be dynamic: a dynamic extent in the lanes runs on whole vectors and then single elements, and
    is never tiled by rows. Regions with operations that have no vector form run on scalars, with a remark. Copies
    (`memref.copy`) between strided buffers are treated alike. Left alone: operations that are no structured `linalg`
    operation (`linalg.pack`, `linalg.softmax`). Refused with an error: tensors, layouts without strides.

    ```mlir
    linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
        ins(%a : memref<32xf32>) outs(%b : memref<32xf32>) { ^bb0(%x: f32, %y: f32): %r = arith.negf %x : f32 ... }
    // becomes, with vector-bits=256
    scf.for %i = %c0 to %c32 step %c8 {
      %x = vector.load %a[%i] : memref<32xf32>, vector<8xf32>
      %r = arith.negf %x : vector<8xf32>
      vector.store %r, %b[%i] : memref<32xf32>, vector<8xf32>
    }
    ```
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "unsigned", "256", "Width of a vector register: 128, 256 or 512 bits.">,
    Option<"maxAccumulators", "max-accumulators", "unsigned", "0",
           "Vector accumulators of a tile; 0 takes 24 for 512 bits, else 12 (8 without fused multiply-add).">,
    Option<"fuseMultiplyAdd", "fuse-multiply-add", "bool", "true",
           "Accumulate by fused multiply-add; switch off for targets without the instruction.">,
    Option<"pack", "pack", "bool", "true",
           "Copy panels of a contraction's operand into a contiguous buffer on the stack where that pays.">,
    Option<"panelBytes", "panel-bytes", "int64_t", "0",
           "Bytes of a contraction's panel that should stay in cache; 0 takes 24 KiB, for 512 bits 128 KiB.">,
    Option<"threads", "threads", "unsigned", "1", "Split large nests evenly over this many threads (scf.parallel).">,
    Option<"parallelThreshold", "parallel-threshold", "int64_t", "20000",
           "Nests estimated below this many nanoseconds stay serial.">,
  ];
  let statistics = [
    Statistic<"numVectorized", "num-vectorized", "Operations turned into vector loops">,
    Statistic<"numScalar", "num-scalar", "Operations turned into scalar loops">,
    Statistic<"numPacked", "num-packed", "Contractions that pack a panel">,
    Statistic<"numParallel", "num-parallel", "Nests split over threads">,
  ];
  let dependentDialects = [
    "affine::AffineDialect", "arith::ArithDialect", "linalg::LinalgDialect", "math::MathDialect",
    "memref::MemRefDialect", "scf::SCFDialect", "vector::VectorDialect"
  ];
}

def PruneApproximateMath : Pass<"prune-approximate-math"> {
  let summary = "Replace math functions by polynomials";
  let description = [{
    Replaces functions of the `math` dialect on f32, scalars and vectors, by polynomials that stay in vector registers;
    f16 and bf16 go through f32. Largest errors measured against libm in f64 (`test/Conversion/ApproximateMath`):

    | function | error | range |
    |---|---|---|
    | `exp`, `exp2` | 1 ulp | all; results below 2^-125 may be zero |
    | `erf` | 1.9 ulp | all |
    | GELU by `erf`, all of it | 2.8 ulp for x > 0 (3.2 without fused multiply-adds), 1.3e-7 absolute below | all |
    | division by a constant | 1.5 ulp | constants whose reciprocal is a normal number |
    | `tanh` | 5e-7 absolute | all |
    | `log`, `log2`, `log1p`, `expm1` | upstream's polynomials, 3 ulp | normal numbers |

    NaN and infinities give what libm gives. Left alone: f64, and every other function, which libm computes element by
    element (`convert-math-to-libm`).
  }];
  let options = [
    Option<"fuseMultiplyAdd", "fuse-multiply-add", "bool", "true",
           "Evaluate by fused multiply-add; switch off for targets without the instruction.">,
  ];
  let dependentDialects = ["arith::ArithDialect", "math::MathDialect", "vector::VectorDialect"];
}

def PruneHoistStackBuffers : Pass<"prune-hoist-stack-buffers"> {
  let summary = "Move stack buffers of fixed size out of loops and scopes";
  let description = [{
    Every `memref.alloca` without run-time sizes moves to the start of its function, or of the `omp.parallel` around it (one
    buffer for each thread). A `memref.alloca_scope` that holds no buffer any more is replaced by its contents. Buffers of
    run-time size and their scopes are left alone.
  }];
  let statistics = [Statistic<"numHoisted", "num-hoisted", "Stack buffers moved">];
  let dependentDialects = ["memref::MemRefDialect"];
}

def PruneSplitParallelLoops : Pass<"prune-split-parallel-loops", "ModuleOp"> {
  let summary = "Run parallel loops in OpenMP's threads, each finding its share by itself";
  let description = [{
    An `scf.parallel` becomes an `omp.parallel` with an `scf.for` over the thread's share of all iterations: as many for
    each thread, but for one, in order. Compared with work sharing by the runtime (`omp.wsloop`) this saves a call for
    each loop and thread, in which libomp may allocate memory. A buffer on the stack of the body lives for one iteration.

    Left alone: loops with reductions, and loops inside a loop that is split.

    ```mlir
    scf.parallel (%i) = (%c0) to (%n) step (%c1) { ... }
    // becomes
    omp.parallel num_threads(%c2) {
      %thread = func.call @omp_get_thread_num() : () -> i32
      %threads = func.call @omp_get_num_threads() : () -> i32
      ...
      scf.for %i = %begin to %end step %c1 { memref.alloca_scope { ... } }
      omp.terminator
    }
    ```
  }];
  let options = [Option<"threads", "threads", "unsigned", "2", "Threads of a parallel region.">];
  let statistics = [Statistic<"numSplit", "num-split", "Loops split">];
  let dependentDialects = [
    "arith::ArithDialect", "func::FuncDialect", "memref::MemRefDialect", "omp::OpenMPDialect", "scf::SCFDialect"
  ];
}

def PruneFuseReductions : Pass<"prune-fuse-reductions"> {
  let summary = "Reduce values in the loops that compute them";
  let description = [{
    A `linalg.generic` that reduces the result of an elementwise `linalg.generic` right before it becomes one op with it,
    which stores the values and accumulates them on the way: the sum of the exponentials of a softmax costs one addition
    for each vector in place of a pass over memory. Left alone: reductions along the last dimension, whose lanes would
    have to be added up; values that a view, another op or an index stands between.

    ```mlir
    linalg.generic {parallel, parallel}  ins(%x : memref<8x16xf32>) outs(%e : memref<8x16xf32>)  // exp
    linalg.fill ins(%zero : f32) outs(%s : memref<16xf32>)
    linalg.generic {reduction, parallel} ins(%e : memref<8x16xf32>) outs(%s : memref<16xf32>)    // addf
    // becomes
    linalg.fill ins(%zero : f32) outs(%s : memref<16xf32>)
    linalg.generic {reduction, parallel} ins(%x : memref<8x16xf32>)
                                         outs(%e, %s : memref<8x16xf32>, memref<16xf32>)         // exp, addf
    ```
  }];
  let statistics = [Statistic<"numFused", "num-fused", "Reductions fused">];
  let dependentDialects = ["linalg::LinalgDialect"];
}

def PruneOutlineKernels : Pass<"prune-outline-kernels", "ModuleOp"> {
  let summary = "Make functions of kernels, one for all equal ones";
  let description = [{
    Each operation on buffers in destination style (`linalg` operations, kernels of packed layers) becomes a call of a
    private function that is not inlined. Kernels with the same operation, attributes, types and region share a function,
    so that the equal layers of a network are compiled once. Constants that a region uses move into the function, other
    values become arguments; a strided buffer is passed with a run-time offset, so that its place does not tell kernels
    apart. Left alone: operations on tensors and with results.

    ```mlir
    linalg.exp ins(%a : memref<8xf32>) outs(%b : memref<8xf32>)
    linalg.exp ins(%b : memref<8xf32>) outs(%c : memref<8xf32>)
    // becomes
    call @kernel_linalg_exp(%a, %b) : (memref<8xf32>, memref<8xf32>) -> ()
    call @kernel_linalg_exp(%b, %c) : (memref<8xf32>, memref<8xf32>) -> ()
    ```
  }];
  let statistics = [
    Statistic<"numKernels", "num-kernels", "Functions created">,
    Statistic<"numCalls", "num-calls", "Operations turned into calls">,
  ];
  let dependentDialects = ["func::FuncDialect", "memref::MemRefDialect"];
}

#endif // PRUNE_CONVERSION_CODEGENPASSES
