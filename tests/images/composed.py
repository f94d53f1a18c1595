"""compose.yaml as an engine reads it: variables filled in, anchors merged, one object a service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.processes import ROOT

FILE: Final = ROOT / "compose.yaml"
# ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar sign.
_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:[-?])([^}]*))?\}")


class Missing(Exception):
    """A variable without a default is not set; the message is the one of compose.yaml."""


@dataclass(frozen=True)
class Service:
    """One service, with what this check of the images uses of it."""

    name: str
    image: str
    command: list[str] | None
    environment: dict[str, str]
    volumes: list[tuple[str, str, bool]]  # source, place in the container, whether read-only
    tmpfs: list[str]
    secrets: list[str]
    health: list[str] | None  # the words of its check; None when it has none of its own
    cap_drop: list[str]
    cap_add: list[str]
    no_new_privileges: bool
    read_only: bool


@dataclass(frozen=True)
class Composed:
    """The whole file."""

    services: dict[str, Service]
    secrets: dict[str, str]  # the file of each
    raw: dict[str, Any]


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace the variables of compose.yaml in one value. Raises `Missing`."""

    def value(match: re.Match[str]) -> str:
        name, kind, words = match[1], match[2], match[3]
        if name is None:
            return "$"
        given = variables.get(name, "")
        if not given and kind == ":?":
            raise Missing(f"{name} {words}")
        return given or (words if kind == ":-" else "")

    return _VARIABLE.sub(value, text)


def names_in(text: str) -> set[str]:
    """Return the names of all variables in a text."""
    return {match[1] for match in _VARIABLE.finditer(text) if match[1]}


def raw() -> dict[str, Any]:
    """Return the file with its anchors merged, and its variables as they are written."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def composed(variables: Mapping[str, str]) -> Composed:
    """Return the file with its variables filled in. Raises `Missing`."""
    content = _filled(raw(), variables)
    services = {name: _service(name, table) for name, table in content["services"].items()}
    secrets = {name: table["file"] for name, table in content["secrets"].items()}
    return Composed(services, secrets, content)


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return fill_in(node, variables)
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    return [_filled(value, variables) for value in node] if isinstance(node, list) else node


def _service(name: str, table: dict[str, Any]) -> Service:
    check = table.get("healthcheck", {}).get("test")
    volumes = [(*text.split(":"), "rw")[:3] for text in table.get("volumes", [])]
    return Service(
        name=name,
        image=table["image"],
        command=table.get("command"),
        environment=table.get("environment", {}),
        volumes=[(source, place, mode == "ro") for source, place, mode in volumes],
        tmpfs=table.get("tmpfs", []),
        secrets=table.get("secrets", []),
        health=check[1:] if check else None,
        cap_drop=table.get("cap_drop", []),
        cap_add=table.get("cap_add", []),
        no_new_privileges="no-new-privileges:true" in table.get("security_opt", []),
        read_only=table.get("read_only", False),
    )
