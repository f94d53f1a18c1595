"""The environment of scripts: nothing of the owner's beyond the list, no password of a proxy."""

from __future__ import annotations

import json
import os
import site
from pathlib import Path

import pytest

from tests.agent.server import TEXT
from tests.agent.tasks.bench import SCRIPT, TEXT_SHA256, Bench, bench, metrics_of
from workers.agent.running.environment import script_environment
from workers.agent.running.interpreter import own_interpreter

__all__ = ["bench"]  # the fixture

PASSWORD = "http://owner:s3cret@proxy.example:3128"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy")
PRIVATE = ("PYTHONPATH", "LD_PRELOAD", "SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY", "XDG_RUNTIME_DIR")

# Its prepare step writes the data set, and what it saw into the task folder.
TELLING = f"""
import json, os, pathlib, sys
if sys.argv[1] == "--prepare":
    name = "hamlet-{TEXT_SHA256[:12]}.txt"
    pathlib.Path("seen.json").write_text(json.dumps(dict(os.environ)))
    pathlib.Path(os.environ["XEENET_DATA_DIR"], name).write_bytes({TEXT!r})
    sys.exit(0)
os.environ["SEEN"] = pathlib.Path("seen.json").read_text()
""" + SCRIPT.decode()


@pytest.fixture
def owners_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, PASSWORD)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # the agent itself reaches the test's server
    for name in PRIVATE:
        monkeypatch.setenv(name, "/of/the/owner")


def test_only_what_is_on_the_list_is_passed_on(tmp_path: Path, owners_environment: None) -> None:
    environment = script_environment(tmp_path, tmp_path)
    assert not {*PROXIES, *PRIVATE} & set(environment)
    assert "s3cret" not in json.dumps(environment)
    assert environment["PATH"] == os.environ["PATH"]


def test_only_a_download_is_given_the_proxies(tmp_path: Path, owners_environment: None) -> None:
    environment = script_environment(tmp_path, tmp_path, downloads=True)
    assert environment["HTTPS_PROXY"] == PASSWORD
    assert not set(PRIVATE) & set(environment)


@pytest.mark.usefixtures("owners_environment")
def test_the_run_of_a_script_gets_no_proxy_although_its_prepare_step_did(bench: Bench) -> None:
    del bench.server.files[TEXT_SHA256]
    environment = metrics_of(bench.run(bench.attempt(TELLING.encode())))["environment"]
    assert json.loads(environment.pop("SEEN"))["HTTPS_PROXY"] == PASSWORD
    assert "s3cret" not in json.dumps(environment)


def test_home_and_temporary_files_lie_in_the_task_folder(tmp_path: Path) -> None:
    environment = script_environment(tmp_path, tmp_path / "data")
    for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
        assert environment[name] == str(tmp_path)
    assert environment["XEENET_DATA_DIR"] == str(tmp_path / "data")


def test_a_torch_below_the_owners_home_is_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    user_base = own_interpreter().user_base
    assert user_base == site.getuserbase()
    environment = script_environment(tmp_path, tmp_path, user_base=user_base)
    assert environment["PYTHONUSERBASE"] == user_base


def test_what_the_hardware_check_found_necessary_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    extra = {"CUDA_VISIBLE_DEVICES": ""}
    assert script_environment(tmp_path, tmp_path, extra=extra)["CUDA_VISIBLE_DEVICES"] == ""
