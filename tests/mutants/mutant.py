"""The class of the mutants in the tables, and a short way to write those of the agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A small patch that removes one guard, and the tests that must notice.

    `old` must occur exactly once in the file at `path` and is replaced by `new`. `tests` are
    arguments for pytest, with paths from the root of the tree. Races need the `database`
    "postgresql".
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    database: str = "sqlite"

    def apply(self, root: Path) -> str:
        """Patch the file below `root`; return its former text.

        Raises ValueError unless the file contains `old` exactly once.
        """
        file = root / self.path
        original = file.read_text()
        if (times := original.count(self.old)) != 1:
            raise ValueError(
                f"mutant {self.name!r}: its text is {times} times in {self.path}, must be there "
                "once. The code has changed; bring the row up to date."
            )
        file.write_text(original.replace(self.old, self.new))
        return original


def of_agent(name: str, path: str, old: str, new: str, tests: str, words: str) -> Mutant:
    """Return a mutant of a file at `path` below the agent's folder.

    Its tests are those in the file `tests` that `words`, an expression for pytest's -k, selects.
    """
    return Mutant(name, f"workers/agent/{path}", old, new, (tests, "-k", words))
