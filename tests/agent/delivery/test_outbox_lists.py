"""The agent's outbox: results that wait together go together, to a server that takes lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.delivery.test_outbox import delivering
from tests.agent.server import WORKER_TOKEN, AgentServer, Reply, error, running_server, wait_until
from workers.agent.connection.client import Client
from workers.agent.delivery import outbox as outbox_module
from workers.agent.delivery.outbox import Outbox
from workers.features import Feature
from workers.protocol import ErrorCode, FailureClass, Outcome, Submission

LISTS = "leases/results"
ALONE = "/result"


def lease(number: int) -> str:
    return f"11111111-2222-3333-4444-{number:012}"


def submission(number: int = 0, **changes: Any) -> Submission:
    return {"outcome": Outcome.COMPLETED, "metrics": {"val_bpb": 1.5 + number, **changes}}


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


def filled(folder: Path, count: int, **changes: Any) -> Outbox:
    outbox = Outbox(folder)
    for number in range(count):
        outbox.put(lease(number), submission(number, **changes))
    return outbox


def deliver(outbox: Outbox, server: AgentServer, *, hears: bool = True) -> None:
    """Deliver until the outbox is empty, with a client that has heard the server's features."""
    client = Client(server.url, WORKER_TOKEN)
    if hears:
        client.features()
    with delivering(outbox, server.url, client):
        wait_until(lambda: not outbox.pending_lease_ids())


def sizes(server: AgentServer) -> list[int]:
    """Return how many results each list had."""
    return [len(body["results"]) for body in server.calls(LISTS)]


def alone(server: AgentServer) -> list[str]:
    """Return the leases whose results went alone."""
    return [path.split("/")[-2] for _, path, _ in server.requests if path.endswith(ALONE)]


def test_results_that_wait_go_together_and_are_gone_when_taken(
    tmp_path: Path, server: AgentServer
) -> None:
    deliver(filled(tmp_path, 70), server)
    assert sizes(server) == [64, 6]
    assert alone(server) == []
    assert server.results == {lease(number): submission(number) for number in range(70)}
    assert list(tmp_path.glob("*.json")) == []


def test_lists_are_split_by_bytes(tmp_path: Path, server: AgentServer) -> None:
    deliver(filled(tmp_path, 8, notes="x" * 300_000), server)
    assert sizes(server) == [3, 3, 2]
    for body in server.calls(LISTS):
        assert len(json.dumps(body)) < 1024 * 1024


def test_one_result_goes_alone(tmp_path: Path, server: AgentServer) -> None:
    deliver(filled(tmp_path, 1), server)
    assert (sizes(server), alone(server)) == ([], [lease(0)])


@pytest.mark.parametrize("hears", [True, False])
def test_a_server_that_does_not_name_the_feature_gets_no_list(
    tmp_path: Path, server: AgentServer, hears: bool
) -> None:
    if hears:
        server.features.remove(Feature.RESULT_LISTS)
    deliver(filled(tmp_path, 3), server, hears=hears)
    assert sizes(server) == []
    assert sorted(alone(server)) == [lease(number) for number in range(3)]


def test_a_list_whose_answer_was_lost_goes_again_with_the_same_body(
    tmp_path: Path, server: AgentServer
) -> None:
    server.scripted[LISTS] = [Reply(cut=True)]
    deliver(filled(tmp_path, 4), server)
    first, again = (
        sorted(body["results"], key=lambda result: result["lease_id"])
        for body in server.calls(LISTS)
    )
    assert first == again
    assert alone(server) == []


@pytest.mark.parametrize(
    "reply",
    [
        error(404, ErrorCode.NOT_FOUND),
        error(413, ErrorCode.PAYLOAD_TOO_LARGE),
        error(400, ErrorCode.INVALID),
        Reply(413, b"<html>too large for this proxy</html>"),
        Reply(200, b"<html>please log in</html>"),
        Reply(200, {"results": []}),
        Reply(200, {"results": [{"lease_id": lease(0), "status": 200}] * 3}),
        Reply(500, {"code": "server_error", "message": "The server made a mistake."}),
    ],
    ids=lambda reply: f"{reply.status} {str(reply.body)[:20]}",
)
def test_a_list_that_does_not_get_through_goes_alone_and_the_next_too(
    tmp_path: Path, server: AgentServer, reply: Reply
) -> None:
    server.scripted[LISTS] = [reply]
    outbox = filled(tmp_path, 3)
    deliver(outbox, server)
    assert (sizes(server), len(alone(server))) == ([3], 3)
    for number in (7, 8):
        outbox.put(lease(number), submission(number))
    deliver(outbox, server)
    assert (sizes(server), len(alone(server))) == ([3], 5)
    assert len(server.results) == 5


def test_a_busy_server_gets_nothing_more_until_the_time_it_names(
    tmp_path: Path, server: AgentServer
) -> None:
    server.scripted[LISTS] = [error(503, ErrorCode.DATABASE_UNAVAILABLE, Retry_After="1")]
    deliver(filled(tmp_path, 3), server)
    assert (sizes(server), alone(server)) == ([3, 3], [])
    (_, first), (_, second) = [each for each in server.arrivals if LISTS in each[0]]
    assert second - first >= 1


def test_each_answer_of_a_list_is_acted_on_as_if_it_had_come_alone(
    tmp_path: Path, server: AgentServer
) -> None:
    taken, refused, conflict, unknown, unreadable, waits, odd = map(lease, range(7))
    server.of_lease |= {
        refused: [
            Reply(422, {"code": "metrics_refused", "verdict": "refused", "message": "seed 1"})
        ],
        conflict: [error(409, ErrorCode.RESULT_CONFLICT)],
        unknown: [error(404, ErrorCode.NOT_FOUND)],
        unreadable: [error(400, ErrorCode.INVALID, "exit_code"), error(400, ErrorCode.INVALID)],
        waits: [error(503, ErrorCode.DATABASE_UNAVAILABLE)],
        odd: [Reply(200, {"verdict": "perhaps", "message": ""})],
    }
    deliver(filled(tmp_path, 7), server)

    assert sizes(server) == [7]
    # What was not settled went alone; the unreadable one again as a failure that says so.
    assert sorted(alone(server)) == [unreadable, unreadable, waits, odd]
    assert server.results.keys() == {taken, unreadable, waits, odd}
    assert server.results[unreadable]["failure_class"] == FailureClass.INVALID_RESULT
    set_aside = {path.stem for path in (tmp_path / "rejected").glob("*.json")}
    assert set_aside == {refused, conflict, unknown, unreadable}
    assert list(tmp_path.glob("*.json")) == []


def test_a_result_that_no_json_holds_does_not_keep_the_others(
    tmp_path: Path, server: AgentServer
) -> None:
    outbox = filled(tmp_path, 3)
    # As a file that was changed on the disk might bring it.
    outbox._entries[lease(1)].submission = submission(val_bpb=float("nan"))
    deliver(outbox, server)
    assert server.results.keys() == {lease(0), lease(1), lease(2)}
    assert server.results[lease(1)]["failure_class"] == FailureClass.INVALID_RESULT


def test_results_that_nobody_takes_for_long_are_set_aside(
    tmp_path: Path, server: AgentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_WAIT_SECONDS", -1.0)
    server.scripted[LISTS] = [error(503, ErrorCode.DATABASE_UNAVAILABLE, Retry_After="60")]
    deliver(filled(tmp_path, 3), server)
    assert len(list((tmp_path / "rejected").glob("*.json"))) == 3
    assert server.results == {}
