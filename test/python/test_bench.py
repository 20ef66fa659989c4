"""prune-bench: statistics, order of timing, reports, errors, small runs of each command. Figures are not checked."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from prune.bench import cli, compare, digits, distill, kernels, nets, oneshot, programs, report, train
from prune.bench.timing import Distance, Quiet, Timing, blocks, interleave, summarize
from prune.console import Steps
from prune.errors import PruneError


class Fake:
    """A program whose runs take 1, 2, 3, ... times its speed; notes who is awake."""

    awake: set = set()

    def __init__(self, name, speed, order):
        self.name, self.speed, self.order, self.count = name, speed, order, 0

    def run(self, runs, timeout):
        assert Fake.awake == {self.name}
        self.order.append(self.name)
        result = [self.speed * (self.count + i + 1) for i in range(runs)]
        self.count += runs
        return result

    def rest(self):
        Fake.awake.discard(self.name)

    def wake(self):
        Fake.awake.add(self.name)

    def set_priority(self, priority):
        assert priority == 0


def test_statistics_interpolate():
    assert summarize([4, 1, 3, 2]) == Timing(2.5, pytest.approx(1.3), pytest.approx(3.7), 4)
    assert blocks(30) == (5, 6) and blocks(31) == (6, 6) and blocks(1) == (1, 1)


def test_programs_are_timed_in_turn_and_alone():
    order = []
    Fake.awake = {"a", "b"}
    times, apart = interleave({n: Fake(n, s, order) for n, s in (("a", 1.0), ("b", 10.0))}, 12, 1.0, Quiet())
    assert order == ["a", "b", "b", "a"] and apart == 0
    # Runs 3 to 8 of the first block, 11 to 16 of the second: two of each block are not counted.
    assert times["a"].samples == 12 and times["a"].median == 9.5 and times["b"].median == 95.0


def test_a_sample_is_the_mean_of_its_calls():
    Fake.awake = {"a"}
    times, _ = interleave({"a": Fake("a", 1.0, [])}, 1, 1.0, Quiet(), {"a": 4})
    # Three samples of four calls, two dropped: 9, 10, 11, 12.
    assert times["a"].median == 10.5


def test_rounds_with_cores_apart_are_done_again():
    places = iter([300.0, 60.0, 320.0, 55.0])
    Fake.awake = {"a"}
    distance = Distance(lambda: next(places))
    times, apart = interleave({"a": Fake("a", 1.0, [])}, 12, 1.0, Quiet(), distance=distance)
    # Three rounds for two: 300 and 320 outnumber 60 and are the ones that count.
    assert apart == 310 and times["a"].samples == 12
    Fake.awake = {"a"}
    places = iter([58.0, 300.0, 61.0])
    times, apart = interleave({"a": Fake("a", 1.0, [])}, 12, 1.0, Quiet(), distance=distance)
    assert apart == 59.5 and times["a"].samples == 12


def test_settings_of_patterns():
    assert list(compare.settings_of(["unstructured", "2:4", "dense"], [0.8, 0.9])) == [
        ("unstructured", 0.8), ("unstructured", 0.9), ("2:4", 0.5), ("dense", 0.0)]
    assert compare.prune_flag("2:4", 0.5).endswith("pattern=2:4 scope=layer")


def test_outputs_are_compared():
    a = {"x": np.array([1.0, 2.0], np.float32)}
    assert compare.difference("p", a, {"x": np.array([1.0, 2.5])}) == 0.5
    assert compare.difference("p", a, {"other": np.array([1.0, 2.0])}) == 0.0
    with pytest.raises(PruneError, match="outputs"):
        compare.difference("p", a, {"x": np.zeros(3)})
    with pytest.raises(PruneError, match="not finite"):
        compare.difference("p", {"x": np.array([np.nan, 0.0])}, {"x": np.zeros(2)})


def result(difference=1e-5, scale=1.0):
    from prune.bench.ours import Compiled
    label = {"weights": "unstructured", "sparsity": 0.9, "batch": 1, "tokens": 16, "threads": 1}
    peers = {"onnxruntime": Timing(6.0, 5.0, 7.0, 30), "deepsparse": Timing(1.5, 1.0, 2.0, 30)}
    differences = {"onnxruntime": difference, "deepsparse": 0.0}
    return compare.Result(label, Timing(2.0, 1.5, 2.5, 30), peers, differences, scale,
                          Compiled(None, 3.0, 10**9, 1000, 2000), {"onnxruntime": "1"}, 0.0)


def test_losses_and_wrong_results_are_shown(tmp_path, capsys):
    settings = compare.Settings(tmp_path, ["unstructured"], [0.9], peers=["onnxruntime", "deepsparse", "openvino"])
    machine = {"cpu": "<cpu>", "features": "avx2", "cores": 2}
    reporter = compare.Reporter("title", [("weights", 16, compare.title)], machine, settings, tmp_path / "r.json",
                                tmp_path / "r.html")
    reporter(result())
    assert reporter.finish() == 0
    text = capsys.readouterr().out
    assert "3.00x" in text and "0.75x SLOWER" in text
    assert "slower: unstructured 90%, 1 thread(s) than deepsparse" in text
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["machine"]["versions"] == {"onnxruntime": "1"}
    assert data["rows"][0] == {"weights": "unstructured", "sparsity": 0.9, "batch": 1, "tokens": 16, "threads": 1,
                               "peer": "onnxruntime", "ours_ms": 2.0, "peer_ms": 6.0, "max_abs_diff": 1e-5}
    page = (tmp_path / "r.html").read_text()
    assert "&lt;cpu&gt;" in page and page.count("0.75x SLOWER") == 1 and "http" not in page
    reporter(result(difference=2e-4))
    assert reporter.finish() == 2 and "WRONG" in capsys.readouterr().out
    assert result(difference=2e-4, scale=10.0).right
    # The reference decides, if it is there; the others are shown in its absence only.
    other = result()
    other.differences["deepsparse"] = 1e-3
    assert other.right and other.difference == 1e-5
    del other.differences["onnxruntime"]
    assert not other.right


def test_ratios_mark_what_is_slower():
    assert report.ratio(1.0, 2.0) == "2.00x" and report.ratio(2.0, 1.0) == "0.50x SLOWER"


def test_layers_hold_real_weights_of_any_shape():
    assert kernels.weight(1536, 384).shape == (1536, 384)
    assert kernels.weight(700, 800).shape == (700, 800)
    assert np.count_nonzero(kernels.weight(768, 3072)) > 0.99 * 768 * 3072


def test_weights_without_data_are_filled(graph):
    g = graph(x=[1, 3, 8, 8])
    y = g.add("BatchNormalization", g.add("Conv", "x", g.weight("w", 4, 3, 3, 3)), *(g.weight(n, 4) for n in "abmv"))
    model = g.model(y)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    assert nets.fill(model) == 5 and nets.fill(model) == 0
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert values["w"].std() > 0.1 and values["v"].min() > 0.5


def test_masks_are_applied_to_other_values():
    """The compiler's weights may be scaled by a batch norm: only the zeros move."""
    model = onnx.ModelProto()
    original = np.array([[1, 9], [2, 3]], np.float32)
    model.graph.initializer.extend([numpy_helper.from_array(original.reshape(2, 2, 1, 1), "conv"),
                                    numpy_helper.from_array(original.T.copy(), "turned")])
    masked = np.array([[5, 0], [0, 7]], np.float32)
    nets.apply_masks(model, {"conv": masked, "turned": np.array([[1, 0], [2, 3]], np.float32)})
    values = [numpy_helper.to_array(t).reshape(2, 2).tolist() for t in model.graph.initializer]
    assert values == [[[1, 0], [0, 3]], [[1, 2], [0, 3]]]
    with pytest.raises(PruneError, match="no ONNX initializer"):
        nets.apply_masks(model, {"gone": masked})


