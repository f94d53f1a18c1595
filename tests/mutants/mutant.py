"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A small patch that takes one guard out, and the tests that must notice.

    `old` stands in the file once, lines and all; `new` takes its place. `tests` are pytest's
    names, from the root of the tree. A race needs a real database server: "postgresql".
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    database: str = "sqlite"

    def apply(self, root: Path) -> str:
        """Patch the file below `root`; return its text as it was. Raises ValueError."""
        file = root / self.path
        original = file.read_text()
        if (times := original.count(self.old)) != 1:
            raise ValueError(
                f"mutant {self.name!r}: its text is {times} times in {self.path}, must be there "
                "once. The code has changed; bring the row up to date."
            )
        file.write_text(original.replace(self.old, self.new))
        return original
