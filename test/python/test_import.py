"""`python -m prune import`: what it accepts, the names it keeps, and one line for everything it refuses."""

from __future__ import annotations

import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from conftest import ROOT, SHARED


def import_raw(run_cli, source, target, *options):
    """Imports to linalg without normalisation; returns the text if it is one."""
    result = run_cli("import", source, "-o", target, "--no-normalize", *options)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    return target.read_text(errors="replace") if target.suffix == ".mlir" else ""


def one_error_line(result, *parts):
    assert result.returncode == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("prune import: ")
    for part in parts:
        assert part in lines[0]


def test_names_of_tensors_and_weights_are_kept(graph, run_cli, tmp_path):
    g = graph(x=[4, 8])
    y = g.add("Gemm", "x", g.weight("layer.0.weight", 6, 8), g.weight("layer.0.bias", 6), transB=1)
    text = import_raw(run_cli, g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir")
    assert 'tensor<4x8xf32> {prune.name = "x"} loc("x")) -> (tensor<4x6xf32> {prune.name = "gemm_0_0"})' in text
    assert 'loc("layer.0.weight")' in text and 'loc("layer.0.bias")' in text


def test_lost_names_come_from_the_bias_or_the_scope(graph, run_cli, tmp_path):
    g = graph(x=[1, 4, 8])
    named = g.add("MatMul", "x", g.weight("onnx::MatMul_10", 8, 8), name="/encoder/layer.0/query/MatMul")
    named = g.add("Add", g.weight("m.encoder.layer.0.query.bias", 8), named, name="/encoder/layer.0/query/Add")
    scoped = g.add("MatMul", named, g.weight("onnx::MatMul_11", 8, 40), name="/encoder/layer.0/out/MatMul")
    text = import_raw(run_cli, g.save(tmp_path / "m.onnx", scoped), tmp_path / "m.mlir")
    assert 'loc("m.encoder.layer.0.query.weight")' in text
    assert 'loc("encoder.layer.0.out.weight")' in text


@pytest.mark.parametrize("path, expected", [
    ("/encoder/layer.0/attention/self/query/MatMul", "encoder.layer.0.attention.self.query"),
    ("/features/features.1/conv/conv.0/conv.0.0/Conv", "features.1.conv.0.0"),
    ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
    ("/MatMul", ""), ("MatMul_3", ""),
])
def test_scope_of_a_node(path, expected):
    from prune.importer.names import scope
    assert scope(helper.make_node("MatMul", [], [], name=path)) == expected


def test_scope_from_the_metadata_of_the_dynamo_exporter():
    from prune.importer.names import scope
    node = helper.make_node("MatMul", [], [], name="node_linear_3")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'encoder', 'encoder.fc1', 'linear_3']")
    assert scope(node) == "encoder.fc1"


