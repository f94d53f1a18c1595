"""The manifests of `xeenet-worker fleet kubernetes`; `make engines` checks their schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.agent.fleet.demand_server import FLEET_TOKEN, DemandServer, demand, token_file
from workers.agent import cli
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK

SERVER = "https://xeenet.example.org"


def printed(capsys: pytest.CaptureFixture[str], *words: str, server: str = SERVER) -> list[Any]:
    """Return the manifests that the command prints."""
    command = ["fleet", "kubernetes", "--server", server, "--image", "xeenet-worker:0.2"]
    assert cli.main([*command, *words]) == EXIT_OK
    return list(yaml.safe_load_all(capsys.readouterr().out))


def test_the_scaled_job_reads_the_demand_with_the_token_of_its_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    authentication, scaled = printed(capsys, "--secret", "token-of-gpus", "--most", "12")
    reference = {"parameter": "token", "name": "token-of-gpus", "key": "token"}
    assert authentication["spec"]["secretTargetRef"] == [reference]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert trigger["metadata"]["url"] == f"{SERVER}/api/v1/fleet/demand"
    assert trigger["metadata"]["authMode"] == "bearer"
    assert trigger["metadata"]["valueLocation"] == "wanted_workers"
    assert isinstance(trigger["metadata"]["targetValue"], str)  # KEDA takes texts alone
    assert scaled["spec"]["maxReplicaCount"] == 12


def test_a_device_has_its_own_place_in_the_demand(capsys: pytest.CaptureFixture[str]) -> None:
    _, scaled = printed(capsys, "--device", "cuda", "--gpus", "1")
    (trigger,) = scaled["spec"]["triggers"]
    location = '[needs.#(device=="cuda").wanted_workers,!0].0'
    assert trigger["metadata"]["valueLocation"] == location
    (container,) = scaled["spec"]["jobTargetRef"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_job_has_as_many_pods_as_workers_are_missing(
    server: DemandServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.demand = demand(claimable=4, leased=2, live=2)
    words = ["--kind", "job", "--fleet-token-file", str(token_file(tmp_path))]
    (job,) = printed(capsys, *words, server=server.url)
    assert job["spec"]["parallelism"] == job["spec"]["completions"] == 4
    server.demand = demand(leased=2, live=2)
    assert printed(capsys, *words, server=server.url) == []
    (job,) = printed(capsys, "--kind", "job", "--pods", "3")
    assert job["spec"]["parallelism"] == 3


def test_a_pod_runs_an_ephemeral_agent_with_few_rights_and_no_token_in_sight(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEENET_FLEET_TOKEN", FLEET_TOKEN)
    command = ["fleet", "kubernetes", "--server", SERVER, "--image", "worker:1", "--kind", "job"]
    words = ["--pods", "1", "--max-lifetime", "3600", "--slots", "2", "--cpus", "4"]
    assert cli.main([*command, *words, "--", "--isolation", "T0"]) == EXIT_OK
    text = capsys.readouterr().out
    assert FLEET_TOKEN not in text
    (job,) = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    arguments = container["args"]
    assert container["command"] == ["xeenet-worker"]
    assert "--ephemeral" in arguments
    assert arguments[arguments.index("--max-lifetime") + 1] == "3600"
    assert arguments[-2:] == ["--isolation", "T0"]
    sources = {entry["name"]: next(iter(entry["valueFrom"])) for entry in container["env"]}
    assert sources == {"XEENET_FLEET_TOKEN": "secretKeyRef", "XEENET_MACHINE_KEY": "fieldRef"}


def test_without_a_server_there_is_no_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fleet", "kubernetes", "--server", "http://127.0.0.1:9", "--image", "w", "--kind"]
    words = ["job", "--fleet-token-file", str(token_file(tmp_path))]
    assert cli.main([*command, *words]) == EXIT_CANNOT_RUN
    assert "The demand is not known" in capsys.readouterr().err
