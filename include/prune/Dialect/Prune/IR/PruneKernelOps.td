//===- PruneKernelOps.td - Packed layers ------------------------*- tablegen -*-===//
//
// What a pruned layer becomes once its storage is decided and before it becomes loops.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_KERNEL_OPS_TD
#define PRUNE_KERNEL_OPS_TD

include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "prune/Dialect/Prune/IR/PruneAttrs.td"

def Prune_LinearOp : Prune_Op<"linear", [AttrSizedOperandSegments, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Product of a packed constant weight with activations, and an epilogue";
  let description = [{
    `result[b, n, s] = epilogue(sum over k of W[n, k] * input[b, k, s], extras...)`

    `W` is the constant `N x K` weight in one of the storage formats below, `s` runs over the trailing `lane_dims` dimensions
    (tokens or pixels, contiguous in memory, the lanes of the vectors), `b` over any number of leading dimensions.
    The destination `init` gives the result's shape; its content is not read. The sum runs over ascending chunks of
    columns and, inside a chunk, in storage order: the same for any number of threads.

    With a `window` the layer is a convolution: `s` is a pixel `(y, x)` of the result (`lane_dims` is 2), a column `k` is
    `(c, i, j)`, channel and element of the kernel, and `input[b, k, s]` is the activation of channel `c` that the window
    puts there, or zero. Chunks consist of whole channels.

    The region computes one element of the result. Its first argument is the sum, the others are elements of `extras`:
    an extra of rank 1 is indexed by `n` (a bias), any other has the result's shape (a residual) or, without lanes, that with one
    row (a number for each token).

    Storage, as tensors (before bufferization a sparse storage may still be one `sparse_tensor.assemble`):

    | format | operands of `storage` |
    |---|---|
    | `dense` | values `[G x K x R]`: row groups of R rows, rows of a group contiguous; the last group is padded by zeros |
    | `chunked_csr` | sparse tensor `[C x P x chunk]` (dense, dense, compressed) of P pairs of rows, rows of the pairs `[C x 2P]`, shared counts `[C x P]` |
    | `block_rows` | sparse tensor `[C x N/R x chunk x R]` (dense, dense, compressed, dense), first row of each block `[C x N/R]` |
    | `matrix` | values `[N x K]` |
    | `csr` | positions `[G x W x C x B + 1]`, places and values `[entries]`, rows of the slots `[G x R]`, for G groups of R rows. The lanes of a warp share 32 / `vectors` rows, a bundle; each of W warps has B bundles. The entries of a group, warp, chunk and bundle are one run, in turns of four for each row of the bundle, padded by zeros; a place is that of a column in shared memory (`SparseTile::getPlace`). `vectors` is the number of tokens of a tile over four; 0: one row in a warp, positions `[N + 1]`, columns and values `[entries]` padded to a multiple of four |
    | `block_csr` | positions `[N/R + 1]`, block columns and values `[blocks x R x chunk]`; with `vectors` (tokens of a tile over 8) as fragments of 16 x 16: positions `[S x C + 1]` for S slots, of which R/16 are a group, block columns in the chunk, values `[blocks x 256]` in the order of tensor cores, and for each slot the row of blocks that it stores and how many slots, itself first, add up to it: 0 adds to one before; with `rows` 16, for few tokens, slots are the rows of blocks |
    | `two_of_four` | bytes of tiles of `rows` x `chunk` weights: the two kept of each four columns, and which they are, as tensor cores read it |
    | `tiles` | the same for a dense weight |
    | `columns` | values `[K x N]`, the transposed weight, N rounded up to a multiple of `rows / 32` by zeros: what an activation is multiplied with lies side by side. Where the activations of all tokens are zero it is not read. A block of threads adds up `rows` results over `chunk` columns |

    For libraries of CUDA `two_of_four` is values `[N x K]`, of which at most two of four are not zero, and `csr` is positions
    `[N + 1]`, columns and values `[entries]` of the whole rows.

    The last six are those of `prune-to-gpu`. They have no lanes: `input[b, k]` and `result[b, n]` are row-major. Their
    input may be of another float type than the result, or both of integers. With `two_of_four` and `tiles` the input may be of
    i8 and the result of floats: weights are then of i8, and the region gets the sum, of i32, as f32.

    `C` counts the chunks of `chunk` columns. Pairs of similar rows and blocks come in the order of falling counts. The
    entries of a pair alternate between its two rows, of equal length; the first `shared` entries of both have the same columns.

    `vectors` is the width of the register tile in vector registers; without it, that of `convert-prune-to-vector`.

    `shares` divides the groups of rows of each chunk among threads: share `i` of chunk `c` has the groups from
    `shares[c, i]` up to `shares[c, i + 1]`. Without it threads share the lanes.

    With `word_columns` 2 or 4 the layer multiplies integers: the weight is i8, signed, the input i8, unsigned, and the sum i32,
    exact. A column of the storage is then a word, the weights of so many consecutive columns of a row in 32 bits (halves or
    bytes, the first one lowest, zero where `K` ends), and a word is kept if one of its weights is. The epilogue may make the
    sum f32 or i8. `chunk` counts words.

    ```mlir
    %y = prune.linear chunked_csr rows 2 chunk 192 storage(%w, %rows, %shared : tensor<2x768x192xf32, #sparse>,
           tensor<2x1536xi32>, tensor<2x768xi16>) ins(%x : tensor<4x384x32xf32>) extras(%bias : tensor<1536xf32>)
         outs(%init : tensor<4x1536x32xf32>) {
    ^bb0(%sum: f32, %b: f32):
      %0 = arith.addf %sum, %b : f32
      prune.yield %0 : f32
    } -> tensor<4x1536x32xf32>
    ```

    **Constraints**
    1. `linear_c1`: input and init have the same rank, element type (with lanes) and equal sizes except in the row dimension. With
       a window the spatial sizes of init follow from those of the input.
    2. `linear_c2`: an extra has rank 1 and size N, or the shape of init, without lanes also that with 1 for N.
    3. `linear_c3`: the region takes one element of init's type (without lanes also of f32, for a narrower init; with words the
       sum, i32) and one element of each extra, and yields one of init's type.
    4. `linear_c4`: `rows` and `chunk` are positive, `vectors` is not negative; `chunked_csr` has `rows` 2.
    5. `linear_c5`: a window has two lane dimensions, a chunk of whole channels and no words.
    6. `linear_c6`: `shares` has a row for each chunk, of two or more numbers of i32.
    7. `linear_c7`: formats without lanes have 0 lane dimensions, no window, no shares and no words; all others have at least 1.
    8. `linear_c8`: `word_columns` is 1, 2 or 4. With words the input is i8 and init i32 or f32, without shares also i8.
  }];
  let arguments = (ins
    Variadic<AnyType>:$storage,
    Optional<AnyShaped>:$shares,
    AnyShaped:$input,
    Variadic<AnyShaped>:$extras,
    AnyShaped:$init,
    Prune_StorageFormatAttr:$format,
    I64Attr:$rows,
    I64Attr:$chunk,
    DefaultValuedAttr<I64Attr, "0">:$vectors,
    DefaultValuedAttr<I64Attr, "1">:$lane_dims,
    DefaultValuedAttr<I64Attr, "1">:$word_columns,
    OptionalAttr<Prune_WindowAttr>:$window);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    $format `rows` $rows `chunk` $chunk (`vectors` $vectors^)? (`lanes` $lane_dims^)? (`word_columns` $word_columns^)?
    (`window` $window^)?
    `storage` `(` $storage `:` type($storage) `)` (`shares` `(` $shares^ `:` type($shares) `)`)?
    `ins` `(` $input `:` type($input) `)` (`extras` `(` $extras^ `:` type($extras) `)`)?
    `outs` `(` $init `:` type($init) `)` $epilogue attr-dict (`->` type($results)^)?
  }];
  let builders = [
    /// Builds the op with an epilogue that returns the sum.
    OpBuilder<(ins "::mlir::ValueRange":$storage, "::mlir::Value":$input, "::mlir::Value":$init,
                   "::mlir::prune::StorageFormat":$format, "int64_t":$rows, "int64_t":$chunk, "int64_t":$vectors,
                   "int64_t":$laneDims, CArg<"::mlir::prune::WindowAttr", "{}">:$window,
                   CArg<"::mlir::Value", "{}">:$shares, CArg<"int64_t", "1">:$wordColumns)>
  ];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    ::mlir::ShapedType getInputType() { return ::llvm::cast<::mlir::ShapedType>(getInput().getType()); }
    ::mlir::ShapedType getInitType() { return ::llvm::cast<::mlir::ShapedType>(getInit().getType()); }
    /// Position of the row dimension (k of the input, n of the result).
    int64_t getRowDim() { return getInitType().getRank() - 1 - getLaneDims(); }
    int64_t getNumRows() { return getInitType().getDimSize(getRowDim()); }
    int64_t getNumColumns() {
      return getInputType().getDimSize(getRowDim()) * (getWindow() ? getWindow()->getNumTaps() : 1);
    }
    int64_t getNumChunks() {
      int64_t size = getChunk();
      return (getNumStorageColumns() + size - 1) / size;
    }
    /// True if the storage holds words of int8 weights.
    bool hasWords() { return getWordColumns() != 1; }
    /// Columns of the storage: those of the weight, or words.
    int64_t getNumStorageColumns() {
      int64_t columns = getWordColumns();
      return (getNumColumns() + columns - 1) / columns;
    }
    ::mlir::Type getSumType() {
      return hasWords() ? ::mlir::IntegerType::get(getContext(), 32) : getInitType().getElementType();
    }
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Prune_DepthwiseOp : Prune_Op<"depthwise", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Depthwise convolution with its padding and an epilogue";
  let description = [{
    `result[b, c, y, x] = epilogue(sum over i, j of filter[c, i, j] * input[b, c, window(y, x, i, j)], extras...)`

    One kernel per channel. The window says which activation is read, zero outside of the image, so that no padded copy is
    needed. Epilogue and extras are as in `prune.linear`, with the channel as row. The content of `init` is not read.

    ```mlir
    %y = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
           ins(%x, %w : tensor<1x8x14x14xf32>, tensor<8x3x3xf32>) extras(%bias : tensor<8xf32>)
           outs(%init : tensor<1x8x14x14xf32>) {
    ^bb0(%sum: f32, %b: f32):
      %0 = arith.addf %sum, %b : f32
      prune.yield %0 : f32
    } -> tensor<1x8x14x14xf32>
    ```

    **Constraints**
    1. `depthwise_c1`: input and init have rank 4 and one element type, equal images and channels, and sizes that follow from the
       window; the filter has the shape [channels, kernel].
    2. `linear_c2` and `linear_c3` hold for the extras and the region.
  }];
  let arguments = (ins
    AnyShaped:$input,
    AnyShaped:$filter,
    Variadic<AnyShaped>:$extras,
    AnyShaped:$init,
    Prune_WindowAttr:$window);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    `window` $window `ins` `(` $input `,` $filter `:` type($input) `,` type($filter) `)`
    (`extras` `(` $extras^ `:` type($extras) `)`)? `outs` `(` $init `:` type($init) `)` $epilogue attr-dict
    (`->` type($results)^)?
  }];
  let builders = [
    /// Builds the op with an epilogue that returns the sum.
    OpBuilder<(ins "::mlir::Value":$input, "::mlir::Value":$filter, "::mlir::Value":$init,
                   "::mlir::prune::WindowAttr":$window)>
  ];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    ::mlir::ShapedType getInputType() { return ::llvm::cast<::mlir::ShapedType>(getInput().getType()); }
    ::mlir::ShapedType getInitType() { return ::llvm::cast<::mlir::ShapedType>(getInit().getType()); }
    /// Position of the channels.
    int64_t getRowDim() { return 1; }
    int64_t getNumRows() { return getInitType().getDimSize(1); }
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Prune_WeightGradientOp : Prune_Op<"weight_gradient", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Gradient of the kept elements of a layer's weight";
  let description = [{
    `result[e] = sum over b, s of gradient[b, n(e), s] * input[b, k(e), s]` for each kept element `e` of an `N x K` weight, in
    row-major order, where it lies in row `n(e)` and column `k(e)`.

    `s` runs over the trailing `lane_dims` dimensions, `b` over all before the row dimension, as in `prune.linear`, of which this
    is the gradient by the weight: only what the mask keeps is computed. The destination `init` gives the result's
    shape; its content is not read. Each element is summed in one order whatever the number of threads.

    The columns are divided into chunks of `chunk`. With `C` chunks, the columns of row `n` in chunk `c`, relative to the chunk,
    are `coordinates[positions[n * C + c]]` up to `coordinates[positions[n * C + c + 1]]`.

    `shares` divides the rows among threads: share `i` has those from `shares[i]` up to `shares[i + 1]`.

    ```mlir
    %dv = prune.weight_gradient chunk 192 storage(%positions, %columns : tensor<3073xi32>, tensor<58982xi16>)
            ins(%dy, %x : tensor<32x1536x32xf32>, tensor<32x384x32xf32>) outs(%init : tensor<58982xf32>) -> tensor<58982xf32>
    ```

    **Constraints**
    1. `weight_gradient_c1`: gradient and input have the same rank and element type, and equal sizes except in the row
       dimension.
    2. `weight_gradient_c2`: `positions` are `N * C + 1` numbers of i32, `coordinates` and init have one size, the former are i16.
    3. `weight_gradient_c3`: `chunk` is from 1 to 65536.
    4. `weight_gradient_c4`: `shares` has two or more numbers of i32.
  }];
  let arguments = (ins
    AnyShaped:$positions,
    AnyShaped:$coordinates,
    Optional<AnyShaped>:$shares,
    AnyShaped:$gradient,
    AnyShaped:$input,
    AnyShaped:$init,
    I64Attr:$chunk,
    DefaultValuedAttr<I64Attr, "1">:$lane_dims);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `chunk` $chunk (`lanes` $lane_dims^)? `storage` `(` $positions `,` $coordinates `:` type($positions) `,` type($coordinates) `)`
    (`shares` `(` $shares^ `:` type($shares) `)`)?
    `ins` `(` $gradient `,` $input `:` type($gradient) `,` type($input) `)` `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    ::mlir::ShapedType getGradientType() { return ::llvm::cast<::mlir::ShapedType>(getGradient().getType()); }
    ::mlir::ShapedType getInputType() { return ::llvm::cast<::mlir::ShapedType>(getInput().getType()); }
    /// Position of the row dimension (n of the gradient, k of the input).
    int64_t getRowDim() { return getInputType().getRank() - 1 - getLaneDims(); }
    int64_t getNumRows() { return getGradientType().getDimSize(getRowDim()); }
    int64_t getNumColumns() { return getInputType().getDimSize(getRowDim()); }
    int64_t getNumChunks() {
      int64_t size = getChunk();
      return (getNumColumns() + size - 1) / size;
    }
  }];
  let hasVerifier = 1;
}

def Prune_TensorMapOp : Prune_Op<"tensor_map", [Pure]> {
  let summary = "How the tensor copy engine finds boxes of a matrix";
  let description = [{
    The 128 bytes by which a kernel of sm_90 copies boxes of `source`, seen as a matrix of its last dimension by all
    others, to shared memory. `box` is the size of a box in elements, columns first; elements outside of the matrix
    are zero. Pieces of 16 bytes lie swizzled within `swizzle` bytes. The run time fills it in, since it holds an address.

    ```mlir
    %map = prune.tensor_map %x box [64, 128] swizzle 128 : memref<300x200xf16> -> memref<128xi8>
    ```

    **Constraints**
    1. `tensor_map_c1`: the source is row-major, of f16, bf16, f32 or i8, and has rows of a multiple of 16 bytes.
    2. `tensor_map_c2`: a box has two sizes from 1 to 256, and `swizzle` bytes in a row.
  }];
  let arguments = (ins AnyMemRef:$source, DenseI64ArrayAttr:$box, I64Attr:$swizzle);
  let results = (outs MemRefOf<[I8]>:$map);
  let assemblyFormat = "$source `box` $box `swizzle` $swizzle attr-dict `:` type($source) `->` type($map)";
  let hasVerifier = 1;
}

def Prune_YieldOp : Prune_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["::mlir::prune::LinearOp", "::mlir::prune::DepthwiseOp"]>]> {
  let summary = "Ends the epilogue of a packed layer";
  let description = [{ `prune.yield %v : f32` gives the element of the result. }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
}

#endif // PRUNE_KERNEL_OPS_TD
