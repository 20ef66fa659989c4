//===- WindowCopy.cpp - Activations of a convolution's window -----------------===//
//
// The pixels of a tile are cut into runs within one row of the result and one vector. For each run and each element of
// the kernel the part of the run that lies inside of the activations is a mask, the same for all channels; the rest of
// the vector is zero. So padding, ragged rows and the ends of the buffer cost nothing in the loop over channels, which
// is a masked load and a store (and a shuffle for each stride). A store may write zeros beyond its run: runs come in
// ascending order, so the next one overwrites them.
//
//===----------------------------------------------------------------------===//

#include "WindowCopy.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

/// The arithmetic of indices in few words.
struct IndexBuilder {
  ImplicitLocOpBuilder &b;

  Value constant(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value add(Value x, int64_t y) { return y == 0 ? x : add(x, constant(y)); }
  Value mul(Value x, int64_t y) { return y == 1 ? x : arith::MulIOp::create(b, x, constant(y)).getResult(); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, x, y); }
  Value min(Value x, Value y) { return arith::MinSIOp::create(b, x, y); }
  Value compare(arith::CmpIPredicate predicate, Value x, Value y) { return arith::CmpIOp::create(b, predicate, x, y); }
  void loop(Value end, function_ref<void(Value)> body) {
    auto loop = scf::ForOp::create(b, constant(0), end, constant(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar());
  }
};

} // namespace

SmallVector<Value> mlir::prune::makeRangeMasks(ImplicitLocOpBuilder &b, int64_t lanes, int64_t parts, Value begin,
                                               Value end) {
  auto type = VectorType::get(lanes, b.getI32Type());
  auto splat = [&](Value index) {
    Value narrow = arith::IndexCastOp::create(b, b.getI32Type(), index);
    return vector::BroadcastOp::create(b, type, narrow);
  };
  Value first = splat(begin), last = splat(end);
  SmallVector<Value> masks;
  for (int64_t part = 0; part < parts; ++part) {
    auto ids = llvm::to_vector(llvm::seq<int32_t>(part * lanes, (part + 1) * lanes));
    Value positions = arith::ConstantOp::create(b, DenseElementsAttr::get(type, ArrayRef<int32_t>(ids)));
    Value isBehind = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, positions, first);
    Value isBefore = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, positions, last);
    masks.push_back(arith::AndIOp::create(b, isBehind, isBefore));
  }
  return masks;
}

Value mlir::prune::loadStrided(ImplicitLocOpBuilder &b, VectorType type, Value memref, ArrayRef<Value> indices,
                               ArrayRef<Value> masks) {
  int64_t lanes = type.getNumElements(), stride = masks.size();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type)), result;
  for (int64_t part = 0; part < stride; ++part) {
    SmallVector<Value> shifted(indices);
    if (part)
      shifted.back() = IndexBuilder{b}.add(shifted.back(), part * lanes);
    Value loaded = vector::MaskedLoadOp::create(b, type, memref, shifted, masks[part], zero);
    if (stride == 1)
      return loaded;
    SmallVector<int64_t> order; // elements found in earlier parts stay where they are
    for (int64_t lane = 0; lane < lanes; ++lane)
      order.push_back(lane * stride / lanes == part ? lanes + lane * stride % lanes : lane);
    result = vector::ShuffleOp::create(b, result ? result : zero, loaded, order);
  }
  return result;
}

void WindowCopy::emit(ImplicitLocOpBuilder &b, Value batch, Value lane, Value lanes, Value firstChannel,
                      Value channels) const {
  IndexBuilder i{b};
  int64_t vectorLanes = vectorType.getNumElements();
  ArrayRef<int64_t> kernel = window.getKernel(), strides = window.getStrides(), dilations = window.getDilations(),
                    low = window.getLow();
  // What a run reads for one element of the kernel: the first pixel, and the elements that are inside of the image.
  struct Tap {
    Value pixel;
    SmallVector<Value> masks;
  };
  auto makeTap = [&](Value tapY, Value tapX, Value y, Value x, Value length) {
    Value row = i.add(i.add(i.mul(y, strides[0]), i.mul(tapY, dilations[0])), -low[0]);
    Value column = i.add(i.add(i.mul(x, strides[1]), i.mul(tapX, dilations[1])), -low[1]);
    Value begin = i.sub(i.constant(0), column);
    Value end = i.min(i.mul(length, strides[1]), i.sub(i.constant(width), column));
    end = arith::SelectOp::create(b, i.compare(arith::CmpIPredicate::ult, row, i.constant(height)), end, begin);
    return Tap{i.add(i.mul(row, width), column), makeRangeMasks(b, vectorLanes, strides[1], begin, end)};
  };
  auto copyTap = [&](const Tap &tap, Value channel, Value column, Value run) {
    Value loaded = loadStrided(b, vectorType, input, {batch, i.add(firstChannel, channel), tap.pixel}, tap.masks);
    vector::StoreOp::create(b, loaded, scratch, ValueRange{column, run});
  };
  int64_t taps = window.getNumTaps();
  auto emitRun = [&](Value run, Value y, Value x, Value length) {
    // Few elements: all of a channel one after the other, since they read the same lines.
    if (taps * strides[1] <= 25) {
      SmallVector<Tap> list;
      for (int64_t tap = 0; tap < taps; ++tap)
        list.push_back(makeTap(i.constant(tap / kernel[1]), i.constant(tap % kernel[1]), y, x, length));
      i.loop(channels, [&](Value channel) {
        for (auto [index, tap] : llvm::enumerate(list))
          copyTap(tap, channel, i.add(i.mul(channel, taps), index), run);
      });
      return;
    }
    i.loop(i.constant(kernel[0]), [&](Value tapY) {
      i.loop(i.constant(kernel[1]), [&](Value tapX) {
        Tap tap = makeTap(tapY, tapX, y, x, length);
        Value column = i.add(i.mul(tapY, kernel[1]), tapX);
        i.loop(channels, [&](Value channel) { copyTap(tap, channel, i.add(i.mul(channel, taps), column), run); });
      });
    });
  };

  Value rowPixels = i.constant(resultWidth);
  Value firstY = arith::DivUIOp::create(b, lane, rowPixels), firstX = arith::RemUIOp::create(b, lane, rowPixels);
  SmallVector<Type> types(3, b.getIndexType());
  auto loop = scf::WhileOp::create(b, types, ValueRange{i.constant(0), firstY, firstX});
  SmallVector<Location> locs(3, b.getLoc());
  OpBuilder::InsertionGuard guard(b);
  Block *before = b.createBlock(&loop.getBefore(), {}, types, locs);
  scf::ConditionOp::create(b, i.compare(arith::CmpIPredicate::ult, before->getArgument(0), lanes),
                           before->getArguments());
  Block *after = b.createBlock(&loop.getAfter(), {}, types, locs);
  Value run = after->getArgument(0), y = after->getArgument(1), x = after->getArgument(2);
  Value length = i.min(i.min(i.constant(vectorLanes), i.sub(rowPixels, x)), i.sub(lanes, run));
  emitRun(run, y, x, length);
  Value nextX = i.add(x, length);
  Value isRowDone = i.compare(arith::CmpIPredicate::eq, nextX, rowPixels);
  Value nextY = arith::SelectOp::create(b, isRowDone, i.add(y, 1), y);
  nextX = arith::SelectOp::create(b, isRowDone, i.constant(0), nextX);
  scf::YieldOp::create(b, ValueRange{i.add(run, length), nextY, nextX});
}
