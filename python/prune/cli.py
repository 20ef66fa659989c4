"""Command line: `python -m prune COMMAND ...`."""

from __future__ import annotations

import argparse
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
    importer.add_argument("--no-normalize", action="store_true", help="write linalg as it arrives, without "
                          "prune-normalize")
    importer.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS",
                          help="limit for each program that is run (default 600)")
    importer.add_argument("--verbose", action="store_true", help="show the steps also without a terminal")
    importer.set_defaults(run=_import)

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
    return parser


def _import(options: argparse.Namespace) -> int:
    from prune.importer.driver import ImportOptions, import_model
    from prune.importer.spec import parse_dim, parse_shape
    settings = ImportOptions(dict(map(parse_shape, options.shape)), dict(map(parse_dim, options.dim)),
                             not options.no_normalize, options.timeout)
    import_model(options.input, options.output, settings, Steps("prune import", always=options.verbose))
    return 0


def _quickstart(options: argparse.Namespace) -> int:
    if not 0.0 < options.sparsity < 1.0:
        raise PruneError("--sparsity", "range", f"{options.sparsity}", "more than 0 and less than 1")
    if options.threads < 1 or options.runs < 1:
        raise PruneError("--threads/--runs", "range", f"{options.threads}/{options.runs}", "1 or more")
    from prune.quickstart import report
    from prune.quickstart.job import QuickstartOptions, quickstart
    folder = options.folder or Path(__file__).resolve().parents[2] / "build" / "quickstart"
    settings = QuickstartOptions(folder, options.sparsity, options.tokens, options.threads, options.runs,
                                 options.timeout)
    rows = quickstart(settings, Steps("quickstart", always=True))
    import onnxruntime
    files = report.write(rows, settings, f"ONNX Runtime {onnxruntime.__version__}")
    print(f"\nall-MiniLM-L6-v2, 1 x {settings.tokens} tokens, f32, {settings.threads} thread(s), "
          f"{report.machine()['cpu']}\n")
    print(report.text_table(rows), "\n", *report.verdict(rows), "", f"Report: {files[1]} and {files[0].name}", sep="\n")
    return 0
