"""Command line of the benchmarks: `prune-bench minilm | kernels | nets | train | oneshot | distill | digits | dynamic |
gated | gpu`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Callable, Iterable, Sequence

from prune import files
from prune.bench import digits, distill, dynamic, gated, gpu, oneshot
from prune.bench.programs import PEERS, TRAINERS
from prune.bench.timing import Quiet
from prune.console import Steps
from prune.errors import PruneError, one_line

KINDS = ("unstructured", "4x1", "2:4", "dense")
# The encoder's, with those whose units are words of int8.
ENCODER_KINDS = (*KINDS, "1x4", "4x4")
NETS = ("cnn", "minilm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one benchmark; user errors become one line on stderr and status 1."""
    options = _parser().parse_args(arguments)
    try:
        for name in ("json", "html"):
            files.check_target(getattr(options, name, None), f"--{name}")
        return options.run(options, Steps("prune-bench"))
    except PruneError as error:
        print(f"prune-bench: {error}", file=sys.stderr)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"prune-bench: {place}{one_line(error.strerror or str(error))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("prune-bench: interrupted", file=sys.stderr)
        return 130
    return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(1, f"prune-bench: {message} (see {self.prog} --help)\n")


def _list(convert: Callable, check: Callable, expected: str) -> Callable:
    """Parser of a comma-separated list."""
    def parse(text: str) -> list:
        result = []
        for item in text.split(","):
            try:
                value = convert(item.strip())
            except ValueError:
                value = None
            if value is None or not check(value):
                raise argparse.ArgumentTypeError(f"expected {expected}, got '{item.strip()}'")
            if value not in result:
                result.append(value)
        return result
    return parse


def _number(low: int, high: int = 1 << 20) -> Callable:
    def parse(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}, got '{text}'")
        return int(text)
    return parse


def _share(text: str) -> float:
    """90, 90% and 0.9 alike."""
    value = float(text.removesuffix("%"))
    return value if value < 1 and not text.endswith("%") else value / 100


_SPARSITY = _list(_share, lambda v: 0 < v < 1, "percentages between 0 and 100")
_COUNTS = _list(int, lambda v: v >= 1, "numbers of at least 1")
_THREADS = _list(int, lambda v: 1 <= v <= len(os.sched_getaffinity(0)),
                 f"numbers of threads from 1 to this machine's {len(os.sched_getaffinity(0))} cores")


def _shape(text: str) -> tuple[int, int]:
    hidden, _, inner = text.partition("-")
    return int(hidden), int(inner)


_SHAPES = _list(_shape, lambda v: all(1 <= size <= 1 << 16 for size in v), "shapes such as 768-3072")


def _peers(known: Iterable[str]) -> Callable:
    names = _list(str, lambda v: v in known, f"none or names out of {', '.join(known)}")
    return lambda text: [] if text == "none" else names(text)


def _add_common(parser: argparse.ArgumentParser, runs: int = 30) -> None:
    parser.add_argument("--runs", type=_number(1), default=runs, help=f"timed runs of each program, at least ({runs})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--folder", type=Path, help="for peers' environments and scratch files (build/bench)")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="limit for each step (900)")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="hold a lock on this file while timing, so that "
                        "measurements on one machine take turns")
    parser.add_argument("--priority", type=_number(0, 50), default=0, metavar="N",
                        help="real-time priority of the timed programs (0: none)")


def _add_html(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with bars")


def _add_peers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", type=_peers(PEERS), help="what to compare with (onnxruntime,openvino,deepsparse), or none; "
                        "installed on demand; a peer that fails is left out unless it is named here")


