//===- ScalarGradient.cpp - Gradient rules of arith and math ops --------------===//
//
// A table of derivatives. The ops work on scalars and, element by element, on tensors; so do the rules.
//
//===----------------------------------------------------------------------===//

#include "GradientModels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"
#include "prune/Interfaces/Gradient.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::prune;

namespace {
/// A value under arithmetic.
class Term {
public:
  Term(OpBuilder &builder, Location loc, Value value) : builder(&builder), loc(loc), value(value) {}

  Value getValue() const { return value; }

  /// `number` in the type of this term.
  Term number(double number) const {
    Type type = value.getType();
    TypedAttr attr = builder->getFloatAttr(getElementTypeOrSelf(type), number);
    if (auto shaped = dyn_cast<ShapedType>(type))
      attr = DenseElementsAttr::get(shaped, attr);
    return Term(*builder, loc, arith::ConstantOp::create(*builder, loc, attr));
  }
  template <typename Op> Term apply() const { return Term(*builder, loc, Op::create(*builder, loc, value)); }
  template <typename Op> Term apply(Term other) const {
    return Term(*builder, loc, Op::create(*builder, loc, value, other.value));
  }
  /// `condition ? this : other`, the condition being of i1.
  Term where(Value condition, Term other) const {
    return Term(*builder, loc, arith::SelectOp::create(*builder, loc, condition, value, other.value));
  }
  Value compare(arith::CmpFPredicate predicate, Term other) const {
    return arith::CmpFOp::create(*builder, loc, predicate, value, other.value);
  }

  friend Term operator+(Term a, Term b) { return a.apply<arith::AddFOp>(b); }
  friend Term operator-(Term a, Term b) { return a.apply<arith::SubFOp>(b); }
  friend Term operator*(Term a, Term b) { return a.apply<arith::MulFOp>(b); }
  friend Term operator/(Term a, Term b) { return a.apply<arith::DivFOp>(b); }
  friend Term operator-(Term a) { return a.apply<arith::NegFOp>(); }
  friend Term operator+(Term a, double b) { return a + a.number(b); }
  friend Term operator*(Term a, double b) { return a * a.number(b); }
  friend Term operator-(double a, Term b) { return b.number(a) - b; }
  friend Term operator/(double a, Term b) { return b.number(a) / b; }

private:
  OpBuilder *builder;
  Location loc;
  Value value;
};

/// What a rule sees of one op.
struct Scalars {
  Operation *op;
  OpBuilder &builder;
  Gradients &gradients;

  Term operand(unsigned i) const { return Term(builder, op->getLoc(), op->getOperand(i)); }
  Term result() const { return Term(builder, op->getLoc(), op->getResult(0)); }
  Term gradient() const { return Term(builder, op->getLoc(), gradients.get(op->getResult(0))); }
  bool needs(unsigned i) const { return gradients.isActive(op->getOperand(i)); }
  void add(unsigned i, Term term) const { gradients.add(builder, op->getLoc(), op->getOperand(i), term.getValue()); }
};
} // namespace

namespace {
/// What the table holds: for y = f(x) the derivative as a function of x and y, for all else the whole rule.
struct Rule {
  Rule() = default;
  Rule(void (*whole)(const Scalars &)) : whole(whole) {}
  Rule(Term (*derivative)(Term x, Term y)) : derivative(derivative) {}

  void operator()(const Scalars &s) const {
    if (whole)
      return whole(s);
    s.add(0, s.gradient() * derivative(s.operand(0), s.result()));
  }

  void (*whole)(const Scalars &) = nullptr;
  Term (*derivative)(Term x, Term y) = nullptr;
};
} // namespace

/// Operand 0 where `first`, else operand 1. Of equal operands the first is taken.
template <arith::CmpFPredicate first> static void extremum(const Scalars &s) {
  Term dy = s.gradient(), zero = dy.number(0);
  Value isFirst = s.operand(0).compare(first, s.operand(1));
  if (s.needs(0))
    s.add(0, dy.where(isFirst, zero));
  if (s.needs(1))
    s.add(1, zero.where(isFirst, dy));
}

/// Results that are constant but for jumps.
static void flat(const Scalars &) {}

/// The derivative of asin, up to its sign.
static Term overSqrtOneMinusSquare(Term x) { return (1.0 - x * x).apply<math::RsqrtOp>(); }

template <typename Cast> static void changePrecision(const Scalars &s) {
  Value dy = s.gradients.get(s.op->getResult(0));
  Value term = Cast::create(s.builder, s.op->getLoc(), s.op->getOperand(0).getType(), dy);
  s.gradients.add(s.builder, s.op->getLoc(), s.op->getOperand(0), term);
}

