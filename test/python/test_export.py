"""`python -m prune export`: files that ONNX Runtime and safetensors read, and that come back as the same module."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import onnx
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("iree.compiler")

from conftest import SHARED
from onnx import numpy_helper
from structured import masks, nets

from conftest import cli
from prune.console import Steps
from prune.errors import PruneError
from prune.export import onnx_file, tensors
from prune.export.driver import ExportOptions, export
from prune.export.source import Source, spell
from prune.importer.driver import ImportOptions, import_model

# Loops, and the place of a maximum, have no translation.
REFUSED = {"recurrent", "gated_recurrence", "largest_of_branches"}


def opt(tools, *arguments):
    result = subprocess.run([str(tools / "prune-opt"), *map(str, arguments)], capture_output=True, text=True,
                            timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def run(model, inputs) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model))
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))


def assert_close(found, expected, tolerance=1e-5):
    assert set(found) == set(expected)
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max()))
        assert np.abs(found[name].astype(np.float64) - value).max() / scale <= tolerance, name


@pytest.fixture(scope="module")
def net(tools, tmp_path_factory):
    """A net of convolutions, pooling, flattening and linear layers: ONNX, module, module with masks of two patterns."""
    from conftest import Graph
    folder = tmp_path_factory.mktemp("net")
    g = Graph(seed=5, x=[2, 3, 8, 8])
    y = g.add("Conv", "x", g.weight("conv1.weight", 8, 3, 3, 3), g.weight("conv1.bias", 8), kernel_shape=[3, 3],
              pads=[1, 1, 1, 1])
    y = g.add("MaxPool", g.add("Relu", y), kernel_shape=[2, 2], strides=[2, 2])
    y = g.add("Relu",
              g.add("Conv", y, g.weight("conv2.weight", 16, 8, 1, 1), g.weight("conv2.bias", 16), kernel_shape=[1, 1]))
    y = g.add("Flatten", y)
    y = g.add("Relu", g.add("Gemm", y, g.weight("fc1.weight", 32, 256), g.weight("fc1.bias", 32), transB=1))
    y = g.add("Softmax", g.add("Gemm", y, g.weight("fc2.weight", 10, 32), g.weight("fc2.bias", 10), transB=1))
    onnx.save(g.model(y, shapes={y: [2, 10]}), folder / "m.onnx")
    import_model(folder / "m.onnx", folder / "m.mlirbc")
    opt(tools, folder / "m.mlirbc", "--prune=pattern=4x1 sparsity=0.75 include=fc", "--emit-bytecode", "-o",
        folder / "4x1.mlirbc")
    opt(tools, folder / "4x1.mlirbc", "--prune=pattern=unstructured sparsity=0.9 include=conv2", "--emit-bytecode",
        "-o",
        folder / "p.mlirbc")
    return folder


def inputs_of(path, seed=1):
    model = onnx.load(path)
    random = np.random.default_rng(seed)
    return {v.name: random.standard_normal([d.dim_value for d in v.type.tensor_type.shape.dim]).astype(np.float32)
            for v in model.graph.input}


def test_the_export_computes_the_same_and_comes_back_as_the_same_module(net, tools, tmp_path):
    result = cli("export", net / "m.mlirbc", "-o", tmp_path / "o.onnx")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "0 masked weights" in result.stdout and "ONNX Runtime differs from the compiled module by " in result.stdout
    x = inputs_of(net / "m.onnx")
    assert_close(run(tmp_path / "o.onnx", x), run(net / "m.onnx", x))
    operators = {n.op_type for n in onnx.load(tmp_path / "o.onnx").graph.node}
    assert operators == {"Conv", "Relu", "MaxPool", "Reshape", "Gemm", "Softmax"}
    import_model(tmp_path / "o.onnx", tmp_path / "again.mlirbc")
    assert opt(tools, tmp_path / "again.mlirbc") == opt(tools, net / "m.mlirbc")


def test_masks_are_zeros_and_their_patterns_metadata(net, tools, tmp_path):
    done = export(net / "p.mlirbc", tmp_path / "o.onnx", ExportOptions(), Steps("export"))
    assert done.masks == 3 and done.bytes == (tmp_path / "o.onnx").stat().st_size
    assert max(done.differences.values()) <= 1e-5
    found, original = onnx.load(tmp_path / "o.onnx"), onnx.load(net / "m.onnx")
    arrays = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
    about = json.loads({p.key: p.value for p in found.metadata_props}[onnx_file.METADATA])
    assert {n: a["pattern"] for n, a in about.items()} == {"fc1.weight": "4x1", "fc2.weight": "4x1",
                                                           "conv2.weight": "unstructured"}
    for tensor in original.graph.initializer:
        weight, value = numpy_helper.to_array(tensor), arrays[tensor.name]
        kept = value != 0
        assert np.array_equal(weight[kept].reshape(-1), value[kept]) and value.size == weight.size
        assert tensor.name in about or kept.all()
        if tensor.name in about:
            assert abs(about[tensor.name]["sparsity"] - (1 - kept.mean())) < 1e-12
    assert abs(about["fc1.weight"]["sparsity"] - 0.75) < 1e-12
    # What comes back has the zeros, under the same names.
    import_model(tmp_path / "o.onnx", tmp_path / "again.mlirbc")
    back, here = Source(tmp_path / "again.mlirbc", 60).constants, Source(net / "p.mlirbc", 60).constants
    assert set(back) == set(here) and all(np.array_equal(back[n], here[n]) for n in here)


def test_folded_masks_are_exported_alike(net, tools, tmp_path):
    opt(tools, net / "p.mlirbc", "--prune-fold-masks", "--emit-bytecode", "-o", tmp_path / "f.mlirbc")
    found = []
    for module in (net / "p.mlirbc", tmp_path / "f.mlirbc"):
        source = Source(module, 60)
        graph = onnx_file.build(source, False).graph
        found.append(({t.name: t.SerializeToString() for t in graph.initializer},
                      [n.SerializeToString() for n in graph.node],
                      {n: (m.pattern, m.kept.tobytes()) for n, m in source.masks.items()}))
    assert found[0] == found[1]


def test_bytes_are_the_same_each_time(net, tmp_path):
    for suffix in (".onnx", ".safetensors"):
        for name in "ab":
            export(net / "p.mlirbc", tmp_path / (name + suffix), ExportOptions(), Steps("export"))
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_sparse_initializers_only_where_they_are_smaller(net, tools, tmp_path):
    for name, sparse in (("d", False), ("s", True)):
        export(net / "p.mlirbc", tmp_path / f"{name}.onnx", ExportOptions(sparse), Steps("export"))
    found = onnx.load(tmp_path / "s.onnx").graph
    # A place takes eight bytes and a number four: worth it beyond two thirds of zeros.
    assert {t.values.name for t in found.sparse_initializer} == {"fc1.weight", "fc2.weight", "conv2.weight"}
    assert (tmp_path / "s.onnx").stat().st_size < (tmp_path / "d.onnx").stat().st_size
    x = inputs_of(net / "m.onnx")
    assert_close(run(tmp_path / "s.onnx", x), run(tmp_path / "d.onnx", x), 0)
    for name in "ds":
        import_model(tmp_path / f"{name}.onnx", tmp_path / f"{name}.mlirbc")
    constants = [Source(tmp_path / f"{n}.mlirbc", 60).constants for n in "ds"]
    assert set(constants[0]) == set(constants[1]) and all(np.array_equal(v, constants[1][n]) for n,
                                                          v in constants[0].items())


def test_a_damaged_sparse_initializer_is_named(net, tmp_path):
    export(net / "p.mlirbc", tmp_path / "s.onnx", ExportOptions(True), Steps("export"))
    model = onnx.load(tmp_path / "s.onnx")
    sparse = model.graph.sparse_initializer[0]
    indices = numpy_helper.to_array(sparse.indices).copy()
    indices[-1] = 1 << 40
    sparse.indices.CopyFrom(numpy_helper.from_array(indices, sparse.indices.name))
    (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(PruneError,
                       match=r"sparse initializer '.*weight': got indices \[\d+\] for values \[\d+\], "
                             "expected one place"):
        import_model(tmp_path / "bad.onnx", tmp_path / "bad.mlirbc")


def test_safetensors_hold_weights_masks_and_a_recipe_that_repeats_them(net, tools, tmp_path):
    from safetensors import safe_open
    result = cli("export", net / "p.mlirbc", "-o", tmp_path / "o.safetensors")
    assert result.returncode == 0 and "3 masked weights" in result.stdout, result.stderr
    with safe_open(tmp_path / "o.safetensors", "np") as file:
        metadata = json.loads(file.metadata()[tensors.METADATA])
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    about = metadata["weights"]
    original = {t.name: numpy_helper.to_array(t) for t in onnx.load(net / "m.onnx").graph.initializer}
    assert set(arrays) == {*original, *(f"{n}.mask" for n in about)}
    for name, facts in about.items():
        bits = arrays[f"{name}.mask"]
        kept = np.array([(bits[i // 8] >> i % 8) & 1 for i in range(np.prod(facts["shape"]))],
                        bool).reshape(facts["shape"])
        weight = original[name].reshape(facts["shape"])
        assert np.array_equal(arrays[name], np.where(kept, weight, 0)) and facts["sparsity"] == 1 - kept.mean()
        assert np.array_equal(tensors.unpack(bits, kept.shape), kept)
    (tmp_path / "recipe.yaml").write_text(metadata["recipe"])
    opt(tools, net / "m.mlirbc", f"--prune=recipe={tmp_path}/recipe.yaml", "--emit-bytecode", "-o",
        tmp_path / "again.mlirbc")
    here, again = (Source(path, 60).masks for path in (net / "p.mlirbc", tmp_path / "again.mlirbc"))
    assert set(here) == set(again)
    assert all(m.pattern == again[n].pattern and np.array_equal(m.kept, again[n].kept) for n, m in here.items())


def test_patterns_are_spelled_like_options():
    assert [spell(a)
            for a in ("unstructured", "n_of_m<2, 4>", "v_n_m<64, 2, 8>", "transposable<2, 4>", "block<4, 1>",
                      "slice<dim = 1>", "slice<dim = 0, group = 8>")] == [
        "unstructured", "2:4", "64:2:8", "transposable:2:4", "4x1", "slice:1", "slice:0:8"]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Small nets of all kinds as one model."""
    folder = tmp_path_factory.mktemp("zoo")
    model = nets.zoo({name: net for name, net in nets.NETS.items() if name not in REFUSED})
    onnx.save(model, folder / "zoo.onnx")
    import_model(folder / "zoo.onnx", folder / "raw.mlirbc", ImportOptions(normalize=False))
    return folder, model


