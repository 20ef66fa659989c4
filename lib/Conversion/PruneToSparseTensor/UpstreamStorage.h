//===- UpstreamStorage.h - Weights in the formats of the sparsifier -----*- C++ -*-===//
#ifndef PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UPSTREAMSTORAGE_H
#define PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UPSTREAMSTORAGE_H

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "prune/Conversion/PruneToSparseTensor/Packing.h"

namespace mlir::prune {

/// The masked matrix as a `sparse_tensor.assemble` of constants, in the format that suits `pattern` and that upstream's
/// sparsifier has: BSR for r x c blocks (r, c > 1) that tile the matrix, padded n:m, and CSR or CSC otherwise.
/// An under-full n:m group is padded by zeros at columns it does not keep.
Value assembleForSparsifier(ImplicitLocOpBuilder &b, const MaskedMatrix &matrix, Attribute pattern, bool byColumn,
                            StringRef name);

} // namespace mlir::prune

#endif // PRUNE_LIB_CONVERSION_PRUNETOSPARSETENSOR_UPSTREAMSTORAGE_H
