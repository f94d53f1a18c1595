"""The data-set cache: the files where scripts look for them (XEENET_DATA_DIR), by name and hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

from experiments.catalog import dataset_cache_name
from workers.agent.connection.client import Client, RequestRefused
from workers.agent.disk import (
    MIN_FREE_BYTES,
    TEMPORARY_PREFIX,
    free_bytes,
    remove_folder,
    trim_folder,
)
from workers.agent.files import open_regular
from workers.protocol import DATASET_PATH, DatasetReference, FailureClass

MAX_DATASET_BYTES: Final = 20 * 1024**3  # by default; the cache takes no more in all
_MAX_CACHED_FILES: Final = 1_000
# Free space that a download leaves: the agent claims nothing below twice the floor of a run.
_FLOOR_BYTES: Final = 2 * MIN_FREE_BYTES
_CHUNK_BYTES: Final = 1024 * 1024
# A download may take a minute and more for every 32 KiB a second, but never longer than 6 hours.
_LEAST_BYTES_PER_SECOND: Final = 32 * 1024
_START_SECONDS: Final = 60.0
_MOST_SECONDS: Final = 6 * 3600.0


class DatasetRefused(Exception):
    """This worker does not take the data set: it is too large, or the disk is too full."""

    def __init__(self, message: str, failure_class: FailureClass) -> None:
        super().__init__(message)
        self.failure_class = failure_class


def cached_dataset_path(folder: Path, dataset: DatasetReference) -> Path:
    """Return where in ``folder`` the data set's file belongs."""
    return folder / dataset_cache_name(dataset["name"], dataset["sha256"])


def cached_dataset(folder: Path, dataset: DatasetReference) -> Path | None:
    """Return the data set's file when it is in ``folder`` with the right hash; None otherwise.

    The file is hashed before every run: a script may have written to the cache, and a changed file
    would give wrong results. Whatever else is at its place is removed: a file with a wrong hash, or
    a pipe or a folder that a script put there, so that the next download repairs the cache.
    """
    path = cached_dataset_path(folder, dataset)
    digest = hashlib.sha256()
    try:
        # The owner's own folder may hold links to large files elsewhere.
        with open_regular(path, follow_links=True) as file:
            # One byte more than the data set has: a file without end is told from it.
            left = dataset["size_bytes"] + 1
            while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                digest.update(chunk)
    except FileNotFoundError:
        path.unlink(missing_ok=True)  # it may be a link to nowhere
        return None
    except OSError:  # no regular file, or one that a script made unreadable
        remove_folder(path)
        return None
    if digest.hexdigest() != dataset["sha256"]:
        path.unlink()
        return None
    return path


def make_room(
    folder: Path, dataset: DatasetReference, *, most_bytes: int, is_own_cache: bool
) -> None:
    """Prepare ``folder`` for the download of the data set, whose size the server announced.

    The agent's own cache drops its least recently used files; another folder is the owner's and
    stays as it is. Raises `DatasetRefused`, OSError.
    """
    name, size_bytes = dataset["name"], dataset["size_bytes"]
    if size_bytes > most_bytes:
        raise DatasetRefused(
            f"the data set {name} has {size_bytes:,} bytes; this worker's owner allows "
            f"{most_bytes:,} (--dataset-limit)",
            FailureClass.REFUSED,
        )
    if is_own_cache:
        room = max(0, MAX_DATASET_BYTES - size_bytes)
        trim_folder(folder, most_bytes=room, most_entries=_MAX_CACHED_FILES)
    folder.mkdir(parents=True, exist_ok=True)
    if free_bytes(folder) - size_bytes < _FLOOR_BYTES:
        raise DatasetRefused(
            f"the disk of {folder} has no room for the data set {name} ({size_bytes:,} bytes)",
            FailureClass.ENV_ERROR,
        )


def fetch_dataset(folder: Path, dataset: DatasetReference, client: Client) -> bool:
    """Download the data set into ``folder``; False when the server does not hold it.

    Raises `ServerError` when the server cannot be reached or sends other bytes, and `OSError`.
    """
    target = cached_dataset_path(folder, dataset)
    path = DATASET_PATH.format(sha256=dataset["sha256"])
    size_bytes = dataset["size_bytes"]
    seconds = min(_MOST_SECONDS, _START_SECONDS + size_bytes / _LEAST_BYTES_PER_SECOND)
    try:
        client.download(
            path,
            target,
            sha256=dataset["sha256"],
            max_bytes=size_bytes,
            seconds=seconds,
            floor_bytes=_FLOOR_BYTES,
        )
    except RequestRefused as refused:
        if refused.status == 404:
            return False
        raise
    return True


def store_generated(folder: Path, dataset: DatasetReference, content: bytes) -> None:
    """Write a data set that was made on this machine to its place in ``folder``. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=folder)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(cached_dataset_path(folder, dataset))
    finally:
        temporary.unlink(missing_ok=True)
