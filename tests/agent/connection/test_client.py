"""The agent's HTTP client: whose answer is believed, and what an answer may cost."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.runs import MemorySampler
from tests.agent.server import (
    TEXT,
    WORKER_TOKEN,
    AgentServer,
    Reply,
    error,
    make_lease,
    running_server,
)
from tests.standstills import within
from workers.agent.connection import client as client_module
from workers.agent.connection.client import (
    Abandoned,
    Client,
    ContentMismatch,
    CredentialsDropped,
    NotAuthenticated,
    Redirected,
    RequestRefused,
    ServerUnavailable,
)
from workers.agent.connection.exchange import Answer
from workers.agent.connection.server_errors import refusal_of
from workers.protocol import ClaimRequest, ErrorCode, Outcome, Submission

LEASE_ID = "11111111-2222-3333-4444-555555555555"
SUBMISSION: Submission = {"outcome": Outcome.COMPLETED, "metrics": {"val_bpb": 1.5}}
CLAIM: ClaimRequest = {"claim_id": "a", "boot_id": "b", "count": 2, "simulate": False}
PAGE = b"<html><body><h1>Request Time-out</h1></body></html>"
MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def client(server: AgentServer) -> Iterator[Client]:
    client = Client(server.url, WORKER_TOKEN)
    yield client
    client.close()


def submit(client: Client) -> Any:
    return client.submit(LEASE_ID, SUBMISSION)


def bomb(megabytes: int) -> bytes:
    """Return gzip of zeros; a megabyte of it becomes about a gigabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(megabytes)) + packer.flush()


CALLS: dict[str, Callable[[Client], Any]] = {
    "claim": lambda client: client.claim(CLAIM),
    "heartbeat": lambda client: client.heartbeat({"boot_id": "b", "leases": []}),
    "result": submit,
    "enrol": lambda client: client.enrol({"enrolment_token": "xe_1"}),
    "workers/me/token": lambda client: client.rotate_token(),
}
every_call = pytest.mark.parametrize("call", CALLS)


# Whose answer it is.


@pytest.mark.parametrize(
    "reply",
    [
        Reply(408, PAGE),
        error(408, ErrorCode.INVALID),
        Reply(425, b""),
        error(425, ErrorCode.NOT_FOUND),
        *(
            Reply(status, PAGE)
            for status in (400, 401, 403, 404, 405, 407, 409, 410, 413, 422, 451)
        ),
        Reply(400, {"message": "no"}),
        Reply(400, {"code": 400, "message": "no"}),
        Reply(400, {"code": "invalid"}),  # no sentence
        Reply(403, {"code": "forbidden", "message": "no"}),
        Reply(404, {"code": "invalid", "message": "the code of another status"}),
        Reply(404, ["not_found"]),
        Reply(422, b'{"code": "metrics_refused", "message": NaN}'),
        Reply(409, b"[" * 100_000),
        error(411, ErrorCode.INVALID, "Send the body whole."),
        error(415, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        Reply(500, PAGE),
        Reply(101, b""),
        Reply(304, b""),
    ],
)
def test_an_answer_without_xeenets_code_is_not_the_servers(
    server: AgentServer, client: Client, reply: Reply
) -> None:
    server.scripted["result"] = [reply]
    with pytest.raises(ServerUnavailable) as raised:
        submit(client)
    assert raised.value.answered or reply.status == 101
    assert submit(client)["verdict"] == "accepted"


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "not_found"), (409, "result_conflict"), (422, "metrics_refused"), (400, "invalid")],
)
def test_a_refusal_in_xeenets_format_is_believed(
    server: AgentServer, client: Client, status: int, code: str
) -> None:
    server.scripted["result"] = [Reply(status, {"code": code, "message": "no", "more": [1]})]
    with pytest.raises(RequestRefused) as raised:
        submit(client)
    assert (raised.value.status, raised.value.code) == (status, code)


@every_call
@pytest.mark.parametrize(
    "body", [PAGE, b"", b"null", b"[]", b'{"ok": true}', b"\xff\xfe", b"[" * 100_000, b"{}" * 9]
)
def test_a_success_without_the_replys_shape_is_nobodys(
    server: AgentServer, client: Client, call: str, body: bytes
) -> None:
    server.scripted[call] = [Reply(200, body)]
    with pytest.raises(ServerUnavailable, match="does not answer like a XeeNet server") as raised:
        CALLS[call](client)
    assert raised.value.answered


def test_a_reply_may_have_keys_that_this_agent_does_not_know(
    server: AgentServer, client: Client
) -> None:
    server.scripted["result"] = [
        Reply(201, {"verdict": "late", "message": "thanks", "next": {"deep": [1]}})
    ]
    assert submit(client)["verdict"] == "late"


