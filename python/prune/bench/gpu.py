"""Single layers for a GPU, compiled here into an archive that a machine with nothing but a driver can run."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
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
# Kinds of weights by name: the precision, the storage asked for, and the pattern of the mask.
KINDS = {
    "dense-f16": ("f16", "dense", None), "dense-tf32": ("tf32", "dense", None), "dense-f32": ("f32", "dense", None),
    "2:4": ("f16", "two_of_four", "n_of_m<2, 4>"), "csr-95": ("f32", "csr", "unstructured"),
    "csr-98": ("f32", "csr", "unstructured"), "csr-99": ("f32", "csr", "unstructured"),
    "b16x16-90": ("f16", "block", "block<16, 16>"),
    # Products behind a threshold that prunes so much of the activations.
    "gate-50": ("f32", "columns", None), "gate-70": ("f32", "columns", None), "gate-90": ("f32", "columns", None),
}
CHIPS = ("sm_80", "sm_86", "sm_89", "sm_90", "opencl")
# All of these for the square layer, and the two of COMMON for the others.
TOKENS = (1, 16, 128, 512, 2048, 8192)
COMMON = (128, 2048)
# Those of layers behind gates.
FEW = (1, 4, 16)
MAX_ARCHIVE = 60 << 20


@dataclass
class Settings:
    """What to compile."""

    target: Path
    chip: str = "sm_90"
    shapes: Sequence[tuple[int, int]] = SHAPES
    kinds: Sequence[str] = tuple(KINDS)
    tokens: Sequence[int] | None = None
    timeout: float = 900.0


def cases(settings: Settings) -> Iterator[dict]:
    """What cases.json holds of each layer."""
    for n, k in settings.shapes:
        for kind in settings.kinds:
            precision = KINDS[kind][0]
            usual = FEW if gpu_run.threshold_of(kind) is not None else TOKENS if (n, k) == (4096, 4096) else COMMON
            for m in settings.tokens or usual:
                name = f"layer_{kind}_{n}x{k}_{m}".replace("-", "_").replace(":", "_")
                yield {"name": name, "kind": kind, "precision": precision, "n": n, "k": k, "m": m,
                       "input": "float16" if precision == "f16" else "float32"}


def layer_module(case: dict) -> str:
    """The layer on tensors; its mask stands beside the weight. What comes as f16 is multiplied as it is and leaves as f16."""
    n, k, m, pattern = case["n"], case["k"], case["m"], KINDS[case["kind"]][2]
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
    described = list(cases(settings))
    with scratch_folder(folder) as scratch:
        for i, case in enumerate(described):
            with steps.step(f"compile {case['name']} ({i + 1} of {len(described)})"):
                source = Path(scratch) / "layer.mlir"
                source.write_text(layer_module(case))
                precision, storage, _ = KINDS[case["kind"]]
                ours.compile_library(source, folder / f"{case['name']}.so", 1, settings.timeout,
                                     f"precision={precision} kernel={storage}", settings.chip)
    (folder / "cases.json").write_text(json.dumps({"chip": settings.chip, "cases": described}, indent=1))
    shutil.copyfile(gpu_run.__file__, folder / "run.py")
    archive = folder.with_name(folder.name + ".tar.xz")
    with steps.step(f"pack {archive}"):
        size = _pack(folder, archive, ["run.py", "cases.json", *_artifacts(folder, described)])
    if size > MAX_ARCHIVE:
        raise PruneError(str(archive), "size", f"{size / 2**20:.1f} MiB",
                         f"at most {MAX_ARCHIVE >> 20} MiB; choose fewer --shapes, --weights or --tokens")
    print(f"{archive}: {len(described)} layers for {settings.chip}, {size / 2**20:.1f} MiB; on the other machine: "
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
