"""What the page shows of its agent, and what it can make it do."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.agent.page.bench import Answer, PageBench, ask
from tests.agent.status.samples import NOW, READY, WHO, ended, running
from workers.agent.limits.rules_file import load
from workers.agent.page import desk as desk_module
from workers.agent.page.desk import Desk, Refused, seconds_until
from workers.agent.page.tasks_view import given, rows, sight
from workers.agent.page.view import campaign_address, headline, time_left, view
from workers.agent.status import words
from workers.agent.status.model import (
    Delivery,
    Ending,
    Fault,
    Pause,
    PausedBy,
    Phase,
    Totals,
    Trouble,
)
from workers.agent.tasks.scripts import CodePolicy

EVIL = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


@pytest.fixture
def bench(tmp_path: Path) -> PageBench:
    return PageBench(tmp_path / "state")


class Page:
    """A page that is open, without a browser."""

    def __init__(self, bench: PageBench) -> None:
        self.host, self.token = bench.sign_in()

    def post(self, path: str, body: Any = None) -> Answer:
        sent = {} if body is None else body
        return ask(self.host, "POST", f"/api/{path}", sent, Authorization=f"Bearer {self.token}")


# --- What it shows -----------------------------------------------------------------------------


def test_the_headline_is_the_sentence_of_log_and_card() -> None:
    idle = replace(READY, idle_reason="the server has no task", idle_until=NOW + 12)
    paused = replace(READY, pauses=(Pause(PausedBy.OWNER, "", NOW - 5, NOW + 3600),))
    lost = replace(READY, troubles=(Trouble("claim", Fault.NETWORK, "no answer", NOW),))
    for status in (idle, paused, lost, replace(READY, draining="tasks are finished")):
        first, rest = headline(status, NOW)
        assert (first + rest).removeprefix("Idle. ").removeprefix("Trouble. ") == words.headline(
            status, NOW
        )
    assert headline(idle, NOW)[0] == "Idle"
    assert headline(paused, NOW)[0] == "Paused"
    assert headline(replace(READY, setting_up="checks torch"), NOW)[0] == "Setting up"
    one = replace(READY, tasks=(running(),))
    assert headline(one, NOW) == ["Training", " for “LR schedule”"]
    two = replace(READY, tasks=(running(), running(lease_id="b" * 32)))
    assert headline(two, NOW) == ["Working", " on 2 tasks."]


def test_a_state_has_its_tone_and_what_can_be_done_in_it() -> None:
    def shown(status: Any, *, has_worker: bool = True) -> dict[str, Any]:
        return view(status, NOW, has_worker=has_worker)

    mends_itself = replace(READY, troubles=(Trouble("claim", Fault.NETWORK, "no answer", NOW),))
    needs_you = replace(READY, troubles=(Trouble("claim", Fault.SERVER, "x", NOW, "Enrol."),))
    assert shown(mends_itself)["tone"] == "amber"
    assert shown(needs_you)["tone"] == "red"
    assert shown(READY)["can"] == {"pause": True, "resume": False, "drain": True, "stop": True}
    paused = replace(READY, pauses=(Pause(PausedBy.OWNER, "", NOW),))
    assert shown(paused)["can"]["resume"]
    setting_up = shown(replace(READY, setting_up="checks torch"), has_worker=False)
    assert setting_up["can"] == {"pause": False, "resume": False, "drain": False, "stop": True}
    assert not any(shown(replace(READY, exit_code=0))["can"].values())


def test_results_are_called_real_only_once_that_is_known() -> None:
    def badge(**fields: Any) -> Any:
        status = replace(READY, identity=replace(WHO, **fields))
        return view(status, NOW, has_worker=True)["results"].get("word")

    assert badge() == "REAL"
    assert badge(simulated_because="no torch") == "SIMULATED"
    assert badge(tier="") is None


def test_the_time_left_is_no_guess() -> None:
    assert time_left(running(), NOW) == pytest.approx(19.0)
    assert time_left(running(trained_since=None), NOW) is None
    assert time_left(running(phase=Phase.SENDING), NOW) is None
    assert time_left(running(max_steps=820), NOW) == pytest.approx(41.0)
    assert time_left(running(max_steps=10**6), NOW) is None


def test_what_others_wrote_is_plain_text_in_each_place() -> None:
    task = running(campaign=EVIL, params={EVIL: EVIL}, number=EVIL)
    last = ended(campaign=EVIL, message=EVIL, ending=Ending.FAILED, said=EVIL, number=EVIL)
    last = replace(last, delivery=Delivery.ANSWERED, value=None)
    status = replace(
        READY,
        tasks=(task, replace(task, lease_id="b" * 32)),
        pauses=(Pause(PausedBy.RULE, EVIL, NOW),),
        troubles=(Trouble("claim", Fault.SERVER, EVIL, NOW, EVIL),),
        ended=(last,),
        measured=EVIL,
    )
    drawn = [view(status, NOW, has_worker=True), given(status, [last], NOW), rows([last], "", NOW)]
    text = json.dumps(drawn, ensure_ascii=False)
    assert "onerror" in text  # it is shown …
    assert "\x1b" not in text
    assert "\\u001b" not in text
    assert "\u202e" not in text


def test_a_link_leads_to_a_server_alone() -> None:
    assert campaign_address("https://lab.example.org", 3) == "https://lab.example.org/campaigns/3/"
    for server in ("", "javascript:alert(1)//", "file:///etc", "data:text/html,x"):
        assert campaign_address(server, 3) == ""
    assert campaign_address("https://lab.example.org", 0) == ""


def test_what_was_given_counts_this_start_and_what_is_kept() -> None:
    status = replace(READY, totals=Totals(ended=1, accepted=1, seconds=60.0))
    assert given(status, [], NOW)[:2] == [
        ["Since the start", "1 task: 1 accepted"],
        ["Trained", "1 m"],
    ]
    kept = [
        ended(f"{number:032x}", delivery=Delivery.ANSWERED, verdict="accepted", said="it counts")
        for number in range(3)
    ]
    named = dict(given(status, kept, NOW + 60))
    (since,) = [
        text for name, text in named.items() if name.startswith("Since ") and "start" not in name
    ]
    assert since == "3 tasks, 3 accepted, 3 m 1 s of training"
    assert named["What came of it"] == "It counts"


def test_what_a_script_may_see_depends_on_the_tier() -> None:
    in_t0 = dict(map(tuple, sight("T0", CodePolicy())))
    in_t1 = dict(map(tuple, sight("T1", CodePolicy(server_code=True, uploaded_scripts=True))))
    assert "your documents" in in_t0["Files"]
    assert "open this page" in in_t0["Network"]
    assert "None" in in_t1["Network"]
    assert "server sends" in in_t1["Code"]
    assert "approved" in in_t1["Code"]
    assert "server sends" not in in_t0["Code"]
    assert sight("", CodePolicy()) == []


def test_the_log_comes_in_pieces(bench: PageBench) -> None:
    for number in range(3):
        bench.say(f"line {number}")
    whole = bench.desk.state()["log"]
    assert whole["count"] == 3
    assert whole["lines"][-1].endswith("line 2")
    bench.say("another line")
    (line,) = bench.desk.state(3)["log"]["lines"]
    assert line.endswith("another line")
    assert bench.desk.state(4)["log"] == {"count": 4, "lines": []}
    assert len(bench.desk.state(99)["log"]["lines"]) == 4
    for number in range(500):
        bench.say(f"more {number}")
    assert len(bench.desk.state(4)["log"]["lines"]) == 200


# --- What it does ------------------------------------------------------------------------------


def test_pauses_end_when_they_should(bench: PageBench) -> None:
    page, before = Page(bench), time.time()
    state = page.post("pause", {"seconds": 3600}).json
    assert state["can"]["resume"]
    pause = bench.board.status.pause_by(PausedBy.OWNER)
    assert pause is not None
    assert pause.until is not None
    assert pause.until - before == pytest.approx(3600, abs=60)
    assert page.post("resume").json["can"]["pause"]
    page.post("pause", {"seconds": None})
    pause = bench.board.status.pause_by(PausedBy.OWNER)
    assert pause is not None
    assert pause.until is None
    page.post("pause", {"until": "07:00"})
    pause = bench.board.status.pause_by(PausedBy.OWNER)
    assert pause is not None
    assert pause.until is not None
    assert time.strftime("%H:%M", time.localtime(pause.until + 1)) == "07:00"
    for wrong in (0, -5, 10**8):
        assert page.post("pause", {"seconds": wrong}).status == HTTPStatus.UNPROCESSABLE_ENTITY
    for odd in ("5", 1.5, True, [], 10**30):
        assert page.post("pause", {"seconds": odd}).status == HTTPStatus.BAD_REQUEST
    assert page.post("pause", {"until": "25:00"}).status == HTTPStatus.UNPROCESSABLE_ENTITY
    bench.service.stop()


def test_resume_also_ends_the_pause_of_the_rules(bench: PageBench) -> None:
    bench.desk.change_rules({"pause": "2h", "threads": "2"})
    assert load(bench.root).paused_until is not None
    bench.desk.resume()
    rules = load(bench.root)
    assert rules.paused_until is None
    assert rules.threads == 2


@pytest.mark.parametrize(
    ("now", "clock", "hours"),
    [
        ("2026-06-01 22:30", "07:00", 8.5),
        ("2026-06-01 07:00", "07:00", 24.0),
        ("2026-06-01 06:59", "7:00", 1 / 60),
        ("2026-10-25 00:30", "07:00", 7.5),  # the clock is put back on the way
        ("2026-03-29 00:30", "07:00", 5.5),  # and forward
    ],
)
def test_a_pause_until_an_hour_follows_the_clock_on_the_wall(
    now: str, clock: str, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        instant = dt.datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/Berlin"))
        assert seconds_until(clock, instant) == pytest.approx(hours * 3600)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_time_of_the_day_is_no_pause() -> None:
    now = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
    for clock in ("", "24:00", "7", "07:60", "-1:00", "07:00:00", "٠٧:٠٠"):
        with pytest.raises(Refused, match="07:00"):
            seconds_until(clock, now)


def test_drain_and_stop_reach_the_agent(bench: PageBench) -> None:
    page = Page(bench)
    assert page.post("drain").json["state"] == "setting up" or bench.worker.told == ["drain"]
    assert page.post("stop").status == HTTPStatus.OK
    assert bench.worker.told == ["drain", "stop"]
    bench.service.stop()


def test_an_agent_that_sets_up_can_only_be_stopped(
    bench: PageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[bool] = []
    monkeypatch.setattr(desk_module, "_end_the_start", lambda: ends.append(True))
    desk = Desk(bench.root, bench.board, bench.history, bench.desk._limiter, bench.tail)
    for act in (desk.drain, lambda: desk.pause(60)):
        with pytest.raises(Refused, match="setting up"):
            act()
    desk.stop()
    assert ends == [True]


def test_rules_are_stored_and_hold_at_once(bench: PageBench) -> None:
    page = Page(bench)
    state = page.post("rules", {"rules": {"threads": "3", "hours": "22:00-07:00"}}).json
    assert state["rules"]["values"]["threads"] == "3"
    assert state["rules"]["values"]["hours"] == "22:00-07:00"
    assert state["rules"]["now"]["threads"] == "3"
    assert load(bench.root).threads == 3
    bench.service.stop()


@pytest.mark.parametrize(
    ("rule", "text", "why"),
    [
        ("hours", "00:00-00:00", "ends when it begins"),
        ("threads", "0", "could never work"),
        ("free-memory", "99999999", "could never work"),
        ("memory", "1", "could never work"),
        ("isolation", "T0", "there is no rule"),
        ("allow-server-code", "true", "there is no rule"),
    ],
)
def test_rules_that_could_never_let_it_run_are_refused_with_the_reason(
    rule: str, text: str, why: str, bench: PageBench
) -> None:
    with pytest.raises(Refused, match=why):
        bench.desk.change_rules({rule: text})
    assert not (bench.root / "limits.json").exists()


def test_a_body_that_is_no_set_of_rules_changes_nothing(bench: PageBench) -> None:
    page = Page(bench)
    many = {f"threads{number}": "1" for number in range(40)}
    for rules in (None, [], {}, {"threads": 3}, {"threads": None}, many):
        assert page.post("rules", {"rules": rules}).status == HTTPStatus.BAD_REQUEST
    assert not (bench.root / "limits.json").exists()
    bench.service.stop()


def test_the_command_line_outranks_a_rule_and_is_shown_as_such(tmp_path: Path) -> None:
    bench = PageBench(tmp_path / "state", threads=2)
    bench.desk.change_rules({"threads": "5"})
    rules = bench.desk.state()["rules"]
    assert rules["outranked"] == {"threads": "--threads of the command line outranks this rule"}
    assert rules["now"]["threads"] == "2"


def test_a_broken_file_of_rules_can_be_begun_anew(bench: PageBench) -> None:
    (bench.root / "limits.json").write_text("{")
    assert "cannot be used" in bench.desk.state()["rules"]["problem"]
    with pytest.raises(Refused, match="cannot be used"):
        bench.desk.change_rules({"threads": "2"})
    bench.desk.reset_rules()
    assert bench.desk.state()["rules"]["problem"] == ""


def test_a_full_disk_is_said(bench: PageBench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(desk_module, "store", fail)
    answer = Page(bench).post("rules", {"rules": {"threads": "2"}})
    assert answer.status == HTTPStatus.INSUFFICIENT_STORAGE
    assert "No space left" in answer.json["problem"]
    bench.service.stop()
