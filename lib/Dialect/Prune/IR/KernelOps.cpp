//===- KernelOps.cpp - Packed layers -------------------------------------------===//

#include "DestinationEffects.h"
#include "mlir/IR/TypeUtilities.h"
#include "prune/Dialect/Prune/IR/Prune.h"

using namespace mlir;
using namespace mlir::prune;

LogicalResult WindowAttr::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> kernel,
                                 ArrayRef<int64_t> strides, ArrayRef<int64_t> dilations, ArrayRef<int64_t> low,
                                 ArrayRef<int64_t> high) {
  auto check = [&](StringRef name, ArrayRef<int64_t> list, int64_t least) -> LogicalResult {
    if (list.size() != 2) // window_c1
      return emitError() << "expected two numbers for " << name << ", got " << list.size();
    for (int64_t value : list)
      if (value < least) // window_c2
        return emitError() << "expected " << name << " of at least " << least << ", got " << value;
    return success();
  };
  return success(succeeded(check("kernel", kernel, 1)) && succeeded(check("strides", strides, 1)) &&
                 succeeded(check("dilations", dilations, 1)) && succeeded(check("low", low, 0)) &&
                 succeeded(check("high", high, 0)));
}

void LinearOp::build(OpBuilder &builder, OperationState &state, ValueRange storage, Value input, Value init,
                     StorageFormat format, int64_t rows, int64_t chunk, int64_t vectors, int64_t laneDims,
                     WindowAttr window, Value shares, int64_t wordColumns) {
  SmallVector<Type> results;
  if (isa<RankedTensorType>(init.getType()))
    results.push_back(init.getType());
  build(builder, state, results, storage, shares, input, /*extras=*/{}, init, format, rows, chunk, vectors, laneDims,
        wordColumns, window);
  OpBuilder::InsertionGuard guard(builder);
  Type element = wordColumns == 1 ? getElementTypeOrSelf(init.getType()) : builder.getI32Type();
  Block *block = builder.createBlock(state.regions.front().get(), {}, element, state.location);
  YieldOp::create(builder, state.location, block->getArgument(0));
}

void mlir::prune::getDestinationEffects(DestinationStyleOpInterface op,
                                        SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  auto *resource = SideEffects::DefaultResource::get();
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BaseMemRefType>(operand.get().getType()))
      continue;
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand, resource);
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand, resource);
  }
}

void LinearOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

void DepthwiseOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

void WeightGradientOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  getDestinationEffects(*this, effects);
}

template <typename OpTy> static LogicalResult verifyExtras(OpTy op) { // linear_c2
  for (Value extra : op.getExtras()) {
    auto type = cast<ShapedType>(extra.getType());
    bool isPerRow = type.getRank() == 1 && type.getDimSize(0) == op.getNumRows();
    ShapedType init = op.getInitType();
    bool isPerToken = false;
    if constexpr (std::is_same_v<OpTy, LinearOp>)
      isPerToken = op.getLaneDims() == 0 && type.getRank() == init.getRank() && type.getShape().back() == 1 &&
                   type.getShape().drop_back() == init.getShape().drop_back();
    if (!isPerRow && !isPerToken && type.getShape() != init.getShape())
      return op.emitOpError() << "expected an extra of shape [" << op.getNumRows() << "] or of init's shape, got "
                              << type;
  }
  return success();
}

