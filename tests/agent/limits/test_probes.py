"""What the machine tells: load, battery, temperature, network, and the person's last key.

macOS, Windows, GNOME and KDE are doubles: their answers come from documents.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.agent.server import wait_until
from workers.agent.limits import idle, sensors, session_helper
from workers.agent.limits.load import WINDOW_SECONDS, CoreTimes, Load, LoadMeter, OwnUse, own_use
from workers.agent.limits.presence import Presence, Seen, read_seen
from workers.agent.limits.session_helper import Observer


class Battery(NamedTuple):
    percent: float
    power_plugged: bool | None


class Sensor(NamedTuple):
    label: str
    current: float | None


class Machine:
    """Two cores whose counters the test moves on."""

    def __init__(self) -> None:
        self.now = self.busy = self.own = 0.0
        self.meter = LoadMeter(
            lambda: CoreTimes(self.busy, 2 * self.now, 2),
            lambda: OwnUse(self.own, 5),
            lambda: self.now,
        )

    def pass_time(self, seconds: float, *, foreign: float = 0.0, own: float = 0.0) -> Load:
        self.now += seconds
        self.busy += seconds * (foreign + own)
        self.own += seconds * own
        return self.meter.read()


def test_the_load_is_that_of_others_however_much_the_own_scripts_use() -> None:
    machine = Machine()
    assert machine.pass_time(5, foreign=0.5, own=1.5) == Load(0.5, 1.5)
    assert machine.meter.memory_bytes == 5


def test_the_load_is_that_of_the_last_seconds() -> None:
    machine = Machine()
    for _ in range(10):
        machine.pass_time(2, foreign=2.0)
    loads = [machine.pass_time(2, foreign=0.0) for _ in range(5)]
    assert loads[0].foreign_cores == pytest.approx(1.6)
    assert machine.pass_time(WINDOW_SECONDS, foreign=0.0) == Load(0.0, 2.0)


def test_a_moment_or_a_clock_that_stands_still_tells_nothing() -> None:
    machine = Machine()
    assert machine.pass_time(0.1, foreign=1.0) == Load(None, None)
    clock = iter([0.0, 10.0])
    still = LoadMeter(lambda: CoreTimes(1.0, 9.0, 2), lambda: OwnUse(0.0, 0), lambda: next(clock))
    assert still.read() == Load(None, None)


def test_the_own_use_is_never_less_than_that_of_this_process() -> None:
    spent = sum(os.times()[:2])
    assert own_use().cpu_seconds >= spent > 0


@pytest.mark.parametrize(
    ("battery", "expected"),
    [
        (None, None),
        (Battery(50, None), None),
        (Battery(50, True), False),
        (Battery(9, False), True),
    ],
)
def test_battery(battery: Any, expected: bool | None) -> None:
    assert sensors.on_battery(lambda: battery) is expected


def test_broken_sensors_tell_nothing() -> None:
    def broken() -> Any:
        raise FileNotFoundError("/sys/class/power_supply")

    assert sensors.on_battery(broken) is None
    assert sensors.temperature(broken) is None
    assert sensors.temperature(lambda: {"nvme": [Sensor("", 90.0)]}) is None
    by_name = {"coretemp": [Sensor("Core 0", 51.0), Sensor("Core 1", 63.0), Sensor("", None)]}
    assert sensors.temperature(lambda: by_name) == 63.0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("u 1", True), ("u 3", True), ("u 2", False), ("u 4", False), ("u 0", None), ("", None)],
)
def test_metered_networks(answer: str, expected: bool | None) -> None:
    assert sensors.metered(lambda _: answer) is expected


def test_programs_that_are_missing_or_fail_answer_nothing() -> None:
    assert sensors.answer_of(["no-such-program-of-xeenet"]) == ""
    assert sensors.answer_of(["false"]) == ""
    assert sensors.answer_of(["echo", "u 1"]) == "u 1"


def desktop(answers: dict[str, str]) -> sensors.Run:
    """Return the programs of a desktop, by the last word of what they are asked."""

    def run(command: Sequence[str]) -> str:
        return answers.get(command[-1], "")

    return run


@pytest.mark.parametrize(
    ("platform", "environment", "answers", "seconds", "source"),
    [
        ("linux", {}, {"GetIdletime": "t 65000"}, 65.0, "GNOME"),
        ("linux", {}, {"GetSessionIdleTime": "u 1500"}, 1.5, "the screen saver"),
        ("darwin", {}, {"4": '  | "HIDIdleTime" = 2500000000'}, 2.5, "macOS"),
        ("darwin", {}, {}, None, "macOS does not tell"),
        ("win32", {}, {}, None, "Windows does not tell"),
        ("linux", {}, {}, None, "there is no desktop session here"),
        (
            "linux",
            {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"},
            {"GetIdletime": "Failed to call: Access denied"},
            None,
            "this Wayland desktop tells nobody how long it was idle",
        ),
        ("linux", {"DISPLAY": ":7"}, {}, None, "X11: no X server answers"),
    ],
)
def test_who_tells_when_the_person_was_there(
    platform: str,
    environment: dict[str, str],
    answers: dict[str, str],
    seconds: float | None,
    source: str,
) -> None:
    def no_server() -> Any:
        raise OSError("no X server answers")

    ask, name = idle.find_source(platform, environment, desktop(answers), no_server)
    assert (None if ask is None else ask(), name) == (seconds, source)


def test_windows_counts_in_32_bits() -> None:
    def last_input(pointer: Any) -> bool:
        pointer._obj.time = 2**32 - 1000
        return pointer._obj.size == ctypes.sizeof(idle._LastInput)

    user32 = SimpleNamespace(GetLastInputInfo=last_input)
    kernel32 = SimpleNamespace(GetTickCount=lambda: 500)
    assert idle.windows(user32, kernel32) == 1.5


def test_a_session_that_is_not_ready_is_asked_again() -> None:
    sources = [(None, "no session"), (lambda: 3.0, "X11")]
    observer = Observer(lambda: sources.pop(0), lambda: None)
    looks = [observer.look() for _ in range(session_helper._METERED_EVERY + 1)]
    assert looks[0] == {"idle_seconds": None, "source": "no session", "metered": None}
    assert looks[-1]["idle_seconds"] == 3.0


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"idle_seconds": -1}', b'{"idle_seconds": NaN}', b"{" * 4000]
)
def test_a_line_that_is_none_tells_no_presence(line: bytes) -> None:
    seen = read_seen(line)
    assert seen is None or seen.idle_seconds is None


def test_a_helper_in_the_session_tells_an_agent_outside_of_it(tmp_path: Path) -> None:
    presence = Presence(tmp_path)
    path = tmp_path / session_helper.FILE_NAME
    session_helper.write_presence(path, {"idle_seconds": 4.0, "source": "X11", "metered": True})
    try:
        seen = presence.look()
        assert seen.idle_seconds is not None
        assert 4.0 <= seen.idle_seconds < 30.0
        assert seen.source == "X11"
        old = json.loads(path.read_text()) | {"idle_seconds": 0.0}
        session_helper.write_presence(path, old)
        os.utime(path, (1_000_000_000, 1_000_000_000))  # its helper is gone
        assert presence._of_file(2_000_000_000.0) is None
    finally:
        presence.stop()


def test_the_agents_own_helper_answers_and_ends_with_it(tmp_path: Path) -> None:
    presence = Presence(tmp_path)
    assert presence.look().is_pending
    process = presence._process
    assert process is not None
    try:
        wait_until(lambda: presence._told is not None or process.poll() is not None)
        seen = presence.look()
        assert isinstance(seen, Seen)
        assert not seen.is_pending
        assert seen.source
    finally:
        presence.stop()
    assert process.returncode is not None
