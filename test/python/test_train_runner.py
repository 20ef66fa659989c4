"""The functions of a training module: called with values that are carried from call to call, and the loop over them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from prune.console import Progress
from prune.errors import PruneError
from prune.train import checkpoint, data
from prune.train.loop import LoopOptions, evaluate, train
from prune.train.runner import Function, compile_functions, compile_program

REGRESSION = Path(__file__).parent / "train" / "regression.mlir"
FUNCTIONS = ("init", "train_step", "eval_step", "update_masks", "schedule")


@pytest.fixture(scope="module")
def libraries(tools, tmp_path_factory):
    """Softmax regression with momentum and a mask, compiled once: name -> library."""
    folder = tmp_path_factory.mktemp("libraries")
    inlined = folder / "inlined.mlir"
    subprocess.run([tools / "prune-opt", REGRESSION, "--inline", "-o", inlined], check=True)
    running = [subprocess.Popen([tools / "prune-compile", inlined, "-o", folder / f"{n}.so",
                                 f"--pipeline-options=entry={n}"], stdout=subprocess.DEVNULL) for n in FUNCTIONS]
    assert all(child.wait() == 0 for child in running)
    return inlined, {n: folder / f"{n}.so" for n in FUNCTIONS}


@pytest.fixture
def program(libraries):
    from prune.train.runner import Program
    program = Program({n: Function(n, path) for n, path in libraries[1].items()})
    yield program
    program.close()


def examples(count=43, seed=0):
    """Three classes that a line separates almost."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, 4)).astype(np.float32)
    labels = np.argmax(x @ random.standard_normal((4, 3)) + 0.3 * random.standard_normal((count, 3)), axis=1)
    return {"x": x, "labels": labels}


def source(program, seed=0, **changed):
    return data.Arrays({**examples(), **changed}, program.feeds("train_step"), "x.npz", classes=3, seed=seed)


def reference(arrays, steps):
    """The same training in NumPy, in double precision."""
    w = np.array([[0.1, -0.2, 0.3], [0.02, 0.2, -0.1], [-0.3, 0.01, 0.1], [0.2, 0.1, -0.01]])
    momentum, mask = np.zeros_like(w), np.ones_like(w, bool)
    for step in range(steps):
        if step > 0 and step % 10 == 0:
            mask = np.abs(w) > 0.15
            w, momentum = np.where(mask, w, 0.0), np.where(mask, momentum, 0.0)
        batch = arrays.batch(step)
        z = batch["x"].astype(np.float64) @ w
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(8), batch["labels"]] -= 1.0
        momentum = np.where(mask, 0.9 * momentum + batch["x"].T @ p / 8, 0.0)
        w = np.where(mask, w - 0.05 * momentum, 0.0)
    return w, momentum, mask


def test_steps_of_several_shapes_carry_the_same_values(libraries, program, tmp_path):
    small, other = tmp_path / "small.mlir", tmp_path / "other.mlir"
    text = libraries[0].read_text()
    small.write_text(text.replace("tensor<8x", "tensor<4x").replace("8.000000e+00", "4.000000e+00"))
    other.write_text("""func.func @train_step(%w: tensor<4x6xf32> {prune.name = "param:w"})
        -> (tensor<4x6xf32> {prune.name = "param:w"}) {
      %y = arith.addf %w, %w : tensor<4x6xf32>
      return %y : tensor<4x6xf32>
    }""")
    both = compile_program({"init": (libraries[0], "init"), "train_step": (libraries[0], "train_step"),
                            "few": (small, "train_step")})
    for part in (program, both):
        part.call("init")
    batch = source(program).batch(0)
    program.call("train_step", batch)
    # A batch of four twice over has the gradient of the four.
    half = {name: np.concatenate([array[:4], array[:4]]) for name, array in batch.items()}
    program.call("train_step", half)
    both.call("train_step", batch)
    both.call("few", {name: array[:4] for name, array in batch.items()})
    for name in ("param:w", "state:w:momentum"):
        np.testing.assert_allclose(both.values[name], program.values[name], rtol=1e-5, atol=1e-7)
    both.close()
    with pytest.raises(PruneError, match=r"type of 'param:w'.*\[4, 6\].*float32\[4, 3\] as in the other functions"):
        compile_program({"init": (libraries[0], "init"), "train_step": (other, "train_step")})


