//===- Numbers.cpp - Numbers in text ------------------------------------------===//

#include "prune/Dialect/Prune/IR/Numbers.h"
#include "llvm/Support/Format.h"

using namespace mlir;

std::string prune::formatNumber(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}

ParseResult prune::parseNumber(AsmParser &parser, double &value) {
  bool isNegative = succeeded(parser.parseOptionalMinus());
  int64_t whole;
  OptionalParseResult integer = parser.parseOptionalDecimalInteger(whole);
  if (integer.has_value() && failed(*integer))
    return failure();
  if (integer.has_value())
    value = static_cast<double>(whole);
  else if (parser.parseFloat(value))
    return failure();
  if (isNegative)
    value = -value;
  return success();
}
