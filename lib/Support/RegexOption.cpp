//===- RegexOption.cpp - Options that are regular expressions -----------------===//

#include "prune/Support/RegexOption.h"

using namespace mlir;

LogicalResult mlir::prune::readRegex(StringRef option, StringRef text, std::shared_ptr<llvm::Regex> &regex,
                                     llvm::function_ref<InFlightDiagnostic()> emitError) {
  if (text.empty())
    return success();
  regex = std::make_shared<llvm::Regex>(text);
  std::string error;
  if (regex->isValid(error))
    return success();
  return emitError() << option << ": '" << text << "' is no regular expression: " << error;
}
