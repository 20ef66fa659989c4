//===- ApproximateMath.cpp - prune-approximate-math -----------------------------===//
//
// exp and exp2: Cody-Waite reduction to |r| <= ln2 / 2, a polynomial of degree 6, and a factor made of exponent bits.
// erf: 1 - 2^w with a polynomial for log2(erfc); 1.9 ulp. GELU by erf is one function of its own: 2.8 ulp from 0 on
// (3.2 without fused multiply-adds), 1.3e-7 below. The other functions are upstream's.
// Division by a constant becomes multiplication by its reciprocal; 1.5 ulp.
//
//===----------------------------------------------------------------------===//

#include "prune/Conversion/ApproximateMath/ApproximateMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "prune/Conversion/Passes.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

namespace mlir::prune {
#define GEN_PASS_DEF_PRUNEAPPROXIMATEMATH
#include "prune/Conversion/Passes.h.inc"
} // namespace mlir::prune

using namespace mlir;
using namespace mlir::prune;

namespace {
/// Arithmetic on values of one type, f32 or vectors of it.
struct Arithmetic {
  ImplicitLocOpBuilder b;
  Type type;
  bool fuse;

  Arithmetic(Location loc, OpBuilder &builder, Type type, bool fuse) : b(loc, builder), type(type), fuse(fuse) {}

  Type integers() {
    auto vector = dyn_cast<VectorType>(type);
    return vector ? Type(vector.clone(b.getI32Type())) : Type(b.getI32Type());
  }
  Value constant(float value) {
    auto element = b.getF32FloatAttr(value);
    if (auto vector = dyn_cast<VectorType>(type))
      return arith::ConstantOp::create(b, DenseElementsAttr::get(vector, element.getValue())).getResult();
    return arith::ConstantOp::create(b, element).getResult();
  }
  Value integer(int32_t value) {
    if (auto vector = dyn_cast<VectorType>(type))
      return arith::ConstantOp::create(b, DenseElementsAttr::get(cast<ShapedType>(integers()), value)).getResult();
    return arith::ConstantOp::create(b, b.getI32IntegerAttr(value)).getResult();
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, x, y).getResult(); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, x, y).getResult(); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y).getResult(); }
  Value multiplyAdd(Value x, Value y, Value z) {
    if (!fuse)
      return add(mul(x, y), z);
    return math::FmaOp::create(b, x, y, z).getResult();
  }
  Value compare(arith::CmpFPredicate predicate, Value x, Value y) {
    return arith::CmpFOp::create(b, predicate, x, y).getResult();
  }
  Value select(Value condition, Value x, Value y) { return arith::SelectOp::create(b, condition, x, y).getResult(); }
  /// These two keep a NaN in x and are one instruction each.
  Value atLeast(Value x, float low) {
    Value bound = constant(low);
    return select(compare(arith::CmpFPredicate::OLT, x, bound), bound, x);
  }
  Value atMost(Value x, float high) {
    Value bound = constant(high);
    return select(compare(arith::CmpFPredicate::OGT, x, bound), bound, x);
  }
  /// coefficients[0] * x^(n-1) + ... + coefficients[n-1].
  Value horner(Value x, ArrayRef<float> coefficients) {
    Value sum = constant(coefficients.front());
    for (float c : coefficients.drop_front())
      sum = multiplyAdd(sum, x, constant(c));
    return sum;
  }
};

// 1.5 * 2^23: adding it rounds to an integer and leaves that integer in the low bits.
constexpr float roundingShift = 12582912.0f;

