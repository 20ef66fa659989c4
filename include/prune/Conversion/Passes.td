//===- Passes.td - Passes of prune/Conversion ---*- tablegen -*-===//
include "mlir/Pass/PassBase.td"
include "prune/Conversion/CodegenPasses.td"

//===----------------------------------------------------------------------===//
// Kernels of packed layers
//===----------------------------------------------------------------------===//

def ConvertPruneToVector : Pass<"convert-prune-to-vector"> {
  let summary = "Loops of scf and vector for packed layers on memrefs";
  let description = [{
    Replaces every `prune.linear` on memrefs by loops over lane tiles, chunks of columns and groups of rows. The
    accumulators of a group stay in vector registers; the epilogue runs on them in the last chunk.

    Where a layer has a window, what the window reads of a chunk of channels for the pixels of a tile is copied into the
    buffer, one row for each column of the weight. That copy holds padding, strides and dilations, so that the kernel
    does not know them; all rows of the weight use it, and it stays in the first-level cache.

    A `prune.weight_gradient` becomes a fill and loops over lane tiles, chunks of columns and rows: a row of the gradient stays in
    registers, four kept elements at a time are multiplied, folded and added to the result.

    With `parallel`, threads share lane tiles and leading dimensions, or the rows of a layer with `shares`, whose boundaries
    give each about the same nonzeros. Layers of less than 100,000 multiply-adds without `shares` stay serial.

    A `prune.list_nonzeros` becomes a loop that writes each element behind the list, which grows by it or not; a
    `prune.sum_columns` loops that add eight listed rows of the weight at a time to the result, from end to end of a share, for
    one token after the other. `prune.sum_all_columns` does the same with all rows for up to three tokens; for more, the sums
    of up to six tokens and two vectors of columns stay in registers over 256 rows. `prune.multiply_rows` becomes loops that
    multiply eight listed rows at a time.

    A `prune.depthwise` becomes loops over channels, vectors of columns and blocks of rows; columns outside of the image are
    masked, rows outside of it left out.

    Where a layer has words of int8 weights, the copy of a chunk brings the same columns of each token side by side. Words of
    four are multiplied by `vpdpbusd` (`vnni`) or as two halves, words of two as products of 16 bits. Sums are i32
    and exact, so all of these give the same bits.

    Lanes that do not fill a tile are handled by a narrower tile whose last vector is masked. A tile that is not a
    whole row of lanes copies its chunk of activations into a buffer on the stack of `chunk * lanes * vectors` elements.

    Refuses operands with dynamic shape or a layout that is not the identity: run it after bufferization of static shapes.
  }];
  let options = [
    Option<"lanes", "lanes", "int64_t", "8", "Elements of one vector register">,
    Option<"vectors", "vectors", "int64_t", "4", "Most vectors of lanes that one row accumulates at once">,
    Option<"registers", "registers", "int64_t", "16", "Vector registers of the target">,
    Option<"parallel", "parallel", "bool", "false", "Emit scf.parallel over leading dimensions and lane tiles">,
    Option<"vnni", "vnni", "bool", "false", "The target has vpdpbusd: it multiplies words of four columns">];
  let statistics = [Statistic<"numLayers", "num-layers", "Packed layers lowered">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def ConvertPruneToLoops : Pass<"convert-prune-to-loops", "::mlir::ModuleOp"> {
  let summary = "Calls and loops for masks that are decided at run time";
  let description = [{
    Replaces `prune.select_masks` and `prune.regrow_mask` on buffers by calls of functions that rank units: by the digits of
    their scores where a number of them is kept, sorted where scores are normalised. The functions are written as MLIR text
    (`lib/Conversion/PruneToLoops/MaskLibrary.mlir`), and the module gets those that it calls. They run on one thread, and
    the masks are the same on every machine.

    Scratch has static sizes: 5 bytes for each unit, with a normalisation 8 more and 8 for each unit of the largest weight.

    Refuses tensors, layouts that are not row-major, and modules with symbols of the library's names.

    ```mlir
    prune.select_masks by(#prune.magnitude<l1>) as(#prune.unstructured) sparsity(%s)
        ins(%w : memref<4x6xf32>) outs(%m : memref<4x6xi1>)
    // becomes, with %w and %m as rows of 24
    call @prune_write_keys(%w, %false, %keys, %c0) : (memref<?xf32>, i1, memref<?xi32>, index) -> ()
    ...
    %cut:2 = call @prune_rank_together(%keys, %states, %bounds, %least, %keep) : ... -> (i64, index)
    call @prune_write_mask(%keys, %states, %cut#0, %cut#1, ..., %m) : ...
    ```
  }];
  let statistics = [Statistic<"numOps", "num-ops", "Ops replaced by calls">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def ConvertPruneToGPU : Pass<"convert-prune-to-gpu", "::mlir::ModuleOp"> {
  let summary = "Kernels and launches for packed layers and linalg operations on memrefs";
  let description = [{
    Each `prune.linear` without lanes, each `linalg` operation and each `memref.copy` of the host functions becomes a
    `gpu.launch_func` of a kernel in the one `gpu.module @kernels`; equal kernels are merged. What is left of a host
    function is views of buffers and launches.

    A `prune.linear` of format `columns` whose chunks are several becomes two launches, a `prune.keep_largest` one with a block for
    each row.

    A `linalg` operation becomes one thread for each point of its parallel loops; reductions are loops of the thread,
    which start from the value of the fill of their result where there is one. Reductions along rows of 32 or more elements
    get a block for each row, and take the operations around them along that work on the same rows, as those of a
    softmax or layer norm do: one kernel, whose temporaries lie in shared memory. Captured buffers (gathers) are further
    arguments of the kernel.

    Where a layer on tensor cores has fewer tiles than the chip has processors (few tokens), its columns may be split into parts
    for more blocks of threads: the kernel stores the sums of each part, and a second one adds them up in the order of the parts
    and applies the epilogue. The cost model decides by what blocks read and what the second kernel costs.

    Layers whose storage is that of a library (see `libraries` of `prune-pack-gpu`) become calls of external functions with the
    attribute `prune.library`; a kernel applies the epilogue where there is one.

    Fails on an operation that has no kernel, with its name and place, on dynamic shapes, and on buffers whose place is
    not known at compile time.

    ```mlir
    linalg.exp ins(%a : memref<8xf32>) outs(%b : memref<8xf32>)
    // becomes
    gpu.launch_func @kernels::@exp blocks in (%c1, %c1, %c1) threads in (%c128, %c1, %c1)
        args(%a : memref<8xf32>, %b : memref<8xf32>)
    ```
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"", "Chip: sm_80, sm_86, sm_89, sm_90 or opencl">,
    Option<"useTF32", "tf32", "bool", "false", "Multiply f32 on tensor cores, rounded to tf32">,
    Option<"useCuBLAS", "cublas", "bool", "false", "Multiply by matrices with cuBLAS">,
    Option<"columnSplits", "column-splits", "int64_t", "0", "Parts of the columns of layers on tensor cores; 0: by the cost model of the chip">,
    Option<"copies", "copies", "std::string", "\"auto\"", "Who copies the activations of blocks into shared memory: threads, engine (the tensor copy engine of sm_90; for opencl written out), or auto">];
  let statistics = [
    Statistic<"numLaunches", "num-launches", "Launches">,
    Statistic<"numLibraryCalls", "num-library-calls", "Products by libraries of CUDA">,
    Statistic<"numRowGroups", "num-row-groups", "Launches of a block for each row">,
    Statistic<"numKernels", "num-kernels", "Kernels left after merging equal ones">];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def PruneExpandKernelMath : Pass<"prune-expand-kernel-math", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Functions of the math dialect in kernels as arithmetic";
  let description = [{
    What `prune-approximate-math` does, and besides: powers, trigonometric and hyperbolic functions and their inverses become
    upstream's polynomials and compositions. So kernels need no library of the device (CUDA's libdevice, OpenCL's built-in
    functions), and give the same on all of them. Functions that are instructions stay (`sqrt`, `floor`, `fma`); fails on any
    other that is left, such as those of f64.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::vector::VectorDialect"];
}

def PruneLowerKernels : Pass<"prune-lower-kernels", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Kernels on memrefs as functions of the LLVM dialect that take plain pointers";
  let description = [{
    Each buffer that a kernel takes becomes one pointer to the device's memory: shapes are static, so that the code knows
    the rest. Shared memory is CUDA's dynamic one, for OpenCL a last argument. Truth values in memory become bytes.
    OpenCL has no bf16: f32 computes, each result is rounded to bf16, and i16 holds it. What has no such form, as from bf16
    to f64, is an error there.
    Functions of the `math` dialect become instructions; `prune-expand-kernel-math` has replaced the others before.

    Wants kernels without loops of `scf` (`convert-scf-to-cf`) and strided views (`expand-strided-metadata`). Fails on
    what has no form in LLVM.
  }];
  let options = [Option<"chip", "chip", "std::string", "\"sm_80\"", "Chip: sm_80, sm_86, sm_89, sm_90 or opencl">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

def PruneFinalizeGPUEntry : Pass<"prune-finalize-gpu-entry", "::mlir::ModuleOp"> {
  let summary = "Device code and a table of launches for the function of the entry";
  let description = [{
    Compiles `gpu.module @kernels` to PTX, a cubin or SPIR-V, which becomes a constant of the module, and replaces the
    entry's function, a list of launches, by one of four pointers that calls the runtime:
    `prune_gpu_run(program, inputs, outputs, weights)`. `program` is the global `prune_gpu_program`: the code, the names
    of the kernels, and for each launch its kernel, grid, block, bytes of shared memory and arguments, each as a space
    (inputs, outputs, weights, workspace) and an offset in it.

    Wants a function of views, constants and launches, after `prune-plan-memory`; fails on anything else.
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"", "Chip: sm_80, sm_86, sm_89, sm_90 or opencl">,
    Option<"format", "format", "std::string", "\"ptx\"", "Code for an NVIDIA chip: ptx, or cubin by ptxas">];
  let statistics = [
    Statistic<"numLaunches", "num-launches", "Launches of a call">,
    Statistic<"codeBytes", "code-bytes", "Bytes of device code">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

//===----------------------------------------------------------------------===//
// CPU entry: from a bufferized model to one function of four pointers (CPUEntry.h)
//===----------------------------------------------------------------------===//

def PruneCaptureEntry : Pass<"prune-capture-entry", "::mlir::ModuleOp"> {
  let summary = "Write down the signature of a model before its function is lowered";
  let description = [{
    Inserts `prune.entry` for one function on tensors: its types, the names its arguments and results carry as
    `prune.name` (`in0`, `out0` and so on where they carry none), the target and the number of threads. Removes the
    `prune.name` attributes, whose facts now live in the op, and marks the arguments as not writable, so that
    bufferization leaves the caller's inputs as they are. Every other function with a body becomes private.

    Refuses dynamic shapes, arguments that are no tensors, and a module that has an entry already.

    ```mlir
    func.func @main(%x: tensor<1x4xf32> {prune.name = "x"}) -> tensor<1x4xf32>
    // becomes
    prune.entry @main ("x": tensor<1x4xf32>) -> ("out0": tensor<1x4xf32>) cpu("x86-64") threads(1)
    func.func @main(%x: tensor<1x4xf32> {bufferization.writable = false}) -> tensor<1x4xf32>
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", "\"main\"", "Function to enter the model by.">,
    Option<"cpu", "cpu", "std::string", "\"host\"",
           "Processor to compile for, as LLVM names it; 'host' is replaced by this machine's.">,
    Option<"features", "features", "std::string", "\"\"",
           "Instruction sets to add or take away, such as '+avx2,-fma'.">,
    Option<"gpu", "gpu", "std::string", "\"\"", "Chip that kernels are compiled for: sm_80, sm_86, sm_89, sm_90 or opencl; none if empty.">,
    Option<"threads", "threads", "int64_t", "1", "Number of threads the code may use.">
  ];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::prune::PruneDialect",
                           "::mlir::func::FuncDialect"];
}

def PruneConstantsToBlob : Pass<"prune-constants-to-blob", "::mlir::ModuleOp"> {
  let summary = "Collect large constants in one aligned blob beside the code";
  let description = [{
    Every constant `memref.global` of more than `inline-elements` elements becomes a range of one `prune.blob`, each at a
    multiple of 64 bytes, in the order of their first use; equal contents are stored once. Uses become views of a new
    argument, the weights, which private functions receive from their callers. Smaller constants, mutable globals and
    globals of types that are no whole bytes stay.

    Wants the entry's function on memrefs (after `one-shot-bufferize` and `buffer-results-to-out-params`) and before
    `prune-plan-memory`.

    ```mlir
    %w = memref.get_global @w : memref<8x4xf32>
    // becomes
    %w = memref.view %weights[%c0][] : memref<128xi8> to memref<8x4xf32>
    ```
  }];
  let options = [
    Option<"inlineElements", "inline-elements", "int64_t", "16",
           "Constants of at most so many elements stay in the code.">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect", "::mlir::prune::PruneDialect"];
  let statistics = [
    Statistic<"numConstants", "constants", "Number of constants moved to the blob">,
    Statistic<"numDuplicates", "duplicates", "Number of those stored once with an equal one">,
    Statistic<"numInline", "inline-constants", "Number of constants left in the code">,
    Statistic<"numBytes", "bytes", "Size of the blob in bytes">
  ];
}

def PruneForallToLoops : Pass<"prune-forall-to-loops", "::mlir::func::FuncOp"> {
  let summary = "Turn loops over tiles and samples into loops for threads";
  let description = [{
    Each `scf.forall` on buffers becomes an `scf.parallel`, with one thread an `scf.for`. Where one is in another (tiles
    inside of samples) only one of them runs in parallel: the outer one if its iterations can be shared evenly (their
    number is a multiple of `threads`, or at least eight times as large), each thread then going through its share in
    order; otherwise the inner ones.

    ```mlir
    scf.forall (%sample) in (16) { scf.forall (%tile) in (4) { ... } }
    // becomes, with threads=2
    scf.parallel (%thread) = (%c0) to (%c2) step (%c1) {
      scf.for %sample = %begin to %end step %c1 { scf.for %tile = %c0 to %c4 step %c1 { ... } }
    }
    ```
  }];
  let options = [Option<"threads", "threads", "int64_t", "1", "Threads that one call may use.">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def PrunePlanMemory : Pass<"prune-plan-memory", "::mlir::ModuleOp"> {
  let summary = "Give every temporary a fixed place in one workspace";
  let description = [{
    Each `memref.alloc` becomes a view of a new argument, the workspace, at an offset decided here: temporaries that never
    live at the same time share bytes (largest first, lowest offset that is free). A temporary lives from its first use
    to its last one, through views, branches and loops. `memref.dealloc` goes. A private function gets its workspace
    from its caller's. Those of an `scf.parallel` lie on the stack of each thread, planned the same way; where they have
    more than 2 MiB, in the workspace, once for each iteration. The size is recorded in `prune.entry`, and reported as a
    remark of the category `plan-memory`.

    Refuses sizes that are unknown at compile time, recursion, more than 2 MiB of temporaries in a parallel loop of more
    than 64 iterations, and a temporary that outlives the loop iteration which allocates it. Leaves `memref.alloca` alone.

    ```mlir
    %a = memref.alloc() : memref<16xf32>
    // becomes
    %a = memref.view %workspace[%c0][] : memref<64xi8> to memref<16xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect", "::mlir::prune::PruneDialect"];
  let statistics = [
    Statistic<"numBuffers", "buffers", "Number of temporaries placed">,
    Statistic<"totalBytes", "total-bytes", "Bytes of all temporaries one after the other">,
    Statistic<"liveBytes", "live-bytes", "Bytes that live at the same time at most">,
    Statistic<"plannedBytes", "workspace-bytes", "Bytes of the workspace">
  ];
}

def PruneFinalizeEntry : Pass<"prune-finalize-entry", "::mlir::ModuleOp"> {
  let summary = "Give the entry function its final signature of four pointers";
  let description = [{
    The function of `prune.entry`, on memrefs, becomes `(inputs, outputs, weights, workspace)`: pointers as `prune.entry`
    describes them. Inputs are read where the caller has them and outputs are written where the caller wants them.
    Other functions become internal. Run it just before the conversion to the LLVM dialect, which resolves the
    casts it leaves.

    ```mlir
    func.func @main(%x: memref<4xf32>, %y: memref<4xf32>)
    // becomes
    func.func @main(%inputs: !llvm.ptr, %outputs: !llvm.ptr, %weights: !llvm.ptr, %workspace: !llvm.ptr)
    ```
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::prune::PruneDialect"];
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

def PrunePack : Pass<"prune-pack"> {
  let summary = "Pack constant weights into storage order, sparse where it pays";
  let description = [{
    Replaces each `linalg.contract` with a constant f32 weight (behind a `prune.apply` or not) by `prune.linear`. The weight is
    packed at compile time: the constants of a sparse storage are held together by `sparse_tensor.assemble`, nothing is
    converted or allocated at run time. Masked weights become `chunked_csr`, or `block_rows` where the mask has the
    pattern `#prune.block<r, 1>`; weights without a mask, or too dense for sparse code, become `dense`, or stay as they are
    below 8 tokens.

    A cost model of the processor predicts what each code of a layer takes, from what its mask keeps: dense or sparse, chunk
    and register tile are those of the least time. With `measure=true` the best candidates are compiled alone and timed, where
    the tool can run code, until `measure-limit` is over. A remark says for each masked layer which code it gets, why, and which comes next; `report` writes
    all candidates. The model is built in for some processors and calibrated by `prune-bench calibrate` for others.

    Activations `[.., m, k]` are transposed to `[.., k, m]` in panels of `panel` tokens where that divides m, and the
    result back; `prune-propagate-layouts` removes most of these copies. Activations `[b, k, h, w]` are used as they are.

    With `threads` above 1, a layer with too few tokens for them (one tile, or three for two threads) gets shares of its rows
    that hold about as many nonzeros each: boundaries for each chunk, as a constant. Which code a layer gets, and what a row
    sums in which order, does not depend on the number of threads.

    The same is done where only the mask is a constant (`prune.decompress`): values are gathered into the storage by each call.
    Such a weight may also be the transposed one of a product, as in the gradient of a layer by its input. A product that ends in
    `prune.compress`, the gradient by the weight, becomes `prune.weight_gradient` up to a density of 0.6.

    A product whose activations pass a `prune.gate`, or of one token behind max(x, 0), may become `prune.list_nonzeros` and
    `prune.sum_columns` on the transposed weight, which read only what is multiplied with nonzeros: where the model says that
    this takes less time at the density of the mask, one half where that is not known. With more than one token each call
    counts what is listed, and takes `prune.sum_all_columns` on the same weight where that is faster. `kernel=sparse` skips
    wherever it can, `kernel=dense` nowhere. Declined with a remark: activations whose columns do not lie side by side, weights that
    hold infinity or NaN, and values that come at run time.

    A product whose results all reach gates with one mask, through elementwise operations at most, may become
    `prune.multiply_rows`, which computes of each token what the mask keeps: the mask comes from somewhere else, as from a
    predictor. Declined with a remark: results that something else reads.

    Dense products of less than 8 tokens become `prune.sum_all_columns` where that is faster than `linalg.contract`.

    A `linalg.conv_2d_nchw_fchw` or `linalg.conv_2d_ngchw_gfchw` is chosen for in the same way: it stays, for the loops of
    `convert-linalg-to-vector-loops`, or becomes a `prune.linear` with a window, sparse or dense; zero padding before it moves into
    the window. The pixels are used as they lie, so there is no copy of the activations but the one that the kernel makes of a
    chunk. Groups become one weight over all channels, whose rows keep nothing of the channels of other groups; dense, a grouped
    convolution stays. Masked convolutions of other forms stay, with a remark.

    A transposed convolution arrives as an image spread between zeros and a convolution of it. Where its strides are the size of
    its kernel, it becomes one product with a matrix for each element of the kernel, masked or not, whose results interleave.

    A `linalg.depthwise_conv_2d_nchw_chw`, masked or not, becomes `prune.depthwise` with such a window, unless the filter has more
    than 25 elements or the stride is above 4.

    A product of unsigned i8 activations and a constant i8 weight with sums of i32, as `prune-quantize` makes it, becomes a
    `prune.linear` on words of four columns where the target has vpdpbusd (`vnni`) and the model says that this is faster than
    f32; else it computes the same sums in f32: exactly, unless a sum could be larger than 2^24, which the remark then says.
    Without `vnni` it always does, but for sums that could reach 2^30. `word-columns` asks for words whatever is faster. Such
    layers are not measured.

    With `kernel=sparsifier` the contraction stays, and its weight becomes a sparse tensor in a format of upstream's
    sparsifier: CSR (or CSC), BSR for r x c blocks, padded n:m for n:m masks. That is the general path, and the check of ours.

    Declined with a remark: other element types, dynamic shapes, fewer lanes than `min-lanes`, a destination that is not
    filled with zero. Fails on a mask that is not a constant.
  }];
  let options = [
    Option<"kernel", "kernel", "std::string", "\"auto\"", "Storage of masked weights: auto (the faster one), sparse, dense; or sparsifier: formats of upstream's sparsifier">,
    Option<"byColumn", "by-column", "bool", "false", "With kernel=sparsifier: CSC whatever the pattern">,
    Option<"panel", "panel", "int64_t", "32", "Tokens of a panel: lanes times vectors of the widest register tile">,
    Option<"lanes", "lanes", "int64_t", "8", "Elements of one vector register">,
    Option<"registers", "registers", "int64_t", "16", "Vector registers of the target">,
    Option<"chunk", "chunk", "int64_t", "0", "Columns of a chunk, whose activations stay in the first-level cache; 0: as the cost model says">,
    Option<"vectors", "vectors", "int64_t", "0", "Vectors of a register tile; 0: as the cost model says">,
    Option<"denseRows", "dense-rows", "int64_t", "0", "Rows of a register tile of the dense kernel; 0: as the cost model says">,
    Option<"threads", "threads", "int64_t", "1", "Threads that the code may use; they share the rows of a layer, by their nonzeros, that has too few tokens for them">,
    Option<"vnni", "vnni", "bool", "false", "The target has vpdpbusd: int8 layers multiply words of four columns where that is faster than f32">,
    Option<"wordColumns", "word-columns", "int64_t", "0", "Columns of an int8 weight that share a word, 2 or 4, whatever is faster; 0: 4 with vnni, and f32 without">,
    Option<"minLanes", "min-lanes", "int64_t", "1", "Least number of tokens or pixels">,
    Option<"costModel", "cost-model", "std::string", "\"x86-64-v3\"", "Cost model: the cpu of a built-in one, or a file of prune-bench calibrate">,
    Option<"measure", "measure", "bool", "false", "Time the best candidates of each layer on this machine">,
    Option<"measureLimit", "measure-limit", "double", "0", "Seconds after which measure=true leaves the layers that follow to the estimate; 0: no limit">,
    Option<"report", "report", "std::string", "\"\"", "JSON file for the candidates of each layer and what they take">];
  let statistics = [
    Statistic<"numPacked", "num-packed", "Layers packed">,
    Statistic<"numDeclined", "num-declined", "Contractions left as they are">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
                           "::mlir::sparse_tensor::SparseTensorDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::prune::PruneDialect"];
}

def PrunePackGPU : Pass<"prune-pack-gpu"> {
  let summary = "Pack constant weights into storage that kernels for GPUs read";
  let description = [{
    Replaces each contraction `x(.., m, k) w(n, k) -> y(.., m, n)` with a constant f32 weight (behind a `prune.apply` or not) by
    `prune.linear` without lanes. What is stored is decided by the mask as it is, nothing else is pruned:

    | storage | where |
    |---|---|
    | `matrix` | any weight, in f32 |
    | `tiles` | any weight, in f16, bf16, tf32 or i8: 16 rows x 128 bytes or, for the warp groups of sm_90, 128 rows x 128 bytes |
    | `csr` | masked ones; always in f32 |
    | `block_csr` | masks of the pattern `#prune.block<r, c>`, up to 64 x 32 |
    | `two_of_four` | masks that keep at most two of four columns, in f16, bf16 or i8, or one of two in tf32, where K is a multiple of 8 |
    | `columns` | products behind a `prune.gate` of up to 16 tokens, or behind a ReLU of one token: the weight is transposed, and columns whose activations are all zero are not read |

    A cost model of the chip predicts what each takes for the number of tokens M, and the least wins. A remark says for each
    masked layer which storage it gets, what comes next, and why the others were declined; `report` writes all of that. With
    `kernel` another than auto, masked layers get that storage where they can, and `matrix` with a remark where they cannot;
    a 2:4 mask over a K that is no multiple of 8 is then an error.

    With `precision=f16` or `bf16` weights are stored in that type, and an `arith.truncf` of the activations stands before the
    layer, except of `columns`. Sums and results are f32. A weight beyond the range of the type keeps its layer in f32.

    How many columns will be skipped is what the gate expects (`keep`, `sparsity`), or half of them; a remark says below which
    density of the activations it pays. `kernel=columns` skips wherever it can, any other kernel but `auto` nowhere.

    With `precision=i8` each row of a weight is divided by its largest magnitude, and so is each token by the device; 127 times
    the quotients, rounded to the nearest, halves to even, are multiplied and added exactly in i32. The epilogue multiplies the sum
    by both magnitudes over 127 squared. Pruned weights stay zeros. A token whose largest magnitude is below 1e-30 counts as
    zeros; what is not finite makes its token's results so. Weights that are not finite, and more than 133144 columns,
    keep a layer in f32, with a remark.

    `libraries` names libraries of CUDA that multiply in place of kernels, by the storage that is chosen: `cublas` for dense layers
    (all but i8), `cusparselt` for 2:4 in f16 and bf16, `cusparse` for CSR. What they get is the masked weight: `matrix` [N x K],
    the same as `two_of_four`, and positions [N + 1], columns and values as `csr`. cuSPARSELt wants N and K in multiples of 16 and
    M in multiples of 8; other layers keep our kernels, with a remark.

    A convolution of constant filters (`conv_2d_nchw_fchw` in f32, eight filters or more) becomes such a layer: what the filters see
    of each pixel of the result is gathered, and the product's results are put back into images. One of groups of channels
    (`conv_2d_ngchw_gfchw`) becomes a batch of products in f32, where a group has eight filters or more, or CSR of one weight over all
    channels, where its filters are masked and that is estimated to be faster. Other convolutions stay, with a remark: a thread
    computes each result.

    Declined with a remark: what `prune-pack` declines, products of int8, values that come at run time (`prune.decompress`),
    columns that are not the last dimension of the activations. Fails on a mask that is not a constant.
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"", "Chip: sm_80, sm_86, sm_89, sm_90 or opencl">,
    Option<"precision", "precision", "std::string", "\"f32\"", "What is multiplied: f32 (exactly), tf32, f16, bf16 or i8">,
    Option<"kernel", "kernel", "std::string", "\"auto\"", "Storage of masked weights: auto (the fastest one), dense, csr, block or two_of_four; or columns, which skip zeros of the activations">,
    Option<"tiles", "tiles", "std::string", "\"auto\"", "Who reads the tiles of tensor cores: warp, warp_group (sm_90 and opencl), or auto">,
    ListOption<"libraries", "libraries", "std::string", "Libraries of CUDA that multiply in place of kernels: cublas, cusparselt, cusparse">,
    Option<"costModel", "cost-model", "std::string", "\"\"", "Cost model: a file like the built-in one of the chip, which is the default">,
    Option<"report", "report", "std::string", "\"\"", "JSON file for the candidates of each layer and what they take">];
  let statistics = [
    Statistic<"numPacked", "num-packed", "Layers packed">,
    Statistic<"numSparse", "num-sparse", "Layers among them that store less than a matrix">,
    Statistic<"numSkipping", "num-skipping", "Layers that skip zeros of their activations">,
    Statistic<"numUnfolded", "num-unfolded", "Convolutions that became products">,
    Statistic<"numDeclined", "num-declined", "Contractions left as they are">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::prune::PruneDialect"];
}

def PruneLowerCompressed : Pass<"prune-lower-compressed"> {
  let summary = "Plain code for weights that are held as their kept elements";
  let description = [{
    What `prune-pack` left of `prune.decompress` becomes zeros into which one element after the other is written, and of
    `prune.compress` a gather. Ops whose result is not used go. Fails on a mask that is not a constant.

    ```mlir
    %w = prune.decompress %v, %mask : tensor<3xf32> to tensor<2x2xf32>
    // becomes
    %flat = scf.for %i = %c0 to %c3 step %c1 iter_args(%w = %zeros) -> (tensor<4xf32>) {
      %place = tensor.extract %places[%i] : tensor<3xi32>
      ...
    }
    %w = tensor.expand_shape %flat [[0, 1]] output_shape [2, 2] : tensor<4xf32> into tensor<2x2xf32>
    ```
  }];
  let statistics = [Statistic<"numLowered", "num-lowered", "Ops that became plain code">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

def PruneExpandStorage : Pass<"prune-expand-storage"> {
  let summary = "Give packed layers the arrays of their sparse storage";
  let description = [{
    Replaces a sparse tensor among the storage operands of `prune.linear` by the positions, coordinates and values it was
    assembled from, so that nothing but dense arrays is left to bufferize. Masks are storage from here on: every
    `prune.record` goes, so run `prune-verify-masks` before. Refuses sparse tensors that are not the result of
    `sparse_tensor.assemble`.
  }];
}
