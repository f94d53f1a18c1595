"""A thousand agents that return at once: how the waits of agents and server spread their load.

`arrivals_in_theory` simulates the waits in virtual time, with the agent's own `Backoff` and waits
as the server sends them. `Herd` does the same against real servers, for `make chaos`. Each of its
agents is a coroutine that opens one connection per request, so few files are open at a time.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.agent.backoff import Backoff
from workers.protocol import API_PREFIX, CLAIM_PATH

ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Wave:
    """The requests per second before an outage and in the busiest moment after it."""

    agents: int
    idle_seconds: float  # the average wait that the server sends
    outage_seconds: float
    steady_per_second: float
    peak_per_second: float

    @property
    def ratio(self) -> float:
        """The peak load relative to the steady load."""
        return self.peak_per_second / self.steady_per_second

    @property
    def kept_up(self) -> bool:
        """Whether the servers kept up before the outage; otherwise the ratio means nothing."""
        return self.steady_per_second > 0.9 * self.agents / self.idle_seconds


def arrivals_in_theory(
    agents: int,
    outage: tuple[float, float],
    end: float,
    idle_wait: Callable[[], float],
    rng: random.Random,
) -> list[float]:
    """Return when the agents send requests, in seconds of virtual time until `end`.

    The agents are idle, and refused from outage[0] to outage[1]. They all start at second 0, which
    is a wave by itself.
    """
    backoffs = [Backoff() for _ in range(agents)]
    queue = [(rng.random() * 0.001, number) for number in range(agents)]
    heapq.heapify(queue)
    arrivals = []
    while queue[0][0] < end:
        now, number = heapq.heappop(queue)
        arrivals.append(now)
        if outage[0] <= now < outage[1]:
            wait = backoffs[number].next_wait()
        else:
            wait = idle_wait()
            backoffs[number].reset(wait)
        heapq.heappush(queue, (now + wait, number))
    return arrivals


def wave(
    agents: int,
    arrivals: Sequence[float],
    outage: tuple[float, float],
    *,
    since: float,
    idle_seconds: float,
    moment_seconds: float,
) -> Wave:
    """Measure arrivals: the mean load from `since` to the outage, and the peak after it.

    A moment must be much shorter than the agents' waits, otherwise it hides agents in lockstep.
    """
    steady = [at for at in arrivals if since <= at < outage[0]]
    after = Counter(int((at - outage[1]) / moment_seconds) for at in arrivals if at >= outage[1])
    return Wave(
        agents=agents,
        idle_seconds=idle_seconds,
        outage_seconds=outage[1] - outage[0],
        steady_per_second=len(steady) / (outage[0] - since),
        peak_per_second=max(after.values()) / moment_seconds,
    )


class Herd:
    """Agents without tasks that poll as often as the server says."""

    def __init__(self, port: int, tokens: Sequence[str], spread_seconds: float) -> None:
        self.refused = 0  # requests that found no server
        self.answered: Counter[int] = Counter()  # by status
        self._port = port
        self._tokens = tokens
        self._spread_seconds = spread_seconds

    async def run(self, seconds: float) -> None:
        """Poll with all agents for `seconds`, spreading the first polls over `spread_seconds`."""
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._agent(token, end) for token in self._tokens))

    async def _agent(self, token: str, end: float) -> None:
        backoff, boot_id = Backoff(), str(uuid.uuid4())
        wait = random.uniform(0.0, self._spread_seconds)
        while time.monotonic() + wait < end:
            await asyncio.sleep(wait)
            try:
                status, reply, retry_after = await self._claim(token, boot_id)
            except (OSError, EOFError, TimeoutError):
                self.refused += 1
                wait = backoff.next_wait()
                continue
            self.answered[status] += 1
            if status == 200:
                wait = reply["wait_seconds"]
                backoff.reset(wait)
            else:
                wait = backoff.next_wait(retry_after)

    async def _claim(self, token: str, boot_id: str) -> tuple[int, dict[str, float], float | None]:
        """Claim one task; return status, body and Retry-After. Raises OSError, EOFError."""
        request = {"claim_id": str(uuid.uuid4()), "boot_id": boot_id, "count": 1, "simulate": True}
        body = json.dumps(request).encode()
        head = (
            f"POST {API_PREFIX}{CLAIM_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(head.encode() + body)
            answer = await asyncio.wait_for(reader.read(), ANSWER_SECONDS)
        finally:
            writer.close()
        top, _, content = answer.partition(b"\r\n\r\n")
        if not content:
            raise EOFError
        first, *lines = top.decode("latin-1").split("\r\n")
        fields = {line.partition(":")[0].lower(): line.partition(":")[2] for line in lines}
        retry_after = float(fields["retry-after"]) if "retry-after" in fields else None
        return int(first.split(" ")[1]), json.loads(content), retry_after
