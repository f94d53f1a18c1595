"""Whom the agent asks at its start, and how a set-up is told to status, log and terminal."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from workers.agent.isolation import Containment
from workers.agent.running.hardware import Machine
from workers.agent.setup import choose, first_start
from workers.agent.setup.detect import Gpu, Host, Vendor
from workers.agent.setup.environments import Choice, Environments
from workers.agent.setup.first_start import ready
from workers.agent.setup.process import SetUpFailed, SetUpProcess
from workers.agent.setup.progress import (
    FILE_NAME,
    Reporter,
    Watch,
    file_sink,
    read_progress,
    terminal_sink,
)
from workers.agent.status import words
from workers.agent.status.board import StatusBoard, this_process
from workers.agent.status.encoding import decode, encode
from workers.agent.status.model import SetUp, SetUpStep, State, Status

RTX = Gpu(Vendor.NVIDIA, "RTX 3070", "580.95", (8, 6))
CPU = Machine({"torch_version": "2.13.0+cpu", "devices": ["cpu"]})
CUDA = Machine({"torch_version": "2.13.0+cu130", "devices": ["cuda", "cpu"]})
NO_TORCH = Machine({"notes": ["torch: No module named 'torch'"]})
GB = 1024**3


class Start:
    """A start of an agent on a machine with a GPU. Set-up itself is a double."""

    def __init__(self, root: Path, before: Machine, after: Machine = CUDA) -> None:
        self.root = root
        self.before, self.after = before, after
        self.board = StatusBoard(this_process("0"))
        self.questions: list[str] = []
        self.answer = True
        self.fails = False
        self.was_set_up = False

    def confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def carry_out(self, _prospect: Any, reporter: Reporter) -> Choice:
        reporter.step(SetUpStep.TORCH, "fetches torch", 5 * GB)
        if self.fails:
            raise SetUpFailed("wheels.example.org cannot be reached")
        choice = Choice("/env/bin/python", "2.13.0+cu130", "cuda", "torch works on RTX 3070")
        self.was_set_up = True
        return choice

    def run(self, *, asks: bool = True, agrees: bool = False) -> Containment:
        def contain() -> Containment:
            return Containment(self.after if self.was_set_up else self.before)

        return ready(self.root, self.board, contain, asks=asks, agrees=agrees)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    start = Start(tmp_path / "state", CPU)
    start.root.mkdir()
    monkeypatch.setattr(first_start, "is_interactive", lambda: True)
    for module in (choose, "workers.agent.setup.process"):
        place = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{place}.detect", lambda *_: (RTX,))
    monkeypatch.setattr(choose, "this_host", lambda: Host("linux", "x86_64"))
    monkeypatch.setattr(first_start, "confirm", start.confirm)
    monkeypatch.setattr(SetUpProcess, "carry_out", lambda _, *words: start.carry_out(*words))
    return start


def note_of(containment: Containment) -> str:
    notes = containment.hardware.get("notes", [])
    return next((note for note in notes if note.startswith("GPU not used: ")), "")


def test_a_person_is_asked_and_the_agent_goes_on_with_what_was_set_up(start: Start) -> None:
    containment = start.run()
    assert len(start.questions) == 1
    assert containment.hardware["devices"] == ["cuda", "cpu"]
    assert note_of(containment) == ""
    progress = start.board.status.torch_setup
    assert progress is not None
    assert (progress.step, progress.sentence) == (SetUpStep.DONE, "torch works on RTX 3070.")
    assert read_progress(start.root) == progress


def test_a_no_is_for_good_and_the_page_says_what_is_not_used(start: Start) -> None:
    start.answer = False
    for _ in range(2):
        note = note_of(start.run())
    assert len(start.questions) == 1
    expected = "torch 2.13.0+cpu here cannot use RTX 3070: run xeenet-worker setup"
    assert note == f"GPU not used: {expected}"
    start.run(agrees=True)  # --yes is a new answer
    assert start.was_set_up


def test_yes_needs_no_terminal_and_nobody_else_is_set_up_without_asking(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_start, "is_interactive", lambda: False)
    start.run()  # a service
    start.run(asks=False)  # --no-setup
    assert (start.questions, start.was_set_up) == ([], False)
    assert start.run(agrees=True).hardware["devices"] == ["cuda", "cpu"]
    assert start.questions == []


def test_nobody_is_asked_where_torch_uses_the_gpu_or_set_up_was_done(start: Start) -> None:
    start.before = CUDA
    assert note_of(start.run()) == ""
    start.before = CPU
    environments = Environments(start.root)
    environments.root.mkdir()
    reason = "torch 2.13.0+cpu works on the CPU. Not taken: CUDA, it finds none"
    environments.choose(Choice("/env/bin/python", "2.13.0+cpu", "cpu", reason, "env-1"))
    assert note_of(start.run()) == f"GPU not used: {reason}"
    assert start.questions == []


def test_a_machine_without_torch_is_asked_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start.before = NO_TORCH
    for place in (choose.__name__, "workers.agent.setup.process"):
        monkeypatch.setattr(f"{place}.detect", lambda *_: ())
    start.run()
    assert len(start.questions) == 1


def test_a_set_up_that_fails_leaves_the_agent_as_it_was_and_is_told(start: Start) -> None:
    start.fails = True
    containment = start.run()
    assert containment.hardware["devices"] == ["cpu"]
    progress = start.board.status.torch_setup
    assert progress is not None
    assert progress.step is SetUpStep.FAILED
    assert progress.sentence == "wheels.example.org cannot be reached"


def test_a_driver_that_is_too_old_is_said_on_the_page(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = replace(RTX, driver="470.82")
    for place in (choose.__name__, "workers.agent.setup.process"):
        monkeypatch.setattr(f"{place}.detect", lambda *_: (old,))
    note = note_of(start.run())
    assert "the driver 470.82 of RTX 3070 is too old for torch 2.13.0" in note
    assert "class of CPUs" in note
    assert len(note) <= 300
    assert start.questions == []  # there is nothing to gain


# How far it is.

FETCHING = SetUp(SetUpStep.TORCH, "fetches torch for CUDA", 1.0, 2, "m", 2 * GB, 5 * GB)


def test_the_state_has_the_set_up_with_its_share_and_its_words() -> None:
    status = Status(this_process("0"), torch_setup=FETCHING)
    assert status.state is State.SETTING_UP
    text = "Set-up of torch: fetches torch for CUDA: 2 GB of about 5 GB."
    assert words.headline(status, 0.0) == text
    assert decode(encode(status, 3.0)) == (status, 3.0)
    assert FETCHING.share == 0.4
    assert replace(FETCHING, done_bytes=9 * GB).share == 0.99  # the total is about right only
    assert replace(FETCHING, step=SetUpStep.DONE).share is None
    assert replace(FETCHING, total_bytes=0).share is None


def test_an_agent_sees_a_set_up_beside_it_but_not_one_of_long_ago(tmp_path: Path) -> None:
    board = StatusBoard(this_process("0"))
    watch = Watch(tmp_path, board)
    watch.look()
    started = board.status.identity.started_at
    gone = replace(FETCHING, since=started - 100, pid=2**22 + 1)
    (tmp_path / FILE_NAME).write_text(json.dumps(asdict(gone)))
    watch.look()
    assert board.status.torch_setup is None
    (tmp_path / FILE_NAME).write_text(json.dumps(asdict(replace(gone, since=started + 1))))
    watch.look()
    progress = board.status.torch_setup
    assert progress is not None
    assert progress.step is SetUpStep.FAILED
    assert progress.sentence.startswith("it was interrupted")
    for broken in ("", "[]", '{"step": "fetching torch"}', "[" * 9000):
        (tmp_path / FILE_NAME).write_text(broken)
        watch.look()
        assert read_progress(tmp_path) is None


def test_a_full_disk_does_not_end_a_set_up_for_its_progress(tmp_path: Path) -> None:
    reporter = Reporter([file_sink(tmp_path / "nowhere")])
    reporter.step(SetUpStep.TRIAL, "tries torch")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_bytes_move_in_one_line_on_a_terminal_and_are_few_lines_elsewhere(
    is_terminal: bool,
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    reporter = Reporter([terminal_sink(stream)])
    reporter.step(SetUpStep.TORCH, "fetches torch", 10 * GB)
    for percent in range(101):
        reporter.bytes_done(percent * GB // 10)
    reporter.step(SetUpStep.TRIAL, "tries torch")
    text = stream.getvalue()
    assert text.count("\n") == (2 if is_terminal else 11)
    assert "1 GB of about 10 GB" in text
