"""Fixtures of the tests of the admin."""

from __future__ import annotations

import pytest
from django.test import Client

from tests import factories


@pytest.fixture
def operator(client: Client) -> Client:
    """The client, signed in as a superuser named operator."""
    client.force_login(factories.user("operator", is_staff=True, is_superuser=True))
    return client
