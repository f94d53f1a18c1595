"""Structured logs: one line per event, JSON in production, plain text in development.

Django, libraries and our own modules all log through the same formatter, so every line of a
request carries its `request_id`, and its request line the caller and the leases concerned. Before
an event is written, each of its values is cut to a bounded length and loses its secrets,
tracebacks included. Strangers choose much of that text: its length must never decide how long a
web process is busy.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# The logger of request lines, one per request; the other loggers are named after modules.
REQUESTS: Final = "xeenet.requests"
HIDDEN: Final = "[hidden]"
CUT: Final = "[cut]"
# The most characters of one value of an event, and of a traceback, whose end says most.
MAX_VALUE_CHARACTERS: Final = 4096
MAX_TRACEBACK_CHARACTERS: Final = 32 * 1024
# The most values of one event, of lists and of nested objects together.
MAX_VALUES: Final = 500
_MAX_INTEGER_BITS: Final = 128
# A cut may leave half of a secret at the edge, which no pattern recognises: drop so many characters
# more. Our tokens, session ids and passwords are shorter.
_EDGE_CHARACTERS: Final = 512
_NAMES: Final = (
    r"authorization|password|passwd|secret_key|secret|csrfmiddlewaretoken|sessionid|x-csrftoken"
    r"|csrftoken"
)
_SECRET_NAME: Final = re.compile(rf"(?i:{_NAMES})")
# Our tokens are recognised by their prefix; a value after one of these words is always a secret.
# All patterns take linear time: each starts at a fixed word, and no repetition backtracks.
_SECRETS: Final = (
    re.compile(r"(x[wpef]_)[A-Za-z0-9_-]{16,}+"),
    re.compile(r"((?i:bearer|basic) ++)[A-Za-z0-9._~+/=-]{8,}+"),
    re.compile(rf"((?i:{_NAMES})\\*+[\"']?+\s*+[=:]\s*+\\*+[\"']?+)[^\s\"',;&}}]++"),
    # A password inside a URL: postgresql://user:password@host.
    re.compile(r"(://[^\s:/@]*+:)[^\s@/]++(?=@)"),
)
# What no pattern matches: names, ids, paths, numbers. Most values of a request's line are such.
_HARMLESS: Final = re.compile(r"[A-Za-z0-9./-]*+|[A-Za-z0-9_./-]{0,18}+")
_READABLE_ORDER: Final = ("timestamp", "level", "logger", "event", "exception")


def hide_secrets(text: str) -> str:
    """Return the text with tokens, passwords and keys replaced by "[hidden]"."""
    if _HARMLESS.fullmatch(text):
        return text
    for secret in _SECRETS:
        text = secret.sub(rf"\g<1>{HIDDEN}", text)
    return text


def bounded_text(text: str, most: int = MAX_VALUE_CHARACTERS, *, tail: int = 0) -> str:
    """Return at most about `most` characters of a text, without its secrets.

    The last `tail` of these characters are taken from the end of a longer text.
    """
    if len(text) <= most:
        return hide_secrets(text)
    head = hide_secrets(text[: most - tail])[:-_EDGE_CHARACTERS]
    end = hide_secrets(text[len(text) - tail :])[_EDGE_CHARACTERS:] if tail else ""
    return f"{head}{CUT}{end}"


def _clean(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Return the event with every value bounded and without secrets."""
    exception = event.pop("exception", None)
    clean: EventDict = _Cleaner().mapping(event)
    if exception:
        most = MAX_TRACEBACK_CHARACTERS
        clean["exception"] = bounded_text(str(exception), most, tail=most // 4 * 3)
    return clean


class _Cleaner:
    """Copies the values of one event, at most `MAX_VALUES` of them."""

    def __init__(self) -> None:
        self._values_left = MAX_VALUES

    def mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        for key, value in values.items():
            name = bounded_text(str(key))
            clean[name] = HIDDEN if _SECRET_NAME.fullmatch(name) else self._value(value)
            if self._values_left <= 0:
                break
        return clean

    def _value(self, value: Any) -> Any:
        self._values_left -= 1
        if self._values_left <= 0:
            return CUT
        if isinstance(value, str):
            return bounded_text(value)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            # Python refuses to write integers of more than 4,300 digits.
            return value if value.bit_length() <= _MAX_INTEGER_BITS else CUT
        if isinstance(value, Mapping):
            return self.mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item) for item in itertools.islice(value, self._values_left)]
        return bounded_text(repr(value))


def _readable(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """Return "2026-01-05T12:00:00Z INFO    campaigns.jobs: leases expired: 3 key=value"."""
    more = [f"{key}={value}" for key, value in event.items() if key not in _READABLE_ORDER]
    head = f"{event['timestamp']} {event['level'].upper():<7} {event['logger']}:"
    line = " ".join([head, str(event["event"]), *more])
    return f"{line}\n{event['exception']}" if event.get("exception") else line


def logging_config(*, production: bool, level: str) -> dict[str, Any]:
    """Return Django's LOGGING."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: Processor = structlog.processors.JSONRenderer() if production else _readable
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(),
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    _clean,
                    render,
                ],
            },
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
            "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
            # In development, pages that poll every few seconds would bury all other lines.
            REQUESTS: {"level": logging.INFO if production else logging.ERROR},
        },
    }


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=("status_code",)),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
