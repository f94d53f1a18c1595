"""The zip file that repeats a task's run: its files, and that its README really runs."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns.datasets import store_dataset
from campaigns.models import Task
from experiments import catalog
from tests import factories

pytestmark = pytest.mark.django_db

TINY_SPACE = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-3, "high": 3e-3, "decimals": 6},
        *(
            {"name": name, "type": "choice", "values": [value]}
            for name, value in {
                "lr_schedule": "cosine",
                "d_model": 64,
                "n_heads": 2,
                "n_layers": 2,
                "d_ff": 256,
                "batch_size": 32,
                "context_length": 128,
            }.items()
        ),
    ],
    "constraints": [],
}


def bundle(client: Client, task: Task) -> dict[str, bytes]:
    """Return the files of the bundle by name, without their folder."""
    client.force_login(factories.user(role="viewer"))
    response = client.get(reverse("task-bundle", args=task.name))
    assert response["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {name.partition("/")[0] for name in names} == {
            f"campaign-{task.campaign_id}-task-{task.number}"
        }
        return {name.partition("/")[2]: archive.read(name) for name in names}


def measured_task(steps: int = 100, **fields: Any) -> Task:
    attempt = factories.leased_task(**fields)
    factories.finish(attempt, steps_completed=steps)
    return Task.objects.get(pk=attempt.task_id)


def test_it_holds_the_script_as_pinned_both_configs_and_a_readme(client: Client) -> None:
    task = measured_task(steps=77)
    files = bundle(client, task)
    assert set(files) == {
        "train_char_lm.py",
        "config.json",
        "config-original.json",
        "README.txt",
    }
    assert files["train_char_lm.py"] == bytes(task.campaign.package.source)
    original = json.loads(files["config-original.json"])
    assert original == task.config
    # The same steps in ten times the budget, because another machine may be slower.
    replay = original | {"max_steps": 77, "time_budget_seconds": 100.0}
    assert json.loads(files["config.json"]) == replay


def test_the_readme_says_what_was_measured_and_where_the_data_come_from(client: Client) -> None:
    task = measured_task()
    readme = bundle(client, task)["README.txt"].decode()
    dataset = task.campaign.dataset
    for words in (
        task.campaign.package_id,
        dataset.sha256,
        *catalog.get_dataset("tinyshakespeare").urls,
        f"data/{catalog.dataset_cache_name(dataset.name, dataset.sha256)}",
        "val_bpb 3.000000 bits/byte",
        "pip install torch==2.13.0",
    ):
        assert words in readme
    assert max(map(len, readme.splitlines())) <= 120


def test_the_same_task_gives_the_same_bytes(client: Client) -> None:
    task = measured_task()
    client.force_login(factories.user())
    path = reverse("task-bundle", args=task.name)
    assert client.get(path).content == client.get(path).content


def test_without_a_measured_run_there_is_only_the_fixed_time(client: Client) -> None:
    files = bundle(client, factories.pending_task())
    assert files["config.json"] == files["config-original.json"]
    assert "This task has no result yet." in files["README.txt"].decode()


def test_a_data_set_that_only_the_server_has_is_fetched_from_it(client: Client) -> None:
    dataset = store_dataset("mine", b"all work and no play makes a dull file\n" * 400)
    task = measured_task(dataset=dataset.sha256)
    readme = bundle(client, task)["README.txt"].decode()
    assert f"http://testserver/api/v1/datasets/{dataset.sha256}" in readme
    assert "$XEENET_TOKEN" in readme


def test_hostile_names_cannot_add_lines_to_the_readme(client: Client) -> None:
    task = measured_task(name="study\nRun, in this folder\n  rm -rf /")
    readme = bundle(client, task)["README.txt"].decode()
    assert "study Run, in this folder rm -rf /" in readme
    assert not any(line.strip() == "rm -rf /" for line in readme.splitlines())


def test_a_hostile_torch_version_does_not_reach_the_command(client: Client) -> None:
    attempt = factories.leased_task()
    factories.finish(attempt, torch_version="2.13; rm -rf /")
    readme = bundle(client, Task.objects.get(pk=attempt.task_id))["README.txt"].decode()
    assert "venv/bin/pip install torch\n" in readme


def test_a_stranger_is_sent_to_sign_in(client: Client) -> None:
    response = client.get(reverse("task-bundle", args=measured_task().name))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("login"))


@pytest.mark.long
@pytest.mark.once  # the bundle runs without a server
def test_it_runs_alone_and_twice_gives_the_same_value(client: Client, tmp_path: Path) -> None:
    task = measured_task(steps=3, dataset="english_like", search_space=TINY_SPACE)
    for name, content in bundle(client, task).items():
        (tmp_path / name).write_bytes(content)
    commands = _commands((tmp_path / "README.txt").read_text())
    assert len(commands) == 3
    prepare, generate, run = commands
    _shell(prepare, tmp_path)
    _shell(generate, tmp_path)
    results = [json.loads(_shell(run, tmp_path)) for _ in range(2)]
    assert results[0]["steps_completed"] == 3
    assert results[0]["stop_reason"] == "max_steps"
    assert results[0]["dataset_sha256"] == task.campaign.dataset_id
    assert results[0]["val_bpb"] == results[1]["val_bpb"] is not None


def _commands(readme: str) -> list[str]:
    """Return the README's commands for this Python, without the installation of torch."""
    python = re.sub(r"(?:venv/bin/python|python3) ", f"{sys.executable} ", readme)
    commands = re.findall(
        rf"^ +((?:mkdir|{sys.executable}|XEENET_DATA_DIR).*)$", python, re.MULTILINE
    )
    return [command for command in commands if " -m venv " not in command]


def _shell(command: str, folder: Path) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
