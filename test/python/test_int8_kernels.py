"""Products of int8 against the integers of NumPy, bit for bit: in f32 and on words of two and four columns, layouts, formats,
ragged shapes, registers, threads, for the machine as it is and as if it had no VNNI. Code for VNNI of other processors is checked
as it is disassembled."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest

from prune.train.runner import Function

OBJDUMP = shutil.which("llvm-objdump-22") or "/usr/lib/llvm-22/bin/llvm-objdump"
# Shape of the activations, columns marked 0, and its loops.
LAYOUTS = {
    "panels": ([2, 64, 0], "b, m, {}"),
    "one_token": ([1, 0], "m, {}"),
    "three_tokens": ([3, 0], "m, {}"),
    "ragged": ([2, 45, 0], "b, m, {}"),
    "pixels": ([2, 0, 6, 7], "b, {}, h, w"),
    **{f"{tokens}_tokens": ([tokens, 0], "m, {}") for tokens in (4, 8, 16, 17)},
}
WITHOUT_VNNI = "features=-avx512vnni,-avxvnni"
LAYER = """
  %w{i} = arith.constant dense_resource<w{i}> : tensor<{weight}xi8>
  %m{i} = arith.constant dense_resource<m{i}> : tensor<{weight}xi1>
  %p{i} = prune.apply %w{i}, %m{i} as(#prune.{pattern}) name("w{i}") allow_empty : tensor<{weight}xi8>
  %e{i} = tensor.empty() : tensor<{y}xi32>
  %z{i} = linalg.fill ins(%zero : i32) outs(%e{i} : tensor<{y}xi32>) -> tensor<{y}xi32>
  %s{i} = linalg.generic {{indexing_maps = [affine_map<({loops}, n, k) -> ({x_map})>, affine_map<({loops}, n, k) -> (n, k)>,
                                           affine_map<({loops}, n, k) -> ({y_map})>],
                          iterator_types = [{kinds}, "parallel", "reduction"]}}
      ins(%x{i}, %p{i} : tensor<{x}xi8>, tensor<{weight}xi8>) outs(%z{i} : tensor<{y}xi32>) {{
  ^bb0(%a: i8, %b: i8, %sum: i32):
    %0 = arith.extui %a : i8 to i32
    %1 = arith.extsi %b : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %sum, %2 : i32
    linalg.yield %3 : i32
  }} -> tensor<{y}xi32>
"""
# Sums that become f32, are scaled, and end as i8 for the next layer, which cannot hold the sums of the chunks.
NARROW = """  %n{i} = tensor.empty() : tensor<{y}xi8>
  %r{i} = linalg.generic {{indexing_maps = [affine_map<({loops}, n) -> ({y_map})>, affine_map<({loops}, n) -> ({y_map})>],
                          iterator_types = [{kinds}, "parallel"]}} ins(%s{i} : tensor<{y}xi32>) outs(%n{i} : tensor<{y}xi8>) {{
  ^bb0(%sum: i32, %out: i8):
    %f = arith.sitofp %sum : i32 to f32
    %c = arith.constant 0.125 : f32
    %g = arith.mulf %f, %c : f32
    %i = arith.fptosi %g : f32 to i32
    %t = arith.trunci %i : i32 to i8
    linalg.yield %t : i8
  }} -> tensor<{y}xi8>
"""
# Half the sums and another tensor: exact in f32, whether it is fused or not.
RESIDUAL = """  %n{i} = tensor.empty() : tensor<{y}xf32>
  %r{i} = linalg.generic {{indexing_maps = [affine_map<({loops}, n) -> ({y_map})>, affine_map<({loops}, n) -> ({y_map})>,
                                           affine_map<({loops}, n) -> ({y_map})>],
                          iterator_types = [{kinds}, "parallel"]}} ins(%s{i}, %t{i} : tensor<{y}xi32>, tensor<{y}xf32>)
      outs(%n{i} : tensor<{y}xf32>) {{
  ^bb0(%sum: i32, %other: f32, %out: f32):
    %f = arith.sitofp %sum : i32 to f32
    %c = arith.constant 0.5 : f32
    %g = arith.mulf %f, %c : f32
    %h = arith.addf %g, %other : f32
    linalg.yield %h : f32
  }} -> tensor<{y}xf32>
"""
TAILS = {"": ("", "s", "i32"), "narrow": (NARROW, "r", "i8"), "residual": (RESIDUAL, "r", "f32")}


@dataclass
class Layer:
    """A product; extreme values are frequent, so that what saturates anywhere is found."""

    layout: str
    rows: int
    columns: int
    kind: str
    tail: str = ""

    def __post_init__(self):
        n, k = self.rows, self.columns
        random = np.random.default_rng(n + k)
        self.weight = random.choice(np.array([-128, -127, 127, 5, -3], np.int8), (n, k))
        self.x = random.choice(np.array([0, 255, 254, 128, 7], np.uint8), [s or k for s in LAYOUTS[self.layout][0]])
        self.other = random.integers(-99, 99, [s or n for s in LAYOUTS[self.layout][0]]).astype(np.float32)
        self.pattern = {"blocks": "block<4, 1>", "quads": "block<1, 4>", "squares": "block<4, 4>", "2:4": "n_of_m<2, 4>"}.get(
            self.kind, "unstructured")
        if self.kind == "blocks":
            mask = np.repeat(random.random((n // 4, k)) < 0.3, 4, axis=0)
        elif self.kind == "squares":
            mask = np.kron(random.random((n // 4, k // 4)) < 0.3, np.ones((4, 4), bool))
        elif self.kind == "2:4":
            mask = np.argsort(random.random((n, k // 4, 4)), axis=2).reshape(n, k) < 2
        elif self.kind == "quads":
            mask = np.repeat(random.random((n, -(-k // 4))) < 0.3, 4, axis=1)[:, :k]
        elif self.kind == "all":
            mask = np.ones((n, k), bool)
            mask[-1, -1] = False  # one that keeps everything folds away
        else:
            mask = random.random((n, k)) < 0.15
            mask[1], mask[2] = False, True
        self.mask = np.ascontiguousarray(mask)

    def expected(self) -> np.ndarray:
        at = LAYOUTS[self.layout][0].index(0)
        masked = (self.weight * self.mask).astype(np.int32)
        sums = np.moveaxis(np.tensordot(masked, self.x.astype(np.int32), axes=(1, at)), 0, at)
        if self.tail == "narrow":
            return np.trunc(sums.astype(np.float32) * np.float32(0.125)).astype(np.int32).astype(np.int8)
        return sums.astype(np.float32) * np.float32(0.5) + self.other if self.tail == "residual" else sums

    def inputs(self) -> list[np.ndarray]:
        return [self.x, self.other] if self.tail == "residual" else [self.x]

    def text(self, i: int) -> tuple[str, str, str, str]:
        """The operations, the arguments, the result and its type."""
        shape, loops = LAYOUTS[self.layout]
        x, y = ("x".join(str(s or size) for s in shape) for size in (self.columns, self.rows))
        names = [loop for loop in loops.format("n").split(", ") if loop != "n"]
        values = dict(i=i, x=x, y=y, loops=", ".join(names), x_map=loops.format("k"), y_map=loops.format("n"),
                      kinds=", ".join(['"parallel"'] * len(names)), weight=f"{self.rows}x{self.columns}", pattern=self.pattern)
        tail, result, kind = TAILS[self.tail]
        arguments = f'%x{i}: tensor<{x}xi8> {{prune.name = "x{i}"}}'
        if self.tail == "residual":
            arguments += f', %t{i}: tensor<{y}xf32> {{prune.name = "t{i}"}}'
        return (LAYER + tail).format(**values), arguments, f"%{result}{i}", f"tensor<{y}x{kind}>"


LAYERS = [*(Layer(layout, 12, 1030, "unstructured") for layout in LAYOUTS),
          Layer("panels", 12, 1030, "blocks"), Layer("one_token", 12, 1030, "blocks"),
          Layer("ragged", 13, 37, "unstructured"), Layer("ragged", 7, 129, "quads"), Layer("ragged", 5, 3, "all"),
          *(Layer(layout, 12, 600, "unstructured", "narrow") for layout in ("panels", "one_token", "ragged"))]
# Patterns whose units are words or parts of them, numbers of tokens that fill a register, a part of it, or one lane more, rows that
# fill no group, and what follows a product.
SHAPES = [*(Layer(layout, 36, 516, kind, tail) for layout, kind, tail in (
              ("one_token", "squares", "residual"), ("one_token", "2:4", ""), ("4_tokens", "quads", "residual"),
              ("8_tokens", "squares", ""), ("16_tokens", "2:4", "residual"), ("17_tokens", "blocks", "narrow"),
              ("17_tokens", "unstructured", "residual"), ("panels", "squares", "narrow"), ("ragged", "2:4", ""))),
          *(Layer(layout, 37, 131, "all", tail) for layout, tail in (
              ("one_token", "residual"), ("one_token", "narrow"), ("three_tokens", ""), ("4_tokens", "narrow"), ("8_tokens", "residual"),
              ("16_tokens", "narrow"), ("17_tokens", "narrow"), ("pixels", "residual")))]


def module(layers: list[Layer]) -> str:
    texts = [layer.text(i) for i, layer in enumerate(layers)]
    arguments = ", ".join(text[1] for text in texts)
    types = ", ".join(f'{y} {{prune.name = "y{i}"}}' for i, (_, _, _, y) in enumerate(texts))
    values = ", ".join(text[2] for text in texts)
    resources = ", ".join(f'{name}{i}: "0x01000000{data.tobytes().hex()}"' for i, layer in enumerate(layers)
                          for name, data in (("w", layer.weight), ("m", layer.mask)))
    return (f"func.func @main({arguments}) -> ({types}) {{\n  %zero = arith.constant 0 : i32\n" +
            "".join(text[0] for text in texts) + f"  return {values} : {', '.join(text[3] for text in texts)}\n}}\n" +
            f"{{-# dialect_resources: {{ builtin: {{ {resources} }} }} #-}}\n")


def compile_layers(tools, folder, layers: list[Layer], output, *options) -> str:
    (folder / "m.mlir").write_text(module(layers))
    finished = subprocess.run([tools / "prune-compile", folder / "m.mlir", "-o", output, "--name=f", *options],
                              capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


@pytest.mark.parametrize("options, first", [("", 0), ("kernel=dense", 5), ("kernel=contract", 5),
                                            ("kernel=sparse chunk=96 word-columns=2", 0),
                                            ("kernel=sparse chunk=96 word-columns=4 threads=2", 0),
                                            ("kernel=dense word-columns=4", 7), ("kernel=sparse word-columns=4 cpu=x86-64", 7)])
def test_sums_are_exact(tools, tmp_path, options, first):
    """In f32, which is what targets without VNNI get, and on words: 1030 columns are several chunks and end in half a word."""
    check(tools, tmp_path, LAYERS[first:], options)


@pytest.mark.parametrize("options", ["", "kernel=dense word-columns=4", f"kernel=sparse word-columns=4 {WITHOUT_VNNI}", WITHOUT_VNNI])
def test_patterns_and_few_tokens(tools, tmp_path, options):
    """By what the machine has, with words everywhere, and as on a machine without VNNI: all give the same bits."""
    check(tools, tmp_path, SHAPES, options)


def test_this_machine_has_its_instruction(tools, tmp_path):
    """Code for the host multiplies bytes by one instruction where /proc/cpuinfo names it, and has no such code elsewhere."""
    flags = set(re.search(r"^flags\s*:(.*)$", open("/proc/cpuinfo").read(), re.M)[1].split())
    compile_layers(tools, tmp_path, [Layer("panels", 64, 768, "quads")], tmp_path / "f.o", "--pipeline-options=kernel=sparse")
    text = subprocess.run([OBJDUMP, "-d", "--no-show-raw-insn", tmp_path / "f.o"], check=True, capture_output=True, text=True).stdout
    assert ("vpdpbusd" in text) == bool(flags & {"avx512_vnni", "avx_vnni"})


def check(tools, folder, layers: list[Layer], options: str) -> None:
    compile_layers(tools, folder, layers, folder / "f.so", f"--pipeline-options={options}")
    function = Function("f", folder / "f.so")
    results = [np.zeros(output.shape, output.dtype) for output in function.outputs]
    function.run(function.pointers([x for layer in layers for x in layer.inputs()]), function.pointers(results))
    function.close()
    for layer, found in zip(layers, results):
        np.testing.assert_array_equal(found, layer.expected(), err_msg=f"{layer.layout} {layer.kind} {layer.columns} {layer.tail}")


@pytest.mark.parametrize("cpu, register", [("icelake-server", "zmm"), ("sapphirerapids", "zmm"), ("znver4", "zmm"),
                                           ("alderlake", "ymm")])
def test_vnni_code(tools, tmp_path, cpu, register):
    """The innermost loops are vpdpbusd on whole registers, their operands loaded or shuffled as vectors."""
    for kind in ("unstructured", "blocks"):
        compile_layers(tools, tmp_path, [Layer("panels", 64, 768, kind)], tmp_path / "f.o", f"--cpu={cpu}",
                       "--pipeline-options=kernel=sparse")
        text = subprocess.run([OBJDUMP, "-d", "--no-show-raw-insn", tmp_path / "f.o"], check=True, capture_output=True,
                              text=True).stdout
        products = [loop for loop in inner_loops(text) if any("vpdpbusd" in line for line in loop)]
        assert products, kind
        widest = max(products, key=len)
        dots = [line for line in widest if "vpdpbusd" in line]
        assert len(dots) >= 4 * 4 and all(register in line for line in dots)
        assert not [line for line in widest if re.search(r"\bvp(insr|extr|madd)|\bvmov[dq]\b", line)]
        assert not re.search(r"\bvpdpbusds|\bvpmaddubsw", text)  # those saturate


def inner_loops(text: str) -> list[list[str]]:
    """Instructions between a label that a jump backwards names and that jump, loops in them left out."""
    lines = [(int(m[1], 16), m[2]) for m in re.finditer(r"^\s*([0-9a-f]+):\s+(.*)$", text, re.M)]
    places = {address: i for i, (address, _) in enumerate(lines)}
    spans = []
    for i, (address, line) in enumerate(lines):
        target = re.match(r"j\w+\s+0x([0-9a-f]+)", line)
        if target and int(target[1], 16) <= address and int(target[1], 16) in places:
            spans.append((places[int(target[1], 16)], i))
    inner = [s for s in spans if not any(s != t and s[0] <= t[0] and t[1] <= s[1] for t in spans)]
    return [[line for _, line in lines[begin:end + 1]] for begin, end in inner]
