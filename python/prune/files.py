"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Iterator

from prune.errors import PruneError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes take the place of `path` at the end; after any error what was there before stays."""
    with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.chmod(stream.name, 0o644)
            os.replace(stream.name, path)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """UTF-8."""
    with replacing(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """One line for each value."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def check_target(path: Path | None, option: str) -> None:
    """Before anything is computed: can the file be written at all? Raises PruneError that names `option`."""
    if path is not None and (not path.absolute().parent.is_dir() or path.is_dir()
                             or not os.access(path.absolute().parent, os.W_OK)):
        raise PruneError(option, "output", f"'{path}'", "a file in an existing, writable folder")
