"""`python -m prune masks`: masks of other programs, and zeros that are there already, become masks of the module."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

pytest.importorskip("iree.compiler")

from conftest import cli
from onnx import numpy_helper
from safetensors.numpy import save_file

from prune.console import Steps
from prune.errors import PruneError
from prune.export.driver import ExportOptions, export
from prune.export.source import Source
from prune.importer.driver import import_model
from prune.masks import MaskOptions, put_masks, recognise


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A convolution and two linear layers, one of them square: folder and original weights by name."""
    from conftest import Graph
    folder = tmp_path_factory.mktemp("net")
    g = Graph(x=[2, 3, 4, 4])
    y = g.add("Conv", "x", g.weight("conv.weight", 8, 3, 3, 3), g.weight("conv.bias", 8), kernel_shape=[3, 3])
    y = g.add("Relu", y)
    y = g.add("Relu", g.add("Gemm", g.add("Flatten", y), g.weight("a.weight", 32, 32), g.weight("a.bias", 32),
                            transB=1))
    # Inputs first, as a MatMul has them: the module turns it.
    y = g.add("MatMul", y, g.weight("b.weight", 32, 10))
    onnx.save(g.model(y, shapes={y: [2, 10]}), folder / "m.onnx")
    import_model(folder / "m.onnx", folder / "m.mlirbc")
    weights = {t.name: numpy_helper.to_array(t) for t in g.constants}
    weights["b.weight"] = weights["b.weight"].T
    return folder, {n: w for n, w in weights.items() if n.endswith("weight")}


def masks_for(weights, sparsity=0.6):
    random = np.random.default_rng(4)
    return {n: random.random(w.shape) >= sparsity for n, w in weights.items()}


def check(path, weights, masks):
    source = Source(path, 60)
    assert set(source.masks) == set(masks)
    for name, kept in masks.items():
        assert np.array_equal(source.masks[name].kept, kept), name
        assert np.array_equal(source.constants[name], np.where(kept, weights[name], 0)), name
    return source


def test_masks_of_torch_with_their_trained_weights(net, tmp_path):
    """What `torch.nn.utils.prune` leaves in a state dict: W_orig and W_mask, in floats."""
    folder, weights = net
    masks, trained = masks_for(weights), {n: (2 * w + 1).astype(np.float32) for n, w in weights.items()}
    save_file({**{f"{n}_mask": m.astype(np.float32) for n, m in masks.items()},
               **{f"{n}_orig": np.ascontiguousarray(w) for n, w in trained.items()},
               "a.bias": np.zeros(32, np.float32)}, tmp_path / "state.safetensors")
    result = cli("masks", folder / "m.mlirbc", f"--from={tmp_path}/state.safetensors", "-o", tmp_path / "o.mlirbc",
                 "--weights")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert f"a.weight: unstructured, {1 - masks['a.weight'].mean():.1%} pruned" in result.stdout
    check(tmp_path / "o.mlirbc", trained, masks)
    # Without the option the values stay.
    assert cli("masks", folder / "m.mlirbc", f"--from={tmp_path}/state.safetensors", "-o",
               tmp_path / "p.mlirbc").returncode == 0
    check(tmp_path / "p.mlirbc", weights, masks)


def test_npz_masks_by_either_name(net, tmp_path):
    folder, weights = net
    masks = masks_for(weights)
    np.savez(tmp_path / "m.npz", **{"mask:a.weight": masks["a.weight"],
                                    "b.weight.mask": masks["b.weight"].astype(np.int64)})
    assert cli("masks", folder / "m.mlirbc", f"--from={tmp_path}/m.npz", "-o", tmp_path / "o.mlirbc").returncode == 0
    check(tmp_path / "o.mlirbc", weights, {n: masks[n] for n in ("a.weight", "b.weight")})


def test_the_exported_bits_come_back(net, tmp_path):
    folder, weights = net
    np.savez(tmp_path / "m.npz", **{f"mask:{n}": m for n, m in masks_for(weights).items()})
    assert cli("masks", folder / "m.mlirbc", f"--from={tmp_path}/m.npz", "-o", tmp_path / "o.mlirbc").returncode == 0
    export(tmp_path / "o.mlirbc", tmp_path / "o.safetensors", ExportOptions(), Steps("export"))
    again = cli("masks", folder / "m.mlirbc", f"--from={tmp_path}/o.safetensors", "-o", tmp_path / "again.mlirbc")
    assert again.returncode == 0, again.stderr
    check(tmp_path / "again.mlirbc", weights, masks_for(weights))


