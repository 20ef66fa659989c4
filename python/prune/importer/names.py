"""Readable, stable names for weights whose own name the exporter lost.

PyTorch's legacy exporter calls a transposed Linear weight `onnx::MatMul_123` and a batch-norm-folded convolution weight
`onnx::Conv_45`, but leaves the module path in the node's name (`/encoder/layer.0/attention/self/query/MatMul`) and the
bias under its true name. The bias decides, because it is a key of the framework's own state; then the node's path.
"""

from __future__ import annotations

import ast
import re

from onnx import ModelProto, NodeProto

# Names that tell a reader nothing: onnx::MatMul_123, val_17, 123, Constant_5, /m/Constant_2_output_0.
_LOST = re.compile(r"^(onnx::\w+|val_\d+|\d+|_?[A-Za-z]*_?\d+|.*_output_\d+|.*/Constant(_\d+)?)$")
# Operators that only pass a weight on to the layer that uses it.
_VIEWS = {"Transpose", "Reshape", "Identity", "Cast", "Squeeze", "Unsqueeze", "Flatten", "Expand", "DequantizeLinear",
          "QuantizeLinear"}
# Role of a constant by operator and input slot.
_ROLES = {
    ("Conv", 1): "weight", ("Conv", 2): "bias", ("ConvTranspose", 1): "weight", ("ConvTranspose", 2): "bias",
    ("Gemm", 0): "weight", ("Gemm", 1): "weight", ("Gemm", 2): "bias", ("MatMul", 0): "weight", ("MatMul", 1): "weight",
    ("MatMulInteger", 1): "weight", ("Gather", 0): "weight", ("PRelu", 1): "weight",
    ("BatchNormalization", 1): "weight", ("BatchNormalization", 2): "bias", ("BatchNormalization", 3): "running_mean",
    ("BatchNormalization", 4): "running_var", ("LayerNormalization", 1): "weight", ("LayerNormalization", 2): "bias",
    ("InstanceNormalization", 1): "weight", ("InstanceNormalization", 2): "bias",
    ("GroupNormalization", 1): "weight", ("GroupNormalization", 2): "bias",
    ("LSTM", 1): "weight_ih", ("LSTM", 2): "weight_hh", ("LSTM", 3): "bias",
    ("GRU", 1): "weight_ih", ("GRU", 2): "weight_hh", ("GRU", 3): "bias",
}


def is_lost(name: str) -> bool:
    """Whether an exporter made the name up."""
    return bool(_LOST.match(name))


def clean(name: str) -> str:
    """The name as a dotted path: `/` and `::` become dots, other characters outside [A-Za-z0-9_.$-] underscores."""
    dotted = re.sub(r"[/:]+", ".", re.sub(r":\d+$", "", name))
    return re.sub(r"\.{2,}", ".", re.sub(r"[^\w.$-]", "_", dotted, flags=re.ASCII)).strip(".") or "constant"


def scope(node: NodeProto) -> str:
    """The module path of a node as a dotted name, "" if its name carries none.

    `/features/features.1/conv/conv.0/Conv` -> `features.1.conv.0`: a child of an nn.Sequential repeats its parent.
    """
    for prop in node.metadata_props:
        if prop.key == "pkg.torch.onnx.name_scopes":
            try:
                scopes = [s for s in ast.literal_eval(prop.value) if isinstance(s, str)]
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                break
            # The last entry is the operator itself, the one before it the innermost module.
            return clean(scopes[-2]) if len(scopes) > 1 and scopes[-2] else ""
    parts = node.name.strip("/").split("/")[:-1] if "/" in node.name else []
    path: list[str] = []
    for part in parts:
        if path and part.startswith(path[-1] + "."):
            path[-1] = part
        else:
            path.append(part)
    return clean(".".join(path)) if path else ""


class _Uses:
    """Who reads each value of the main graph."""

    def __init__(self, model: ModelProto):
        self.users: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in model.graph.node:
            for slot, name in enumerate(node.input):
                self.users.setdefault(name, []).append((node, slot))

    def layer(self, name: str, depth: int = 0) -> tuple[NodeProto, int] | None:
        """The first node that does more than pass the constant on, and the input slot the constant takes there."""
        for node, slot in self.users.get(name, []):
            if node.op_type in _VIEWS and slot == 0 and depth < 8:
                found = self.layer(node.output[0], depth + 1)
                if found:
                    return found
            else:
                return node, slot
        return None

    def bias_of(self, node: NodeProto, slot: int, constants: set[str]) -> str:
        """The constant added to the result of a layer, "" if there is none."""
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and slot < 2:
            return node.input[2] if len(node.input) > 2 else ""
        if node.op_type == "MatMul" and node.output:
            for user, _ in self.users.get(node.output[0], []):
                if user.op_type == "Add":
                    for name in user.input:
                        if name in constants:
                            return name
        return ""


def recover(model: ModelProto) -> dict[str, str]:
    """New names for the initializers of the main graph: old name -> new name, all distinct."""
    uses = _Uses(model)
    constants = {t.name for t in model.graph.initializer}
    producers = {o: n for n in model.graph.node for o in n.output}
    taken = {v.name for v in model.graph.input} | {o for n in model.graph.node for o in n.output}
    result: dict[str, str] = {}

    def unique(name: str) -> str:
        candidate, index = name, 1
        while candidate in taken:
            candidate, index = f"{name}_{index}", index + 1
        taken.add(candidate)
        return candidate

    # Names that the exporter kept come first: a made-up one must not take theirs.
    for tensor in model.graph.initializer:
        if not is_lost(tensor.name):
            result[tensor.name] = unique(clean(tensor.name))
    for tensor in model.graph.initializer:
        if tensor.name not in result:
            result[tensor.name] = unique(_guess(tensor.name, uses, constants, producers))
    return result


def _guess(name: str, uses: _Uses, constants: set[str], producers: dict[str, NodeProto]) -> str:
    found = uses.layer(name)
    if not found:
        return clean(name)
    node, slot = found
    bias = uses.bias_of(node, slot, constants)
    if bias and not is_lost(bias) and re.search(r"(^|[._/])bias$", bias):
        return clean(re.sub(r"bias$", "weight", bias))
    role = _ROLES.get((node.op_type, slot))
    path = scope(node)
    if role:
        return f"{path}.{role}" if path else clean(f"{node.name or node.output[0]}.{role}")
    if node.op_type == "Add":
        # A bias beside a product: the module is that of the product.
        for operand in node.input:
            product = producers.get(operand)
            if product is not None and product.op_type in ("MatMul", "Conv", "ConvTranspose") and scope(product):
                return f"{scope(product)}.bias"
    own = clean(re.sub(r"_output_\d+$", "", name)) if "/" in name else "constant"
    return f"{path}.{own.rsplit('.', 1)[-1].lower()}" if path else own
