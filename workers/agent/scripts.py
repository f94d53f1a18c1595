"""The script a task names, verified byte for byte before it runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from experiments import catalog
from workers.agent.client import Client, ServerError
from workers.protocol import PACKAGE_PATH, FailureClass

_MAX_SCRIPT_BYTES = 4 * 1024 * 1024


class ScriptUnavailable(Exception):
    """This worker has no script with the hash that the task pins."""

    def __init__(self, message: str, failure_class: FailureClass) -> None:
        super().__init__(message)
        self.failure_class = failure_class


def resolve_script(
    name: str, sha256: str, *, client: Client, cache_folder: Path, allow_server_code: bool
) -> bytes:
    """Return the source of experiment ``name`` whose SHA-256 is ``sha256``.

    The catalog of this installation comes first. Another hash is fetched from the server only
    when the machine's owner allows to run what the server sends. Raises `ScriptUnavailable`.
    """
    try:
        source = catalog.script_source(name)
        local = hashlib.sha256(source).hexdigest()
        difference = f"the task pins {sha256[:12]}, this worker's {name} is {local[:12]}"
        if local == sha256:
            return source
    except catalog.UnknownExperiment:
        difference = f"this worker knows no experiment {name!r}"
    if not allow_server_code:
        message = (
            f"{difference}; update the worker, or start it with --allow-server-code to run what "
            "the server sends"
        )
        raise ScriptUnavailable(message, FailureClass.REFUSED)
    target = cache_folder / f"{sha256}.py"
    try:
        if not target.exists():
            path = PACKAGE_PATH.format(sha256=sha256)
            client.download(path, target, sha256=sha256, max_bytes=_MAX_SCRIPT_BYTES)
        source = target.read_bytes()
    except (ServerError, OSError) as error:
        message = f"{difference}; fetching it from the server failed: {error}"
        raise ScriptUnavailable(message, FailureClass.ENV_ERROR) from error
    if hashlib.sha256(source).hexdigest() != sha256:
        target.unlink(missing_ok=True)
        message = f"the cached script {sha256[:12]} was changed on disk and is thrown away"
        raise ScriptUnavailable(message, FailureClass.ENV_ERROR)
    return source
