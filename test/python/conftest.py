"""Shared by the Python tests: where the tree is, small ONNX models, and the guard for models kept beside the tree."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT / "python"))


def pytest_configure(config):
    config.addinivalue_line("markers", "shared_models: needs the real models beside the source tree")


def pytest_collection_modifyitems(items):
    if not (SHARED / "models").is_dir():
        skip = pytest.mark.skip(reason="no real models beside the source tree")
        for item in items:
            if "shared_models" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the built programs."""
    folder = ROOT / "build" / "bin"
    if not (folder / "prune-opt").exists():
        pytest.fail(f"no prune-opt in {folder}: build first (cmake --build build)")
    return folder


@pytest.fixture(scope="session")
def run_cli():
    """Runs `python -m prune ...`; returns the finished process."""
    def run(*arguments, timeout=120):
        return subprocess.run([sys.executable, "-m", "prune", *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, cwd=ROOT / "python")
    return run


def cli(*arguments):
    """`python -m prune ...` within this process, which is faster; returns what a finished process would have."""
    from prune.cli import main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(a) for a in arguments])
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


class Graph:
    """Builds small ONNX models: `g = Graph(x=[1, 3, 8, 8]); y = g.add("Relu", "x"); g.save(path, y)`."""

    def __init__(self, opset=17, seed=0, **inputs):
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
        self.nodes, self.constants = [], []

    def weight(self, name, *shape):
        """A random float constant."""
        return self.constant(name, (self.random.standard_normal(shape) * 0.3).astype(np.float32))

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op, *inputs, name="", outputs=1, **attributes):
        """Appends a node; returns the name of its result, or a list for several."""
        results = [f"{op.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), results, name=name or f"/{op}_{len(self.nodes)}",
                                           **attributes))
        return results if outputs > 1 else results[0]

    def model(self, *outputs, shapes=None):
        values = [helper.make_tensor_value_info(o, TensorProto.FLOAT, (shapes or {}).get(o)) for o in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, values, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)

    def save(self, path, *outputs, **options):
        onnx.save(self.model(*outputs), path, **options)
        return path


@pytest.fixture
def graph():
    return Graph
