"""What gradients are checked on: `cases` in MLIR, one for each rule, and `operators` as ONNX models."""
