"""The main job: one real encoder through the whole compiler, compared with ONNX Runtime."""

from prune.quickstart.job import QuickstartOptions, quickstart

__all__ = ["QuickstartOptions", "quickstart"]
