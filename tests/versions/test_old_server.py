"""This version's agent against a server of 0.1.0: it says only what that server knows."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import released
from tests.agent.bench import Bench
from tests.agent.server import AgentServer, running_server
from tests.agent.tasks.bench import SCRIPT
from tests.versions import recorded
from tests.versions.old_server import OldServer
from workers.agent.connection.client import Client
from workers.agent.delivery.heartbeat import Heartbeat
from workers.agent.delivery.outbox import Outbox
from workers.agent.exits import EXIT_OK
from workers.agent.tasks.scripts import CodePolicy, ScriptUnavailable, resolve_script
from workers.features import ALL_FEATURES
from workers.protocol import FailureClass, Submission

# No step's evaluation fitted: a word that 0.1.0 did not have.
UNEVALUATED = SCRIPT.replace(b'"val_bpb": 2.0', b'"val_bpb": None').replace(
    b'"stop_reason": "time"', b'"stop_reason": "no_time_to_evaluate"'
)
# Exit code 2: the script refuses its config, which this version reports as final.
REFUSING = b"import sys; print('config: lr is missing', file=sys.stderr); sys.exit(2)"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Bench]:
    with running_server(OldServer) as server:
        yield Bench(tmp_path, server)


def server_of(bench: Bench) -> OldServer:
    assert isinstance(bench.server, OldServer)
    return bench.server


def test_an_old_server_gets_every_result_in_words_that_it_knows(old: Bench) -> None:
    completed = old.offer_task()
    unevaluated, refusing = old.offer_task(UNEVALUATED), old.offer_task(REFUSING)
    assert old.run(once=True) == EXIT_OK

    server = server_of(old)
    assert (server.refused, server.unknown_keys) == ([], set())
    assert server.results[completed]["metrics"]["val_bpb"] == 2.0
    assert server.results[unevaluated]["metrics"]["stop_reason"] == "budget_too_small"
    assert server.results[unevaluated]["metrics"]["val_bpb"] is None
    assert server.results[refusing]["failure_class"] == FailureClass.SCRIPT_ERROR
    assert server.progress.keys() <= {completed, unevaluated, refusing}
    assert not list(old.state.outbox.glob("*.json"))


def test_a_new_server_gets_all_of_it(tmp_path: Path) -> None:
    with running_server() as server:
        bench = Bench(tmp_path, server)
        unevaluated, refusing = bench.offer_task(UNEVALUATED), bench.offer_task(REFUSING)
        bench.run(once=True)
    assert server.results[unevaluated]["metrics"]["stop_reason"] == "no_time_to_evaluate"
    assert server.results[refusing]["final"] is True
    claim = server.calls("claim")[0]
    assert {"slots", "calibrates", "scripts", "runs_server_code"} <= claim.keys()
    assert recorded.SCRIPT_SHA256 in claim["scripts"]


def test_a_pause_of_the_owner_is_told_once_a_server_has_named_the_feature(
    old: Bench, tmp_path: Path
) -> None:
    with running_server() as new:
        for server in (old.server, new):
            client = Client(server.url, old.token)
            paused = Heartbeat(client, "boot", old.outbox, 1, owner_pause=lambda: {"seconds": 60.0})
            paused.beat()
            paused.beat()
            client.close()
    told = [beat.get("owner_pause") for beat in new.calls("heartbeat")]
    assert told == [None, {"seconds": 60.0}]
    assert (server_of(old).refused, server_of(old).unknown_keys) == ([], set())


def deliver(server: AgentServer, outbox: Outbox, client: Client) -> None:
    """Deliver what waits in the outbox, then end its thread."""
    stop = threading.Event()
    thread = threading.Thread(target=outbox.deliver_until, args=(client, stop))
    thread.start()
    try:
        while outbox.pending_lease_ids():
            thread.join(0.05)
    finally:
        stop.set()
        outbox.wake()
        thread.join()


def test_a_failure_class_that_a_server_refuses_is_sent_in_its_older_word(old: Bench) -> None:
    """The server was replaced by an older one after it had named its features."""
    server = server_of(old)
    failed: Submission = {"outcome": "failed", "failure_class": "too_slow", "message": "slow"}  # type: ignore[typeddict-item]
    client = Client(server.url, old.token)
    client._features = ALL_FEATURES  # as its last reply said
    old.outbox.put("lease-1", failed)
    deliver(server, old.outbox, client)
    client.close()

    assert [body["failure_class"] for body in server.refused] == ["too_slow"]
    assert server.results["lease-1"] == failed | {"failure_class": "timeout"}
    assert not list(old.state.outbox.glob("rejected/*"))


def test_what_a_former_start_left_is_sent_in_words_that_the_server_knows(old: Bench) -> None:
    """Before its first claim the agent asks what the server knows; it does not guess."""
    old.outbox.put("lease-1", {"outcome": "failed", "failure_class": "oom", "final": True})  # type: ignore[typeddict-item]
    client = Client(old.server.url, old.token)
    deliver(old.server, Outbox(old.state.outbox), client)
    client.close()
    assert [path for _, path, _ in old.server.requests] == ["workers/me", "leases/lease-1/result"]
    assert server_of(old).unknown_keys == set()


def test_an_old_servers_recorded_replies_are_believed() -> None:
    """The shapes that this version demands of a reply are those that 0.1.0 gave."""
    from workers.agent.connection import replies

    checks: dict[str, Any] = {
        "enrol": replies.enrol_reply,
        "exchange the token": replies.token_reply,
        "me": replies.me_reply,
        "claim, no task waits": lambda reply: replies.claim_reply(reply, 1),
        "claim, a task": lambda reply: replies.claim_reply(reply, 1),
        "claim, draining": lambda reply: replies.claim_reply(reply, 1),
        "heartbeat": replies.heartbeat_reply,
        "heartbeat, cancelled": replies.heartbeat_reply,
        "heartbeat, lost": replies.heartbeat_reply,
        "heartbeat, draining": replies.heartbeat_reply,
        "submit a result": replies.submission_reply,
        "submit: out of memory": replies.submission_reply,
        "release": replies.any_reply,
    }
    for name, check in checks.items():
        reply = recorded.exchange(name)["reply"]
        assert check(replies.read_object(json.dumps(reply).encode())).items() >= reply.items(), name
    [lease] = recorded.exchange("claim, a task")["reply"]["leases"]
    assert replies.lease_problem(lease) == ""
    errors = [name for name in recorded.NAMES if recorded.exchange(name)["status"] >= 400]
    from workers.protocol import ERROR_STATUS

    assert len(errors) > 8
    for name in errors:
        exchange = recorded.exchange(name)
        assert ERROR_STATUS[exchange["reply"]["code"]] == exchange["status"], name


def test_a_released_script_is_fetched_by_its_hash_and_no_other(
    old: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Campaigns keep their script: an agent that is newer runs it, if its releases name it."""
    source = b"print('released before')"
    sha256 = hashlib.sha256(source).hexdigest()
    old.server.files[sha256] = source
    [lease] = recorded.exchange("claim, a task")["reply"]["leases"]
    lease["code_sha256"] = sha256
    client = Client(old.server.url, old.token)

    def resolve() -> bytes:
        return resolve_script(
            lease, client=client, cache_folder=old.state.packages, policy=CodePolicy()
        )

    with pytest.raises(ScriptUnavailable, match="update the worker") as refused:
        resolve()
    assert refused.value.failure_class == FailureClass.REFUSED
    assert old.server.calls("packages/") == []  # not even fetched
    # The name counts as well as the hash: a release of another experiment is none of this one.
    monkeypatch.setitem(released.RELEASES, "another", (released.Release(sha256, ""),))
    with pytest.raises(ScriptUnavailable):
        resolve()
    known = (*released.RELEASES["train_char_lm"], released.Release(sha256, ""))
    monkeypatch.setitem(released.RELEASES, "train_char_lm", known)
    assert resolve() == source
    # What the server sends in its place is not run.
    old.server.files[sha256] = b"print('something else')"
    (old.state.packages / f"{sha256}.py").unlink()
    with pytest.raises(ScriptUnavailable, match="fetching it") as refused:
        resolve()
    assert refused.value.failure_class == FailureClass.ENV_ERROR
    client.close()
