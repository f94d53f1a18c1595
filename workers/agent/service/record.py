"""What `service install` made, in one file of the state folder: by it `remove` undoes just that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from workers.agent.files import read_regular, write_new
from workers.agent.service.plan import Kind, ServiceError

RECORD_FILE: Final = "service.json"
_SCHEMA: Final = 1
_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Record:
    """An installed service: files by their hashes, the folders made for them, and lingering."""

    kind: Kind
    name: str
    files: dict[str, str]  # path -> sha256 of its bytes
    folders: tuple[str, ...]
    linger: bool  # whether it was this installation that asked for it


def read_record(state: Path) -> Record | None:
    """Return what is installed for this state folder; None without. Raises `ServiceError`."""
    path = state / RECORD_FILE
    try:
        value: dict[str, Any] = json.loads(read_regular(path, _MAX_BYTES))
        schema = value["schema"]
        record = Record(
            Kind(value["kind"]),
            str(value["name"]),
            {str(name): str(digest) for name, digest in value["files"].items()},
            tuple(str(name) for name in value["folders"]),
            value["linger"] is True,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ServiceError(f"{path} cannot be read: {error}.") from error
    if schema != _SCHEMA:
        raise ServiceError(f"{path} was written by another version, which can remove the service.")
    return record


def write_record(state: Path, record: Record) -> None:
    """Store the record, for the owner only. Raises OSError."""
    temporary = state / "service.tmp"
    text = json.dumps({"schema": _SCHEMA, **asdict(record)}, indent=2)
    write_new(temporary, text, mode=0o600, durable=True)
    temporary.replace(state / RECORD_FILE)


def digest_of(content: bytes) -> str:
    """Return the hash by which a file is known again."""
    return hashlib.sha256(content).hexdigest()
