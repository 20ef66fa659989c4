//===- Ports.cpp - Named arguments and results --------------------------------===//

#include "Ports.h"

using namespace mlir;
using namespace mlir::prune;

func::FuncOp mlir::prune::createPortFunction(ImplicitLocOpBuilder &b, ModuleOp module, StringRef name,
                                             ArrayRef<Ports> arguments, ArrayRef<Ports> results) {
  SmallVector<Type> argumentTypes, resultTypes;
  SmallVector<DictionaryAttr> argumentAttrs, resultAttrs;
  auto add = [&](ArrayRef<Ports> groups, SmallVector<Type> &types, SmallVector<DictionaryAttr> &attrs) {
    for (const Ports &group : groups)
      for (const Port &port : group) {
        types.push_back(port.type);
        attrs.push_back(b.getDictionaryAttr(b.getNamedAttr("prune.name", b.getStringAttr(port.name))));
      }
  };
  add(arguments, argumentTypes, argumentAttrs);
  add(results, resultTypes, resultAttrs);
  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(b, name, b.getFunctionType(argumentTypes, resultTypes));
  function.setAllArgAttrs(argumentAttrs);
  function.setAllResultAttrs(resultAttrs);
  b.setInsertionPointToStart(function.addEntryBlock());
  return function;
}

ValueRange mlir::prune::take(ValueRange &values, const Ports &ports) {
  ValueRange front = values.take_front(ports.size());
  values = values.drop_front(ports.size());
  return front;
}
