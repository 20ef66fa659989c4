//===- PruneEnums.td - Enumerations of the prune dialect --------*- tablegen -*-===//
#ifndef PRUNE_ENUMS_TD
#define PRUNE_ENUMS_TD

include "mlir/IR/EnumAttr.td"

#endif // PRUNE_ENUMS_TD
