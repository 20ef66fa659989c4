//===- BlockFragments.cpp - What kernels of blocks on tensor cores share -------===//

#include "BlockFragments.h"

using namespace mlir;
using namespace mlir::prune;

SmallVector<Value> mlir::prune::loadFragment(KernelBuilder &b, Value values, Value block, Value lane) {
  constexpr int64_t halvesOfLane = 8, words = 4;
  return loadWords(b, values, {block, b.mul(lane, halvesOfLane)}, words);
}

SmallVector<Value> mlir::prune::multiplyFragment(KernelBuilder &b, Type element, ValueRange weights, ValueRange tokens,
                                                 ValueRange sums) {
  SmallVector<Value> operands(weights);
  llvm::append_range(operands, tokens);
  std::string type = element.isF16() ? "f16" : "bf16";
  std::string text = "mma.sync.aligned.m16n8k16.row.col.f32." + type + "." + type +
                     ".f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$0, $1, $2, $3};";
  return InlinePTX(b).update(text, sums, "rrrrrr", operands);
}

Value mlir::prune::getFragmentRow(KernelBuilder &b, Value lane, int64_t sum) {
  // Rows 0, 1, 4, 5, ... come first, those after them second: four rows of a token are side by side in two lanes' sums.
  Value row = b.div(lane, 4);
  return b.add(b.add(b.mul(b.div(row, 2), 4), b.rem(row, 2)), sum / 2 * 2);
}

SmallVector<Value> mlir::prune::multiplyFragmentReference(KernelBuilder &b, FragmentOrder order, Value values,
                                                          Value block, Value lane, ValueRange sums,
                                                          function_ref<Value(Value token, Value column)> load) {
  Type f32 = b.getF32Type();
  return b.forLoop(b.constant(0), b.constant(kFragmentSide), 1, sums, [&](Value column, ValueRange carried) {
    SmallVector<Value> results, x;
    for (int64_t next = 0; next < 2; ++next)
      x.push_back(b.convert(load(b.add(getFragmentToken(b, lane), next), column), f32));
    // As getFragmentPlace says: the lane of the same rows that has the column, and the register there.
    bool isOfRows = order == FragmentOrder::Rows;
    Value inFour = isOfRows ? b.div(column, 4) : b.div(b.rem(column, 8), 2);
    Value half = isOfRows ? b.rem(b.div(column, 2), 2) : b.div(column, 8);
    Value holder = b.add(b.mul(b.div(lane, 4), 4), inFour);
    for (int64_t i = 0; i < kFragmentSums; ++i) {
      Value word = b.add(b.mul(half, 2), i / 2);
      Value place = b.add(b.add(b.mul(holder, 8), b.mul(word, 2)), b.rem(column, 2));
      Value weight = memref::LoadOp::create(b, values, ValueRange{block, place});
      results.push_back(math::FmaOp::create(b, b.convert(weight, f32), x[i % 2], carried[i]));
    }
    return results;
  });
}

FragmentSlot::FragmentSlot(KernelBuilder &b, Value rows, Value slot) {
  auto load = [&](int64_t word) -> Value {
    Value loaded = memref::LoadOp::create(b, rows, b.add(b.mul(slot, 2), word));
    return arith::IndexCastUIOp::create(b, b.getIndexType(), loaded);
  };
  rowOfBlocks = load(0);
  numSlots = load(1);
}

SmallVector<Value> mlir::prune::addSlots(KernelBuilder &b, Value shared, Value warp, Value lane,
                                         const FragmentSlot &slot, ValueRange sums) {
  int64_t atOnce = cast<MemRefType>(shared.getType()).getDimSize(1);
  Value isPart = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, slot.numSlots, b.constant(0));
  SmallVector<Value> results;
  Value zero = b.zero(b.getF32Type());
  for (size_t first = 0; first < sums.size(); first += atOnce) {
    SmallVector<Value> own(sums.slice(first, atOnce));
    b.barrier(); // what lay there before is not needed any more
    b.ifThen(isPart, [&] {
      for (auto [i, sum] : llvm::enumerate(own))
        memref::StoreOp::create(b, sum, shared, ValueRange{warp, b.constant(i), lane});
    });
    b.barrier();
    for (Value &sum : own)
      sum = arith::SelectOp::create(b, isPart, zero, sum);
    llvm::append_range(results, b.forLoop(b.constant(1), slot.numSlots, 1, own, [&](Value part, ValueRange carried) {
      SmallVector<Value> added;
      for (auto [i, sum] : llvm::enumerate(carried)) {
        Value other = memref::LoadOp::create(b, shared, ValueRange{b.add(warp, part), b.constant(i), lane});
        added.push_back(arith::AddFOp::create(b, sum, other));
      }
      return added;
    }));
  }
  return results;
}
