"""Gradients against 4th-order central differences and the adjoint test, in float64, without the compiler's own means.

Functions and their expanded gradients are evaluated by `gradients.interpret`. The gradient is J^T u for a random
cotangent u; <J^T u, v> is compared with <u, J v>, J v by differences. Where the function is linear these are exact.
"""

from __future__ import annotations

import os
import re
import subprocess
import zlib

import numpy as np
import pytest

pytest.importorskip("iree.compiler")

from conftest import ROOT, Graph
from gradients import operators
from gradients.cases import CASES, Case, module, spread
from interpret import GENERIC, Module

DIRECTIONS = 3


def expand(tools, text: str) -> subprocess.CompletedProcess:
    return subprocess.run([tools / "prune-opt", "-", "--prune-expand-gradients", *GENERIC], input=text,
                          capture_output=True, text=True)


def difference(function, arguments, places, direction) -> np.ndarray:
    """J v: the derivative of `function` at `arguments` along `direction`, of 4th order."""
    def at(step):
        moved = list(arguments)
        for place, change in zip(places, direction):
            moved[place] = arguments[place] + step * change
        return np.asarray(function(*moved), np.float64)
    h = 1e-3
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def linear_difference(function, arguments, places, direction) -> np.ndarray:
    """J v where J does not depend on the place."""
    moved = list(arguments)
    for place, change in zip(places, direction):
        moved[place] = arguments[place] + change
    return np.asarray(function(*moved)) - np.asarray(function(*arguments))


def error(function, gradient, arguments, places, generator, linear=False) -> float:
    """The largest difference of <J^T u, v> and <u, J v>, relative to the norms of J^T u and v."""
    result = np.asarray(function(*arguments))
    cotangent = generator.uniform(0.5, 1.5, result.shape)
    transposed = gradient(*arguments, cotangent)
    assert [np.shape(g) for g in transposed] == [np.shape(arguments[p]) for p in places]
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in transposed))
    worst = 0.0
    for _ in range(DIRECTIONS):
        direction = [generator.uniform(-1, 1, np.shape(arguments[p])) for p in places]
        length = np.sqrt(sum(np.sum(np.square(d)) for d in direction))
        pushed = (linear_difference if linear else difference)(function, arguments, places, direction)
        left = sum(np.sum(g * d) for g, d in zip(transposed, direction))
        worst = max(worst, abs(left - np.sum(cotangent * pushed)) / max(norm * length, 1e-30 if norm else 1.0))
    return worst


@pytest.fixture(scope="module")
def expanded(tools) -> Module:
    result = expand(tools, module(CASES.values()))
    assert result.returncode == 0, result.stderr
    return Module(result.stdout)


@pytest.mark.parametrize("name", CASES)
def test_rule(expanded, name):
    case = CASES[name]
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    found = error(lambda *a: expanded.call(name, *a)[0], lambda *a: expanded.call(f"{name}_gradient", *a),
                  case.draw(generator), case.active(), generator, case.linear)
    assert found <= (1e-12 if case.linear else 1e-6), found


def test_equal_extrema_share(tools):
    """Four equal numbers under a maximum get a quarter each."""
    text = module([CASES["reduction_maximumf"]])
    result = expand(tools, text)
    assert result.returncode == 0, result.stderr
    gradient, = Module(result.stdout).call("reduction_maximumf_gradient", np.ones((3, 4)), np.ones(3))
    assert (gradient == 0.25).all()


def check_operators(tools, names) -> dict[str, float]:
    """The error of each operator's gradient; operators that fail are left out, with a line on stdout."""
    texts = {name: operators.lower(name, Graph) for name in names}
    errors = {}
    for name, text in texts.items():
        result = expand(tools, text)
        if result.returncode:
            print(name, next((line for line in result.stderr.splitlines() if "error" in line), result.returncode))
            continue
        compiled = Module(result.stdout)
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        operator = operators.OPERATORS[name]
        arguments = [spread(generator, *operator.domain, shape) for shape in operator.inputs.values()]
        errors[name] = error(lambda *a: compiled.call("main", *a)[0], lambda *a: compiled.call("gradient", *a),
                             arguments, range(len(arguments)), generator)
    return errors


def test_operators(tools):
    names = list(operators.OPERATORS) if os.environ.get("PRUNE_ALL_MODELS") else operators.QUICK
    errors = check_operators(tools, names)
    assert errors.keys() == set(names)
    assert not {name: found for name, found in errors.items() if not found <= 1e-6}


def test_table_of_operators():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "Gradients.md").read_text(), re.MULTILINE)
    assert listed == sorted(operators.OPERATORS) and len(listed) > 67


REFUSED = {
    "gather_op": ("4x3", """
%k = arith.constant dense<[[0], [2]]> : tensor<2x1xi64>
%r = tensor.gather %x[%k] gather_dims([0]) : (tensor<4x3xf64>, tensor<2x1xi64>) -> tensor<2x3xf64> loc("place.of.it")
""", "2x3", ["tensor.gather", "cannot be differentiated", "place.of.it"]),
    "backwards": ("4", """
%i = arith.constant dense<0.0> : tensor<4xf64>
%r = linalg.generic {indexing_maps = [affine_map<(d0) -> (-d0 + 3)>, affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
  iterator_types = ["parallel"]} ins(%x, %x : tensor<4xf64>, tensor<4xf64>) outs(%i : tensor<4xf64>) {
^bb0(%a: f64, %b: f64, %o: f64):
  %q = arith.mulf %a, %b : f64
  linalg.yield %q : f64
} -> tensor<4xf64> loc("place.of.it")
""", "4", ["linalg.generic", "expected indices that are sums of loops", "-d0 + 3", "place.of.it"]),
    "product": ("4x3", """
%i = arith.constant dense<1.0> : tensor<4xf64>
%r = linalg.reduce { arith.mulf } ins(%x : tensor<4x3xf64>) outs(%i : tensor<4xf64>) dimensions = [1] loc("place.of.it")
""", "4", ["linalg.reduce", "cannot be differentiated", "expected a reduction by", "place.of.it"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tools, name):
    shape, body, result, parts = REFUSED[name]
    run = expand(tools, module([Case(name, {"x": shape}, result, body)]))
    assert run.returncode != 0
    for part in parts:
        assert part in run.stderr, run.stderr
