"""Where a webhook may point: public addresses only, unless the operator says otherwise.

A host's name is resolved once per try, all of its addresses are checked, and the connection goes to
a checked address. A name that resolves differently in the meantime (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.encoding import iri_to_uri

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# NAT64: the prefix by which IPv6-only machines reach IPv4 addresses, which are the last 32 bits.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# All addresses of IPv6 that are handed out so far for single hosts.
_IPV6_HOSTS: Final = ipaddress.IPv6Network("2000::/3")
# Networks of IANA's registries of special purposes that `is_global` of some Python still lets
# through: those of protocols, of retired relays, and of documents.
_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
# The middle of an ISATAP address, which ends with the IPv4 address of the host.
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


class AddressRefused(Exception):
    """The address may not be called; the text says why, for people."""


class NameUnknown(Exception):
    """The host's name does not resolve to an address now."""


@dataclass(frozen=True)
class Target:
    """A checked address: where to connect, and which path to request there."""

    host: str
    port: int
    is_tls: bool
    # Path and query, percent-encoded.
    path: str
    # All checked; in the resolver's order.
    addresses: tuple[IPAddress, ...]


def find_target(url: str) -> Target:
    """Parse an address, resolve its host and check each address that the host has.

    Raises AddressRefused (malformed, or in a network that is not public) and NameUnknown.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:  # bad port, bad brackets, a name that IDNA refuses
        raise AddressRefused(f"This is not an address: {error}.") from error
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise AddressRefused("The address must begin with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("Leave user name and password out of the address: it is not secret.")
    if port == 0:
        raise AddressRefused("Port 0 cannot be called.")
    port = port or DEFAULT_PORTS[parts.scheme]
    addresses = _look_up(host, port)
    if not settings.XEENET["WEBHOOK_ALLOW_PRIVATE"]:
        for address in addresses:
            if not is_public(address):
                where = host if host == str(address) else f"{host} ({address})"
                raise AddressRefused(
                    f"{where} is not on the public internet; webhooks to private networks are "
                    "switched off on this server."
                )
    path = iri_to_uri(parts.path or "/") + (f"?{iri_to_uri(parts.query)}" if parts.query else "")
    return Target(host, port, parts.scheme == "https", path, addresses)


def _look_up(host: str, port: int) -> tuple[IPAddress, ...]:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameUnknown(f"{host} has no address; check the spelling.") from error
    # An IPv6 address may carry "%interface", which is part of it.
    return tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in entries))


def is_public(address: IPAddress) -> bool:
    """Return whether an address is a single host's and reachable from the whole internet.

    An IPv6 address that leads to an IPv4 address must lead to a public one.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        inside = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if address in _NAT64:
            return is_public(inside)
        # A 6to4 relay, or a router of ISATAP, would hand the packet to the IPv4 address inside.
        if address.sixtofour is not None and not is_public(address.sixtofour):
            return False
        if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP and not is_public(inside):
            return False
        if address not in _IPV6_HOSTS:
            return False
    return (
        address.is_global
        and not any(address in network for network in _SPECIAL)
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
    )
