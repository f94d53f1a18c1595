"""packages/<sha256> and datasets/<sha256>: download of the files that a lease names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.datasets import known_dataset, store_dataset
from experiments import catalog
from tests import factories
from tests.clients import agent_client, researcher_client

pytestmark = pytest.mark.django_db
TEXT = b"to be, or not to be \x00\xff" * 1000


def read_to_the_end(answer: Any) -> Any:
    """Read an answer to its end, which closes the file behind it."""
    if answer.streaming:
        list(answer.streaming_content)
    return answer


@pytest.fixture(autouse=True)
def own_media_folder(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def test_a_worker_gets_the_script_as_the_campaign_pinned_it() -> None:
    client, worker = agent_client()
    campaign = factories.leased_task(worker, now=timezone.now()).task.campaign

    # Download tools send such Accept headers; files and errors are served whatever they say.
    answer = client.get(
        f"/api/v1/packages/{campaign.package_id}", headers={"accept": "text/x-python"}
    )

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.content == catalog.script_source("train_char_lm")
    assert hashlib.sha256(answer.content).hexdigest() == campaign.package_id
    assert answer.headers["ETag"] == f'"{campaign.package_id}"'


def test_a_worker_gets_the_bytes_of_a_stored_data_set() -> None:
    dataset = store_dataset("bard", TEXT)
    client, worker = agent_client()
    factories.leased_task(worker, now=timezone.now(), dataset="bard")

    answer = client.get(f"/api/v1/datasets/{dataset.sha256}")

    assert answer.status_code == 200
    assert isinstance(answer, FileResponse)
    assert b"".join(answer.streaming_content) == TEXT
    assert answer.headers["Content-Length"] == str(len(TEXT))
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_a_data_set_that_is_known_but_not_stored_is_not_found_and_says_so() -> None:
    dataset = known_dataset("tinyshakespeare")
    client, worker = agent_client()
    factories.leased_task(worker, now=timezone.now())

    answer = client.get(f"/api/v1/datasets/{dataset.sha256}")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert "does not store" in answer.json()["message"]


def test_a_data_set_whose_file_is_gone_is_not_found() -> None:
    dataset = store_dataset("bard", TEXT)
    Path(dataset.file.path).unlink()

    answer = researcher_client()[0].get(f"/api/v1/datasets/{dataset.sha256}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_worker_gets_no_file_that_no_task_of_its_own_needs() -> None:
    store_dataset("bard", TEXT)
    client, worker = agent_client()
    attempt = factories.leased_task(factories.worker(), now=timezone.now(), dataset="bard")
    campaign = attempt.task.campaign
    addresses = [
        f"/api/v1/packages/{campaign.package_id}",
        f"/api/v1/datasets/{campaign.dataset_id}",
    ]

    def statuses() -> list[int]:
        return [read_to_the_end(client.get(address)).status_code for address in addresses]

    refused = client.get(addresses[0])

    assert statuses() == [409, 409]
    assert refused.json()["code"] == "lease_lost"
    assert "holds no task that needs" in refused.json()["message"]
    lifecycle.release(attempt.worker, attempt.lease_id, now=timezone.now())
    own = factories.claim_one(worker, now=timezone.now())
    assert statuses() == [200, 200]
    lifecycle.release(worker, own.lease_id, now=timezone.now())
    assert statuses() == [409, 409]


@pytest.mark.parametrize("kind", ["packages", "datasets"])
def test_a_client_that_has_the_bytes_already_is_answered_with_304(kind: str) -> None:
    sha256 = (
        factories.campaign().package_id
        if kind == "packages"
        else store_dataset("bard", TEXT).sha256
    )
    client = researcher_client()[0]

    same = client.get(f"/api/v1/{kind}/{sha256}", headers={"if-none-match": f'"{sha256}"'})
    changed = read_to_the_end(
        client.get(f"/api/v1/{kind}/{sha256}", headers={"if-none-match": '"another"'})
    )

    assert (same.status_code, same.content) == (304, b"")
    assert (changed.status_code, changed.headers["ETag"]) == (200, f'"{sha256}"')


@pytest.mark.parametrize("kind", ["packages", "datasets"])
@pytest.mark.parametrize("name", ["0" * 64, "A" * 64, "0" * 63, "x%00", "../../etc/passwd"])
def test_what_is_no_known_hash_is_not_found(kind: str, name: str) -> None:
    client, _ = researcher_client()

    answer = client.get(f"/api/v1/{kind}/{name}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_people_may_fetch_them_and_strangers_may_not() -> None:
    url = f"/api/v1/packages/{factories.campaign().package_id}"

    assert researcher_client()[0].get(url).status_code == 200
    assert APIClient().get(url).status_code == 401
