"""Results as they come, so that a run that was cut off goes on: lines of JSON, each written in one piece."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from prune.errors import PruneError


class Journal:
    """The file `path`: its first line says by a digest what it belongs to, each other one holds the result of one
    point. `done` are the results that are there. Without `resume` it begins anew."""

    def __init__(self, path: Path, digest: str, resume: bool):
        self.path = path
        self.done: dict[int, Any] = {}
        whole = 0
        if resume and path.exists():
            content = path.read_bytes()
            # What follows the last line's end was cut off while it was written.
            whole = content.rfind(b"\n") + 1
            try:
                lines = [json.loads(line) for line in content[:whole].splitlines()]
                found = lines[0]["digest"] if lines else digest
                self.done = {entry["point"]: entry["result"] for entry in lines[1:]}
            except (ValueError, KeyError, TypeError):
                raise PruneError(str(path), "journal", "lines of another form", "those of this command") from None
            if found != digest:
                raise PruneError(str(path), "digest of module, data and options", f"{found[:12]}",
                                 f"{digest[:12]} of this run")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(self._file, whole)
        os.lseek(self._file, 0, os.SEEK_END)
        if whole == 0:
            self._write({"digest": digest})

    def add(self, point: int, result: Any) -> None:
        """Keeps a result."""
        self._write({"point": point, "result": result})

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        os.close(self._file)

    def _write(self, entry: Any) -> None:
        os.write(self._file, json.dumps(entry).encode() + b"\n")
