"""Containerfile as its builder reads it: instructions without comments and line ends, by stage."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any, Final

from tests.processes import ROOT

FILE: Final = ROOT / "Containerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction: COPY, RUN, … with the rest of its line."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Return its words; those of a list in brackets as they are."""
        body = self.text
        if body.startswith("["):
            words: list[str] = json.loads(body)
            return words
        return shlex.split(body)


@dataclass(frozen=True)
class Stage:
    """One FROM, with what follows it."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        """Return the instructions of one kind."""
        return [instruction for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> Instruction:
        """Return the instruction of a kind that counts. Raises IndexError without one."""
        return self.all(name)[-1]


def instructions() -> list[Instruction]:
    """Return all instructions of the file."""
    lines = [line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    pairs = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [Instruction(name, text.strip()) for name, _, text in pairs]


def stages() -> dict[str, Stage]:
    """Return the stages by their names, in their order."""
    made: dict[str, Any] = {}
    current: list[Instruction] = []
    for instruction in instructions():
        if instruction.name == "FROM":
            base, word, name = instruction.words()
            assert word == "AS", instruction
            current = []
            made[name] = (base, current)
        else:
            current.append(instruction)
    return {name: Stage(name, base, tuple(rest)) for name, (base, rest) in made.items()}


def arguments() -> dict[str, str]:
    """Return the build arguments with their defaults."""
    return {
        name: default
        for instruction in instructions()
        if instruction.name == "ARG"
        for name, _, default in [instruction.text.partition("=")]
    }
