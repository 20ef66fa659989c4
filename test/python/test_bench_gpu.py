"""prune-bench gpu: the archive that is made here, and its script where there is OpenCL, no driver, or a wrong result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from prune.bench import cli, gpu, gpu_run
from prune.console import Steps
from prune.errors import PruneError

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "build" / "opencl" / "lib"
KINDS = ("dense-f32", "csr-95", "2:4", "b16x16-90", "1:2-tf32", "2:4-i8", "gate-70", "dense-f16+parts-2")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Small layers for OpenCL, unpacked from their archive somewhere else."""
    folder = tmp_path_factory.mktemp("a bench")
    settings = gpu.Settings(folder / "layers", "opencl", [(48, 144)], KINDS, [5])
    assert gpu.prepare(settings, Steps("test")) == 0
    elsewhere = folder / "elsewhere"
    with tarfile.open(folder / "layers.tar.xz") as tar:
        tar.extractall(elsewhere)
    return elsewhere / "layers"


def run_script(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, folder / "run.py", *arguments], capture_output=True, text=True, cwd=folder,
                          timeout=300, env={**os.environ, **environment})


def test_masks_are_of_their_kind_and_the_same_everywhere():
    for kind, least, most in (("2:4", 0.5, 0.5), ("csr-95", 0.04, 0.06), ("b16x16-90", 0.02, 0.2), ("dense-f16", 1, 1)):
        weight, mask = gpu_run.weight_and_mask(300, 520, kind)
        assert weight.shape == mask.shape == (300, 520) and least <= mask[:256, :512].mean() <= most
        assert (weight.astype(np.float16) == weight).all() and (weight != 0).all()
        assert (gpu_run.weight_and_mask(300, 520, kind)[0] == weight).all()
    mask = gpu_run.weight_and_mask(256, 256, "2:4")[1]
    assert (mask.reshape(256, 64, 4).sum(-1) == 2).all()
    mask = gpu_run.weight_and_mask(256, 256, "b16x16-90")[1]
    assert (mask.reshape(16, 16, 16, 16).mean((1, 3)) % 1 == 0).all()


def test_archive_holds_a_script_and_each_layer_once(archive):
    described = json.loads((archive / "cases.json").read_text())
    assert described["chip"] == "opencl" and [case["kind"] for case in described["cases"]] == list(KINDS)
    for case in described["cases"]:
        assert (archive / f"{case['name']}.so").exists() and (archive / f"{case['name']}.weights").exists()


@pytest.mark.skipif(not (RUNTIME / "libintelocl.so").exists(), reason="no OpenCL runtime in build/opencl")
def test_results_are_right_before_anything_is_timed(archive, tmp_path):
    opencl = {"OCL_ICD_FILENAMES": str(RUNTIME / "libintelocl.so"), "LD_LIBRARY_PATH": str(RUNTIME),
              "CL_CONFIG_CPU_VECTORIZER_MODE": "1"}  # as in lit.cfg.py
    done = run_script(archive, f"--json={tmp_path / 'r.json'}", "--rounds=1", "--no-peers", **opencl)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert [row["kind"] for row in result["rows"]] == list(KINDS) and not result["failed"] and not result["left"]
    assert all(row["right"] and row["ms"]["prune"] > 0 for row in result["rows"])
    # Other weights than those that were compiled must be noticed.
    script = archive / "wrong.py"
    script.write_text((archive / "run.py").read_text().replace("random.randint(1, 64", "random.randint(2, 64"))
    done = subprocess.run([sys.executable, script, "--json=/dev/null", "--rounds=1", "--no-peers", "--only=dense"], text=True,
                          capture_output=True, timeout=300, env={**os.environ, **opencl})
    assert done.returncode == 2 and "WRONG" in done.stdout


def test_a_machine_without_a_driver_hears_so_in_one_line(archive):
    cases = archive / "cases.json"
    kept = cases.read_text()
    cases.write_text(kept.replace('"opencl"', '"sm_90"'))
    done = run_script(archive)
    cases.write_text(kept)
    assert done.returncode == 1 and done.stderr == "run.py: no CUDA driver: libcuda.so.1 cannot be loaded\n"


def test_an_archive_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "MAX_ARCHIVE", 1000)
    with pytest.raises(PruneError, match="choose fewer"):
        gpu.prepare(gpu.Settings(tmp_path / "layers", "opencl", [(16, 16)], ["dense-f32"], [1]), Steps("test"))


def test_layers_by_libraries_multiply_as_they_should_and_others_are_left_out(tmp_path, capsys):
    def prepare(chip, tokens, kinds):
        folder = tmp_path / chip
        assert gpu.prepare(gpu.Settings(folder, chip=chip, shapes=[(32, 64)], tokens=tokens, kinds=kinds), Steps("test")) == 0
        described = json.loads((folder / "cases.json").read_text())["cases"]
        return [case["choice"].rpartition("; by ")[2] for case in described]
    # On this chip 2:4 pays from 1024 tokens on.
    assert prepare("sm_80", [16], ["dense-f16+cublas", "2:4+cusparselt"]) == ["cublas"]
    assert "layer_2_4_cusparselt_32x64_16: left out, since no library multiplies" in capsys.readouterr().err
    libraries = prepare("sm_90", [16, 1024], ["dense-f16+cublas", "csr-98+cusparse", "2:4+cusparselt"])
    assert libraries == 2 * ["cublas"] + 2 * ["cusparse"] + 2 * ["cusparselt"]
    fake = tmp_path / "fake"
    fake.mkdir()
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", ROOT / "test/Integration/GPU/Inputs/fake-cuda.c", "-o",
                    fake / "libcuda.so.1"], check=True)
    for name in ("libcublas.so.13", "libcusparse.so.12", "libcusparseLt.so.0"):
        (fake / name).symlink_to("libcuda.so.1")
    done = run_script(tmp_path / "sm_90", "--json=r.json", "--rounds=1", "--no-peers", LD_LIBRARY_PATH=str(fake))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "launch" not in done.stdout  # results come from the libraries as they are
    assert all(row["right"] for row in json.loads((tmp_path / "sm_90" / "r.json").read_text())["rows"])


def test_libraries_come_last_and_need_a_chip_of_nvidia():
    kinds = [case["kind"] for case in gpu.cases(gpu.Settings(Path("unused"), tokens=[16]))]
    first = next(i for i, kind in enumerate(kinds) if gpu.KINDS[kind].uses_library)
    assert 0 < first < len(kinds) and all(gpu.KINDS[kind].uses_library for kind in kinds[first:])
    assert not any(gpu.KINDS[case["kind"]].uses_library for case in gpu.cases(gpu.Settings(Path("unused"), "opencl")))


def test_layers_behind_gates_have_few_tokens_and_one_weight():
    settings = gpu.Settings(Path("unused"), shapes=[(4096, 4096), (768, 768)], kinds=["gate-50", "gate-90"])
    assert [case["m"] for case in gpu.cases(settings)] == 4 * [1, 4, 16]
    weights = [gpu_run.weight_and_mask(256, 256, kind)[0] for kind in ("gate-50", "gate-90")]
    assert (weights[0] == weights[1]).all()


def test_options_are_checked(capsys):
    for arguments, message in ((["--prepare=x", "--chip=sm_70"], "invalid choice: 'sm_70'"),
                               (["--prepare=x", "--shapes=12"], "expected shapes like 768x3072, got '12'"),
                               (["--prepare=x", "--weights=csr-90"], "got 'csr-90'"), ([], "--prepare")):
        with pytest.raises(SystemExit):
            cli.main(["gpu", *arguments])
        assert message in capsys.readouterr().err
