//===- Optimizers.cpp - Masked optimizer steps as structured ops --------------===//
//
// One generic for each parameter. Pruned elements are selected away, not multiplied: weight and states of a pruned
// element are +0.0 whatever the gradient is, also -0.0, NaN or infinity.
//
//===----------------------------------------------------------------------===//

#include "Optimizers.h"
#include "Emit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include <cmath>

using namespace mlir;
using namespace mlir::prune;

LogicalResult mlir::prune::checkOptimizer(Location loc, const PruneBuildTrainingOptions &options) {
  auto fail = [&](StringRef option, StringRef rule, const Twine &value) {
    return emitError(loc) << option << ": expected " << rule << ", got " << value;
  };
  if (!llvm::is_contained({"sgd", "adam", "adamw"}, options.optimizer))
    return fail("optimizer", "sgd, adam or adamw", "'" + options.optimizer + "'");
  if (!(options.momentum >= 0 && options.momentum < 1))
    return fail("momentum", "a value in [0, 1)", formatNumber(options.momentum));
  if (options.nesterov && (options.optimizer != "sgd" || options.momentum == 0))
    return fail("nesterov", "optimizer=sgd with momentum",
                "optimizer=" + options.optimizer + " with momentum " + formatNumber(options.momentum));
  for (auto [name, value] : {std::pair("weight-decay", options.weightDecay), std::pair("clip-norm", options.clipNorm),
                             std::pair("clip-value", options.clipValue)})
    if (!(value >= 0) || !std::isfinite(value))
      return fail(name, "a number of 0 or more", formatNumber(value));
  for (auto [name, value] : {std::pair("beta1", options.beta1), std::pair("beta2", options.beta2)})
    if (!(value > 0 && value < 1))
      return fail(name, "a value in (0, 1)", formatNumber(value));
  if (!(options.epsilon > 0) || !std::isfinite(options.epsilon))
    return fail("epsilon", "a positive number", formatNumber(options.epsilon));
  return success();
}

SmallVector<StringRef> mlir::prune::getStateNames(const PruneBuildTrainingOptions &options) {
  if (options.optimizer != "sgd")
    return {"m", "v"};
  if (options.momentum > 0)
    return {"momentum"};
  return {};
}

StepScalars mlir::prune::emitStepScalars(ImplicitLocOpBuilder &b, Value step, Value rate, ValueRange gradients,
                                         ValueRange masks, const PruneBuildTrainingOptions &options) {
  Type f64 = b.getF64Type(), f32 = b.getF32Type();
  auto toTensor = [&](Value scalar) { return emitScalarTensor(b, arith::TruncFOp::create(b, f32, scalar)); };
  StepScalars scalars;
  scalars.rate = toTensor(rate);
  if (options.optimizer != "sgd") {
    Value one = arith::ConstantOp::create(b, b.getI64IntegerAttr(1));
    Value next = arith::SIToFPOp::create(b, f64, arith::AddIOp::create(b, step, one));
    auto correction = [&](double beta) {
      // In f64: 1 - beta^t loses half of f32's digits in the first steps.
      Value power = math::ExpOp::create(b, arith::MulFOp::create(b, next, emitFloat(b, std::log(beta), f64)));
      return toTensor(arith::SubFOp::create(b, emitFloat(b, 1, f64), power));
    };
    scalars.firstCorrection = correction(options.beta1);
    scalars.secondCorrection = correction(options.beta2);
  }
  if (options.clipNorm > 0) {
    Value total;
    for (auto [gradient, mask] : llvm::zip_equal(gradients, masks)) {
      SmallVector<Value> inputs = {gradient};
      if (mask)
        inputs.push_back(mask);
      Value sum = emitSum(b, inputs, f64, [&](ImplicitLocOpBuilder &b, ValueRange args) {
        Value wide = arith::ExtFOp::create(b, f64, args[0]);
        Value square = arith::MulFOp::create(b, wide, wide);
        if (args.size() > 1)
          square = arith::SelectOp::create(b, args[1], square, emitFloat(b, 0, f64));
        return SmallVector<Value>{square};
      });
      Value scalar = emitExtract(b, sum);
      total = total ? Value(arith::AddFOp::create(b, total, scalar)) : scalar;
    }
    Value norm = math::SqrtOp::create(b, total ? total : emitFloat(b, 0, f64));
    scalars.gradientNorm = toTensor(norm);
    // As PyTorch's clip_grad_norm_: never scaled up.
    Value ratio = arith::DivFOp::create(b, emitFloat(b, options.clipNorm, f64),
                                        arith::AddFOp::create(b, norm, emitFloat(b, 1e-6, f64)));
    scalars.gradientScale = toTensor(arith::MinimumFOp::create(b, ratio, emitFloat(b, 1, f64)));
  }
  return scalars;
}

