//===- Schedule.cpp - Chooses lanes, rows and order of a nest ------------------===//
//
// The rules, in order: lanes along a parallel dimension that is contiguous in the outputs and contiguous or invariant
// in the inputs; else along a contiguous reduction, if its combiner is known; else along the outputs' contiguous
// dimension with element or transposing loads; else scalars.
//
//===----------------------------------------------------------------------===//

#include "Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

#include <numeric>

using namespace mlir;
using namespace mlir::prune;

/// True if `value` is computed in `body` from one of `arguments`.
static bool dependsOn(Value value, Block &body, const DenseSet<Value> &arguments, DenseSet<Value> &seen) {
  if (arguments.contains(value))
    return true;
  Operation *definition = value.getDefiningOp();
  if (!definition || definition->getBlock() != &body || !seen.insert(value).second)
    return false;
  return llvm::any_of(definition->getOperands(), [&](Value v) { return dependsOn(v, body, arguments, seen); });
}

SmallVector<Operation *> prune::findCombiners(Nest &nest) {
  Block &body = nest.body();
  DenseSet<Value> accumulators;
  SmallVector<BlockArgument> arguments;
  for (NestOperand &operand : nest.operands)
    if (operand.output) {
      if (!operand.argument)
        return {};
      accumulators.insert(operand.argument);
      arguments.push_back(operand.argument);
    }
  SmallVector<Operation *> combiners;
  for (auto [argument, result] : llvm::zip(arguments, body.getTerminator()->getOperands())) {
    Operation *op = result.getDefiningOp();
    if (!op || op->getBlock() != &body || op->getNumOperands() != 2 || op->getNumResults() != 1 ||
        !argument.hasOneUse() || !arith::getNeutralElement(op) || !result.hasOneUse())
      return {};
    if (op->getOperand(0) != argument && op->getOperand(1) != argument)
      return {};
    Value other = op->getOperand(0) == argument ? op->getOperand(1) : op->getOperand(0);
    DenseSet<Value> seen;
    if (dependsOn(other, body, accumulators, seen))
      return {};
    combiners.push_back(op);
  }
  return combiners;
}

namespace {
/// Bits of an element in a vector register; 0: not a type vectors can hold.
unsigned laneBits(Type type) {
  if (type.isIndex())
    return 64;
  if (!type.isIntOrFloat())
    return 0;
  unsigned bits = type.getIntOrFloatBitWidth();
  if (bits == 1)
    return 8;
  return bits >= 8 && bits <= 64 && llvm::isPowerOf2_32(bits) ? bits : 0;
}

/// True if every operation of the region has a vector form.
bool bodyIsVectorizable(Nest &nest, std::string &reason) {
  for (Operation &op : nest.body().without_terminator()) {
    if (isa<linalg::IndexOp, memref::LoadOp>(op) || op.hasTrait<OpTrait::ConstantLike>())
      continue;
    if (!OpTrait::hasElementwiseMappableTraits(&op) || op.getNumRegions() != 0 || op.getNumResults() != 1) {
      reason = "its region holds " + op.getName().getStringRef().str() + ", which has no vector form";
      return false;
    }
    for (Type type : op.getResultTypes())
      if (!laneBits(type)) {
        reason = "its region computes a type that vectors cannot hold";
        return false;
      }
  }
  return true;
}

int64_t previousPowerOfTwo(int64_t value) { return value < 1 ? 1 : int64_t(llvm::bit_floor(uint64_t(value))); }

struct Chooser {
  Nest &nest;
  const LinalgToVectorOptions &options;
  SmallVector<NestOperand *> inputs, outputs;

  Chooser(Nest &nest, const LinalgToVectorOptions &options) : nest(nest), options(options) {
    for (NestOperand &operand : nest.operands) {
      if (operand.output)
        outputs.push_back(&operand);
      else if (!operand.isScalar() && operand.argument && !operand.argument.use_empty())
        inputs.push_back(&operand);
    }
  }

  bool isContiguous(int dim) const {
    return llvm::all_of(outputs, [&](NestOperand *o) { return o->coefficients[dim].isOne(); });
  }
  int stridedInputs(int dim) const {
    return llvm::count_if(inputs, [&](NestOperand *o) {
      return !o->coefficients[dim].isZero() && !o->coefficients[dim].isOne();
    });
  }
  int contiguousInputs(int dim) const {
    return llvm::count_if(inputs, [&](NestOperand *o) { return o->coefficients[dim].isOne(); });
  }
  int64_t lanesFor(int dim) const {
    unsigned bits = 8;
    auto widen = [&](NestOperand *operand) {
      if (!operand->coefficients[dim].isZero())
        bits = std::max(bits, laneBits(operand->elementType));
    };
    llvm::for_each(inputs, widen);
    llvm::for_each(outputs, [&](NestOperand *o) { bits = std::max(bits, laneBits(o->elementType)); });
    int64_t lanes = std::max<int64_t>(options.vectorBits / bits, 1);
    return nest.dims[dim].isStatic() ? std::min(lanes, previousPowerOfTwo(nest.dims[dim].size)) : lanes;
  }
  int64_t sizeOf(int dim) const { return nest.dims[dim].isStatic() ? nest.dims[dim].size : 4096; }

