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

/// Options of the pipeline `prune`; what they mean is described at prune-create-masks, prune-evaluate-masks and
/// prune-calibrate-masks.
struct PruneOptions : public PassPipelineOptions<PruneOptions> {
  Option<std::string> criterion{
      *this, "criterion",
      llvm::cl::desc("What a weight is worth: magnitude, magnitude:l2, magnitude:linf, random, "
                     "random:SEED, taylor, fisher, obs, obs:DAMPING, wanda, sparsegpt or an attribute"),
      llvm::cl::init("magnitude")};
  Option<std::string> pattern{*this, "pattern",
                              llvm::cl::desc("What lives or dies together: unstructured, N:M, V:N:M, "
                                             "transposable:N:M, RxC, slice:DIM, slice:DIM:GROUP or an attribute"),
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
                                           "for one budget; default layer, or global for layer-split=l2 and lamp"),
                            llvm::cl::init("")};
  Option<std::string> layerSplit{*this, "layer-split",
                                 llvm::cl::desc("How weights share the sparsity: uniform, erk (by their shapes), l2 or "
                                                "lamp (by a ranking of normalised scores)"),
                                 llvm::cl::init("uniform")};
  Option<std::string> include{*this, "include",
                              llvm::cl::desc("Regular expression; only weights in whose name it is found are pruned"),
                              llvm::cl::init("")};
  Option<std::string> exclude{*this, "exclude",
                              llvm::cl::desc("Regular expression; weights in whose name it is found are not pruned"),
                              llvm::cl::init("")};
  Option<std::string> recipe{*this, "recipe", llvm::cl::desc("YAML file with settings for weights by name"),
                             llvm::cl::init("")};
  Option<std::string> data{*this, "data",
                           llvm::cl::desc(".npz file with examples of the inputs, for criteria that see activations"),
                           llvm::cl::init("")};
  Option<std::string> gradients{*this, "gradients",
                                llvm::cl::desc(".npz file with the gradients that taylor, fisher and obs need"),
                                llvm::cl::init("")};
  Option<std::string> entry{*this, "entry", llvm::cl::desc("Function that is run on the examples"),
                            llvm::cl::init("main")};
  Option<std::string> padding{*this, "padding",
                              llvm::cl::desc("Input whose zeros mark rows of activations that do not count"),
                              llvm::cl::init("")};
  Option<double> damping{*this, "damping",
                         llvm::cl::desc("Damping of sparsegpt, relative to the mean of the diagonal, in (0, 0.1]"),
                         llvm::cl::init(0.01)};
  Option<std::string> columnCounts{
      *this, "column-counts", llvm::cl::desc("Units of each stretch of columns that sparsegpt prunes: even, ranked"),
      llvm::cl::init("even")};
  Option<bool> refit{*this, "refit",
                     llvm::cl::desc("Give what sparsegpt and obs keep its best values once the mask is decided"),
                     llvm::cl::init(false)};
  Option<unsigned> threads{
      *this, "threads",
      llvm::cl::desc("Threads that decide masks; 0 takes all cores. The result does not depend on it"),
      llvm::cl::init(0)};
};

