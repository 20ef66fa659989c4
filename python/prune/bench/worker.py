"""One model in one of the programs that are compared, in a process of its own that runs it on request.

    worker.py KIND MODEL THREADS INPUTS.npz OUTPUTS.npz [LOOP.so]

Runs once, writes the outputs, answers {"version": ...}; then answers each line N of stdin by {"ms": [N numbers]}.
It is started by the Python of the peer's own environment: nothing of this package is imported.
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def timed(run):
    """A function that times n calls of `run`, in milliseconds."""
    def times(n):
        result = []
        for _ in range(n):
            begin = time.perf_counter()
            run()
            result.append((time.perf_counter() - begin) * 1e3)
        return result
    return times


def onnxruntime(model, threads, inputs):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads would otherwise keep spinning on the cores while another program is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, inputs)))
    return outputs, timed(lambda: session.run(None, inputs)), ort.__version__


def openvino(model, threads, inputs):
    import openvino as ov
    # f32 as everywhere else: processors with bf16 would be given less precision by default.
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1",
                "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    for name, value in inputs.items():
        request.set_tensor(name, ov.Tensor(value, shared_memory=True))
    request.infer()
    outputs = {o.get_any_name(): request.get_tensor(o).data.copy() for o in request.model_outputs}
    return outputs, timed(request.infer), ov.__version__.split("-")[0]


def deepsparse(model, threads, inputs):
    import deepsparse as ds
    batch = next(iter(inputs.values())).shape[0]
    engine = ds.Engine(model=model, batch_size=batch, num_cores=threads)
    arrays = [inputs[name] for name in engine.input_names]
    outputs = dict(zip(engine.output_names, engine.run(arrays)))
    # Without the check of the inputs in Python, which the other programs do not have.
    return outputs, timed(lambda: engine.run(arrays, val_inp=False)), ds.__version__


def jax(model, threads, inputs):
    """A step of training with what `inputs` hold: the model's inputs, `answer`, the learning rate `lr`, the `names` of
    the weights to train, and masks as `mask:NAME`. The losses of the first three steps are the outputs."""
    import jax as framework
    import jax.numpy as jnp
    import onnx
    from jax_step import make_step
    from onnx import numpy_helper
    graph = onnx.load(model)
    names = set(inputs.pop("names").tolist())
    lr, answer = float(inputs.pop("lr")), jnp.asarray(inputs.pop("answer"))
    masks = {n.removeprefix("mask:"): inputs.pop(n) for n in list(inputs) if n.startswith("mask:")}
    weights = {t.name: jnp.asarray(numpy_helper.to_array(t)) for t in graph.graph.initializer if t.name in names}
    if weights.keys() != names:
        raise RuntimeError(f"no weights {sorted(names - weights.keys())} in {model}")
    batch = {n: jnp.asarray(v) for n, v in inputs.items()}
    step = make_step(graph, masks, lr)
    zeros = [framework.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    state = [weights, *zeros, jnp.int32(0)]

    def run():
        *state[:], loss = step(*state, batch, answer)
        return loss.block_until_ready()
    losses = np.array([run() for _ in range(3)])
    return {"losses": losses}, timed(run), framework.__version__


class _Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_char_p), ("rank", ctypes.c_int),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("bytes", ctypes.c_size_t)]


def prune(model, threads, inputs):
    """A library that prune-compile wrote; its names begin with the file's."""
    library, name = ctypes.CDLL(model), Path(model).stem
    loop = ctypes.CDLL(sys.argv[6]).prune_bench_loop

    def function(suffix, result, *arguments):
        found = getattr(library, f"{name}_{suffix}")
        found.restype, found.argtypes = result, arguments
        return found

    error = ctypes.create_string_buffer(512)
    handle = function("create", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)(None, error, 512)
    if not handle:
        raise RuntimeError(error.value.decode())
    function("set_threads", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(handle, threads)

    def tensors(suffix):
        get, i = function(suffix, ctypes.POINTER(_Tensor), ctypes.c_int), 0
        while get(i):
            found = get(i).contents
            yield found.name.decode(), found.type.decode(), tuple(found.shape[:found.rank])
            i += 1

    ins, outs = [], {}
    for tensor, kind, shape in tensors("input"):
        value = inputs[tensor]
        if value.dtype != kind or value.shape != shape:
            raise RuntimeError(f"input '{tensor}': expected {kind}{list(shape)}, got {value.dtype}{list(value.shape)}")
        ins.append(value)
    for tensor, kind, shape in tensors("output"):
        outs[tensor] = np.zeros(shape, kind)
    pointers = [(ctypes.c_void_p * max(1, len(a)))(*(v.ctypes.data for v in a)) for a in (ins, list(outs.values()))]
    run = ctypes.cast(getattr(library, f"{name}_run"), ctypes.c_void_p)

    def times(n):
        result = np.zeros(n)
        loop(run, ctypes.c_void_p(handle), *pointers, n, result.ctypes.data_as(ctypes.c_void_p))
        return result.tolist()
    times(1)
    return outs, times, ""


def main():
    kind, model, threads, source, target = sys.argv[1:6]
    # Whatever libraries print goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    with np.load(source) as arrays:
        inputs = {name: np.asarray(arrays[name], order="C") for name in arrays.files}
    outputs, times, version = globals()[kind](model, int(threads), inputs)
    np.savez(target, **outputs)
    answer({"version": version})
    for line in sys.stdin:
        answer({"ms": times(int(line))})


if __name__ == "__main__":
    main()
