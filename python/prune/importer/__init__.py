"""Import of models: ONNX through the torch-mlir pipelines of the iree-base-compiler wheel, MLIR as it is."""

from prune.importer.driver import ImportOptions, import_model

__all__ = ["ImportOptions", "import_model"]
