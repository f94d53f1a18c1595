"""What `xeenet-worker fleet kubernetes` prints for KEDA, against the server's real answer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.utils import timezone

from tests.clients import bearer
from tests.factories import SMALL_SPACE, active_campaign
from tests.fleets import fleet_token
from workers.agent import cli

pytestmark = pytest.mark.django_db
DEVICE_PATH = re.compile(r'\[needs\.#\(device=="(\w+)"\)\.(\w+),!(\d+)\]\.0')


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Return the metadata of the ScaledJob's trigger."""
    command = ["fleet", "kubernetes", "--server", "https://testserver", "--image", "worker:1"]
    assert cli.main([*command, *words]) == 0
    _, scaled = yaml.safe_load_all(capsys.readouterr().out)
    metadata: dict[str, Any] = scaled["spec"]["triggers"][0]["metadata"]
    return metadata


def value_at(location: str, answer: dict[str, Any]) -> Any:
    """Return what KEDA's GJSON finds: a key, or a device's key in needs, or a literal."""
    found = DEVICE_PATH.fullmatch(location)
    if found is None:
        return answer[location]
    device, key, otherwise = found.groups()
    values = [need[key] for need in answer["needs"] if need["device"] == device]
    return [*values, int(otherwise)][0]


@pytest.mark.parametrize("device", ["", "cuda", "cpu"])
def test_keda_finds_a_number_where_the_scaled_job_says(
    capsys: pytest.CaptureFixture[str], device: str
) -> None:
    space = {
        **SMALL_SPACE,
        "parameters": [
            *SMALL_SPACE["parameters"],
            {"name": "device", "type": "choice", "values": ["cuda"]},
        ],
    }
    trigger = printed(capsys, *(["--device", device] if device else []))
    _, secret = fleet_token(now=timezone.now(), max_live=5)
    path = urlsplit(trigger["url"]).path
    idle = bearer(secret).get(path)
    assert idle.status_code == 200, idle.json()
    assert value_at(trigger["valueLocation"], idle.json()) == 0
    active_campaign(3, now=timezone.now(), search_space=space)
    wanted = value_at(trigger["valueLocation"], bearer(secret).get(path).json())
    assert wanted == (0 if device == "cpu" else 3)