/// Options of the pipeline `prune-structured`; what they mean is described at prune-select-groups and prune-shrink.
struct StructuredOptions : public PassPipelineOptions<StructuredOptions> {
  Option<double> ratio{*this, "ratio",
                       llvm::cl::desc("Share of units to prune, in [0, 1); default 0.5, or what target needs"),
                       llvm::cl::init(std::numeric_limits<double>::quiet_NaN())};
  Option<std::string> target{*this, "target",
                             llvm::cl::desc("What shall be left instead of a ratio: params:SHARE, flops:SHARE or "
                                            "latency:SHARE"),
                             llvm::cl::init("")};
  Option<std::string> criterion{
      *this, "criterion",
      llvm::cl::desc("What a unit is worth: l1, l2, linf, fpgm, taylor, fisher, bn-scale, random, "
                     "random:SEED or an attribute"),
      llvm::cl::init("l2")};
  Option<std::string> gradients{*this, "gradients",
                                llvm::cl::desc(".npz file with the gradients that taylor and fisher need"),
                                llvm::cl::init("")};
  Option<std::string> aggregate{*this, "aggregate",
                                llvm::cl::desc("How the weights of a group agree on a score: mean, sum or max"),
                                llvm::cl::init("mean")};
  Option<std::string> normalize{*this, "normalize",
                                llvm::cl::desc("mean: scores are divided by the mean of their group; none"),
                                llvm::cl::init("mean")};
  Option<std::string> scope{*this, "scope",
                            llvm::cl::desc("Which units compete: those of a group (local), of all groups (global), of "
                                           "groups of one kind and shape (isomorphic)"),
                            llvm::cl::init("local")};
  Option<int64_t> roundTo{*this, "round-to",
                          llvm::cl::desc("Multiple that kept counts are rounded to; 0: as suits group and target"),
                          llvm::cl::init(0)};
  Option<double> maxRatio{*this, "max-ratio", llvm::cl::desc("Share of units that no group may lose more than"),
                          llvm::cl::init(1.0)};
  ListOption<std::string> ratios{*this, "ratios", llvm::cl::desc("Exceptions by name of group or weight: REGEX=RATIO")};
  Option<std::string> include{*this, "include",
                              llvm::cl::desc("Regular expression; only groups it is found in are pruned"),
                              llvm::cl::init("")};
  Option<std::string> exclude{
      *this, "exclude", llvm::cl::desc("Regular expression; groups it is found in are not pruned"), llvm::cl::init("")};
  ListOption<std::string> groups{*this, "groups", llvm::cl::desc("Names of the groups to prune, in full")};
  ListOption<std::string> kinds{
      *this, "kinds", llvm::cl::desc("Kinds of groups to prune: channels, neurons, heads, head-width, width")};
  Option<std::string> statistics{*this, "statistics",
                                 llvm::cl::desc("keep: dimensions that normalisations run over stay whole; survivors"),
                                 llvm::cl::init("keep")};
  Option<bool> shrink{*this, "shrink",
                      llvm::cl::desc("Remove what is pruned from all shapes; without, masks stay in the module"),
                      llvm::cl::init(true)};
  Option<bool> checkEquivalence{*this, "check-equivalence",
                                llvm::cl::desc("Run the masked and the shrunk model and compare"),
                                llvm::cl::init(false)};
  Option<std::string> report{*this, "report", llvm::cl::desc("JSON file for the removed indices of each weight"),
                             llvm::cl::init("")};
  Option<std::string> data{
      *this, "data",
      llvm::cl::desc(".npz file with examples of the inputs, by which what stays makes up for what "
                     "goes (prune-compensate-groups)"),
      llvm::cl::init("")};
  Option<std::string> units{*this, "units",
                            llvm::cl::desc("keep: those of the lowest scores go; obs: as many, chosen by the examples"),
                            llvm::cl::init("keep")};
  Option<std::string> entry{*this, "entry", llvm::cl::desc("Function that is run on the examples"),
                            llvm::cl::init("main")};
  Option<std::string> padding{*this, "padding",
                              llvm::cl::desc("Input whose zeros mark rows of activations that do not count"),
                              llvm::cl::init("")};
  Option<double> damping{*this, "damping",
                         llvm::cl::desc("Share of the mean of a Gram matrix's diagonal that is added to it"),
                         llvm::cl::init(0.01)};
  Option<unsigned> threads{*this, "threads",
                           llvm::cl::desc("Threads that score; 0 takes all cores. The result does not depend on it"),
                           llvm::cl::init(0)};
};

