"""Benchmarks against other programs: `build/bin/prune-bench minilm | kernels | nets`."""
