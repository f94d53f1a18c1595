"""The card's rows: the status in the width of a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from workers.agent.browser import ONCE
from workers.agent.status import words
from workers.agent.status.model import Fault, RunningTask, State, Status, Trouble

# Styles of the terminal's own palette, so that they fit a light and a dark one.
SOFT: Final = "dim"
STRONG: Final = "bold"
LIVE: Final = "blue"
AMBER: Final = "yellow"
RED: Final = "red"
INVENTED: Final = "magenta"

MARKS: Final = {
    State.SETTING_UP: ("◌", SOFT),
    State.MEASURING: ("●", LIVE),
    State.IDLE: ("○", SOFT),
    State.WORKING: ("●", LIVE),
    State.PAUSED: ("‖", AMBER),
    State.TROUBLE: ("▲", RED),
    State.DRAINING: ("◌", AMBER),
    State.STOPPED: ("■", SOFT),
}
LABEL_CELLS: Final = 9
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_MOST_SPARKS: Final = 16
_MOST_TASKS: Final = 4
_LEAST_TITLE: Final = 20  # cells of a campaign's name, where its figures stand beside it
_ASCII: Final = str.maketrans(
    {
        "●": "*", "○": "o", "◌": "~", "‖": "=", "▲": "!", "■": "#", "·": "-", "“": '"', "”": '"',
        "▓": "#", "░": ".", "…": "~", "↘": "\\", "↗": "/", "→": "-", "’": "'", "×": "x", "±": "~",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Space:
    """How much room the card has, and what the terminal can write."""

    width: int
    is_unicode: bool = True

    def plain(self, text: str) -> str:
        """Return a text of anybody's as this terminal may show it."""
        safe = words.safe(text)
        if self.is_unicode:
            return safe
        return safe.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def rows(status: Status, space: Space, now: float) -> list[Text]:
    """Return the card, one text a row, none wider than the space."""
    found = [*_head(status, space, now), Text(""), *_now(status, space, now), Text("")]
    if status.state is not State.TROUBLE:
        for trouble in status.troubles:
            text = words.sentence(words.trouble_text(trouble))
            found += _row("note", text, space, _tone(trouble))
    if status.identity.simulated_because:
        text = f"SIMULATED: nothing is trained here ({status.identity.simulated_because})"
        found += _row("results", text, space, INVENTED)
    if text := words.cold_text(status.identity):
        found += _row("note", words.sentence(text), space, most_rows=1)
    found += _row("limits", words.may_use(status), space, most_rows=2)
    found += _row("so far", words.totals_text(status.totals, status.to_send), space)
    if status.totals.seconds:
        found += _row("given", f"{words.span(status.totals.seconds)} of training", space)
    found += _last(status, space)
    return found


def _head(status: Status, space: Space, now: float) -> Iterator[Text]:
    who = status.identity
    mark, style = MARKS[status.state]
    right = Text.assemble(
        (space.plain(f"{mark} {status.state}"), style),
        f"   {words.span(now - who.started_at)}",
    )
    parts = words.about(who)
    left = Text.assemble(
        (space.plain(who.name), STRONG),
        (space.plain("".join(f"  ·  {part}" for part in parts)), SOFT),
    )
    if left.cell_len + 3 + right.cell_len <= space.width:
        left.append(" " * (space.width - left.cell_len - right.cell_len))
        yield left.append_text(right)
        return
    yield cut(left, space)
    yield cut(right, space)


def _now(status: Status, space: Space, now: float) -> Iterator[Text]:
    if status.state is State.TROUBLE:
        for trouble in status.troubles:
            text = words.sentence(words.trouble_text(trouble))
            yield from _row("now", text, space, _tone(trouble))
        return
    if not status.tasks:
        style = AMBER if status.state is State.PAUSED else ""
        yield from _row("now", words.headline(status, now), space, style)
        return
    for place, task in enumerate(status.tasks[:_MOST_TASKS]):
        yield from _task("" if place else "now", task, space, now)
    if (others := len(status.tasks) - _MOST_TASKS) > 0:
        yield from _row("", f"and {words.count(others, 'task')} more", space, SOFT)
    if status.draining:
        yield from _row("then", status.draining, space, AMBER)
    for pause in status.pauses:
        yield from _row("then", words.pause_text(pause, now), space, AMBER)


def _tone(trouble: Trouble) -> str:
    """Return amber for what passes by itself, red for what a person has to mend."""
    return RED if trouble.advice or trouble.fault is Fault.MACHINE else AMBER


def _task(name: str, task: RunningTask, space: Space, now: float) -> Iterator[Text]:
    """Yield the rows of a running task: on a wide terminal its name, bar and figure in one."""
    title = Text(space.plain(f"“{task.campaign}”"), STRONG)
    number = Text(space.plain(f"  {task.number}"), SOFT)
    figures = _figures(task, space, now)
    room = space.width - LABEL_CELLS
    beside = room - number.cell_len - figures.cell_len - 3
    if beside >= min(_LEAST_TITLE, title.cell_len):
        title.truncate(beside, overflow="ellipsis")
        gap = " " * (beside + 3 - title.cell_len)
        yield cut(Text.assemble(_label(name), title, number, gap, figures), space)
    else:
        title.truncate(max(1, room - number.cell_len), overflow="ellipsis")
        yield cut(Text.assemble(_label(name), title, number), space)
        yield cut(Text.assemble(_label(""), figures), space)
    if tried := words.params_text(task):
        step = f" · step {task.step:,}" if task.step is not None and not task.max_steps else ""
        yield from _row("", tried + step, space, SOFT)


