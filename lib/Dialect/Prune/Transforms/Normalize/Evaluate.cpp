//===- Evaluate.cpp - Structured ops on constants, at compile time ------------===//

#include "Evaluate.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>
#include <functional>

using namespace mlir;
using namespace mlir::prune;

namespace {
/// A scalar while evaluating: floats as double (every f32 is one), integers sign-extended, i1 as 0 or 1.
union Scalar {
  double f;
  int64_t i;
};

/// How elements lie in memory.
enum class Format { F32, F64, I1, I8, I16, I32, I64, Unknown };

Format getFormat(Type type) {
  if (type.isF32())
    return Format::F32;
  if (type.isF64())
    return Format::F64;
  if (type.isIndex())
    return Format::I64;
  if (auto integer = dyn_cast<IntegerType>(type); integer && !integer.isUnsigned()) {
    switch (integer.getWidth()) {
    case 1:
      return Format::I1;
    case 8:
      return Format::I8;
    case 16:
      return Format::I16;
    case 32:
      return Format::I32;
    case 64:
      return Format::I64;
    default:
      break;
    }
  }
  return Format::Unknown;
}

int64_t getSize(Format format) {
  switch (format) {
  case Format::I1:
  case Format::I8:
    return 1;
  case Format::I16:
    return 2;
  case Format::F32:
  case Format::I32:
    return 4;
  default:
    return 8;
  }
}

template <typename T> T readAs(const char *data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return value;
}

Scalar load(Format format, const char *data, int64_t index) {
  data += index * getSize(format);
  Scalar s;
  switch (format) {
  case Format::F32:
    s.f = readAs<float>(data);
    break;
  case Format::F64:
    s.f = readAs<double>(data);
    break;
  case Format::I1:
    s.i = *data != 0;
    break;
  case Format::I8:
    s.i = readAs<int8_t>(data);
    break;
  case Format::I16:
    s.i = readAs<int16_t>(data);
    break;
  case Format::I32:
    s.i = readAs<int32_t>(data);
    break;
  default:
    s.i = readAs<int64_t>(data);
    break;
  }
  return s;
}

void store(Format format, char *data, int64_t index, Scalar s) {
  int64_t size = getSize(format);
  data += index * size;
  if (format == Format::F32) {
    float value = static_cast<float>(s.f);
    std::memcpy(data, &value, 4);
  } else {
    std::memcpy(data, &s, size); // Little-endian: the low bytes of an integer, or the double itself.
  }
}

/// Wraps an integer, rounds a float to the precision of its type.
Scalar canonical(Format format, Scalar s) {
  switch (format) {
  case Format::F32:
    s.f = static_cast<float>(s.f);
    break;
  case Format::I1:
    s.i &= 1;
    break;
  case Format::I8:
    s.i = static_cast<int8_t>(s.i);
    break;
  case Format::I16:
    s.i = static_cast<int16_t>(s.i);
    break;
  case Format::I32:
    s.i = static_cast<int32_t>(s.i);
    break;
  default:
    break;
  }
  return s;
}

/// A constant tensor to read from.
struct Table {
  Format format = Format::Unknown;
  const char *data = nullptr;
  bool isSplat = false;
  SmallVector<int64_t> shape, strides;
  /// Bytes of an i1 constant, whose storage in the context is packed.
  SmallVector<char> unpacked;