/// e^x or 2^x without branches or blends: the argument is clamped to where n, its rounded logarithm of base 2, lies in
/// [-126, 128]. The shift leaves the exponent bits of 2^(n-1) in the low bits; the last doubling overflows where it
/// should.
Value exponential(Arithmetic &a, Value x, bool base2) {
  x = a.atMost(a.atLeast(x, base2 ? -126.0f : -87.3f), base2 ? 128.0f : 89.0f);
  Value shift = a.constant(roundingShift + 126);
  Value shifted = base2 ? a.add(x, shift) : a.multiplyAdd(x, a.constant(1.44269504088896341f), shift);
  Value n = a.sub(shifted, shift), r;
  if (base2) {
    r = a.mul(a.sub(x, n), a.constant(0.693147180559945f));
  } else {
    r = a.multiplyAdd(n, a.constant(-0.693359375f), x);
    r = a.multiplyAdd(n, a.constant(2.12194440e-4f), r);
  }
  auto line = [&](float slope, float offset) { return a.multiplyAdd(r, a.constant(slope), a.constant(offset)); };
  Value square = a.mul(r, r);
  Value p = a.multiplyAdd(line(1.38145988e-3f, 8.36871658e-3f), square, line(4.1668389e-2f, 1.66665211e-1f));
  p = a.multiplyAdd(p, r, a.constant(4.9999994e-1f));
  p = a.multiplyAdd(p, square, r); // e^r - 1
  Value exponent = arith::ShLIOp::create(a.b, arith::BitcastOp::create(a.b, a.integers(), shifted), a.integer(23));
  Value half = arith::BitcastOp::create(a.b, a.type, exponent);
  half = a.multiplyAdd(half, p, half);
  return a.add(half, half);
}

/// erfc(t) = 2^w with w = t Q(t) for t = |x|, so erf is (1 - 2^n) - 2^n (2^f - 1) for w = n + f: below t = 0.27 n is 0
/// and what is left, 2^f - 1, keeps its relative precision. Q is a minimax fit to log2(erfc(t)) / t on [0, 4], weighted
/// by the error it leaves in erf; from 4 on erf is 1 in f32. One path, no division.
Value errorFunction(Arithmetic &a, Value x) {
  Value t = a.atMost(math::AbsFOp::create(a.b, x).getResult(), 4.0f);
  Value w = a.mul(t, a.horner(t, {1.6795959e-5f, -1.9863997e-4f, 1.0080704e-3f, -2.5608125e-3f, 3.6545424e-4f,
                                  2.7573634e-2f, -1.4826576e-1f, -9.184483e-1f, -1.627907f}));
  Value shift = a.constant(roundingShift), shifted = a.add(w, shift);
  Value f = a.sub(w, a.sub(shifted, shift));
  Value p = a.horner(f, {1.5382336e-4f, 1.3387394e-3f, 9.61831e-3f, 5.5503674e-2f, 2.4022649e-1f});
  p = a.multiplyAdd(f, a.constant(0.6931472f), a.mul(a.mul(f, f), p)); // 2^f - 1
  Value exponent = arith::ShLIOp::create(a.b, arith::BitcastOp::create(a.b, a.integers(), shifted), a.integer(23));
  Value power = arith::AddIOp::create(a.b, exponent, a.integer(0x3f800000));
  power = arith::BitcastOp::create(a.b, a.type, power);
  Value result = a.multiplyAdd(arith::NegFOp::create(a.b, power), p, a.sub(a.constant(1.0f), power));
  return math::CopySignOp::create(a.b, result, x).getResult();
}

