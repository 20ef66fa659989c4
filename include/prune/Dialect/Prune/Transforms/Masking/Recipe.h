//===- Recipe.h - What to prune how, by the names of weights --------*- C++ -*-===//
//
// A recipe is a YAML file. Keys at the top replace the options of prune-create-masks; `layers` lists exceptions, each
// with a regular expression `match` on the name of the weight. The first entry that matches decides; what it does not
// say comes from the top.
//
//   pattern: 4x1
//   sparsity: 0.9
//   layers:
//     - match: attention.*query
//       sparsity: 0.8
//     - match: classifier
//       skip: true
//
//===----------------------------------------------------------------------===//
#ifndef PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_RECIPE_H
#define PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_RECIPE_H

#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir::prune {

/// Weights of one scope compete for one budget.
enum class MaskScope { Layer, Global };

/// How weights share a sparsity: all the same, by their shapes, or by a ranking of scores made comparable.
enum class LayerSplit { Uniform, ERK, L2, LAMP };

/// "uniform", "erk", "l2" or "lamp"; none for other texts.
std::optional<LayerSplit> symbolizeLayerSplit(StringRef text);
StringRef stringifyLayerSplit(LayerSplit split);

/// How one weight is pruned; what is not set comes from somewhere else.
struct MaskSettings {
  CriterionAttrInterface criterion;
  PatternAttrInterface pattern;
  std::optional<double> sparsity;
  std::optional<double> threshold;
  std::optional<int64_t> minKeep;
  std::optional<MaskScope> scope;
  std::optional<LayerSplit> layerSplit;
  /// Name of the group of a global scope; entries with the same name compete with each other.
  std::string group;
  bool skip = false;

  /// Takes from `other` what is not set here. A threshold here keeps a sparsity out, and the other way round.
  void inherit(const MaskSettings &other);
};

/// One entry of `layers`.
struct RecipeEntry {
  std::string match;
  /// "recipe.yaml:7", for messages.
  std::string place;
  MaskSettings settings;
};

struct Recipe {
  MaskSettings defaults;
  std::vector<RecipeEntry> entries;

  /// Reads `path`. Reports what is wrong in one line that names file, line and key.
  static FailureOr<Recipe> read(StringRef path, MLIRContext *context, function_ref<InFlightDiagnostic()> emitError);
};

} // namespace mlir::prune

#endif // PRUNE_DIALECT_PRUNE_TRANSFORMS_MASKING_RECIPE_H
