//===- Options.h - Options of the pipelines -------------------------*- C++ -*-===//
//
// One struct for each pipeline, for command lines, textual pipelines and callers in C++ alike.
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_PIPELINES_OPTIONS_H
#define PRUNE_PIPELINES_OPTIONS_H

#include "mlir/Pass/PassOptions.h"
#include <limits>
#include <string>

namespace mlir::prune {

/// Options of the pipeline `prune`; what they mean is described at prune-create-masks and prune-evaluate-masks.
struct PruneOptions : public PassPipelineOptions<PruneOptions> {
  Option<std::string> criterion{
      *this, "criterion",
      llvm::cl::desc("What a weight is worth: magnitude, magnitude:l2, magnitude:linf, random, "
                     "random:SEED or an attribute"),
      llvm::cl::init("magnitude")};
  Option<std::string> pattern{*this, "pattern",
                              llvm::cl::desc("What lives or dies together: unstructured, N:M, RxC, slice:DIM, "
                                             "slice:DIM:GROUP or an attribute"),
                              llvm::cl::init("unstructured")};
  Option<double> sparsity{*this, "sparsity",
                          llvm::cl::desc("Share of units to prune, in [0, 1]; default 0.5, or what an n:m pattern "
                                         "imposes by itself"),
                          llvm::cl::init(std::numeric_limits<double>::quiet_NaN())};
  Option<double> threshold{*this, "threshold",
                           llvm::cl::desc("Prune units whose score is this or less, instead of a share"),
                           llvm::cl::init(std::numeric_limits<double>::quiet_NaN())};
  Option<int64_t> minKeep{*this, "min-keep",
                          llvm::cl::desc("Units that each weight keeps at least; default (-1): 1, or 0 at sparsity 1"),
                          llvm::cl::init(-1)};
  Option<std::string> scope{*this, "scope",
                            llvm::cl::desc("layer: each weight meets the target by itself; global: all weights compete "
                                           "for one budget"),
                            llvm::cl::init("layer")};
  Option<std::string> include{*this, "include",
                              llvm::cl::desc("Regular expression; only weights in whose name it is found are pruned"),
                              llvm::cl::init("")};
  Option<std::string> exclude{*this, "exclude",
                              llvm::cl::desc("Regular expression; weights in whose name it is found are not pruned"),
                              llvm::cl::init("")};
  Option<std::string> recipe{*this, "recipe", llvm::cl::desc("YAML file with settings for weights by name"),
                             llvm::cl::init("")};
  Option<unsigned> threads{
      *this, "threads",
      llvm::cl::desc("Threads that decide masks; 0 takes all cores. The result does not depend on it"),
      llvm::cl::init(0)};
};

} // namespace mlir::prune

#endif // PRUNE_PIPELINES_OPTIONS_H
