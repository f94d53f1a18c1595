"""A worker on the server's own machine, which `serve` runs while an operator wants one.

Web server and `serve` talk through two small files in XEENET_HOME, which only their user can read:
pages write the *order*, `serve` follows it and writes the *report*. The process of the agent is a
child of `serve` and ends with it. It runs the scripts of its own catalog alone, as every agent does
that is started without further options: no uploaded script and no code of the server's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from workers.models import Worker
from workers.tokens import hash_token
from xeenet_site.web import commands

# Set by `serve` and `demo` to their own name, for the web server that they start.
SUPERVISOR_VARIABLE: Final = "XEENET_SUPERVISOR"
SERVE: Final = "serve"
DEMO: Final = "demo"
_NO_ORDER: Final = {"is_wanted": False}


@dataclass(frozen=True)
class Order:
    """What pages want of `serve`: a worker, and with which invitation it is to join."""

    is_wanted: bool
    invitation: str = ""
    # Counts the orders, so that the same one again starts an agent that has ended.
    number: int = 0


@dataclass(frozen=True)
class Report:
    """What `serve` says of the worker's process: "running", "stopping" or "ended", or "" before."""

    state: str = ""
    pid: int = 0
    started_at: str = ""
    how: str = ""
    last_lines: str = ""
    order: int = 0


@dataclass(frozen=True)
class Here:
    """What a page shows of a worker on this machine."""

    order: Order
    report: Report
    # Why pages may start none; "" when they may.
    why_not: str
    # What to type instead.
    command: str
    worker: Worker | None

    @property
    def is_running(self) -> bool:
        """Whether its process runs, or is to be started in a moment."""
        return self.report.state in {"running", "stopping"} or self.is_starting

    @property
    def is_starting(self) -> bool:
        """Whether `serve` has not yet seen that it is wanted."""
        is_new = self.report.order != self.order.number
        return not self.why_not and self.order.is_wanted and is_new


def look() -> Here:
    """Return the state of the worker on this machine; one query when it has joined."""
    why = why_not()
    report = Report() if why else read_report()
    return Here(read_order(), report, why, commands.manage("run_worker"), joined_worker())


def why_not() -> str:
    """Return why no page may start a worker here, "" when an operator may."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE, "")
    if supervisor == DEMO:
        return "The demo already runs its own agents on this machine."
    if settings.PRODUCTION:
        return "In production a worker is a service of its own, with a user of its own."
    if supervisor != SERVE:
        return "This server was not started by “serve”, which alone can run a worker beside it."
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed here: a worker would invent its values."
    return ""


def order(*, is_wanted: bool, invitation: str = "") -> None:
    """Tell `serve` whether to run a worker. Raises OSError when the folder cannot be written."""
    number = read_order().number + 1
    _write("order", {"is_wanted": is_wanted, "invitation": invitation, "number": number})


def read_order() -> Order:
    """Return the newest order; without one, that no worker is wanted."""
    return Order(**_read("order", {"is_wanted": bool, "invitation": str, "number": int}, _NO_ORDER))


def write_report(report: Report) -> None:
    """Say what has become of the order. Raises OSError when the folder cannot be written."""
    _write("report", vars(report))


def read_report() -> Report:
    """Return what `serve` said last."""
    kinds = {name: type(value) for name, value in vars(Report()).items()}
    return Report(**_read("report", kinds, {}))


def state_folder() -> Path:
    """Return the state folder of this machine's own agent; `manage.py run_worker` uses it, too."""
    return Path(settings.XEENET_HOME) / "agents" / socket.gethostname()


def joined_worker() -> Worker | None:
    """Return the worker as which this machine's own agent is enrolled at this server."""
    token = str(_stored_credentials().get("token") or "")
    return Worker.objects.filter(token_hash=hash_token(token)).first() if token else None


def forget_credentials() -> None:
    """Remove the agent's credentials, which are of a worker that this server does not know."""
    (state_folder() / "credentials.json").unlink(missing_ok=True)


def _stored_credentials() -> Mapping[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        stored = json.loads((state_folder() / "credentials.json").read_text())
        if isinstance(stored, dict):
            return stored
    return {}


def _folder() -> Path:
    return Path(settings.XEENET_HOME) / "worker-here"


def _read(name: str, kinds: Mapping[str, type], default: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a file that have the right type; a broken file has none."""
    content: Any = None
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((_folder() / f"{name}.json").read_text())
    if not isinstance(content, dict):
        return default
    return default | {
        key: content[key] for key, kind in kinds.items() if isinstance(content.get(key), kind)
    }


def _write(name: str, content: Mapping[str, Any]) -> None:
    """Replace a file in one step; only its owner can read it."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        Path(temporary).replace(folder / f"{name}.json")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