def test_zeros_that_are_there_become_masks_with_their_pattern(net, tmp_path):
    folder, weights = net
    model = onnx.load(folder / "m.onnx")
    masks = {"a.weight": np.repeat(np.random.default_rng(1).random((8, 32)) < 0.5, 4, axis=0),
             "conv.weight": ((np.arange(27) + np.arange(8)[:, None]) % 3 == 0).reshape(8, 3, 3, 3)}
    for tensor in model.graph.initializer:
        if tensor.name in masks:
            tensor.CopyFrom(numpy_helper.from_array(np.where(masks[tensor.name], weights[tensor.name], 0), tensor.name))
    onnx.save(model, tmp_path / "z.onnx")
    import_model(tmp_path / "z.onnx", tmp_path / "z.mlirbc")
    result = cli("masks", tmp_path / "z.mlirbc", "-o", tmp_path / "o.mlirbc")
    assert result.returncode == 0, result.stderr
    source = check(tmp_path / "o.mlirbc", weights, masks)
    assert {n: m.pattern for n, m in source.masks.items()} == {"a.weight": "4x1", "conv.weight": "2:4"}
    # One of them has two thirds of zeros, the other one half.
    assert cli("masks", tmp_path / "z.mlirbc", "-o", tmp_path / "o.mlirbc", "--min-sparsity=0.6").returncode == 0
    check(tmp_path / "o.mlirbc", weights, {"conv.weight": masks["conv.weight"]})


def test_patterns_are_recognised():
    assert recognise(np.ones((4, 4), bool)) == "4x1" and recognise(np.eye(4, dtype=bool)) == "2:4"
    assert recognise(np.array([[1, 1, 1, 0]], bool)) == "unstructured"
    assert recognise(np.array([[0, 0, 1, 1, 1]], bool)) == "2:4"
    assert recognise(np.repeat(np.array([[1, 1, 1, 0], [0, 1, 1, 1]], bool), 4, axis=0)[:6]) == "4x1"


@pytest.mark.parametrize("arrays, more, message", [
    ({"c.weight_mask": np.ones((2, 2))}, {},
     "mask 'c.weight_mask': got no prunable weight 'c.weight', expected one of 3, such as"),
    ({"a.weight_mask": np.ones((32, 31))}, {},
     "mask 'a.weight_mask': got shape [32, 31], expected [32, 32] as the weight has"),
    ({"b.weight_mask": np.full((10, 32), 0.5)}, {}, "mask 'b.weight_mask': got 0.5 at [0, 0], expected 0 and 1"),
    ({"b.weight_mask": np.ones((10, 32)), "mask:b.weight": np.ones((10, 32))}, {},
     "got a second mask of 'b.weight', expected one"),
    ({"b.weight_mask": np.ones((10, 32))}, {"pattern": "2:4"},
     "0 of 320 units of 'b.weight', but pattern 2:4 imposes 160"),
    ({"b.weight_mask": np.tile([1, 1, 1, 0, 0, 0, 0, 1], (10, 4))}, {"pattern": "2:4"}, "array 'mask:b.weight': "),
    ({"b.weight_mask": np.ones((10, 32))}, {"values": True},
     "weight 'b.weight': got neither 'b.weight' nor 'b.weight_orig'"),
    ({"b.weight_mask": np.ones((10, 32)), "b.weight": np.ones((3, 2))}, {"values": True},
     "weight 'b.weight': got shape [3, 2]"),
    ({"b.weight": np.ones((10, 32))}, {}, "masks: got none, expected arrays called W_mask, W.mask or mask:W"),
])
def test_what_does_not_fit_is_named(net, tmp_path, arrays, more, message):
    np.savez(tmp_path / "m.npz", **arrays)
    options = MaskOptions(net[0] / "m.mlirbc", tmp_path / "o.mlirbc", tmp_path / "m.npz", **more)
    with pytest.raises(PruneError) as error:
        put_masks(options, Steps("masks"))
    assert "m.npz: " in str(error.value) and message in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_wrong_options_are_one_line(net, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no such thing")
    for arguments, message in ((["--weights"], "--weights: file: got none, expected --from=FILE"),
                               (["--min-sparsity=0"], "--min-sparsity: range: got 0, expected more than 0, at most 1"),
                               ([], "m.mlirbc: masks: got none, expected a weight with at least 10% zeros"),
                               ([f"--from={tmp_path}/none.npz"], "none.npz: data file: got no such file"),
                               ([f"--from={tmp_path}/none.safetensors"], "none.safetensors: masks: got no such file"),
                               ([f"--from={tmp_path}/bad.safetensors"], "bad.safetensors: safetensors: got ")):
        result = cli("masks", net[0] / "m.mlirbc", "-o", tmp_path / "o.mlirbc", *arguments)
        assert result.returncode == 1 and message in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
