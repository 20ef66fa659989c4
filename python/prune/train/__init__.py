"""Training of compiled modules: the functions of a training module, data, the loop and its checkpoints."""
