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
    return parser


def _import(options: argparse.Namespace) -> int:
    from prune.importer.driver import ImportOptions, import_model
    from prune.importer.spec import parse_dim, parse_shape
    settings = ImportOptions(dict(map(parse_shape, options.shape)), dict(map(parse_dim, options.dim)),
                             not options.no_normalize, options.timeout)
    import_model(options.input, options.output, settings, Steps("prune import", always=options.verbose))
    return 0
