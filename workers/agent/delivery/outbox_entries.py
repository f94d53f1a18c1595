"""The file format of the outbox: one finished result per file, with a checksum.

Versions before 0.2 wrote files without ``waited_seconds`` and ``sha256``. They are still read, and
those versions can read these files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from workers.agent.attempt import SAFE_NAME
from workers.agent.files import read_regular
from workers.protocol import Submission, canonical_digest, is_number

# The server reads 1 MiB, so no entry that it could take is larger.
MAX_ENTRY_BYTES: Final = 4 * 1024 * 1024
_CHECKSUM: Final = "sha256"
_FORMER_KEYS: Final = frozenset({"lease_id", "stored_at", "corrected", "submission"})


class DamagedEntry(ValueError):
    """The file does not hold the entry that was once written."""


@dataclass
class Entry:
    """A submission on its way, with how long the agent has tried to deliver it."""

    lease_id: str
    submission: Submission
    stored_at: float  # Unix time, only for the order: a clock may be wrong
    corrected: bool = False  # replaced once already, because the server could not read it
    # What agents have waited for the delivery, summed up over tries and restarts by the monotonic
    # clock.
    waited_seconds: float = 0.0
    size_bytes: int = 0
    on_disk: bool = True


def encode(entry: Entry) -> str:
    """Return the entry as text with its checksum.

    Raises ValueError, TypeError or RecursionError for a submission that JSON cannot hold.
    """
    data: dict[str, Any] = {
        "lease_id": entry.lease_id,
        "stored_at": entry.stored_at,
        "corrected": entry.corrected,
        "submission": entry.submission,
        "waited_seconds": round(entry.waited_seconds, 3),
    }
    return json.dumps({**data, _CHECKSUM: _checksum(data)}, allow_nan=False)


def read_entry(path: Path) -> Entry:
    """Return the entry in the file. Raises `DamagedEntry`, OSError."""
    content = read_regular(path, MAX_ENTRY_BYTES)
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedEntry("it is no JSON") from error
    if not isinstance(data, dict):
        raise DamagedEntry("it is no JSON object")
    _check(data)
    if data["lease_id"] != path.stem:
        raise DamagedEntry("its lease is not the one in its name")
    return Entry(
        lease_id=data["lease_id"],
        submission=cast(Submission, data["submission"]),
        stored_at=float(data["stored_at"]),
        corrected=data["corrected"],
        waited_seconds=max(0.0, float(data.get("waited_seconds", 0.0))),
        size_bytes=len(content),
    )


def _check(data: dict[str, Any]) -> None:
    """Raise `DamagedEntry` unless all values have their types and the checksum fits."""
    lease_id = data.get("lease_id")
    if not isinstance(lease_id, str) or not SAFE_NAME.fullmatch(lease_id):
        raise DamagedEntry("its lease_id is no plain name")
    if not isinstance(data.get("submission"), dict) or type(data.get("corrected")) is not bool:
        raise DamagedEntry("its submission or its mark is missing")
    if not is_number(data.get("stored_at")) or not is_number(data.get("waited_seconds", 0.0)):
        raise DamagedEntry("its times are no numbers")
    if data.keys() == _FORMER_KEYS:
        return
    try:
        digest = _checksum(data)
    except (ValueError, RecursionError) as error:
        raise DamagedEntry("it is no JSON") from error
    if data.get(_CHECKSUM) != digest:
        raise DamagedEntry("its checksum does not fit: the file was changed on the disk")


def _checksum(data: dict[str, Any]) -> str:
    """Return the digest of all values but the checksum, and the clock's time, which orders only."""
    return canonical_digest(
        {key: value for key, value in data.items() if key not in {_CHECKSUM, "stored_at"}}
    )