@pytest.mark.parametrize("arguments, message", [
    (["minilm", "--weights=3:4"], "expected names out of"), (["minilm", "--sparsity=100"], "percentages"),
    (["minilm", "--batch=0"], "at least 1"), (["minilm", "--tokens=513"], "from 1 to 512"),
    (["minilm", "--peers=tvm"], "none or names out of"), (["minilm", "--threads=4096"], "cores"),
    (["minilm", "--json=/nowhere/x.json"], "existing, writable folder"), (["kernels", "--n=8"], "both or none"),
    (["train", "--nets=resnet"], "names out of cnn, minilm"),
    (["train", "--peers=onnxruntime"], "none or names out of jax"),
    (["train", "--html=x.html"], "unrecognized arguments"), (["nets"], "no ONNX file"),
    (["nets", "--models=/nowhere"], "existing folder"),
    (["nets", "/nowhere/x.onnx", "--peers=none"], "/nowhere/x.onnx"), (["resnet"], "invalid choice"),
    (["oneshot", "--calibration=/dev/null", "--held-out=/dev/null"], "one a line"),
    (["oneshot", "--calibration=/nowhere/a", "--held-out=/nowhere/b"], "/nowhere/a"),
    (["oneshot", "--calibration=a", "--held-out=b", "--criteria=taylor"], "names out of"),
    (["distill", "--weights=1:4"], "names out of unstructured, 4x1, 2:4, neurons"),
    (["distill", "--lr=0"], "between 0 and 1"),
    (["distill", "--sentences=/nowhere/a"], "/nowhere/a"), (["distill", "--start=taylor"], "invalid choice"),
    (["distill", f"--sentences={__file__}", "--held-out=9999"], "at least 10063 with 9999 held out"),
    (["dynamic", "--shapes=768"], "shapes such as 768-3072"), (["dynamic", "--kinds=median"], "names out of threshold, top-k"),
    (["dynamic", "--sparsity=100"], "percentages"), (["dynamic", "--peers=openvino"], "none or names out of onnxruntime"),
    (["gated", "--calibration=/nowhere/a", "--held-out=/nowhere/b"], "/nowhere/a"),
    (["gated", "--calibration=a"], "required: --held-out"),
    (["digits", "--nets=resnet"], "names out of mlp, cnn"), (["digits", "--seeds=0"], "from 1 to 1000"),
])
def test_wrong_use_is_one_line(arguments, message, capsys):
    try:
        status = cli.main(arguments)
    except SystemExit as exit:
        status = exit.code
    error = capsys.readouterr().err
    assert status != 0 and error.startswith("prune-bench: ") and error.count("\n") == 1 and message in error