  LogicalResult set(ElementsAttr attr) {
    shape.assign(attr.getShapedType().getShape().begin(), attr.getShapedType().getShape().end());
    strides.assign(shape.size(), 1);
    for (int64_t dim = static_cast<int64_t>(shape.size()) - 2; dim >= 0; --dim)
      strides[dim] = strides[dim + 1] * shape[dim + 1];
    format = getFormat(attr.getElementType());
    if (format == Format::Unknown)
      return failure();
    auto dense = dyn_cast<DenseElementsAttr>(attr);
    if (dense && format == Format::I1) {
      for (bool bit : dense.getValues<bool>())
        unpacked.push_back(bit);
      return success();
    }
    FailureOr<ConstantBytes> bytes = getConstantBytes(attr);
    if (failed(bytes))
      return failure();
    data = bytes->data.data();
    isSplat = bytes->isSplat;
    return success();
  }
  Scalar get(int64_t index) const {
    return load(format, unpacked.empty() ? data : unpacked.data(), isSplat ? 0 : index);
  }
};

using Fn = std::function<Scalar(const Scalar *)>;

/// One op of the body: result = fn(arguments), wrapped to `format`.
struct Step {
  Fn fn;
  SmallVector<unsigned, 3> arguments;
  unsigned result;
  Format format;
};

Fn onFloats(double (*fn)(double)) {
  return [fn](const Scalar *a) { return Scalar{fn(a[0].f)}; };
}
/// The C library's float function where the type is f32, else its double function.
Fn onFloats(Format format, float (*single)(float), double (*full)(double)) {
  if (format == Format::F32)
    return [single](const Scalar *a) { return Scalar{single(static_cast<float>(a[0].f))}; };
  return onFloats(full);
}
template <typename T> Fn onFloatPairs(T fn) {
  return [fn](const Scalar *a) { return Scalar{fn(a[0].f, a[1].f)}; };
}
Scalar makeInt(int64_t value) {
  Scalar s;
  s.i = value;
  return s;
}
template <typename T> Fn onInts(T fn) {
  return [fn](const Scalar *a) { return makeInt(fn(a[0].i, a[1].i)); };
}
uint64_t asUnsigned(int64_t value, unsigned bits) {
  return bits >= 64 ? value : static_cast<uint64_t>(value) & ((uint64_t(1) << bits) - 1);
}
unsigned getBits(Type type) { return type.isIndex() ? 64 : type.getIntOrFloatBitWidth(); }

Fn getCompareInts(arith::CmpIPredicate predicate, unsigned bits) {
  using P = arith::CmpIPredicate;
  return onInts([=](int64_t a, int64_t b) -> int64_t {
    uint64_t ua = asUnsigned(a, bits), ub = asUnsigned(b, bits);
    switch (predicate) {
    case P::eq:
      return ua == ub;
    case P::ne:
      return ua != ub;
    case P::slt:
      return a < b;
    case P::sle:
      return a <= b;
    case P::sgt:
      return a > b;
    case P::sge:
      return a >= b;
    case P::ult:
      return ua < ub;
    case P::ule:
      return ua <= ub;
    case P::ugt:
      return ua > ub;
    case P::uge:
      return ua >= ub;
    }
    return 0;
  });
}

Fn getCompareFloats(arith::CmpFPredicate predicate) {
  return [predicate](const Scalar *s) {
    APFloat a(s[0].f), b(s[1].f);
    return makeInt(arith::applyCmpPredicate(predicate, a, b));
  };
}

double maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::nan("");
  return a == b ? (std::signbit(a) ? b : a) : std::max(a, b);
}
double minimum(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::nan("");
  return a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
}