template <typename OpTy> static LogicalResult verifyEpilogue(OpTy op, Type sum) { // linear_c3
  Block &body = op.getEpilogue().front();
  if (body.getNumArguments() != 1 + op.getExtras().size())
    return op.emitOpError() << "expected " << 1 + op.getExtras().size() << " epilogue arguments, got "
                            << body.getNumArguments();
  Type element = op.getInitType().getElementType();
  auto yield = dyn_cast<YieldOp>(body.getTerminator());
  if (!yield || yield.getValues().size() != 1 || yield.getValues().front().getType() != element)
    return op.emitOpError() << "expected the epilogue to yield one " << element;
  for (auto [argument, extra] : llvm::zip(body.getArguments().drop_front(), op.getExtras()))
    if (argument.getType() != getElementTypeOrSelf(extra.getType()))
      return op.emitOpError() << "expected an epilogue argument of type " << getElementTypeOrSelf(extra.getType())
                              << ", got " << argument.getType();
  // Without lanes the sum is f32 also where the result is of a narrower float type.
  bool mayBeWider = false;
  if constexpr (std::is_same_v<OpTy, LinearOp>)
    mayBeWider = op.getLaneDims() == 0 && isa<FloatType>(element) && body.getArgument(0).getType().isF32();
  if (body.getArgument(0).getType() != sum && !mayBeWider)
    return op.emitOpError() << "expected the first epilogue argument to be " << sum << ", got "
                            << body.getArgument(0).getType();
  return success();
}

template <typename OpTy> static LogicalResult verifyPixels(OpTy op, WindowAttr window) { // linear_c1
  for (int64_t dim = 0; dim < 2; ++dim) {
    int64_t size = op.getInputType().getDimSize(op.getRowDim() + 1 + dim);
    int64_t got = op.getInitType().getDimSize(op.getRowDim() + 1 + dim);
    if (ShapedType::isDynamic(size) || window.getResultSize(dim, size) != got)
      return op.emitOpError() << "expected " << window.getResultSize(dim, size) << " pixels along spatial dimension "
                              << dim << " of init, got " << got;
  }
  return success();
}

/// Formats whose rows are the last dimension of the result: those of prune-to-gpu.
static bool isWithoutLanes(StorageFormat format) {
  return llvm::is_contained({StorageFormat::Matrix, StorageFormat::CSR, StorageFormat::BlockCSR,
                             StorageFormat::TwoOfFour, StorageFormat::Tiles, StorageFormat::Columns},
                            format);
}

static LogicalResult verifyWords(LinearOp op) { // linear_c8
  if (int64_t words = op.getWordColumns(); words != 1 && words != 2 && words != 4)
    return op.emitOpError() << "expected word_columns of 1, 2 or 4, got " << words;
  if (!op.hasWords())
    return success();
  ShapedType input = op.getInputType(), init = op.getInitType();
  Type element = init.getElementType();
  if (input.getRank() != init.getRank() || !input.getElementType().isInteger(8) ||
      !(element.isInteger(32) || element.isF32() || element.isInteger(8)))
    return op.emitOpError() << "expected an input of i8 and init of i32, f32 or i8 and one rank with words, got "
                            << input << " and " << init;
  if (isWithoutLanes(op.getFormat()))
    return op.emitOpError() << "expected word_columns of 1 for " << stringifyStorageFormat(op.getFormat()) << ", got "
                            << op.getWordColumns();
  // Threads that share rows keep the sums of earlier chunks in the result.
  if (op.getShares() && element.isInteger(8))
    return op.emitOpError() << "expected init of i32 or f32 with words and shares, got " << init;
  return success();
}

