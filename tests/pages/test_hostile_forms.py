"""Hostile bodies for every form of the pages: never a 5xx, and no NUL in the database."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import transaction

from tests.authorisation import table
from tests.authorisation.world import World, make_world

pytestmark = pytest.mark.django_db

# Every field name that any form reads; each page must ignore the names it does not know.
FIELDS = (
    "allow_simulated",
    "base_seed",
    "constraint",
    "count",
    "dataset",
    "description",
    "edit",
    "events",
    "experiment",
    "import_text",
    "label",
    "max_failed_attempts",
    "max_lost_attempts",
    "name",
    "new_password1",
    "next",
    "old_password",
    "params",
    "password",
    "reason",
    "required_isolation",
    "sampler",
    "script",
    "search_space",
    "seed",
    "source",
    "space_mode",
    "task_count",
    "time_budget_seconds",
    "url",
    "username",
)
VALUES = (
    b"",
    b"NaN",
    b"Infinity",
    b"1e400",
    b"-1.5",
    b"9223372036854775808",
    b"9" * 5_000,
    b"%00x%00",
    b"%ED%A0%80",  # half of a surrogate pair
    b"%FF%FE",  # not UTF-8
    b"x" * 20_000,
    b"[" * 20_000,
    b"%E2%80%AE%3Cscript%3E%7B%7B+1+%7D%7D%27%3B+DROP+TABLE--%1B%5B31m%3Dcmd()",
    b"https%3A%2F%2F%5B%3A%3A1%5D%3A99999%2F",
)
PAGES = table.read()["pages"]
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
BROKEN_BODIES = {
    "a thousand and more fields": (FORM, b"&".join(b"f%d=1" % n for n in range(1_100))),
    "JSON": ("application/json", b'{"name": NaN}'),
    "no type": ("", b"name=n"),
    "half a file": (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="source"; filen'),
    "a file of NULs": (
        MULTIPART,
        b'--b\r\nContent-Disposition: form-data; name="source"; filename="../\0.py"\r\n\r\n'
        + b"\0" * 1000
        + b"\r\n--b--\r\n",
    ),
    "a boundary that never comes": ("multipart/form-data; boundary=c", b"name=n"),
}


@pytest.fixture
def world(settings: Any, tmp_path: Any) -> World:
    settings.MEDIA_ROOT = tmp_path
    return make_world()


def changes(row: table.Row) -> bool:
    return table.IN not in {row["nobody"], row[table.CLOSED]} and row["owner"] != "404"


def test_no_body_makes_a_page_fail(world: World) -> None:
    client = world.in_the_browser["owner"]
    bodies = {
        value[:40].decode(): (FORM, b"&".join(field.encode() + b"=" + value for field in FIELDS))
        for value in VALUES
    } | BROKEN_BODIES
    # Pages that strangers may read do not read a body.
    paths = [path for (method, path), row in PAGES.items() if method == "POST" and changes(row)]
    paths.append("login/")
    cookies = dict(client.cookies)
    requests = 0
    logging.disable(logging.CRITICAL)
    try:
        for path in paths:
            for name, (content_type, body) in bodies.items():
                # Roll back each time, so that an accepted body does not change the next answer.
                with transaction.atomic():
                    answer = client.generic(
                        "POST", world.address(path), body, content_type=content_type
                    )
                    transaction.set_rollback(True)
                client.cookies.update(cookies)
                requests += 1
                assert answer.status_code < 500, f"{path}: {name}"
    finally:
        logging.disable(logging.NOTSET)
    assert requests > 500