def test_nets_of_all_kinds_compute_what_the_original_computes(zoo, tools, tmp_path):
    folder, model = zoo
    opt(tools, folder / "raw.mlirbc", "--prune-normalize", "--emit-bytecode", "-o", tmp_path / "m.mlirbc")
    found = onnx_file.build(Source(tmp_path / "m.mlirbc", 120), False)
    for seed in (0, 1):
        x = nets.random_inputs(onnx.shape_inference.infer_shapes(model), seed)
        assert_close(run(found.SerializeToString(), x), run(model.SerializeToString(), x))


def test_shrunk_shapes_go_out(zoo, tools, tmp_path):
    """Half of what can be removed is; the original with zeros in the same places computes the same in ONNX Runtime."""
    from interpret import GENERIC, Module
    folder, model = zoo
    model = onnx.shape_inference.infer_shapes(model)
    opt(tools, folder / "raw.mlirbc", "--prune-normalize=inline-limit=1",
        "--prune-select-groups=ratio=0.5 criterion=l2 scope=local",
        "--emit-bytecode", "-o", tmp_path / "masked.mlirbc")
    opt(tools, tmp_path / "masked.mlirbc", "--prune-shrink", "--emit-bytecode", "-o", tmp_path / "small.mlirbc")
    removed = masks.removed(Module(opt(tools, tmp_path / "masked.mlirbc", *GENERIC)))
    found = onnx_file.build(Source(tmp_path / "small.mlirbc", 120), False)
    x = nets.random_inputs(model, 0)
    assert_close(run(found.SerializeToString(), x), run(masks.Weights(model).zeroed(removed).SerializeToString(), x))
    sizes = [sum(np.prod(t.dims) for t in m.graph.initializer) for m in (found, model)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_translation_is_named(tmp_path, name):
    onnx.save(nets.zoo({name: nets.NETS[name]}), tmp_path / "m.onnx")
    import_model(tmp_path / "m.onnx", tmp_path / "m.mlirbc")
    with pytest.raises(PruneError,
                       match=rf"m\.mlirbc: export to ONNX: got .* at '{name}//\w+', expected operations that ONNX has"):
        onnx_file.build(Source(tmp_path / "m.mlirbc", 60), False)


@pytest.mark.shared_models
@pytest.mark.parametrize("name", ["digits_mlp", "digits_lenet", "digits_resnet", "minilm"])
def test_real_models(tmp_path, tools, name):
    source = SHARED / "models" / f"{name}.onnx"
    import_model(source, tmp_path / "m.mlirbc")
    done = export(tmp_path / "m.mlirbc", tmp_path / "o.onnx", ExportOptions(), Steps("export"))
    assert max(done.differences.values()) <= 1e-5
    with np.load(SHARED / "models" / f"{name}_io.npz") as arrays:
        wanted = onnx.load(source, load_external_data=False).graph
        x = {v.name: arrays[v.name] for v in wanted.input}
    assert_close(run(tmp_path / "o.onnx", x), run(source, x))
    if name != "minilm":
        import_model(tmp_path / "o.onnx", tmp_path / "again.mlirbc")
        assert opt(tools, tmp_path / "again.mlirbc") == opt(tools, tmp_path / "m.mlirbc")


def test_an_encoder_comes_back_with_the_same_layers(tmp_path, tools):
    """Lookups lose a unit dimension on the way; the layers and their weights stay what they are."""
    onnx.save(nets.zoo({"bert": nets.NETS["bert"]}), tmp_path / "m.onnx")
    import_model(tmp_path / "m.onnx", tmp_path / "m.mlirbc")
    export(tmp_path / "m.mlirbc", tmp_path / "o.onnx", ExportOptions(), Steps("export"))
    import_model(tmp_path / "o.onnx", tmp_path / "again.mlirbc")
    layers = []
    for path in ("m.mlirbc", "again.mlirbc"):
        opt(tools, tmp_path / path, f"--prune-identify=json={tmp_path}/layers.json table=none", "-o", "/dev/null")
        layers.append(json.loads((tmp_path / "layers.json").read_text())["layers"])
    # Products of activations are called after their place, weights by their name.
    assert [(x["kind"], x["shape"] and x["name"], x["shape"], x["flops"]) for x in layers[0]] == [
        (x["kind"], x["shape"] and x["name"], x["shape"], x["flops"]) for x in layers[1]]
    here, back = (Source(tmp_path / path, 60).constants for path in ("m.mlirbc", "again.mlirbc"))
    assert set(here) <= set(back) and all(np.array_equal(back[n], here[n]) for n in here)


def test_nothing_is_written_where_runtimes_disagree(net, tmp_path, monkeypatch):
    (tmp_path / "o.onnx").write_bytes(b"before")
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    with pytest.raises(PruneError,
                       match=r"p\.mlirbc: output '.*' in ONNX Runtime: got a difference of .*, expected at most -1 "):
        export(net / "p.mlirbc", tmp_path / "o.onnx", ExportOptions(), Steps("export"))
    assert [p.name for p in tmp_path.iterdir()] == ["o.onnx"] and (tmp_path / "o.onnx").read_bytes() == b"before"


def test_what_onnx_runtime_refuses_is_one_line(net, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(PruneError, match=r"m\.mlirbc: ONNX Runtime: got .*, expected a model that it runs$"):
        onnx_file.verify(tmp_path / "bad.onnx", net / "m.mlirbc", 60)


def test_wrong_input_is_one_line(net, tools, tmp_path):
    opt(tools, net / "m.mlirbc", "--prune-create-masks=pattern=4x1 sparsity=0.5", "--emit-bytecode", "-o",
        tmp_path / "open.mlirbc")
    opt(tools, net / "m.mlirbc", "--prune-to-cpu", "--emit-bytecode", "-o", tmp_path / "low.mlirbc")
    (tmp_path / "text.mlir").write_text("no module")
    for module, target, more, message in (
            (tmp_path / "open.mlirbc", "o.onnx", [], "mask of 'fc2.weight': got one that is still to be decided"),
            (tmp_path / "low.mlirbc", "o.onnx", [],
             "functions: got none, expected @main alone, on tensors and not lowered"),
            (tmp_path / "text.mlir", "o.onnx", [], "text.mlir: prune-opt: got "),
            (tmp_path / "none.mlirbc", "o.onnx", [], "none.mlirbc: input file: got no such file"),
            (net / "m.mlirbc", "o.pt", [], "-o: file name: got "),
            (net / "m.mlirbc", "none/o.onnx", [], "-o: output: got "),
            (net / "m.mlirbc", "o.safetensors", ["--sparse-initializers"], "--sparse-initializers: output: got ")):
        result = cli("export", module, "-o", tmp_path / target, *more)
        assert result.returncode == 1 and message in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert result.stderr.startswith("prune export: ") and not (tmp_path / target).exists()
