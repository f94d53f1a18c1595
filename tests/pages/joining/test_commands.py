"""The commands that pages print are typed for real: from another folder, in a bare environment."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from tests import factories
from workers.joining import lines as joining_lines
from workers.joining.program import program
from xeenet_site.running import serving
from xeenet_site.web import addresses, commands
from xeenet_site.web.commands import Shell, joined

# What the agent imports beside itself, as the wheel's metadata says, with what that needs.
DEPENDENCIES = (
    *("anyio", "certifi", "h11", "httpcore2", "httpx2", "idna", "psutil", "stamina", "tenacity"),
    *("truststore", "typing_extensions"),
)


def test_words_are_quoted_for_the_shell_that_reads_them() -> None:
    words = ["C:\\Program Files\\py.exe", "it's", "$HOME", "plain-1.0"]
    windows = joined(words, Shell.POWERSHELL, {"XEENET_HOME": "C:\\x y"})
    assert windows == (
        "$env:XEENET_HOME = 'C:\\x y'; & 'C:\\Program Files\\py.exe' 'it''s' '$HOME' plain-1.0"
    )
    posix = joined(words, Shell.POSIX, {"XEENET_HOME": "/x y"})
    assert posix.startswith("XEENET_HOME='/x y' ")
    assert shlex.split(posix)[1:] == words


def test_a_command_for_the_server_runs_from_another_folder_on_the_same_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "it's here"
    monkeypatch.setenv("XEENET_HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@127.0.0.1/lab")
    line = commands.manage("diffsettings", "--output", "unified")
    assert "secret" not in line
    assert commands.unprinted_variables() == ["DATABASE_URL"]
    bare = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "sqlite://:memory:"}
    answer = subprocess.run(
        ["/bin/sh", "-c", line], cwd="/", env=bare, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert repr(home) in answer.stdout


@pytest.mark.django_db
def test_only_operators_and_who_sits_at_the_machine_see_its_commands(
    rf: RequestFactory, client: Client
) -> None:
    local = {"headers": {"host": "localhost:8000"}}
    assert commands.is_at_the_machine(rf.get("/", **local))
    assert not commands.is_at_the_machine(rf.get("/"))
    assert not commands.is_at_the_machine(rf.get("/", REMOTE_ADDR="10.0.0.9", **local))
    proxied = rf.get("/", headers={"host": "localhost", "x-forwarded-for": "10.0.0.9"})
    assert not commands.is_at_the_machine(proxied)
    assert sys.executable not in client.get(reverse("login")).text
    at_it = client.get(reverse("login"), headers={"host": "localhost"})
    assert "manage.py first_account" in at_it.text
    client.force_login(factories.user(is_staff=True))
    assert "manage.py enroll_worker" in client.get(reverse("workers")).text


def test_another_machine_gets_an_address_that_it_can_reach(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(addresses, "lan_addresses", lambda: ["10.0.0.5", "192.168.7.2"])
    local = rf.get("/", headers={"host": "127.0.0.1:8000"})
    for listens_on, urls, words in (
        ("127.0.0.1", ("http://10.0.0.5:8000", "http://192.168.7.2:8000"), "own machine only"),
        ("0.0.0.0", ("http://10.0.0.5:8000", "http://192.168.7.2:8000"), "ALLOWED_HOSTS"),
        ("192.168.7.2", ("http://192.168.7.2:8000",), "ALLOWED_HOSTS"),
    ):
        monkeypatch.setattr(addresses, "listening_host", lambda _port, host=listens_on: host)
        reach = addresses.reach(local)
        assert (reach.every, words in reach.problem) == (urls, True), listens_on
        assert reach.command.endswith("--host 0.0.0.0 --port 8000") == (listens_on == "127.0.0.1")
    settings.ALLOWED_HOSTS = ["127.0.0.1", "192.168.7.2", "testserver"]
    assert addresses.reach(local).problem == ""
    monkeypatch.setattr(addresses, "lan_addresses", list)
    monkeypatch.setattr(addresses, "listening_host", lambda _port: "127.0.0.1")
    assert addresses.reach(local).url == ""
    # Whoever came by another name shows by which name the server is reached.
    assert addresses.reach(rf.get("/")).every == ("http://testserver",)


def test_serve_answers_to_the_names_of_a_machine_that_it_listens_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
    monkeypatch.setattr(addresses, "lan_addresses", lambda: ["10.0.0.5"])
    assert "ALLOWED_HOSTS" in serving.server_environment("0.0.0.0")
    assert "10.0.0.5" in serving.server_environment("0.0.0.0")["ALLOWED_HOSTS"].split(",")
    assert "10.0.0.5" not in serving.server_environment("127.0.0.1")["ALLOWED_HOSTS"]
    assert "http://10.0.0.5:8000" in serving.urls_for_others("0.0.0.0", 8000)
    monkeypatch.setenv("ALLOWED_HOSTS", "lab.example.org")
    assert serving.server_environment("0.0.0.0")["ALLOWED_HOSTS"] == "lab.example.org"


@pytest.mark.django_db
def test_the_program_is_a_wheel_without_the_server_and_open_to_everybody(client: Client) -> None:
    wheel = program()
    sent = client.get(reverse("worker-program", args=[wheel.name]))
    assert hashlib.sha256(sent.content).hexdigest() == wheel.sha256
    assert client.get(reverse("worker-program", args=["other.whl"])).status_code == 404
    files = zipfile.ZipFile(io.BytesIO(sent.content)).namelist()
    assert {name.split("/")[0] for name in files if "dist-info" not in name} == {
        "workers",
        "experiments",
    }
    assert not {"workers/models.py", "workers/views.py"} & set(files)
    program.cache_clear()
    assert program().sha256 == wheel.sha256  # another process's


@pytest.mark.django_db(transaction=True)
def test_what_the_page_prints_installs_this_servers_agent_which_runs(
    live_server: LiveServer, tmp_path: Path
) -> None:
    url = str(live_server)
    posix = joining_lines.lines(url, ["--enrol", "xe_a"])[0]
    packages = tmp_path / "packages"
    packages.mkdir()
    for source in (Path(path) for path in sys.path if path.endswith("site-packages")):
        for name in DEPENDENCIES:
            for path in source.glob(f"{name}*"):  # the package, and what is known of it
                (packages / path.name).symlink_to(path)
    # No index is asked: what pip would fetch beside the program is there already.
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
    bare |= {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    asks = posix.start.split(" --server")[0] + " --version"
    for line in (posix.install, asks):
        answer = subprocess.run(
            ["/bin/sh", "-ec", line], cwd="/", env=bare, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.startswith("xeenet-worker ")
    assert f"#sha256={program().sha256}" in posix.install  # pip refuses other bytes
