"""The demo's data set: given, cached, downloaded or generated."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.management import demonstration
from campaigns.models import Dataset
from experiments import catalog, english_like_corpus
from tests.english_like import corpus
from tests.processes import (
    free_port,
)

TEXT = b"It was the best of times, it was the worst of times. " * 40


class _TextHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/text" else 404)
        self.end_headers()
        self.wfile.write(TEXT)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """Yield the URL of a server that serves TEXT at /text."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _TextHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[list[str]]:
    """Yield a list that replaces TinyShakespeare's URLs; its content is replaced by TEXT."""
    settings.MEDIA_ROOT = tmp_path / "media"
    urls: list[str] = []
    real = catalog.get_dataset

    def with_test_sources(name: str) -> catalog.DatasetInfo:
        if name != demonstration.DATASET:
            return real(name)
        sha256 = hashlib.sha256(TEXT).hexdigest()
        return dataclasses.replace(
            real(name), sha256=sha256, size_bytes=len(TEXT), urls=tuple(urls)
        )

    monkeypatch.setattr(catalog, "get_dataset", with_test_sources)
    return urls


def stored_bytes(dataset: Dataset) -> bytes:
    return Path(dataset.file.path).read_bytes()


@pytest.mark.django_db
def test_a_file_given_goes_before_everything(sources: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(b"my own words " * 100)
    choice = demonstration.choose_dataset(file, tmp_path)
    assert stored_bytes(choice.dataset) == file.read_bytes()
    assert "mine.txt" in choice.sentence


@pytest.mark.django_db
def test_a_cached_copy_is_stored_and_found_the_next_time(
    sources: list[str], tmp_path: Path
) -> None:
    cache_name = catalog.dataset_cache_name("tinyshakespeare", hashlib.sha256(TEXT).hexdigest())
    (tmp_path / cache_name).write_bytes(TEXT)
    choice = demonstration.choose_dataset(None, tmp_path)
    assert stored_bytes(choice.dataset) == TEXT
    assert "cache" in choice.sentence
    (tmp_path / cache_name).unlink()
    again = demonstration.choose_dataset(None, tmp_path)
    assert again.dataset == choice.dataset
    assert "stored on this server" in again.sentence


@pytest.mark.django_db
def test_a_copy_with_another_hash_in_the_cache_is_not_taken(
    sources: list[str], tmp_path: Path
) -> None:
    cache_name = catalog.dataset_cache_name("tinyshakespeare", hashlib.sha256(TEXT).hexdigest())
    (tmp_path / cache_name).write_bytes(TEXT + b"spoilt")
    assert demonstration.choose_dataset(None, tmp_path).dataset.name == "english_like"


@pytest.mark.django_db
def test_the_first_address_that_has_the_right_bytes_is_taken(
    sources: list[str], web: str, tmp_path: Path
) -> None:
    sources += [f"http://127.0.0.1:{free_port()}/text", f"{web}/missing", f"{web}/text"]
    choice = demonstration.choose_dataset(None, tmp_path)
    assert stored_bytes(choice.dataset) == TEXT
    assert choice.dataset.name == "tinyshakespeare"
    assert "downloaded from 127.0.0.1" in choice.sentence


@pytest.mark.django_db
def test_offline_the_generated_text_takes_its_place_and_says_so(
    sources: list[str], tmp_path: Path
) -> None:
    sources += [f"http://127.0.0.1:{free_port()}/text"]
    choice = demonstration.choose_dataset(None, tmp_path)
    assert choice.dataset.sha256 == english_like_corpus.SHA256
    assert stored_bytes(choice.dataset) == corpus()
    assert "ConnectError" in choice.sentence
    assert "cannot be compared" in choice.sentence


@pytest.mark.django_db
def test_an_address_that_never_answers_costs_only_the_time_allowed(
    sources: list[str], tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sources += [f"http://127.0.0.1:{silent.getsockname()[1]}/text"]
        began = time.monotonic()
        choice = demonstration.choose_dataset(None, tmp_path, download_seconds=0.3)
        assert time.monotonic() - began < 30  # a busy machine; without the bound it never ends
    assert "given up after 0.3 s" in choice.sentence
