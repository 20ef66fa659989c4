"""`python -m prune sensitivity`: curves are those of ONNX Runtime on pruned copies, whatever happened on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("iree.compiler")

from onnx import numpy_helper

from calibration import oracle
from conftest import cli
from prune import metrics
from prune.errors import PruneError
from prune.importer.driver import import_model
from prune.sensitivity import curves, page
from prune.sensitivity.job import summary
from prune.sensitivity.journal import Journal
from test_evaluate import Page

EXAMPLES, CLASSES = 90, 6
SPARSITIES = (0.5, 0.8)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A classifier of two layers, examples and labels (not all answers are right)."""
    from conftest import Graph
    folder = tmp_path_factory.mktemp("net")
    random = np.random.default_rng(5)
    g = Graph(x=[16, 24])
    y = g.add("Relu", g.add("Gemm", "x", g.weight("up.weight", 40, 24), g.weight("up.bias", 40), transB=1))
    y = g.add("Gemm", y, g.weight("head.weight", CLASSES, 40), g.weight("head.bias", CLASSES), transB=1)
    onnx.save(g.model(y, shapes={y: [16, CLASSES]}), folder / "m.onnx")
    import_model(folder / "m.onnx", folder / "m.mlirbc")
    x = random.standard_normal((EXAMPLES, 24)).astype(np.float32)
    labels = np.where(random.random(EXAMPLES) < 0.8, run_onnx(folder / "m.onnx", x).argmax(axis=1), 0)
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "y.npz", labels=labels)
    return folder, x, labels


def weights_of(path):
    """The initializers of a graph."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def without_lowest(value, scores, sparsity):
    """The elements of the lowest scores zeroed."""
    order = np.argsort(scores.ravel(), kind="stable")
    value = value.copy()
    value.ravel()[order[:round(sparsity * value.size)]] = 0
    return value


def run_onnx(path, x, changed=()):
    """All examples through the graph, after the values of weights were changed, by name."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name].astype(np.float32), tensor.name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    padded = np.concatenate([x, np.repeat(x[-1:], -len(x) % 16, axis=0)])
    return np.concatenate([session.run(None, {"x": padded[i:i + 16]})[0] for i in range(0, len(padded), 16)])[:len(x)]


def sweep(folder, out, *more):
    return cli("sensitivity", folder / "m.mlirbc", f"--data={folder}/x.npz", f"--json={out}", "--sparsity=0.5,0.8",
               "--subsets=3", *more)


@pytest.fixture(scope="module")
def swept(net, tmp_path_factory):
    """The result with labels, and what was printed."""
    out = tmp_path_factory.mktemp("swept")
    result = sweep(net[0], out / "s.json", f"--labels={net[0]}/y.npz", f"--html={out}/s.html")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert sorted(p.name for p in out.iterdir()) == ["s.html", "s.json"]
    return out, result.stdout


def test_each_point_is_that_of_onnx_runtime_on_a_pruned_copy(net, swept):
    folder, x, labels = net
    found = json.loads((swept[0] / "s.json").read_text())
    dense = run_onnx(folder / "m.onnx", x)
    assert found["task"] == "classification" and found["measure"] == "divergence" and found["examples"] == EXAMPLES
    assert found["baseline"]["accuracy"] == metrics.accuracy(dense, labels)
    assert [layer["name"] for layer in found["layers"]] == ["up.weight", "head.weight"] and found["skipped"] == []
    assert [layer["flops"] for layer in found["layers"]] == [2 * 16 * 24 * 40, 2 * 16 * 40 * CLASSES]
    for layer in found["layers"]:
        for sparsity, point in zip(SPARSITIES, layer["points"]):
            value = weights_of(folder / "m.onnx")[layer["name"]]
            now = run_onnx(folder / "m.onnx", x, {layer["name"]: without_lowest(value, np.abs(value), sparsity)})
            expected = {"divergence": metrics.divergences(dense, now).mean(),
                        "squared_error": ((now - dense)**2).sum() / (dense**2).sum(),
                        "loss_increase": metrics.nll(now, labels) - metrics.nll(dense, labels),
                        "accuracy_drop": metrics.accuracy(dense, labels) - metrics.accuracy(now, labels)}
            assert point["sparsity"] == sparsity and abs(point["pruned"] - sparsity) < 0.005
            for name, value in expected.items():
                assert abs(point[name]["mean"] - value) < 1e-5, (layer["name"], sparsity, name)
                subsets = point[name]["subsets"]
                assert len(subsets) == 3 and abs(np.mean(subsets) - value) < 1e-5
                assert point[name]["error"] == pytest.approx(np.std(subsets, ddof=1) / np.sqrt(3))
    low, high = (point["divergence"]["mean"] for point in found["layers"][0]["points"])
    assert high > low > 0
    row = next(line for line in swept[1].splitlines() if line.startswith("up.weight"))
    assert f"{found['layers'][0]['points'][1]['divergence']['mean']:.4f} ± " in row