def test_no_credentials_and_an_unknown_token_are_told_apart(
    server: AgentServer, client: Client
) -> None:
    server.scripted["result"] = [
        error(401, ErrorCode.NO_CREDENTIALS),
        error(401, ErrorCode.NOT_AUTHENTICATED),
    ]
    with pytest.raises(CredentialsDropped, match="A proxy on the way drops"):
        submit(client)
    with pytest.raises(NotAuthenticated):
        submit(client)


# Redirects.


@every_call
def test_a_redirect_is_never_followed_and_its_target_is_named(
    server: AgentServer, client: Client, call: str
) -> None:
    with running_server() as elsewhere:
        path = {"result": f"leases/{LEASE_ID}/result", "claim": "leases/claim"}.get(call, call)
        path = "workers/enrol" if call == "enrol" else path
        target = f"{elsewhere.url}/lab/api/v1/{path}"
        server.scripted[call] = [Reply(301, b"", {"Location": target})]
        with pytest.raises(Redirected, match=f"--server {elsewhere.url}/lab$") as raised:
            CALLS[call](client)
        assert raised.value.server_url == f"{elsewhere.url}/lab"
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "location",
    ["https://login.example/?next=/", "", "/", "//[", "https://x:y/", "x" * 5_000, "leases/claim"],
)
def test_a_redirect_to_something_else_names_no_address_to_use(
    server: AgentServer, client: Client, location: str
) -> None:
    server.scripted["claim"] = [Reply(302, b"", {"Location": location})]
    with pytest.raises(Redirected, match="redirects to") as raised:
        client.claim(CLAIM)
    assert raised.value.server_url == ""
    assert len(str(raised.value)) < 500


# What an answer may cost.


@pytest.mark.parametrize("status", [200, 400, 503])
def test_a_small_answer_that_becomes_gigabytes_costs_little(
    server: AgentServer, client: Client, status: int
) -> None:
    server.scripted["result"] = [Reply(status, bomb(200), {"Content-Encoding": "gzip"})]
    with MemorySampler() as memory, pytest.raises(ServerUnavailable, match="larger than"):
        submit(client)
    assert memory.growth_bytes < 32 * MIB


@pytest.mark.parametrize("coding", ["gzip, gzip", "deflate", "br", "x" * 1_000])
def test_only_the_coding_that_was_asked_for_is_read(
    server: AgentServer, client: Client, coding: str
) -> None:
    server.scripted["result"] = [Reply(200, b"x", {"Content-Encoding": coding})]
    with pytest.raises(ServerUnavailable, match="encoded as"):
        submit(client)


def test_a_compressed_answer_is_read(server: AgentServer, client: Client) -> None:
    body = gzip.compress(b'{"verdict": "accepted", "message": ""}')
    server.scripted["result"] = [Reply(200, body, {"Content-Encoding": "gzip"})]
    assert submit(client)["verdict"] == "accepted"


def test_a_claim_of_many_tasks_may_be_large(server: AgentServer, client: Client) -> None:
    config = {f"parameter_{number}": "x" * 1_000 for number in range(60)}
    server.leases = [make_lease(b"", config=config) for _ in range(64)]
    assert len(client.claim({**CLAIM, "count": 64})["leases"]) == 64


@pytest.mark.parametrize("drips_head", [False, True], ids=["body", "head"])
def test_a_dripping_answer_ends_in_time_and_so_does_its_thread(
    server: AgentServer, client: Client, monkeypatch: pytest.MonkeyPatch, drips_head: bool
) -> None:
    monkeypatch.setattr(client_module, "_SUBMIT_SECONDS", 0.5)
    submit(client)  # the connection is kept open, as it is in a running agent
    server.scripted["result"] = [
        Reply(200, b" " * 10_000, drip_seconds=0.05, drips_head=drips_head)
    ]
    with within(2.0), pytest.raises(ServerUnavailable, match="within"):
        submit(client)
    assert not _waits(lambda: _exchanges() == [])
    assert submit(client)["verdict"] == "accepted"


def test_a_claim_that_nobody_waits_for_is_given_up(server: AgentServer, client: Client) -> None:
    server.scripted["claim"] = [Reply(200, b" " * 10_000, drip_seconds=0.05)]
    started_at = time.monotonic()
    with within(1.5), pytest.raises(Abandoned):
        client.claim(CLAIM, gives_up=lambda: time.monotonic() - started_at > 0.3)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-1", "soon"])
