"""Single layers for a GPU, compiled here into an archive that a machine with nothing but a driver can run."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from prune.bench import gpu_run, ours
from prune.bench.compare import scratch_folder
from prune.console import Steps
from prune.errors import PruneError

# Rows by columns: those of BERT-base, and two of language models.
SHAPES = ((768, 768), (3072, 768), (768, 3072), (4096, 4096), (11008, 4096))


@dataclass(frozen=True)
class Kind:
    """How a layer is compiled: precision, the storage asked for, the pattern of the mask, and what else is asked for."""

    precision: str
    kernel: str
    pattern: str | None = None
    options: str = ""

    @property
    def uses_library(self) -> bool:
        return "libraries=" in self.options

    @property
    def is_split(self) -> bool:
        return "column-splits=" in self.options


# By name; what follows a plus changes the code, not the layer.
KINDS = {
    "dense-f16": Kind("f16", "dense"), "dense-tf32": Kind("tf32", "dense"), "dense-f32": Kind("f32", "dense"),
    "2:4": Kind("f16", "two_of_four", "n_of_m<2, 4>"), "csr-95": Kind("f32", "csr", "unstructured"),
    "csr-98": Kind("f32", "csr", "unstructured"), "csr-99": Kind("f32", "csr", "unstructured"),
    "b16x16-90": Kind("f16", "block", "block<16, 16>"),
    "1:2-tf32": Kind("tf32", "two_of_four", "n_of_m<1, 2>"), "dense-i8": Kind("i8", "dense"),
    "2:4-i8": Kind("i8", "two_of_four", "n_of_m<2, 4>"),
    # Products behind a threshold that prunes so much of the activations.
    "gate-50": Kind("f32", "columns"), "gate-70": Kind("f32", "columns"), "gate-90": Kind("f32", "columns"),
    # Columns in so many parts; without a plus the cost model chooses.
    **{f"dense-f16+parts-{n}": Kind("f16", "dense", options=f"column-splits={n}") for n in (1, 2, 4, 8)},
    "dense-f16+cublas": Kind("f16", "dense", options="libraries=cublas"),
    "dense-f32+cublas": Kind("f32", "dense", options="libraries=cublas"),
    "csr-98+cusparse": Kind("f32", "csr", "unstructured", "libraries=cusparse"),
    "2:4+cusparselt": Kind("f16", "two_of_four", "n_of_m<2, 4>", "libraries=cusparselt"),
}
CHIPS = ("sm_80", "sm_86", "sm_89", "sm_90", "opencl")
# All of these for the square layer, and the two of COMMON for the others.
TOKENS = (1, 16, 128, 512, 2048, 8192)
COMMON = (128, 2048)
# Those of layers behind gates, and of layers in parts.
FEW = (1, 4, 16)
FEW_PARTS = (1, 16, 128)
MAX_ARCHIVE = 60 << 20


@dataclass
class Settings:
    """What to compile."""

    target: Path
    chip: str = "sm_90"
    shapes: Sequence[tuple[int, int]] = SHAPES
    kinds: Sequence[str] | None = None  # all that the chip has
    tokens: Sequence[int] | None = None
    timeout: float = 900.0


def cases(settings: Settings) -> Iterator[dict]:
    """What cases.json holds of each layer. A library that fails may spoil the device's context: its layers come last."""
    kinds = settings.kinds or [name for name, kind in KINDS.items() if settings.chip != "opencl" or not kind.uses_library]
    for by_library in (False, True):
        for n, k in settings.shapes:
            for name in (name for name in kinds if KINDS[name].uses_library == by_library):
                kind = KINDS[name]
                usual = (FEW if gpu_run.threshold_of(name) is not None else FEW_PARTS if kind.is_split
                         else TOKENS if (n, k) == (4096, 4096) else COMMON)
                for m in settings.tokens or usual:
                    yield {"name": re.sub(r"\W", "_", f"layer_{name}_{n}x{k}_{m}"), "kind": name, "precision": kind.precision,
                           "n": n, "k": k, "m": m, "input": "float16" if kind.precision == "f16" else "float32"}