def test_image_operators(graph, run_cli, tmp_path):
    g = graph(x=[1, 4, 12, 12])
    c = g.add("Conv", "x", g.weight("conv.weight", 8, 4, 3, 3), g.weight("conv.bias", 8), pads=[1, 1, 1, 1])
    n = g.add("BatchNormalization", c, g.weight("bn.weight", 8), g.weight("bn.bias", 8), g.weight("bn.mean", 8),
              g.constant("bn.var", np.full(8, 0.5, np.float32)))
    d = g.add("Conv", n, g.weight("dw.weight", 8, 1, 3, 3), group=8, pads=[1, 1, 1, 1])
    h = g.add("HardSigmoid", d, alpha=0.2, beta=0.5)
    m = g.add("Mul", h, g.add("HardSwish", d))
    p = g.add("MaxPool", m, kernel_shape=[2, 2], strides=[2, 2])
    a = g.add("AveragePool", p, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    up = g.add("ConvTranspose", a, g.weight("up.weight", 8, 4, 2, 2), strides=[2, 2])
    r = g.add("Resize", a, "", g.constant("scales", np.array([1, 1, 2, 2], np.float32)), mode="nearest",
              nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    s = g.add("Slice", r, g.constant("b", np.array([0])), g.constant("e", np.array([4])), g.constant("ax", np.array([1])))
    y = g.add("GlobalAveragePool", g.add("Concat", up, s, axis=1))
    text = import_raw(run_cli, g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir")
    assert "tensor<1x8x1x1xf32>" in text and "torch." not in text


def test_batch_norms_are_folded_or_kept(graph, run_cli, tmp_path):
    g = graph(x=[2, 4, 6, 6])
    c = g.add("Conv", "x", g.weight("conv.weight", 8, 4, 3, 3))
    names = [g.weight(f"bn.{name}", 8) for name in ("weight", "bias", "mean")]
    y = g.add("BatchNormalization", c, *names, g.constant("bn.var", np.linspace(0.5, 1, 8, dtype=np.float32)))
    source, target = g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir"
    for options, kept in ((), False), (("--keep-batch-norm",), True):
        result = run_cli("import", source, "-o", target, *options)
        assert result.returncode == 0, result.stderr
        text = target.read_text()
        assert ("math.rsqrt" in text) == ('loc("bn.mean")' in text) == kept
    assert run_cli("import", source, "-o", target, "--keep-batch-norm", "--no-normalize").returncode == 2


def test_operators_rewritten_for_the_importer(graph, run_cli, tmp_path):
    """Each of these fails in the pinned importer as it stands; the graph before and after computes the same."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from prune.importer import fold, load, rewrite
    g = graph(x=[1, 6, 7, 7])
    up = g.add("ConvTranspose", "x", g.weight("same", 6, 6, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    up = g.add("ConvTranspose", up, g.weight("shape", 6, 6, 3, 3), strides=[2, 2], output_shape=[27, 28])
    up = g.add("ConvTranspose", up, g.weight("depthwise", 6, 1, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1], group=6)
    up = g.add("ConvTranspose", up, g.weight("grouped", 6, 2, 1, 3), g.weight("bias", 6), strides=[3, 1], group=3,
               dilations=[1, 2], output_padding=[1, 0], pads=[0, 1, 0, 2])
    up = g.add("ConvTranspose", up, g.weight("cropped", 6, 1, 2, 2), group=6, pads=[2, 0, 2, 1])
    source = g.save(tmp_path / "m.onnx", g.add("Softsign", up))
    model = load.load(source, "m")
    fold.Folder(model).run()
    rewrite.rewrite(model, "m")
    x = g.random.standard_normal((1, 6, 7, 7)).astype(np.float32)
    before, after = (onnxruntime.InferenceSession(m).run(None, {"x": x})[0]
                     for m in (source.read_bytes(), model.SerializeToString()))
    assert np.abs(before - after).max() < 1e-5
    assert "torch." not in import_raw(run_cli, source, tmp_path / "m.mlir")


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(graph, run_cli, tmp_path, mode):
    """The pinned importer takes CRD, PyTorch's pixel shuffle, for DCR."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from interpret import GENERIC, Module
    g = graph(x=[1, 12, 3, 5])
    source = g.save(tmp_path / "m.onnx", g.add("DepthToSpace", "x", blocksize=2, mode=mode))
    import_raw(run_cli, source, tmp_path / "m.mlirbc")
    text = subprocess.run([ROOT / "build" / "bin" / "prune-opt", tmp_path / "m.mlirbc", *GENERIC], capture_output=True,
                          text=True, check=True).stdout
    x = g.random.standard_normal((1, 12, 3, 5)).astype(np.float32)
    expected, = onnxruntime.InferenceSession(str(source)).run(None, {"x": x})
    actual, = Module(text).run({"x": x}).values()
    assert np.array_equal(actual.astype(np.float32), expected)


def test_wrapping_pad_is_refused(graph, run_cli, tmp_path):
    """The importer's pipeline does not end on it."""
    g = graph(opset=19, x=[1, 4])
    y = g.add("Pad", "x", g.constant("p", np.array([0, 1, 0, 1])), mode="wrap")
    one_error_line(run_cli("import", g.save(tmp_path / "m.onnx", y), "-o", tmp_path / "m.mlir"),
                   "operators: got Pad with mode=wrap")


def test_functions_of_the_model_are_inlined(graph, run_cli, tmp_path):
    """As PyTorch's dynamo exporter writes them."""
    body = [helper.make_node("Mul", ["a", "a"], ["s"]), helper.make_node("Relu", ["s"], ["b"])]
    g = graph(x=[4, 8])
    g.nodes.append(helper.make_node("SquareRelu", ["x"], ["y"], domain="local", name="call"))
    model = g.model("y")
    model.functions.append(helper.make_function("local", "SquareRelu", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("local", 1))
    onnx.save(model, tmp_path / "m.onnx")
    assert "arith.mulf" in import_raw(run_cli, tmp_path / "m.onnx", tmp_path / "m.mlir")


def test_shape_arithmetic_is_folded(graph, run_cli, tmp_path):
    """The export of packed attention: a Reshape to a computed shape, whose rank ONNX cannot infer."""
    g = graph(x=[2, 6, 12])
    shape = g.add("Shape", "x")
    head = g.add("Slice", shape, g.constant("zero", np.array([0])), g.constant("two", np.array([2])))
    target = g.add("Concat", head, g.constant("split", np.array([3, 4])), axis=0)
    packed = g.add("Transpose", g.add("Reshape", "x", target), perm=[2, 0, 1, 3])
    y = g.add("Gather", packed, g.constant("one", np.array(1)), axis=0)
    text = import_raw(run_cli, g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir")
    assert "-> (tensor<2x6x4xf32>" in text


def test_folding_is_bounded(graph, run_cli, tmp_path):
    """A constant that asks for 10^12 elements is not built."""
    g = graph(x=[1])
    y = g.add("Expand", "x", g.add("ConstantOfShape", g.constant("shape", np.array([3])),
                                   value=helper.make_tensor("v", TensorProto.INT64, [1], [10000])))
    import_raw(run_cli, g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir")


def test_equal_matrices_are_merged(graph, run_cli, tmp_path):
    g = graph(x=[4, 64])
    weight = g.random.standard_normal((64, 64)).astype(np.float32)
    y = g.add("MatMul", g.add("MatMul", "x", g.constant("tied.weight", weight)), g.constant("copy.weight", weight))
    text = import_raw(run_cli, g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir")
    assert "tied.weight" in text and "copy.weight" not in text


def test_dynamic_shapes_are_fixed_on_request(graph, run_cli, tmp_path):
    g = graph(x=["batch", 8])
    source = g.save(tmp_path / "m.onnx", g.add("Gemm", "x", g.weight("w", 8, 4)))
    assert "tensor<3x8xf32>" in import_raw(run_cli, source, tmp_path / "a.mlir", "--dim", "batch=3")
    assert "tensor<5x8xf32>" in import_raw(run_cli, source, tmp_path / "b.mlir", "--shape", "x=5x8")
    result = run_cli("import", source, "-o", tmp_path / "c.mlir", "--no-normalize")
    assert result.returncode == 0 and "warning: dynamic input x: batchx8" in result.stderr
    one_error_line(run_cli("import", source, "-o", tmp_path / "d.mlir", "--dim", "tokens=3"),
                   "unknown dimension 'tokens', expected one of batch")
    one_error_line(run_cli("import", source, "-o", tmp_path / "d.mlir", "--shape", "x=5x9"), "got 5x9, expected")
    one_error_line(run_cli("import", source, "-o", tmp_path / "d.mlir", "--shape", "x=5y9"), "expected name=1x128")


def test_old_operator_set_is_converted(graph, run_cli, tmp_path):
    g = graph(opset=9, x=[2, 8])
    y = g.add("Unsqueeze", g.add("Softmax", "x", axis=1), axes=[0])
    assert "tensor<1x2x8xf32>" in import_raw(run_cli, g.save(tmp_path / "m.onnx", y), tmp_path / "m.mlir")


def test_external_data(graph, run_cli, tmp_path):
    g = graph(x=[4, 64])
    y = g.add("MatMul", "x", g.weight("big.weight", 64, 64))
    source = g.save(tmp_path / "m.onnx", y, save_as_external_data=True, location="m.data", size_threshold=0)
    assert "big.weight" in import_raw(run_cli, source, tmp_path / "m.mlir")
    data = (tmp_path / "m.data").read_bytes()
    (tmp_path / "m.data").write_bytes(data[:100])
    one_error_line(run_cli("import", source, "-o", tmp_path / "n.mlir"), "external data of 'big.weight'", "100 bytes")
    (tmp_path / "m.data").unlink()
    one_error_line(run_cli("import", source, "-o", tmp_path / "n.mlir"), "no file 'm.data'")
    model = onnx.load(source, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../../etc/passwd"
    source.write_bytes(model.SerializeToString())
    one_error_line(run_cli("import", source, "-o", tmp_path / "n.mlir"), "expected a path below the model's folder")


def test_unsupported_operators_are_listed_all_at_once(graph, run_cli, tmp_path):
    g = graph(x=[4, 8])
    y = g.add("Frobnicate", g.add("Relu", g.add("Grumble", "x", name="/a/Grumble")), name="/b/Frobnicate")
    one_error_line(run_cli("import", g.save(tmp_path / "m.onnx", y), "-o", tmp_path / "m.mlir"),
                   "operators: got Frobnicate (1 node, first '/b/Frobnicate'), Grumble (1 node, first '/a/Grumble')")
    # Defined by ONNX, but unknown to the importer.
    g = graph(x=[1, 4, 8, 8])
    y = g.add("MaxRoiPool", "x", g.weight("rois", 1, 5), pooled_shape=[2, 2])
    y = g.add("LpNormalization", g.add("Relu", y), name="/Lp")
    result = run_cli("import", g.save(tmp_path / "n.onnx", y), "-o", tmp_path / "n.mlir")
    one_error_line(result, "operators: got", "MaxRoiPool (1 node")
    assert not (tmp_path / "n.mlir").exists()


def test_broken_files_give_one_line(graph, run_cli, tmp_path):
    g = graph(x=[4, 64])
    good = g.save(tmp_path / "m.onnx", g.add("MatMul", "x", g.weight("w", 64, 64))).read_bytes()
    out = tmp_path / "o.mlirbc"
    bad = tmp_path / "bad.onnx"
    for cut in (0, 1, 10, 100, len(good) // 2, len(good) - 40):
        bad.write_bytes(good[:cut])
        one_error_line(run_cli("import", bad, "-o", out), "bad.onnx", "got", "expected")
    bad.write_bytes(b"hello, this is no model")
    one_error_line(run_cli("import", bad, "-o", out), "ONNX")
    one_error_line(run_cli("import", tmp_path / "none.onnx", "-o", out), "no such file")
    one_error_line(run_cli("import", tmp_path / "m.onnx", "-o", tmp_path / "no" / "o.mlirbc"), "output folder")
    assert not out.exists()


def test_mutated_files_neither_crash_nor_hang(graph, run_cli, tmp_path):
    """Fixed seeds; each file is either imported or refused in one line."""
    g = graph(x=[1, 4, 8, 8])
    y = g.add("Conv", "x", g.weight("w", 4, 4, 3, 3), strides=[2, 2])
    y = g.add("Reshape", y, g.constant("shape", np.array([1, -1])))
    good = g.save(tmp_path / "m.onnx", g.add("Softmax", y)).read_bytes()
    random = np.random.default_rng(1)
    head = [i for i in range(len(good)) if not 60 < i < 60 + 576 * 4 - 200] or list(range(len(good)))
    for case in range(12):
        data = bytearray(good)
        for position in random.choice(head, size=3):
            data[position] = random.integers(256)
        bad = tmp_path / f"bad{case}.onnx"
        bad.write_bytes(bytes(data))
        result = run_cli("import", bad, "-o", tmp_path / "o.mlirbc", "--no-normalize", "--timeout", "60")
        assert result.returncode in (0, 1), result.stderr
        assert "Traceback" not in result.stderr
        if result.returncode == 1:
            assert len([line for line in result.stderr.splitlines() if "warning:" not in line]) == 1, result.stderr


def test_stripped_weights_are_named(graph, run_cli, tmp_path):
    g = graph(x=[4, 64])
    model = g.model(g.add("MatMul", "x", g.weight("w", 64, 64)))
    model.graph.initializer[0].ClearField("raw_data")
    onnx.save(model, tmp_path / "m.onnx")
    one_error_line(run_cli("import", tmp_path / "m.onnx", "-o", tmp_path / "o.mlir"), "initializer 'w': got no data",
                   "weights stripped?")


def test_mlir_nesting_is_limited(run_cli, tmp_path):
    source = tmp_path / "deep.mlir"
    source.write_text("module {" * 10000 + "}" * 10000)
    one_error_line(run_cli("import", source, "-o", tmp_path / "o.mlirbc"), "nesting: got 10000 levels")


def test_time_limit(graph, run_cli, tmp_path):
    g = graph(x=[4, 64])
    source = g.save(tmp_path / "m.onnx", g.add("Relu", "x"))
    one_error_line(run_cli("import", source, "-o", tmp_path / "o.mlir", "--timeout", "0.05"), "time limit")


@pytest.mark.shared_models
@pytest.mark.parametrize("name", ["digits_mlp", "digits_lenet", "digits_resnet", "minilm"])
def test_real_models_keep_readable_names(run_cli, tmp_path, name):
    import_raw(run_cli, SHARED / "models" / f"{name}.onnx", tmp_path / "m.mlirbc")
    data = (tmp_path / "m.mlirbc").read_bytes()
    assert b"onnx::" not in data and b"prune.name" in data
    if name == "minilm":
        assert b"m.encoder.layer.0.attention.self.query.weight" in data


def test_normalized_bytecode_keeps_names(graph, run_cli, tools, tmp_path):
    g = graph(x=[4, 64])
    y = g.add("Gemm", "x", g.weight("fc.weight", 48, 64), g.weight("fc.bias", 48), transB=1)
    result = run_cli("import", g.save(tmp_path / "m.onnx", y), "-o", tmp_path / "m.mlirbc")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "m.mlirbc").read_bytes().startswith(b"ML\xefR")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mlirbc", "m.onnx"]
    text = subprocess.run([tools / "prune-opt", tmp_path / "m.mlirbc"], capture_output=True, text=True, check=True).stdout
    assert "linalg.contract" in text and "dense_resource<fc.weight> : tensor<48x64xf32>" in text


TOSA = """func.func @main(%x: tensor<1x4x8xf32>) -> tensor<1x4x8xf32> {
  %w = "tosa.const"() {values = dense<0.5> : tensor<1x8x8xf32>} : () -> tensor<1x8x8xf32>
  %zp = "tosa.const"() {values = dense<0.0> : tensor<1xf32>} : () -> tensor<1xf32>
  %0 = tosa.matmul %x, %w, %zp, %zp : (tensor<1x4x8xf32>, tensor<1x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8xf32>
  %1 = tosa.tanh %0 : (tensor<1x4x8xf32>) -> tensor<1x4x8xf32>
  return %1 : tensor<1x4x8xf32>
}
"""


def test_mlir_is_taken_as_it_is(run_cli, tools, tmp_path):
    """TOSA as text, linalg as text and as bytecode."""
    (tmp_path / "tosa.mlir").write_text(TOSA)
    assert run_cli("import", tmp_path / "tosa.mlir", "-o", tmp_path / "a.mlir").returncode == 0
    text = (tmp_path / "a.mlir").read_text()
    assert "linalg.contract" in text and "math.tanh" in text and " tosa." not in text and '"tosa.' not in text
    for source, target in (("a.mlir", "b.mlirbc"), ("b.mlirbc", "c.mlir")):
        result = run_cli("import", tmp_path / source, "-o", tmp_path / target)
        assert result.returncode == 0, result.stderr
    assert "linalg.contract" in (tmp_path / "c.mlir").read_text()
    (tmp_path / "cut.mlirbc").write_bytes((tmp_path / "b.mlirbc").read_bytes()[:200])
    (tmp_path / "bad.mlir").write_text("module { func.func @f( }")
    for bad in ("cut.mlirbc", "bad.mlir"):
        one_error_line(run_cli("import", tmp_path / bad, "-o", tmp_path / "o.mlirbc"), bad, "prune-opt: got")
    one_error_line(run_cli("import", tmp_path / "a.mlir", "-o", tmp_path / "o.mlir", "--dim", "n=1"), "an MLIR file")
