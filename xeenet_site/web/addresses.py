"""The address by which another machine reaches this server, and what is in its way."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import psutil
from django.conf import settings
from django.http import HttpRequest
from django.http.request import validate_host

from xeenet_site.web import commands
from xeenet_site.web.pages import server_url

# Networks inside this machine: of containers, virtual machines and the like.
_INSIDE: Final = re.compile(
    r"(docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|podman|lxc|lxd|vethernet)", re.IGNORECASE
)
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on
_MOST_SHOWN: Final = 4


@dataclass(frozen=True)
class Reach:
    """How other machines reach this server.

    `url` is "" when nobody could. With a `problem` it will be right after `command` was typed on
    the server, where there is one.
    """

    url: str
    others: tuple[str, ...] = ()
    problem: str = ""
    command: str = ""

    @property
    def every(self) -> tuple[str, ...]:
        """All addresses, the most likely one first."""
        return (self.url, *self.others)


def lan_addresses() -> list[str]:
    """Return this machine's IPv4 addresses in networks with other machines, private ones first."""
    found: list[ipaddress.IPv4Address] = []
    running = psutil.net_if_stats()
    for name, entries in psutil.net_if_addrs().items():
        if _INSIDE.match(name) or not (name in running and running[name].isup):
            continue
        for entry in entries:
            try:
                address = ipaddress.IPv4Address(entry.address)
            except ValueError:  # of another family
                continue
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                found.append(address)
    return [str(address) for address in sorted(found, key=lambda address: not address.is_private)]


def reach(request: HttpRequest) -> Reach:
    """Return the address that this server prints for other machines.

    It is the address of the page itself, unless that means the reader's own machine. Then it is
    one of this machine's addresses in its networks.
    """
    parts = urlsplit(server_url(request))
    if not commands.is_loopback(parts.hostname or ""):
        return Reach(server_url(request))
    listens_on = listening_host(_port(request))
    addresses = lan_addresses()
    if listens_on and listens_on not in _EVERYWHERE and not commands.is_loopback(listens_on):
        addresses = [listens_on]  # and on no other
    if not addresses:
        return Reach(
            "", problem="This machine has no address in a network: no other machine can reach it."
        )
    port = f":{parts.port}" if parts.port else ""
    urls = [f"{parts.scheme}://{address}{port}{parts.path}" for address in addresses[:_MOST_SHOWN]]
    problem, command = _problem(addresses, listens_on, _port(request))
    return Reach(urls[0], tuple(urls[1:]), problem, command)


def _problem(addresses: list[str], listens_on: str, port: int) -> tuple[str, str]:
    """Return what keeps other machines out, and the command that mends it."""
    serve = ["serve", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104 - the reader decides
    if commands.is_loopback(listens_on):
        return (
            "This server listens to its own machine only. Stop it, and start it so that it "
            "listens to your network, too. Whoever is in that network may then "
            + ("read its pages:" if settings.XEENET["ANONYMOUS_READ"] else "sign in:"),
            commands.manage(*serve),
        )
    if not validate_host(addresses[0], settings.ALLOWED_HOSTS):
        refused = (
            f"This server refuses requests to {addresses[0]}, because its variable ALLOWED_HOSTS "
            "does not name that address. Add it there, and start the server again."
        )
        return refused, ""
    if not listens_on:
        unknown = (
            "Nobody can tell here whether this server listens to your network. If the address "
            "below gives no page on the other machine, stop the server and start it like this:"
        )
        return unknown, commands.manage(*serve)
    return "", ""


def _port(request: HttpRequest) -> int:
    return urlsplit(f"//{request.get_host()}").port or (443 if request.is_secure() else 80)


def listening_host(port: int) -> str:
    """Return the address on which this process or its parent listens at a port, "" if unknown."""
    for pid in (os.getpid(), os.getppid()):
        try:
            lines = psutil.Process(pid).net_connections("tcp")
        except (psutil.Error, OSError, RuntimeError):
            continue
        hosts = {
            str(line.laddr.ip)
            for line in lines
            if line.status == psutil.CONN_LISTEN and line.laddr.port == port
        }
        if hosts:
            return min(hosts, key=lambda host: (host not in _EVERYWHERE, host))
    return ""


def hosts_to_allow(host: str) -> list[str]:
    """Return the names by which a server that listens on `host` is called by other machines."""
    if commands.is_loopback(host):
        return []
    if host not in _EVERYWHERE:
        return [f"[{host}]" if ":" in host else host]
    name = socket.gethostname().casefold()
    names = [name] if "." in name else [name, f"{name}.local"]
    return [*lan_addresses(), *names]
