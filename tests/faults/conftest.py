"""Fixtures of the tests with faults: servers behind the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.stack import Stack, running_stack


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest,
    django_db_setup: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Run as many web servers for one file of tests as its WEB_SERVERS says."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, web_servers=request.module.WEB_SERVERS) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack, transactional_db: None, settings: Any) -> Iterator[Stack]:
    """Yield the running servers for one test; check afterwards what they acknowledged."""
    with running.one_test(settings) as stack:
        yield stack
