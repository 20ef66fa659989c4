"""What prune-compile writes: calls that allocate nothing, no more bytes than sparse storage needs, wide loads in kernels."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from prune.bench.kernels import layer_module

OBJDUMP = shutil.which("llvm-objdump-22") or "/usr/lib/llvm-22/bin/llvm-objdump"
PROGRAM = r"""
#define _GNU_SOURCE
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static volatile int counting, calls;
static void count(void) { calls += counting; }
void *malloc(size_t n) { return count(), __libc_malloc(n); }
void *calloc(size_t m, size_t n) { return count(), __libc_calloc(m, n); }
void *realloc(void *p, size_t n) { return count(), __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { return count(), __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return count(), __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { return count(), (*p = __libc_memalign(a, n)) ? 0 : 12; }
void *mmap(void *p, size_t n, int a, int b, int c, off_t d) {
  return count(), (void *)syscall(SYS_mmap, p, n, a, b, c, d);
}

int main(void) {
  char error[256];
  net_model *model = net_create(NULL, error, sizeof error);
  if (!model)
    return fprintf(stderr, "%s\n", error), 1;
  void *inputs[NET_NUM_INPUTS], *outputs[NET_NUM_OUTPUTS];
  for (int i = 0; i < NET_NUM_INPUTS; ++i)
    inputs[i] = calloc(1, net_input(i)->bytes);
  for (int i = 0; i < NET_NUM_OUTPUTS; ++i)
    outputs[i] = malloc(net_output(i)->bytes);
  for (int i = 0; i < 2; ++i) /* libomp starts its threads */
    net_run(model, (const void *const *)inputs, outputs);
  counting = 1;
  for (int i = 0; i < 5; ++i)
    net_run(model, (const void *const *)inputs, outputs);
  int during = calls;
  void *volatile seen = malloc(1);
  printf("%d allocations in 5 calls, control %d, threads %d\n", during, calls - during, NET_MAX_THREADS);
  return seen == NULL;
}
"""


def tool(tools, name, *arguments):
    """Runs a program of the compiler."""
    finished = subprocess.run([tools / name, *map(str, arguments)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture
def pruned_layer(tools, tmp_path):
    """A linear layer of 256 x 384 on 128 tokens, 90 % of its weights pruned."""
    value = np.random.default_rng(0).standard_normal((256, 384)).astype(np.float32)
    (tmp_path / "layer.mlir").write_text(layer_module(value, 128))
    tool(tools, "prune-opt", tmp_path / "layer.mlir", "--prune=sparsity=0.9", "--emit-bytecode", "-o",
         tmp_path / "pruned.mlirbc")
    return tmp_path / "pruned.mlirbc"


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_allocate_nothing(tools, tmp_path, graph, run_cli, threads):
    """Convolution, pooling, sparse and dense products, softmax, layer norm and GELU, pruned where they can be."""
    g = graph(x=[1, 16, 32, 32])
    y = g.add("Relu", g.add("Conv", "x", g.weight("a.weight", 32, 16, 3, 3), g.weight("a.bias", 32), pads=[1] * 4))
    y = g.add("Relu", g.add("Conv", y, g.weight("b.weight", 64, 32, 1, 1), g.weight("b.bias", 64), strides=[2, 2]))
    y = g.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = g.add("Transpose", g.add("Reshape", y, g.constant("shape", np.array([1, 64, 64]))), perm=[0, 2, 1])
    y = g.add("LayerNormalization", y, g.weight("n.weight", 64), g.weight("n.bias", 64), axis=-1)
    h = g.add("Add", g.add("MatMul", y, g.weight("c.weight", 64, 256)), g.weight("c.bias", 256))
    root = g.add("Mul", h, g.constant("k", np.float32(0.7071)))
    erf = g.add("Add", g.add("Erf", root), g.constant("one", np.float32(1)))
    h = g.add("MatMul", g.add("Mul", h, erf), g.weight("d.weight", 256, 64))
    scores = g.add("Softmax", g.add("MatMul", h, g.add("Transpose", y, perm=[0, 2, 1])), axis=-1)
    path = g.save(tmp_path / "net.onnx", g.add("MatMul", scores, y))
    assert run_cli("import", path, "-o", tmp_path / "net.mlirbc").returncode == 0
    tool(tools, "prune-opt", tmp_path / "net.mlirbc", "--prune=sparsity=0.9", "--emit-bytecode", "-o",
         tmp_path / "p.mlirbc")
    tool(tools, "prune-compile", tmp_path / "p.mlirbc", "-o", tmp_path / "net.so", f"--threads={threads}")
    (tmp_path / "main.c").write_text(PROGRAM)
    subprocess.run(["cc", "-Wall", "-Werror", "main.c", "./net.so", "-o", "main"], cwd=tmp_path, check=True)
    text = subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert text.startswith("0 allocations in 5 calls, control 1, threads "), text


def test_size_is_that_of_the_storage(tools, tmp_path, pruned_layer):
    """Values, coordinates and positions of the packed layer, and a tenth on top for all the rest."""
    packed = tool(tools, "prune-opt", pruned_layer, "--prune-pack=kernel=sparse")
    arrays = re.search(r"sparse_tensor\.assemble .* : \((.*)\), (tensor<\S+>) to", packed)
    assert arrays, packed[:2000]
    types = re.findall(r"tensor<(\d+)x[fi](\d+)>", f"{arrays[1]} {arrays[2]}")
    assert len(types) == 3
    storage = sum(int(count) * int(bits) // 8 for count, bits in types)
    assert storage < 0.16 * 256 * 384 * 4
    tool(tools, "prune-compile", pruned_layer, "-o", tmp_path / "net.so", "--pipeline-options=kernel=sparse")
    assert (tmp_path / "net.weights").stat().st_size <= 1.1 * storage
    # Code does not grow with the weights.
    assert (tmp_path / "net.so").stat().st_size < 60_000


def innermost_loops(text):
    """Instructions between the target of a backward jump and the jump, without other jumps inside."""
    lines = re.findall(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$", text, re.MULTILINE)
    body: list[tuple[str, str]] = []
    addresses: list[int] = []
    for address, mnemonic, operands in lines:
        if mnemonic.startswith("j") or mnemonic.startswith("ret") or mnemonic.startswith("call"):
            target = re.match(r"0x([0-9a-f]+)", operands)
            if target and mnemonic.startswith("j") and addresses and int(target[1], 16) in addresses:
                yield body[addresses.index(int(target[1], 16)):]
            body, addresses = [], []
        else:
            addresses.append(int(address, 16))
            body.append((mnemonic, operands))


@pytest.mark.parametrize("cpu, broadcast", [("znver3", "vbroadcastf128"), ("skylake-avx512", "vbroadcastf32x4")])
def test_kernels_load_widely(tools, tmp_path, pruned_layer, cpu, broadcast):
    """One 64-bit load for four offsets of 16 bits, one of 128 bits for four values: LLVM would rather split them."""
    tool(tools, "prune-compile", pruned_layer, "-o", tmp_path / "net.o", f"--cpu={cpu}",
         "--pipeline-options=kernel=sparse vectors=4 chunk=192")
    text = subprocess.run([OBJDUMP, "-d", "--no-show-raw-insn", tmp_path / "net.o"], check=True, capture_output=True,
                          text=True).stdout
    found = []
    for loop in innermost_loops(text):
        offsets = [o for m, o in loop if m == "movq" and re.match(r"[^%,]*\(%\w+,%\w+,2\), %r", o)]
        values = [o for m, o in loop if m == broadcast and re.match(r"[^%,]*\(%", o)]
        if offsets or values:
            split = [f"{m} {o}" for m, o in loop if (m in ("movzwl", "vbroadcastss") and "(" in o.split("#")[0])]
            fused = sum(m.startswith("vfmadd") for m, _ in loop)
            loads = sum(m.startswith(("vfmadd", "vmova", "vmovu")) and re.search(r"\(.*\),.*%[yz]mm", o) is not None
                        for m, o in loop)
            found.append((len(offsets), len(values), fused, loads, split))
    # Two nonzeros of each of two rows per turn, each with four vectors of tokens.
    assert found, "no loop with wide loads"
    for offsets, values, fused, loads, split in found:
        assert values == offsets == 1 and fused == 16 and loads in (8, 16) and not split
    # Columns that both rows have load their activations once.
    assert {loads for *_, loads, _ in found} == {8, 16}
