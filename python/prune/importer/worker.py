"""The part of an ONNX import that runs native code on user input, in a process of its own.

ONNX's C++ and MLIR may crash, hang or eat memory on a hostile file; the driver watches this process and turns that
into one line. Started by the driver as `python -m prune.importer.worker JOB REPORT_FD`; reports JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from prune.errors import PruneError, one_line


class Report:
    """Sends events to the driver."""

    def __init__(self, fd: int):
        self.stream = os.fdopen(fd, "w", buffering=1)

    def send(self, **event) -> None:
        self.stream.write(json.dumps(event) + "\n")

    @contextmanager
    def step(self, name: str):
        self.send(start=name)
        begin = time.monotonic()
        yield
        self.send(done=name, seconds=time.monotonic() - begin)


def main(job_file: str, fd: int) -> int:
    report = Report(fd)
    job = json.loads(Path(job_file).read_text())
    try:
        run(job, report)
    except PruneError as error:
        report.send(error=str(error))
        return 1
    except MemoryError:
        report.send(error=f"{job['place']}: memory: got more than this machine has, expected a smaller model")
        return 1
    except RecursionError:
        report.send(error=f"{job['place']}: ONNX graph: got graphs nested too deep, expected fewer levels")
        return 1
    return 0


def run(job: dict, report: Report) -> None:
    with report.step("load the importer"):
        from prune.importer import fold, load, lower, names, rewrite, shapes
    place = job["place"]
    with report.step("read and check"):
        model = load.load(Path(job["input"]), place)
        refuse_operators(place, load.unknown_operators(model))
        complaint = load.checker_message(model)
    with report.step("fix shapes and operator set"):
        model = rewrite.inline_functions(model)
        shapes.fix(model, job["shapes"], job["dims"], place)
        drop_initialized_inputs(model)
        model, note = shapes.convert_opset(model)
        if note:
            report.send(warning=note)
    with report.step("fold constants and infer shapes"):
        fold.Folder(model).run()
        rewrite.rewrite(model, place)
        merged = fold.merge_equal(model.graph)
        renames = names.recover(model)
        fold.rename_values(model.graph, renames)
        for tensor in model.graph.initializer:
            tensor.name = renames.get(tensor.name, tensor.name)
    for text in shapes.dynamic_inputs(model):
        report.send(warning=f"dynamic input {text}; --shape or --dim fixes it, code generation needs that")
    with report.step(f"lower {len(model.graph.node)} nodes to linalg"):
        try:
            module = lower.lower(model)
        except lower.Failure as failure:
            explain(failure, model, place, complaint)
    with report.step("write"):
        operation = module.operation
        if job["text"]:
            with open(job["output"], "w") as out:
                # Locations carry the names of constants too small to be resources.
                operation.print(file=out, enable_debug_info=True)
        else:
            with open(job["output"], "wb") as out:
                operation.write_bytecode(out)
    report.send(summary={"nodes": len(model.graph.node), "constants": len(model.graph.initializer), "merged": merged})


def drop_initialized_inputs(model) -> None:
    """Files of IR version 3 list every weight as an input too."""
    weights = {t.name for t in model.graph.initializer}
    kept = [v for v in model.graph.input if v.name not in weights]
    if len(kept) != len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.ir_version = max(model.ir_version, 4)


def refuse_operators(place: str, found: dict[str, list[str]]) -> None:
    """All unsupported operators in one error."""
    if found:
        listed = ", ".join(f"{name} ({len(nodes)} node{'s' if len(nodes) > 1 else ''}, first '{one_line(nodes[0], 80)}')"
                           for name, nodes in sorted(found.items()))
        raise PruneError(place, "operators", listed, "only operators the importer can lower")


def explain(failure, model, place: str, complaint: str) -> None:
    """Raises the PruneError that tells a user most about a failed lowering."""
    from prune.importer import lower
    found = lower.unsupported_operators(model)
    refuse_operators(place, found)
    missing = lower.without_shape(model)
    if missing:
        raise PruneError(place, "shape", f"no shape for {missing}", "shapes that can be inferred; see --shape, --dim")
    if complaint:
        raise PruneError(place, "onnx.checker", complaint)
    where = f"node '{one_line(failure.location, 80)}'" if failure.location else "the graph"
    raise PruneError(place, "lowering to linalg", f"{where}: {failure.message}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
