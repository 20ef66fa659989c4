//===- PruneInterfaces.td - Interfaces of patterns and criteria -*- tablegen -*-===//
#ifndef PRUNE_INTERFACES_TD
#define PRUNE_INTERFACES_TD

include "mlir/IR/OpBase.td"

def PatternAttrInterface : AttrInterface<"PatternAttrInterface"> {
  let cppNamespace = "::mlir::prune";
  let description = [{
    Which weights live or die together. A pattern splits the elements of a weight into *units*; a mask keeps or prunes
    whole units. It may besides tie units into *groups* and bound how many live in each (n:m).

    Selecting a mask from scores is the same for all patterns and lives in one library (`Masking/Selection.h`):

    1. `reduceScores` turns element scores into unit scores (skipped if `hasElementUnits`),
    2. `constrainGroups` prunes the units that the pattern forbids (only if `getNumGroups` is not 0),
    3. the remaining units are ranked, and the lowest are pruned until the target is met,
    4. `expandUnits` writes the mask (skipped if `hasElementUnits`).

    Methods get a range and must only write there: they are called from several threads at once, on disjoint ranges. They
    must be pure functions of their arguments, independent of the split into ranges.

    Any attribute of any dialect may implement this interface, also as an external model; see docs/Extending.md.
  }];
  let methods = [
    InterfaceMethod<[{
      Checks that the pattern can be laid on a weight of `shape` (static, not empty). Reports the rule and both values.
      }], "::llvm::LogicalResult", "verifyShape",
      (ins "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError, "::llvm::ArrayRef<int64_t>":$shape)>,
    InterfaceMethod<[{
      Number of units along each direction, for example `[rows / 4, columns]` for 4x1 blocks. Units are numbered row-major
      in this grid, and of equal scores the unit with the lower number is kept. Default: a unit for each element.
      }], "::llvm::SmallVector<int64_t>", "getUnitGrid", (ins "::llvm::ArrayRef<int64_t>":$shape), "",
      "return ::llvm::to_vector(shape);">,
    InterfaceMethod<[{
      True if each element is a unit of its own and the grid is the weight itself. `getUnitGrid`, `reduceScores` and
      `expandUnits` then stay as they are by default.
      }], "bool", "hasElementUnits", (ins), "", "return false;">,
    InterfaceMethod<[{
      Writes the scores of the units `[begin, end)` to `unitScores[0 .. end - begin)`, from the scores of all elements.
      }], "void", "reduceScores",
      (ins "::llvm::ArrayRef<int64_t>":$shape, "::llvm::ArrayRef<float>":$elementScores,
           "::mlir::prune::ScoreOrder":$order, "::mlir::prune::ScoreReduction":$reduction, "int64_t":$begin,
           "int64_t":$end, "float *":$unitScores), "",
      "::std::copy(elementScores.begin() + begin, elementScores.begin() + end, unitScores);">,
    InterfaceMethod<[{
      Writes the mask of the elements `[begin, end)` to `mask[0 .. end - begin)`, from the bytes (0 or 1) of all units.
      }], "void", "expandUnits",
      (ins "::llvm::ArrayRef<int64_t>":$shape, "::llvm::ArrayRef<uint8_t>":$units, "int64_t":$begin, "int64_t":$end,
           "uint8_t *":$mask), "",
      "::std::copy(units.begin() + begin, units.begin() + end, mask);">,
    InterfaceMethod<[{
      Number of groups of units that the pattern constrains; 0 if it constrains none.
      }], "int64_t", "getNumGroups", (ins "::llvm::ArrayRef<int64_t>":$shape), "", "return 0;">,
    InterfaceMethod<[{
      Prunes (writes 0 to `units`, which covers all units) what the pattern forbids in the groups `[begin, end)`, the
      lowest scores first; leaves the rest as it is.
      }], "void", "constrainGroups",
      (ins "::llvm::ArrayRef<int64_t>":$shape, "::llvm::ArrayRef<float>":$unitScores, "::mlir::prune::ScoreOrder":$order,
           "int64_t":$begin, "int64_t":$end, "uint8_t *":$units), "", "return;">,
    InterfaceMethod<[{
      Number of units that the pattern prunes whatever the scores: what `constrainGroups` takes away.
      }], "int64_t", "getNumImposed", (ins "::llvm::ArrayRef<int64_t>":$shape), "", "return 0;">,
    InterfaceMethod<[{
      The units as boxes of one size (`UnitBoxes`, Scoring.h): all that code which decides masks at run time knows of a
      pattern. None if they or their groups are something else; such masks cannot be decided while a model is trained.
      }], "::std::optional<::mlir::prune::UnitBoxes>", "getUnitBoxes", (ins "::llvm::ArrayRef<int64_t>":$shape), "",
      "return ::std::nullopt;">,
    InterfaceMethod<[{
      Number of consecutive columns of the matrix view, counted from column 0, that no unit and no group reaches across:
      such stretches can be decided one after the other. 0 if there is none but the whole row.
      }], "int64_t", "getColumnPeriod", (ins), "", "return 0;">,
    InterfaceMethod<[{
      Checks a mask (bytes 0 or 1, row-major) of a weight of `shape`. Reports the rule, both values and the place.
      }], "::llvm::LogicalResult", "verifyMask",
      (ins "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError, "::llvm::ArrayRef<int64_t>":$shape,
           "::llvm::ArrayRef<uint8_t>":$mask)>,
    InterfaceMethod<[{
      Name of the storage format that suits masks of this pattern: `chunked-csr`, `rx1`, `bsr`, `n-of-m` or `dense`
      (docs/Vocabulary.md); other projects may return names of their own, which fall back to `chunked-csr`.
      }], "::llvm::StringRef", "getStorageFormat">,
    InterfaceMethod<[{
      Prints the short spelling of options and reports, for example `2:4` or `4x1`.
      }], "void", "printShort", (ins "::llvm::raw_ostream &":$os)>
  ];
}

def CriterionAttrInterface : AttrInterface<"CriterionAttrInterface"> {
  let cppNamespace = "::mlir::prune";
  let description = [{
    What a weight is worth. A criterion gives each element a score from the weight and, if it asks for them, the gradient
    or statistics of the activations (`getRequiredInputs`).

    Any attribute of any dialect may implement this interface, also as an external model; see docs/Extending.md.
  }];
  let methods = [
    InterfaceMethod<"What the score is computed from: bits of `ScoreInputKind`.", "uint32_t", "getRequiredInputs">,
    InterfaceMethod<"How scores compare.", "::mlir::prune::ScoreOrder", "getScoreOrder", (ins), "",
      "return ::mlir::prune::ScoreOrder::Magnitude;">,
    InterfaceMethod<"How the scores of the elements of a unit are combined.", "::mlir::prune::ScoreReduction",
      "getReduction", (ins), "", "return ::mlir::prune::ScoreReduction::Mean;">,
    InterfaceMethod<[{
      True if the score of an element is the weight itself (magnitude criteria). Nothing is then computed or stored:
      selection reads the weight.
      }], "bool", "isWeightItself", (ins), "", "return false;">,
    InterfaceMethod<[{
      True if a unit competes only with those of its own row of units: every row keeps the same share, rounded so that
      the count of the weight is exact.
      }], "bool", "ranksWithinRows", (ins), "", "return false;">,
    InterfaceMethod<[{
      True if weights that are kept change to make up for those that are pruned. With the Gram matrix, columns are then
      decided from left to right, by scores of what the weights have become, and the error of each is spread over the
      columns behind it. With Fisher blocks, all is decided at once, and then what is kept of each block changes.
      }], "bool", "updatesWeights", (ins), "", "return false;">,
    InterfaceMethod<"What is added to the diagonal of Fisher blocks, if it needs them.", "double", "getFisherDamping",
      (ins), "", "return 0;">,
    InterfaceMethod<[{
      Writes the scores of the elements `[begin, end)` to `scores[0 .. end - begin)`. Called from several threads on
      disjoint ranges; must not depend on how the elements are split into ranges.
      }], "void", "scoreElements",
      (ins "const ::mlir::prune::ScoreInputs &":$inputs, "int64_t":$begin, "int64_t":$end, "float *":$scores)>,
    InterfaceMethod<[{
      True if scores add up while a model is trained: they start at 0, and each step changes them as `emitScoreStep` says.
      }], "bool", "keepsScores", (ins), "", "return false;">,
    InterfaceMethod<[{
      Emits the next score of one element from its score, its weight and the gradient by the masked weight (all f32). Only
      called if `keepsScores`.
      }], "::mlir::Value", "emitScoreStep",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "::mlir::Value":$score, "::mlir::Value":$weight,
           "::mlir::Value":$gradient), "", "return {};">,
    InterfaceMethod<[{
      The score that the threshold of a mask stands for. Reports the rule and the value of one that stands for none.
      }], "::llvm::FailureOr<double>", "getScoreThreshold",
      (ins "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError, "double":$threshold), "",
      "return threshold;">,
    InterfaceMethod<"Prints the short spelling of options and reports, for example `magnitude`.", "void", "printShort",
      (ins "::llvm::raw_ostream &":$os)>
  ];
}

#endif // PRUNE_INTERFACES_TD
