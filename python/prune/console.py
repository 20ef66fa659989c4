"""Progress on a terminal, silence in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Iterator, Sequence, TextIO


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Lines of aligned cells: the columns `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]


def milliseconds(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g} ms" if value < 999.5 else f"{value:,.0f} ms"


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


class Progress:
    """One line on a terminal that shows how far `total` steps are and how long the rest takes; silence in a pipe.

    >>> with Progress("train", 100) as progress: progress.advance(7, "loss 0.31")
    """

    # Seconds between two pictures.
    PERIOD = 0.1
    WIDTH = 24

    def __init__(self, title: str, total: int, stream: TextIO | None = None):
        self.title, self.total = title, total
        self.stream = stream if stream is not None else sys.stderr
        self.enabled = self.stream.isatty()
        self.begin()

    def begin(self, done: int = 0) -> None:
        """The clock starts with `done` steps made already."""
        self.first, self.start, self.shown = done, time.monotonic(), 0.0

    def advance(self, done: int, *facts: str) -> None:
        """`done` steps are made; `facts` are shown behind the bar."""
        if not self.enabled:
            return
        now = time.monotonic()
        if now - self.shown < self.PERIOD and done < self.total:
            return
        self.shown = now
        left = (now - self.start) / max(1, done - self.first) * (self.total - done)
        filled = self.WIDTH * done // max(1, self.total)
        bar = "#" * filled + "." * (self.WIDTH - filled)
        parts = [f"{self.title} [{bar}] {done}/{self.total}", *filter(None, facts), f"{left:.0f} s left"]
        self.stream.write("\r\033[K" + "  ".join(parts))
        self.stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        if self.enabled and self.shown:
            self.stream.write("\n")
            self.stream.flush()