static void power(const Scalars &s) {
  Term x = s.operand(0), n = s.operand(1), y = s.result(), dy = s.gradient();
  if (s.needs(0))
    s.add(0, dy * n * x.apply<math::PowFOp>(n + -1.0));
  if (s.needs(1)) { // y log x, which is 0 for x = 0
    Term zero = x.number(0);
    Value isZero = x.compare(arith::CmpFPredicate::OEQ, zero);
    s.add(1, dy * zero.where(isZero, y * x.apply<math::LogOp>()));
  }
}

static Rule unary(Term (*derivative)(Term x, Term y)) { return Rule(derivative); }
static Rule rule(void (*whole)(const Scalars &)) { return Rule(whole); }

static const llvm::StringMap<Rule> &getRules() {
  static const llvm::StringMap<Rule> rules = {
      {"arith.addf", rule([](const Scalars &s) { s.add(0, s.gradient()), s.add(1, s.gradient()); })},
      {"arith.subf", rule([](const Scalars &s) {
         s.add(0, s.gradient());
         if (s.needs(1))
           s.add(1, -s.gradient());
       })},
      {"arith.mulf", rule([](const Scalars &s) {
         if (s.needs(0))
           s.add(0, s.gradient() * s.operand(1));
         if (s.needs(1))
           s.add(1, s.gradient() * s.operand(0));
       })},
      {"arith.divf", rule([](const Scalars &s) {
         if (s.needs(0))
           s.add(0, s.gradient() / s.operand(1));
         if (s.needs(1))
           s.add(1, -(s.gradient() * s.result() / s.operand(1)));
       })},
      {"arith.remf", // x - trunc(x / y) y
       rule([](const Scalars &s) {
         s.add(0, s.gradient());
         if (s.needs(1))
           s.add(1, -(s.gradient() * (s.operand(0) / s.operand(1)).apply<math::TruncOp>()));
       })},
      {"arith.negf", rule([](const Scalars &s) { s.add(0, -s.gradient()); })},
      {"arith.maximumf", rule(extremum<arith::CmpFPredicate::OGE>)},
      {"arith.maxnumf", rule(extremum<arith::CmpFPredicate::OGE>)},
      {"arith.minimumf", rule(extremum<arith::CmpFPredicate::OLE>)},
      {"arith.minnumf", rule(extremum<arith::CmpFPredicate::OLE>)},
      {"arith.extf", rule(changePrecision<arith::TruncFOp>)},
      {"arith.truncf", rule(changePrecision<arith::ExtFOp>)},
      {"arith.select", rule([](const Scalars &s) {
         Term dy = s.gradient(), zero = dy.number(0);
         if (s.needs(1))
           s.add(1, dy.where(s.op->getOperand(0), zero));
         if (s.needs(2))
           s.add(2, zero.where(s.op->getOperand(0), dy));
       })},
      {"math.absf", unary([](Term x, Term) { // 0 at 0
         Term zero = x.number(0);
         return zero.where(x.compare(arith::CmpFPredicate::OEQ, zero), x.number(1).apply<math::CopySignOp>(x));
       })},
      {"math.acos", unary([](Term x, Term) { return -overSqrtOneMinusSquare(x); })},
      {"math.acosh", unary([](Term x, Term) { return (x * x + -1.0).apply<math::RsqrtOp>(); })},
      {"math.asin", unary([](Term x, Term) { return overSqrtOneMinusSquare(x); })},
      {"math.asinh", unary([](Term x, Term) { return (x * x + 1.0).apply<math::RsqrtOp>(); })},
      {"math.atan", unary([](Term x, Term) { return 1.0 / (x * x + 1.0); })},
      {"math.atan2", // of y and x
       rule([](const Scalars &s) {
         Term y = s.operand(0), x = s.operand(1), scaled = s.gradient() / (x * x + y * y);
         if (s.needs(0))
           s.add(0, scaled * x);
         if (s.needs(1))
           s.add(1, -(scaled * y));
       })},
      {"math.atanh", unary([](Term x, Term) { return 1.0 / (1.0 - x * x); })},
      {"math.cbrt", unary([](Term, Term y) { return 1.0 / (y * y * 3.0); })},
      {"math.copysign", rule([](const Scalars &s) {
         Term one = s.operand(0).number(1);
         s.add(0, s.gradient() * one.apply<math::CopySignOp>(s.operand(0)) * one.apply<math::CopySignOp>(s.operand(1)));
       })},
      {"math.cos", unary([](Term x, Term) { return -x.apply<math::SinOp>(); })},
      {"math.cosh", unary([](Term x, Term) { return x.apply<math::SinhOp>(); })},
      {"math.erf",
       unary([](Term x, Term) { return (-(x * x)).apply<math::ExpOp>() * (2.0 * llvm::numbers::inv_sqrtpi); })},
      {"math.erfc",
       unary([](Term x, Term) { return (-(x * x)).apply<math::ExpOp>() * (-2.0 * llvm::numbers::inv_sqrtpi); })},
      {"math.exp", unary([](Term, Term y) { return y; })},
      {"math.exp2", unary([](Term, Term y) { return y * llvm::numbers::ln2; })},
      {"math.expm1", unary([](Term, Term y) { return y + 1.0; })},
      {"math.fma", rule([](const Scalars &s) {
         if (s.needs(0))
           s.add(0, s.gradient() * s.operand(1));
         if (s.needs(1))
           s.add(1, s.gradient() * s.operand(0));
         s.add(2, s.gradient());
       })},
      {"math.fpowi", // n x^(n-1)
       rule([](const Scalars &s) {
         Location loc = s.op->getLoc();
         Value x = s.op->getOperand(0), n = s.op->getOperand(1);
         TypedAttr one = s.builder.getIntegerAttr(getElementTypeOrSelf(n.getType()), 1);
         if (auto shaped = dyn_cast<ShapedType>(n.getType()))
           one = DenseElementsAttr::get(shaped, one);
         Value less =
             arith::SubIOp::create(s.builder, loc, n, arith::ConstantOp::create(s.builder, loc, one).getResult());
         Term factor(s.builder, loc, arith::SIToFPOp::create(s.builder, loc, x.getType(), n));
         Term lowered(s.builder, loc, math::FPowIOp::create(s.builder, loc, x, less));
         s.add(0, s.gradient() * factor * lowered);
       })},
      {"math.log", unary([](Term x, Term) { return 1.0 / x; })},
      {"math.log10", unary([](Term x, Term) { return 1.0 / (x * llvm::numbers::ln10); })},
      {"math.log1p", unary([](Term x, Term) { return 1.0 / (x + 1.0); })},
      {"math.log2", unary([](Term x, Term) { return 1.0 / (x * llvm::numbers::ln2); })},
      {"math.powf", rule(power)},
      {"math.rsqrt", unary([](Term x, Term y) { return y / x * -0.5; })},
      {"math.sin", unary([](Term x, Term) { return x.apply<math::CosOp>(); })},
      {"math.sinh", unary([](Term x, Term) { return x.apply<math::CoshOp>(); })},
      {"math.sqrt", unary([](Term, Term y) { return 0.5 / y; })},
      {"math.tan", unary([](Term, Term y) { return y * y + 1.0; })},
      {"math.tanh", unary([](Term, Term y) { return 1.0 - y * y; })},
      {"math.ceil", rule(flat)},
      {"math.floor", rule(flat)},
      {"math.round", rule(flat)},
      {"math.roundeven", rule(flat)},
      {"math.trunc", rule(flat)},
  };
  return rules;
}

