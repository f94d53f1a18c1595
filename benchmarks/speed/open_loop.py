"""Heartbeats of a large fleet, open loop: each agent beats when its interval is over.

A slow server does not slow the agents down: what it has not answered waits in line, and its
lateness is counted from the moment at which the agent wanted to beat. The connections are those of
a proxy in front, far fewer than the agents.
"""

import asyncio
import contextlib
import heapq
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from benchmarks.speed.client import Agent, Line, open_line

_TOLD = re.compile(rb'"heartbeat_seconds": ?([0-9.]+)')
# No shorter nap between two looks at who is due.
_NAP_SECONDS = 0.005


@dataclass
class Beats:
    """What the agents saw; `told_seconds` is the interval that each was told last."""

    told_seconds: list[float]
    late_seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    # Not yet answered when the time was over.
    waiting: int = 0


async def join(
    port: int, held: Sequence[tuple[Agent, str]], beats: Beats, *, connections: int
) -> None:
    """Let each agent beat once, as fast as the server answers, so that it is told its interval."""
    places = iter(range(len(held)))

    async def work(line: Line) -> None:
        for place in places:
            began = time.perf_counter()
            await _beat_once(line, held, place, beats, began)

    async with _lines(port, connections) as lines:
        await asyncio.gather(*map(work, lines))


async def beat(
    port: int,
    held: Sequence[tuple[Agent, str]],
    beats: Beats,
    *,
    seconds: float,
    connections: int,
    chance: random.Random,
) -> None:
    """Let each agent beat for its one lease at the interval that it is told, for so long.

    Each begins at a moment of its own within the interval that `beats` has for it.
    """
    began = time.perf_counter()
    end = began + seconds
    due = [(began + chance.random() * told, place) for place, told in enumerate(beats.told_seconds)]
    heapq.heapify(due)
    queue: asyncio.Queue[tuple[float, int]] = asyncio.Queue()

    async def work(line: Line) -> None:
        while True:
            wanted, place = await queue.get()
            await _beat_once(line, held, place, beats, wanted)
            heapq.heappush(due, (wanted + beats.told_seconds[place], place))

    async with _lines(port, connections) as lines:
        workers = [asyncio.create_task(work(line)) for line in lines]
        try:
            while (now := time.perf_counter()) < end and not any(one.done() for one in workers):
                while due and due[0][0] <= now:
                    queue.put_nowait(heapq.heappop(due))
                await asyncio.sleep(_NAP_SECONDS)
            for one in workers:
                if one.done():
                    one.result()  # raises what ended it
            beats.waiting = queue.qsize()
        finally:
            for one in workers:
                one.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


@contextlib.asynccontextmanager
async def _lines(port: int, connections: int) -> AsyncIterator[list[Line]]:
    lines = [await open_line(port) for _ in range(connections)]
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


async def _beat_once(
    line: Line, held: Sequence[tuple[Agent, str]], place: int, beats: Beats, wanted: float
) -> None:
    agent, lease_id = held[place]
    status, body = await line.send(agent.heartbeat([lease_id]))
    _note(beats, place, status, body, time.perf_counter() - wanted)


def _note(beats: Beats, place: int, status: int, body: bytes, late: float) -> None:
    beats.statuses[status] += 1
    beats.late_seconds.append(late)
    if status != 200:
        return
    for answer in ("continue", "cancel", "lost"):
        if f'"{answer}"'.encode() in body:
            beats.answers[answer] += 1
    if told := _TOLD.search(body):
        beats.told_seconds[place] = float(told[1])
