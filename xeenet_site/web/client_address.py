"""The address that a request comes from, behind our own proxies."""

from __future__ import annotations

import ipaddress
from typing import Final

from django.conf import settings
from django.http import HttpRequest

UNKNOWN: Final = "unknown"
# One household or server can use any number of IPv6 addresses, all within one /64.
_IPV6_PREFIX: Final = 64


def client_address(request: HttpRequest) -> str:
    """Return the caller's address: an IPv4 address, an IPv6 network (/64), or "unknown".

    Each of the XEENET["TRUSTED_PROXIES"] in front of us adds one address to X-Forwarded-For. The
    entries before those come from the caller, who may have forged them: they are ignored.
    """
    claimed = str(request.META.get("REMOTE_ADDR", ""))
    proxies: int = settings.XEENET["TRUSTED_PROXIES"]
    if proxies:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        claimed = hops[-proxies] if len(hops) >= proxies and hops[-proxies] else claimed
    try:
        address = ipaddress.ip_address(claimed)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))
    return str(address)
