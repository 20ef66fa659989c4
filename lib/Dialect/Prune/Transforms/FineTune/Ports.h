//===- Ports.h - Named arguments and results ------------------------*- C++ -*-===//
#ifndef PRUNE_TRANSFORMS_FINETUNE_PORTS_H
#define PRUNE_TRANSFORMS_FINETUNE_PORTS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <string>

namespace mlir::prune {

/// An argument or result of a function that a driver calls.
struct Port {
  std::string name;
  Type type;
};
using Ports = SmallVector<Port>;

/// A function at the end of `module` whose arguments and results carry `prune.name`; `b` is left at its start.
func::FuncOp createPortFunction(ImplicitLocOpBuilder &b, ModuleOp module, StringRef name, ArrayRef<Ports> arguments,
                                ArrayRef<Ports> results);

/// Takes the values of `ports` off the front of `values`.
ValueRange take(ValueRange &values, const Ports &ports);

} // namespace mlir::prune

#endif // PRUNE_TRANSFORMS_FINETUNE_PORTS_H