/// The function of a scalar op; null when it is not known here. Sums, products, quotients and square roots of f32 taken
/// in double and rounded once are those of f32 arithmetic.
Fn getFunction(Operation *op) {
  Format format = getFormat(op->getResult(0).getType());
  Type from = op->getNumOperands() ? op->getOperand(0).getType() : Type();
  return llvm::TypeSwitch<Operation *, Fn>(op)
      .Case([](arith::AddFOp) { return onFloatPairs(std::plus<double>()); })
      .Case([](arith::SubFOp) { return onFloatPairs(std::minus<double>()); })
      .Case([](arith::MulFOp) { return onFloatPairs(std::multiplies<double>()); })
      .Case([](arith::DivFOp) { return onFloatPairs([](double a, double b) { return a / b; }); })
      .Case([](arith::NegFOp) { return Fn([](const Scalar *a) { return Scalar{-a[0].f}; }); })
      .Case([](arith::MaximumFOp) { return onFloatPairs(maximum); })
      .Case([](arith::MinimumFOp) { return onFloatPairs(minimum); })
      .Case([](arith::MaxNumFOp) { return onFloatPairs([](double a, double b) { return std::fmax(a, b); }); })
      .Case([](arith::MinNumFOp) { return onFloatPairs([](double a, double b) { return std::fmin(a, b); }); })
      .Case([](arith::CmpFOp cmp) { return getCompareFloats(cmp.getPredicate()); })
      .Case([&](arith::CmpIOp cmp) { return getCompareInts(cmp.getPredicate(), getBits(from)); })
      .Case([](arith::SelectOp) { return Fn([](const Scalar *a) { return a[0].i ? a[1] : a[2]; }); })
      .Case(
          [](arith::AddIOp) { return onInts([](int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }); })
      .Case(
          [](arith::SubIOp) { return onInts([](int64_t a, int64_t b) { return int64_t(uint64_t(a) - uint64_t(b)); }); })
      .Case(
          [](arith::MulIOp) { return onInts([](int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }); })
      .Case([](arith::AndIOp) { return onInts([](int64_t a, int64_t b) { return a & b; }); })
      .Case([](arith::OrIOp) { return onInts([](int64_t a, int64_t b) { return a | b; }); })
      .Case([](arith::XOrIOp) { return onInts([](int64_t a, int64_t b) { return a ^ b; }); })
      .Case([](arith::MaxSIOp) { return onInts([](int64_t a, int64_t b) { return std::max(a, b); }); })
      .Case([](arith::MinSIOp) { return onInts([](int64_t a, int64_t b) { return std::min(a, b); }); })
      .Case<arith::IndexCastOp, arith::TruncIOp, arith::ExtFOp, arith::TruncFOp>([&](Operation *) {
        bool isBool = from.isInteger(1);
        return Fn([isBool](const Scalar *a) { return isBool ? makeInt(-a[0].i) : a[0]; });
      })
      .Case([&](arith::ExtSIOp) {
        bool isBool = from.isInteger(1);
        return Fn([isBool](const Scalar *a) { return isBool ? makeInt(-a[0].i) : a[0]; });
      })
      .Case<arith::ExtUIOp, arith::IndexCastUIOp>([&](Operation *) {
        unsigned bits = getBits(from);
        return Fn([bits](const Scalar *a) { return makeInt(asUnsigned(a[0].i, bits)); });
      })
      .Case([&](arith::SIToFPOp) {
        bool isBool = from.isInteger(1);
        bool single = format == Format::F32;
        return Fn([=](const Scalar *a) {
          int64_t value = isBool ? -a[0].i : a[0].i;
          return Scalar{single ? static_cast<float>(value) : static_cast<double>(value)};
        });
      })
      .Case([&](arith::UIToFPOp) {
        unsigned bits = getBits(from);
        bool single = format == Format::F32;
        return Fn([=](const Scalar *a) {
          uint64_t value = asUnsigned(a[0].i, bits);
          return Scalar{single ? static_cast<float>(value) : static_cast<double>(value)};
        });
      })
      .Case([](math::SqrtOp) { return onFloats([](double a) { return std::sqrt(a); }); })
      .Case([&](math::RsqrtOp) {
        bool single = format == Format::F32;
        return Fn([single](const Scalar *a) {
          double root = std::sqrt(a[0].f);
          return Scalar{1.0 / (single ? static_cast<float>(root) : root)};
        });
      })
      .Case([](math::AbsFOp) { return onFloats([](double a) { return std::fabs(a); }); })
      .Case([](math::CeilOp) { return onFloats([](double a) { return std::ceil(a); }); })
      .Case([](math::FloorOp) { return onFloats([](double a) { return std::floor(a); }); })
      .Case([&](math::ExpOp) { return onFloats(format, std::exp, std::exp); })
      .Case([&](math::LogOp) { return onFloats(format, std::log, std::log); })
      .Case([&](math::SinOp) { return onFloats(format, std::sin, std::sin); })
      .Case([&](math::CosOp) { return onFloats(format, std::cos, std::cos); })
      .Case([&](math::TanhOp) { return onFloats(format, std::tanh, std::tanh); })
      .Case([&](math::ErfOp) { return onFloats(format, std::erf, std::erf); })
      .Case([&](math::PowFOp) {
        if (format == Format::F32)
          return onFloatPairs(
              [](double a, double b) { return double(std::pow(static_cast<float>(a), static_cast<float>(b))); });
        return onFloatPairs([](double a, double b) { return std::pow(a, b); });
      })
      .Default([](Operation *) { return Fn(); });
}

