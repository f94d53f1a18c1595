"""Data sets the server knows: by name from the catalog, or stored as a file by hash."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.core.files.base import ContentFile
from django.db.models import Q, QuerySet

from campaigns.clock import database_now
from campaigns.models import Dataset
from experiments import catalog, english_like_corpus

# Data sets of the catalog that the server generates instead of downloading.
_GENERATORS: Final[dict[str, Callable[[], bytes]]] = {"english_like": english_like_corpus.generate}
# lzma looks back so far, so more of the training part would change nothing. As much of the
# validation part is compressed at most.
_LOOK_BACK_BYTES: Final = 8 * 1024 * 1024


class UnknownDataset(LookupError):
    """No data set of this name or hash is stored or in the catalog."""


class AmbiguousDataset(UnknownDataset):
    """Several stored data sets have this name."""


def known_dataset(name_or_sha256: str) -> Dataset:
    """Return the data set of this name or sha256; create the row for a data set of the catalog.

    A generated text is stored with its row: agents can download it nowhere else, and could not run
    a task without it. Raises UnknownDataset, AmbiguousDataset.
    """
    stored = Dataset.objects.filter(sha256=name_or_sha256).first()
    if stored is not None:
        return stored
    try:
        info = catalog.get_dataset(name_or_sha256)
    except catalog.UnknownDataset as error:
        named = list(Dataset.objects.filter(name=name_or_sha256)[:2])
        if len(named) > 1:
            raise AmbiguousDataset(
                f"Several stored data sets are named {name_or_sha256!r}; give the sha256."
            ) from error
        if not named:
            raise UnknownDataset(str(error)) from error
        return named[0]
    with_file = Dataset.objects.filter(sha256=info.sha256).exclude(file="")
    if info.name in _GENERATORS and not with_file.exists():
        return store_dataset(info.name, _GENERATORS[info.name]())
    columns = {"name": info.name, "size_bytes": info.size_bytes, **_measured(info.sha256)}
    dataset, _ = Dataset.objects.get_or_create(sha256=info.sha256, defaults=columns)
    return dataset


def _measured(sha256: str) -> dict[str, Any]:
    """Return what the catalog knows of these bytes as columns; a job measures any other data."""
    for info in catalog.all_datasets():
        if info.sha256 == sha256 and info.compressed_bpb is not None:
            return {"compressed_bpb": info.compressed_bpb, "measured_at": database_now()}
    return {}


def to_be_measured() -> QuerySet[Dataset]:
    """Return the data sets for which the server can tell what a compressor reaches, and has not."""
    known = Q(sha256__in=[info.sha256 for info in catalog.all_datasets()])
    return Dataset.objects.filter(known | ~Q(file=""), measured_at=None).order_by("created_at")


def compressed_bpb(dataset: Dataset) -> float | None:
    """Return the bits per byte of the validation part for lzma that has seen the training part.

    From the catalog, or measured on the stored file, which takes up to half a minute: not for
    requests. Returns None when the file cannot be read.
    """
    for info in catalog.all_datasets():
        if info.sha256 == dataset.sha256 and info.compressed_bpb is not None:
            return info.compressed_bpb
    try:
        with dataset.file.open("rb") as file:
            train_end = int(catalog.TRAIN_SHARE * dataset.size_bytes)
            start = max(0, train_end - _LOOK_BACK_BYTES)
            file.seek(start)
            data = file.read(train_end - start + _LOOK_BACK_BYTES)
    except (OSError, ValueError):
        return None
    train = data[: train_end - start]
    validation_bytes = len(data) - len(train)
    if validation_bytes <= 0:
        return None
    added = len(lzma.compress(data)) - len(lzma.compress(train))
    return added * 8 / validation_bytes


def size_of_known(name_or_sha256: str) -> int | None:
    """Return the bytes of a data set by name or sha256; None when none, or several, are known."""
    named = Q(sha256=name_or_sha256) | Q(name=name_or_sha256)
    sizes = {
        info.size_bytes
        for info in catalog.all_datasets()
        if name_or_sha256 in {info.name, info.sha256}
    } or set(Dataset.objects.filter(named).values_list("size_bytes", flat=True)[:2])
    return sizes.pop() if len(sizes) == 1 else None


def store_dataset(name: str, data: bytes) -> Dataset:
    """Store the bytes so that agents can fetch them by hash.

    Idempotent: the same bytes again change nothing. Raises ValueError for data too small to split.
    """
    if len(data) < 2:
        raise ValueError("The data set is empty; it needs at least 2 bytes.")
    sha256 = hashlib.sha256(data).hexdigest()
    dataset, _ = Dataset.objects.get_or_create(
        sha256=sha256, defaults={"name": name, "size_bytes": len(data), **_measured(sha256)}
    )
    if not dataset.file.name or not dataset.file.storage.exists(dataset.file.name):
        dataset.file.save(f"{sha256}.txt", ContentFile(data))
    return dataset


def store_dataset_file(path: Path, name: str = "") -> Dataset:
    """Store a file as a data set, under the catalog's name when the catalog knows its hash.

    Raises OSError, ValueError.
    """
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    known = next((info.name for info in catalog.all_datasets() if info.sha256 == sha256), "")
    return store_dataset(known or name or path.stem, data)
