"""`python -m prune evaluate`: a pruned classifier and pruned vectors beside their baselines."""

from __future__ import annotations

import html.parser
import json
import re
import subprocess

import numpy as np
import onnx
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("iree.compiler")

from conftest import cli
from onnx import numpy_helper

from prune import markup, metrics
from prune.evaluate import checklist, history, page
from prune.evaluate.layers import tensor_core
from prune.export.source import Mask
from prune.importer.driver import import_model

EXAMPLES, CLASSES = 400, 6


def opt(tools, *arguments):
    result = subprocess.run([str(tools / "prune-opt"), *map(str, arguments)], capture_output=True, text=True,
                            timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]


def run_onnx(path, x):
    """All examples, batch by batch of 16."""
    session = onnxruntime.InferenceSession(str(path))
    padded = np.concatenate([x, np.repeat(x[-1:], -len(x) % 16, axis=0)])
    return np.concatenate([session.run(None, {"x": padded[i:i + 16]})[0] for i in range(0, len(padded), 16)])[:len(x)]


@pytest.fixture(scope="module")
def nets(tools, tmp_path_factory):
    """A linear classifier whose probabilities are right by construction, as it is, three times too sure, and pruned;
    data and labels drawn from it; and the ONNX files."""
    from conftest import Graph
    folder = tmp_path_factory.mktemp("nets")
    random = np.random.default_rng(2)
    x = random.standard_normal((EXAMPLES, 24)).astype(np.float32)
    weight = (random.standard_normal((CLASSES, 24)) * 0.8).astype(np.float32)
    for name, scale in (("base", 1), ("sure", 4)):
        g = Graph(x=[16, 24])
        both = g.constant("up.weight", np.vstack([np.eye(24), -np.eye(24)]).astype(np.float32))
        y = g.add("Relu", g.add("Gemm", "x", both,
                                g.constant("up.bias", np.linspace(1e-6, 2e-6, 48, dtype=np.float32)), transB=1))
        y = g.add("Gemm", y, g.constant("head.weight", scale * np.hstack([weight, -weight])),
                  g.constant("head.bias", np.linspace(0, 1e-3, CLASSES, dtype=np.float32)), transB=1)
        onnx.save(g.model(y, shapes={y: [16, CLASSES]}), folder / f"{name}.onnx")
        import_model(folder / f"{name}.onnx", folder / f"{name}.mlirbc")
    logits = run_onnx(folder / "base.onnx", x)
    p = np.exp(metrics.log_softmax(logits))
    labels = np.array([random.choice(CLASSES, p=row) for row in p])
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "y.npz", labels=labels)
    np.savez(folder / "xy.npz", x=x, labels=labels)
    opt(tools, folder / "base.mlirbc", "--prune=pattern=2:4 include=head", "--emit-bytecode",
        "-o", folder / "pruned.mlirbc")
    return folder, x, labels


@pytest.fixture(scope="module")
def outcome(nets, tmp_path_factory):
    """The report of the pruned classifier, and its page."""
    folder, _, _ = nets
    out = tmp_path_factory.mktemp("report")
    result = cli("evaluate", folder / "pruned.mlirbc", f"--baseline={folder}/base.mlirbc", f"--data={folder}/x.npz",
                 f"--labels={folder}/y.npz", f"--json={out}/r.json", f"--html={out}/r.html", "--runs=3", "--top-k=2",
                 "--targets=host,znver3")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return json.loads((out / "r.json").read_text()), (out / "r.html").read_text(), result.stdout


