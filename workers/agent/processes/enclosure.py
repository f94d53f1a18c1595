"""Which enclosure this machine has for a run's processes: tried out once, then kept.

In tier T0 a script can fork, take a new session and exit in a loop, faster than a walk over the
process table sees. Only the kernel ends that for sure: with a cgroup, or with a process-id
namespace. Without either, the server is told so.
"""

from __future__ import annotations

import functools
import getpass
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workers.agent.executables import helper_words
from workers.agent.processes import cgroups
from workers.agent.processes.guarded import Enclosure, EnclosureKind
from workers.agent.processes.process_tree import ProcessTree

_LINGER: Final = Path("/var/lib/systemd/linger")
_TRIAL: Final = Path(__file__).with_name("idle_process.py")


@functools.cache
def best_enclosure() -> Enclosure:
    """Return the best enclosure that works here; `NO_ENCLOSURE` with the reasons without any.

    A cgroup comes first: scripts do not notice it. The user's service manager comes last: it takes
    a moment at each start.
    """
    if not sys.platform.startswith("linux"):
        return Enclosure(why_not="only Linux has cgroups and process-id namespaces")
    reasons = []
    for find in (own_cgroup, process_namespace, user_manager):
        enclosure = find()
        if enclosure.kind is not EnclosureKind.NONE:
            return enclosure
        reasons.append(enclosure.why_not)
    return Enclosure(why_not="; ".join(reasons))


def own_cgroup() -> Enclosure:
    """Return the enclosure in cgroups below the agent's own, or why it does not work."""
    try:
        parent = cgroups.own_cgroup()
        cgroups.check(parent)
    except cgroups.CgroupUnavailable as problem:
        return Enclosure(why_not=f"cgroup: {problem}")
    return _tried(Enclosure(EnclosureKind.CGROUP, parent))


def process_namespace() -> Enclosure:
    """Return the enclosure in process-id namespaces, or why it does not work."""
    return _tried(Enclosure(EnclosureKind.NAMESPACE))


def user_manager() -> Enclosure:
    """Return the enclosure in scopes of the user's service manager, or why it does not work.

    Without lingering the manager would end the scripts when their owner logs out.
    """
    if shutil.which("systemd-run") is None:
        return Enclosure(why_not="user manager: systemd-run is not installed")
    user = _user_name()
    if not (_LINGER / user).exists():
        reason = f"it ends at logout (loginctl enable-linger {user} changes that)"
        return Enclosure(why_not=f"user manager: {reason}")
    return _tried(Enclosure(EnclosureKind.SCOPE))


def _tried(enclosure: Enclosure, start: Callable[..., ProcessTree] = ProcessTree) -> Enclosure:
    """Start and kill a process in the enclosure; return it, or why that did not work."""
    try:
        tree = start(
            helper_words(_TRIAL),
            tag=f"trial/{uuid.uuid4().hex}",
            environment={},
            folder=Path("/"),
            enclosure=enclosure,
        )
    except OSError as error:
        return Enclosure(why_not=f"{enclosure.kind}: {error}"[:200])
    survivors = tree.kill()
    tree.stdout.close()
    tree.stderr.close()
    if survivors:
        return Enclosure(why_not=f"{enclosure.kind}: a trial could not be killed")
    return enclosure


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())
