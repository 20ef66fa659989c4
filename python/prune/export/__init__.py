"""Export of modules: ONNX by translation of linalg on tensors, safetensors as named arrays."""