/// Options of the pipeline `prune-train`; what they mean is described at prune-build-training.
struct TrainOptions : public PassPipelineOptions<TrainOptions> {
  Option<std::string> entry{*this, "entry", llvm::cl::desc("Function that is trained"), llvm::cl::init("main")};
  Option<std::string> loss{*this, "loss",
                           llvm::cl::desc("What is minimised: cross-entropy, mse, bce (on logits) or cosine"),
                           llvm::cl::init("cross-entropy")};
  Option<double> labelSmoothing{*this, "label-smoothing",
                                llvm::cl::desc("Share of a label that is spread over all classes"),
                                llvm::cl::init(0.0)};
  Option<std::string> optimizer{*this, "optimizer", llvm::cl::desc("sgd, adam or adamw"), llvm::cl::init("adamw")};
  Option<double> lr{*this, "lr", llvm::cl::desc("Learning rate, before its schedule"), llvm::cl::init(1e-3)};
  Option<double> momentum{*this, "momentum", llvm::cl::desc("Momentum of sgd"), llvm::cl::init(0.9)};
  Option<bool> nesterov{*this, "nesterov", llvm::cl::desc("Nesterov's momentum"), llvm::cl::init(false)};
  Option<double> weightDecay{*this, "weight-decay",
                             llvm::cl::desc("Weight decay; decoupled for adamw, else part of the gradient"),
                             llvm::cl::init(0.0)};
  Option<double> beta1{*this, "beta1", llvm::cl::desc("Decay of Adam's first moment"), llvm::cl::init(0.9)};
  Option<double> beta2{*this, "beta2", llvm::cl::desc("Decay of Adam's second moment"), llvm::cl::init(0.999)};
  Option<double> epsilon{*this, "epsilon", llvm::cl::desc("Added to Adam's denominator"), llvm::cl::init(1e-8)};
  Option<double> clipNorm{*this, "clip-norm", llvm::cl::desc("Largest norm of all gradients together; 0: any"),
                          llvm::cl::init(0.0)};
  Option<double> clipValue{*this, "clip-value",
                           llvm::cl::desc("Largest absolute value of a gradient, after clip-norm; 0: any"),
                           llvm::cl::init(0.0)};
  Option<std::string> lrSchedule{*this, "lr-schedule", llvm::cl::desc("constant, step, multi-step, cosine or linear"),
                                 llvm::cl::init("constant")};
  Option<double> lrMin{*this, "lr-min", llvm::cl::desc("Where cosine and linear end"), llvm::cl::init(0.0)};
  Option<double> lrGamma{*this, "lr-gamma", llvm::cl::desc("Factor of step and multi-step"), llvm::cl::init(0.1)};
  Option<int64_t> lrPeriod{*this, "lr-period", llvm::cl::desc("Steps between two factors of step"), llvm::cl::init(0)};
  ListOption<int64_t> lrMilestones{*this, "lr-milestones",
                                   llvm::cl::desc("Steps at which multi-step takes its factor")};
  Option<int64_t> warmup{*this, "warmup", llvm::cl::desc("Steps in which the learning rate rises linearly"),
                         llvm::cl::init(0)};
  Option<int64_t> steps{*this, "steps", llvm::cl::desc("Steps in all, where cosine and linear end"), llvm::cl::init(0)};
  Option<int64_t> rewindEvery{*this, "rewind-every",
                              llvm::cl::desc("Steps after which the schedule starts again; 0: never"),
                              llvm::cl::init(0)};
  Option<std::string> freeze{*this, "freeze",
                             llvm::cl::desc("Regular expression; weights in whose name it is found stay constants"),
                             llvm::cl::init("")};
  Option<std::string> batchNorm{
      *this, "batch-norm",
      llvm::cl::desc("train: normalise by the batch and follow its statistics; frozen: by the "
                     "statistics that the model has"),
      llvm::cl::init("train")};
  Option<double> batchNormMomentum{*this, "batch-norm-momentum",
                                   llvm::cl::desc("Share of a batch in the statistics of batch norms"),
                                   llvm::cl::init(0.1)};
  Option<std::string> teacher{
      *this, "teacher",
      llvm::cl::desc("What to learn from: another function of the module, the function `entry` of a "
                     "file, or self, the model without masks"),
      llvm::cl::init("")};
  Option<double> hardness{*this, "hardness",
                          llvm::cl::desc("Share of the teacher in the loss; 1: nothing else, and no labels"),
                          llvm::cl::init(0.9)};
  Option<double> temperature{*this, "temperature", llvm::cl::desc("Softens the classes that teacher and model give"),
                             llvm::cl::init(2.0)};
  ListOption<std::string> distill{*this, "distill",
                                  llvm::cl::desc("Outputs to learn from the teacher: REGEX=KIND or REGEX=KIND:WEIGHT")};
  Option<std::string> recompute{*this, "recompute",
                                llvm::cl::desc("Values to compute twice instead of keeping them: none or elementwise"),
                                llvm::cl::init("none")};
  Option<std::string> rowWeights{*this, "row-weights",
                                 llvm::cl::desc("Input whose numbers weight the rows of outputs in losses"),
                                 llvm::cl::init("")};
  Option<std::string> schedule{*this, "schedule",
                               llvm::cl::desc("When undecided masks are decided, and how sparse: constant, "
                                              "polynomial:begin=0:end=1000:every=100 and so on, or an attribute"),
                               llvm::cl::init("")};
  Option<std::string> update{*this, "update",
                             llvm::cl::desc("What training does to pruned weights: masked or straight-through"),
                             llvm::cl::init("masked")};
  Option<double> regrow{*this, "regrow",
                        llvm::cl::desc("Share of the kept weights that decided masks exchange at first; 0: none"),
                        llvm::cl::init(0.0)};
  Option<bool> gradients{*this, "gradients",
                         llvm::cl::desc("Build @gradients too: the gradients of the loss by the parameters"),
                         llvm::cl::init(false)};
  Option<bool> sparse{*this, "sparse",
                      llvm::cl::desc("Weights with a decided mask and their states hold their kept elements only"),
                      llvm::cl::init(false)};
};