def _folder(options: argparse.Namespace) -> Path:
    build = Path(os.environ["PRUNE_BIN"]).parent if os.environ.get("PRUNE_BIN") else \
        Path(__file__).resolve().parents[3] / "build"
    return (options.folder or build / "bench").absolute()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="prune-bench", description="Times compiled models against other programs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    encoder = commands.add_parser(
        "minilm", help="MiniLM-L6 with real weights, pruned, against ONNX Runtime, OpenVINO and DeepSparse",
        description="Prunes all-MiniLM-L6-v2, writes the same masked weights as ONNX for the peers, compares outputs, "
                    "and times all programs in turn with the same inputs and cores.")
    encoder.add_argument("--weights", type=_list(str, lambda v: v in ENCODER_KINDS, f"names out of {', '.join(ENCODER_KINDS)}"),
                         default=list(KINDS), help=f"kinds of weights out of {', '.join(ENCODER_KINDS)} ({','.join(KINDS)})")
    encoder.add_argument("--int8", action="store_true", help="linear layers in int8, the peers' by ONNX Runtime's quantizer; "
                         "also against the same in f32 and in int8 without VNNI")
    encoder.add_argument("--sparsity", type=_SPARSITY, default=[0.5, 0.8, 0.9, 0.95], metavar="PERCENT",
                         help="zeros in pruned matrices (50,80,90,95)")
    encoder.add_argument("--batch", type=_COUNTS, default=[1, 16], help="sentences at once (1,16)")
    encoder.add_argument("--tokens", type=_number(1, 512), default=128, help="tokens of a sentence (128)")
    encoder.add_argument("--threads", type=_THREADS, help="threads of every program (1,2)")
    _add_peers(encoder)
    _add_common(encoder)
    _add_html(encoder)
    encoder.set_defaults(run=_minilm)
    layers = commands.add_parser(
        "kernels", help="single layers: share of the processor's peak, against upstream's --sparsifier",
        description="Times single layers with masks of real weights on one core, in turn with a loop of multiply-adds "
                    "that measures the peak and with upstream's code for the same matrix.")
    layers.add_argument("--n", type=_number(1), help="rows of the matrix (default: shapes of MiniLM and BERT-base)")
    layers.add_argument("--k", type=_number(1), help="columns of the matrix")
    layers.add_argument("--tokens", type=_COUNTS, default=[128], help="columns of the activations (128)")
    layers.add_argument("--weights", type=_list(str, lambda v: v in KINDS, f"names out of {', '.join(KINDS)}"),
                        default=list(KINDS), help=f"kinds of weights ({','.join(KINDS)})")
    layers.add_argument("--sparsity", type=_SPARSITY, default=[0.8, 0.9, 0.95], metavar="PERCENT",
                        help="zeros in pruned matrices (80,90,95)")
    layers.add_argument("--no-sparsifier", action="store_true", help="without upstream's code")
    _add_common(layers)
    _add_html(layers)
    layers.set_defaults(run=_kernels)

    networks = commands.add_parser(
        "nets", help="networks from ONNX files, dense and pruned",
        description="Compiles ONNX files dense and with most weights of linear layers and of 1x1 and 3x3 convolutions "
                    "pruned, compares outputs with the peers on the same weights, and times all programs in turn. "
                    "Weights without data get random numbers.")
    networks.add_argument("files", nargs="*", type=Path, metavar="FILE.onnx", help="models; one that fails is an error")
    networks.add_argument("--models", type=Path, metavar="DIR", help="all .onnx files of a folder; those that fail are "
                          "left out with a note")
    networks.add_argument("--weights", type=_list(str, lambda v: v in KINDS, f"names out of {', '.join(KINDS)}"),
                          default=["dense", "unstructured"], help="kinds of weights (dense,unstructured)")
    networks.add_argument("--sparsity", type=_SPARSITY, default=[0.9], metavar="PERCENT",
                          help="zeros in pruned matrices (90)")
    networks.add_argument("--threads", type=_THREADS, default=[1], help="threads of every program (1)")
    networks.add_argument("--shape", action="append", default=[], metavar="NAME=1x128",
                          help="fix the shape of a dynamic input (repeatable)")
    networks.add_argument("--dim", action="append", default=[], metavar="NAME=1",
                          help="fix a named dimension of all inputs (repeatable)")
    _add_peers(networks)
    _add_common(networks)
    _add_html(networks)
    networks.set_defaults(run=_nets)

    steps = commands.add_parser(
        "train", help="training steps of the digits CNN and MiniLM-L6, dense and pruned, against JAX",
        description="Compiles a step of Adam, dense and with the kept elements alone, compares the losses of three steps "
                    "with JAX's on the same weights and masks, and times all steps in turn.")
    steps.add_argument("--nets", type=_list(str, lambda v: v in NETS, f"names out of {', '.join(NETS)}"),
                       default=list(NETS), help=f"what to train ({','.join(NETS)})")
    steps.add_argument("--weights", type=_list(str, lambda v: v in KINDS, f"names out of {', '.join(KINDS)}"),
                       default=["dense", "unstructured", "4x1"], help="kinds of weights (dense,unstructured,4x1)")
    steps.add_argument("--sparsity", type=_SPARSITY, default=[0.9], metavar="PERCENT",
                       help="zeros in pruned matrices (90)")
    steps.add_argument("--tokens", type=_number(1, 512), default=64, help="tokens of a sentence (64)")
    steps.add_argument("--threads", type=_THREADS, help="threads of every program (1,2)")
    steps.add_argument("--peers", type=_peers(TRAINERS), help="what to compare with (jax), or none; installed on demand; "
                       "a peer that fails is left out unless it is named here")
    _add_common(steps)
    steps.set_defaults(run=_train)

    strokes = commands.add_parser(
        "oneshot", help="what is left of MiniLM's embeddings after pruning without fine-tuning",
        description="Prunes all-MiniLM-L6-v2 by magnitude and by criteria that see activations or gradients, and compares the "
                    "embeddings of sentences with those of the dense model: the mean cosine.")
    strokes.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="sentences to calibrate with")
    strokes.add_argument("--held-out", type=Path, required=True, metavar="FILE", help="sentences to compare")
    strokes.add_argument("--examples", type=_number(1), default=256, help="sentences of the first file (256)")
    strokes.add_argument("--tokens", type=_number(1, 512), default=64, help="tokens of a sentence (64)")
    strokes.add_argument("--weights", type=_list(str, lambda v: v in KINDS[:3], f"names out of {', '.join(KINDS[:3])}"),
                         default=["unstructured"], help="patterns (unstructured)")
    strokes.add_argument("--sparsity", type=_SPARSITY, default=[0.8], metavar="PERCENT",
                         help="zeros in pruned matrices (80)")
    strokes.add_argument("--split", type=_list(str, lambda v: v in oneshot.SPLITS, f"names out of {', '.join(oneshot.SPLITS)}"),
                         default=["uniform"], help="how layers share the sparsity (uniform)")
    strokes.add_argument("--criteria", default=list(oneshot.CRITERIA), type=_list(
        str, lambda v: v in oneshot.CRITERIA, f"names out of {', '.join(oneshot.CRITERIA)}"),
        help=f"criteria ({','.join(oneshot.CRITERIA)}); refit is sparsegpt with refit=true column-counts=ranked, "
        "obs has refit=true")
    strokes.add_argument("--permute", action="store_true", help="permute channels for n:m patterns first")
    strokes.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    strokes.add_argument("--folder", type=Path, help="for scratch files (build/bench)")
    strokes.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="limit for each step (900)")
    strokes.set_defaults(run=_oneshot)

    learning = commands.add_parser(
        "distill", help="MiniLM pruned and distilled against its dense self",
        description="Prunes all-MiniLM-L6-v2, trains what is kept to give what the dense model gives, and compares the "
                    "embeddings of sentences that were not trained on with those of the dense model: the mean cosine.")
    learning.add_argument("--sentences", type=Path, metavar="FILE",
                          help="a sentence in each line, the first of them to compare (default: those of this Python's documentation)")
    learning.add_argument("--held-out", type=_number(1), default=500, help="sentences to compare, which are not trained on (500)")
    learning.add_argument("--weights", type=_list(str, lambda v: v in distill.PATTERNS, f"names out of {', '.join(distill.PATTERNS)}"),
                          default=["unstructured"], help=f"what is pruned, out of {','.join(distill.PATTERNS)} (unstructured)")
    learning.add_argument("--sparsity", type=_SPARSITY, default=[0.8], metavar="PERCENT",
                          help="zeros in pruned matrices, or neurons that go (80)")
    learning.add_argument("--start", choices=list(distill.STARTS), default="sparsegpt", help="how masks are decided (sparsegpt)")
    learning.add_argument("--split", choices=oneshot.SPLITS, default="uniform", help="how layers share the sparsity (uniform)")
    learning.add_argument("--steps", type=_number(1), default=3000, help="steps of training (3000)")
    learning.add_argument("--lr", type=float, default=1.5e-3, help="learning rate of the first step (1.5e-3)")
    learning.add_argument("--threads", type=_number(1, len(os.sched_getaffinity(0))), help="threads of a step (all cores)")
    learning.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    learning.add_argument("--folder", type=Path, help="for scratch files (build/bench)")
    learning.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="limit for each step of the work (900)")
    learning.set_defaults(run=_distill)

    images = commands.add_parser(
        "digits", help="accuracy of small nets on images of digits, pruned in seven ways over several seeds",
        description="Trains nets from random weights, prunes them while they train on, and prints how much accuracy each way "
                    "costs: means over the seeds.")
    images.add_argument("--nets", type=_list(str, lambda v: v in digits.NETS, f"names out of {', '.join(digits.NETS)}"),
                        default=list(digits.NETS), help=f"what to train ({','.join(digits.NETS)})")
    images.add_argument("--seeds", type=_number(1, 1000), default=5, help="runs of each way (5)")
    images.add_argument("--epochs", type=_number(1), default=120, help="passes over the data for the dense net; twice as many "
                        "prune it (120)")
    images.add_argument("--threads", type=_number(1, len(os.sched_getaffinity(0))), default=1, help="threads of a step (1)")
    images.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    images.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="limit for each step of the work (900)")
    images.set_defaults(run=_digits)

    gates = commands.add_parser(
        "dynamic", help="feed-forward blocks that skip what is pruned of their activations, against the same dense",
        description="Compiles feed-forward blocks for few tokens with gates before both products, compares their results "
                    "with NumPy's, and times them in turn with the dense ones of this compiler and of ONNX Runtime.")
    gates.add_argument("--shapes", type=_SHAPES, default=list(dynamic.SHAPES),
                       help="hidden and inner sizes (768-3072,4096-11008)")
    gates.add_argument("--kinds", type=_list(str, lambda v: v in dynamic.KINDS, f"names out of {', '.join(dynamic.KINDS)}"),
                       default=list(dynamic.KINDS), help="what prunes: thresholds, top-k, a predictor, the activation itself, or gates that "
                       f"prune nothing ({','.join(dynamic.KINDS)})")
    gates.add_argument("--sparsity", type=_SPARSITY, default=[0.5, 0.7, 0.9], metavar="PERCENT",
                       help="share of the activations that is pruned (50,70,90)")
    gates.add_argument("--tokens", type=_list(int, lambda v: 1 <= v <= 1024, "numbers from 1 to 1024"), default=[1],
                       help="tokens of a call (1)")
    gates.add_argument("--threads", type=_number(1, len(os.sched_getaffinity(0))), default=1, help="threads of every program (1)")
    gates.add_argument("--peers", type=_peers([dynamic.PEER]), help="what to compare with (onnxruntime), or none; installed on "
                       "demand; left out if it fails unless it is named here")
    _add_common(gates)
    gates.set_defaults(run=_dynamic)

    encoder = commands.add_parser(
        "gated", help="what is left of MiniLM's embeddings with gates, or fewer tokens",
        description="Puts gates before the products of all-MiniLM-L6-v2, or lets tokens go behind two layers, and compares the "
                    "embeddings of sentences with those of the dense model: the mean cosine; with fewer tokens also the time.")
    encoder.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="sentences to calibrate with")
    encoder.add_argument("--held-out", type=Path, required=True, metavar="FILE", help="sentences to compare")
    encoder.add_argument("--examples", type=_number(1), default=256, help="sentences of the first file (256)")
    encoder.add_argument("--tokens", type=_number(1, 512), default=64, help="tokens of a sentence (64)")
    encoder.add_argument("--sparsity", type=_SPARSITY, default=[0.5], metavar="PERCENT",
                         help="share of the activations that is pruned (50)")
    encoder.add_argument("--dropped", type=_SPARSITY, default=[0.25, 0.5], metavar="PERCENT",
                         help="share of the tokens that goes (25,50)")
    encoder.add_argument("--search-examples", type=_number(1), default=64, help="sentences of each trial of a greedy search (64)")
    _add_common(encoder)
    encoder.set_defaults(run=_gated)

    cards = commands.add_parser("gpu", help="single layers, compiled here and run on another machine with a GPU",
                                description=gpu.__doc__)
    cards.add_argument("--prepare", type=Path, metavar="DIR", required=True,
                       help="folder for the compiled layers; the archive DIR.tar.xz is written beside it")
    cards.add_argument("--chip", choices=gpu.CHIPS, default="sm_90", help="chip to compile for (sm_90)")
    cards.add_argument("--weights", type=_list(str, gpu.KINDS.__contains__, ", ".join(gpu.KINDS)),
                       help=f"kinds of weights (all that the chip has: {','.join(gpu.KINDS)})")
    cards.add_argument("--shapes", type=_list(_shape, lambda shape: min(shape) > 0, "shapes like 768x3072"),
                       default=list(gpu.SHAPES), help="rows by columns (those of BERT-base and of language models)")
    cards.add_argument("--tokens", type=_COUNTS, help="tokens of each layer (1 to 8192 for 4096x4096, 128 and 2048 for others)")
    cards.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="limit for each layer (900)")
    cards.set_defaults(run=_gpu)
    return parser


