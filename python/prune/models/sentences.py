"""English sentences to distil an encoder on: a file of them, or the documentation of the Python that runs."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from typing import Iterator

import numpy as np

from prune.errors import PruneError

# Words of a sentence that is worth learning from.
LEAST, MOST = 6, 40
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_TEXT = re.compile(r'"""(.*?)"""', re.DOTALL)
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()\"-]*[.!?]")


def read(path: Path) -> list[str]:
    """One sentence a line; empty lines are left out. Raises PruneError for a file that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise PruneError(str(path), "sentences", f"a byte that is no UTF-8 at {error.start}", "UTF-8 text") from None
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise PruneError(str(path), "sentences", "none", "one a line")
    return found


def gather(count: int) -> list[str]:
    """Up to `count` different sentences from docstrings of the standard library and of what is installed beside it, in an
    order that depends on nothing else."""
    folders = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    found: dict[str, None] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for sentence in _docstrings(path):
                found[sentence] = None
            if len(found) >= 4 * count:
                break
    sentences = list(found)
    order = np.random.Generator(np.random.Philox(key=[1, len(sentences)])).permutation(len(sentences))
    return [sentences[i] for i in order[:count]]


def _docstrings(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return
    for quoted in _TEXT.findall(text):
        for paragraph in quoted.split("\n\n"):
            for sentence in _END.split(" ".join(paragraph.split())):
                if LEAST <= len(sentence.split()) <= MOST and _PROSE.fullmatch(sentence):
                    yield sentence