LogicalResult LinearOp::verify() {
  ShapedType input = getInputType(), init = getInitType();
  bool withoutLanes = isWithoutLanes(getFormat());
  // linear_c1
  if (!hasWords() &&
      (input.getRank() != init.getRank() || (!withoutLanes && input.getElementType() != init.getElementType())))
    return emitOpError() << "expected input and init of one rank and element type, got " << input << " and " << init;
  bool isQuantized = llvm::is_contained({StorageFormat::TwoOfFour, StorageFormat::Tiles}, getFormat()) &&
                     input.getElementType().isInteger(8);
  if (!hasWords() && !isQuantized && isa<FloatType>(input.getElementType()) != isa<FloatType>(init.getElementType()))
    return emitOpError() << "expected input and init of floats, or both of integers, got " << input << " and " << init;
  if (failed(verifyWords(*this)))
    return failure();
  int64_t laneDims = getLaneDims();
  if (withoutLanes) { // linear_c7
    if (laneDims != 0 || getWindow() || getShares())
      return emitOpError() << "expected no lane dimensions, window or shares for "
                           << stringifyStorageFormat(getFormat()) << ", got "
                           << (laneDims != 0 ? Twine(laneDims) + " lane dimensions"
                                             : Twine(getWindow() ? "a window" : "shares"));
    if (init.getRank() < 1)
      return emitOpError() << "expected init of rank 1 or more, got " << init;
  } else if (laneDims < 1 || laneDims >= init.getRank()) {
    return emitOpError() << "expected between 1 and " << init.getRank() - 1 << " lane dimensions, got " << laneDims;
  }
  std::optional<WindowAttr> window = getWindow();
  if (window) { // linear_c5
    if (laneDims != 2)
      return emitOpError() << "expected 2 lane dimensions for a window, got " << laneDims;
    if (hasWords())
      return emitOpError() << "expected word_columns of 1 with a window, got " << getWordColumns();
    if (static_cast<int64_t>(getChunk()) % window->getNumTaps() != 0)
      return emitOpError() << "expected a chunk of whole channels of " << window->getNumTaps() << " columns, got "
                           << getChunk();
    if (failed(verifyPixels(*this, *window)))
      return failure();
  }
  for (int64_t dim = 0; dim < (window ? getRowDim() : init.getRank()); ++dim)
    if (dim != getRowDim() && input.getDimSize(dim) != init.getDimSize(dim))
      return emitOpError() << "expected dimension " << dim << " of input and init to be equal, got "
                           << input.getDimSize(dim) << " and " << init.getDimSize(dim);
  if (failed(verifyExtras(*this)))
    return failure();
  // linear_c4
  if (static_cast<int64_t>(getRows()) < 1 || static_cast<int64_t>(getChunk()) < 1)
    return emitOpError() << "expected positive rows and chunk, got " << getRows() << " and " << getChunk();
  if (static_cast<int64_t>(getVectors()) < 0)
    return emitOpError() << "expected vectors of 0 or more, got " << static_cast<int64_t>(getVectors());
  if (getFormat() == StorageFormat::ChunkedCSR && getRows() != 2)
    return emitOpError() << "expected 2 rows for chunked_csr, got " << getRows();
  if (Value shares = getShares()) { // linear_c6
    auto type = cast<ShapedType>(shares.getType());
    if (type.getRank() != 2 || type.getDimSize(0) != getNumChunks() || type.getDimSize(1) < 2 ||
        !type.getElementType().isInteger(32))
      return emitOpError() << "expected shares of " << getNumChunks() << " rows of two or more i32, got " << type;
  }
  return success();
}

LogicalResult LinearOp::verifyRegions() { return verifyEpilogue(*this, getSumType()); }

void DepthwiseOp::build(OpBuilder &builder, OperationState &state, Value input, Value filter, Value init,
                        WindowAttr window) {
  SmallVector<Type> results;
  if (isa<RankedTensorType>(init.getType()))
    results.push_back(init.getType());
  build(builder, state, results, input, filter, /*extras=*/{}, init, window);
  OpBuilder::InsertionGuard guard(builder);
  Type element = getElementTypeOrSelf(init.getType());
  Block *block = builder.createBlock(state.regions.front().get(), {}, element, state.location);
  YieldOp::create(builder, state.location, block->getArgument(0));
}

LogicalResult DepthwiseOp::verify() {
  ShapedType input = getInputType(), init = getInitType(), filter = cast<ShapedType>(getFilter().getType());
  // depthwise_c1
  if (input.getRank() != 4 || init.getRank() != 4 || input.getElementType() != init.getElementType() ||
      filter.getElementType() != init.getElementType())
    return emitOpError() << "expected input and init of rank 4 and one element type with the filter, got " << input
                         << ", " << init << " and " << filter;
  if (input.getShape().take_front(2) != init.getShape().take_front(2))
    return emitOpError() << "expected the images and channels of input and init to be equal, got " << input << " and "
                         << init;
  ArrayRef<int64_t> kernel = getWindow().getKernel();
  if (filter.getShape() != ArrayRef<int64_t>{getNumRows(), kernel[0], kernel[1]})
    return emitOpError() << "expected a filter of shape [" << getNumRows() << ", " << kernel[0] << ", " << kernel[1]
                         << "], got " << filter;
  if (failed(verifyPixels(*this, getWindow())))
    return failure();
  return verifyExtras(*this);
}