def expect_points(found, folder, x, prune):
    """Compares the curves with what `prune(name, weight, sparsity)` makes of each weight, in ONNX Runtime."""
    dense, weights = run_onnx(folder / "m.onnx", x), weights_of(folder / "m.onnx")
    assert [layer["name"] for layer in found["layers"]] == ["up.weight", "head.weight"]
    for layer in found["layers"]:
        name = layer["name"]
        for sparsity, point in zip(SPARSITIES, layer["points"]):
            now = run_onnx(folder / "m.onnx", x, {name: prune(name, weights[name], sparsity)})
            for measure, value in (("cosine_distance", 1 - metrics.cosines(dense, now).mean()),
                                   ("squared_error", ((now - dense)**2).sum() / (dense**2).sum())):
                assert abs(point[measure]["mean"] - value) < 1e-5, (name, sparsity, measure)


@pytest.mark.parametrize("criterion, calibration", [
    ("wanda", ""), ("sparsegpt", ""), ("sparsegpt", "data={}/few.npz refit=true column-counts=ranked")])
def test_activations_are_those_of_the_unpruned_net(net, tmp_path, criterion, calibration):
    """Each layer is decided by what the layers before it give unpruned, on the examples that are named."""
    folder, x, _ = net
    few = x[:40]
    np.savez(tmp_path / "few.npz", x=few)
    result = sweep(folder, tmp_path / "s.json", f"--criterion={criterion}",
                   f"--calibration={calibration.format(tmp_path)}", "--jobs=2")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "s.json").read_text())
    assert (found["criterion"], found["calibration"]) == (criterion, calibration.format(tmp_path))
    seen = few if calibration else x
    seen = np.concatenate([seen, seen[:-len(seen) % 16]])  # the first ones fill the last batch
    weights = weights_of(folder / "m.onnx")
    rows = {"up.weight": seen, "head.weight": np.maximum(seen @ weights["up.weight"].T + weights["up.bias"], 0)}

    def prune(name, weight, sparsity):
        if criterion == "wanda":
            return weight * oracle.wanda(weight, rows[name], "unstructured", sparsity)
        return oracle.sparsegpt(weight, [rows[name]], "unstructured", sparsity, ranked="ranked" in calibration,
                                refit="refit" in calibration)[1]
    expect_points(found, folder, x, prune)


def test_gradients_of_a_file(net, tmp_path):
    folder, x, labels = net
    np.savez(tmp_path / "xy.npz", x=x, labels=labels)
    assert cli("gradients", folder / "m.mlirbc", "-o", tmp_path / "g.npz", f"--data={tmp_path}/xy.npz").returncode == 0
    result = sweep(folder, tmp_path / "s.json", "--criterion=taylor", f"--gradients={tmp_path}/g.npz")
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "g.npz") as gradients:
        expect_points(json.loads((tmp_path / "s.json").read_text()), folder, x, lambda name, weight, sparsity:
                      without_lowest(weight, np.abs(weight * gradients[name]), sparsity))


def test_other_files_are_not_gone_on_with(net, tmp_path):
    """What masks depend on is part of what a journal belongs to, by content."""
    folder, x, _ = net
    for seed in range(2):
        np.savez(tmp_path / "c.npz", x=np.random.default_rng(seed).standard_normal((32, 24)).astype(np.float32))
        killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(tmp_path / "s.json"), "wanda",
                                 f"data={tmp_path}/c.npz"], timeout=120, capture_output=True, text=True,
                                env={**os.environ, "PYTHONPATH": str(page.__file__).rsplit("/prune/", 1)[0]})
        assert killed.returncode == (1 if seed else 9), killed.stderr
    assert "s.json.partial: digest of module, data and options: got " in killed.stderr