/// A body as a list of steps over numbered scalars.
class Program {
public:
  LogicalResult compile(linalg::LinalgOp op);
  /// Runs the body for one point; `slots` holds the block arguments.
  void run(ArrayRef<int64_t> point, MutableArrayRef<Scalar> slots) const {
    for (auto [slot, dim] : indices)
      slots[slot].i = point[dim];
    Scalar arguments[8];
    for (const Step &step : steps) {
      for (size_t i = 0; i < step.arguments.size(); ++i)
        arguments[i] = slots[step.arguments[i]];
      slots[step.result] = canonical(step.format, step.fn(arguments));
    }
  }
  std::vector<Scalar> makeSlots() const { return initial; }
  unsigned getResult() const { return result; }
  bool usesIndices() const { return !indices.empty(); }

private:
  unsigned slotOf(Value value) {
    auto [it, isNew] = slots.try_emplace(value, initial.size());
    if (isNew)
      initial.push_back(makeInt(0));
    return it->second;
  }
  LogicalResult addCaptured(Value value);

  llvm::DenseMap<Value, unsigned> slots;
  std::vector<Scalar> initial;
  std::vector<Step> steps;
  SmallVector<std::pair<unsigned, unsigned>> indices;
  std::vector<std::unique_ptr<Table>> tables;
  unsigned result = 0;
};

LogicalResult Program::addCaptured(Value value) {
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)) || getFormat(value.getType()) == Format::Unknown)
    return failure();
  Scalar s;
  if (auto number = dyn_cast<FloatAttr>(attr))
    s.f = number.getValueAsDouble();
  else if (auto number = dyn_cast<IntegerAttr>(attr))
    s.i = value.getType().isInteger(1) ? number.getValue().getZExtValue() : number.getValue().getSExtValue();
  else
    return failure();
  initial[slotOf(value)] = s;
  return success();
}
} // namespace

LogicalResult Program::compile(linalg::LinalgOp op) {
  Block *body = op.getBlock();
  for (BlockArgument argument : body->getArguments())
    slotOf(argument);
  for (Operation &inner : body->without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      indices.push_back({slotOf(index), index.getDim()});
      continue;
    }
    if (inner.getNumResults() != 1 || inner.getNumRegions() != 0)
      return failure();
    Format format = getFormat(inner.getResult(0).getType());
    if (format == Format::Unknown)
      return failure();
    if (isa<arith::ConstantOp>(inner)) {
      if (failed(addCaptured(inner.getResult(0))))
        return failure();
      continue;
    }
    Step step;
    step.format = format;
    SmallVector<Value> arguments(inner.getOperands());
    if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
      ElementsAttr attr = getConstantElements(extract.getTensor());
      auto table = std::make_unique<Table>();
      if (!attr || failed(table->set(attr)) || table->shape.size() > 8)
        return failure();
      arguments.assign(extract.getIndices().begin(), extract.getIndices().end());
      step.fn = [table = table.get()](const Scalar *a) {
        int64_t position = 0;
        for (size_t dim = 0; dim < table->shape.size(); ++dim) {
          if (a[dim].i < 0 || a[dim].i >= table->shape[dim])
            return makeInt(0); // Undefined behaviour of the program; no reason to crash here.
          position += a[dim].i * table->strides[dim];
        }
        return table->get(position);
      };
      tables.push_back(std::move(table));
    } else {
      if (arguments.size() > 8)
        return failure();
      for (Value argument : arguments)
        if (getFormat(argument.getType()) == Format::Unknown)
          return failure();
      step.fn = getFunction(&inner);
      if (!step.fn)
        return failure();
    }
    for (Value argument : arguments) {
      if (!slots.count(argument) && failed(addCaptured(argument)))
        return failure();
      step.arguments.push_back(slotOf(argument));
    }
    step.result = slotOf(inner.getResult(0));
    steps.push_back(std::move(step));
  }
  Value yielded = body->getTerminator()->getOperand(0);
  if (!slots.count(yielded) && failed(addCaptured(yielded)))
    return failure();
  result = slotOf(yielded);
  return success();
}

ElementsAttr prune::getConstantElements(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape())
    return {};
  if (arith::ConstantOp constant = getConstant(value))
    return dyn_cast<ElementsAttr>(constant.getValue());
  if (auto fill = value.getDefiningOp<linalg::FillOp>()) {
    Attribute scalar;
    if (matchPattern(fill.getInputs()[0], m_Constant(&scalar)) && isa<FloatAttr, IntegerAttr>(scalar) &&
        cast<TypedAttr>(scalar).getType() == type.getElementType())
      return DenseElementsAttr::get(type, scalar);
  }
  return {};
}

