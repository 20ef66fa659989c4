"""Masks that change while a model is trained: schedules, the functions that are made, ways to train, against NumPy."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import interpret
from prune.train import data
from prune.train.loop import LoopOptions, train
from prune.train.runner import Tensor, compile_functions
from test_training_forms import Training

SIZES = (6, 10, 12, 3)
LAYERS = ("fc1", "fc2", "fc3")
MASKED = tuple(f"{n}.weight" for n in LAYERS)
BATCH = 8


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    result = {}
    for name, fan_in, fan_out in zip(LAYERS, SIZES, SIZES[1:]):
        result[f"{name}.weight"] = (random.standard_normal((fan_out, fan_in)) * fan_in ** -0.5).astype(np.float32)
        result[f"{name}.bias"] = (random.standard_normal(fan_out) * 0.1).astype(np.float32)
    return result


def model() -> str:
    """Three layers with rectifiers between them."""
    lines, x = [], "%x"
    for i, (name, fan_in, fan_out) in enumerate(zip(LAYERS, SIZES, SIZES[1:])):
        w, b, y = f"tensor<{fan_out}x{fan_in}xf32>", f"tensor<{fan_out}xf32>", f"tensor<{BATCH}x{fan_out}xf32>"
        relu = [f"    %t{i} = arith.maximumf %s{i}, %zero : f32"] if i < 2 else []
        lines += [f"  %w{i} = arith.constant dense_resource<{name}.weight> : {w}",
                  f"  %b{i} = arith.constant dense_resource<{name}.bias> : {b}",
                  f"  %e{i} = tensor.empty() : {y}",
                  f"  %z{i} = linalg.fill ins(%zero : f32) outs(%e{i} : {y}) -> {y}",
                  f"  %p{i} = linalg.contract indexing_maps = [#x, #w, #y] ins({x}, %w{i} : "
                  f"tensor<{BATCH}x{fan_in}xf32>, {w}) outs(%z{i} : {y}) -> {y}",
                  f"  %y{i} = linalg.generic {{indexing_maps = [#id, #row, #id], "
                  f"iterator_types = [\"parallel\", \"parallel\"]}} ins(%p{i}, %b{i} : {y}, {b}) outs(%e{i} : {y}) {{",
                  "  ^bb0(%a: f32, %c: f32, %o: f32):",
                  f"    %s{i} = arith.addf %a, %c : f32", *relu, f"    linalg.yield {'%t' if relu else '%s'}{i} : f32",
                  f"  }} -> {y}"]
        x = f"%y{i}"
    blobs = ",\n".join(f'{n}: "0x04000000{w.tobytes().hex().upper()}"' for n, w in weights().items())
    return "\n".join([
        "#x = affine_map<(m, n, k) -> (m, k)>", "#w = affine_map<(m, n, k) -> (n, k)>",
        "#y = affine_map<(m, n, k) -> (m, n)>", "#id = affine_map<(m, n) -> (m, n)>",
        "#row = affine_map<(m, n) -> (n)>",
        f'func.func @main(%x: tensor<{BATCH}x{SIZES[0]}xf32> {{prune.name = "x"}}) -> (tensor<{BATCH}x{SIZES[-1]}xf32> '
        '{prune.name = "logits"}) {', "  %zero = arith.constant 0.0 : f32", *lines,
        f"  return %y2 : tensor<{BATCH}x{SIZES[-1]}xf32>", "}",
        "{-# dialect_resources: { builtin: {", blobs, "} } #-}"])


def examples(count: int = 50) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    x = random.standard_normal((count, SIZES[0])).astype(np.float32)
    return {"x": x, "labels": np.argmax(x @ random.standard_normal((SIZES[0], 3)), axis=1)}


def opt(tools, source: str, *flags: str) -> str:
    result = subprocess.run([tools / "prune-opt", "-", *flags], input=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def build(tools, tmp_path_factory):
    """Compiles a training module once for each way it is made: flags before prune-train, and its options."""
    made = {}

    def run(before: tuple[str, ...], options: str, names=("init", "train_step", "update_masks", "schedule"), text=None):
        key = (before, options, names, text)
        if key not in made:
            folder = tmp_path_factory.mktemp("training")
            (folder / "m.mlir").write_text(opt(tools, text or model(), "--prune-normalize", *before,
                                               f"--prune-train={options}"))
            made[key] = compile_functions(folder / "m.mlir", names)
        return made[key]
    yield run
    for program in made.values():
        program.close()


def source(program, seed: int = 0) -> data.Arrays:
    return data.Arrays(examples(), program.feeds("train_step"), "x.npz", classes=3, seed=seed)


# Schedules

def expected_sparsity(kind, step, target, begin=0, end=0, every=100, initial=0.0, power=3.0, milestones=()):
    p = 1.0 if end == begin else np.clip((step - begin) / (end - begin), 0.0, 1.0)
    if kind == "polynomial":
        return target + (initial - target) * (1 - p) ** power
    if kind == "cosine":
        return target + (initial - target) * (1 + np.cos(np.pi * p)) / 2
    if kind == "exponential":
        return 1 - (1 - initial) ** (1 - p) * (1 - target) ** p
    if kind == "multi-step":
        return initial + (target - initial) * sum(m <= step for m in milestones) / len(milestones)
    if kind == "geometric":
        # By rounds, each of which prunes the same share of what is left.
        rounds = -(-(end - begin) // every)
        left = 1 - initial
        for _ in range(rounds if step >= end else max(0, step - begin) // every):
            left *= ((1 - target) / (1 - initial)) ** (1 / rounds)
        return 1 - left
    return target


SCHEDULES = [
    ("constant", {}), ("constant", {"begin": 3, "end": 17, "every": 5}),
    ("polynomial", {"begin": 2, "end": 30, "every": 7}),
    ("polynomial", {"begin": 0, "end": 12, "every": 1, "power": 1.5, "initial": 0.25}),
    ("exponential", {"begin": 5, "end": 25, "every": 4, "initial": 0.3}),
    ("cosine", {"begin": 1, "end": 20, "every": 3}),
    ("multi-step", {"begin": 4, "end": 20, "every": 4, "milestones": (8, 16, 20)}),
    ("geometric", {"begin": 2, "end": 22, "every": 6}), ("cosine", {"begin": 9, "end": 9}),
]


def spelled(kind, parameters) -> str:
    return ":".join([kind, *(f"{n}={list(v) if isinstance(v, tuple) else v}".replace(" ", "")
                             for n, v in parameters.items())])


@pytest.mark.parametrize("kind, parameters", SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_schedules_match_numpy(build, kind, parameters):
    program = build(("--prune-create-masks=sparsity=0.9",), f"schedule={spelled(kind, parameters)}", ("schedule",))
    begin, every = parameters.get("begin", 0), parameters.get("every", 100)
    end = parameters.get("end", begin)
    full = {**parameters, "end": end}
    for step in range(40):
        found = program.call("schedule", {"step": np.array(step)})
        assert bool(found["update"]) == (step == end or (begin <= step <= end and (step - begin) % every == 0)), step
        wanted = 0.0 if step < begin else 0.9 if step >= end else expected_sparsity(kind, step, 0.9, **full)
        assert found["sparsity"] == pytest.approx(wanted, abs=6e-8), step


# Masks decided at run time are those of the compiler

@pytest.mark.parametrize("create", [
    "sparsity=SPARSITY", "sparsity=SPARSITY scope=global pattern=4x1", "sparsity=SPARSITY layer-split=lamp",
    "sparsity=SPARSITY layer-split=l2 pattern=2x2 criterion=magnitude:l2", "sparsity=SPARSITY pattern=slice:1:2",
    "sparsity=SPARSITY criterion=random:3 min-keep=5", "threshold=0.3", "pattern=2:4",
])
def test_updates_decide_as_the_compiler_does(tools, build, tmp_path, create):
    program = build((f"--prune-create-masks={create.replace('SPARSITY', '0.8')}",),
                    "schedule=polynomial:begin=3:end=15:every=6")
    compared = []

    def check(step):
        if step not in (3, 9, 15):
            return
        values = {n: v.copy() for n, v in program.values.items()}
        np.savez(tmp_path / "w.npz", **{n: v for n, v in values.items() if n.startswith("param:")})
        sparsity = float(expected_sparsity("polynomial", step, 0.8, 3, 15))
        text = opt(tools, model(), "--prune-normalize",
                   f"--prune-create-masks={create.replace('SPARSITY', repr(sparsity))}",
                   f"--prune-load-weights=file={tmp_path}/w.npz", "--prune-evaluate-masks", "--mlir-print-op-generic")
        module = interpret.Module(text)
        wanted = {interpret.ir.StringAttr(op.attributes["name"]).value: module.value_of(op.operands[1])
                  for op in module.walk("prune.apply")}
        assert sorted(wanted) == sorted(MASKED)
        assert program.call("schedule")["update"]
        sparsity = float(program.call("update_masks")["sparsity"])
        pruned = sum(int((~m).sum()) for m in wanted.values())
        assert sparsity == pytest.approx(pruned / sum(m.size for m in wanted.values()), abs=6e-8)
        for name, mask in wanted.items():
            np.testing.assert_array_equal(program.values[f"mask:{name}"], mask, f"{name} before step {step}")
            for value in ("param:{}", "state:{}:m", "state:{}:v"):
                now, before = program.values[value.format(name)], values[value.format(name)]
                assert now.tobytes() == np.where(mask, before, np.float32(0)).tobytes()
        compared.append(step)
        program.load(values, "test")

    train(program, source(program), LoopOptions(steps=15), after_step=check)
    assert compared == [3, 9, 15]


def test_decided_masks_stay_and_count(tools, build):
    """One layer is decided before training, the others in it."""
    program = build(("--prune-create-masks=sparsity=0.5 include=fc2", "--prune-evaluate-masks",
                     "--prune-create-masks=sparsity=0.75 exclude=fc2"), "")
    program.call("init")
    before = program.values["mask:fc2.weight"].copy()
    assert before.sum() == 60 and program.values["mask:fc1.weight"].all()
    assert [t.name for t in program.functions["update_masks"].outputs if t.name.startswith("mask:")] == [
        t.name for t in program.functions["init"].outputs if t.name in ("mask:fc1.weight", "mask:fc3.weight")]
    total = 60 + 120 + 36
    assert program.call("schedule") == {"update": True, "sparsity": pytest.approx((60 + 0.75 * 96) / total, abs=6e-8)}
    assert program.call("update_masks")["sparsity"] == pytest.approx((60 + 45 + 27) / total, abs=6e-8)
    assert np.array_equal(program.values["mask:fc2.weight"], before)


# Ways to train

class Reference:
    """The same training in float64: momentum and weight decay, masks by `decide`."""

    RATE, MOMENTUM, DECAY = 0.1, 0.9, 0.01
    OPTIONS = "optimizer=sgd lr=0.1 momentum=0.9 weight-decay=0.01"

    def __init__(self, masks=None, straight_through=False, rate=1.0, penalty=0.0):
        self.w = {n: v.astype(np.float64) for n, v in weights().items()}
        self.m = {n: np.zeros_like(v) for n, v in self.w.items()}
        self.masks = masks or {n: np.ones(self.w[n].shape, bool) for n in MASKED}
        self.scores = {n: np.zeros(self.w[n].shape) for n in MASKED}
        self.straight_through = straight_through
        self.rate, self.penalty = rate, penalty
        self.apply()

    def apply(self):
        for name, mask in self.masks.items():
            if not self.straight_through:
                self.w[name], self.m[name] = np.where(mask, self.w[name], 0), np.where(mask, self.m[name], 0)

    def gradients(self, batch):
        masked = {n: np.where(self.masks[n], v, 0) if n in self.masks else v for n, v in self.w.items()}
        x, inputs = batch["x"].astype(np.float64), []
        for name in LAYERS:
            inputs.append(x)
            x = x @ masked[f"{name}.weight"].T + masked[f"{name}.bias"]
            x = np.maximum(x, 0) if name != "fc3" else x
        g = np.exp(x - x.max(1, keepdims=True))
        g /= g.sum(1, keepdims=True)
        g[np.arange(BATCH), batch["labels"]] -= 1
        g /= BATCH
        result = {}
        for i in (2, 1, 0):
            result[f"{LAYERS[i]}.weight"], result[f"{LAYERS[i]}.bias"] = g.T @ inputs[i], g.sum(0)
            g = (g @ masked[f"{LAYERS[i]}.weight"]) * (inputs[i] > 0)
        return result

    def step(self, batch):
        for name, g in self.gradients(batch).items():
            if name in self.scores:
                # The penalty is the derivative of that many times the sum of all sigmoids.
                sigmoid = 1 / (1 + np.exp(-self.scores[name]))
                self.scores[name] -= self.rate * (g * self.w[name] + self.penalty * sigmoid * (1 - sigmoid))
            self.m[name] = self.MOMENTUM * self.m[name] + g + self.DECAY * self.w[name]
            self.w[name] = self.w[name] - self.RATE * self.m[name]
        self.apply()

    def keep_best(self, scores, sparsity):
        for name in MASKED:
            order = np.argsort(-scores[name].ravel(), kind="stable")
            mask = np.zeros(order.size, bool)
            mask[order[:order.size - int(np.round(sparsity * order.size))]] = True
            self.masks[name] = mask.reshape(scores[name].shape)
        self.apply()

    def regrow(self, batch, share):
        gradients = self.gradients(batch)
        for name in MASKED:
            kept = np.flatnonzero(self.masks[name])
            count = int(np.round(share * len(kept)))
            order = kept[np.argsort(-np.abs(self.w[name].ravel()[kept]), kind="stable")]
            mask = np.zeros(self.masks[name].size, bool)
            mask[order[:len(kept) - count]] = True
            others = np.flatnonzero(~mask)
            mask[others[np.argsort(-np.abs(gradients[name].ravel()[others]), kind="stable")][:count]] = True
            assert mask.sum() == len(kept)
            self.masks[name] = mask.reshape(self.masks[name].shape)
        self.apply()


def follow(program, reference, update, steps):
    """Trains both and compares after each step; `update(step, batch)` changes the masks of the reference."""
    arrays = source(program)

    def check(step):
        batch = arrays.batch(step - 1)
        update(step - 1, batch)
        reference.step(batch)
        for name, value in reference.w.items():
            if name in reference.masks:
                np.testing.assert_array_equal(program.values[f"mask:{name}"], reference.masks[name], f"{name} {step}")
            np.testing.assert_allclose(program.values[f"param:{name}"], value, atol=1e-6, err_msg=f"{name} {step}")

    return train(program, arrays, LoopOptions(steps=steps), after_step=check)


def updates(step: int) -> bool:
    return step in (4, 8, 12, 16, 20)


POLYNOMIAL = "schedule=polynomial:begin=4:end=20:every=4"


@pytest.mark.parametrize("straight_through", [False, True], ids=["masked", "straight-through"])
def test_magnitude_matches_numpy(build, straight_through):
    program = build(("--prune-create-masks=sparsity=0.8",), f"{Reference.OPTIONS} {POLYNOMIAL}"
                    + (" update=straight-through" if straight_through else ""))
    reference = Reference(straight_through=straight_through)

    def update(step, batch):
        if updates(step):
            reference.keep_best({n: np.abs(reference.w[n]) for n in MASKED},
                                expected_sparsity("polynomial", step, 0.8, 4, 20))

    result = follow(program, reference, update, 26)
    assert result.sparsity == pytest.approx((48 + 96 + 29) / 216)
    # What is pruned goes on training, or is +0.0.
    for name in MASKED:
        pruned = program.values[f"param:{name}"][~reference.masks[name]]
        assert np.count_nonzero(pruned) == (pruned.size if straight_through else 0)


@pytest.mark.parametrize("target", ["sparsity=0.8", "threshold=0.001"])
def test_movement_matches_numpy(build, target):
    program = build((f"--prune-create-masks={target} criterion=movement",),
                    f"{Reference.OPTIONS} {POLYNOMIAL} update=straight-through")
    reference = Reference(straight_through=True)

    def update(step, batch):
        if updates(step) and target == "threshold=0.001":
            reference.masks = {n: reference.scores[n] > 0.001 for n in MASKED}
        elif updates(step):
            reference.keep_best(reference.scores, expected_sparsity("polynomial", step, 0.8, 4, 20))

    follow(program, reference, update, 26)
    for name in MASKED:
        np.testing.assert_allclose(program.values[f"state:{name}:score"], reference.scores[name], atol=1e-6)
        assert 0 < reference.masks[name].sum() < reference.masks[name].size


@pytest.mark.parametrize("penalty", [0, 2e-4])
def test_soft_movement_matches_numpy(build, penalty):
    """The sigmoid of a score above the threshold keeps; the penalty draws all scores down."""
    rate, threshold = 0.5, 0.49996
    program = build((f"--prune-create-masks=threshold={threshold} criterion=soft-movement:{rate}:{penalty}",),
                    f"{Reference.OPTIONS} schedule=constant:begin=4:end=20:every=4 update=straight-through")
    reference = Reference(straight_through=True, rate=rate, penalty=penalty)

    def update(step, batch):
        if updates(step):
            reference.masks = {n: 1 / (1 + np.exp(-reference.scores[n])) > threshold for n in MASKED}

    follow(program, reference, update, 26)
    for name in MASKED:
        np.testing.assert_allclose(program.values[f"state:{name}:score"], reference.scores[name], atol=1e-6)
        assert 0 < reference.masks[name].sum() < reference.masks[name].size


def test_rigl_matches_numpy(build):
    """From random masks whose densities are those of ERK."""
    program = build(("--prune-create-masks=sparsity=0.8 criterion=random layer-split=erk", "--prune-evaluate-masks"),
                    f"{Reference.OPTIONS} schedule=constant:begin=4:end=20:every=4 regrow=0.5")
    assert [t.name for t in program.feeds("update_masks")] == ["x", "labels"]
    program.call("init")
    first = {n: program.values[f"mask:{n}"].copy() for n in MASKED}
    # Sparsity is known before the first update.
    kept = sum(int(m.sum()) for m in first.values())
    assert train(program, source(program), LoopOptions(steps=2)).sparsity == pytest.approx(1 - kept / 216)
    reference = Reference(masks={n: m.copy() for n, m in first.items()})

    def update(step, batch):
        if updates(step):
            reference.regrow(batch, 0.25 * (1 + np.cos(np.pi * step / 20)))

    follow(program, reference, update, 24)
    assert any((first[n] != reference.masks[n]).any() for n in MASKED)
    assert all(first[n].sum() == program.values[f"mask:{n}"].sum() for n in MASKED)


@pytest.mark.parametrize("before, options", [
    (("--prune-create-masks=sparsity=0.9 layer-split=lamp",),
     f"{Reference.OPTIONS} nesterov schedule=cosine:begin=100:end=900:every=50"),
    (("--prune-create-masks=sparsity=0.6 pattern=2:4",),
     "optimizer=adamw lr=0.01 weight-decay=0.1 clip-norm=1 schedule=geometric:begin=100:end=900:every=50"),
    (("--prune-create-masks=sparsity=0.8 criterion=random", "--prune-evaluate-masks"),
     "optimizer=adam lr=0.01 weight-decay=0.1 schedule=constant:begin=50:end=900:every=50 regrow=0.3"),
], ids=["lamp", "2:4", "rigl"])
def test_pruned_weights_and_their_states_stay_zero(build, before, options):
    """+0.0 exactly, no bit set, after every step of a thousand."""
    program = build(before, options)
    kept, checked = [], 0

    def check(step):
        nonlocal checked
        for name in MASKED:
            pruned = ~program.values[f"mask:{name}"]
            for value, array in program.values.items():
                if value == f"param:{name}" or value.startswith(f"state:{name}:"):
                    assert not array[pruned].view(np.uint32).any(), f"{value} after step {step}"
                    checked += 1
        kept.append(sum(int(program.values[f"mask:{n}"].sum()) for n in MASKED))

    result = train(program, source(program), LoopOptions(steps=1000), after_step=check)
    assert np.isfinite(result.loss) and len(kept) == 1000 and checked >= 6000
    assert len(set(kept)) == 1 if "regrow" in options else kept[0] == 216 and kept == sorted(kept, reverse=True)
    assert result.sparsity == pytest.approx(1 - kept[-1] / 216)


def test_resumed_runs_are_bit_equal(build, tmp_path):
    """Also where the run stopped at a step before which masks are decided, and decided again would differ."""
    for number, (before, options) in enumerate([
            (("--prune-create-masks=sparsity=0.8 layer-split=l2 pattern=2x2",), POLYNOMIAL),
            (("--prune-create-masks=sparsity=0.8 criterion=random", "--prune-evaluate-masks"),
             "schedule=constant:begin=4:end=24:every=4 regrow=0.5"),
            (("--prune-create-masks=sparsity=0.8 criterion=movement",), f"{POLYNOMIAL} update=straight-through")]):
        program = build(before, options)
        whole = train(program, source(program), LoopOptions(steps=20))
        expected = {n: v.tobytes() for n, v in program.values.items()}
        for stop in (0, 4, 7, 20):
            path = tmp_path / f"{number}.{stop}.npz"
            train(program, source(program), LoopOptions(steps=stop, checkpoint=path))
            result = train(program, source(program), LoopOptions(steps=20, checkpoint=path, resume=True))
            assert result.begin == stop and result.sparsity == whole.sparsity
            assert {n: v.tobytes() for n, v in program.values.items()} == expected, f"{options} from {stop}"


def test_masked_training_equals_training_what_is_left(tools):
    """Neurons pruned by masks on all their weights, and the same network without them; both evaluated in float64."""
    left = {}
    for shrink in ("false", "true"):
        text = opt(tools, model(), "--prune-normalize", f"--prune-structured=ratio=0.4 include=fc1 shrink={shrink}")
        training = Training(tools, Reference.OPTIONS, text)
        values, batches = training.first, data.Arrays(examples(), [Tensor("x", np.dtype("f8"), (BATCH, SIZES[0])),
                                                                   Tensor("labels", np.dtype("i8"), (BATCH,))], "x")
        for step in range(25):
            values = {**values, **training.step(**values, **batches.batch(step))}
        left[shrink] = values
    compared = 0
    for name, small in left["true"].items():
        if not name.startswith(("param:", "state:")):
            continue
        large = left["false"][name]
        mask = left["false"].get("mask:" + name.split(":")[1])
        kept = large if mask is None else large[mask.astype(bool)].reshape(small.shape)
        np.testing.assert_allclose(kept, small, rtol=1e-9, atol=1e-12, err_msg=name)
        compared += kept.size < large.size
    assert compared >= 6


def test_the_command_trains_and_the_model_takes_what_it_wrote(tools, tmp_path, run_cli):
    """Straight-through, so that what is written has zeros that training did not make; interrupted and gone on with."""
    masks = "--prune-create-masks=sparsity=0.75 layer-split=lamp"
    (tmp_path / "m.mlir").write_text(opt(tools, model(), "--prune-normalize", masks,
                                         f"--prune-train={POLYNOMIAL} update=straight-through"))
    np.savez(tmp_path / "x.npz", **examples())
    common = ["train", tmp_path / "m.mlir", f"--data={tmp_path}/x.npz", f"--checkpoint={tmp_path}/c.npz"]
    whole = run_cli(*common, f"--test={tmp_path}/x.npz", "--epochs=5", "-o", tmp_path / "whole.npz")
    assert whole.returncode == 0 and "sparsity 0.75" in whole.stdout, whole.stderr
    for arguments in (["--epochs=2.5"], ["--epochs=5", "--resume"]):
        assert run_cli(*common, *arguments, "-o", tmp_path / "rest.npz").returncode == 0
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "rest.npz") as two:
        assert all(one[n].tobytes() == two[n].tobytes() for n in one.files)
        for name in MASKED:
            assert not one[f"param:{name}"][~one[f"mask:{name}"]].view(np.uint32).any()
            assert one[f"param:{name}"][one[f"mask:{name}"]].all()
    loaded = opt(tools, model(), "--prune-normalize", masks, f"--prune-load-weights=file={tmp_path}/whole.npz",
                 "--prune-verify-masks")
    assert loaded.count("prune.record") == 3 and "prune.mask" not in loaded
