"""Progress on a terminal, silence in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Iterator, TextIO


class Steps:
    """Prints one line for each step with its time, if `stream` is a terminal or `always` is set.

    >>> steps = Steps("import")
    >>> with steps.step("shape inference"): ...
    """

    def __init__(self, title: str, always: bool = False, stream: TextIO | None = None):
        self.title = title
        self.stream = stream if stream is not None else sys.stderr
        self.terminal = self.stream.isatty()
        self.enabled = always or self.terminal
        self.begin = time.monotonic()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announces `name`, and its duration when it ends (also when it ends by an exception)."""
        self.start(name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.done(name, time.monotonic() - start)

    def start(self, name: str) -> None:
        """A step begins: shown at once on a terminal, so that a long one is not taken for a hang."""
        if self.enabled and self.terminal:
            self.stream.write(f"\r\033[K{self.title}: {name} ...")
            self.stream.flush()

    def done(self, name: str, seconds: float) -> None:
        """A step ended."""
        if self.enabled:
            lead = "\r\033[K" if self.terminal else ""
            self.stream.write(f"{lead}{self.title}: {name} ({seconds:.1f} s)\n")
            self.stream.flush()

    def note(self, text: str) -> None:
        """A line that is always printed: warnings."""
        lead = "\r\033[K" if self.terminal else ""
        self.stream.write(f"{lead}{text}\n")
        self.stream.flush()
