"""The client's address is the one that the trusted proxy saw, never one that a caller claims."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from xeenet_site.web.client_address import client_address


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "expected"),
    [
        (0, "192.0.2.1", None, "192.0.2.1"),
        (0, "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (1, "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (1, "127.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        (2, "127.0.0.1", "10.9.9.9, 203.0.113.9, 198.51.100.1", "203.0.113.9"),
        # Fewer addresses than proxies: the request bypassed a proxy.
        (2, "127.0.0.1", "203.0.113.9", "127.0.0.1"),
        (1, "127.0.0.1", None, "127.0.0.1"),
        (1, "127.0.0.1", "", "127.0.0.1"),
        (1, "127.0.0.1", "<script>", "unknown"),
        (0, "", None, "unknown"),
        (0, "2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        (0, "::ffff:192.0.2.1", None, "192.0.2.1"),
    ],
)
def test_the_address_is_the_last_that_our_proxies_vouch_for(
    settings: Any, proxies: int, peer: str, forwarded: str | None, expected: str
) -> None:
    settings.XEENET = settings.XEENET | {"TRUSTED_PROXIES": proxies}
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory(REMOTE_ADDR=peer).get("/", headers=headers)
    assert client_address(request) == expected