def test_any_number_of_jobs_and_an_interruption_give_the_same_bytes(net, swept, tmp_path):
    expected = (swept[0] / "s.json").read_bytes()
    labels = f"--labels={net[0]}/y.npz"
    result = sweep(net[0], tmp_path / "s.json", labels, "--jobs=3")
    assert result.returncode == 0 and (tmp_path / "s.json").read_bytes() == expected
    # Killed with two points kept, and cut off in the middle of a line.
    (tmp_path / "s.json").unlink()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(net[0]), str(tmp_path / "s.json")], cwd=tmp_path,
                            timeout=120, env={**os.environ, "PYTHONPATH": str(page.__file__).rsplit("/prune/", 1)[0]})
    journal = tmp_path / "s.json.partial"
    assert killed.returncode == 9 and not (tmp_path / "s.json").exists()
    assert len(journal.read_bytes().splitlines()) == 3
    with open(journal, "ab") as stream:
        stream.write(b'{"point": 2, "resu')
    # With other options it is not gone on with.
    other = sweep(net[0], tmp_path / "s.json", labels, "--resume", "--pattern=4x1")
    assert other.returncode == 1 and "s.json.partial: digest of module, data and options: got " in other.stderr
    result = sweep(net[0], tmp_path / "s.json", labels, "--resume")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "s.json").read_bytes() == expected and not journal.exists()


# Ends without any cleaning up once two points are kept.
KILLED = """
import os, sys
from pathlib import Path
from prune.console import Steps
from prune.sensitivity import job, journal
add = journal.Journal.add
def add_and_die(self, point, result):
    add(self, point, result)
    if point == 1:
        os._exit(9)
journal.Journal.add = add_and_die
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
criterion, calibration = sys.argv[3:] or ("magnitude", "")
job.sensitivity(job.SensitivityOptions(
    folder / "m.mlirbc", folder / "x.npz", out, folder / "y.npz", sparsities=(0.5, 0.8), subsets=3, criterion=criterion,
    calibration=calibration, resume=True), Steps("s"))
"""


def test_results_that_are_kept_are_not_computed_again(tmp_path):
    path = tmp_path / "j"
    with Journal(path, "d", False) as journal:
        journal.add(4, {"a": 0.1})
    with Journal(path, "d", True) as journal:
        assert journal.done == {4: {"a": 0.1}}
        journal.add(5, 2)
    with Journal(path, "d", True) as journal:
        assert journal.done == {4: {"a": 0.1}, 5: 2}
    with Journal(path, "d", False) as journal:
        assert journal.done == {} and path.read_text() == '{"digest": "d"}\n'
    path.write_text('{"digest": "d"}\n[]\n')
    with pytest.raises(PruneError, match="j: journal: got lines of another form"):
        Journal(path, "d", True)