def _figures(task: RunningTask, space: Space, now: float) -> Text:
    figures = Text()
    if task.trained_since is not None:
        cells = 10 if space.width < 100 else 20
        full = round(words.share_done(task, now) * cells)
        bar = "▓" * full + "░" * (cells - full)
        figures.append(space.plain(bar), LIVE).append(" ")
    figures.append(space.plain(words.progress_text(task, now)))
    if latest := words.latest(task):
        figures.append("   " + space.plain(latest + trend(task)))
    if space.is_unicode and space.width >= 100 and (sparks := sparkline(task)):
        figures.append(f"  {sparks}", SOFT)
    return figures


def trend(task: RunningTask) -> str:
    """Return an arrow from the value before the newest one; "" without two."""
    if len(task.curve) < 2:
        return ""
    before, newest = task.curve[-2][1], task.curve[-1][1]
    return " →" if newest == before else " ↘" if newest < before else " ↗"


def sparkline(task: RunningTask) -> str:
    """Return the learning curve as small bars; "" with fewer than three points."""
    values = [value for _, value in task.curve][-_MOST_SPARKS:]
    if len(values) < 3:
        return ""
    low, high = min(values), max(values)
    top = len(_SPARKS) - 1
    return "".join(
        _SPARKS[round((value - low) / (high - low) * top) if high > low else 0] for value in values
    )


def _last(status: Status, space: Space) -> Iterator[Text]:
    if not status.ended:
        return
    task = status.ended[-1]
    said = words.delivered(task)
    text = f"{task.number}  {words.came_out(task)}" + (f"  ·  {said}" if said else "")
    yield from _row("last", text.strip(), space)


def _row(name: str, text: str, space: Space, style: str = "", *, most_rows: int = 3) -> list[Text]:
    """Return a label and a text, which goes on under itself when it is too long for one row."""
    body = Text(space.plain(text), style)
    lines = _wrapped(body, max(10, space.width - LABEL_CELLS), most_rows)
    found = []
    for place, line in enumerate(lines):
        label = _label("" if place else name)
        found.append(cut(label.append_text(line), space))
    return found


def _label(name: str) -> Text:
    return Text.assemble((f"{name:<{LABEL_CELLS}}", SOFT))


def _wrapped(text: Text, width: int, most_rows: int) -> list[Text]:
    """Return the text in rows of whole words; what does not fit the last one is cut."""
    found: list[Text] = []
    rest = text
    while rest.cell_len > width and len(found) < most_rows - 1:
        place, at = 0, 0
        for index, letter in enumerate(rest.plain):
            at += cell_len(letter)
            if at > width:
                break
            if letter == " " and index:
                place = index
        if place == 0:  # one long word
            break
        found.append(rest[:place])
        rest = rest[place + 1 :]
    rest.truncate(width, overflow="ellipsis")
    return [*found, rest]


def cut(text: Text, space: Space) -> Text:
    """Return the text, its end cut off where it is wider than the space."""
    text.truncate(space.width, overflow="ellipsis")
    if not space.is_unicode:
        text.plain = text.plain.replace("…", "~")
    return text


def tasks_rows(status: Status, space: Space, now: float) -> list[Text]:
    """Return the newest tasks, newest first, one row each."""
    if not status.ended:
        return [Text("No task has ended since the start.", SOFT)]
    found = []
    for task in reversed(status.ended):
        said = words.delivered(task)
        result = words.came_out(task) + (f"  ·  {said}" if said else "")
        when = words.clock(task.ended_at, now)
        text = Text.assemble((f"{when}  ", SOFT), space.plain(f"{task.number}  {result}"))
        found.append(cut(text, space))
    return found


def limits_rows(lines: list[str], space: Space) -> list[Text]:
    """Return the lines on the limits; the rules, which are indented, stand in columns."""
    rules = [line for line in lines if line.startswith("  ")]
    cells = max((cell_len(space.plain(rule)) for rule in rules), default=1)
    beside = max(1, space.width // cells)
    found = [Text(space.plain(line), SOFT) for line in lines if line not in rules]
    for at in range(0, len(rules), beside):
        row = "".join(f"{space.plain(rule):<{cells}}" for rule in rules[at : at + beside])
        found.append(Text(row, SOFT))
    return [cut(row, space) for row in found]


def address_rows(address: str, space: Space) -> list[Text]:
    """Return the page's address under a sentence, whole: in pieces where one row is too narrow."""
    text = space.plain(address)
    pieces = [text[at : at + space.width] for at in range(0, len(text), space.width)]
    return [cut(Text(space.plain(ONCE), STRONG), space), *(Text(piece) for piece in pieces)]


def keys_rows(offers: list[tuple[str, str]], space: Space) -> list[Text]:
    """Return the keys with what they do, in as many rows as the width takes."""
    found = [Text()]
    for key, does in offers:
        part = Text.assemble((key, STRONG), " ", (space.plain(does), SOFT))
        if found[-1].cell_len and found[-1].cell_len + 2 + part.cell_len > space.width:
            found.append(Text())
        if found[-1].cell_len:
            found[-1].append("  ")
        found[-1].append_text(part)
    return [cut(row, space) for row in found]
