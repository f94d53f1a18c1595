"""The card as a Textual app: it draws the status twice a second, and passes keys to the agent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.widgets import Static

from workers.agent.card.beside import Beside
from workers.agent.card.layout import (
    SOFT,
    Space,
    address_rows,
    cut,
    keys_rows,
    limits_rows,
    rows,
    tasks_rows,
)
from workers.agent.status import words
from workers.agent.status.model import PausedBy, Status

_DRAW_SECONDS: Final = 0.5
_MOST_CELLS: Final = 120  # wider lines are hard to read
_HOUR_SECONDS: Final = 3600.0
# The key that chooses how long the pause is, and its hours; None until the owner resumes.
_PAUSES: Final[dict[str, float | None]] = {"1": 1.0, "4": 4.0, "8": 8.0, "p": None}
_IDLE_PROMPT: Final = ""
_PAUSE_PROMPT: Final = "pause"
_STOP_PROMPT: Final = "stop"
_RULE_PROMPT: Final = "rule"
_LOG: Final = "log"
_TASKS: Final = "tasks"
_LIMITS: Final = "limits"
_MOST_TYPED: Final = 200


@dataclass(frozen=True)
class Controls:
    """What the card can tell the agent to do, and what it asks it."""

    status: Callable[[], Status]
    pause: Callable[[float | None], None]
    resume: Callable[[], None]
    drain: Callable[[], None]
    stop: Callable[[], None]
    is_over: Callable[[], bool]
    open_address: Callable[[str], bool]
    beside: Beside


class Card(App[None]):
    """What the agent is doing, with keys. It ends when the agent has ended."""

    CSS = """
    Screen { background: ansi_default; color: ansi_default; overflow: hidden; }
    Static { width: 100%; background: ansi_default; color: ansi_default; }
    #below { height: 1fr; margin-top: 1; }
    #keys { dock: bottom; height: auto; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", priority=True, show=False),
        Binding("ctrl+q", "stop", priority=True, show=False),
    ]

    def __init__(
        self, controls: Controls, log_lines: Sequence[str] | deque[str], *, is_unicode: bool = True
    ) -> None:
        super().__init__(ansi_color=True)
        self._controls = controls
        self._log_lines = log_lines
        self._is_unicode = is_unicode
        self._prompt = _IDLE_PROMPT
        self._shows = _LOG
        self._note = ""
        self._typed = ""

    def compose(self) -> ComposeResult:
        """Make the three parts: card, log or tasks, keys."""
        yield Static(id="card", markup=False)
        yield Static(id="below", markup=False)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        """Draw now, and twice a second."""
        self.draw()
        self.set_interval(_DRAW_SECONDS, self.draw)

    def on_resize(self) -> None:
        """Draw in the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw the status as it is now; leave when the agent has ended."""
        if self._controls.is_over():
            self.exit()
            return
        status, now = self._controls.status(), time.time()
        space = Space(min(_MOST_CELLS, max(20, self.size.width)), self._is_unicode)
        card = rows(status, space, now)
        keys = self._keys(status, space)
        card = card[: max(1, self.size.height - len(keys))]  # the keys stay in sight
        room = max(0, self.size.height - len(card) - len(keys) - 2)
        below = self._below(status, space, now)
        below = below[:room] if self._shows != _LOG else below[-room:] if room else []
        for name, part in (("card", card), ("below", below), ("keys", keys)):
            self.query_one(f"#{name}", Static).update(Text("\n", no_wrap=True).join(part))

    def _below(self, status: Status, space: Space, now: float) -> list[Text]:
        if self._shows == _TASKS:
            return tasks_rows(status, space, now)
        if self._shows == _LIMITS:
            return limits_rows(self._controls.beside.limits(), space)
        return self._log_rows(space)

    def _log_rows(self, space: Space) -> list[Text]:
        return [cut(Text(space.plain(line), SOFT), space) for line in list(self._log_lines)]

    def _keys(self, status: Status, space: Space) -> list[Text]:
        if self._prompt == _PAUSE_PROMPT:
            question = Text("Claim nothing for", "bold")
            lengths = [("1", "hour"), ("4", "hours"), ("8", "hours"), ("p", "until you resume")]
            return [question, *keys_rows([*lengths, ("Esc", "no pause")], space)]
        if self._prompt == _STOP_PROMPT:
            running = len(status.tasks)
            lost = "Nothing runs now."
            if running:
                lost = f"{words.count(running, 'task')} back to the server, the work so far lost."
            question = Text(space.plain(f"Stop now? {lost}"), "bold")
            return [question, *keys_rows([("q", "stop now"), ("Esc", "go on")], space)]
        if self._prompt == _RULE_PROMPT:
            example = "Change a rule, like hours=22:00-07:00 or threads=2; =off takes it away."
            line = Text.assemble(("> ", "bold"), space.plain(self._typed), ("_", "blink"))
            asked = [cut(Text(space.plain(self._note or example), "bold"), space), line]
            return [*asked, *keys_rows([("Enter", "change it"), ("Esc", "back")], space)]
        offers = keys_rows(self._offers(status), space)
        if address := self._controls.beside.page_address:
            return [*address_rows(address, space), *offers]
        note = cut(Text(space.plain(self._note), "bold"), space)
        return [note, *offers] if self._note else offers

    def _offers(self, status: Status) -> list[tuple[str, str]]:
        """Return the keys that do something now."""
        offers = []
        if not (status.draining or status.setting_up):
            paused = status.pause_by(PausedBy.OWNER) is not None
            offers.append(("p", "resume" if paused else "pause"))
            one = "finish this one, then stop" if len(status.tasks) < 2 else "finish these, stop"
            offers.append(("d", one if status.tasks else "stop"))
        if self._shows == _LIMITS:
            offers.append(("c", "change a rule"))
        for key, name in (("l", _LIMITS), ("t", _TASKS)):
            offers.append((key, _LOG if self._shows == name else name))
        if _campaign(status):
            offers.append(("o", "open the campaign"))
        offers.append(("w", "open the worker's page"))
        offers.append(("q", "stop now"))
        return offers

    def on_key(self, event: Key) -> None:
        """Act on a key, or answer the question that is asked."""
        key, prompt = event.key, self._prompt
        if prompt == _RULE_PROMPT and key != "escape":
            self._type(event)
            self.draw()
            return
        self._prompt, self._note = _IDLE_PROMPT, ""
        if prompt == _PAUSE_PROMPT:
            if key in _PAUSES:
                hours = _PAUSES[key]
                self._controls.pause(None if hours is None else hours * _HOUR_SECONDS)
        elif prompt == _STOP_PROMPT:
            if key == "q":
                self._stop()
        else:
            self._act(key)
        self.draw()

    def _act(self, key: str) -> None:
        status = self._controls.status()
        offered = {name for name, _ in self._offers(status)}
        if key not in offered:
            return
        if key == "p" and status.pause_by(PausedBy.OWNER) is not None:
            self._controls.resume()
        elif key == "p":
            self._prompt = _PAUSE_PROMPT
        elif key == "d":
            self._controls.drain()
            self._note = "It ends as soon as nothing runs here."
        elif key in {"t", "l"}:
            pane = _TASKS if key == "t" else _LIMITS
            self._shows = _LOG if self._shows == pane else pane
        elif key == "c":
            self._prompt, self._typed = _RULE_PROMPT, ""
        elif key == "w":
            self._note = self._controls.beside.open_page()
        elif key == "q":
            self._prompt = _STOP_PROMPT
        elif key == "o":
            address = _campaign(status)
            opened = self._controls.open_address(address)
            self._note = f"Opened {address}" if opened else f"The campaign's page: {address}"

    def _type(self, event: Key) -> None:
        """Take a key of the line in which rules are typed; Enter changes them."""
        if event.key == "enter":
            self._note = self._controls.beside.set_limits(self._typed)
            self._typed = ""
        elif event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.character and event.is_printable and len(self._typed) < _MOST_TYPED:
            self._typed += event.character
            self._note = ""

    def action_interrupt(self) -> None:
        """Ctrl-C: finish what runs; the second time stop at once, as without the card."""
        if self._controls.status().draining:
            self._stop()
        else:
            self._controls.drain()
            self._note = "Ctrl-C again stops at once."
        self.draw()

    def action_stop(self) -> None:
        """Ctrl-Q: ask like q."""
        self._prompt = _STOP_PROMPT
        self.draw()

    def _stop(self) -> None:
        self._controls.stop()
        self._note = "Stopping: the task goes back to the server."


def _campaign(status: Status) -> str:
    """Return the address of the campaign at hand; "" when there is none."""
    number = 0
    if status.tasks:
        number = status.tasks[0].campaign_id
    elif status.ended:
        number = status.ended[-1].campaign_id
    server = status.identity.server
    return f"{server}/campaigns/{number}/" if number > 0 and server else ""
