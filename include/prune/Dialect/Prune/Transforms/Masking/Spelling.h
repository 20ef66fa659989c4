//===- Spelling.h - Short spellings of patterns and criteria --------*- C++ -*-===//
//
// Options, recipes and reports write patterns and criteria short: 2:4, 4x1, magnitude:l2. Anything that starts with '#'
// is parsed as an attribute, so that patterns of other projects can be named too.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_SPELLING_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_SPELLING_H

#include "prune/Dialect/Prune/IR/Numbers.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include <string>

namespace mlir::prune {

/// `unstructured`, `N:M`, `V:N:M`, `transposable:N:M`, `RxC`, `slice:DIM[:GROUP]` or an attribute. Null with a message in
/// `error` on anything else.
PatternAttrInterface parsePattern(StringRef text, MLIRContext *context, std::string &error);

/// `magnitude[:l1|:l2|:linf]`, `random[:SEED]`, `taylor`, `fisher`, `obs[:DAMPING]`, `wanda`, `sparsegpt`,
/// `movement[:RATE]`, `soft-movement[:RATE[:PENALTY]]` or an attribute. Null with a message in `error` on anything else.
CriterionAttrInterface parseCriterion(StringRef text, MLIRContext *context, std::string &error);

/// `KIND[:KEY=VALUE...]` (`polynomial:begin=0:end=1000`, `multi-step:end=20:every=10:milestones=[10,20]`) or an
/// attribute. Null with a message in `error` on anything else.
ScheduleAttr parseSchedule(StringRef text, MLIRContext *context, std::string &error);

/// The short spelling.
std::string spell(PatternAttrInterface pattern);
std::string spell(CriterionAttrInterface criterion);

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_SPELLING_H