def pruned_onnx(folder, tmp_path):
    """The same zeros put into the ONNX file without the compiler: two of each four by magnitude."""
    model = onnx.load(folder / "base.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "head.weight":
            value = numpy_helper.to_array(tensor).reshape(CLASSES, -1, 4).copy()
            order = np.argsort(-np.abs(value), axis=2, kind="stable")
            np.put_along_axis(value, order[:, :, 2:], 0, axis=2)
            tensor.CopyFrom(numpy_helper.from_array(value.reshape(CLASSES, -1), tensor.name))
    onnx.save(model, tmp_path / "pruned.onnx")
    return tmp_path / "pruned.onnx"


def test_the_figures_are_those_of_onnx_runtime_on_the_same_weights(nets, outcome, tmp_path):
    folder, x, labels = nets
    report = outcome[0]
    before, now = run_onnx(folder / "base.onnx", x), run_onnx(pruned_onnx(folder, tmp_path), x)
    assert report["task"] == "classification" and report["examples"] == EXAMPLES
    for name, logits in (("baseline", before), ("pruned", now)):
        found, quality = report["classification"][name], metrics.quality(logits, labels)
        assert found["accuracy"] == quality.accuracy
        assert found["top_k"] == metrics.top_k(logits, labels, 2) and found["k"] == 2
        for key in ("nll", "brier"):
            assert abs(found[key] - getattr(quality, key)) < 1e-5
        assert abs(found["calibration"]["ece"] - quality.ece) < 1e-3 and sum(found["reliability"]["counts"]) == EXAMPLES
        assert found["temperature"]["examples"] == EXAMPLES // 2
    agreed = report["classification"]["agreement"]
    expected = metrics.agreement(before, now, labels)
    assert agreed["churn"] == expected.churn and agreed["flips"] == expected.flips
    assert abs(agreed["divergence"] - expected.divergence) < 1e-5


def test_costs_and_layers(outcome):
    report = outcome[0]
    base, pruned = report["models"]["baseline"], report["models"]["pruned"]
    weights = 48 * 24 + CLASSES * 48
    assert base["parameters"] == pruned["parameters"] == weights + 48 + CLASSES == base["nonzeros"]
    assert pruned["nonzeros"] == base["nonzeros"] - CLASSES * 48 // 2
    assert base["flops"] == 2 * 16 * weights and pruned["flops"] == 2 * 16 * (weights - CLASSES * 24)
    for figures in (base, pruned):
        assert figures["workspace_bytes"] > 0
        assert figures["memory_bytes"] == figures["workspace_bytes"] + figures["weight_bytes"]
        time = figures["latency_ms"]
        assert 0 < time["low"] <= time["median"] <= time["high"] and time["samples"] >= 3
    assert abs(report["ratios"]["speedup"] - base["latency_ms"]["median"] / pruned["latency_ms"]["median"]) < 1e-9
    layers = {layer["name"]: layer for layer in report["layers"]}
    head = layers["head.weight"]
    assert head["pattern"] == "2:4" and head["sparsity"] == 0.5
    assert head["shape"] == head["baseline_shape"] == [CLASSES, 48]
    verdicts = {v["target"]: v for v in head["compatibility"]}
    assert set(verdicts) == {"host", "znver3", "2:4 GPU"}
    assert verdicts["2:4 GPU"]["status"] == "no" and "6x48 is not a multiple of 16x32" in verdicts["2:4 GPU"]["reason"]
    assert layers["up.weight"]["pattern"] is None


def test_the_schema_is_the_documented_one(outcome):
    """Every key of the report is on the page, and the page's keys of this task are in the report."""
    from conftest import ROOT
    page_text = (ROOT / "docs" / "Evaluation.md").read_text()
    table = page_text[page_text.index("## The JSON"):page_text.index("## Measured")]
    documented = {part for word in re.findall(r"`([\w.]+)`", table) for part in word.split(".") if part}

    def keys(value):
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()
    found = keys(outcome[0])
    assert found <= documented, found - documented
    values = {"classification", "embedding", "cosine", "lowest_cosine", "neighbours", "done", "warning", "option",
              "what", "value", "limit", "passed", "sensitivity"}
    assert documented - found <= values, documented - found - values
    assert outcome[0]["schema"] == 1


def test_all_ten_points_are_answered(outcome):
    report, _, printed = outcome
    points = {p["step"]: p for p in report["checklist"]}
    assert list(points) == ["Baseline", "Key layers", "Method", "Masks", "Fine-tuning", "Iteration", "Export",
                            "Latency and accuracy", "Calibration and confidence", "Hardware and libraries"]
    assert all(p["status"] in ("done", "warning", "not measured") and p["answer"] for p in points.values())
    assert all(p["answer"].startswith("because") for p in points.values() if p["status"] == "not measured")
    assert points["Fine-tuning"]["status"] == "warning" and "no fine-tuning" in points["Fine-tuning"]["answer"]
    assert points["Iteration"] == {"step": "Iteration", "status": "warning", "answer":
                                   "masks at one stroke: nothing was trained between the baseline and them"}
    assert all(f"{p['step']}: {p['answer']}" in printed for p in points.values())


TUNED = {"steps": 90, "begin": 0, "sparsity": 0.5, "updates": [{"step": 0, "sparsity": 0.1}, {"step": 40, "sparsity": 0.5}],
         "masks": [], "before": None, "after": None}


@pytest.mark.parametrize("change, status, answer", [
    ({}, "done", "90 steps of fine-tuning, masks decided 2 times from step 0 to 40: 10.0% to 50.0% pruned"),
    ({"before": {"accuracy": 0.97}, "after": {"accuracy": 0.981}}, "done", "accuracy 97.00% before and 98.10% after"),
    ({"updates": TUNED["updates"][1:], "begin": 30}, "warning", "90 steps of fine-tuning (those from 30 on in this run), masks "
     "decided 1 times from step 40 to 40: 50.0% to 50.0% pruned"),
    ({"updates": []}, "warning", "90 steps of fine-tuning with masks that stay: 50.0% pruned")])
def test_iteration_is_answered_from_history(tmp_path, change, status, answer):
    place = tmp_path / "h.json"
    place.write_text(json.dumps({**TUNED, **change}))
    found = checklist._iteration([history.load(place)], 3, 2)
    assert found[0] == status and answer in found[1] and str(place) in found[1]
    assert ("not step by step" in found[1]) == (status == "warning")
    # Two rounds with one decision each are two.
    if status == "warning" and change["updates"]:
        assert checklist._iteration([history.load(place)] * 2, 3, 2)[0] == "done"


def test_without_history_a_trained_model_does_not_say():
    assert checklist._iteration([], 3, 2) == ("not measured",
                                              "because no --history=FILE says in how many rounds the model came about")


@pytest.mark.parametrize("content, message", [
    (None, "h.json: history: got no such file, expected the JSON of `prune finetune` or `prune search`"),
    ("{", "h.json: history: got 'Expecting property name"), ("[]", "h.json: history: got other content"),
    (json.dumps({**TUNED, "masks": 3}), "h.json: history: got other content"),
    (json.dumps({**TUNED, "updates": [{}]}), "h.json: history: got other content"),
    (json.dumps({"masks": [], "trials": [], "target": {}}), "h.json: history: got other content"),
    (json.dumps({**TUNED, "masks": [{"weight": "head.weight", "digest": "0123456789abcdef"}]}),
     "h.json: digest of the mask of 'head.weight': got 0123456789abcdef, expected ")])
def test_history_of_something_else_is_refused(nets, tmp_path, content, message):
    folder, _, _ = nets
    if content is not None:
        (tmp_path / "h.json").write_text(content)
    result = cli("evaluate", folder / "pruned.mlirbc", f"--baseline={folder}/base.mlirbc", f"--data={folder}/xy.npz",
                 "--runs=1", f"--history={tmp_path}/h.json")
    assert result.returncode == 1 and message in result.stderr and result.stderr.count("\n") == 1, result.stderr


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order; collects what is loaded and the text."""

    VOID = {"meta", "img", "br", "rect", "path"}

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded, self.words = [], [], []
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        self.loaded += [v for k, v in attributes if k in ("src", "href", "xlink:href")]
        assert tag not in ("script", "link", "iframe")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID and not (tag in ("li", "p") and tag not in self.open):
            while self.open and self.open[-1] == "li" and tag == "ul":
                self.open.pop()
            assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_stands_alone_and_says_what_the_report_says(outcome):
    report, text, _ = outcome
    found = Page(text)
    assert found.loaded and all(v.startswith("data:image/png;base64,") for v in found.loaded)
    assert "http" not in text and "url(" not in text and "@media print" in text and "viewport" in text
    words = " ".join(found.words)
    for point in report["checklist"]:
        assert point["step"] in words and point["answer"] in words
    for layer in report["layers"]:
        assert not layer["prunable"] or layer["name"] in words
    assert f"{report['classification']['pruned']['accuracy']:.4f}" in words and words.count("calibration error") >= 2


def test_a_picture_is_a_png_of_the_share_that_is_kept():
    import base64
    import zlib
    kept = np.zeros((4, 6), bool)
    kept[0], kept[1, :3] = True, True
    data = base64.b64decode(page.picture(kept))
    assert data.startswith(b"\x89PNG") and data[16:24] == bytes([0, 0, 0, 6, 0, 0, 0, 4])
    begin = data.index(b"IDAT") + 4
    lines = np.frombuffer(zlib.decompress(data[begin:data.index(b"IEND") - 8]), np.uint8).reshape(4, 7)
    assert not lines[:, 0].any() and np.array_equal(lines[:, 1:], np.where(kept, 0, 255))


def test_milliseconds_have_three_digits_or_all():
    from prune.console import milliseconds
    assert [milliseconds(v) for v in (0.12345, 9.876, 999.4, 999.6, 12345.6)] == ["0.123 ms", "9.88 ms", "999 ms", "1,000 ms", "12,346 ms"]


def test_names_in_pictures_are_as_short_as_they_differ():
    names = ["encoder.layer.0.query.weight", "encoder.layer.1.query.weight", "encoder.layer.1.output.dense.weight"]
    assert markup.short_names(names) == ["0.query", "1.query", "1.output.dense"]
    assert markup.short_names(["a.weight", "b.bias"]) == ["a.weight", "b.bias"]
    assert markup.short_names(["weight", "x.weight"]) == ["weight", "x.weight"]
    assert markup.short_names(["fc.weight"]) == ["fc"] and markup.short_names([]) == []


def test_names_cannot_break_the_page(outcome):
    report = json.loads(json.dumps(outcome[0]))
    report["module"] = "<script>alert(1)</script>&.mlirbc"
    report["layers"][0]["name"] = report["layers"][0]["name"] + "<b>"
    text = page.page(report, {"<i>": Mask("4x1", np.ones((4, 4), bool))})
    assert "<script>" not in text and "<i>" not in text
    Page(text)


def test_a_planted_miscalibrated_model_is_flagged_and_the_gates_close(nets, tmp_path):
    folder, _, _ = nets
    common = ["evaluate", folder / "sure.mlirbc", f"--baseline={folder}/base.mlirbc", f"--data={folder}/xy.npz",
              "--runs=2"]
    result = cli(*common, f"--json={tmp_path}/r.json", "--max-drop=0", "--max-ece=0.1", "--min-speedup=1000")
    found = json.loads((tmp_path / "r.json").read_text())
    both = found["classification"]
    assert both["baseline"]["calibration"]["verdict"] == "calibrated"
    assert both["pruned"]["calibration"]["verdict"] == "overconfident"
    assert both["pruned"]["accuracy"] == both["baseline"]["accuracy"]
    # Temperature undoes what was planted, on examples that it was not fitted on.
    temperature = both["pruned"]["temperature"]
    assert temperature["value"] / both["baseline"]["temperature"]["value"] == pytest.approx(4, rel=0.02)
    assert temperature["ece_after"] < 0.6 * temperature["ece_before"]
    assert temperature["nll_after"] < temperature["nll_before"]
    point = next(p for p in found["checklist"] if p["step"] == "Calibration and confidence")
    assert point["status"] == "warning" and "overconfident" in point["answer"]
    assert result.returncode == 3
    assert [(g["option"], g["passed"]) for g in found["gates"]] == [("--max-drop", True), ("--max-ece", False),
                                                                    ("--min-speedup", False)]
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2 and lines[0].startswith("prune evaluate: --max-ece: calibration error: got 0.")
    assert lines[1].startswith("prune evaluate: --min-speedup: speed against the baseline: got ")
    assert lines[1].endswith(", expected at least 1000")
    assert cli(*common, "--max-drop=0").returncode == 0


def test_without_labels_outputs_are_vectors(nets, tmp_path):
    folder, x, _ = nets
    result = cli("evaluate", folder / "pruned.mlirbc", f"--baseline={folder}/base.mlirbc",
                     f"--data={folder}/x.npz", "--runs=2",
                     f"--json={tmp_path}/r.json", f"--html={tmp_path}/r.html", "--max-drop=0.0001")
    found = json.loads((tmp_path / "r.json").read_text())
    expected = metrics.similarity(run_onnx(folder / "base.onnx", x), run_onnx(pruned_onnx(folder, tmp_path), x))
    assert found["task"] == "embedding" and "classification" not in found
    assert abs(found["embedding"]["cosine"] - expected.cosine) < 1e-5
    assert found["embedding"]["neighbours"] == expected.neighbours
    assert result.returncode == 3 and "--max-drop: 1 - mean cosine: got 0." in result.stderr
    text = (tmp_path / "r.html").read_text()
    Page(text)
    assert f"<b class={'good' if expected.cosine >= 0.9 else 'bad'}>{expected.cosine:.3f}</b>" in text
    point = next(p for p in found["checklist"] if p["step"] == "Calibration and confidence")
    assert (point["status"], point["answer"]) == ("not measured", "because there are no labels")


def test_tokens_that_do_not_count_are_left_out():
    from prune.evaluate.job import pool
    vectors = np.arange(12.0).reshape(2, 3, 2)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    assert np.array_equal(pool(vectors, {"attention_mask": mask}), [[1, 2], [6, 7]])
    assert np.array_equal(pool(vectors, {}), vectors.mean(axis=1)) and np.array_equal(pool(vectors[0], {}), vectors[0])


def test_2_to_4_is_judged_by_the_zeros_that_are_there():
    weight = np.zeros((16, 32), np.float32)
    weight[:, ::2] = 1
    assert tensor_core(weight).status == "fast"
    weight[3, 5] = 1
    found = tensor_core(weight)
    assert found.status == "dense" and found.reason == "not 2:4: 3 nonzeros at row 3, columns 4 to 7"
    assert tensor_core(np.ones((8, 6), np.float32)).reason == "not 2:4: 4 nonzeros at row 0, columns 0 to 3"
    assert tensor_core(None).status == "no"


@pytest.mark.parametrize("arguments, message", [
    (["--data={x}", "--max-ece=0.1"], "--max-ece: labels: got none in "),
    (["--data={x}", "--labels={x}"], "x.npz: labels: got float32[400, 24], expected a whole number for each example"),
    (["--data={xy}", "--output=z"], "--output: outputs: got "),
    (["--data={xy}", "--top-k=0"], "--top-k: range: got 0, expected 1 or more"),
    (["--data={xy}", "--max-ece=2"], "--max-ece: range: got 2, expected 0 to 1"),
    (["--data={xy}", "--targets=znver3"], "--targets: list: got znver3, expected host first"),
    (["--data={xy}", "--html=/nowhere/x.html"], "--html: output: got '/nowhere/x.html'"),
    (["--data={xy}", "--baseline=none.mlirbc"], "none.mlirbc: input file: got no such file"),
    (["--data={bad}"], "bad.npz: labels: got 6 at [0], expected 0 to 5"),
    (["--data={short}"], "short.npz: labels: got 2 for 400 examples, expected one for each example"),
    (["--data={missing}"], "missing.npz: array: got no 'x' among 'z'"),
])
def test_wrong_input_is_one_line(nets, tmp_path, arguments, message):
    folder, x, labels = nets
    files = {n: folder / f"{n}.npz" for n in ("x", "xy")}
    for name, arrays in (("bad", {"x": x, "labels": np.full_like(labels, 6)}),
                         ("short", {"x": x, "labels": labels[:2]}),
                         ("missing", {"z": x})):
        files[name] = tmp_path / f"{name}.npz"
        np.savez(files[name], **arrays)
    result = cli("evaluate", folder / "base.mlirbc", f"--baseline={folder}/base.mlirbc", "--runs=1",
                     *(a.format(**files) for a in arguments))
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and result.stderr.startswith("prune evaluate: ")
