"""Read YAML 1.2 strictly, with the line of every value. Pure.

PyYAML parses the text, as YAML 1.1; the values are resolved here by the core schema of YAML 1.2.
Where the two versions read a word or a number differently, the text is refused: whoever wrote it
may have meant either. What aliases (``*name``) and merge keys (``<<``) stand for counts as if it
were written out, so a short text cannot build a large space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from campaigns.search.lined import (
    MAX_DEPTH,
    LinedDict,
    LinedList,
    UnreadableSpace,
    check_length,
    real_number,
    whole_number,
)

# A space of 64 choices with 256 values each has 17,000 values.
MAX_BUILT: Final = 20_000
# Half of a surrogate pair, which no page and no database can hold.
_SURROGATE: Final = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{
        sign + word: float(f"{sign}inf")
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
}
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+\Z")
_REAL: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
# Read differently by the two versions: 017 and 0o17 in octal, and digits that only look so.
_OCTAL: Final = re.compile(r"[-+]?0(?:[0-9_]+|o[0-7]+)\Z")
_OLD_WORDS: Final = re.compile(r"(?:yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)\Z")
_STRING_TAGS: Final = frozenset({None, "!", "tag:yaml.org,2002:str"})


def read_yaml(text: str) -> Any:
    """Return the data of a YAML text, as `LinedDict` and `LinedList`. Raises UnreadableSpace."""
    import yaml

    check_length(text)
    if _SURROGATE.search(text):
        raise UnreadableSpace("This YAML holds half of a surrogate pair.")
    try:
        return _Reader().read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnreadableSpace(f"{where}this is not YAML ({error.problem}).") from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, UnreadableSpace):
            raise
        raise UnreadableSpace("This YAML holds what YAML does not allow.") from error


class _Reader:
    """Builds the data of one document from PyYAML's events, and counts what it builds."""

    def __init__(self) -> None:
        import yaml

        self._yaml = yaml
        self._old_resolver: Any = yaml.resolver.Resolver()
        # The data of each anchor, and how many values it was built of.
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._built = 0
        self._events: Iterator[Any] = iter(())

    def read(self, text: str) -> Any:
        # libyaml where it is installed: 20 times as fast.
        loader = getattr(self._yaml, "CSafeLoader", self._yaml.SafeLoader)
        self._events = iter(self._yaml.parse(text, Loader=loader))
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), self._yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), 1)
        next(self._events)  # the end of the document
        if not isinstance(after := next(self._events), self._yaml.StreamEndEvent):
            raise UnreadableSpace("a second document begins; give one alone.", _line(after))
        return data

    def _value(self, event: Any, depth: int) -> Any:
        before, yaml = self._built, self._yaml
        self._count(1, event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise UnreadableSpace("this YAML is nested too deeply.", _line(event))
        is_scalar = isinstance(event, yaml.ScalarEvent)
        if event.tag not in (_STRING_TAGS if is_scalar else {None, "!"}):
            raise UnreadableSpace(
                f"the tag {event.tag[:60]} has no meaning here; leave it out.", _line(event)
            )
        if is_scalar:
            data = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            data = LinedList()
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                data.put(self._value(item, depth + 1), _line(item))
        else:
            data = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = data, self._built - before
        return data

    def _mapping(self, depth: int) -> LinedDict:
        data, merged = LinedDict(), list[LinedDict]()
        while not isinstance(key := next(self._events), self._yaml.MappingEndEvent):
            if not isinstance(key, self._yaml.ScalarEvent):
                raise UnreadableSpace("a key must be a word or a text.", _line(key))
            self._count(1, key)
            value = self._value(next(self._events), depth + 1)
            if key.value == "<<" and key.implicit[0]:
                merged += self._merged(value, key)
            else:
                data.put(key.value, value, _line(key))
        # As in YAML 1.1: what is written in the mapping wins, then the first that is merged.
        for source in merged:
            for name, value in source.items():
                if name not in data:
                    data.put(name, value, source.lines[name])
        return data

    def _merged(self, value: Any, key: Any) -> list[LinedDict]:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, LinedDict) for source in sources):
            raise UnreadableSpace("<< must merge a mapping, or a list of mappings.", _line(key))
        return list(sources)

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise UnreadableSpace(
                f"*{event.anchor[:60]} stands for nothing that ended above it.", _line(event)
            )
        data, size = self._anchors[event.anchor]
        self._count(size, event)
        return data

    def _count(self, values: int, event: Any) -> None:
        self._built += values
        if self._built > MAX_BUILT:
            raise UnreadableSpace(
                f"up to here this YAML builds more than {MAX_BUILT:,} values; what aliases (*name) "
                "and merge keys (<<) stand for counts. Write a smaller space.",
                _line(event),
            )

    def _scalar(self, event: Any) -> Any:
        """Return the value of a scalar by YAML 1.2; quoted ones are texts."""
        text: str = event.value
        if not event.implicit[0] or event.tag is not None:
            return text
        try:
            return self._plain(text)
        except UnreadableSpace as error:
            raise UnreadableSpace(error.sentence, _line(event)) from error

    def _plain(self, text: str) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if _WHOLE.match(text):
            return whole_number(text)
        if _HEXADECIMAL.match(text):
            return whole_number(text, 16)
        if _OLD_WORDS.match(text):
            meaning = "true" if text.lower() in {"yes", "on"} else "false"
            raise UnreadableSpace(
                f"{text} is {meaning} in YAML 1.1 and a text in YAML 1.2; "
                f'write {meaning}, or "{text}" in quotes.'
            )
        if not _OCTAL.match(text):
            if _REAL.match(text):
                return real_number(text)
            node = self._yaml.ScalarNode
            if self._old_resolver.resolve(node, text, (True, False)).endswith(":str"):
                return text
        raise UnreadableSpace(
            f"{text[:40]} is read differently by YAML 1.1 and YAML 1.2; write it as a plain number "
            "in base ten, or in quotes if it is a text."
        )


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1
