//===- LinearWords.cpp - Words of int8 columns in packed layers ----------------===//
//
// A lane of the copied activations is a 32-bit word of consecutive columns of one token, so that one instruction
// multiplies all columns of a word of the weight. Sums do not saturate: every way to compute them gives the same bits.
//
//===----------------------------------------------------------------------===//

#include "LinearEmitter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// The elements of two vectors in turn: x0, y0, x1, y1, in runs of `run` elements.
static Value interleave(ImplicitLocOpBuilder &b, Value x, Value y, int64_t run = 1) {
  int64_t size = cast<VectorType>(x.getType()).getNumElements();
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < size; i += run)
    for (int64_t first : {i, size + i})
      llvm::append_range(order, llvm::seq(first, first + run));
  return vector::ShuffleOp::create(b, x, y, order);
}

/// Copies the activations of a chunk for the lanes of the tile, word by word. Columns that are missing in the last word
/// are zero.
void LinearEmitter::emitWordCopy(Value firstWord) {
  int64_t perWord = op.getWordColumns(), whole = op.getNumColumns() / perWord, rest = op.getNumColumns() % perWord;
  Type i8 = b.getI8Type();
  auto copyWord = [&](Value word, int64_t columns) {
    Value first = mul(add(firstWord, word), perWord);
    for (int64_t v = 0; v < vectors; ++v) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < columns; ++i)
        rows.push_back(loadLanes(input, {batch, add(first, i), add(lane, v * options.lanes)}, v));
      rows.resize(perWord, arith::ConstantOp::create(b, b.getZeroAttr(VectorType::get(options.lanes, i8))));
      Value elements = interleave(b, rows[0], rows[1]);
      if (perWord == 4)
        elements = interleave(b, elements, interleave(b, rows[2], rows[3]), /*run=*/2);
      else
        elements = arith::ExtUIOp::create(b, VectorType::get(2 * options.lanes, b.getI16Type()), elements);
      Value words = vector::BitCastOp::create(b, vectorType, elements);
      vector::StoreOp::create(b, words, scratch, ValueRange{word, index(v * options.lanes)});
    }
  };
  Value left = arith::SubIOp::create(b, index(whole), firstWord);
  auto copy = scf::ForOp::create(b, index(0), arith::MinUIOp::create(b, left, index(chunk)), index(1));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(copy.getBody());
    copyWord(copy.getInductionVar(), perWord);
  }
  if (!rest)
    return;
  Value isLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, firstWord, index((numChunks - 1) * chunk));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(scf::IfOp::create(b, isLast).thenBlock());
  copyWord(left, rest);
}

/// Products of 16-bit halves, summed in pairs.
static Value multiplyPairs(ImplicitLocOpBuilder &b, Value x, Value y) {
  int64_t lanes = cast<VectorType>(x.getType()).getNumElements() / 2;
  auto wide = VectorType::get(lanes, b.getI32Type());
  auto pick = [&](Value halves, int64_t first) -> Value {
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < lanes; ++i)
      order.push_back(2 * i + first);
    return arith::ExtSIOp::create(b, wide, vector::ShuffleOp::create(b, halves, halves, order));
  };
  Value even = arith::MulIOp::create(b, pick(x, 0), pick(y, 0)), odd = arith::MulIOp::create(b, pick(x, 1), pick(y, 1));
  return arith::AddIOp::create(b, even, odd);
}

Value LinearEmitter::multiplyAddWords(Value values, Value activations, Value sum) {
  int64_t lanes = cast<VectorType>(sum.getType()).getNumElements();
  auto halves = VectorType::get(2 * lanes, b.getI16Type());
  auto view = [&](VectorType type, Value words) -> Value { return vector::BitCastOp::create(b, type, words); };
  if (op.getWordColumns() == 2)
    return addSums(sum, multiplyPairs(b, view(halves, activations), view(halves, values)));
  if (options.vnni) {
    // Fewer lanes than a register has are the first ones of it.
    int64_t width = std::max<int64_t>(lanes, 4);
    SmallVector<int64_t> order(width, vector::ShuffleOp::kPoisonIndex);
    std::iota(order.begin(), order.begin() + lanes, 0);
    auto widen = [&](Value words) -> Value {
      return lanes == width ? words : vector::ShuffleOp::create(b, words, words, order).getResult();
    };
    auto bytes = VectorType::get(4 * width, b.getI8Type());
    auto name = b.getStringAttr("llvm.x86.avx512.vpdpbusd." + Twine(32 * width));
    Value wide = widen(sum);
    wide = LLVM::CallIntrinsicOp::create(b, wide.getType(), name,
                                         ValueRange{wide, view(bytes, widen(activations)), view(bytes, widen(values))})
               .getResult(0);
    return lanes == width ? wide
                          : vector::ShuffleOp::create(b, wide, wide, ArrayRef(order).take_front(lanes)).getResult();
  }
  // Bytes 0 and 2 of each word, then 1 and 3.
  Value eight = arith::ConstantOp::create(b, DenseElementsAttr::get(halves, b.getI16IntegerAttr(8)));
  Value low = arith::ConstantOp::create(b, DenseElementsAttr::get(halves, b.getI16IntegerAttr(0xff)));
  Value x = view(halves, activations), w = view(halves, values);
  Value even = multiplyPairs(b, arith::AndIOp::create(b, x, low),
                             arith::ShRSIOp::create(b, arith::ShLIOp::create(b, w, eight), eight));
  Value odd = multiplyPairs(b, arith::ShRUIOp::create(b, x, eight), arith::ShRSIOp::create(b, w, eight));
  return addSums(addSums(sum, even), odd);
}
