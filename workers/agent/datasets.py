"""The data-set cache: the files where scripts look for them (XEENET_DATA_DIR), by name and hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from experiments.catalog import dataset_cache_name
from workers.agent.client import Client, RequestRefused
from workers.protocol import DATASET_PATH, DatasetReference

_CHUNK_BYTES = 1024 * 1024


def cached_dataset_path(folder: Path, dataset: DatasetReference) -> Path:
    """Return where in ``folder`` the data set's file belongs."""
    return folder / dataset_cache_name(dataset["name"], dataset["sha256"])


def cached_dataset(folder: Path, dataset: DatasetReference) -> Path | None:
    """Return the data set's file when it is in ``folder`` with the right hash; None otherwise.

    The file is hashed before every run: a script may have written to the cache, and a changed file
    would give wrong results. A file with a wrong hash is deleted.
    """
    path = cached_dataset_path(folder, dataset)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    if digest.hexdigest() != dataset["sha256"]:
        path.unlink()
        return None
    return path


def fetch_dataset(folder: Path, dataset: DatasetReference, client: Client) -> bool:
    """Download the data set into ``folder``; False when the server does not hold it.

    Raises `ServerError` when the server cannot be reached or sends other bytes, and `OSError`.
    """
    target = cached_dataset_path(folder, dataset)
    path = DATASET_PATH.format(sha256=dataset["sha256"])
    try:
        client.download(
            path, target, sha256=dataset["sha256"], max_bytes=int(dataset["size_bytes"])
        )
    except RequestRefused as refused:
        if refused.status == 404:
            return False
        raise
    return True
