"""From which address a request comes, past the proxies that are ours."""

from __future__ import annotations

import ipaddress
from typing import Final

from django.conf import settings
from django.http import HttpRequest

UNKNOWN: Final = "unknown"
# One household or server has as many IPv6 addresses as it likes, all in one /64.
_IPV6_PREFIX: Final = 64


def client_address(request: HttpRequest) -> str:
    """Return the caller's address: an IPv4 address, an IPv6 network (/64), or "unknown".

    Each of XEENET["TRUSTED_PROXIES"] in front has added one address to X-Forwarded-For; what
    stands before them is the caller's own word, and believed by nobody.
    """
    said = str(request.META.get("REMOTE_ADDR", ""))
    proxies: int = settings.XEENET["TRUSTED_PROXIES"]
    if proxies:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        said = hops[-proxies] if len(hops) >= proxies and hops[-proxies] else said
    try:
        address = ipaddress.ip_address(said)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))
    return str(address)
