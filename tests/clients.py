"""REST API clients, one function per role."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns.models import PersonalToken
from tests import factories
from workers.models import Worker
from workers.tokens import PERSONAL_PREFIX, hash_token, new_token


def bearer(token: str) -> APIClient:
    """Return a client that sends this token."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def signed_in_client(user: User | None = None) -> tuple[APIClient, User]:
    """Return a client with a session, as after signing in on the pages, and its user."""
    client, person = APIClient(), user or factories.user()
    client.force_login(person)
    return client, person


def agent_client(name: str = "") -> tuple[APIClient, Worker]:
    """Return a client with the token of a new worker, and the worker."""
    worker, token = factories.worker_with_token(name, now=timezone.now())
    return bearer(token), worker


def researcher_client(user: User | None = None) -> tuple[APIClient, User]:
    """Return a client with a personal token of the user (by default a new one), and the user."""
    owner = user or factories.user()
    token = new_token(PERSONAL_PREFIX)
    PersonalToken.objects.create(user=owner, name="tests", token_hash=hash_token(token))
    return bearer(token), owner
