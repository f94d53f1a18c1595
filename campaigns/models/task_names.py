"""The name of a task: its campaign and its number there, the same in addresses, logs and files."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

EXAMPLE: Final = "3/17"
# As many digits as a database's largest integer may have; more would only be slow to read.
_NAME: Final = re.compile(r"(\d{1,18})/(\d{1,9})", re.ASCII)


class TaskName(NamedTuple):
    """A campaign's number, and a task's number in it: "3/17"."""

    campaign: int
    number: int

    def __str__(self) -> str:
        return f"{self.campaign}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes. Raises ValueError with a sentence for people."""
        parts = _NAME.fullmatch(text.strip())
        if parts is None:
            name = text.strip()[:60] or "Nothing"
            raise ValueError(
                f"{name} is not the name of a task: give its campaign and its number there, such "
                f"as {EXAMPLE}."
            )
        return cls(int(parts[1]), int(parts[2]))
