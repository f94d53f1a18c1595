"""Fixtures of the tests of pages."""

from __future__ import annotations

import pytest
from django.test import Client

from tests import factories


@pytest.fixture
def researcher(client: Client) -> Client:
    """The client, signed in as the researcher ada."""
    client.force_login(factories.user("ada"))
    return client
