"""Modules of one or two layers as text, and what prune-calibrate-masks makes of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np

import interpret

CONV = "dilations = dense<{d}> : vector<2xi64>, strides = dense<{s}> : vector<2xi64>"


def shape(array) -> str:
    return "x".join(map(str, np.shape(array)))


def resources(weights: dict[str, np.ndarray]) -> str:
    entries = ",\n".join(f'{n}: "0x04000000{w.astype("<f4").tobytes().hex().upper()}"' for n, w in weights.items())
    return "{-# dialect_resources: { builtin: { " + entries + " } } #-}"


def linear_chain(weights: dict[str, np.ndarray], batch: int) -> str:
    """relu(x w0ᵀ) w1ᵀ and so on, for a batch of rows."""
    size = next(iter(weights.values())).shape[1]
    lines = ["#x = affine_map<(m, n, k) -> (m, k)>", "#w = affine_map<(m, n, k) -> (n, k)>",
             "#y = affine_map<(m, n, k) -> (m, n)>",
             f'func.func @main(%x: tensor<{batch}x{size}xf32> {{prune.name = "x"}}) -> tensor<{batch}x'
             f'{list(weights.values())[-1].shape[0]}xf32> {{', "  %zero = arith.constant 0.0 : f32"]
    value, columns = "%x", size
    for index, (name, weight) in enumerate(weights.items()):
        kind, result = f"tensor<{shape(weight)}xf32>", f"tensor<{batch}x{len(weight)}xf32>"
        if index:
            lines += [f"  %z{index} = arith.constant dense<0.0> : tensor<{batch}x{columns}xf32>",
                      f"  %r{index} = arith.maximumf {value}, %z{index} : tensor<{batch}x{columns}xf32>"]
            value = f"%r{index}"
        lines += [f"  %w{index} = arith.constant dense_resource<{name}> : {kind}",
                  f"  %e{index} = tensor.empty() : {result}",
                  f"  %f{index} = linalg.fill ins(%zero : f32) outs(%e{index} : {result}) -> {result}",
                  f"  %y{index} = linalg.contract indexing_maps = [#x, #w, #y] ins({value}, %w{index} : "
                  f"tensor<{batch}x{columns}xf32>, {kind}) outs(%f{index} : {result}) -> {result}"]
        value, columns = f"%y{index}", len(weight)
    return "\n".join(lines + [f"  return {value} : tensor<{batch}x{columns}xf32>", "}", resources(weights)])


def convolution(op: str, x: np.ndarray, weight: np.ndarray, result: tuple, stride=1, dilation=1, groups=1) -> str:
    """One convolution of the batch x; a grouped one has its weight split by tensor.expand_shape."""
    kind, value, extra = f"tensor<{shape(weight)}xf32>", "%w", []
    source, target = f"tensor<{shape(x)}xf32>", f"tensor<{'x'.join(map(str, result))}xf32>"
    if groups > 1:
        split = (groups, len(weight) // groups, *weight.shape[1:])
        kind = f"tensor<{'x'.join(map(str, split))}xf32>"
        extra = [f"  %s = tensor.expand_shape %w [[0, 1], [2], [3], [4]] output_shape {list(split)} : "
                 f"tensor<{shape(weight)}xf32> into {kind}"]
        value = "%s"
    return "\n".join([
        f'func.func @main(%x: {source} {{prune.name = "x"}}) -> {target} {{',
        f"  %w = arith.constant dense_resource<w> : tensor<{shape(weight)}xf32>", *extra,
        "  %zero = arith.constant 0.0 : f32", f"  %e = tensor.empty() : {target}",
        f"  %f = linalg.fill ins(%zero : f32) outs(%e : {target}) -> {target}",
        f"  %y = linalg.{op} {{{CONV.format(d=dilation, s=stride)}}} ins(%x, {value} : {source}, {kind}) "
        f"outs(%f : {target}) -> {target}", f"  return %y : {target}", "}", resources({"w": weight})])


class Calibrated:
    """A module after calibration: masks, weights and remarks."""

    def __init__(self, tools: Path, module: str, data: Path, create: str, calibrate: str = ""):
        source = data.with_suffix(".mlir")
        source.write_text(module)
        finished = subprocess.run(
            [tools / "prune-opt", source, f"--prune-create-masks={create}",
             f"--prune-calibrate-masks=data={data} {calibrate}", "--prune-verify-masks", "--mlir-print-op-generic",
             "--mlir-print-debuginfo", "--remarks-filter=calibrate", "--remark-format=emitRemark"],
            capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        self.text, self.remarks = finished.stdout, finished.stderr
        parsed = interpret.Module(finished.stdout)
        self.masks, self.weights = {}, {}
        for op in parsed.walk("prune.apply"):
            name = interpret.ir.StringAttr(op.attributes["name"]).value
            self.weights[name], self.masks[name] = map(parsed.value_of, op.operands)

    def errors(self) -> list[tuple[float, float]]:
        """By the mask alone and with the update, of each weight that was updated."""
        found = re.findall(r"squared error (\S+) by the mask alone, (\S+) with the update", self.remarks)
        return [(float(a), float(b)) for a, b in found]


def integers(random, *size, largest=3) -> np.ndarray:
    """Small integers, whose products f32 sums exactly: the statistics are those of the oracle to the last bit."""
    return random.integers(-largest, largest, size, endpoint=True).astype(np.float32)


def correlated(random, rows, columns) -> np.ndarray:
    """Small integers with columns that depend on each other."""
    x = integers(random, rows, columns)
    x[:, 1::3] = np.clip(x[:, 1::3] + x[:, 0:-1:3][:, :x[:, 1::3].shape[1]], -3, 3)
    return x


def calibrate(tools, folder, weight, x, batch, create, options="") -> Calibrated:
    """One layer, on rows x."""
    np.savez(folder / "x.npz", x=x)
    return Calibrated(tools, linear_chain({"w": weight}, batch), folder / "x.npz", create, options)


def check(result: Calibrated, keep, weight, tolerance=1e-5):
    """The mask is that, the weight is within the tolerance of that, and zero where it is pruned."""
    np.testing.assert_array_equal(result.masks["w"].reshape(keep.shape), keep)
    found = result.weights["w"].reshape(weight.shape)
    np.testing.assert_allclose(found, weight, rtol=0, atol=tolerance)
    assert not found[~keep].any()