def layer_module(case: dict) -> str:
    """The layer on tensors; its mask stands beside the weight. What comes as f16 is multiplied as it is and leaves as f16."""
    n, k, m, pattern = case["n"], case["k"], case["m"], KINDS[case["kind"]].pattern
    weight, mask = gpu_run.weight_and_mask(n, k, case["kind"])
    resources = [f'layer.weight: "0x04000000{weight.tobytes().hex()}"']
    element = "f16" if case["input"] == "float16" else "f32"
    lines = ["  %w = arith.constant dense_resource<layer.weight> : tensor<{n}x{k}xf32>"]
    used = "%w"
    if pattern:
        resources.append(f'layer.mask: "0x01000000{mask.tobytes().hex()}"')
        lines.append("  %mask = arith.constant dense_resource<layer.mask> : tensor<{n}x{k}xi1>")
        lines.append(f'  %masked = prune.apply %w, %mask as(#prune.{pattern}) name("layer.weight") : tensor<{{n}}x{{k}}xf32>')
        used = "%masked"
    x = "%x"
    if element == "f16":
        lines.append("  %wide = arith.extf %x : tensor<{m}x{k}xf16> to tensor<{m}x{k}xf32>")
        x = "%wide"
    threshold = gpu_run.threshold_of(case["kind"])
    if threshold is not None:
        lines.append(f"  %gate = prune.dynamic_mask %x along 1 threshold({threshold}) sparsity({threshold}) : tensor<{{m}}x{{k}}xf32>")
        lines.append("  %gated = prune.gate %x, %gate : tensor<{m}x{k}xf32>")
        x = "%gated"
    body = "\n".join(lines).format(n=n, k=k, m=m)
    narrow, y = "", "%y"
    if element == "f16":
        narrow, y = f"\n  %narrow = arith.truncf %y : tensor<{m}x{n}xf32> to tensor<{m}x{n}xf16>", "%narrow"
    return f"""
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @main(%x: tensor<{m}x{k}x{element}> {{prune.name = "x"}}) -> (tensor<{m}x{n}x{element}> {{prune.name = "y"}}) {{
{body}
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{m}x{n}xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  %y = linalg.contract indexing_maps = [#x, #w, #y] ins({x}, {used} : tensor<{m}x{k}xf32>, tensor<{n}x{k}xf32>)
         outs(%fill : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>{narrow}
  return {y} : tensor<{m}x{n}x{element}>
}}
{{-# dialect_resources: {{ builtin: {{ {", ".join(resources)} }} }} #-}}
"""


def prepare(settings: Settings, steps: Steps) -> int:
    """Compiles all cases into the folder and packs it; 0, or an error if the archive is too large to be carried."""
    folder = settings.target
    folder.mkdir(parents=True, exist_ok=True)
    described, kept = list(cases(settings)), []
    with scratch_folder(folder) as scratch:
        for i, case in enumerate(described):
            with steps.step(f"compile {case['name']} ({i + 1} of {len(described)})"):
                source = Path(scratch) / "layer.mlir"
                source.write_text(layer_module(case))
                kind, report = KINDS[case["kind"]], Path(scratch) / "report.json"
                options = f"precision={kind.precision} kernel={kind.kernel} {kind.options} report='{report}'"
                ours.compile_library(source, folder / f"{case['name']}.so", 1, settings.timeout, options, settings.chip)
                # What was asked for may not be possible, as 2:4 with few tokens.
                case["choice"] = json.loads(report.read_text())["layers"][0]["choice"]
            if kind.uses_library and "; by " not in case["choice"]:
                print(f"{case['name']}: left out, since no library multiplies: {case['choice']}", file=sys.stderr)
            else:
                kept.append(case)
    (folder / "cases.json").write_text(json.dumps({"chip": settings.chip, "cases": kept}, indent=1))
    shutil.copyfile(gpu_run.__file__, folder / "run.py")
    archive = folder.with_name(folder.name + ".tar.xz")
    with steps.step(f"pack {archive}"):
        size = _pack(folder, archive, ["run.py", "cases.json", *_artifacts(folder, kept)])
    if size > MAX_ARCHIVE:
        raise PruneError(str(archive), "size", f"{size / 2**20:.1f} MiB",
                         f"at most {MAX_ARCHIVE >> 20} MiB; choose fewer --shapes, --weights or --tokens")
    print(f"{archive}: {len(kept)} layers for {settings.chip}, {size / 2**20:.1f} MiB; on the other machine: "
          f"tar xf {archive.name} && python3 {folder.name}/run.py")
    return 0


def _artifacts(folder: Path, described: Sequence[dict]) -> list[str]:
    names = [f"{case['name']}{suffix}" for case in described for suffix in (".so", ".weights")]
    return [name for name in names if (folder / name).exists()]


def _pack(folder: Path, archive: Path, names: Sequence[str]) -> int:
    """Files of equal content become links to the first of them."""
    known: dict[bytes, str] = {}
    with tarfile.open(archive, "w:xz", preset=1) as tar:
        for name in names:
            info = tarfile.TarInfo(f"{folder.name}/{name}")
            content = (folder / name).read_bytes()
            first = known.setdefault(hashlib.sha256(content).digest(), info.name)
            info.mode = 0o755 if name.endswith((".so", ".py")) else 0o644
            if first != info.name:
                info.type, info.linkname = tarfile.LNKTYPE, first
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return archive.stat().st_size
