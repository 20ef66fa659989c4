"""`python -m prune finetune` and `digits`: from a model to the same model with masks, trained, exported and
validated."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import onnx
import pytest

pytest.importorskip("iree.compiler")

from prune.digits import images, nets
from prune.importer.driver import ImportOptions, import_model
from prune.weights import masked_weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A net with random weights, and examples."""
    folder = tmp_path_factory.mktemp("digits")
    onnx.save(nets.build("cnn", 64, 3), folder / "m.onnx")
    import_model(folder / "m.onnx", folder / "m.mlirbc", ImportOptions(keep_batch_norm=True))
    for name, arrays in zip(("x", "t"), images.load()):
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def test_finetune_writes_the_model_with_masks_and_weights(files, tools, tmp_path, run_cli):
    common = [files / "m.mlirbc", f"--data={files}/x.npz", f"--test={files}/t.npz", "--masks=pattern=4x1 sparsity=0.5",
              "--training=lr=1e-2 lr-schedule=cosine"]
    result = run_cli("finetune", *common, "--epochs=4", "-o", tmp_path / "o.mlirbc", f"--json={tmp_path}/o.json",
                     f"--weights={tmp_path}/o.npz", f"--checkpoint={tmp_path}/c.npz", "--estimate-statistics=8")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    scores = json.loads((tmp_path / "o.json").read_text())
    assert scores["before"]["accuracy"] < 0.3 < 0.9 < scores["after"]["accuracy"]
    assert f"accuracy {scores['after']['accuracy']:.4f}" in result.stdout
    # The masks in the model are those of the training, and the weights obey them.
    verified = subprocess.run([tools / "prune-opt", tmp_path / "o.mlirbc", "--prune-verify-masks", "-o", "/dev/null"])
    assert verified.returncode == 0
    weights = masked_weights(tmp_path / "o.mlirbc")
    with np.load(tmp_path / "o.npz") as arrays:
        masks = {n[5:]: arrays[n] for n in arrays.files if n.startswith("mask:")}
        assert set(masks) == {"conv1.weight", "conv2.weight", "dense1.weight", "dense2.weight"}
        for name, mask in masks.items():
            assert np.array_equal(weights[name], arrays[f"param:{name}"]) and not weights[name][~mask].any()
            rows = mask.reshape(len(mask), -1)
            blocks = [rows[r:r + 4] for r in range(0, len(rows), 4)]
            assert all((block == block[0]).all() for block in blocks)
            units = len(blocks) * rows.shape[1]
            assert sum(int(block[0].sum()) for block in blocks) == units - int(np.round(0.5 * units))
        kept = sum(int(m.sum()) for m in masks.values())
    total = sum(m.size for m in masks.values())
    assert abs(scores["sparsity"] - (1 - kept / total)) < 1e-6
    # The report knows in how many rounds the model came about.
    assert scores["updates"][-1]["sparsity"] == scores["sparsity"] and scores["steps"] == 85 and {m["weight"] for m in scores["masks"]} == set(masks)
    assert [u["sparsity"] for u in scores["updates"]] == sorted(u["sparsity"] for u in scores["updates"])
    report = run_cli("evaluate", tmp_path / "o.mlirbc", f"--baseline={files}/m.mlirbc", f"--data={files}/t.npz", "--runs=1",
                     f"--history={tmp_path}/o.json")
    assert f"[x] Iteration: 85 steps of fine-tuning, masks decided {len(scores['updates'])} times" in report.stdout, report.stderr
    # An interrupted run that goes on ends with the same bytes.
    half = run_cli("finetune", *common, "--epochs=4", "-o", tmp_path / "h.mlirbc", f"--checkpoint={tmp_path}/c.npz",
                   "--resume",
                   "--estimate-statistics=8")
    assert half.returncode == 0, half.stderr
    assert (tmp_path / "h.mlirbc").read_bytes() == (tmp_path / "o.mlirbc").read_bytes()


@pytest.mark.parametrize("arguments, message", [
    (["--epochs=-1"], "--epochs: range: got -1, expected 0 or more"),
    (["--ramp=2"], "--ramp: range: got 2, expected 0 to 1"),
    (["--first=1"], "--first: range: got 1, expected 0 or more and less than 1"),
    (["--masks=pattern=3:2"], "prune-opt: got pattern '3:2': "),
    (["--training=loss=hinge"], "prune-opt: got loss: expected cross-entropy, mse, bce or cosine, got 'hinge'"),
    (["--training=entry=other"], "function @other: got none with a batch of examples first"),
    (["--resume"], "--resume: checkpoint: got none, expected --checkpoint=FILE"),
    (["--json=/nowhere/x.json"],
     "--json: output: got '/nowhere/x.json', expected a file in an existing, writable folder"),
])
def test_wrong_input_is_one_line(files, tmp_path, run_cli, arguments, message):
    result = run_cli("finetune", files / "m.mlirbc", f"--data={files}/x.npz", "-o", tmp_path / "o.mlirbc", *arguments)
    assert result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert message in result.stderr and result.stderr.startswith("prune finetune: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options, sparsity", [([], 0.95), (["--model=mlp", "--pattern=2:4"], 0.5),
                                               (["--pattern=filters"], None)])
def test_digits_goes_the_whole_way(tmp_path, run_cli, options, sparsity):
    report, kept = tmp_path / "d.json", tmp_path / "kept"
    result = run_cli("digits", "--dense-epochs=8", "--epochs=8", f"--json={report}", f"--folder={kept}", *options)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    found = json.loads(report.read_text())
    dense, pruned = found["baseline"], found["pruned"]
    assert dense["accuracy"] > 0.95 and pruned["accuracy"] > 0.8
    assert 0 <= pruned["ece"] < 0.5 and pruned["nonzeros"] < dense["nonzeros"]
    if sparsity is not None:
        assert abs(pruned["sparsity"] - sparsity) < 1e-3
    else:
        # Half of the filters and of what reads them, and a quarter of the weights between two halves.
        assert pruned["parameters"] == 8 * 9 + 16 * 8 * 9 + 64 * 64 + 10 * 64 + 5 * 8 + 5 * 16 + 64 + 10
    assert "Exported as C libraries" in result.stdout and (kept / "pruned.so").exists()


def test_digits_refuses_what_cannot_be(run_cli, tmp_path):
    for arguments, message in ((["--model=rnn"], "--model: net: got rnn, expected cnn or mlp"),
                               (["--sparsity=1"], "--sparsity: range: got 1, expected more than 0 and less than 1"),
                               (["--model=mlp", "--pattern=filters"], "--pattern: pattern: got filters")):
        result = run_cli("digits", *arguments)
        assert result.returncode == 1 and message in result.stderr and len(result.stderr.strip().splitlines()) == 1