def test_results_named_like_arguments_are_carried(program):
    assert set(program.carried) == {"param:w", "mask:w", "state:w:momentum", "step"}
    assert [t.name for t in program.feeds("train_step")] == ["x", "labels"]
    batch = source(program).batch(0)
    program.call("init")
    before = {n: v.copy() for n, v in program.values.items()}
    results = program.call("train_step", batch)
    assert set(results) == {"loss", "correct", "learning_rate"} and program.values["step"] == 1
    assert all(v.ctypes.data % 64 == 0 for v in program.values.values())
    assert np.array_equal(program.values["mask:w"], before["mask:w"])
    assert not np.array_equal(program.values["param:w"], before["param:w"])
    program.undo()
    assert all(np.array_equal(v, before[n]) for n, v in program.values.items())
    program.undo()
    assert program.values["step"] == 0


def test_calls_are_checked(program):
    batch = source(program).batch(0)
    with pytest.raises(PruneError, match=r"@train_step: argument: got no value of 'param:w' yet"):
        program.call("train_step", batch)
    program.call("init")
    with pytest.raises(PruneError, match=r"shape of 'x': got \[7, 4\], expected float32\[8, 4\]"):
        program.call("train_step", {**batch, "x": batch["x"][:7]})
    with pytest.raises(PruneError, match="no 'labels'"):
        program.call("train_step", {"x": batch["x"]})


def test_training_follows_the_reference_and_masks_hold(program):
    arrays = source(program)
    seen = []

    def check(step):
        pruned = ~program.values["mask:w"]
        for name in ("param:w", "state:w:momentum"):
            # +0.0 exactly: no bit is set.
            assert not program.values[name][pruned].view(np.uint32).any()
        seen.append(int(pruned.sum()))

    result = train(program, arrays, LoopOptions(steps=1000), after_step=check)
    assert result.begin == 0 and np.isfinite(result.loss) and len(seen) == 1000
    assert seen[0] == 0 and seen[-1] > 0 and result.sparsity == pytest.approx(seen[-1] / 12, abs=1e-6)
    w, momentum, mask = reference(arrays, 1000)
    assert np.array_equal(program.values["mask:w"], mask)
    np.testing.assert_allclose(program.values["param:w"], w, atol=1e-4)
    np.testing.assert_allclose(program.values["state:w:momentum"], momentum, atol=1e-4)


def test_resumed_run_is_bit_equal(program, tmp_path):
    whole = LoopOptions(steps=57, seed=3, checkpoint=tmp_path / "whole.npz", digest="d")
    train(program, source(program, seed=3), whole)
    expected = {n: v.tobytes() for n, v in program.values.items()}
    for stop in (0, 1, 20, 33):
        path = tmp_path / f"{stop}.npz"
        train(program, source(program, seed=3), LoopOptions(steps=stop, seed=3, checkpoint=path, digest="d"))
        assert checkpoint.load(path)[1].step == stop
        result = train(program, source(program, seed=3),
                       LoopOptions(steps=57, seed=3, checkpoint=path, digest="d", resume=True))
        assert result.begin == stop
        assert {n: v.tobytes() for n, v in program.values.items()} == expected
        assert checkpoint.load(path)[1] == checkpoint.load(whole.checkpoint)[1]


def test_foreign_checkpoints_are_refused(program, tmp_path):
    path = tmp_path / "c.npz"
    train(program, source(program), LoopOptions(steps=12, checkpoint=path, digest="one"))
    for options, message in ((LoopOptions(20, digest="two"), "digest of module and options"),
                             (LoopOptions(20, digest="one", seed=1), "seed: got 0, expected 1"),
                             (LoopOptions(10, digest="one"), "step: got 12, expected at most 10")):
        options.checkpoint, options.resume = path, True
        with pytest.raises(PruneError, match=message):
            train(program, source(program), options)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PruneError, match=r"c.npz: data file"):
        checkpoint.load(path)
    np.savez(path, w=np.zeros(3))
    with pytest.raises(PruneError, match=r"c.npz: checkpoint: got no 'checkpoint.json'"):
        checkpoint.load(path)