def test_vectors_without_labels_and_blocks(net, tmp_path):
    folder, x, _ = net
    result = sweep(folder, tmp_path / "s.json", "--pattern=4x1", "--include=up", "--subsets=1")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "s.json").read_text())
    assert (found["task"], found["measure"], found["baseline"]) == ("embedding", "cosine_distance", {})
    assert [layer["name"] for layer in found["layers"]] == ["up.weight"]
    # By hand: blocks of four rows, scored by their mean.
    dense, model = run_onnx(folder / "m.onnx", x), onnx.load(folder / "m.onnx")
    weight = next(t for t in model.graph.initializer if t.name == "up.weight")
    value = numpy_helper.to_array(weight).reshape(10, 4, 24).copy()
    scores = np.abs(value).mean(axis=1)
    order = np.argsort(scores.ravel(), kind="stable")
    for unit in order[:round(0.8 * scores.size)]:
        value[unit // 24, :, unit % 24] = 0
    weight.CopyFrom(numpy_helper.from_array(value.reshape(40, 24), "up.weight"))
    onnx.save(model, tmp_path / "p.onnx")
    point = found["layers"][0]["points"][1]["cosine_distance"]
    assert abs(point["mean"] - (1 - metrics.cosines(dense, run_onnx(tmp_path / "p.onnx", x)).mean())) < 1e-5
    assert point["error"] is None and len(point["subsets"]) == 1
    # Outputs may be classes although nobody knows the right ones.
    result = sweep(folder, tmp_path / "s.json", "--classes")
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["measure"] == "divergence" and "accuracy_drop" not in found["layers"][0]["points"][0]


def test_the_page_and_the_report_of_evaluate(net, swept, tmp_path):
    folder = net[0]
    text = (swept[0] / "s.html").read_text()
    Page(text)
    assert text.count('class="line"') == 2 and "40x24</figcaption>" in text and "Accuracy drop by sparsity" in text
    result = cli("evaluate", folder / "m.mlirbc", f"--baseline={folder}/m.mlirbc", f"--data={folder}/x.npz", "--runs=1",
                     f"--sensitivity={swept[0]}/s.json", f"--json={tmp_path}/r.json", f"--html={tmp_path}/r.html")
    assert result.returncode == 0, result.stderr
    report, content = json.loads((tmp_path / "r.json").read_text()), (tmp_path / "r.html").read_text()
    Page(content)
    assert report["sensitivity"] == curves.load(swept[0] / "s.json") and content.count('class="line"') == 2
    layers = report["checklist"][1]
    assert layers["step"] == "Key layers" and "; most sensitive at 80% (divergence): " in layers["answer"]


def test_error_bars_come_from_the_subsets():
    values = np.array([0.0, 1.0, 2.0, 5.0])
    found = summary(values, [np.array([0, 1]), np.array([2, 3])])
    assert found == {"mean": 2.0, "error": pytest.approx(1.5), "subsets": [0.5, 3.5]}
    assert summary(values, [np.arange(4)])["error"] is None


@pytest.mark.parametrize("arguments, message", [
    (["--sparsity=0.8,0.5"], "--sparsity: list: got 0.8,0.5, expected rising numbers more than 0 and less than 1"),
    (["--sparsity=1"], "--sparsity: list: got 1, expected rising numbers"),
    (["--sparsity=a"], "--sparsity: list: got a, expected numbers with commas between them"),
    (["--subsets=0"], "--subsets: range: got 0, expected 1 or more"),
    (["--subsets=91"], "--subsets: range: got 91, expected 1 to 90, the examples"),
    (["--jobs=0"], "--jobs: range: got 0, expected 1 or more"),
    (["--criterion=movement"], "--criterion: criterion: got movement, expected one that is decided without training"),
    (["--criterion=taylor"], "--gradients: file: got none for criterion taylor, expected what `python -m prune gradi"),
    (["--criterion=fisher", "--gradients=/none"], "/none: gradients: got no such file, expected what `python -m prune"),
    (["--criterion=wanda", "--calibration=data=/none.npz"], "m.mlirbc: prune-opt: got data: "),
    (["--criterion=wanda", "--calibration=padding=m"], "m.mlirbc: prune-opt: got padding: expected an input of 'main'"),
    (["--criterion=nonsense"], "m.mlirbc: prune-opt: got "),
    (["--pattern=2:4", "--sparsity=0.2"], "imposes"),
    (["--include=nothing"], "nothing"),
    (["--output=z"], "--output: outputs: got "),
])
def test_wrong_options_are_one_line(net, tmp_path, arguments, message):
    result = sweep(net[0], tmp_path / "s.json", *arguments)
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert not (tmp_path / "s.json").exists()


def test_wrong_files_are_one_line(net, tmp_path, tools):
    folder = net[0]
    subprocess.run([tools / "prune-opt", folder / "m.mlirbc", "--prune=sparsity=0.5", "--emit-bytecode", "-o",
                    tmp_path / "m.mlirbc"], check=True)
    np.savez(tmp_path / "x.npz", x=np.zeros((20, 24), np.float32))
    result = sweep(tmp_path, tmp_path / "s.json")
    assert result.returncode == 1
    assert "m.mlirbc: masks: got some that are there already, expected a model before pruning" in result.stderr
    (tmp_path / "s.json").write_text('{"schema": 9, "sparsities": []}')
    for file, message in (("s.json", "s.json: schema: got 9, expected 1"),
                          ("none.json", "none.json: sensitivity: got no such file"),
                          ("x.npz", "x.npz: sensitivity: got ")):
        result = cli("evaluate", folder / "m.mlirbc", f"--baseline={folder}/m.mlirbc", f"--data={folder}/x.npz",
                         f"--sensitivity={tmp_path}/{file}")
        assert result.returncode == 1 and message in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
