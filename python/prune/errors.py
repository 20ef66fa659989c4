"""The one exception type that users see as a single line."""

from __future__ import annotations


class PruneError(Exception):
    """A user error: place, rule, what was found and what was expected.

    ``str()`` of it is one line, ``PLACE: RULE: got X, expected Y``; without ``expected`` the line ends after X.
    """

    def __init__(self, place: str, rule: str, got: str, expected: str = ""):
        self.place = place
        self.rule = rule
        self.got = got
        self.expected = expected
        super().__init__(str(self))

    def __str__(self) -> str:
        tail = f", expected {self.expected}" if self.expected else ""
        return one_line(f"{self.place}: {self.rule}: got {self.got}{tail}")


def one_line(text: str, limit: int = 600) -> str:
    """The text without line breaks and control characters, shortened to `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."
