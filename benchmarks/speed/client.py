"""A cheap load client: persistent connections to one web server, in one thread.

It speaks HTTP/1.1 by hand, because a library's client costs as much CPU as the server that it is to
measure. Each connection sends a request and waits for its answer, as an agent does.
"""

import asyncio
import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.speed.products import HOST, PROXY_HEADERS
from workers.protocol import API_PREFIX, CLAIM_PATH, HEARTBEAT_PATH, RESULT_PATH

RESULTS_PATH = "leases/results"
# The feature of servers that take results by lists, and the most of a list.
LISTS_FEATURE = "result_lists"
MOST_IN_LIST = 64
_LENGTH = b"\r\ncontent-length:"


class Refused(RuntimeError):
    """The server answered something else than what the bench measures."""


class Line(asyncio.Protocol):
    """One persistent connection. It has at most one request under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, mark, body = self._received.partition(b"\r\n\r\n")
        if not mark:
            return
        at = head.lower().find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server hung up"))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body of its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True)
class Agent:
    """A worker that calls: its token, and its start."""

    name: str
    token: str
    boot_id: str
    hardware: dict[str, Any]
    scripts: list[str]
    pk: int

    def request(self, method: str, path: str, body: bytes) -> bytes:
        """Return the bytes of a request with this worker's token."""
        proxy = "".join(f"{name}: {value}\r\n" for name, value in PROXY_HEADERS.items())
        head = (
            f"{method} {API_PREFIX}{path} HTTP/1.1\r\nHost: {HOST}\r\n{proxy}"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def claim(self, count: int) -> bytes:
        """Return the request of a new claim."""
        body = {
            "claim_id": str(uuid.uuid4()),
            "boot_id": self.boot_id,
            "count": count,
            "slots": count,
            "simulate": False,
            "hardware": self.hardware,
            "agent_version": "0.2.0",
            "isolation": "T1",
            "accepts_uploaded_scripts": False,
            "calibrates": False,
            "scripts": self.scripts,
            "runs_server_code": False,
        }
        return self.request("POST", CLAIM_PATH, json.dumps(body).encode())

    def heartbeat(self, lease_ids: Sequence[str]) -> bytes:
        """Return the request of a heartbeat for these leases."""
        leases = [{"lease_id": lease_id, "progress": []} for lease_id in lease_ids]
        body = {"boot_id": self.boot_id, "leases": leases}
        return self.request("POST", HEARTBEAT_PATH, json.dumps(body).encode())


class Results:
    """Makes bodies of results that a campaign accepts: each with a value of its own."""

    def __init__(self, campaign: dict[str, Any]) -> None:
        self._campaign = campaign
        self._made = 0
        line = {
            "val_bpb": "VALUE",
            "eval_nll_nats": "NATS",
            "seed": "SEED",
            "train_loss": 2.0,
            "steps_completed": 100,
            "wall_time_seconds": 9.5,
            "device_used": "cpu",
            "model_params": 100_000,
            "eval_bytes": campaign["eval_bytes"],
            "eval_tokens": campaign["eval_bytes"],
            "dataset": "tinyshakespeare",
            "dataset_sha256": campaign["dataset_sha256"],
            "tokens_trained": 409_600,
            "train_seconds": 7.5,
            "eval_seconds": 0.5,
            "setup_seconds": 1.5,
            "stop_reason": "time",
            "threads": 2,
            "dtype": "bfloat16",
            "torch_version": "2.13.0",
            "peak_memory_mb": 300.0,
        }
        body = {
            "outcome": "completed",
            "metrics": line,
            "exit_code": 0,
            "stderr_tail": "step 100: train loss 2.41, 0.1 s left\ndone\n",
            "wall_time_seconds": 9.6,
            "foreign_load": 0.1,
            "simulated": False,
            "code_sha256": campaign["code_sha256"],
        }
        self._line = line
        text = json.dumps(body)
        self._before, rest = text.split('"VALUE"')
        self._between, rest = rest.split('"NATS"')
        self._seed, self._after = rest.split('"SEED"')

    def line(self) -> dict[str, Any]:
        """Return the metrics of a result, as they are stored."""
        value = 2.5
        nats = value * self._campaign["eval_bytes"] * math.log(2)
        return self._line | {"val_bpb": value, "eval_nll_nats": nats, "seed": 42}

    def body(self, seed: int) -> str:
        """Return the JSON of a result on this seed."""
        self._made += 1
        value = 2.5 + self._made % 997 / 1000
        nats = value * self._campaign["eval_bytes"] * math.log(2)
        return f"{self._before}{value}{self._between}{nats}{self._seed}{seed}{self._after}"


@dataclass
class Load:
    """What a stretch of load saw: tasks done, seconds of each kind of call, answers by status."""

    tasks: int = 0
    claim_seconds: list[float] = field(default_factory=list)
    result_seconds: list[float] = field(default_factory=list)
    beat_seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    lists: int = 0

    def note(self, status: int, body: bytes) -> bool:
        """Count an answer; return whether it is a 200."""
        self.statuses[status] += 1
        if status != 200 and len(self.refusals) < 5:
            self.refusals.append(f"{status} {body[:300].decode(errors='replace')}")
        return status == 200


async def open_line(port: int) -> Line:
    """Open a persistent connection to the web server."""
    return (await asyncio.get_running_loop().create_connection(Line, HOST, port))[1]


async def tasks(
    port: int,
    agents: Sequence[Agent],
    results: Results,
    *,
    connections: int,
    count: int,
    seconds: float,
) -> Load:
    """Claim `count` tasks and hand in their results, again and again, on so many connections.

    Each connection takes its share of the agents in turn, and begins no claim after `seconds`.
    Raises Refused when the server hands out nothing, or refuses a result.
    """
    load = Load()
    end = time.perf_counter() + seconds

    async def work(line: Line, own: Sequence[Agent]) -> None:
        turn = 0
        while time.perf_counter() < end:
            agent = own[turn % len(own)]
            turn += 1
            await _one_cycle(line, agent, results, count, load)

    await _on_lines(port, agents, connections, work)
    return load


async def _one_cycle(line: Line, agent: Agent, results: Results, count: int, load: Load) -> None:
    began = time.perf_counter()
    status, body = await line.send(agent.claim(count))
    load.claim_seconds.append(time.perf_counter() - began)
    if not load.note(status, body):
        return
    reply = json.loads(body)
    if not reply["leases"]:
        raise Refused(f"{agent.name} was handed nothing: {reply['reason']}")
    await hand_in(line, agent, reply, results, load)


async def hand_in(
    line: Line, agent: Agent, reply: dict[str, Any], results: Results, load: Load
) -> None:
    """Hand in a result for each lease of a claim: as one list where the server takes lists.

    Raises Refused when one is not accepted.
    """
    leases = reply["leases"]
    made = [(lease["lease_id"], results.body(lease["config"]["seed"])) for lease in leases]
    if len(made) > 1 and LISTS_FEATURE in reply.get("features", ()):
        await _hand_in_list(line, agent, made, load)
        return
    for lease_id, result in made:
        request = agent.request("PUT", RESULT_PATH.format(lease_id=lease_id), result.encode())
        began = time.perf_counter()
        status, body = await line.send(request)
        load.result_seconds.append(time.perf_counter() - began)
        if load.note(status, body):
            if b'"accepted"' not in body:
                raise Refused(f"a result was not accepted: {body[:300]!r}")
            load.tasks += 1


async def _hand_in_list(
    line: Line, agent: Agent, made: Sequence[tuple[str, str]], load: Load
) -> None:
    parts = [f'{{"lease_id": "{lease_id}", {result[1:]}' for lease_id, result in made]
    request = agent.request("POST", RESULTS_PATH, f'{{"results": [{", ".join(parts)}]}}'.encode())
    began = time.perf_counter()
    status, body = await line.send(request)
    load.result_seconds.append(time.perf_counter() - began)
    if load.note(status, body):
        accepted = body.count(b'"accepted"')
        if accepted != len(made):
            raise Refused(f"of {len(made)} results {accepted} were accepted: {body[:600]!r}")
        load.tasks += accepted
        load.lists += 1


async def heartbeats(
    port: int, held: Sequence[tuple[Agent, Sequence[str]]], *, connections: int
) -> Load:
    """Let each agent beat once for the leases that it holds, on so many connections.

    Raises Refused when a lease is not to be continued.
    """
    load = Load()
    leases = {agent.name: lease_ids for agent, lease_ids in held}

    async def work(line: Line, own: Sequence[Agent]) -> None:
        for agent in own:
            request = agent.heartbeat(leases[agent.name])
            began = time.perf_counter()
            status, body = await line.send(request)
            load.beat_seconds.append(time.perf_counter() - began)
            if load.note(status, body) and body.count(b'"continue"') != len(leases[agent.name]):
                raise Refused(f"a lease was not continued: {body[:300]!r}")

    await _on_lines(port, [agent for agent, _ in held], connections, work)
    return load


async def _on_lines(
    port: int,
    agents: Sequence[Agent],
    connections: int,
    work: Callable[[Line, Sequence[Agent]], Awaitable[None]],
) -> None:
    """Open the connections, and run `work` on each of them with its share of the agents."""
    lines = [await open_line(port) for _ in range(min(connections, len(agents)))]
    try:
        await asyncio.gather(
            *[work(line, agents[place :: len(lines)]) for place, line in enumerate(lines)]
        )
    finally:
        for line in lines:
            line.close()
