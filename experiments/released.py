"""The training scripts that releases of this project came with, by their hashes. Pure data.

An agent trusts them as it trusts the script on its own disk: whoever installed the agent has this
list with it. A campaign keeps the script that it was launched with, so an agent that is newer than
the campaign fetches that script from the server and runs it only with a hash from here. A server
knows from it what an agent has that does not tell.

A script that changes gets a new last line; no line is ever removed, and none of a version that was
published is changed.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Release(NamedTuple):
    """One state of a script: its hash, and the version that was published with it.

    `version` is "" for a state between two versions.
    """

    sha256: str
    version: str


# Of each experiment, the oldest first. The last one is the script that lies beside this file.
RELEASES: Final[dict[str, tuple[Release, ...]]] = {
    "train_char_lm": (
        Release("46c79ebf3e6ac42c49cef341c5077afc9c329a982a0b7bb5a2e510a2b8274e69", "0.1.0"),
        Release("4786b2af9a264766a6d2403a74a0d1106d426e4a3e532c9915ce5144f4b67cf3", ""),
        Release("4335f4f2bd88c84839c5ceecc109f2764464e1e41412eddd84f67854e5e89488", ""),
        Release("8bd080f1f1cae23139ed76d2d9043ac05c865c8b9ba7ec29fa8361f8bb8b4e1d", ""),
        Release("b0ae471c6890e5232bc46210187a97c1376cbead331dfac1d63f43b15eda34ab", "0.2.0"),
    ),
}


def hashes(experiment: str) -> frozenset[str]:
    """Return the hashes of all released states of an experiment's script; none if it has none."""
    return frozenset(release.sha256 for release in RELEASES.get(experiment, ()))


def of_version(version: str) -> frozenset[str]:
    """Return the hashes of the scripts that a version came with; none for an unknown version."""
    releases = (release for states in RELEASES.values() for release in states)
    return frozenset(
        release.sha256 for release in releases if version and release.version == version
    )
