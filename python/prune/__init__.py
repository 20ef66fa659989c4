"""Python edges of the pruning compiler: model import, ready-made models, the quickstart.

The compiler itself is C++ (``prune-opt``, ``prune-run``); nothing here is needed to build or to use it on MLIR files.
"""

__version__ = "0.1.0"