namespace {
template <typename Op> struct ScalarGradient : GradientOpInterface::ExternalModel<ScalarGradient<Op>, Op> {
  LogicalResult buildGradient(Operation *op, OpBuilder &builder, Gradients &gradients) const {
    Rule rule = getRules().lookup(op->getName().getStringRef());
    rule(Scalars{op, builder, gradients});
    return success();
  }
};
} // namespace

template <typename... Ops> static void attach(MLIRContext &context) {
  (Ops::template attachInterface<ScalarGradient<Ops>>(context), ...);
}

void prune::registerScalarGradients(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, arith::ArithDialect *) {
    attach<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp, arith::RemFOp, arith::NegFOp, arith::MaximumFOp,
           arith::MaxNumFOp, arith::MinimumFOp, arith::MinNumFOp, arith::ExtFOp, arith::TruncFOp, arith::SelectOp>(
        *context);
  });
  registry.addExtension(+[](MLIRContext *context, math::MathDialect *) {
    attach<math::AbsFOp, math::AcosOp, math::AcoshOp, math::AsinOp, math::AsinhOp, math::AtanOp, math::Atan2Op,
           math::AtanhOp, math::CbrtOp, math::CeilOp, math::CopySignOp, math::CosOp, math::CoshOp, math::ErfOp,
           math::ErfcOp, math::ExpOp, math::Exp2Op, math::ExpM1Op, math::FloorOp, math::FmaOp, math::FPowIOp,
           math::LogOp, math::Log10Op, math::Log1pOp, math::Log2Op, math::PowFOp, math::RoundOp, math::RoundEvenOp,
           math::RsqrtOp, math::SinOp, math::SinhOp, math::SqrtOp, math::TanOp, math::TanhOp, math::TruncOp>(*context);
  });
}