LogicalResult prune::evaluate(linalg::LinalgOp op, int64_t maxPoints, SmallVectorImpl<char> &result) {
  if (op->getNumResults() != 1 || !op.hasPureTensorSemantics())
    return failure();
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape())
    return failure();
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  int64_t points = 1;
  for (int64_t range : ranges) {
    if (ShapedType::isDynamic(range) || range == 0)
      return failure();
    points *= range;
    if (points > maxPoints)
      return failure();
  }
  Program program;
  if (failed(program.compile(op)))
    return failure();

  // Operands as tables with the step of each loop. A map may hold dimensions and constants only.
  struct Operand {
    Table table;
    unsigned slot = 0;
    int64_t offset = 0;
    SmallVector<int64_t> steps;
  };
  std::vector<Operand> inputs;
  Operand output;
  for (OpOperand &operand : op->getOpOperands()) {
    bool isInit = op.isDpsInit(&operand);
    if (!isInit && !op.payloadUsesValueFromOperand(&operand))
      continue;
    Operand entry;
    entry.slot = op.getMatchingBlockArgument(&operand).getArgNumber();
    bool needsData = !isInit || op.payloadUsesValueFromOperand(&operand);
    if (needsData && isa<RankedTensorType>(operand.get().getType())) {
      ElementsAttr attr = getConstantElements(operand.get());
      if (!attr || failed(entry.table.set(attr)))
        return failure();
    } else if (needsData) {
      Attribute scalar;
      if (!matchPattern(operand.get(), m_Constant(&scalar)) || !isa<FloatAttr, IntegerAttr>(scalar))
        return failure();
      auto scalarType = RankedTensorType::get({}, operand.get().getType());
      if (failed(entry.table.set(DenseElementsAttr::get(scalarType, scalar))))
        return failure();
    } else {
      entry.table.format = getFormat(type.getElementType());
      entry.table.shape.assign(type.getShape().begin(), type.getShape().end());
      entry.table.strides.assign(type.getRank(), 1);
      for (int64_t dim = type.getRank() - 2; dim >= 0; --dim)
        entry.table.strides[dim] = entry.table.strides[dim + 1] * type.getDimSize(dim + 1);
    }
    entry.steps.assign(ranges.size(), 0);
    for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      if (auto loop = dyn_cast<AffineDimExpr>(expr))
        entry.steps[loop.getPosition()] += entry.table.strides[dim];
      else if (auto constant = dyn_cast<AffineConstantExpr>(expr))
        entry.offset += constant.getValue() * entry.table.strides[dim];
      else
        return failure();
    }
    if (isInit)
      output = std::move(entry);
    else
      inputs.push_back(std::move(entry));
  }
  Format format = getFormat(type.getElementType());
  if (format == Format::Unknown)
    return failure();

  int64_t count = type.getNumElements();
  result.assign(count * getSize(format), 0);
  bool readsOutput = output.table.data || !output.table.unpacked.empty();
  if (readsOutput)
    for (int64_t i = 0; i < count; ++i)
      store(format, result.data(), i, output.table.get(i));

  std::vector<Scalar> slots = program.makeSlots();
  SmallVector<int64_t> point(ranges.size(), 0);
  SmallVector<int64_t> positions(inputs.size());
  for (auto [position, input] : llvm::zip(positions, inputs))
    position = input.offset;
  int64_t target = output.offset;
  for (int64_t n = 0; n < points; ++n) {
    for (auto [position, input] : llvm::zip(positions, inputs))
      slots[input.slot] = input.table.get(position);
    if (readsOutput)
      slots[output.slot] = load(format, result.data(), target);
    program.run(point, slots);
    store(format, result.data(), target, slots[program.getResult()]);
    for (int64_t dim = static_cast<int64_t>(ranges.size()) - 1; dim >= 0; --dim) {
      bool wraps = ++point[dim] == ranges[dim];
      int64_t step = wraps ? 1 - ranges[dim] : 1;
      if (wraps)
        point[dim] = 0;
      for (auto [position, input] : llvm::zip(positions, inputs))
        position += step * input.steps[dim];
      target += step * output.steps[dim];
      if (!wraps)
        break;
    }
  }
  return success();
}
