"""Texts of scripts and servers, made safe for the owner's terminal.

A terminal obeys what it shows: escape sequences move the cursor, hide lines, set the window's title
or fill the clipboard. So every character that is not plain text is written as its Python escape.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from types import TracebackType
from typing import Final

MAX_LINE_CHARACTERS: Final = 10_000
# Letters that join or shape others, as in emoji and in Arabic and Indic scripts, stay.
_JOINERS: Final = frozenset("\u200c\u200d")
# Most texts are printable ASCII; only the others are looked at letter by letter.
_UNUSUAL: Final = re.compile(r"[^ -~]")


def plain(text: object, *, keep: str = "") -> str:
    r"""Return the text with each control and invisible character written like ``\x1b``.

    The characters of ``keep`` stay as they are. Line breaks are not kept by default: a text with
    line breaks could forge a line of the log.
    """
    return _UNUSUAL.sub(lambda match: _shown(match.group(), keep), str(text))


def short(text: object, most_characters: int) -> str:
    """Return the text, with its end cut off when it is longer than ``most_characters``."""
    words = str(text)
    return words if len(words) <= most_characters else f"{words[: most_characters - 1]}…"


def _shown(letter: str, keep: str) -> str:
    if letter.isprintable() or letter in keep or letter in _JOINERS:
        return letter
    return letter.encode("unicode_escape").decode("ascii")


class PlainFormatter(logging.Formatter):
    """Formats log lines as plain text: one line per message, tracebacks below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = short(plain(record.message, keep="\t"), MAX_LINE_CHARACTERS)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text. A wrong argument is shown, not raised."""
        try:
            return plain(super().format(record), keep="\n\t")
        except (TypeError, ValueError):
            # logging would print a traceback when an argument does not fit its placeholder.
            record.msg, record.args = f"{record.msg} {record.args!r}", None
            return plain(super().format(record), keep="\n\t")


def log_uncaught_errors(log: logging.Logger) -> None:
    """Log what ends a thread or the program, instead of printing the raw traceback.

    The message of an error may hold text of a script or a server.
    """

    def of_program(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        log.critical("the agent failed", exc_info=(kind, error, trace))

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is None or issubclass(arguments.exc_type, SystemExit):
            return
        name = arguments.thread.name if arguments.thread is not None else "a thread"
        information = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        log.critical("the agent failed in %s", name, exc_info=information)

    sys.excepthook = of_program
    threading.excepthook = of_thread
