"""A module on tensors, read for export: its entry function and its constants by name, with masks written into them."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
from iree.compiler import ir

from prune import toolchain, weights
from prune.errors import PruneError, one_line

TYPES = {"f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16), "f32": np.dtype(np.float32),
         "f64": np.dtype(np.float64), "i1": np.dtype(np.bool_), "i8": np.dtype(np.int8), "i16": np.dtype(np.int16),
         "i32": np.dtype(np.int32), "i64": np.dtype(np.int64), "index": np.dtype(np.int64)}
_RESOURCE = re.compile(r'dense_resource<(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^">]+))>')
_ENTRY = "main"


@dataclass(frozen=True)
class Mask:
    """What was decided for a weight: the pattern as options spell it, and which elements are kept."""

    pattern: str
    kept: np.ndarray

    @property
    def sparsity(self) -> float:
        return 1 - int(np.count_nonzero(self.kept)) / self.kept.size


class Source:
    """The entry function of a module. Raises PruneError for modules that have no plain form on tensors."""

    def __init__(self, path: Path, timeout: float):
        self.place = str(path)
        text = _generic(path, timeout)
        self._resources = weights.read_resources(text)
        self._context = ir.Context()
        # Operations on masks, and prune.name.
        self._context.allow_unregistered_dialects = True
        try:
            self._module = ir.Module.parse(text, self._context)
        except (ir.MLIRError, ValueError) as error:
            raise PruneError(self.place, "module", one_line(str(error), 200), "linalg on tensors") from None
        operations = [o.operation for o in self._module.body.operations]
        functions = {_string(o, "sym_name"): o for o in operations if o.name == "func.func"}
        if set(functions) != {_ENTRY}:
            raise PruneError(self.place, "functions", ", ".join(f"@{n}" for n in functions) or "none",
                             f"@{_ENTRY} alone, on tensors and not lowered")
        # Weights that masks were written into, by the resource: name and pattern.
        self._folded = {_string(o, "stored"): (_string(o, "weight"), _pattern(o),
                                               ir.IntegerAttr(o.attributes["kept"]).value)
                        for o in operations if o.name == "prune.record" and "stored" in o.attributes}
        # Of the masks, by the weights' names.
        self.digests = {_string(o, "weight"): _string(o, "digest") for o in operations if o.name == "prune.record"}
        self.function = functions[_ENTRY]
        self.block = self.function.regions[0].blocks[0]
        self.masks: dict[str, Mask] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._by_value: dict = {}
        for operation in self.block.operations:
            self._read(operation.operation)

    def _read(self, operation) -> None:
        """Takes in a constant, or a weight with its mask."""
        if operation.name == "arith.constant":
            name, array = self._constant(operation)
        elif operation.name == "prune.apply":
            weight, mask = (self._by_value.get(o) for o in operation.operands)
            name = _string(operation, "name")
            if weight is None or mask is None:
                raise PruneError(self.place, f"mask of '{name}'", "one that is still to be decided",
                                 "a constant (--prune-evaluate-masks decides it)")
            array = np.where(mask[1], weight[1], np.zeros((), weight[1].dtype))
            self.masks[name] = Mask(_pattern(operation), mask[1])
        else:
            return
        self._by_value[operation.results[0]] = name, array
        if name and array.shape and (array.dtype != np.bool_ or operation.name == "prune.apply"):
            if operation.name == "prune.apply":
                self.constants[name] = array
            else:
                self.constants.setdefault(name, array)

    def named(self, operation) -> tuple[str, np.ndarray]:
        """Name ("" if it has none) and value of a constant or of a weight with its mask."""
        return self._by_value[operation.results[0]]

    def names(self, which: str, count: int, default: str) -> list[str]:
        """`prune.name` of arguments (`arg_attrs`) or results (`res_attrs`), or the default with its number."""
        found = list(map(ir.DictAttr, self.function.attributes[which])) if which in self.function.attributes else []
        found += [None] * (count - len(found))
        return [ir.StringAttr(a["prune.name"]).value if a is not None and "prune.name" in a else f"{default}{i}"
                for i, a in enumerate(found)]

    def tensor(self, value) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and element type of a value; () for scalars."""
        kind = value.type
        if ir.RankedTensorType.isinstance(kind):
            kind = ir.RankedTensorType(kind)
            if not kind.has_static_shape:
                raise PruneError(self.place, "shape", str(kind), "static sizes (--shape and --dim of import fix them)")
            shape, element = tuple(kind.shape), str(kind.element_type)
        else:
            shape, element = (), str(kind)
        if element not in TYPES:
            raise PruneError(self.place, "element type", element, ", ".join(TYPES))
        return shape, TYPES[element]

    def _constant(self, operation) -> tuple[str, np.ndarray]:
        shape, dtype = self.tensor(operation.results[0])
        attribute = operation.attributes["value"]
        name = operation.location.name_str if operation.location.is_a_name() else ""
        head = _RESOURCE.match(_head(attribute)) if shape else None
        if head:
            key = head["quoted"] or head["bare"]
            if key not in self._resources:
                raise PruneError(self.place, "resource", f"no data of '{one_line(key, 80)}'", "its bytes")
            array = self._resources[key]
            if key in self._folded:
                name, pattern, kept = self._folded[key]
                # A kept element that is zero cannot be told from a pruned one.
                if np.count_nonzero(array) == kept:
                    self.masks[name] = Mask(pattern, array != 0)
                return name, array
            return key, array
        if not ir.RankedTensorType.isinstance(operation.results[0].type):
            text = str(attribute).split(" : ")[0]
            value = text == "true" if dtype == np.bool_ else (
                ir.IntegerAttr(attribute).value if dtype.kind == "i" else ir.FloatAttr(attribute).value)
            return name, np.asarray(value).astype(dtype)
        dense = ir.DenseElementsAttr(attribute)
        if dense.is_splat:
            element = dense.get_splat_value()
            # A single element of i1 has no readable value.
            number = str(element).startswith("true") if dtype == np.bool_ else element.value
            return name, np.broadcast_to(np.asarray(number).astype(dtype), shape)
        return name, np.array(attribute).astype(dtype).reshape(shape)


