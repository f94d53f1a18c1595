"""campaigns.datasets: found by name or hash, stored once, and read back unchanged."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from campaigns.datasets import (
    AmbiguousDataset,
    UnknownDataset,
    known_dataset,
    store_dataset,
    store_dataset_file,
)
from campaigns.models import Dataset
from experiments import catalog
from tests.factories import campaign

pytestmark = pytest.mark.django_db
TEXT = b"To be, or not to be, that is the question.\n" * 20
SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


def content(dataset: Dataset) -> bytes:
    with dataset.file.open("rb") as file:
        data: bytes = file.read()
    return data


@pytest.mark.parametrize("name", [info.name for info in catalog.all_datasets()])
def test_every_data_set_of_the_catalog_is_known_by_name_and_then_by_hash(name: str) -> None:
    info = catalog.get_dataset(name)
    dataset = known_dataset(name)
    assert (dataset.sha256, dataset.name, dataset.size_bytes) == (
        info.sha256,
        name,
        info.size_bytes,
    )
    assert bool(dataset.file) == (name == "english_like")
    assert known_dataset(info.sha256) == known_dataset(name) == dataset
    assert Dataset.objects.count() == 1


def test_the_generated_text_is_stored_when_first_named_since_no_agent_could_download_it() -> None:
    info = catalog.get_dataset("english_like")
    Dataset.objects.create(sha256=info.sha256, name=info.name, size_bytes=info.size_bytes)

    assert hashlib.sha256(content(known_dataset("english_like"))).hexdigest() == info.sha256


def test_stored_bytes_are_known_by_hash_and_name_and_come_back_the_same() -> None:
    dataset = store_dataset("hamlet", TEXT)
    assert (dataset.sha256, dataset.name, dataset.size_bytes) == (SHA256, "hamlet", len(TEXT))
    assert known_dataset("hamlet") == known_dataset(SHA256) == dataset
    assert content(known_dataset("hamlet")) == TEXT


def test_storing_the_same_bytes_again_changes_nothing(media: Path) -> None:
    store_dataset("hamlet", TEXT)
    again = store_dataset("another name", TEXT)
    assert again.name == "hamlet"
    assert Dataset.objects.count() == 1
    assert len(list(media.rglob("*.txt"))) == 1


def test_a_file_that_was_deleted_is_stored_again(media: Path) -> None:
    dataset = store_dataset("hamlet", TEXT)
    Path(dataset.file.path).unlink()
    assert content(store_dataset("hamlet", TEXT)) == TEXT
    assert len(list(media.rglob("*.txt"))) == 1


def test_a_row_of_the_catalog_gets_its_bytes_when_the_file_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = catalog.DatasetInfo("small", "Small", len(TEXT), SHA256, (), {})
    monkeypatch.setitem(catalog._DATASETS, "small", info)
    assert not known_dataset("small").file
    path = tmp_path / "some download.txt"
    path.write_bytes(TEXT)
    stored = store_dataset_file(path)
    assert (stored.name, Dataset.objects.count()) == ("small", 1)
    assert content(known_dataset("small")) == TEXT


def test_a_file_of_unknown_bytes_is_named_as_told_or_as_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my corpus.txt"
    path.write_bytes(TEXT)
    assert store_dataset_file(path).name == "my corpus"
    path.write_bytes(TEXT * 2)
    assert store_dataset_file(path, "doubled").name == "doubled"


def test_a_name_that_two_stored_data_sets_carry_must_be_told_apart_by_hash() -> None:
    first, second = store_dataset("plays", TEXT), store_dataset("plays", TEXT * 2)
    with pytest.raises(AmbiguousDataset, match="Several stored data sets are named 'plays'"):
        known_dataset("plays")
    assert known_dataset(first.sha256) == first
    assert known_dataset(second.sha256) == second


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownDataset, match=r"named 'nope'\. Known data sets: english"):
        known_dataset("nope")
    assert Dataset.objects.count() == 0


@pytest.mark.parametrize("data", [b"", b"x"])
def test_nothing_to_train_or_to_validate_on_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="at least 2 bytes"):
        store_dataset("empty", data)
    assert Dataset.objects.count() == 0


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store_dataset_file(tmp_path / "none.txt")


def test_a_campaign_can_be_made_on_a_stored_data_set_by_name_or_hash() -> None:
    stored = store_dataset("hamlet", TEXT)
    assert campaign(dataset="hamlet").dataset == stored
    assert campaign(dataset=SHA256).dataset == stored