  int chooseVector(Schedule &schedule, const SmallVector<Operation *> &combiners) {
    int contiguous = -1, reduction = -1, fallback = -1, best = -1;
    for (int d = 0, e = nest.dims.size(); d < e; ++d) {
      if (nest.dims[d].reduction) {
        if (!combiners.empty() && contiguousInputs(d) > 0 && stridedInputs(d) == 0 && sizeOf(d) >= 4 &&
            (reduction < 0 || sizeOf(d) > sizeOf(reduction)))
          reduction = d;
        continue;
      }
      if (isContiguous(d) && (contiguous < 0 || stridedInputs(d) < stridedInputs(contiguous) ||
                              (stridedInputs(d) == stridedInputs(contiguous) && sizeOf(d) > sizeOf(contiguous))))
        contiguous = d;
      int score = 4 * contiguousInputs(d) - 2 * stridedInputs(d) + (sizeOf(d) >= 4 ? 2 : 0);
      if (fallback < 0 || score > best) {
        fallback = d;
        best = score;
      }
    }
    if (contiguous >= 0 && stridedInputs(contiguous) == 0 && (sizeOf(contiguous) >= 4 || reduction < 0))
      return contiguous;
    if (reduction >= 0) {
      schedule.horizontal = true;
      return reduction;
    }
    if (contiguous >= 0 && sizeOf(contiguous) >= 2)
      return contiguous;
    return fallback;
  }

  /// The parallel dimension along which most vector inputs stay the same: its tile loads them once.
  int chooseRow(int vector) const {
    int best = -1, bestShared = 0;
    for (int d = 0, e = nest.dims.size(); d < e; ++d) {
      if (d == vector || nest.dims[d].reduction || !nest.dims[d].isStatic())
        continue;
      int shared = llvm::count_if(inputs, [&](NestOperand *o) {
        return o->coefficients[d].isZero() && !o->coefficients[vector].isZero();
      });
      bool varies = llvm::all_of(outputs, [&](NestOperand *o) { return !o->coefficients[d].isZero(); });
      if (varies && (shared > bestShared || (shared == bestShared && best >= 0 && sizeOf(d) > sizeOf(best)))) {
        best = d;
        bestShared = shared;
      }
    }
    return best;
  }

  /// Without such a dimension: one along which a repeated element stays the same (the filter of a depthwise convolution).
  int chooseRowOfRepeated(int vector) const {
    int best = -1;
    for (int d = 0, e = nest.dims.size(); d < e; ++d) {
      if (d == vector || nest.dims[d].reduction || !nest.dims[d].isStatic() || sizeOf(d) < 2)
        continue;
      bool varies = llvm::all_of(outputs, [&](NestOperand *o) { return !o->coefficients[d].isZero(); });
      bool shares = llvm::any_of(inputs, [&](NestOperand *o) {
        return o->coefficients[d].isZero() && o->coefficients[vector].isZero();
      });
      if (varies && shares && (best < 0 || sizeOf(d) > sizeOf(best)))
        best = d;
    }
    return best;
  }
};

/// Rows of a tile: the largest count up to `limit` that leaves no rest, if one is not much smaller.
int64_t chooseRows(int64_t size, int64_t limit) {
  limit = std::min(limit, size);
  for (int64_t rows = limit; rows * 5 >= limit * 4 && rows > 0; --rows)
    if (size % rows == 0)
      return rows;
  return limit;
}
} // namespace