SmallVector<Value> mlir::prune::emitUpdate(ImplicitLocOpBuilder &b, Value parameter, Value gradient, Value mask,
                                           ValueRange states, const StepScalars &scalars,
                                           const PruneBuildTrainingOptions &options) {
  auto type = cast<RankedTensorType>(parameter.getType());
  Type element = type.getElementType();
  SmallVector<Value> inputs = {parameter, gradient, scalars.rate};
  llvm::append_range(inputs, states);
  unsigned firstScalar = inputs.size();
  for (Value scalar : {scalars.firstCorrection, scalars.secondCorrection, scalars.gradientScale})
    if (scalar)
      inputs.push_back(scalar);
  if (mask)
    inputs.push_back(mask);
  SmallVector<RankedTensorType> results(1 + states.size(), type);
  return emitMap(b, inputs, results, [&](ImplicitLocOpBuilder &b, ValueRange args) {
    auto number = [&](double value) { return emitFloat(b, value, element); };
    auto add = [&](Value x, Value y) -> Value { return arith::AddFOp::create(b, x, y); };
    auto mul = [&](Value x, Value y) -> Value { return arith::MulFOp::create(b, x, y); };
    auto sub = [&](Value x, Value y) -> Value { return arith::SubFOp::create(b, x, y); };
    auto div = [&](Value x, Value y) -> Value { return arith::DivFOp::create(b, x, y); };
    Value w = args[0], g = args[1], rate = args[2];
    unsigned nextScalar = firstScalar;
    Value firstCorrection = scalars.firstCorrection ? args[nextScalar++] : Value();
    Value secondCorrection = scalars.secondCorrection ? args[nextScalar++] : Value();
    if (scalars.gradientScale)
      g = mul(g, args[nextScalar++]);
    if (options.clipValue > 0)
      g = arith::MinimumFOp::create(b, arith::MaximumFOp::create(b, g, number(-options.clipValue)),
                                    number(options.clipValue));
    if (options.weightDecay > 0) {
      if (options.optimizer == "adamw")
        w = sub(w, mul(mul(rate, number(options.weightDecay)), w));
      else
        g = add(g, mul(number(options.weightDecay), w));
    }
    SmallVector<Value> next;
    if (options.optimizer != "sgd") {
      Value m = add(mul(number(options.beta1), args[3]), mul(number(1 - options.beta1), g));
      Value v = add(mul(number(options.beta2), args[4]), mul(number(1 - options.beta2), mul(g, g)));
      Value root = math::SqrtOp::create(b, div(v, secondCorrection));
      Value change = div(div(m, firstCorrection), add(root, number(options.epsilon)));
      next = {sub(w, mul(rate, change)), m, v};
    } else if (options.momentum > 0) {
      Value buffer = add(mul(number(options.momentum), args[3]), g);
      Value change = options.nesterov ? add(g, mul(number(options.momentum), buffer)) : buffer;
      next = {sub(w, mul(rate, change)), buffer};
    } else {
      next = {sub(w, mul(rate, g))};
    }
    if (mask)
      for (Value &value : next)
        value = arith::SelectOp::create(b, args.back(), value, number(0));
    return next;
  });
}