def _head(attribute) -> str:
    # Of a resource this is short; other large constants are not printed.
    return str(attribute) if not ir.DenseElementsAttr.isinstance(attribute) else ""


def spell(attribute: str) -> str:
    """A pattern attribute as options and recipes have it: `n_of_m<2, 4>` is `2:4`, `block<4, 1>` is `4x1`, `transposable<2, 4>` is
    `transposable:2:4`."""
    name, _, rest = attribute.partition("<")
    numbers = re.findall(r"\d+", rest)
    if name in ("n_of_m", "v_n_m"):
        return ":".join(numbers)
    if name == "transposable":
        return ":".join([name, *numbers])
    if name == "block":
        return "x".join(numbers[:2])
    if name == "slice":
        fields = dict(re.findall(r"(\w+) = (\d+)", rest))
        return ":".join(["slice", fields.get("dim", "0"), *([fields["group"]] if "group" in fields else [])])
    return name


def _generic(path: Path, timeout: float) -> bytes:
    """The module in generic form, with names and constants, after its masks were verified."""
    with tempfile.TemporaryDirectory(prefix="prune-export-") as scratch:
        text = Path(scratch) / "generic.mlir"
        toolchain.checked("prune-opt", [path, "--prune-verify-masks", "--mlir-print-op-generic", "--mlir-print-debuginfo",
                                        "-o", text], timeout, str(path), expected="a module on tensors")
        return text.read_bytes()


def _string(operation, key: str) -> str:
    return ir.StringAttr(operation.attributes[key]).value


def _pattern(operation) -> str:
    return spell(str(operation.attributes["pattern"]).removeprefix("#prune."))
