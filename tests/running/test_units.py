"""The systemd units: whatever dies is started again, with the options of `serve`."""

from __future__ import annotations

import shlex
from typing import Final

import pytest

from tests.processes import ROOT
from xeenet_site.running import serving

UNITS: Final = ROOT / "docs" / "systemd"
SERVICES: Final = sorted(UNITS.glob("*.service"))


def settings_of(name: str) -> dict[str, str]:
    """Each setting of a unit with its last value."""
    lines = (UNITS / name).read_text().splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith(("#", "[")))
    return {key: value for key, mark, value in pairs if mark}


def options(words: list[str]) -> dict[str, str]:
    """The long options of a command with their values, "" for flags."""
    return {
        word: "" if following.startswith("-") else following
        for word, following in zip(words, [*words[1:], "-"], strict=True)
        if word.startswith("--")
    }


def test_there_are_three_units() -> None:
    assert [path.stem for path in SERVICES] == ["xeenet-jobs", "xeenet-web", "xeenet-worker"]


@pytest.mark.parametrize("name", [path.name for path in SERVICES])
def test_a_unit_is_never_given_up_and_its_starts_are_spread(name: str) -> None:
    settings = settings_of(name)
    assert settings["StartLimitIntervalSec"] == "0"
    assert int(settings["RestartSec"]) >= 2
    assert int(settings["RestartMaxDelaySec"]) >= 60
    assert settings["KillMode"] == "mixed"
    assert settings["OOMPolicy"] == "continue"


@pytest.mark.parametrize("name", ["xeenet-web.service", "xeenet-jobs.service"])
def test_the_services_processes_start_again_whatever_their_exit_status(name: str) -> None:
    assert settings_of(name)["Restart"] == "always"


def test_the_unit_starts_the_web_server_with_the_options_of_serve() -> None:
    unit = options(shlex.split(settings_of("xeenet-web.service")["ExecStart"]))
    ours = options(serving.web_command("127.0.0.1", 8000, workers=2))
    assert "--respawn-failed-workers" in unit
    assert unit | {"--blocking-threads": ""} == ours | {"--blocking-threads": ""}
