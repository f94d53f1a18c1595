"""The card: its rows in narrow and wide terminals, and its keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.agent.status.samples import NOW, READY, WHO, ended, running
from workers.agent.card.app import Card, Controls
from workers.agent.card.layout import (
    Space,
    address_rows,
    limits_rows,
    rows,
    sparkline,
    tasks_rows,
    trend,
)
from workers.agent.limits.rules import SPELLINGS
from workers.agent.status import changes
from workers.agent.status.model import (
    Delivery,
    Ending,
    Fault,
    Pause,
    PausedBy,
    Status,
    Totals,
    Trouble,
)

LONG = "A name of a campaign that is as long as somebody could write it, and then some more"
WORKING = changes.started(READY, running())
PAGE = "http://127.0.0.1:41234/#" + "a" * 43
OWNERS = Pause(PausedBy.OWNER, "", NOW, None)
STATES = {
    "setting up": Status(WHO, "checks torch"),
    "idle": replace(READY, idle_reason="There is nothing to do.", idle_until=NOW + 3),
    "working": WORKING,
    "paused": changes.paused(READY, OWNERS),
    "trouble": changes.troubled(
        READY, Trouble("disk", Fault.MACHINE, "the disk is nearly full", NOW, "Free some space.")
    ),
    "draining": changes.draining(WORKING, "running tasks are finished"),
    "long": changes.started(READY, running(campaign=LONG, params={LONG: LONG})),
    "hostile": changes.started(READY, running(campaign="\x1b[2J\u202eevil\n名前")),
    "simulated": replace(WORKING, identity=replace(WHO, simulated_because="no torch")),
}


def screen(status: Status, width: int = 80, *, is_unicode: bool = True) -> str:
    return "\n".join(row.plain for row in rows(status, Space(width, is_unicode), NOW))


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_no_row_is_wider_than_the_terminal_or_more_than_plain_text(name: str, width: int) -> None:
    card = rows(STATES[name], Space(width), NOW)
    assert max(row.cell_len for row in card) <= width
    assert all(row.plain.isprintable() for row in card)


def test_the_first_screen_says_what_runs_and_how_far_it_is() -> None:
    text = screen(WORKING)
    for part in ("attic", "lab.example.org", "sandboxed, no network", "● working", "3 h"):
        assert part in text
    assert "“LR schedule”  3/17" in text
    assert "▓▓▓▓▓▓▓░░░ 41 of 60 s   val_bpb 3.1200" in text
    assert "n_layers 4, lr 0.003, seed 7 · step 410" in text
    assert "2 of 8 threads · 4 GB of memory a task · A processor" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("idle", "There is nothing to do. Next look in 3 s."),
        ("paused", "Paused by you until you resume"),
        ("trouble", "The disk is nearly full (this machine's trouble). Free some space."),
        ("draining", "running tasks are finished"),
        ("simulated", "SIMULATED: nothing is trained here (no torch)"),
    ],
)
def test_each_state_says_why_and_what_comes(name: str, words: str) -> None:
    assert words in screen(STATES[name])


def test_a_long_name_is_cut_before_the_tasks_number() -> None:
    assert "3/17" in screen(STATES["long"], 80)
    assert "3/17" in screen(STATES["long"], 60)


def test_a_terminal_without_unicode_gets_ascii_alone() -> None:
    for status in STATES.values():
        assert screen(status, is_unicode=False).isascii()
    assert press(Agent(WORKING), is_unicode=False).isascii()


def test_a_curve_says_where_it_goes_without_judging_it() -> None:
    falling = running(curve=((1.0, 4.0), (2.0, 3.5), (3.0, 3.2)))
    assert (trend(falling), sparkline(falling)) == (" ↘", "█▄▁")
    assert (trend(running()), sparkline(running())) == ("", "")
    assert sparkline(running(curve=((1.0, 3.0),) * 3)) == "▁▁▁"


def test_failures_do_not_blame_the_owner_for_a_script() -> None:
    status = replace(READY, totals=Totals(41, 38, 2, 0, 9660.0, {"oom": 2}), to_send=1)
    text = screen(status, 120)
    failed = "2 failed (the script ran out of memory, not you)"
    assert f"41 tasks: 38 accepted · {failed} · 1 to be sent" in text
    assert "2 h 41 m of training" in text


def test_the_newest_tasks_are_listed_with_what_the_server_said() -> None:
    answer = ended("b" * 32, delivery=Delivery.ANSWERED, verdict="accepted", said="counts")
    status = changes.ended(changes.ended(READY, ended(ending=Ending.LOST)), answer)
    newest, older = (row.plain for row in tasks_rows(status, Space(80), NOW))
    assert "3/17  val_bpb 2.4252 in 1 m  ·  counts" in newest
    assert "its lease had ended" in older


# The keys, in a real app without a terminal.


class Agent:
    """Notes what the card tells it, and is in the state that follows."""

    def __init__(self, status: Status) -> None:
        self.status, self.calls = status, list[Any]()
        self.is_over = False
        self.page_address = ""

    def controls(self) -> Controls:
        return Controls(
            status=lambda: self.status,
            pause=self._pause,
            resume=self._resume,
            drain=self._drain,
            stop=lambda: self.calls.append("stop"),
            is_over=lambda: self.is_over,
            open_address=lambda address: bool(self.calls.append(address)),
            beside=self,
        )

    def limits(self) -> list[str]:
        return ["may work now", "rules:", "  threads=off"]

    def open_page(self) -> str:
        self.page_address = PAGE
        return ""

    def set_limits(self, text: str) -> str:
        self.calls.append(text)
        return "There is no rule like that." if "=" not in text else "The rules are changed."

    def _pause(self, seconds: float | None) -> None:
        self.calls.append(("pause", seconds))
        self.status = changes.paused(self.status, OWNERS)

    def _resume(self) -> None:
        self.calls.append("resume")
        self.status = changes.resumed(self.status, PausedBy.OWNER)

    def _drain(self) -> None:
        self.calls.append("drain")
        self.status = changes.draining(self.status, "running tasks are finished")


def press(agent: Agent, *keys: str, is_unicode: bool = True) -> str:
    """Press the keys in the card of `agent`; return what it shows at its bottom."""

    async def run() -> str:
        card = Card(agent.controls(), ["a line of the log", "x" * 200], is_unicode=is_unicode)
        async with card.run_test(size=(80, 24)) as pilot:
            await _press(pilot, keys)
            shown = card.query_one("#keys").render()
            below = card.query_one("#below").render()
        return f"{below}\n{shown}"

    return asyncio.run(run())


async def _press(pilot: Pilot[None], keys: tuple[str, ...]) -> None:
    for key in keys:
        await pilot.press(key)
    await pilot.pause()


def test_the_card_offers_only_what_works_now() -> None:
    working = press(Agent(WORKING))
    keys = "p pause  d finish this one, then stop  l limits  t tasks  o open the campaign"
    assert f"{keys}\nw open the worker's page  q stop now" in working
    assert "a line of the log" in working
    assert "d stop" in press(Agent(READY))
    assert "open the campaign" not in press(Agent(READY))
    draining = press(Agent(STATES["draining"]))
    assert "pause" not in draining
    assert "q stop now" in draining


def test_a_pause_has_a_length_and_the_same_key_ends_it() -> None:
    agent = Agent(WORKING)
    assert "until you resume" in press(agent, "p")
    assert agent.calls == []
    press(agent, "p", "escape")
    assert agent.calls == []
    assert "p resume" in press(agent, "p", "4")
    press(agent, "p")
    press(agent, "p", "p")
    assert agent.calls == [("pause", 4 * 3600.0), "resume", ("pause", None)]


def test_nothing_is_stopped_by_a_single_key() -> None:
    agent = Agent(WORKING)
    assert "Stop now? 1 task back to the server" in press(agent, "q")
    press(agent, "q", "escape")
    press(agent, "ctrl+q", "x")
    assert agent.calls == []
    press(agent, "q", "q")
    assert agent.calls == ["stop"]


def test_ctrl_c_finishes_what_runs_and_stops_at_once_the_second_time() -> None:
    agent = Agent(WORKING)
    press(agent, "ctrl+c")
    assert agent.calls == ["drain"]
    press(agent, "ctrl+c")
    assert agent.calls == ["drain", "stop"]


def test_d_finishes_what_runs_and_never_stops_it() -> None:
    agent = Agent(WORKING)
    press(agent, "d", "d", "d")
    assert agent.calls == ["drain"]


def test_t_shows_the_tasks_and_o_the_campaigns_address() -> None:
    agent = Agent(changes.ended(WORKING, ended("b" * 32)))
    assert "val_bpb 2.4252" in press(agent, "t")
    assert "https://lab.example.org/campaigns/3/" in press(agent, "o")
    assert agent.calls == ["https://lab.example.org/campaigns/3/"]


def test_rules_are_shown_and_changed_by_their_words() -> None:
    agent = Agent(WORKING)
    assert "c change a rule  l log" in press(agent, "l")
    typed = [*"threads", "equals_sign", *"3x", "backspace"]
    line = press(agent, "l", "c", *typed)
    assert "> threads=3_" in line
    assert agent.calls == []  # letters are no keys while they are typed
    assert "The rules are changed." in press(agent, "l", "c", *typed, "enter")
    assert "There is no rule like that." in press(agent, "l", "c", "p", "enter")
    press(agent, "l", "c", "p", "escape")
    assert agent.calls == ["threads=3", "p"]
    assert "may work now" not in press(agent, "l", "l")


def test_all_rules_fit_on_a_small_terminal_beside_each_other() -> None:
    rules = [f"  {word}=off" for word in SPELLINGS]
    shown = [row.plain for row in limits_rows(["may work now", "rules:", *rules], Space(80))]
    assert shown[:2] == ["may work now", "rules:"]
    assert len(shown) <= 6
    assert all(any(rule.strip() in row.split() for row in shown) for rule in rules)
    assert max(map(len, shown)) <= 80


def test_the_address_of_the_page_stands_on_the_card_until_it_was_used() -> None:
    agent = Agent(WORKING)
    assert PAGE in press(agent, "w")
    assert PAGE in press(agent, "t")  # it came with --page, or another key was pressed since
    assert PAGE in "".join(row.plain for row in address_rows(PAGE, Space(20))[1:])
    agent.page_address = ""
    assert "127.0.0.1" not in press(agent)


def test_a_tiny_terminal_keeps_the_keys_in_sight() -> None:
    async def run() -> tuple[int, int]:
        card = Card(Agent(WORKING).controls(), [])
        async with card.run_test(size=(30, 10)):
            keys = card.query_one("#keys").region
            return keys.bottom, card.query_one("#card").region.width

    assert asyncio.run(run()) == (10, 30)


def test_the_card_ends_with_the_agent() -> None:
    agent = Agent(WORKING)

    async def run() -> bool:
        card = Card(agent.controls(), [])
        async with card.run_test():
            agent.is_over = True
            card.draw()
        return card.is_running

    assert asyncio.run(run()) is False
