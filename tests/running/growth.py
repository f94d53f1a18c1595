"""Inputs that grow: for a regular expression, texts on which a careless one takes very long."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

from tests.processes import ROOT

MOST_CHARACTERS: Final = 16_384
# For so many characters a linear pattern takes less than two milliseconds, a quadratic one 0.07 s
# on a quick machine.
SECONDS: Final = 0.03
_MOST_PIECES: Final = 14
_METHODS: Final = ("search", "match", "fullmatch", "sub", "split", "findall", "finditer")
_SAMPLES: Final = {
    codes.CATEGORY_DIGIT: "1",
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_WORD: "a",
    codes.CATEGORY_NOT_DIGIT: "a",
    codes.CATEGORY_NOT_SPACE: "a",
    codes.CATEGORY_NOT_WORD: "-",
}


def source_files(*folders: str) -> list[Path]:
    """The product's Python files in these folders, migrations aside."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if "migrations" not in path.parts]


def patterns_of(path: Path) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every pattern of a file with its name, "" for one inside a function.

    Raises AssertionError for one that is put together inside a function: nobody can test it.
    """
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)]
    inner = {call for function in functions for call in re_calls(function)}
    for call in inner:
        argument = call.args[0]
        if isinstance(argument, ast.Constant):
            yield "", re.compile(argument.value)
        else:
            assert ast.unparse(argument) in NAMED_ELSEWHERE, f"{path}: {ast.unparse(call)}"
    if any(call not in inner for call in re_calls(tree)):
        module = importlib.import_module(
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        )
        for name, value in vars(module).items():
            for pattern in inside(value):
                yield name, pattern


# The policies' paths, whose patterns are those of xeenet_site.security.
NAMED_ELSEWHERE: Final = frozenset({"path"})


def re_calls(tree: ast.AST) -> list[ast.Call]:
    """The calls of functions of `re` that take a pattern."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in {*_METHODS, "compile"}
    ]


def inside(value: Any) -> Iterator[re.Pattern[Any]]:
    """The patterns in a value and in the lists and mappings that it holds."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Mapping):
        yield from (pattern for part in value.values() for pattern in inside(part))
    elif isinstance(value, tuple | list | set | frozenset):
        yield from (pattern for part in value for pattern in inside(part))
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        yield from inside(list(vars(value).values()))


def methods_of(name: str, sources: Iterable[str]) -> set[str]:
    """The methods that are called on the pattern of that name; "search" when none is seen."""
    call = re.compile(rf"\b{re.escape(name)}\.(\w+)\(")
    used = {method for text in sources for method in call.findall(text)} if name else set()
    return used & {"search", "match", "fullmatch", "sub"} or {"search"}


def pieces(pattern: re.Pattern[Any]) -> list[str]:
    """Short texts that the pattern is made of: its words, and one sample of each class."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin1")
    found: dict[str, None] = {}
    _walk(parser.parse(text), found)
    singles = [piece for piece in found if len(piece) == 1]
    words = [piece for piece in found if len(piece) > 1]
    return [*words[:6], *singles][:_MOST_PIECES]


def _walk(tree: Any, found: dict[str, None]) -> None:
    run = ""
    for code, argument in tree:
        if code is codes.LITERAL:
            run += chr(argument)
            continue
        _note(run, found)
        run = ""
        if code is codes.IN:
            _walk_class(argument, found)
        elif code in {codes.ANY, codes.NOT_LITERAL}:
            found["a"] = None
        else:
            for subtree in _subtrees(argument):
                _walk(subtree, found)
    _note(run, found)


def _note(run: str, found: dict[str, None]) -> None:
    if run:
        found.update({run: None, run[0]: None, run[-1]: None})


def _walk_class(members: Any, found: dict[str, None]) -> None:
    for kind, value in members:
        if kind is codes.LITERAL:
            found[chr(value)] = None
        elif kind is codes.RANGE:
            found.update({chr(value[0]): None, chr(value[1]): None})
        elif kind is codes.CATEGORY:
            found[_SAMPLES.get(value, "a")] = None


def _subtrees(argument: Any) -> Iterator[Any]:
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _subtrees(part)


def texts(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """Heads, pumps and ends: the text is the head, the pump many times, the end."""
    parts = pieces(pattern) or ["a"]
    for pump in parts:
        for head in ("", *parts):
            yield head, pump, ""
            yield head, pump, "\x00"
    for first, second in itertools.permutations(parts, 2):
        yield "", first + second, "\x00"


def slowest(
    call: Callable[[Any], Any], pattern: re.Pattern[Any], most: int = MOST_CHARACTERS
) -> tuple[float, str]:
    """The longest time of a call on any of the texts, which grow until one is slow; that text."""
    worst, which = 0.0, ""
    for head, pump, end in texts(pattern):
        for size in (12, 24, 512, most):
            text: Any = head + pump * (size // len(pump)) + end
            if isinstance(pattern.pattern, bytes):
                text = text.encode("latin1", "replace")
            seconds = _seconds(call, text)
            if seconds > SECONDS:
                seconds = min(seconds, _seconds(call, text))
            if seconds > worst:
                worst, which = seconds, f"{head!r} + {pump!r} * {size // len(pump)} + {end!r}"
            if seconds > SECONDS:
                return worst, which
    return worst, which


def _seconds(call: Callable[[Any], Any], text: Any) -> float:
    started = time.process_time()
    call(text)
    return time.process_time() - started


def call_of(pattern: re.Pattern[Any], method: str) -> Callable[[Any], Any]:
    """The method of the pattern as a function of the text alone."""
    if method == "sub":
        empty = b"" if isinstance(pattern.pattern, bytes) else ""
        return lambda text: pattern.sub(empty, text)
    call: Callable[[Any], Any] = getattr(pattern, method)
    return call