Schedule prune::makeSchedule(Nest &nest, const LinalgToVectorOptions &options) {
  Schedule schedule;
  Chooser chooser(nest, options);
  bool reduces = nest.hasReduction();
  SmallVector<Operation *> combiners;
  if (reduces)
    combiners = findCombiners(nest);

  bool vectorizable = bodyIsVectorizable(nest, schedule.reason);
  for (NestOperand &operand : nest.operands)
    if (!laneBits(operand.elementType) && vectorizable) {
      vectorizable = false;
      schedule.reason = "operand " + std::to_string(operand.operand->getOperandNumber()) +
                        " has an element type that vectors cannot hold";
    }
  if (nest.dims.empty() && schedule.reason.empty()) {
    schedule.reason = "it has a single element";
    vectorizable = false;
  }
  if (vectorizable) {
    schedule.vector = chooser.chooseVector(schedule, combiners);
    if (schedule.vector < 0)
      schedule.reason = "no dimension is parallel, and the reduction is not contiguous or has no known combiner";
  }

  if (schedule.vector >= 0) {
    int v = schedule.vector;
    schedule.lanes = chooser.lanesFor(v);
    int64_t registers = nest.dims[v].isStatic() ? std::max<int64_t>(nest.dims[v].size / schedule.lanes, 1) : 1;
    int64_t budget = std::max<int64_t>(options.accumulators() / std::max<size_t>(chooser.outputs.size(), 1), 1);
    if (schedule.horizontal) {
      schedule.vectors = std::min<int64_t>({registers, budget, 4});
    } else if (reduces) {
      schedule.row = chooser.chooseRow(v);
      bool repeated = schedule.row < 0;
      if (repeated)
        schedule.row = chooser.chooseRowOfRepeated(v);
      int64_t limit = std::min<int64_t>(options.vectorBits >= 512 ? 4 : 2, budget);
      // Sixteen registers hold the constants of one function and little else.
      bool fillsRegisters = options.vectorBits < 512 && llvm::any_of(nest.body(), [](Operation &op) {
                              return isa<math::ExpOp, math::Exp2Op, math::ErfOp>(op);
                            });
      if (schedule.row < 0)
        limit = fillsRegisters ? 1 : std::min<int64_t>(budget, 4);
      schedule.vectors = std::min(registers, limit);
      for (int64_t count = schedule.vectors; count * 2 > schedule.vectors; --count)
        if (registers % count == 0) {
          schedule.vectors = count;
          break;
        }
      if (schedule.row >= 0)
        schedule.rows = chooseRows(nest.dims[schedule.row].size,
                                   std::min<int64_t>(budget / schedule.vectors, repeated ? 4 : 12));
    } else if (schedule.lanes >= 4) {
      // An input that is contiguous along another dimension is read by blocks transposed in registers.
      for (NestOperand *input : chooser.inputs) {
        const Coefficient &stride = input->coefficients[v];
        if (schedule.row >= 0 || stride.isZero() || stride.isOne() || !stride.isStatic())
          continue;
        for (int d = 0, e = nest.dims.size(); d < e; ++d)
          if (d != v && nest.dims[d].isStatic() && nest.dims[d].size >= schedule.lanes &&
              input->coefficients[d].isOne() && laneBits(input->elementType) >= 8 && !input->elementType.isInteger(1)) {
            schedule.row = d;
            schedule.rows = schedule.lanes;
            schedule.transposed = true;
          }
      }
    }
  }

  for (int d = 0, e = nest.dims.size(); d < e; ++d) {
    if (nest.dims[d].reduction)
      schedule.reductions.push_back(d);
    else if (d != schedule.vector && d != schedule.row)
      schedule.outer.push_back(d);
  }
  // Walk memory in the order of the first output.
  if (!chooser.outputs.empty())
    llvm::stable_sort(schedule.outer, [&](int a, int c) {
      auto &ca = chooser.outputs[0]->coefficients[a], &cc = chooser.outputs[0]->coefficients[c];
      return ca.isStatic() && cc.isStatic() && ca.value > cc.value;
    });
  // The lanes' reduction runs innermost.
  if (schedule.horizontal)
    llvm::stable_sort(schedule.reductions, [&](int a, int c) { return c == schedule.vector && a != c; });

  if (options.threads > 1 && estimateNanoseconds(nest, schedule) >= options.parallelThreshold) {
    // The dimension whose tiles split most evenly; the outermost of equals.
    SmallVector<int> candidates(schedule.outer);
    if (schedule.row >= 0)
      candidates.push_back(schedule.row);
    if (schedule.vector >= 0 && !schedule.horizontal)
      candidates.push_back(schedule.vector);
    double best = 0;
    for (int d : candidates) {
      if (!nest.dims[d].isStatic())
        continue;
      int64_t step = d == schedule.row ? schedule.rows : d == schedule.vector ? schedule.lanes * schedule.vectors : 1;
      int64_t units = nest.dims[d].size / step;
      if (units < 2)
        continue;
      double balance = double(units) / options.threads / llvm::divideCeil(units, options.threads);
      if (balance > best + 0.05) {
        best = balance;
        schedule.split = d;
      }
    }
  }
  return schedule;
}

int64_t prune::estimateNanoseconds(Nest &nest, const Schedule &schedule) {
  // One body operation per register and nanosecond, libm-like functions counted by what a polynomial takes.
  double points = 1;
  for (const NestDim &dim : nest.dims)
    points *= dim.isStatic() ? dim.size : 1024;
  double operations = 1;
  for (Operation &op : nest.body().without_terminator())
    operations += op.getName().getDialectNamespace() == "math" ? 10 : 0.5;
  double perVector = operations / (schedule.vector >= 0 ? schedule.lanes : 1);
  return int64_t(std::min(points * perVector / 2, 1e15));
}