LogicalResult DepthwiseOp::verifyRegions() { return verifyEpilogue(*this, getInitType().getElementType()); }

LogicalResult WeightGradientOp::verify() {
  ShapedType gradient = getGradientType(), input = getInputType();
  // weight_gradient_c1
  if (gradient.getRank() != input.getRank() || gradient.getElementType() != input.getElementType())
    return emitOpError() << "expected gradient and input of one rank and element type, got " << gradient << " and "
                         << input;
  int64_t laneDims = getLaneDims();
  if (laneDims < 1 || laneDims >= input.getRank())
    return emitOpError() << "expected between 1 and " << input.getRank() - 1 << " lane dimensions, got " << laneDims;
  for (int64_t dim = 0; dim < input.getRank(); ++dim)
    if (dim != getRowDim() && gradient.getDimSize(dim) != input.getDimSize(dim))
      return emitOpError() << "expected dimension " << dim << " of gradient and input to be equal, got "
                           << gradient.getDimSize(dim) << " and " << input.getDimSize(dim);
  if (int64_t chunk = getChunk(); chunk < 1 || chunk > 65536) // weight_gradient_c3
    return emitOpError() << "expected a chunk of 1 to 65536 columns, got " << chunk;
  if (Value shares = getShares()) { // weight_gradient_c4
    auto type = cast<ShapedType>(shares.getType());
    if (type.getRank() != 1 || type.getDimSize(0) < 2 || !type.getElementType().isInteger(32))
      return emitOpError() << "expected shares of two or more i32, got " << type;
  }
  // weight_gradient_c2
  auto checkArray = [&](StringRef name, Value array, Type element, int64_t size) -> LogicalResult {
    auto type = cast<ShapedType>(array.getType());
    if (type.getElementType() != element || type.getShape() != ArrayRef(size))
      return emitOpError() << "expected " << size << " numbers of " << element << " as " << name << ", got " << type;
    return success();
  };
  auto init = cast<ShapedType>(getInit().getType());
  int64_t size = init.getRank() == 1 ? init.getDimSize(0) : init.getNumElements();
  Builder b(getContext());
  return success(
      succeeded(checkArray("positions", getPositions(), b.getI32Type(), getNumRows() * getNumChunks() + 1)) &&
      succeeded(checkArray("coordinates", getCoordinates(), b.getI16Type(), size)) &&
      succeeded(checkArray("init", getInit(), input.getElementType(), size)));
}

LogicalResult TensorMapOp::verify() {
  auto type = cast<MemRefType>(getSource().getType());
  int64_t rowBytes = type.getRank() == 0 ? 0 : type.getShape().back() * type.getElementTypeBitWidth() / 8;
  Type element = type.getElementType();
  bool isKnown = element.isF16() || element.isBF16() || element.isF32() || element.isInteger(8);
  if (!type.getLayout().isIdentity() || !isKnown || rowBytes % 16 != 0) // tensor_map_c1
    return emitOpError() << "expected a row-major source of f16, bf16, f32 or i8 with rows of a multiple of 16 bytes, "
                            "got "
                         << type;
  ArrayRef<int64_t> box = getBox();
  if (box.size() != 2 || llvm::any_of(box, [](int64_t size) { return size < 1 || size > 256; }) ||
      box[0] * type.getElementTypeBitWidth() / 8 != static_cast<int64_t>(getSwizzle())) // tensor_map_c2
    return emitOpError() << "expected a box of two sizes from 1 to 256 with rows of " << getSwizzle() << " bytes, got ["
                         << box << "]";
  return success();
}
