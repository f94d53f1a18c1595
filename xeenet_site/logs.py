"""Structured logs: one line per event, JSON in production, plain text in development.

Django, libraries and our own modules all log through the same formatter, so every line of a
request carries its `request_id`, and its request line the caller and the leases concerned. The
last step hides secrets in the finished line, tracebacks included.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# The logger of request lines, one per request; the other loggers are named after modules.
REQUESTS: Final = "xeenet.requests"
HIDDEN: Final = "[hidden]"
# Our tokens are recognised by their prefix; a value after one of these words is always a secret.
_SECRETS: Final = (
    re.compile(r"\b(x[wpe]_)[A-Za-z0-9_-]{16,}"),
    re.compile(r"(?i)(\b(?:bearer|basic) +)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(
        r"(?i)(\b(?:authorization|password|passwd|secret|secret_key|csrfmiddlewaretoken|sessionid"
        r"|csrftoken|x-csrftoken)\b[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&}]+"
    ),
    # A password inside a URL: postgresql://user:password@host.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)"),
)
_READABLE_ORDER: Final = ("timestamp", "level", "logger", "event", "exception")


def hide_secrets(text: str) -> str:
    """Return the log line with tokens, passwords and keys replaced by "[hidden]"."""
    for secret in _SECRETS:
        text = secret.sub(rf"\g<1>{HIDDEN}", text)
    return text


def _hide(_logger: WrappedLogger, _name: str, line: Any) -> Any:
    return hide_secrets(line)


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
                    render,
                    _hide,
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
