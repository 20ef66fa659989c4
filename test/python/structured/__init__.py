"""Nets for structured pruning and ways to check what it did, none of which shares code with the compiler.

builder       layers of PyTorch exports as ONNX nodes, with random weights
cnn, sequence, attention, mixed, traps   small nets, one for each mechanism; `nets.NETS` lists them
masks         what a masked module removes, and the same zeros in the ONNX model
"""
