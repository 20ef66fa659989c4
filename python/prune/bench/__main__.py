"""``python -m prune.bench``."""

import sys

from prune.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