def test_a_retry_after_that_is_no_sane_number_is_ignored(
    server: AgentServer, client: Client, value: str
) -> None:
    server.scripted["result"] = [Reply(503, b"", {"Retry-After": value.encode().decode("latin-1")})]
    with pytest.raises(ServerUnavailable) as raised:
        submit(client)
    assert raised.value.retry_after_seconds is None


def test_a_server_cannot_fill_the_memory_with_cookies(server: AgentServer, client: Client) -> None:
    server.scripted["result"] = [
        Reply(200, {"verdict": "accepted"}, {"Set-Cookie": f"c{number}={'x' * 1_000}"})
        for number in range(5)
    ]
    for _ in range(5):
        submit(client)
    pool = client._results._pool
    assert pool is not None
    assert len(list(pool.http.cookies.jar)) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_no_json_can_hold_is_refused_before_it_is_sent(
    server: AgentServer, client: Client, value: Any
) -> None:
    with pytest.raises(RequestRefused, match="no JSON"):
        client.submit(LEASE_ID, {"outcome": Outcome.COMPLETED, "metrics": {"val_bpb": value}})
    assert server.requests == []


def test_half_of_a_surrogate_pair_reaches_the_server_which_can_refuse_it(
    server: AgentServer, client: Client
) -> None:
    client.submit(LEASE_ID, {"outcome": Outcome.FAILED, "message": "\ud800"})
    assert server.results[LEASE_ID]["message"] == "\ud800"


# Downloads.


def download(client: Client, target: Path, max_bytes: int = len(TEXT), **options: Any) -> None:
    sha256 = options.pop("sha256", next(iter(AgentServer().files)))
    client.download(f"datasets/{sha256}", target, sha256=sha256, max_bytes=max_bytes, **options)


def test_a_download_is_complete_and_verified(client: Client, tmp_path: Path) -> None:
    download(client, tmp_path / "data" / "text")
    assert (tmp_path / "data" / "text").read_bytes() == TEXT


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, TEXT + b"x"),
        Reply(200, bomb(200), {"Content-Encoding": "gzip"}),
        Reply(200, b"x", {"Content-Length": "9" * 19}),
    ],
    ids=["a byte more", "bomb", "announced"],
)
def test_a_download_larger_than_announced_leaves_nothing(
    server: AgentServer, client: Client, tmp_path: Path, reply: Reply
) -> None:
    server.scripted["datasets"] = [reply]
    with MemorySampler() as memory, pytest.raises(ContentMismatch, match="larger than the"):
        download(client, tmp_path / "text")
    assert memory.growth_bytes < 32 * MIB
    assert list(tmp_path.iterdir()) == []


def test_a_dripping_download_ends_in_time_and_is_not_tried_again(
    server: AgentServer, client: Client, tmp_path: Path
) -> None:
    server.scripted["datasets"] = [Reply(200, TEXT, drip_seconds=0.05) for _ in range(3)]
    with within(2.0), pytest.raises(ServerUnavailable, match="within"):
        download(client, tmp_path / "text", seconds=0.5)
    assert len(server.calls("datasets")) == 1
    assert not _waits(lambda: list(tmp_path.iterdir()) == [])


def test_a_download_ends_when_the_agent_does(
    server: AgentServer, client: Client, tmp_path: Path
) -> None:
    server.scripted["datasets"] = [Reply(200, TEXT, drip_seconds=0.05) for _ in range(3)]
    threading.Timer(0.3, client.abandon_downloads).start()
    with within(1.5), pytest.raises(Abandoned):
        download(client, tmp_path / "text")


def test_a_download_leaves_the_floor_of_free_disk_space(client: Client, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nearly full"):
        download(client, tmp_path / "text", floor_bytes=2**60)
    assert list(tmp_path.iterdir()) == []


def _exchanges() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "exchange"]


def _waits(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Return False as soon as ``condition`` holds, True when it does not within ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return True
        time.sleep(0.02)
    return False


def test_a_refusal_says_each_thing_once_and_in_words() -> None:
    said = {"code": ErrorCode.INVALID, "message": "Choose another name.", "fields": {}}
    for fields, words in (
        ({"name": ["Choose another name."]}, "Choose another name."),
        ({"name": ["It is too long.", "It is odd."]}, "name: It is too long. It is odd."),
        ({"a": "x", "b": ["y"]}, "a: x; b: y"),
        (["odd"], "['odd']"),
        (None, "Choose another name."),
    ):
        body = json.dumps({**said, "fields": fields}).encode()
        answer = Answer(400, {}, body)
        text = str(refusal_of(answer, "http://lab.test", "workers/enrol"))
        assert text.startswith("Choose another name.")
        assert text.endswith(words)
        assert "{" not in text