/// x Phi(x) = max(x, 0) - t Phi(-t) for t = |x|, so nothing cancels; Phi(-t) is the square of a polynomial, which is a
/// minimax fit to its root on [0, 5.7], weighted by the error that is left in Phi, and nearly zero from there on. Few
/// instructions in a row count most: processors run as many vectors side by side as their registers hold. So the high
/// and the low powers are two chains (even and odd ones would cancel), but for 512 bits, where multipliers are scarcer.
Value gelu(Arithmetic &a, Value x) {
  constexpr float high[] = {2.25251409e-8f, -6.92619722e-7f, 8.7318549e-6f,  -5.56241321e-5f,
                            1.65764301e-4f, -6.75275005e-5f, -4.17027157e-4f};
  constexpr float low[] = {-2.23670807e-3f, 7.61392387e-3f, 2.4564581e-2f,
                           -5.62723726e-2f, -2.8209433e-1f, 7.07106769e-1f};
  Value t = a.atMost(math::AbsFOp::create(a.b, x).getResult(), 5.7f), root;
  auto vector = dyn_cast<VectorType>(a.type);
  if (vector && vector.getShape().back() >= 16) {
    root = a.horner(t, llvm::to_vector(llvm::concat<const float>(high, low)));
  } else {
    Value cube = a.mul(a.mul(t, t), t), power = a.mul(cube, cube), top = a.horner(t, high);
    root = a.multiplyAdd(top, power, a.horner(t, low));
  }
  return a.multiplyAdd(arith::NegFOp::create(a.b, t), a.mul(root, root), a.atLeast(x, 0.0f));
}

/// The one number of a constant that is a float or a splat of it.
std::optional<APFloat> getConstant(Value value) {
  Attribute constant;
  if (!matchPattern(value, m_Constant(&constant)))
    return std::nullopt;
  if (auto elements = dyn_cast<SplatElementsAttr>(constant))
    constant = elements.getSplatValue<Attribute>();
  if (auto number = dyn_cast<FloatAttr>(constant))
    return number.getValue();
  return std::nullopt;
}

/// The reciprocal of a constant divisor, if it is a normal number.
std::optional<APFloat> reciprocal(Value divisor) {
  std::optional<APFloat> value = getConstant(divisor);
  if (!value)
    return std::nullopt;
  APFloat inverse(value->getSemantics(), 1);
  inverse.divide(*value, APFloat::rmNearestTiesToEven);
  if (!inverse.isFiniteNonZero() || inverse.isDenormal())
    return std::nullopt;
  return inverse;
}

struct MultiplyByReciprocal : OpRewritePattern<arith::DivFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::DivFOp op, PatternRewriter &rewriter) const override {
    Type type = op.getType();
    std::optional<APFloat> inverse = reciprocal(op.getRhs());
    if (!getElementTypeOrSelf(type).isF32() || !inverse)
      return rewriter.notifyMatchFailure(op, "only division by an f32 constant with a normal reciprocal");
    TypedAttr attribute = rewriter.getF32FloatAttr(inverse->convertToFloat());
    if (auto vector = dyn_cast<VectorType>(type))
      attribute = DenseElementsAttr::get(vector, *inverse);
    Value factor = arith::ConstantOp::create(rewriter, op.getLoc(), attribute);
    rewriter.replaceOpWithNewOp<arith::MulFOp>(op, op.getLhs(), factor);
    return success();
  }
};

/// GELU as models spell it: (1 + erf(x * 0.7071)) times x times 0.5, in any order.
struct ApproximateGELU : OpRewritePattern<math::ErfOp> {
  ApproximateGELU(MLIRContext *context, bool fuse)
      : OpRewritePattern<math::ErfOp>(context, /*benefit=*/20), fuse(fuse) {}

  LogicalResult matchAndRewrite(math::ErfOp op, PatternRewriter &rewriter) const override {
    Value x = getUnscaled(op.getOperand());
    Operation *product = x ? findProduct(op, x) : nullptr;
    if (!product || !getElementTypeOrSelf(op.getType()).isF32())
      return rewriter.notifyMatchFailure(op, "no GELU in f32 around it");
    rewriter.setInsertionPoint(product);
    Arithmetic a(product->getLoc(), rewriter, op.getType(), fuse);
    rewriter.replaceOp(product, gelu(a, x));
    return success();
  }

private:
  /// x where `value` is x / sqrt(2).
  static Value getUnscaled(Value value) {
    Operation *op = value.getDefiningOp();
    std::optional<APFloat> factor;
    if (isa_and_nonnull<arith::MulFOp>(op))
      factor = getConstant(op->getOperand(1));
    else if (isa_and_nonnull<arith::DivFOp>(op))
      factor = reciprocal(op->getOperand(1));
    return factor && std::abs(factor->convertToDouble() * 1.4142135623730951 - 1) < 2e-7 ? op->getOperand(0) : Value();
  }

