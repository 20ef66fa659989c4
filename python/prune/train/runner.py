"""The functions of a training module, compiled to C libraries and called with NumPy buffers.

Each function is compiled by `prune-compile` in a process of its own; this process only loads the libraries, so LLVM is
never in it. What a function takes and gives is read from its library: a result that has the name of an argument is the
next value of that argument.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Mapping, Sequence

import numpy as np

from prune import toolchain
from prune.console import Steps
from prune.errors import PruneError

# Bytes: a cache line and the widest vector.
ALIGNMENT = 64
# Not bfloat16, which NumPy only knows with other packages loaded and cannot test for being finite.
_TYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
          "float64"}


@dataclass(frozen=True)
class Tensor:
    """An argument or result: name, element type and static shape."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


class _CTensor(ctypes.Structure):
    """NAME_tensor of the C interface."""

    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_char_p), ("rank", ctypes.c_int),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("bytes", ctypes.c_size_t)]


def aligned(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Zeros whose first byte lies at a multiple of ALIGNMENT."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    begin = -raw.ctypes.data % ALIGNMENT
    return raw[begin:begin + size].view(dtype).reshape(tuple(shape))


def aligned_copy(value: np.ndarray) -> np.ndarray:
    """A contiguous, aligned copy."""
    result = aligned(value.shape, value.dtype)
    result[...] = value
    return result


class Function:
    """One function in a library that `prune-compile` wrote: `inputs` and `outputs` in the order of the call."""

    def __init__(self, name: str, library: Path):
        self.name = name
        self._library = ctypes.CDLL(str(library))
        error = ctypes.create_string_buffer(512)
        create = self._symbol("create", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
        self._destroy = self._symbol("destroy", None, ctypes.c_void_p)
        self._run = self._symbol("run", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._model = create(None, error, len(error))
        if not self._model:
            raise PruneError(str(library), f"load of @{name}", error.value.decode(errors="replace"))
        self.inputs = self._tensors("input")
        self.outputs = self._tensors("output")

    def _symbol(self, suffix: str, result, *arguments):
        function = getattr(self._library, f"{self.name}_{suffix}")
        function.restype, function.argtypes = result, arguments
        return function

    def _tensors(self, suffix: str) -> tuple[Tensor, ...]:
        get, found = self._symbol(suffix, ctypes.POINTER(_CTensor), ctypes.c_int), []
        while get(len(found)):
            tensor = get(len(found)).contents
            name, kind = tensor.name.decode(), tensor.type.decode()
            if kind not in _TYPES:
                raise PruneError(f"@{self.name}", f"type of '{name}'", kind, "a type of NumPy's own")
            found.append(Tensor(name, np.dtype(kind), tuple(tensor.shape[:tensor.rank])))
        return tuple(found)

    def pointers(self, buffers: Iterable[np.ndarray]):
        """The array of pointers for `run`; the buffers must outlive it."""
        addresses = [buffer.ctypes.data for buffer in buffers]
        return (ctypes.c_void_p * max(1, len(addresses)))(*addresses)

    def run(self, inputs, outputs) -> None:
        """Calls the function on two arrays of pointers."""
        self._run(self._model, inputs, outputs)

    def bind(self) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
        """The function on buffers of its own: called with inputs by name, those that are missing as they were, it gives the
        results by name as views that the next call overwrites."""
        inputs, outputs = ({t.name: aligned(t.shape, t.dtype) for t in tensors} for tensors in (self.inputs, self.outputs))
        call = self.pointers(inputs.values()), self.pointers(outputs.values())

        def bound(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            for name, array in arrays.items():
                inputs[name][...] = array
            self.run(*call)
            return outputs
        return bound

    def close(self) -> None:
        """Frees the workspace. The library itself stays loaded: the threads of its runtime may still be there."""
        if self._model:
            self._destroy(self._model)
            self._model = None


class Program:
    """Functions of a training module that share their arguments.

    `values` holds the current array of every argument that some result is named like, once `call` has made it or `load`
    has set it. Each has two buffers: a call reads one and writes the other, so nothing is copied, and what was there
    before the last call is still whole: `undo` brings it back.
    """

    def __init__(self, functions: Mapping[str, Function]):
        self.functions = dict(functions)
        arguments = {t.name for f in self.functions.values() for t in f.inputs}
        results = {t.name for f in self.functions.values() for t in f.outputs}
        self.tensors: dict[str, Tensor] = {}
        for function in self.functions.values():
            for tensor in function.inputs + function.outputs:
                if tensor.name not in arguments & results:
                    continue
                known = self.tensors.setdefault(tensor.name, tensor)
                if known != tensor:
                    raise PruneError(f"@{function.name}", f"type of '{tensor.name}'", str(tensor),
                                     f"{known} as in the other functions")
        self.carried = tuple(self.tensors)
        self._pairs = {n: [aligned(t.shape, t.dtype) for _ in range(2)] for n, t in self.tensors.items()}
        self._current = dict.fromkeys(self.carried, 0)
        self._known: set[str] = set()
        # Arguments that come from outside at each call, and results that leave it; functions may differ in their
        # shapes.
        self._outside = {t: aligned(t.shape, t.dtype) for f in self.functions.values() for t in f.inputs + f.outputs
                         if t.name not in self._pairs}
        self._calls: dict[tuple, tuple] = {}
        self._last: tuple[str, ...] = ()
        self._moves = {name: tuple(t.name for t in f.outputs if t.name in self._pairs)
                       for name, f in self.functions.items()}
        self._takes = {name: tuple(t.name for t in f.inputs if t.name in self._pairs)
                       for name, f in self.functions.items()}
        self._feeds = {name: tuple(t for t in f.inputs if t.name not in self._pairs)
                       for name, f in self.functions.items()}
        self._gives = {name: {t.name: self._outside[t] for t in f.outputs if t.name not in self._pairs}
                       for name, f in self.functions.items()}

    def feeds(self, name: str) -> tuple[Tensor, ...]:
        """The arguments of a function that `call` has to be given: inputs of the model and labels."""
        return self._feeds[name]

    def call(self, name: str, batch: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Calls a function. `batch` holds at least its `feeds`; the results that no argument is named like are
        returned as views that the next call overwrites, the others become the values of the arguments."""
        for tensor in self._feeds[name]:
            value = (batch or {}).get(tensor.name)
            if value is None:
                raise PruneError(f"@{name}", "argument", f"no '{tensor.name}'", f"{tensor}")
            if value.shape != tensor.shape:
                raise PruneError(f"@{name}", f"shape of '{tensor.name}'", f"{list(value.shape)}", f"{tensor}")
            self._outside[tensor][...] = value
        moves, takes = self._moves[name], self._takes[name]
        for carried in takes:
            if carried not in self._known:
                raise PruneError(f"@{name}", "argument", f"no value of '{carried}' yet", "@init called before")
        current = self._current
        key = (name, *[current[n] for n in takes], *[current[n] for n in moves])
        pointers = self._calls.get(key)
        if pointers is None:
            function = self.functions[name]
            pointers = self._calls[key] = (
                function.pointers(self._pairs[t.name][current[t.name]] if t.name in self._pairs
                                  else self._outside[t] for t in function.inputs),
                function.pointers(self._pairs[t.name][1 - current[t.name]] if t.name in self._pairs
                                  else self._outside[t] for t in function.outputs))
        self.functions[name].run(*pointers)
        for carried in moves:
            current[carried] = 1 - current[carried]
        self._known.update(moves)
        self._last = moves
        return self._gives[name]

    def undo(self) -> None:
        """The values before the last call are current again; once for each call."""
        for carried in self._last:
            self._current[carried] = 1 - self._current[carried]
        self._last = ()

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The current values by name: views, valid until the call after the next one."""
        return {n: self._pairs[n][self._current[n]] for n in self.carried if n in self._known}

    @property
    def fixed_masks(self) -> dict[str, np.ndarray]:
        """Masks that @init gave and nothing changes: their parameters hold the kept elements only."""
        return {n: v for n, v in self._gives.get("init", {}).items() if n.startswith("mask:")}

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The current values, and masks that do not change, where parameters that hold their kept elements only have
        zeros between them."""
        result = {**self.values, **self.fixed_masks}
        for name, mask in self.fixed_masks.items():
            parameter = "param:" + name.removeprefix("mask:")
            dense = np.zeros(mask.shape, result[parameter].dtype)
            dense[mask] = result[parameter]
            result[parameter] = dense
        return result

    def load(self, values: Mapping[str, np.ndarray], place: str) -> None:
        """Sets the values, all of them or, on an error that names `place`, none."""
        for name in self.carried:
            tensor = self.tensors[name]
            value = values.get(name)
            if value is None:
                raise PruneError(place, "array", f"no '{name}'", str(tensor))
            if value.shape != tensor.shape or value.dtype != tensor.dtype:
                raise PruneError(place, f"type of '{name}'", f"{value.dtype}{list(value.shape)}", str(tensor))
        unknown = sorted(set(values) - set(self.carried))
        if unknown:
            raise PruneError(place, "array", f"'{unknown[0]}'", "names of the module's arguments only")
        for name in self.carried:
            self._pairs[name][self._current[name]][...] = values[name]
        self._known.update(self.carried)
        self._last = ()

    def close(self) -> None:
        for function in self.functions.values():
            function.close()


def compile_functions(module: Path, names: Sequence[str], threads: int = 1, timeout: float = 600.0,
                      steps: Steps | None = None) -> Program:
    """Compiles the functions `names` of a training module, all at the same time, and loads them. `timeout` in seconds
    for all together. Raises PruneError with the compiler's first diagnostic."""
    return compile_program({name: (module, name) for name in names}, threads, timeout, steps)


def compile_program(sources: Mapping[str, tuple[Path, str]], threads: int = 1, timeout: float = 600.0,
                    steps: Steps | None = None) -> Program:
    """The same for functions of several modules that carry the same values, such as steps for batches of several
    shapes: the name in the program, module and function."""
    if threads < 1:
        raise PruneError("--threads", "range", str(threads), "1 or more")
    steps = steps or Steps("train")
    compiler = toolchain.find_tool("prune-compile")
    with tempfile.TemporaryDirectory(prefix="prune-train-") as scratch:
        libraries = {name: Path(scratch) / str(index) / f"{function}.so"
                     for index, (name, (_, function)) in enumerate(sources.items())}
        children: dict[str, subprocess.Popen] = {}
        deadline = time.monotonic() + timeout
        with steps.step(f"compile {', '.join('@' + n for n in sources)}"):
            try:
                for name, (module, function) in sources.items():
                    libraries[name].parent.mkdir()
                    with open(libraries[name].with_suffix(".log"), "w") as log:
                        children[name] = toolchain.start(
                            [compiler, module, "-o", libraries[name], "--name", function,
                             f"--pipeline-options=entry={function}", f"--threads={threads}"], stdout=log, stderr=log)
                for name, child in children.items():
                    _finish(child, sources[name][0], name, libraries[name].with_suffix(".log"), deadline, timeout)
            finally:
                for child in children.values():
                    if child.poll() is None:
                        toolchain.stop(child)
        # Loaded libraries and mapped weights outlive their files.
        return Program({name: Function(sources[name][1], library) for name, library in libraries.items()})


def _finish(child: subprocess.Popen, module: Path, name: str, log: Path, deadline: float, timeout: float) -> None:
    try:
        status = child.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise PruneError(str(module), "time limit", f"no end of prune-compile for @{name} within {timeout:g} s",
                         "a larger --timeout") from None
    if status != 0:
        raise PruneError(str(module), f"prune-compile of @{name}", toolchain.describe_failure(
            toolchain.Finished(status, "", log.read_text(errors="replace"))))
