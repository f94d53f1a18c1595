"""Which states of the catalog's scripts a worker's agent runs, as far as the server knows.

An agent tells the hashes in its claims: those on its disk, those of earlier releases, which it
fetches from the server, and whether its owner allows any other. One that does not tell is believed
to have what its version came with. Of an unknown version only what it refuses is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from experiments import catalog, released
from workers.models import Worker
from workers.protocol import FailureClass

# The option that an agent's refusal of a script names, in every version.
_REFUSAL_MARK: Final = "--allow-server-code"
_MOST_REFUSED: Final = 64


def believed(
    told: Sequence[str] | None, version: str, *, runs_server_code: bool
) -> tuple[list[str], bool]:
    """Return the hashes of the scripts that an agent runs, and whether it runs any other, too.

    `told` is None for an agent that does not tell.
    """
    if told is not None:
        return sorted(set(told)), runs_server_code
    known = released.of_version(version)
    return sorted(known), not known


def is_refusal(failure_class: str, message: str) -> bool:
    """Return whether a failure says that the agent does not have, and may not fetch, its script."""
    return failure_class == FailureClass.REFUSED and _REFUSAL_MARK in message


def note_refusal(worker: Worker, sha256: str) -> None:
    """Hand the worker no more tasks of this script until its agent starts anew."""
    refused = Worker.objects.values_list("refused_scripts", flat=True).get(pk=worker.pk).split()
    if sha256 not in refused:
        kept = " ".join([*refused, sha256][-_MOST_REFUSED:])
        Worker.objects.filter(pk=worker.pk).update(refused_scripts=kept)


def why_lacking(worker: Worker, name: str, sha256: str) -> str:
    """Return why the worker gets no task of this script of the catalog; "" when it may."""
    if worker.runs_script(sha256):
        return ""
    return (
        f"The tasks that wait run the script {name} {sha256[:12]}, which this worker's agent"
        f"{_version(worker)} does not have: update the worker."
    )


def why_outdated(worker: Worker) -> str:
    """Return what the worker's agent lacks of this server's scripts; "" when it is up to date."""
    if worker.is_program:
        return ""
    present = {each.name: catalog.script_sha256(each.name) for each in catalog.all()}
    lacking = [
        f"{name} {sha256[:12]}"
        for name, sha256 in present.items()
        if not worker.runs_script(sha256)
    ]
    if not lacking:
        return ""
    return (
        f"Its agent{_version(worker)} does not have this server's {', '.join(lacking)}: it gets no "
        "tasks of campaigns that run it. Update the worker."
    )


def _version(worker: Worker) -> str:
    return f" ({worker.agent_version})" if worker.agent_version else ""