def test_shares_are_read_both_ways():
    options = cli._parser().parse_args(["minilm", "--sparsity=80,0.9,95%"])
    assert options.sparsity == [0.8, 0.9, 0.95]


def test_a_peer_that_cannot_be_installed(tmp_path, monkeypatch):
    """Named, it is an error; by default it is left out with a note."""
    from prune.console import Steps
    monkeypatch.setitem(programs.PEERS, "openvino", ["no-such-file-here.whl"])
    notes = []
    steps = Steps("t")
    monkeypatch.setattr(steps, "note", notes.append)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert programs.pythons_of(["openvino"], tmp_path, True, steps) == {}
    assert len(notes) == 1 and "openvino: installation" in notes[0]
    with pytest.raises(PruneError, match="openvino: installation"):
        programs.pythons_of(["openvino"], tmp_path, False, steps)


def run_bench(tools, tmp_path, *arguments, html=True):
    """One command of the built program; returns its output and its JSON."""
    report = tmp_path / "report.json"
    page = [f"--html={tmp_path / 'report.html'}"] if html else []
    finished = subprocess.run([tools / "prune-bench", *arguments, "--runs=1", f"--json={report}", *page,
                               f"--folder={tmp_path / 'bench'}"], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "" and not list((tmp_path / "bench").glob("run-*"))
    return finished.stdout, json.loads(report.read_text())


def test_kernels_run(tools, tmp_path):
    text, data = run_bench(tools, tmp_path, "kernels", "--n=64", "--k=48", "--tokens=32", "--weights=4x1,dense",
                           "--sparsity=80")
    assert [row["weights"] for row in data["rows"]] == ["4x1", "dense"]
    assert set(data["rows"][0]) == {"weights", "sparsity", "n", "k", "tokens", "share_of_peak"}
    assert all(row["share_of_peak"] >= 0 for row in data["rows"]) and len(data["sparsifier"]) == 1
    assert "WRONG" not in text and "share of peak" in text and os.path.exists(tmp_path / "report.html")


def test_nets_run(tools, tmp_path, graph):
    pytest.importorskip("onnxruntime")
    g = graph(x=[1, 8, 12, 12])
    y = g.add("Relu", g.add("Conv", "x", g.weight("conv.weight", 16, 8, 3, 3), g.weight("conv.bias", 16)))
    z = g.add("Conv", y, g.weight("point.weight", 8, 16, 1, 1))
    path = g.save(tmp_path / "net.onnx", z)
    _, data = run_bench(tools, tmp_path, "nets", path, "--peers=onnxruntime")
    assert [(row["model"], row["weights"], row["peer"]) for row in data["rows"]] == [
        ("net", "dense", "onnxruntime"), ("net", "unstructured", "onnxruntime")]
    assert all(row["max_abs_diff"] < 1e-4 for row in data["rows"])
    assert data["compile"][0]["peak_bytes"] > 0


def test_minilm_runs(tools, tmp_path):
    pytest.importorskip("onnxruntime")
    _, data = run_bench(tools, tmp_path, "minilm", "--weights=4x1", "--sparsity=90", "--batch=1", "--tokens=8",
                        "--threads=1", "--peers=onnxruntime")
    row, = data["rows"]
    assert set(row) == {"weights", "sparsity", "batch", "tokens", "threads", "peer", "ours_ms", "peer_ms",
                        "max_abs_diff"}
    assert row["max_abs_diff"] < 1e-4 and row["tokens"] == 8


def test_minilm_runs_in_int8(tools, tmp_path):
    """Bits do not depend on VNNI; ONNX Runtime rounds other products to integers, so that its outputs are near and not equal."""
    pytest.importorskip("onnxruntime")
    text, data = run_bench(tools, tmp_path, "minilm", "--int8", "--weights=1x4", "--sparsity=80", "--batch=1", "--tokens=8",
                           "--threads=1", "--peers=onnxruntime")
    rows = {row["peer"]: row for row in data["rows"]}
    assert list(rows) == ["onnxruntime", "prune-f32", "prune-no-vnni", "onnxruntime-dynamic"]
    assert all(row["type"] == "int8" and row["weights"] == "1x4" for row in rows.values())
    assert rows["prune-no-vnni"]["max_abs_diff"] == 0
    assert 0 < rows["prune-f32"]["max_abs_diff"] < 2 and 0 < rows["onnxruntime-dynamic"]["max_abs_diff"] < 2
    assert "outputs: within 0 of prune-no-vnni" in text


def test_training_steps_run(tools, tmp_path):
    """The losses of three steps are compared with JAX's where that is installed."""
    peer = "jax" if importlib.util.find_spec("jax") else "none"
    text, data = run_bench(tools, tmp_path, "train", "--nets=cnn", "--weights=dense,unstructured", "--threads=1",
                           f"--peers={peer}", html=False)
    assert [(row["weights"], row["sparsity"]) for row in data["rows"]] == [("dense", 0.0), ("unstructured", 0.9)]
    for row in data["rows"]:
        assert row["ours_ms"] > 0 and row["dense_ms"] == data["rows"][0]["ours_ms"]
        assert row["loss_difference"] is None if peer == "none" else row["loss_difference"] < 1e-4
    assert "WRONG" not in text and "x dense" in text


def test_no_library_is_written_twice(monkeypatch, tmp_path):
    """One that is loaded is not read again: the second net would run the code of the first."""
    written = []
    monkeypatch.setattr("prune.bench.ours.compile_library", lambda module, library, *rest: written.append(library))
    monkeypatch.setattr("prune.train.runner.Function", lambda name, library: name)
    monkeypatch.setattr("prune.train.runner.Program", dict)
    monkeypatch.setattr("prune.bench.programs.timed_loop", lambda folder: None)
    bench = train.Bench(train.Settings(tmp_path, ("dense",), (0.9,), peers=()), tmp_path, Steps("test"))
    steps = [bench._compile(tmp_path / "training.mlirbc", threads)[1] for threads in (1, 2)]
    assert len(written) == len(set(written)) == 4 and steps == written[1::2]


def test_losses_that_differ_are_shown():
    label = {"net": "cnn", "weights": "dense", "sparsity": 0.0, "threads": 1}
    row = train.Row(label, Timing(2.0, 1.0, 3.0, 9), Timing(4.0, 1.0, 9.0, 9), Timing(1.0, 1.0, 1.0, 9), 2e-3, 57.0)
    assert not row.right and train._cells(row)[5:] == ["57 ns", "2.00x", "1.00", "0.50x SLOWER", "2e-03 WRONG"]
    alone = train.Row(label, Timing(2.0, 1.0, 3.0, 9), None, None, None, 0.0)
    assert alone.right and train._cells(alone)[5:] == ["-", "-", "-", "-", "-"] and alone.as_json()["jax_ms"] is None


@pytest.fixture
def two_layers(monkeypatch):
    """MiniLM with two of its six layers."""
    minilm = pytest.importorskip("prune.models.minilm")
    config = minilm.load_config()
    monkeypatch.setattr(minilm, "load_config", lambda: {**config, "num_hidden_layers": 2})


def test_oneshot_runs(tools, tmp_path, two_layers, capsys):
    """Sentences of one kind to calibrate with and to compare."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"Sentence {name} {i} is about nothing.\n" for i in range(9)))
    report = tmp_path / "report.json"
    status = cli.main(["oneshot", f"--calibration={tmp_path}/a", f"--held-out={tmp_path}/b", "--tokens=8",
                       "--criteria=magnitude,wanda", f"--json={report}", f"--folder={tmp_path / 'bench'}"])
    printed = capsys.readouterr()
    assert status == 0 and printed.err == "", printed.err
    magnitude, wanda = json.loads(report.read_text())["rows"]
    assert set(wanda) == {"weights", "sparsity", "split", "criterion", "permuted", "seconds", "cosine", "neighbours"}
    assert 0 <= wanda["neighbours"] <= 1 and "neighbours" in printed.out.splitlines()[0]
    assert magnitude["cosine"] < wanda["cosine"] < 1 and wanda["criterion"] == "wanda"


def test_a_random_target_has_the_curvature_of_the_cosine():
    """The mean square of the gradient along a change of all outputs is twice what the change makes of 1 - cosine."""
    random = np.random.default_rng(1)
    hidden = np.repeat(random.standard_normal((1, 6, 16), np.float32), 20000, axis=0)
    mask = np.repeat([[1, 1, 1, 1, 0, 0]], len(hidden), axis=0)
    gradient = 2 / hidden[0].size * (hidden - oneshot.target(hidden, mask))
    assert not gradient[:, 4:].any()
    change = 1e-3 * random.standard_normal(hidden.shape[1:])
    before, after = (h[:4].mean(axis=0) for h in (hidden[0], hidden[0] + change))
    lost = 1 - before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    assert np.square((gradient * change).sum(axis=(1, 2))).mean() == pytest.approx(2 * lost, rel=0.05)


@pytest.mark.parametrize("criterion, most", [("wanda", 1.7), ("sparsegpt", 2.6)])
def test_a_stack_stays_in_a_mapped_file(tools, tmp_path, criterion, most):
    """Of a weight there are the file (with swap also once it was read), the mask (a quarter) and new values, no copy."""
    peaks, sizes = [], []
    for layers in (2, 130):
        finished = subprocess.run(
            [tools / "prune-bench", "stack", f"--layers={layers}", "--width=512", "--tokens=16", "--batch=16",
             f"--criterion={criterion}", f"--folder={tmp_path}"], capture_output=True, text=True, timeout=300)
        assert finished.returncode == 0, finished.stderr
        *_, size, peak = finished.stdout.splitlines()[1].split()
        sizes.append(float(size))
        peaks.append(float(peak))
    assert peaks[1] - peaks[0] < most * (sizes[1] - sizes[0])


def test_distillation_wins_back(tools, tmp_path, monkeypatch, two_layers):
    """One shape, few steps: what is checked is that the whole way goes in the right direction."""
    monkeypatch.setattr(distill, "LENGTHS", (16,))
    monkeypatch.setattr(distill, "TEST_LENGTH", 16)
    text = tmp_path / "sentences.txt"
    text.write_text("".join(f"The river number {i} runs to the sea.\n" for i in range(48)))
    settings = distill.Settings(tmp_path / "bench", ["4x1"], [0.7], "magnitude", "uniform", 6, 1e-3, 1, 16, text, 300.0)
    assert distill.run(settings, Steps("test"), {"cpu": "?"}, tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    row = report["rows"][0]
    assert report["sentences"] == 32 and row["weights"] == "4x1" and 0 < row["one_shot"] < row["trained"] < 1


def test_ways_of_pruning_digits(tools, tmp_path):
    ways = [("mlp", "unstructured", 0.8)]
    assert digits.run(ways, 2, 4, 1, 300.0, Steps("test"), {"cpu": "?"}, tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    row = report["rows"][0]
    assert report["seeds"] == 2 and len(row["pruned_accuracy"]) == 2 and abs(row["sparsity"] - 0.8) < 1e-3
    drops = [a - b for a, b in zip(row["dense_accuracy"], row["pruned_accuracy"])]
    assert row["mean_drop"] == pytest.approx(sum(drops) / 2)