class Broken:
    """Data whose batches are infinite from one step on."""

    examples = None

    def __init__(self, inner, step):
        self.inner, self.step = inner, step
        self.function = inner.function

    def batch(self, step):
        batch = self.inner.batch(step)
        return batch if step < self.step else {**batch, "x": np.full_like(batch["x"], np.inf)}


def test_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(program, tmp_path):
    path = tmp_path / "c.npz"
    options = LoopOptions(steps=40, checkpoint=path, save_every=10)
    with pytest.raises(PruneError, match=rf"loss at step 27: got (nan|inf), expected a finite one; .*{path.name}"):
        train(program, Broken(source(program), 27), options)
    assert program.values["step"] == 27
    values, position = checkpoint.load(path)
    assert position.step == 20 and all(np.isfinite(v).all() for v in values.values())
    options.resume = True
    assert train(program, source(program), options).begin == 20
    with pytest.raises(PruneError, match="loss at step 0: .* no checkpoint was written"):
        train(program, Broken(source(program), 0), LoopOptions(steps=5))


def test_interrupt_leaves_a_usable_checkpoint(program, tmp_path):
    path = tmp_path / "c.npz"

    def interrupt(step):
        if step == 13:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(program, source(program), LoopOptions(steps=40, checkpoint=path), after_step=interrupt)
    assert signal.getsignal(signal.SIGINT) is before and checkpoint.load(path)[1].step == 13
    assert train(program, source(program), LoopOptions(steps=40, checkpoint=path, resume=True)).begin == 13
    resumed = program.values["param:w"].tobytes()
    train(program, source(program), LoopOptions(steps=40))
    assert program.values["param:w"].tobytes() == resumed


def test_evaluation_counts_every_example_once(program):
    """43 examples in batches of 8: the last batch holds three."""
    program.call("init")
    result = evaluate(program, source(program))
    arrays = examples()
    z = arrays["x"] @ program.values["param:w"]
    z = z.astype(np.float64)
    expected = np.log(np.exp(z).sum(axis=1)) - z[np.arange(43), arrays["labels"]]
    assert result.loss == pytest.approx(expected.mean(), abs=1e-6)
    assert result.accuracy == (z.argmax(axis=1) == arrays["labels"]).mean()
    np.testing.assert_allclose(result.outputs["y"], z, atol=1e-6)


def test_compilation_failures_name_function_and_reason(tools, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNE_BIN", str(tools))
    with pytest.raises(PruneError, match=r"prune-compile of @absent: got .*absent"):
        compile_functions(REGRESSION, ["absent"])
    with pytest.raises(PruneError, match="--threads: range: got 0"):
        compile_functions(REGRESSION, ["init"], threads=0)
    with pytest.raises(PruneError, match="time limit: got no end of prune-compile"):
        compile_functions(REGRESSION, ["init"], timeout=0.0)
    half = tmp_path / "half.mlir"
    half.write_text("func.func @f(%x: tensor<2xbf16>) -> tensor<2xbf16> {\n  return %x : tensor<2xbf16>\n}\n")
    with pytest.raises(PruneError, match="@f: type of '.*': got bfloat16, expected a type of NumPy's own"):
        compile_functions(half, ["f"])
    program = compile_functions(REGRESSION, ["init", "schedule"])
    program.call("init")
    assert not program.call("schedule")["update"]
    program.close()


def test_progress_is_silent_in_a_pipe(libraries, capsys):
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    with Progress("train", 4, terminal) as progress:
        for step in range(4):
            progress.advance(step + 1, f"loss {step}", "")
    assert "4/4  loss 3  0 s left" in terminal.text and terminal.text.endswith("\n")
    with Progress("train", 4, sys.stderr) as progress:
        progress.advance(4, "loss 0")
    assert capsys.readouterr().err == ""
