//===- BlockSums.cpp - Sums over the threads of a block -----------------------===//

#include "BlockSums.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::prune;

BlockSums::BlockSums(KernelBuilder &builder, int64_t count) : b(builder) {
  assert(b.getBlock()[0] == kThreads && count <= kSide && "every group of 16 threads adds up one number");
  own = b.allocShared(MemRefType::get({count, kSide, kSide + 1}, b.getI32Type()));
  groups = b.allocShared(MemRefType::get({count, kSide}, b.getI32Type()));
  thread = b.threadId();
  group = b.div(thread, kSide);
  place = b.rem(thread, kSide);
}

Value BlockSums::sumRow(Value buffer, ArrayRef<Value> indices, Value end) {
  Value zero = b.zero(b.getI32Type()), sum = zero;
  for (int64_t i = 0; i < kSide; ++i) {
    SmallVector<Value> at(indices);
    at.push_back(b.constant(i));
    Value number = memref::LoadOp::create(b, buffer, at);
    if (end)
      number = arith::SelectOp::create(b, b.less(at.back(), end), number, zero);
    sum = b.add(sum, number);
  }
  return sum;
}

SmallVector<Value> BlockSums::add(ArrayRef<Value> values) {
  for (auto [i, value] : llvm::enumerate(values))
    memref::StoreOp::create(b, value, own, ValueRange{b.constant(i), group, place});
  b.barrier();
  // Group i of the threads adds up number i, each thread what a group holds of it.
  int64_t count = values.size();
  b.ifThen(b.less(thread, b.constant(count * kSide)), [&] {
    memref::StoreOp::create(b, sumRow(own, {group, place}), groups, ValueRange{group, place});
  });
  b.barrier();
  return llvm::map_to_vector(llvm::seq<int64_t>(0, count), [&](int64_t i) { return sumRow(groups, b.constant(i)); });
}

Value BlockSums::getSumBefore() {
  return b.add(sumRow(groups, b.constant(0), group), sumRow(own, {b.constant(0), group}, place));
}
