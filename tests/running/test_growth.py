"""No text of strangers keeps a web process busy longer than its length accounts for."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.processes import ROOT
from tests.running.growth import call_of, methods_of, patterns_of, slowest, source_files
from xeenet_site import logs, security
from xeenet_site.front_door import MAX_PATH_CHARACTERS

FILES: Final = source_files("campaigns", "workers", "xeenet_site")
WITH_PATTERNS: Final = [path for path in FILES if "import re\n" in path.read_text()]
SECONDS: Final = 0.5


@pytest.mark.parametrize("path", WITH_PATTERNS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_regular_expression_takes_linear_time(path: Any) -> None:
    sources = [file.read_text() for file in FILES]
    for name, pattern in patterns_of(path):
        for method in sorted(methods_of(name, sources)):
            seconds, text = slowest(call_of(pattern, method), pattern)
            assert seconds < 0.03, f"{name}.{method} takes {seconds:.2f} s on {text}"


def test_the_check_sees_a_quadratic_and_an_exponential_pattern() -> None:
    for careless in (r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)", r"(a+)+b", r"x\d*\d*y", r"\s*$"):
        seconds, _ = slowest(call_of(re.compile(careless), "search"), re.compile(careless))
        assert seconds > 0.03, careless


def routes(resolver: URLResolver) -> Iterator[re.Pattern[str]]:
    for entry in resolver.url_patterns:
        regex = getattr(entry.pattern, "regex", None)
        if isinstance(regex, re.Pattern):
            yield regex
        if isinstance(entry, URLResolver):
            yield from routes(entry)
        else:
            assert isinstance(entry, URLPattern)


def test_every_route_and_policy_takes_linear_time() -> None:
    found = {regex.pattern: regex for regex in routes(get_resolver())}
    found |= {path: re.compile(path) for path in security.POLICY_BY_PATH}
    assert len(found) > 50
    for regex in found.values():
        seconds, text = slowest(regex.search, regex, MAX_PATH_CHARACTERS)
        assert seconds < 0.03, f"{regex.pattern} takes {seconds:.2f} s on {text}"


# --- The log --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["a.", "a", "password ", "password=", "://a:", "xw_", "basic ", "\\", "\x00", "\u2028"]
)
def test_a_long_text_of_strangers_costs_the_log_little_and_is_cut(text: str) -> None:
    started = time.process_time()
    clean = logs.bounded_text(text * 200_000)
    assert time.process_time() - started < SECONDS
    assert len(clean) < 3 * logs.MAX_VALUE_CHARACTERS
    assert clean.endswith(logs.CUT)


def test_a_secret_at_the_edge_of_a_cut_is_not_half_there() -> None:
    secret = "xw_" + "s3cr3t" * 7
    for missing in range(1, len(secret)):
        start = "." * (logs.MAX_VALUE_CHARACTERS - missing)
        assert "xw_s" not in logs.bounded_text(f"{start}{secret}.")
        tail = logs.bounded_text(f"{'.' * 9000}{secret}{'.' * (3000 - missing)}", tail=3000)
        assert "s3cr3t" not in tail


def test_a_line_of_many_and_strange_values_is_bounded_and_stays_json() -> None:
    config = logs.logging_config(production=True, level="INFO")["formatters"]["line"]
    formatter = config.pop("()")(**config)
    record = logging.LogRecord("x", 20, "x.py", 1, "found: %s", ("é" * 100_000,), None)
    nested: Any = "end"
    for _ in range(300):
        nested = [nested]
    event = {
        "event": "request",
        "many": list(range(100_000)),
        "deep": nested,
        "huge": 10**5000,
        "password": "abc",
        "body": {"secret": "abc", "token": 'password: "abc"\nxw_' + "a" * 40},
        "object": object(),
    }
    for message in (record, logging.makeLogRecord({"msg": event, "_logger": None, "_name": "x"})):
        line = formatter.format(message)
        assert isinstance(json.loads(line), dict)
        assert len(line) < 64_000
        assert "abc" not in line
        assert "xw_a" not in line


@pytest.mark.django_db
def test_a_path_of_sixty_thousand_characters_is_answered_at_once() -> None:
    assert Client().get("/nowhere").status_code == 404  # loads views and templates
    started = time.process_time()
    answer = Client().get("/" + "a." * 30_000)
    assert time.process_time() - started < SECONDS
    assert answer.status_code == 404
