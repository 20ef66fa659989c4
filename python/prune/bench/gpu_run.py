#!/usr/bin/env python3
"""Runs the layers that `prune-bench gpu --prepare` compiled, on a machine with a driver: results first, then times.

Needs Python 3.9 and NumPy only; PyTorch's cuBLAS, cuSPARSE and cuSPARSELt are peers where they are. Stands alone: it is
copied into the archive, beside `cases.json` and the compiled layers.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Callable

import numpy as np

# A random tile, repeated: compressed it takes next to nothing, and every row differs from its neighbours.
TILE = 256
# Largest difference to the float64 product, relative to its largest element, by what is multiplied; that of i8 is to the
# product of the same whole numbers.
TOLERANCES = {"f32": 1e-5, "tf32": 2e-3, "f16": 2e-3, "bf16": 1e-2, "i8": 1e-5}
# Tokens whose results are compared: the first, the last, and some between.
COMPARED = 96
SAMPLE_MS = 2.0
DRIVER = "libcuda.so.1"


def tile_mask(kind: str, random: np.random.RandomState) -> np.ndarray:
    """What a kind keeps of the tile: 2:4, 1:2, bROWSxCOLUMNS-PERCENT, csr-PERCENT; everything for other kinds."""
    name, _, percent = kind.partition("-")
    if name in ("2:4", "1:2"):
        kept, group = map(int, name.split(":"))
        order = random.rand(TILE, TILE // group, group).argsort(-1)
        return (order < kept).reshape(TILE, TILE)
    if name == "csr":
        return random.rand(TILE, TILE) >= float(percent) / 100
    if name.startswith("b") and "x" in name:
        rows, columns = map(int, name[1:].split("x"))
        grid = random.rand(TILE // rows, TILE // columns) >= float(percent) / 100
        return np.kron(grid, np.ones((rows, columns), bool))
    return np.ones((TILE, TILE), bool)


def threshold_of(kind: str) -> float | None:
    """What the gate of gate-PERCENT prunes of the activations, whose absolute values are spread over 0 to 1; none for others."""
    name, _, percent = kind.partition("-")
    return int(percent) / 100 if name == "gate" else None


def layer_of(kind: str) -> str:
    """The kind without what only the code differs in."""
    return kind.partition("+")[0]


def weight_and_mask(n: int, k: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The weight of a layer and its mask: the same wherever this runs. Values are exact in f16 and bf16."""
    kind = layer_of(kind)
    # Layers behind gates have one weight, which an archive holds once.
    random = np.random.RandomState(sum(map(ord, "gate" if threshold_of(kind) is not None else kind)))
    tile = random.randint(1, 64, (TILE, TILE)) * random.choice([-1, 1], (TILE, TILE)) / 64
    copies = -(-n // TILE), -(-k // TILE)
    return (np.tile(tile, copies)[:n, :k].astype(np.float32), np.tile(tile_mask(kind, random), copies)[:n, :k])


def quantize(matrix: np.ndarray, wide: type) -> tuple[np.ndarray, np.ndarray]:
    """Each row as precision=i8 has it: whole numbers, 127 for the largest magnitude, and these magnitudes."""
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    factor = np.divide(wide(127), largest.astype(wide), where=largest != 0, out=np.zeros(largest.shape, wide))
    return np.rint(matrix.astype(wide) * factor).astype(np.int8), largest.astype(np.float64)


def exact_product(x: np.ndarray, weight: np.ndarray, precision: str) -> np.ndarray:
    """x w' in float64, in i8 of what is rounded to whole numbers."""
    if precision != "i8":
        return x.astype(np.float64) @ weight.astype(np.float64).T
    (x8, tokens), (w8, rows) = quantize(x, np.float32), quantize(weight, np.float64)
    return x8.astype(np.float64) @ w8.astype(np.float64).T * (tokens * rows.T / 127**2)


def find_package_libraries(name: str) -> list[Path]:
    """A library of CUDA in Python's packages, where the loader does not look."""
    return [path for folder in sys.path for path in sorted(Path(folder or ".").glob(f"nvidia/*/lib/{name}.so*"))]


def load_libraries(cases: list[dict]) -> None:
    """Layers by libraries load these by name, which finds what is loaded already."""
    for library, name in (("cublas", "libcublas"), ("cusparse", "libcusparse"), ("cusparselt", "libcusparseLt")):
        if any(case["kind"].endswith("+" + library) for case in cases):
            for path in find_package_libraries(name):
                try:
                    ctypes.CDLL(str(path))
                except OSError as error:
                    print(f"run.py: {error}", file=sys.stderr)


class Layer:
    """One compiled layer on the device."""

    def __init__(self, folder: Path, case: dict):
        name = case["name"]
        library = ctypes.CDLL(str(folder / f"{name}.so"))

        def symbol(suffix, result, *arguments):
            function = getattr(library, f"{name}_{suffix}")
            function.restype, function.argtypes = result, arguments
            return function
        create = symbol("create", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
        self._run = symbol("run", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._time = symbol("time", ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_double))
        self._error = symbol("error", ctypes.c_char_p, ctypes.c_void_p)
        self._destroy = symbol("destroy", None, ctypes.c_void_p)
        error = ctypes.create_string_buffer(512)
        self._model = create(None, error, len(error))
        if not self._model:
            raise RuntimeError(error.value.decode(errors="replace"))

    def __call__(self, x: np.ndarray, rows: int) -> np.ndarray:
        y = np.zeros((len(x), rows), x.dtype)
        self._check(self._run(self._model, (ctypes.c_void_p * 1)(x.ctypes.data), (ctypes.c_void_p * 1)(y.ctypes.data)))
        return y

    def time(self, calls: int) -> float:
        """Mean milliseconds of a call, of kernels only."""
        result = ctypes.c_double()
        self._check(self._time(self._model, calls, ctypes.byref(result)))
        return result.value

    def close(self) -> None:
        self._destroy(self._model)

    def _check(self, status: int) -> None:
        if status:
            raise RuntimeError(self._error(self._model).decode(errors="replace"))


def find_torch():
    """PyTorch with a device, and why not otherwise."""
    try:
        import torch
    except ImportError:
        return None, "no PyTorch"
    return (torch, "") if torch.cuda.is_available() else (None, "PyTorch finds no device")


def make_peers(torch, case: dict, x: np.ndarray, weight: np.ndarray, masked: bool) -> dict[str, Callable[[], object]]:
    """Calls of the libraries that do the same, by name. What a library refuses is left out with its reason."""
    kind, peers = layer_of(case["kind"]), {}
    half = torch.from_numpy(x).cuda().half()
    full = torch.from_numpy(x).cuda().float()
    dense = torch.from_numpy(weight).cuda()

    def add(name: str, make: Callable[[], Callable[[], object]]) -> None:
        try:
            call = make()
            call()
            torch.cuda.synchronize()
            peers[name] = call
        except Exception as error:  # what a library raises is its own affair
            print(f"  {name}: {str(error).splitlines()[0][:120]}", file=sys.stderr)

    def cublas(precision: str) -> Callable[[], object]:
        a, b = (half, dense.half()) if precision == "f16" else (full, dense)

        def call():
            torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
            return a @ b.t()
        return call
    # Dense f16 is what all others have to beat; f32 what exact ones have.
    for precision in dict.fromkeys(("f16", case["precision"], *(["f32"] if kind.startswith("csr") else []))):
        if precision != "i8":
            add(f"cublas {precision}", lambda: cublas(precision))
    if case["precision"] == "i8":  # of numbers that are whole already, to sums without a scale
        a, b = (torch.from_numpy(quantize(matrix, np.float64)[0]).cuda() for matrix in (x, weight))
        add("cublaslt i8", lambda: lambda: torch._int_mm(a, b.t()))
    if kind.startswith("csr"):
        sparse = dense.to_sparse_csr()
        columns, rows = full.t(), full.t().contiguous()
        add("cusparse csr f32, tokens apart", lambda: lambda: sparse @ columns)
        add("cusparse csr f32, tokens together", lambda: lambda: sparse @ rows)
    if kind.startswith("b"):
        sides = tuple(map(int, kind[1:].partition("-")[0].split("x")))
        for precision, a, b in (("f16", half, dense.half()), ("f32", full, dense)):
            add(f"bsr {precision}", lambda: (lambda s, c: lambda: s @ c)(b.to_sparse_bsr(sides), a.t()))
    return peers


class SparseLt:
    """y = x w' by cuSPARSELt's C interface, with the algorithm that its search finds; w must be 2:4."""

    ROW, COLUMN = 2, 1  # as the library numbers them
    # Types of factors, of results, and of sums, in its numbers, and that of results in PyTorch's words.
    TYPES = {"f16": (2, 2, 2, "float16"), "i8": (3, 10, 0, "int32")}

    def __init__(self, torch, weight, x, precision: str, weight_first: bool):
        factor, result, sums, result_name = self.TYPES[precision]
        paths = find_package_libraries("libcusparseLt")
        self.library = ctypes.CDLL(str(paths[0]) if paths else "libcusparseLt.so.0")
        (n, k), m = weight.shape, len(x)
        self._handles = {name: (ctypes.c_uint64 * 2048)() for name in ("handle", "w", "x", "y", "product", "choice", "plan")}
        h, size = self._handles, ctypes.c_int64

        def dense(name, rows, columns, order, element):
            self._call("DenseDescriptorInit", h[name], size(rows), size(columns), size(columns if order == self.ROW else rows),
                       ctypes.c_uint32(16), element, order)
        self._call("Init")
        self._call("StructuredDescriptorInit", h["w"], size(n), size(k), size(k), ctypes.c_uint32(16), factor, self.ROW, 0)
        # w x' = y' with columns one after the other, or x w' = y by rows: the same bytes.
        dense("x", *((k, m, self.COLUMN) if weight_first else (m, k, self.ROW)), factor)
        dense("y", *((n, m, self.COLUMN) if weight_first else (m, n, self.ROW)), result)
        left, right = ("w", "x") if weight_first else ("x", "w")
        self._call("MatmulDescriptorInit", h["product"], 0, 0 if weight_first else 1, h[left], h[right], h["y"], h["y"], sums)
        self._call("MatmulAlgSelectionInit", h["choice"], h["product"], 0)
        self._call("MatmulPlanInit", h["plan"], h["product"], h["choice"])
        packed_size, scratch_size = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("SpMMACompressedSize", h["plan"], ctypes.byref(packed_size), ctypes.byref(scratch_size))

        def allocate(size):
            return torch.empty(max(size, 1), dtype=torch.uint8, device="cuda")
        packed, scratch, workspace = allocate(packed_size.value), allocate(scratch_size.value), allocate(64 << 20)
        self.y = torch.empty(m, n, dtype=getattr(torch, result_name), device="cuda")
        self._kept = (packed, workspace, x)
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self._call("SpMMACompress", h["plan"], self._pointer(weight), self._pointer(packed), self._pointer(scratch), stream)
        a, b = (packed, x) if weight_first else (x, packed)
        self._arguments = (h["plan"], ctypes.byref(ctypes.c_float(1)), self._pointer(a), self._pointer(b),
                           ctypes.byref(ctypes.c_float(0)), self._pointer(self.y), self._pointer(self.y),
                           self._pointer(workspace), (ctypes.c_void_p * 1)(stream.value), 1)
        self._call("MatmulSearch", *self._arguments)

    def __call__(self):
        self._call("Matmul", *self._arguments)

    def _call(self, name, *arguments):
        status = getattr(self.library, "cusparseLt" + name)(self._handles["handle"], *arguments)
        if status:
            raise RuntimeError(f"cusparseLt{name}: status {status}")

    @staticmethod
    def _pointer(tensor):
        return ctypes.c_void_p(tensor.data_ptr())


def time_cusparselt(text: str) -> int:
    """In a process of its own, since a failure spoils the device's context: "PRECISION N K M ORDER" to milliseconds."""
    import torch
    precision, *sizes = text.split()
    n, k, m, weight_first = map(int, sizes)
    weight, mask = weight_and_mask(n, k, "2:4")
    element, unit = (torch.int8, 64) if precision == "i8" else (torch.float16, 1)  # weights are multiples of 1/64
    w = torch.from_numpy(unit * weight * mask).cuda().to(element)
    x = (torch.randint(-64, 65, (m, k), device="cuda") / 64 * unit).to(element)
    product = SparseLt(torch, w, x, precision, bool(weight_first))
    product()
    exact = x.float() @ w.float().t()
    if float((product.y.float() - exact).norm() / exact.norm()) > TOLERANCES[precision]:
        raise RuntimeError("cuSPARSELt's result is wrong")

    def run(calls: int) -> float:  # the library was given its stream: no graph can record it
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            product()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / calls
    print(interleave({"cusparselt": run}, 9)["cusparselt"])
    return 0


def find_cusparselt(case: dict) -> float | None:
    """The better of the two orders, timed right after the other programs and not between them."""
    best = None
    for order in (0, 1):
        command = [sys.executable, __file__, "--cusparselt", f"{case['precision']} {case['n']} {case['k']} {case['m']} {order}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            best = min(float(done.stdout), best or float("inf"))
        except (ValueError, subprocess.TimeoutExpired):
            print(f"  cusparselt {case['precision']}: no result", file=sys.stderr)
    return best


def timer(torch, call: Callable[[], object]) -> Callable[[int], float]:
    """Times a call by the device's events, replayed from a graph where the library lets itself be recorded."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        once = graph.replay
        once()
    except Exception:  # not every library can be recorded
        torch.cuda.synchronize()
        once = call

    def run(calls: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            once()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / calls
    return run


def interleave(programs: dict[str, Callable[[int], float]], rounds: int) -> dict[str, float]:
    """Medians of milliseconds; every round begins with another program."""
    calls, names = {}, list(programs)
    for name, run in programs.items():
        run(2)
        calls[name] = max(1, min(200, round(SAMPLE_MS / max(run(3), 1e-4))))
    times = {name: [] for name in names}
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            times[name].append(programs[name](calls[name]))
    return {name: median(samples) for name, samples in times.items()}


def measure(folder: Path, case: dict, torch, rounds: int) -> dict:
    n, k, m, kind, precision = (case[key] for key in ("n", "k", "m", "kind", "precision"))
    weight, mask = weight_and_mask(n, k, kind)
    weight = weight * mask
    x = np.random.RandomState(m).randint(-32, 33, (m, k)).astype(np.float32) / 32
    x = x.astype(case["input"])
    threshold = threshold_of(kind)
    gated = x if threshold is None else np.where(np.abs(x) > threshold, x, 0)
    layer = Layer(folder, case)
    try:
        y = layer(x, n)
        tokens = np.unique(np.linspace(0, m - 1, min(m, COMPARED)).astype(int))
        y = y.astype(np.float32)
        exact = exact_product(gated[tokens], weight, precision)
        difference = float(np.abs(y[tokens] - exact).max() / np.abs(exact).max())
        row = {**case, "density": round(float(mask.mean()), 4), "difference": difference,
               "right": bool(np.isfinite(y).all() and difference <= TOLERANCES[precision])}
        programs = {"prune": layer.time}
        if torch:
            calls = make_peers(torch, case, gated, weight, not mask.all())
            programs.update({name: timer(torch, call) for name, call in calls.items()})
        row["ms"] = interleave(programs, rounds)
        if torch and kind.startswith("2:4") and (best := find_cusparselt(case)):
            row["ms"][f"cusparselt {precision}"] = best
        row["dense_tflops"] = 2e-9 * m * n * k / row["ms"]["prune"]
        return row
    finally:
        layer.close()


def describe(row: dict) -> str:
    ours = row["ms"]["prune"]
    peers = "  ".join(f"{name} {ms / ours:.2f}x" for name, ms in row["ms"].items() if name != "prune")
    state = "" if row["right"] else "  WRONG"
    return (f"{row['kind']:>17} {row['precision']:>4} {row['n']:>5} x {row['k']:<5} M {row['m']:<5} {ours:9.4f} ms "
            f"{row['dense_tflops']:7.1f} TFLOP/s dense  difference {row['difference']:.1e}{state}  {peers}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="results (gpu.json)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each program (9)")
    parser.add_argument("--limit", type=float, default=230.0, help="seconds after which the cases that follow are left out (230)")
    parser.add_argument("--no-peers", action="store_true", help="time nothing but our layers")
    parser.add_argument("--cusparselt", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cusparselt:
        return time_cusparselt(options.cusparselt)
    folder = Path(__file__).resolve().parent
    begin = time.monotonic()
    bench = json.loads((folder / "cases.json").read_text())
    if bench["chip"] != "opencl":
        try:
            ctypes.CDLL(DRIVER)
        except OSError:
            print(f"run.py: no CUDA driver: {DRIVER} cannot be loaded", file=sys.stderr)
            return 1
    torch, why = (None, "--no-peers") if options.no_peers else find_torch()
    if not torch:
        print(f"run.py: no peers: {why}", file=sys.stderr)
    device = torch.cuda.get_device_name() if torch else bench["chip"]
    rows, left, failed = [], [], []
    cases = [case for case in bench["cases"] if options.only in case["name"]]
    load_libraries(cases)
    for case in cases:
        if time.monotonic() - begin > options.limit:
            left.append(case["name"])
            continue
        try:
            rows.append(measure(folder, case, torch, options.rounds))
            print(describe(rows[-1]), flush=True)
        except (RuntimeError, OSError) as error:
            failed.append({"name": case["name"], "error": str(error).splitlines()[0]})
            print(f"{case['name']}: {failed[-1]['error']}", file=sys.stderr, flush=True)
        options.json.write_text(json.dumps(
            {"chip": bench["chip"], "device": device, "torch": torch.__version__ if torch else None, "rows": rows,
             "failed": failed, "left": left}, indent=1))
    if left:
        print(f"run.py: {len(left)} of {len(cases)} cases left out after {options.limit:g} s", file=sys.stderr)
    return 0 if rows and not failed and all(row["right"] for row in rows) else 2


if __name__ == "__main__":
    sys.exit(main())
