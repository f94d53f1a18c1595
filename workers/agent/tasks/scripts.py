"""The script that a task names, verified by its hash before it runs."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from experiments import catalog, released
from workers.agent.connection.client import Client, LeaseLost, ServerError, ServerUnavailable
from workers.agent.disk import remove_folder, trim_folder
from workers.agent.files import read_regular
from workers.protocol import (
    MAX_SCRIPTS_PER_CLAIM,
    PACKAGE_PATH,
    FailureClass,
    Lease,
    ScriptOrigin,
)

_MAX_SCRIPT_BYTES = 4 * 1024 * 1024
_MAX_CACHE_BYTES = 64 * 1024 * 1024
_MAX_CACHED_SCRIPTS = 200


class ScriptUnavailable(Exception):
    """This worker has no script with the hash that the task pins."""

    def __init__(self, message: str, failure_class: FailureClass) -> None:
        super().__init__(message)
        self.failure_class = failure_class


@dataclass(frozen=True)
class CodePolicy:
    """Which scripts that this installation does not name the owner allows to run."""

    server_code: bool = False  # any version of the catalog's scripts, from the server
    uploaded_scripts: bool = False  # researchers' scripts that an operator of the server approved


def is_uploaded(lease: Lease) -> bool:
    """Return whether a researcher uploaded the lease's script; otherwise it is the catalog's."""
    return lease.get("script_origin", ScriptOrigin.BUILTIN) != ScriptOrigin.BUILTIN


def resolve_script(
    lease: Lease, *, client: Client, cache_folder: Path, policy: CodePolicy
) -> bytes:
    """Return the source of the lease's script, whose SHA-256 is the one the lease pins.

    The catalog of this installation is used when its script has that hash. Any other script comes
    from the server: one that this installation's list of releases names by its hash, or one that
    the machine's owner allows. Raises `ScriptUnavailable`, `LeaseLost`, `ServerUnavailable`.
    """
    name, sha256 = lease["code_package_ref"], lease["code_sha256"]
    if is_uploaded(lease):
        difference = f"{name} ({sha256[:12]}) is an uploaded script"
        if not policy.uploaded_scripts:
            message = f"{difference}; this worker's owner allows none (--allow-uploaded-scripts)"
            raise ScriptUnavailable(message, FailureClass.REFUSED)
        return _from_server(sha256, difference, client, cache_folder)
    try:
        source = catalog.script_source(name)
        local = hashlib.sha256(source).hexdigest()
        difference = f"the task pins {sha256[:12]}, this worker's {name} is {local[:12]}"
        if local == sha256:
            return source
    except catalog.UnknownExperiment:
        difference = f"this worker knows no experiment {name!r}"
    if not policy.server_code and sha256 not in released.hashes(name):
        message = (
            f"{difference}; update the worker, or start it with --allow-server-code to run what "
            "the server sends"
        )
        raise ScriptUnavailable(message, FailureClass.REFUSED)
    return _from_server(sha256, difference, client, cache_folder)


def runnable_scripts() -> list[str]:
    """Return the hashes of the catalog's scripts that run here without the owner's permission."""
    own = set()
    for experiment in catalog.all():
        with contextlib.suppress(OSError):  # a file that is missing here is told of nowhere
            own.add(catalog.script_sha256(experiment.name))
    earlier = {sha256 for name in released.RELEASES for sha256 in released.hashes(name)} - own
    # Those on this disk first, should there ever be more than a claim can tell.
    return [*sorted(own), *sorted(earlier)][:MAX_SCRIPTS_PER_CLAIM]


def _from_server(sha256: str, difference: str, client: Client, cache_folder: Path) -> bytes:
    """Return the script with this hash from the cache or the server. Raises as `resolve_script`."""
    target = cache_folder / f"{sha256}.py"
    try:
        if not _is_cached(target):
            path = PACKAGE_PATH.format(sha256=sha256)
            client.download(path, target, sha256=sha256, max_bytes=_MAX_SCRIPT_BYTES)
            trim_folder(cache_folder, most_bytes=_MAX_CACHE_BYTES, most_entries=_MAX_CACHED_SCRIPTS)
        source = read_regular(target, _MAX_SCRIPT_BYTES)
    except (LeaseLost, ServerUnavailable):  # not this machine's fault
        raise
    except (ServerError, OSError) as error:
        message = f"{difference}; fetching it from the server failed: {error}"
        raise ScriptUnavailable(message, FailureClass.ENV_ERROR) from error
    if hashlib.sha256(source).hexdigest() != sha256:
        target.unlink(missing_ok=True)
        message = f"the cached script {sha256[:12]} was changed on disk and is thrown away"
        raise ScriptUnavailable(message, FailureClass.ENV_ERROR)
    return source


def _is_cached(path: Path) -> bool:
    """Return whether there is a file of a script's size at ``path``; remove anything else there.

    A pipe, a folder or an endless file that another script put there would keep this one away for
    ever. Raises OSError.
    """
    try:
        read_regular(path, _MAX_SCRIPT_BYTES)
    except FileNotFoundError:
        return False
    except OSError:
        remove_folder(path)
        return False
    return True
