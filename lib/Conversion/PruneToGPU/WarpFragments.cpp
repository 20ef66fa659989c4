//===- WarpFragments.cpp - Products by the matrix instruction of a warp --------===//

#include "WarpFragments.h"
#include "InlinePTX.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::prune;

WarpFragments::WarpFragments(KernelBuilder &builder, const LayerBuffers &layer, const TensorCoreLayout &layout,
                             int64_t rowFragments, int64_t tokenFragments)
    : b(builder), layer(layer), layout(layout), rowFragments(rowFragments), tokenFragments(tokenFragments) {
  lane = b.rem(b.threadId(), 32);
  warp = b.div(b.threadId(), 32);
  if (b.target.isOpenCL)
    exchange = b.allocShared(
        MemRefType::get({b.getBlock()[0] / 32, 32, rowFragments * 5 + tokenFragments * 4}, b.getI32Type()));
}

SmallVector<Value> WarpFragments::loadWeights(Value bytes, ArrayRef<Value> places) {
  SmallVector<Value> words;
  for (int64_t step = 0; step < getNumSteps(); ++step)
    for (Value place : places)
      llvm::append_range(words, loadWords(b, bytes, b.add(b.add(place, b.mul(lane, 16)), step * 512), 4));
  for (int64_t word = 0; word < getNumMetadataWords(); ++word)
    for (Value place : places) {
      Value at = b.add(b.add(place, b.mul(lane, 4)), layout.getValueBytes() + word * 128);
      llvm::append_range(words, loadWords(b, bytes, at, 1));
    }
  return words;
}

SmallVector<Value> WarpFragments::multiplyTile(ValueRange weights,
                                               function_ref<Value(Value token, Value column)> loadTokens,
                                               ValueRange sums) {
  SmallVector<Value> results(sums);
  ValueRange metadata = weights.drop_front(getNumSteps() * rowFragments * 4);
  Value column = b.mul(b.rem(lane, 4), getUnit());
  for (int64_t step = 0; step < getNumSteps(); ++step) {
    SmallVector<Value> tokens;
    for (int64_t i = 0; i < tokenFragments; ++i)
      for (int64_t k = 0; k < getTokenRegisters(); ++k)
        tokens.push_back(
            loadTokens(b.add(b.div(lane, 4), i * 8), b.add(column, (step * getTokenRegisters() + k) * 4 * getUnit())));
    ValueRange own = metadata.drop_front(getNumMetadataWords() > 1 ? step * rowFragments : 0);
    ValueRange words = weights.slice(step * rowFragments * 4, rowFragments * 4);
    results = b.target.isOpenCL ? multiplyReference(step, words, own, tokens, results)
                                : multiply(step, words, own, tokens, results);
  }
  return results;
}

SmallVector<Value> WarpFragments::multiply(int64_t step, ValueRange weights, ValueRange metadata, ValueRange tokens,
                                           ValueRange sums) {
  InlinePTX ptx(b);
  SmallVector<Value> results(sums);
  int64_t count = getTokenRegisters();
  // Of i8 all lanes' metadata is read, else that of lanes 0 and 1 or of 2 and 3 of each four.
  std::string text =
      llvm::formatv("mma{0}.sync.aligned.m16n8k{1}.row.col.{2}.{3}.{3}.{2} {{$0, $1, $2, $3}, {{$4, $5, $6, $7}, {4}, "
                    "{{$0, $1, $2, $3}{5};",
                    layout.isSparse ? ".sp::ordered_metadata" : "", (layout.isSparse ? 16 : 8) * getUnit(),
                    getSumName(layout), getFactorName(layout), layout.isSparse ? "{$8, $9, $10, $11}" : "{$8, $9}",
                    layout.isSparse ? llvm::formatv(", $12, {0}", isI8() ? 0 : step % 2).str() : "");
  for (int64_t row = 0; row < rowFragments; ++row)
    for (int64_t token = 0; token < tokenFragments; ++token) {
      int64_t first = (row * tokenFragments + token) * 4;
      SmallVector<Value> operands(weights.slice(row * 4, 4));
      llvm::append_range(operands, tokens.slice(token * count, count));
      if (layout.isSparse)
        operands.push_back(metadata[row]);
      SmallVector<Value> updated =
          ptx.update(text, ArrayRef<Value>(results).slice(first, 4), std::string(operands.size(), 'r'), operands);
      llvm::copy(updated, results.begin() + first);
    }
  return results;
}

