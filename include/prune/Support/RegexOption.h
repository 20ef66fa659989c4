//===- RegexOption.h - Options that are regular expressions ---------*- C++ -*-===//
#ifndef PRUNE_SUPPORT_REGEXOPTION_H
#define PRUNE_SUPPORT_REGEXOPTION_H

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Regex.h"
#include <memory>

namespace mlir::prune {

/// Reads the value `text` of an option; an empty one leaves `regex` as it is. Fails, with an error that names the
/// option, if it is no regular expression.
LogicalResult readRegex(StringRef option, StringRef text, std::shared_ptr<llvm::Regex> &regex,
                        llvm::function_ref<InFlightDiagnostic()> emitError);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_REGEXOPTION_H