  /// The last of the products that make GELU of erf; null if there is another use or factor on the way.
  static Operation *findProduct(math::ErfOp erf, Value x) {
    bool hasOne = false, hasX = false;
    double factor = 1;
    Operation *op = erf;
    while (op->hasOneUse()) {
      Value value = op->getResult(0);
      OpOperand &use = *value.use_begin();
      op = use.getOwner();
      if (!isa<arith::AddFOp, arith::MulFOp>(op))
        return nullptr;
      Value other = op->getOperand(1 - use.getOperandNumber());
      std::optional<APFloat> constant = getConstant(other);
      if (isa<arith::AddFOp>(op)) {
        if (hasOne || !constant || constant->convertToDouble() != 1)
          return nullptr;
        hasOne = true;
        continue;
      }
      if (auto scaled = other.getDefiningOp<arith::MulFOp>(); scaled && scaled.getLhs() == x) {
        constant = getConstant(scaled.getRhs());
        other = constant ? x : other;
      }
      if (!hasOne || (other == x && hasX) || (other != x && !constant))
        return nullptr;
      hasX |= other == x;
      factor *= constant ? constant->convertToDouble() : 1;
      if (hasX && factor == 0.5)
        return op;
    }
    return nullptr;
  }

  bool fuse;
};

bool isF32(Type type) { return getElementTypeOrSelf(type).isF32(); }

template <typename OpTy> struct ApproximateFunction : OpRewritePattern<OpTy> {
  ApproximateFunction(MLIRContext *context, bool fuse) : OpRewritePattern<OpTy>(context, /*benefit=*/10), fuse(fuse) {}

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    if (!isF32(op.getType()))
      return rewriter.notifyMatchFailure(op, "only f32 has a polynomial");
    if (auto vector = dyn_cast<VectorType>(op.getType()); vector && vector.isScalable())
      return rewriter.notifyMatchFailure(op, "scalable vectors are left alone");
    Arithmetic a(op.getLoc(), rewriter, op.getType(), fuse);
    Value result;
    if constexpr (std::is_same_v<OpTy, math::ErfOp>)
      result = errorFunction(a, op.getOperand());
    else
      result = exponential(a, op.getOperand(), std::is_same_v<OpTy, math::Exp2Op>);
    rewriter.replaceOp(op, result);
    return success();
  }

  bool fuse;
};

/// Functions whose upstream polynomial is good to a few units in the last place.
bool usesUpstream(StringRef name) {
  return llvm::StringSwitch<bool>(name)
      .Cases({"math.tanh", "math.log", "math.log2", "math.log1p", "math.expm1"}, true)
      .Default(false);
}

struct PruneApproximateMath : mlir::prune::impl::PruneApproximateMathBase<PruneApproximateMath> {
  using PruneApproximateMathBase::PruneApproximateMathBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateApproximateMathPatterns(patterns, fuseMultiplyAdd);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

void prune::populateApproximateMathPatterns(RewritePatternSet &patterns, bool fuseMultiplyAdd) {
  patterns.add<ApproximateFunction<math::ExpOp>, ApproximateFunction<math::Exp2Op>, ApproximateFunction<math::ErfOp>>(
      patterns.getContext(), fuseMultiplyAdd);
  patterns.add<ApproximateGELU>(patterns.getContext(), fuseMultiplyAdd);
  patterns.add<MultiplyByReciprocal>(patterns.getContext());
  // Half precision goes through f32.
  populateMathF32ExpansionPatterns(patterns, [](StringRef name) {
    return usesUpstream(name) || name == "math.exp" || name == "math.exp2" || name == "math.erf";
  });
  populateMathPolynomialApproximationPatterns(patterns, usesUpstream);
  math::populateExpansionPatterns(patterns, {"clampf"});
}