def _shape(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return int(rows), int(columns)


def _gpu(options: argparse.Namespace, steps: Steps) -> int:
    return gpu.prepare(gpu.Settings(options.prepare, options.chip, options.shapes, options.weights, options.tokens,
                                    options.timeout), steps)


def _distill(options: argparse.Namespace, steps: Steps) -> int:
    from prune.quickstart.report import machine
    if not 0 < options.lr < 1:
        raise PruneError("--lr", "range", f"{options.lr:g}", "a number between 0 and 1")
    settings = distill.Settings(
        _folder(options), options.weights, options.sparsity, options.start, options.split, options.steps, options.lr,
        options.threads or len(os.sched_getaffinity(0)), options.held_out, options.sentences, options.timeout)
    return distill.run(settings, steps, machine(), options.json)


def _digits(options: argparse.Namespace, steps: Steps) -> int:
    from prune.quickstart.report import machine
    ways = [way for way in digits.WAYS if way[0] in options.nets]
    return digits.run(ways, options.seeds, options.epochs, options.threads, options.timeout, steps, machine(), options.json)


def _dynamic(options: argparse.Namespace, steps: Steps) -> int:
    from prune.quickstart.report import machine
    settings = dynamic.Settings(
        _folder(options), options.shapes, options.kinds, options.sparsity, options.tokens, options.threads, options.runs,
        options.timeout, Quiet(options.lock, options.priority), options.peers is None or bool(options.peers), options.peers is None)
    return dynamic.report(settings, steps, machine(), options.json)


def _gated(options: argparse.Namespace, steps: Steps) -> int:
    from prune.quickstart.report import machine
    settings = gated.Settings(
        _folder(options), options.calibration, options.held_out, options.examples, options.tokens, options.sparsity,
        options.dropped, options.search_examples, options.runs, options.timeout, Quiet(options.lock, options.priority))
    return gated.run(settings, steps, machine(), options.json)


def _oneshot(options: argparse.Namespace, steps: Steps) -> int:
    from prune.quickstart.report import machine
    settings = oneshot.Settings(
        _folder(options), options.calibration, options.held_out, options.examples, options.tokens, options.weights,
        options.sparsity, options.split, options.criteria, options.permute, options.timeout)
    return oneshot.run(settings, steps, machine(), options.json)


def _kernels(options: argparse.Namespace, steps: Steps) -> int:
    from prune.bench import kernels
    from prune.quickstart.report import machine
    if (options.n is None) != (options.k is None):
        raise PruneError("--n/--k", "shape", "one of them", "both or none")
    settings = kernels.Settings(
        _folder(options), [(options.n, options.k)] if options.n else kernels.SHAPES, options.weights, options.sparsity,
        options.tokens, not options.no_sparsifier, options.runs, options.timeout, Quiet(options.lock, options.priority))
    return kernels.report(settings, steps, machine(), options.json, options.html)


def _minilm(options: argparse.Namespace, steps: Steps) -> int:
    from prune.bench import minilm
    from prune.quickstart.report import machine
    settings = minilm.Settings(
        _folder(options), options.weights, options.sparsity, _threads_of(options), _peers_of(options), options.runs, options.timeout,
        Quiet(options.lock, options.priority), options.peers is None, False, batch=options.batch,
        tokens=options.tokens, int8=options.int8)
    return minilm.run(settings, steps, machine(), options.json, options.html)


def _nets(options: argparse.Namespace, steps: Steps) -> int:
    from prune.bench import nets
    from prune.importer.spec import parse_dim, parse_shape
    from prune.quickstart.report import machine
    found = []
    if options.models:
        if not options.models.is_dir():
            raise PruneError("--models", "folder", f"'{options.models}'", "an existing folder")
        found = sorted(options.models.glob("*.onnx"))
    if not options.files and not found:
        raise PruneError("nets", "models", "no ONNX file", "files, or --models=DIR with some")
    settings = nets.Settings(
        _folder(options), options.weights, options.sparsity, options.threads, _peers_of(options), options.runs,
        options.timeout, Quiet(options.lock, options.priority), options.peers is None, True, named=options.files, found=found,
        shapes=dict(map(parse_shape, options.shape)), dims=dict(map(parse_dim, options.dim)))
    return nets.run(settings, steps, machine(), options.json, options.html)


def _train(options: argparse.Namespace, steps: Steps) -> int:
    from prune.bench import train
    from prune.quickstart.report import machine
    settings = train.Settings(
        _folder(options), options.weights, options.sparsity, _threads_of(options),
        list(TRAINERS) if options.peers is None else options.peers, options.runs, options.timeout,
        Quiet(options.lock, options.priority), options.peers is None, False, nets=options.nets,
        tokens=options.tokens)
    return train.run(settings, steps, machine(), options.json)


def _threads_of(options: argparse.Namespace) -> list[int]:
    return options.threads or [t for t in (1, 2) if t <= len(os.sched_getaffinity(0))]


def _peers_of(options: argparse.Namespace) -> list[str]:
    return list(PEERS) if options.peers is None else options.peers
