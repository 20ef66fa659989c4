"""`python -m prune train` on a training module written by hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

REGRESSION = Path(__file__).parent / "train" / "regression.mlir"


@pytest.fixture(scope="module")
def files(tools, tmp_path_factory):
    """The module without calls, and examples that a line separates almost."""
    folder = tmp_path_factory.mktemp("train")
    subprocess.run([tools / "prune-opt", REGRESSION, "--inline", "-o", folder / "m.mlir"], check=True)
    random = np.random.default_rng(0)
    x, plane = random.standard_normal((60, 4)).astype(np.float32), random.standard_normal((4, 3))
    labels = np.argmax(x @ plane + 0.3 * random.standard_normal((60, 3)), axis=1)
    np.savez(folder / "x.npz", x=x[:43], labels=labels[:43])
    np.savez(folder / "t.npz", x=x[43:], labels=labels[43:])
    return folder


def test_train_writes_what_the_steps_left(files, tmp_path, run_cli):
    common = [files / "m.mlir", f"--data={files}/x.npz", f"--test={files}/t.npz", f"--checkpoint={tmp_path}/c.npz"]
    whole = run_cli("train", *common, "--epochs=20", "-o", tmp_path / "whole.npz")
    assert whole.returncode == 0 and whole.stderr == "", whole.stderr
    before, after = whole.stdout.splitlines()[1:]
    assert before.startswith("before: test loss ") and "accuracy 0." in after and "calibration error 0." in after
    half = run_cli("train", *common, "--epochs=10", "-o", tmp_path / "half.npz")
    rest = run_cli("train", *common, "--epochs=20", "--resume", "-o", tmp_path / "rest.npz")
    assert half.returncode == 0 and rest.stdout == whole.stdout != half.stdout
    assert (tmp_path / "rest.npz").read_bytes() != (tmp_path / "half.npz").read_bytes()
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "rest.npz") as two:
        assert sorted(one.files) == ["mask:w", "param:w"]
        assert all(one[n].tobytes() == two[n].tobytes() for n in one.files)
        assert not one["param:w"][~one["mask:w"]].view(np.uint32).any() and not one["mask:w"].all()


@pytest.mark.parametrize("arguments, message", [
    (["--data=bad.npz"], "bad.npz: classes in 'labels': got 3 at [1], expected 0 to 2"),
    (["--data=absent.npz"], "absent.npz: data file: got no such file, expected a .npz file of named arrays"),
    (["--data=x.npz", "--epochs=-1"], "--epochs: range: got -1, expected 0 or more"),
    (["--data=x.npz", "--epochs=1e999"], "--epochs: range: got inf, expected 0 or more"),
    (["--data=x.npz", "--resume"], "--resume: checkpoint: got none, expected --checkpoint=FILE"),
    (["--data=x.npz", "--threads=0"], "--threads: range: got 0, expected 1 or more"),
])
def test_wrong_input_is_one_line(files, tmp_path, run_cli, arguments, message):
    np.savez(files / "bad.npz", x=np.zeros((2, 4), np.float32), labels=np.array([0, 3]))
    placed = [a.replace("--data=", f"--data={files}/") for a in arguments]
    result = run_cli("train", files / "m.mlir", *placed, "-o", tmp_path / "o.npz")
    assert result.returncode == 1 and result.stdout == "" and not (tmp_path / "o.npz").exists()
    assert result.stderr.startswith("prune train: ") and result.stderr.count("\n") == 1
    assert result.stderr.strip().endswith(message)


def test_modules_that_cannot_be_trained_are_refused(files, tmp_path, run_cli):
    model = tmp_path / "model.mlir"
    model.write_text("func.func @main(%x: tensor<8x4xf32>) -> tensor<8x4xf32> {\n  return %x : tensor<8x4xf32>\n}\n")
    result = run_cli("train", model, f"--data={files}/x.npz", "-o", tmp_path / "o.npz")
    assert result.stderr == f"prune train: {model}: training module: got no function @init, expected @init in it\n"
    model.write_text("func.func")
    result = run_cli("train", model, f"--data={files}/x.npz", "-o", tmp_path / "o.npz")
    assert result.returncode == 1 and result.stderr.startswith(f"prune train: {model}: module: got ")
    result = run_cli("train", files / "m.mlir", f"--data={files}/x.npz", "-o", tmp_path / "o.mlirbc")
    assert result.stderr.endswith("o.mlirbc', expected a .npz file\n")