/// Options of the pipeline `prune-dynamic`; what they mean is described at prune-insert-gates and
/// prune-calibrate-gates.
struct DynamicOptions : public PassPipelineOptions<DynamicOptions> {
  Option<std::string> kind{*this, "kind", llvm::cl::desc("What is kept of activations: threshold, top-k or N:M"),
                           llvm::cl::init("threshold")};
  Option<double> sparsity{*this, "sparsity",
                          llvm::cl::desc("Share of the activations to prune, in [0, 1]; default 0.5, or what N:M says"),
                          llvm::cl::init(std::numeric_limits<double>::quiet_NaN())};
  Option<double> threshold{*this, "threshold",
                           llvm::cl::desc("Prune activations whose absolute value is this or less, instead of a share"),
                           llvm::cl::init(std::numeric_limits<double>::quiet_NaN())};
  Option<int64_t> keep{*this, "keep", llvm::cl::desc("Columns that top-k keeps, instead of a share"),
                       llvm::cl::init(-1)};
  Option<std::string> include{
      *this, "include", llvm::cl::desc("Regular expression; only layers in whose weight's name it is found get gates"),
      llvm::cl::init("")};
  Option<std::string> exclude{
      *this, "exclude", llvm::cl::desc("Regular expression; layers in whose weight's name it is found get no gate"),
      llvm::cl::init("")};
  Option<int64_t> scores{*this, "scores",
                         llvm::cl::desc("Number of the function's result that decides, instead of what is gated"),
                         llvm::cl::init(-1)};
  Option<std::string> calibration{
      *this, "calibration", llvm::cl::desc(".npz file with examples of the inputs, for the thresholds of a sparsity"),
      llvm::cl::init("")};
  Option<std::string> allocation{
      *this, "allocation",
      llvm::cl::desc("How masks share the sparsity: uniform, or greedy by the error of the results"),
      llvm::cl::init("uniform")};
  Option<int64_t> searchExamples{*this, "search-examples", llvm::cl::desc("Examples that greedy runs for each trial"),
                                 llvm::cl::init(64)};
  Option<std::string> entry{*this, "entry", llvm::cl::desc("Function that is run on the examples"),
                            llvm::cl::init("main")};
  Option<std::string> padding{*this, "padding",
                              llvm::cl::desc("Input whose zeros mark rows of activations that do not count"),
                              llvm::cl::init("")};
  Option<unsigned> threads{*this, "threads",
                           llvm::cl::desc("Threads; 0 takes all cores. The result does not depend on it"),
                           llvm::cl::init(0)};
};

} // namespace mlir::prune

#endif // PRUNE_PIPELINES_OPTIONS_H
