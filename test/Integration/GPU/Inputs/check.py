"""Runs a module on the processor and on an OpenCL device, on the same random inputs, and compares.

    check.py MODULE [--integers=N] [prune-run options]

Integer inputs are from 0 to N - 1 (8). What prune-run --compare prints is the output.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

module, options = sys.argv[1], sys.argv[2:]
integers = 8
for option in list(options):
    if option.startswith("--integers="):
        integers = int(option.split("=")[1])
        options.remove(option)
signature = re.search(r"func\.func (?:public )?@main\((.*?)\)\s*->", Path(module).read_text(), re.S).group(1)
random = np.random.default_rng(7)
inputs = {}
for i, (name, shape) in enumerate(re.findall(r"%(\w+) *: *tensor<([^>]*)>", signature)):
    *sizes, element = shape.split("x")
    sizes = [int(size) for size in sizes]
    if element == "i1":
        value = random.integers(0, 2, sizes).astype(bool)
    elif element.startswith("i"):
        value = random.integers(0, integers, sizes).astype("int" + element[1:])
    elif element == "bf16":
        value = (random.standard_normal(sizes).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    else:
        value = random.standard_normal(sizes).astype({"f16": np.float16, "f32": np.float32, "f64": np.float64}[element])
    inputs[f"in{i}"] = np.asarray(value)
with tempfile.TemporaryDirectory() as folder:
    np.savez(f"{folder}/x.npz", **inputs)

    def run(*arguments):
        done = subprocess.run(["prune-run", module, f"--inputs={folder}/x.npz", *arguments], capture_output=True,
                              text=True)
        sys.stdout.write(done.stdout)
        sys.stderr.write("".join(line for line in done.stderr.splitlines(True) if "note:" not in line))
        if done.returncode:
            sys.exit(done.returncode)

    run(f"--outputs={folder}/y.npz")
    run("--gpu=opencl", f"--compare={folder}/y.npz", *options)
