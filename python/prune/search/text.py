"""What `python -m prune search` prints."""

from __future__ import annotations

from typing import Mapping

from prune.console import columns, milliseconds


def text(found: Mapping) -> str:
    """The layers, the front, and how far the target was met."""
    target, achieved, times = found["target"], found["achieved"], found["milliseconds"]
    latency = f"latency {achieved['latency']:.3f} ({found['latency']}), "
    if times:
        latency = (f"latency {achieved['latency']:.3f} (measured in turn: {milliseconds(times['unpruned'])} become "
                   f"{milliseconds(times['pruned'])}; estimated {achieved['estimated_latency']:.3f}), ")
    rows = [("layer", "sparsity", found["measure"].replace("_", " "), "code")]
    rows += [(layer["name"], f"{layer['sparsity']:.1%}" if layer["pattern"] else "no mask", f"{layer['loss']:.4f}",
              (layer["code"] or "").split(" (")[0]) for layer in found["layers"]]
    front = [(f"{target['minimized']} of dense", "least loss")]
    front += [(f"{point['cost']:.3f}", f"{point['loss']:.4f}") for point in found["front"]]
    return "\n".join([
        *columns(rows, left=(0, 3)), "", f"Least loss for each {target['minimized']}, before anything is measured:",
        *columns(front), "",
        f"{latency}size {achieved['size']:.3f}, flops {achieved['flops']:.3f} of the unpruned model, drop "
        f"{achieved['drop']:.4f}; {found['sparsity']:.1%} of the layers' weights are pruned",
        f"target {target['kind']}:{target['value']:g} {'met' if found['met'] else 'MISSED'} with "
        f"{achieved[target['kind']]:.4f} in {len(found['trials'])} trials"])
