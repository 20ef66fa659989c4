"""Parts of the quickstart that need no compiled model: counts, weights read back, table and verdict."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("onnxruntime")
from prune import weights
from prune.errors import PruneError
from prune.quickstart import job, report

MODULE = b"""module {
  %a = arith.constant dense_resource<"0.we/ight"> : tensor<2x2xf32>
  %b = arith.constant dense_resource<fc.mask> : tensor<2xi1>
}
{-#
  dialect_resources: {
    builtin: {
      "0.we/ight": "0x040000000000803F000000000000004000004040",
      fc.mask: "0x040000000100"
    }
  }
#-}
"""


def test_resources_are_read_from_text():
    found = weights.read_resources(MODULE)
    assert found["0.we/ight"].tolist() == [[1.0, 0.0], [2.0, 3.0]]
    assert found["fc.mask"].tolist() == [True, False]
    assert weights.read_resources(b"module {}") == {}
    with pytest.raises(PruneError, match="got 8 bytes"):
        weights.read_resources(MODULE.replace(b"803F0000000000000040", b"803F"))


def test_a_pruned_module_gives_its_weights_back(tools, tmp_path):
    """Through prune and prune-fold-masks: the two largest of four stay, under the weight's own name."""
    import subprocess
    data = np.arange(1, 2049, dtype=np.float32).reshape(32, 64)
    source, pruned = tmp_path / "m.mlir", tmp_path / "p.mlirbc"
    source.write_text(f"""
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<4x64xf32>) -> tensor<4x32xf32> {{
  %w = arith.constant dense_resource<fc.weight> : tensor<32x64xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x32xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x32xf32>) -> tensor<4x32xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<4x64xf32>, tensor<32x64xf32>)
         outs(%fill : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}}
{{-# dialect_resources: {{ builtin: {{ fc.weight: "0x10000000{data.tobytes().hex()}" }} }} #-}}
""")
    subprocess.run([tools / "prune-opt", source, "--prune=pattern=2:4", "--emit-bytecode", "-o", pruned], check=True)
    found = weights.masked_weights(pruned)
    assert list(found) == ["fc.weight"]
    kept = np.where(np.arange(64) % 4 >= 2, data, 0)
    assert np.array_equal(found["fc.weight"], kept)


def test_weights_find_their_initializer_and_orientation():
    kept = np.array([[1, 0], [2, 3]], np.float32)
    original = np.array([[1, 9], [2, 3]], np.float32)
    model = onnx.ModelProto()
    model.graph.initializer.extend([
        numpy_helper.from_array(original.T.copy(), "turned"), numpy_helper.from_array(original, "straight"),
        numpy_helper.from_array(np.ones((3, 2), np.float32), "tall"), numpy_helper.from_array(original, "other")])
    wide = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert weights.put_into_onnx(model, {"turned": kept, "straight": kept, "tall": wide}) == 3
    values = [numpy_helper.to_array(t).tolist() for t in model.graph.initializer]
    assert values == [kept.T.tolist(), kept.tolist(), wide.T.tolist(), original.tolist()]
    with pytest.raises(PruneError, match="weight shape"):
        weights.put_into_onnx(model, {"tall": np.ones((4, 4), np.float32)})


def test_sentences_are_many_and_distinct():
    lines = job.sentences()
    assert len(lines) == len(set(lines)) >= 30


def test_counts_leave_out_zeros():
    minilm = pytest.importorskip("prune.models.minilm")
    model = minilm.build()
    dense = job.count(model, 128)
    # 36 matrices of 10,616,832 weights; attention: 6 layers, two products of 128 x 128 x 384.
    assert dense["flops"] == 2 * 128 * 10_616_832 + 6 * 2 * 2 * 128 * 128 * 384
    assert dense["parameters"] > 22_000_000 and dense["nonzeros"] <= dense["parameters"]
    for tensor in model.graph.initializer:
        if tensor.name == "encoder.layer.0.output.dense.weight":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tuple(tensor.dims), np.float32), tensor.name))
    assert job.count(model, 128)["flops"] == dense["flops"] - 2 * 128 * 384 * 1536


def rows():
    common = dict(parameters=100, bytes=1000, flops=10**6, spread_ms=(1.0, 2.0), peer_ms=40.0)
    return [job.Row("dense", 0.0, nonzeros=100, ours_ms=30.0, max_abs_diff=1e-5, cosine=1.0, lowest_cosine=1.0,
                    **common),
            job.Row("4x1", 0.9, nonzeros=10, ours_ms=50.0, max_abs_diff=2e-4, cosine=0.1, lowest_cosine=0.0, **common)]


def test_the_verdict_hides_nothing():
    text = " ".join(report.verdict(rows()))
    assert "ABOVE 1e-4" in text and "NOT faster than" in text and "without fine-tuning ruins the embedding" in text


def test_reports_hold_the_table(tmp_path):
    as_json, as_markdown = report.write(rows(), job.QuickstartOptions(tmp_path), "ONNX Runtime x")
    data = json.loads(as_json.read_text())
    assert [row["weights"] for row in data["rows"]] == ["dense", "4x1"] and data["rows"][1]["ratio"] == 0.8
    assert "| 4x1 90% | 100 | 10 | 1,000 | 1 | 50.00 | 0.80x | 2.0e-04 | 0.100 |" in as_markdown.read_text()
    assert "dense" in report.text_table(rows())


def test_it_ends_with_the_report_of_evaluate(tmp_path, monkeypatch):
    pytest.importorskip("iree.compiler")
    minilm = pytest.importorskip("prune.models.minilm")
    from prune.evaluate import job as evaluation
    seen = []
    monkeypatch.setattr(evaluation, "evaluate", lambda options, steps: (seen.append(options) or {"schema": 1}, []))
    report, page = job.validate(job.QuickstartOptions(tmp_path, tokens=32, runs=5, threads=2), None)
    options = seen[0]
    assert report == {"schema": 1} and page == options.html == tmp_path / "evaluation.html"
    assert (options.module.name, options.baseline.name) == ("minilm-4x1.mlirbc", "minilm.mlirbc")
    assert (options.json.name, options.runs, options.threads) == ("evaluation.json", 5, 2)
    with np.load(options.data) as arrays:
        expected = minilm.tokenize(job.sentences(), 32)
        assert all(np.array_equal(arrays[name], value) for name, value in expected.items())


def test_options_are_checked(run_cli):
    for flags in (["--sparsity", "1.5"], ["--threads", "0"], ["--runs", "0"]):
        result = run_cli("quickstart", *flags)
        assert result.returncode == 1 and result.stderr.startswith("prune quickstart: --") and \
            result.stderr.count("\n") == 1
