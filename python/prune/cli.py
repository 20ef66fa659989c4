"""Command line: `python -m prune COMMAND ...`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Sequence

from prune import __version__
from prune.console import Steps
from prune.errors import PruneError, one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; user errors become one line on stderr and status 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except PruneError as error:
        print(f"prune {options.command}: {error}", file=sys.stderr)
    except MemoryError:
        print(f"prune {options.command}: memory: got more than this machine has", file=sys.stderr)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"prune {options.command}: {place}{one_line(error.strerror or str(error))}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"prune {options.command}: interrupted", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m prune", description="Python edges of the pruning compiler.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    importer = commands.add_parser(
        "import", help="ONNX (or linalg/TOSA MLIR) to a normalized module",
        description="Reads an ONNX model, or an MLIR module of linalg or TOSA on tensors, and writes the normalized "
                    "module with readable weight names: bytecode, or text if OUT ends in .mlir.")
    importer.add_argument("input", metavar="IN", type=Path)
    importer.add_argument("-o", dest="output", metavar="OUT", type=Path, required=True)
    importer.add_argument("--shape", action="append", default=[], metavar="NAME=1x128",
                          help="fix the shape of a dynamic input (repeatable)")
    importer.add_argument("--dim", action="append", default=[], metavar="NAME=1",
                          help="fix a named dimension of all inputs (repeatable)")
    forms = importer.add_mutually_exclusive_group()
    forms.add_argument("--no-normalize", action="store_true",
                       help="write linalg as it arrives, without prune-normalize")
    forms.add_argument("--keep-batch-norm", action="store_true",
                       help="do not fold batch norms into weights: for training")
    importer.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS",
                          help="limit for each program that is run (default 600)")
    importer.add_argument("--verbose", action="store_true", help="show the steps also without a terminal")
    importer.set_defaults(run=_import)

    exporter = commands.add_parser(
        "export", help="a module as ONNX or safetensors",
        description="Writes a module on tensors, with its masks in the weights and its shapes as they are now, as an "
                    "ONNX graph (OUT.onnx, compared with the compiled module in ONNX Runtime before it takes its "
                    "place) or its weights and masks as a safetensors file (OUT.safetensors).")
    exporter.add_argument("module", metavar="MODULE", type=Path)
    exporter.add_argument("-o", dest="output", metavar="OUT", type=Path, required=True)
    exporter.add_argument("--sparse-initializers", action="store_true",
                          help="store weights of an ONNX file sparsely where that takes fewer bytes")
    exporter.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS",
                          help="limit for each program that is run (default 600)")
    exporter.set_defaults(run=_export)

    masks = commands.add_parser(
        "masks", help="put masks made elsewhere on the weights of a module",
        description="Reads masks by the names of the weights from a .safetensors or .npz file (W_mask of "
                    "torch.nn.utils.prune, W.mask, mask:W), or takes the zeros that the weights have already, and "
                    "writes the module with them.")
    masks.add_argument("module", metavar="MODULE", type=Path)
    masks.add_argument("-o", dest="output", metavar="OUT", type=Path, required=True)
    masks.add_argument("--from", dest="masks", metavar="FILE", type=Path,
                       help="default: the zeros of the module's weights")
    masks.add_argument("--pattern", default="auto",
                       help="what all masks obey, as options spell it (default auto: 4x1, 2:4 or "
                       "unstructured, as each one does)")
    masks.add_argument("--min-sparsity", type=float, default=0.1, metavar="SHARE",
                       help="without FILE: least share of zeros of a weight that gets a mask (default 0.1)")
    masks.add_argument("--weights", action="store_true",
                       help="take the weights' values (W, or W_orig) from FILE as well")
    masks.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit for each program")
    masks.set_defaults(run=_masks)

    quick = commands.add_parser(
        "quickstart", help="prune a real encoder, compile it, compare it with ONNX Runtime",
        description="Builds the ONNX graph of all-MiniLM-L6-v2, imports it, prunes its matrices (unstructured and in "
                    "4x1 blocks), compiles, runs on real sentences, and prints a table against ONNX Runtime.")
    quick.add_argument("--folder", type=Path, help="where models and report go (default: build/quickstart)")
    quick.add_argument("--sparsity", type=float, default=0.9, help="share of zeros in each matrix (default 0.9)")
    quick.add_argument("--tokens", type=int, default=128, help="tokens of a sentence (default 128)")
    quick.add_argument("--threads", type=int, default=1, help="threads of both programs (default 1)")
    quick.add_argument("--runs", type=int, default=30, help="timed runs of each program (default 30)")
    quick.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="limit for each step")
    quick.set_defaults(run=_quickstart)

    train = commands.add_parser(
        "train", help="run the training module of a model on examples",
        description="Compiles the functions of a training module (@init, @train_step, and if present @eval_step, "
                    "@update_masks, @schedule), runs them on the examples of a .npz file, and writes parameters, "
                    "statistics and masks by name.")
    train.add_argument("module", metavar="MODULE", type=Path)
    train.add_argument("-o", dest="output", metavar="OUT.npz", type=Path, required=True)
    _add_run_options(train)
    train.set_defaults(run=_train)

    tune = commands.add_parser(
        "finetune", help="train a model with its masks, and write it back",
        description="Makes a training module of a model (linalg on tensors, as `import --keep-batch-norm` writes it), "
                    "decides masks in between if there are undecided ones, trains, and writes the model with its new "
                    "weights and masks: bytecode, or text if OUT ends in .mlir.")
    tune.add_argument("model", metavar="MODEL", type=Path)
    tune.add_argument("-o", dest="output", metavar="OUT", type=Path, required=True)
    tune.add_argument("--masks", metavar="OPTIONS",
                      help="put masks on the model first: options of prune-create-masks, such "
                      "as 'pattern=4x1 sparsity=0.9 layer-split=lamp'")
    tune.add_argument("--training", metavar="OPTIONS", default="", help="options of prune-train, such as "
                      "'lr=1e-3 lr-schedule=cosine teacher=self'; steps and schedule follow from --epochs and --ramp")
    tune.add_argument("--ramp", type=float, default=0.5, metavar="SHARE",
                      help="share of the steps in which the sparsity of "
                      "undecided masks rises to its target, by a cubic polynomial; 0: at once (default 0.5)")
    tune.add_argument("--first", type=float, default=0.0, metavar="SPARSITY", help="where it begins (default 0)")
    tune.add_argument("--weights", metavar="FILE", type=Path, help=".npz for the trained values by name as well")
    tune.add_argument("--json", metavar="FILE", type=Path, help="scores before and after, the sparsity, and "
                      "when masks were decided")
    _add_run_options(tune)
    tune.set_defaults(run=_finetune)
    slopes = commands.add_parser(
        "gradients", help="gradients of the loss by the weights, for the criteria taylor, fisher and obs",
        description="Runs a model on examples and writes for each weight the mean of the gradients of the loss over "
                    "batches, and the mean of their squares (NAME:squared), for "
                    "--prune=\"criterion=taylor gradients=FILE ...\"; with --fisher-block also of their products in "
                    "blocks (NAME:fisher), for criterion=obs.")
    slopes.add_argument("model", metavar="MODEL", type=Path)
    slopes.add_argument("-o", dest="output", metavar="OUT.npz", type=Path, required=True)
    slopes.add_argument("--data", metavar="FILE", type=Path, required=True,
                        help=".npz with an array [examples, ...] for each input, and 'labels' or 'target'")
    slopes.add_argument("--training", metavar="OPTIONS", default="", help="options of prune-train, such as 'loss=mse'")
    slopes.add_argument("--batches", type=int, default=0, help="how many to take (default: all that the examples fill)")
    slopes.add_argument("--fisher-block", default="", metavar="SIZE",
                        help="elements of a block: consecutive ones, such as 50, or ROWSxCOLUMNS, such as 4x12, for patterns whose "
                        "units span rows. Needs a model with a batch of 1; the file has 8 SIZE bytes for each weight of two and "
                        "more dimensions that is trained (--training=freeze=REGEX leaves some out)")
    slopes.add_argument("--fisher-memory", type=float, default=1.0, metavar="GB",
                        help="of blocks at a time: the examples run once for each part of the weights that fits (default 1)")
    slopes.add_argument("--threads", type=int, default=1, help="threads of each call (default 1)")
    slopes.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit for compilation")
    slopes.set_defaults(run=_gradients)
    _add_digits(commands)
    _add_evaluate(commands)
    _add_sensitivity(commands)
    _add_search(commands)
    return parser


def _add_digits(commands) -> None:
    parser = commands.add_parser(
        "digits", help="the whole way on small images: train, prune, fine-tune, export, validate",
        description="Trains a small net on 8x8 images of digits from random weights, prunes it step by step while it "
                    "learns from its dense self, exports it as a C library, and validates that on 450 test images.")
    parser.add_argument("--model", default="cnn", help="cnn or mlp (default cnn)")
    parser.add_argument("--pattern", default="unstructured", help="unstructured, 4x1, 2:4 and so on, or filters: whole "
                        "filters of convolutions (default unstructured)")
    parser.add_argument("--sparsity", type=float,
                        help="share that is pruned (default 0.95, 0.8 for blocks, 0.5 for n:m "
                        "and filters)")
    parser.add_argument("--layer-split", help="uniform, erk, l2 or lamp (default lamp, uniform for n:m)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default 0)")
    parser.add_argument("--dense-epochs", type=float, default=120.0, help="of the baseline (default 120)")
    parser.add_argument("--epochs", type=float, default=240.0, help="of pruning (default 240)")
    parser.add_argument("--folder", metavar="DIR", type=Path, help="keep models and libraries there (default: nowhere)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="accuracy, sparsity, calibration, sizes and times")
    parser.add_argument("--threads", type=int, default=1, help="threads of each call (default 1)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit for each program")
    parser.set_defaults(run=_digits)


def _add_evaluate(commands) -> None:
    parser = commands.add_parser(
        "evaluate", help="a pruned model beside its baseline: quality, calibration, speed, memory, compatibility",
        description="Compiles both models (linalg on tensors), runs the same examples through them, times them in turn "
                    "and reports what was won and lost. With labels they are classifiers, without their outputs are "
                    "vectors. Status 3 when a gate (--max-drop, --max-ece, --min-speedup) is missed.")
    parser.add_argument("module", metavar="MODULE", type=Path)
    parser.add_argument("--baseline", metavar="FILE", type=Path, required=True, help="the model before pruning")
    parser.add_argument("--data", metavar="FILE", type=Path, required=True,
                        help=".npz with an array [examples, ...] for each input")
    parser.add_argument("--labels", metavar="FILE", type=Path,
                        help=".npz with the class of each example (default: 'labels' in the data, if it is there)")
    parser.add_argument("--output", metavar="NAME",
                        help="output that is judged (default: the first that has a form for it)")
    parser.add_argument("--top-k", type=int, default=5, metavar="K",
                        help="answers that count for top-k accuracy (default 5)")
    parser.add_argument("--max-drop", type=float, metavar="SHARE",
                        help="gate: most accuracy that may be lost (0.01: one point); without labels of mean cosine")
    parser.add_argument("--max-ece", type=float, metavar="SHARE", help="gate: largest calibration error")
    parser.add_argument("--min-speedup", type=float, metavar="FACTOR", help="gate: least speed against the baseline")
    parser.add_argument("--json", metavar="FILE", type=Path, help="the report for programs")
    parser.add_argument("--html", metavar="FILE", type=Path, help="the report as one page")
    parser.add_argument("--sensitivity", metavar="FILE", type=Path, help="JSON of `sensitivity`, to show its curves")
    parser.add_argument("--history", metavar="FILE", type=Path, action="append", default=[],
                        help="JSON of the `finetune` or `search` that the module is from; of earlier ones before it "
                        "(repeatable)")
    parser.add_argument("--runs", type=int, default=30, help="timed samples of each model (default 30)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each call (default 1)")
    parser.add_argument("--targets", default="host", metavar="CPU,...",
                        help="processors to look at kernels for: host first, "
                        "then as LLVM names them, such as host,znver3 (default host)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit for each program")
    parser.set_defaults(run=_evaluate)


def _add_sensitivity(commands) -> None:
    parser = commands.add_parser(
        "sensitivity", help="what it costs to prune one layer alone, at several sparsities",
        description="Compiles a model (linalg on tensors, not pruned) once, with its weights as arguments; prunes one "
                    "layer at a time at each sparsity and compares the outputs with those of the unpruned model.")
    parser.add_argument("module", metavar="MODULE", type=Path)
    _add_judging(parser)
    parser.add_argument("--json", metavar="FILE", type=Path, required=True,
                        help="the curves; until they are complete results are kept in FILE.partial")
    parser.add_argument("--html", metavar="FILE", type=Path, help="the curves as one page")
    parser.add_argument("--sparsity", default="0.5,0.7,0.9", metavar="S,...", help="rising (default 0.5,0.7,0.9)")
    parser.add_argument("--resume", action="store_true", help="go on from what FILE.partial has")
    parser.set_defaults(run=_sensitivity)


def _add_search(commands) -> None:
    parser = commands.add_parser(
        "search", help="the sparsity of each layer for a stated target, verified",
        description="Chooses from the curves of `sensitivity` what each layer loses, so that the model meets a target "
                    "with the least loss: a share of the unpruned model's latency, size or operations, or a drop of "
                    "quality at most. Compiles and measures what it chose, and corrects itself until the target is met "
                    "within 2 %%.")
    parser.add_argument("module", metavar="MODULE", type=Path)
    parser.add_argument("-o", dest="output", metavar="OUT", type=Path, required=True,
                        help="the model with its masks: bytecode, or text if OUT ends in .mlir")
    parser.add_argument("--target", required=True, metavar="KIND:VALUE",
                        help="latency:0.33, size:0.25, flops:0.5 of the unpruned "
                        "model, or drop:0.01, most accuracy that may be lost (without labels: of mean cosine)")
    parser.add_argument("--minimize", default="latency",
                        help="what a drop shall save: latency, size or flops (default latency)")
    parser.add_argument("--estimate", action="store_true",
                        help="latency by the cost model, of the layers alone, instead of "
                        "measured: always the same result")
    parser.add_argument("--sensitivity", metavar="FILE", type=Path,
                        help="JSON of `sensitivity`; if it is not there, it is "
                        "measured and written")
    _add_judging(parser)
    parser.add_argument("--sparsity", default="0.5,0.6,0.7,0.8,0.9,0.95", metavar="S,...",
                        help="of the curves; the last is the "
                        "most that is tried (default 0.5,0.6,0.7,0.8,0.9,0.95)")
    parser.add_argument("--recipe", metavar="FILE", type=Path, help="the same for prune-create-masks, as YAML")
    parser.add_argument("--json", metavar="FILE", type=Path, help="the result for programs")
    parser.add_argument("--html", metavar="FILE", type=Path, help="the result as one page")
    parser.add_argument("--runs", type=int, default=30, help="timed samples of each model (default 30)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each call (default 1)")
    parser.set_defaults(run=_search)


def _add_judging(parser: argparse.ArgumentParser) -> None:
    """What sensitivity and search have in common."""
    parser.add_argument("--data", metavar="FILE", type=Path, required=True,
                        help=".npz with an array [examples, ...] for each input")
    parser.add_argument("--labels", metavar="FILE", type=Path,
                        help=".npz with the class of each example (default: 'labels' in the data, if it is there)")
    parser.add_argument("--classes", action="store_true", help="outputs are scores of classes, also without labels")
    parser.add_argument("--output", dest="output_name", metavar="NAME",
                        help="output that is judged (default: the first that has a form for it)")
    parser.add_argument("--criterion", default="magnitude",
                        help="what an element is worth, as prune-create-masks has it "
                        "(default magnitude)")
    parser.add_argument("--pattern", default="unstructured",
                        help="unstructured, 4x1, 2:4 and so on (default unstructured)")
    parser.add_argument("--include", default="", metavar="REGEX", help="only weights in whose name it is found")
    parser.add_argument("--calibration", metavar="OPTIONS", default="",
                        help="for criteria that see activations: options of prune-calibrate-masks, such as "
                        "'data=other.npz refit=true' (default: the data; padding=attention_mask if there is such an "
                        "input)")
    parser.add_argument("--gradients", metavar="FILE", type=Path,
                        help="for taylor and fisher: what `gradients` wrote")
    parser.add_argument("--subsets", type=int, default=4, metavar="K",
                        help="parts of the examples that error bars come from "
                        "(default 4)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N",
                        help="processes; the result does not depend on it (default 1)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit for each program")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """What the commands that train have in common."""
    parser.add_argument("--data", metavar="FILE", type=Path, required=True,
                        help=".npz with an array [examples, ...] for each input, and 'labels' or 'target'")
    parser.add_argument("--test", metavar="FILE", type=Path, help="the same with examples to evaluate on")
    parser.add_argument("--epochs", type=float, default=10.0, help="passes over the examples (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the examples (default 0)")
    parser.add_argument("--estimate-statistics", type=int, default=0, metavar="BATCHES",
                        help="average the statistics of batch norms over so many batches at the end (default: do not)")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="written at the end, and on Ctrl-C")
    parser.add_argument("--save-every", type=int, default=0, metavar="STEPS", help="write the checkpoint also then")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--threads", type=int, default=1, help="threads of each call (default 1)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit for compilation")


def _gradients(options: argparse.Namespace) -> int:
    from prune.train.gradients import GradientOptions, gradients
    steps = Steps("prune gradients")
    count = gradients(GradientOptions(options.model, options.output, options.data, options.training, options.batches,
                                      options.fisher_block, options.fisher_memory, options.threads, options.timeout), steps)
    steps.note(f"wrote {options.output}: means over {count} batches")
    return 0


def _import(options: argparse.Namespace) -> int:
    from prune.importer.driver import ImportOptions, import_model
    from prune.importer.spec import parse_dim, parse_shape
    settings = ImportOptions(dict(map(parse_shape, options.shape)), dict(map(parse_dim, options.dim)),
                             not options.no_normalize, options.keep_batch_norm, options.timeout)
    import_model(options.input, options.output, settings, Steps("prune import", always=options.verbose))
    return 0


def _export(options: argparse.Namespace) -> int:
    from prune.export.driver import ExportOptions, export
    settings = ExportOptions(options.sparse_initializers, options.timeout)
    done = export(options.module, options.output, settings, Steps("prune export"))
    print(f"{options.output}: {done.bytes} bytes, {done.tensors} tensors, {done.masks} masked weights")
    for name, difference in (done.differences or {}).items():
        print(f"{name}: ONNX Runtime differs from the compiled module by {difference:.1e} of the largest value")
    return 0


def _masks(options: argparse.Namespace) -> int:
    from prune.masks import MaskOptions, put_masks
    settings = MaskOptions(options.module, options.output, options.masks, options.pattern, options.min_sparsity,
                           options.weights, options.timeout)
    for name, mask in put_masks(settings, Steps("prune masks")).items():
        print(f"{name}: {mask.pattern}, {mask.sparsity:.1%} pruned")
    return 0


def _quickstart(options: argparse.Namespace) -> int:
    if not 0.0 < options.sparsity < 1.0:
        raise PruneError("--sparsity", "range", f"{options.sparsity}", "more than 0 and less than 1")
    if options.threads < 1 or options.runs < 1:
        raise PruneError("--threads/--runs", "range", f"{options.threads}/{options.runs}", "1 or more")
    from prune.quickstart import report
    from prune.evaluate import text
    from prune.quickstart.job import QuickstartOptions, quickstart, validate
    folder = options.folder or Path(os.path.relpath(Path(__file__).resolve().parents[2] / "build" / "quickstart"))
    settings = QuickstartOptions(folder, options.sparsity, options.tokens, options.threads, options.runs,
                                 options.timeout)
    rows = quickstart(settings, Steps("quickstart", always=True))
    import onnxruntime
    files = report.write(rows, settings, f"ONNX Runtime {onnxruntime.__version__}")
    print(f"\nall-MiniLM-L6-v2, 1 x {settings.tokens} tokens, f32, {settings.threads} thread(s), "
          f"{report.machine()['cpu']}\n")
    print(report.text_table(rows), "\n", *report.verdict(rows), "", sep="\n")
    evaluated, page = validate(settings, Steps("quickstart", always=True))
    print(f"\n{Path(evaluated['module']).name} against {Path(evaluated['baseline']).name}, {evaluated['examples']} "
          "sentences\n")
    print(text.text(evaluated), f"\nReport: {files[1]}, {page}, and both as JSON", sep="\n")
    return 0


def _train(options: argparse.Namespace) -> int:
    from prune.train.job import run
    outcome = run(_train_options(options, options.module), Steps("prune train"))
    _print_outcome(outcome)
    return 0


def _finetune(options: argparse.Namespace) -> int:
    from prune.train.finetune import FinetuneOptions, finetune
    settings = FinetuneOptions(options.model, options.output, options.masks, options.training, options.ramp,
                               _train_options(options, options.model), options.first, options.weights, options.json)
    _print_outcome(finetune(settings, Steps("prune finetune")))
    return 0


def _digits(options: argparse.Namespace) -> int:
    from prune.digits import report
    from prune.digits.job import DigitsOptions, default_sparsity, digits
    sparsity = options.sparsity if options.sparsity is not None else default_sparsity(options.pattern)
    settings = DigitsOptions(options.model, options.pattern, sparsity, options.layer_split, options.seed,
                             options.dense_epochs, options.epochs, options.folder, options.json, options.threads,
                             options.timeout)
    print(report.text(digits(settings, Steps("prune digits")), settings))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from prune.evaluate import text
    from prune.evaluate.job import GATE_CLOSED, EvaluateOptions, evaluate
    settings = EvaluateOptions(
        options.module, options.baseline, options.data, options.labels, options.output, options.top_k, options.max_drop,
        options.max_ece, options.min_speedup, options.json, options.html, options.runs, options.threads,
        options.targets.split(","), options.sensitivity, options.history, options.timeout)
    report, gates = evaluate(settings, Steps("prune evaluate"))
    print(text.text(report))
    missed = [gate for gate in gates if not gate.passed]
    for gate in missed:
        print(f"prune evaluate: {gate}", file=sys.stderr)
    return GATE_CLOSED if missed else 0


def _sensitivity(options: argparse.Namespace) -> int:
    from prune.sensitivity import text
    from prune.sensitivity.job import SensitivityOptions, sensitivity
    settings = SensitivityOptions(
        options.module, options.data, options.json, options.labels, options.html, options.output_name, options.classes,
        options.criterion, options.pattern, options.include, options.calibration, options.gradients,
        _numbers("--sparsity", options.sparsity), options.subsets, options.jobs, options.resume, options.timeout)
    print(text.text(sensitivity(settings, Steps("prune sensitivity"))))
    return 0


def _search(options: argparse.Namespace) -> int:
    from prune.evaluate.job import GATE_CLOSED
    from prune.search import text
    from prune.search.job import SearchOptions, search
    from prune.sensitivity.job import SensitivityOptions
    curves = SensitivityOptions(
        options.module, options.data, options.sensitivity, options.labels, None, options.output_name, options.classes,
        options.criterion, options.pattern, options.include, options.calibration, options.gradients,
        _numbers("--sparsity", options.sparsity), options.subsets, options.jobs, True, options.timeout)
    settings = SearchOptions(options.target, options.output, curves, options.estimate, options.minimize, options.recipe,
                             options.json, options.html, options.runs, options.threads)
    found = search(settings, Steps("prune search"))
    print(text.text(found))
    if found["met"]:
        return 0
    kind, value = found["target"]["kind"], found["target"]["value"]
    print(f"prune search: --target: {kind}: got {found['achieved'][kind]:.4g}, expected at most {value:g}",
          file=sys.stderr)
    return GATE_CLOSED


def _numbers(option: str, listed: str) -> list[float]:
    try:
        return [float(part) for part in listed.split(",")]
    except ValueError:
        raise PruneError(option, "list", one_line(listed, 80), "numbers with commas between them") from None


def _train_options(options: argparse.Namespace, module: Path):
    from prune.train.job import TrainOptions
    return TrainOptions(module, options.data, options.output, test=options.test, epochs=options.epochs,
                        seed=options.seed, estimate=options.estimate_statistics, checkpoint=options.checkpoint,
                        save_every=options.save_every, resume=options.resume, threads=options.threads,
                        timeout=options.timeout)


def _print_outcome(outcome) -> None:
    trained = outcome.trained
    print(f"loss {trained.loss:.6g} at the last step, sparsity {trained.sparsity:.4f}")
    for when, scores in (("before", outcome.before), ("after", outcome.after)):
        if scores is None:
            continue
        parts = [f"test loss {scores.loss:.6g}"]
        if scores.quality is not None:
            quality = scores.quality
            parts += [f"accuracy {quality.accuracy:.4f}", f"calibration error {quality.ece:.4f}",
                      f"Brier {quality.brier:.4f}"]
        print(f"{when}: {', '.join(parts)}")