SmallVector<Value> WarpFragments::multiplyReference(int64_t step, ValueRange weights, ValueRange metadata,
                                                    ValueRange tokens, ValueRange sums) {
  // Registers in the exchange: four of each row fragment, its metadata, those of the token fragments.
  int64_t firstMetadata = rowFragments * 4, firstToken = rowFragments * 5, count = getTokenRegisters();
  auto put = [&](Value word, int64_t slot) {
    memref::StoreOp::create(b, word, exchange, ValueRange{warp, lane, b.constant(slot)});
  };
  b.barrier();
  for (auto [i, word] : llvm::enumerate(weights))
    put(word, i);
  for (auto [i, word] : llvm::enumerate(metadata.take_front(rowFragments)))
    put(word, firstMetadata + i);
  for (auto [i, word] : llvm::enumerate(tokens))
    put(word, firstToken + i);
  b.barrier();
  auto getWord = [&](Value fromLane, Value slot) -> Value {
    return memref::LoadOp::create(b, exchange, ValueRange{warp, fromLane, slot});
  };
  // Element `number` (an index) of the getUnit() ones of a register.
  Type element = getElementType(b, layout);
  auto getElementOf = [&](Value word, Value number) -> Value {
    if (getUnit() > 1) {
      int64_t bits = 32 / getUnit();
      Value shift = arith::IndexCastUIOp::create(b, b.getI32Type(), b.mul(number, bits));
      word = arith::TruncIOp::create(b, b.getIntegerType(bits), arith::ShRUIOp::create(b, word, shift));
    }
    return isI8() ? word : arith::BitcastOp::create(b, element, word).getResult();
  };
  int64_t unit = getUnit();
  Value quad = b.div(lane, 4), inQuad = b.rem(lane, 4);
  return b.forLoop(b.constant(0), b.constant(8 * unit), 1, sums, [&](Value stored, ValueRange sums) {
    SmallVector<Value> results(sums);
    Value storedLane = b.div(b.rem(stored, 4 * unit), unit), inWord = b.rem(stored, unit);
    for (int64_t row = 0; row < rowFragments; ++row)
      for (int64_t side = 0; side < 2; ++side) {
        Value slot = b.add(b.mul(b.div(stored, 4 * unit), 2), row * 4 + side);
        Value weight = getElementOf(getWord(b.add(b.mul(quad, 4), storedLane), slot), inWord), column = stored;
        if (layout.isSparse) {
          Value number = b.mul(stored, layout.getPlaces());
          Value ofLane = isI8() ? b.add(b.mul(b.div(stored, 16), 2), side) : b.add(b.div(number, 8), step * 2);
          Value word = getWord(b.add(b.mul(quad, 4), ofLane), b.constant(firstMetadata + row));
          Value bit = isI8() ? b.mul(b.rem(stored, 16), 2) : b.add(b.mul(b.rem(number, 8), 2), side * 16);
          Value shift = arith::IndexCastUIOp::create(b, b.getI32Type(), bit);
          Value place = arith::AndIOp::create(b, arith::ShRUIOp::create(b, word, shift), InlinePTX(b).i32(3));
          column = b.add(b.mul(b.div(number, 2), 4), arith::IndexCastUIOp::create(b, b.getIndexType(), place));
          column = b.div(column, layout.getPlaces());
        }
        for (int64_t token = 0; token < tokenFragments; ++token)
          for (int64_t next = 0; next < 2; ++next) {
            Value fromLane = b.add(b.mul(b.add(b.mul(inQuad, 2), next), 4), b.div(b.rem(column, 4 * unit), unit));
            Value word = getWord(fromLane, b.add(b.div(column, 4 * unit), firstToken + token * count));
            Value &sum = results[(row * tokenFragments + token) * 4 + side * 2 + next];
            sum = multiplyAddElements(b, weight, getElementOf(word, b.rem(column, unit)), sum);
          }
      }
    return results;
  });
}

void WarpFragments::forEachSum(ValueRange sums, function_ref<void(Value sum, Value row, Value token)> store) {
  Value row = b.div(lane, 4), token = b.mul(b.rem(lane, 4), 2);
  for (int64_t i = 0; i < getNumSums(); ++i) {
    int64_t fragment = i / 4;
    store(sums[i], b.add(row, fragment / tokenFragments * 16 + i / 2 % 2 * 8),
          b.add(token, fragment % tokenFragments * 8 + i % 2));
  }
}
