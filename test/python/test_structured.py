"""Structured pruning of many small nets, checked without the compiler's own means.

All nets are one model, so that importer and compiler start once. Modules are evaluated by `interpret` in
float64; the masked module is also compared with ONNX Runtime on the original model with zeros in the same places.
PRUNE_NETS=residual,unet takes only these nets (to find out which of them makes the compiler fail).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("iree.compiler")

from interpret import GENERIC, Module
from structured import masks, nets

SELECTED = [n for n in os.environ.get("PRUNE_NETS", "").split(",") if n] or list(nets.NETS)
RATIOS = (0.25, 0.5, 0.75)


class Pruned:
    """The masked and the shrunk module of one ratio."""

    def __init__(self, zoo: Zoo, ratio: float, more: str = ""):
        options = f"ratio={ratio} criterion=l2 scope=local{more}"
        self.options = options
        self.file = zoo.folder / f"masked-{ratio}.mlirbc"
        self.shrunk_file = zoo.folder / f"shrunk-{ratio}.mlirbc"
        self.remarks = zoo.opt(zoo.file, f"--prune-select-groups={options}", "--emit-bytecode", "-o", self.file,
                               "--remark-format=emitRemark", "--remarks-filter=prune-.*").stderr
        zoo.opt(self.file, "--prune-shrink", "--emit-bytecode", "-o", self.shrunk_file)
        self.masked = zoo.module(self.file)
        self.shrunk = zoo.module(self.shrunk_file)
        self.removed = masks.removed(self.masked)
        self.kept = zoo.weights.kept(self.removed)
        self.macs = zoo.weights.multiply_adds(self.kept)
        self.masked_outputs = self.masked.run(zoo.inputs[0])
        self.outputs = [self.shrunk.run(x) for x in zoo.inputs]
        session = onnxruntime.InferenceSession(zoo.weights.zeroed(self.removed).SerializeToString())
        self.reference = dict(zip([o.name for o in session.get_outputs()], session.run(None, zoo.inputs[0])))
        zoo.opt(self.shrunk_file, f"--prune-identify=json={zoo.folder}/layers.json", "-o", "/dev/null")
        self.layers: dict[str, list[dict]] = {}
        for layer in json.loads((zoo.folder / "layers.json").read_text())["layers"]:
            self.layers.setdefault(layer["name"], []).append(layer)


class Zoo:
    """All nets as one module, and what becomes of it."""

    def __init__(self, tools: Path, folder: Path):
        from prune.importer.driver import ImportOptions, import_model
        self.tools, self.folder = tools, folder
        self.model = nets.zoo({name: nets.NETS[name] for name in SELECTED})
        onnx.save(self.model, folder / "zoo.onnx")
        self.model = onnx.shape_inference.infer_shapes(self.model)
        self.weights = masks.Weights(self.model)
        self.kept = self.weights.kept({})
        self.inputs = [nets.random_inputs(self.model, seed) for seed in (0, 1)]
        self.file = folder / "zoo.mlirbc"
        # Constants as resources whatever their size: names of small ones that layers share get lost.
        import_model(folder / "zoo.onnx", folder / "raw.mlirbc", ImportOptions(normalize=False))
        self.opt(folder / "raw.mlirbc", "--prune-normalize=inline-limit=1", "--emit-bytecode", "-o", self.file)
        self.dense = self.module(self.file)
        self._pruned: dict[float, Pruned] = {}

    def opt(self, *arguments) -> subprocess.CompletedProcess:
        result = subprocess.run([str(self.tools / "prune-opt"), *map(str, arguments)], capture_output=True, text=True,
                                timeout=120)
        assert result.returncode == 0, f"status {result.returncode}: {result.stderr[-3000:]}"
        return result

    def module(self, file: Path) -> Module:
        return Module(self.opt(file, *GENERIC).stdout)

    def pruned(self, ratio: float) -> Pruned:
        if ratio not in self._pruned:
            self._pruned[ratio] = Pruned(self, ratio)
        return self._pruned[ratio]

    @cached_property
    def widths(self) -> Pruned:
        """Widths pruned too, and the outputs that ONNX Runtime gives with statistics over the survivors."""
        pruned = Pruned(self, 0.5, " statistics=survivors")
        model = onnx.shape_inference.infer_shapes(nets.zoo({n: b for n, b in nets.WIDTHS.items() if n in SELECTED}))
        model = masks.over_survivors(masks.Weights(model).zeroed(pruned.removed), pruned.removed)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        inputs = {v.name: self.inputs[0][v.name] for v in session.get_inputs()}
        pruned.survivors = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
        return pruned

    @cached_property
    def permuted(self) -> dict[str, np.ndarray]:
        """What comes out when all channels that may have another order."""
        self.remarks = self.opt(self.file, "--prune-permute-channels=effort=0.01", "--emit-bytecode", "-o",
                                self.folder / "permuted.mlirbc", "--remark-format=emitRemark",
                                "--remarks-filter=prune-permute-channels").stderr
        return self.module(self.folder / "permuted.mlirbc").run(self.inputs[0])

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        return self.dense.run(self.inputs[0])

    @cached_property
    def reference(self) -> list[dict[str, np.ndarray]]:
        session = onnxruntime.InferenceSession(str(self.folder / "zoo.onnx"))
        return [dict(zip([o.name for o in session.get_outputs()], session.run(None, x))) for x in self.inputs]


@pytest.fixture(scope="module")
def zoo(tools, tmp_path_factory) -> Zoo:
    return Zoo(tools, tmp_path_factory.mktemp("zoo"))


def of_net(values: dict, net: str) -> dict:
    """Entries whose name begins with that of the net, as ONNX or as modules have it."""
    return {name: value for name, value in values.items() if name.startswith((f"{net}.", f"{net}/"))}


def assert_close(actual: dict, expected: dict, net: str, tolerance: float):
    """Relative to the range of each output."""
    actual, expected = of_net(actual, net), of_net(expected, net)
    assert actual.keys() == expected.keys() and actual
    for name, value in expected.items():
        assert np.isfinite(value).all()
        assert np.abs(actual[name] - value).max() <= tolerance * np.abs(value).max(), name


def assert_depends_on_input(outputs: list[dict], net: str):
    """Otherwise equality would say nothing."""
    for name, value in of_net(outputs[0], net).items():
        assert np.abs(value - outputs[1][name]).max() >= 0.002 * np.abs(value).max(), name


@pytest.mark.parametrize("net", SELECTED)
def test_import_equals_onnx_runtime(zoo, net):
    assert_close(zoo.outputs, zoo.reference[0], net, 1e-5)
    assert_depends_on_input(zoo.reference, net)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("net", SELECTED)
def test_shrunk_equals_masked(zoo, net, ratio):
    pruned = zoo.pruned(ratio)
    assert_close(pruned.outputs[0], pruned.masked_outputs, net, 1e-6)
    assert_depends_on_input(pruned.outputs, net)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("net", [n for n in SELECTED if n not in nets.RENAMED])
def test_shrunk_equals_zeros_in_onnx(zoo, net, ratio):
    """Zeros in weights and biases of the original. Norms are left as they are: nothing of them may get through."""
    pruned = zoo.pruned(ratio)
    assert_close(pruned.outputs[0], pruned.reference, net, 2e-5)


@pytest.mark.parametrize("net", [n for n in SELECTED if n in nets.WIDTHS])
def test_statistics_over_survivors(zoo, net):
    """Widths that norms take statistics over, against norms that see the surviving indices only."""
    assert_close(zoo.widths.outputs[0], zoo.widths.survivors, net, 2e-5)
    assert_depends_on_input(zoo.widths.outputs, net)
    kept = [sum(of_net(p.kept, net).values()) for p in (zoo.widths, zoo.pruned(0.5))]
    assert kept[0] < kept[1]


@pytest.mark.parametrize("net", SELECTED)
def test_something_is_removed(zoo, net):
    """At least what the list of nets says at ratio 0.5; never less at a higher ratio."""
    total = sum(of_net(zoo.kept, net).values())
    counts = [sum(of_net(zoo.pruned(ratio).kept, net).values()) for ratio in RATIOS]
    assert total >= counts[0] >= counts[1] >= counts[2]
    least = nets.SHARES.get(net, nets.LEAST)
    assert 1 - counts[1] / max(total, 1) >= least
    assert counts[2] > 0 or total == 0


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("net", [n for n in SELECTED if n not in nets.FOLDED])
def test_counts(zoo, net, ratio):
    """Parameters and multiply-adds of each layer, as reported for the shrunk module and as counted in the ONNX graph."""
    pruned = zoo.pruned(ratio)
    for name, macs in of_net(pruned.macs, net).items():
        # A weight that is also used transposed has a second constant.
        uses = [layer for key in ("", "_1") for layer in pruned.layers.get(masks.clean(name) + key, [])]
        assert {use["parameters"] for use in uses} == {pruned.kept[name]}, name
        assert sum(use["flops"] for use in uses) == 2 * macs, name


def test_refusals_name_op_and_place(zoo):
    """Every group that loses nothing is named in a remark with the reason; where an op is the reason, with op and place."""
    pruned = zoo.pruned(0.5)
    missed = [line for line in pruned.remarks.splitlines() if "[Missed]" in line]
    for line in missed:
        assert re.search(r'remark: loc\(".+"\)', line) and "stays whole because" in line, line
    zoo.opt(zoo.file, f"--prune-explain-groups=text=none json={zoo.folder}/groups.json", "-o", "/dev/null")
    groups = json.loads((zoo.folder / "groups.json").read_text())["groups"]
    # What only reads inputs of the model makes nothing that could be pruned.
    frozen = [group for group in groups if "frozen" in group and group["members"][0]["role"] == "output"]
    assert frozen
    for group in frozen:
        remark = [line for line in missed if f"'{group['name']}'" in line]
        assert len(remark) == 1 and group["frozen"]["reason"] in remark[0], group["name"]
        assert f"('{group['frozen']['op']}')" in remark[0] and group["frozen"]["location"] in remark[0]


def test_one_pass_does_what_its_steps_do(zoo):
    pruned = zoo.pruned(0.5)
    zoo.opt(zoo.file, f"--prune-structured={pruned.options}", "--emit-bytecode", "-o", zoo.folder / "whole.mlirbc")
    whole = zoo.module(zoo.folder / "whole.mlirbc").run(zoo.inputs[0])
    for name, value in pruned.outputs[0].items():
        assert np.array_equal(whole[name], value), name


@pytest.mark.parametrize("net", SELECTED)
def test_channels_in_another_order_compute_the_same(zoo, net):
    """In float64, where only the order of sums differs."""
    assert_close(zoo.permuted, zoo.outputs, net, 1e-10)


def test_most_channels_may_change_their_order(zoo):
    """Some stay whole: each refusal says why."""
    zoo.permuted
    passed, missed = (len(re.findall(rf"\[{kind}\] (?:Permuted|Declined) ", zoo.remarks)) for kind in ("Passed", "Missed"))
    assert passed > 100 and passed > missed
    for line in zoo.remarks.splitlines():
        assert "[Missed]" not in line or "keeps its order because" in line, line
