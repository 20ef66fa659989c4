//===- Npy.h - Files of NumPy ---------------------------------------*- C++ -*-===//
//
// Reads .npy (format versions 1 to 3) and .npz (stored and deflated members), writes .npy version 1 and stored .npz.
// Every length of a file is checked before it is used: files may come from anywhere.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_SUPPORT_NPY_H
#define PRUNE_SUPPORT_NPY_H

#include "prune/Support/HostTensor.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace mlir::prune {

struct NamedTensor {
  std::string name;
  HostTensor tensor;
};

/// The tensor in the bytes of a .npy file. Fortran order is turned into C order; bool bytes become 0 or 1. Refuses
/// big-endian data, structures, objects, and a length other than the header's.
llvm::Expected<HostTensor> parseNpy(llvm::StringRef bytes);

/// Says by their names which tensors of a .npz are wanted; null: all.
using TensorFilter = llvm::function_ref<bool(llvm::StringRef)>;

/// The tensors in the bytes of a .npz file, in its order, without ".npy" at the end of their names. Checks the CRC of
/// each. What is not wanted is not looked at.
llvm::Expected<std::vector<NamedTensor>> parseNpz(llvm::StringRef bytes, TensorFilter isWanted = nullptr);

/// Reads `path`: the wanted tensors of a .npz, or the one of a .npy under an empty name. Decides by content.
llvm::Expected<std::vector<NamedTensor>> readTensors(llvm::StringRef path, TensorFilter isWanted = nullptr);

/// Writes version 1 of the .npy format.
void writeNpy(llvm::raw_ostream &os, const HostTensor &tensor);

/// Writes a .npz of stored members; the same tensors give the same bytes. Refuses members of 4 GiB and more.
llvm::Error writeNpz(llvm::raw_ostream &os, llvm::ArrayRef<NamedTensor> tensors);

/// Writes `path` as a whole or not at all: to a temporary file beside it, then renamed.
llvm::Error writeFileAtomically(llvm::StringRef path, llvm::function_ref<llvm::Error(llvm::raw_ostream &)> write);

} // namespace mlir::prune

#endif // PRUNE_SUPPORT_NPY_H
