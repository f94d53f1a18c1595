"""The first start: what was pasted, the test of the server, joining, and who may ask for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.agent.desktop.doubles import FakeAgent
from tests.agent.server import AgentServer, Reply, error, running_server
from workers.agent.desktop.first_start import FirstStart, Refused
from workers.agent.desktop.invitation import read_invitation
from workers.agent.desktop.servers import ServerTest, try_server
from workers.agent.desktop.welcome import Welcome
from workers.agent.page.messages import BadRequest, Request
from workers.agent.page.messages import Reply as PageReply
from workers.agent.secrecy import ENROLMENT_VARIABLE
from workers.protocol import API_PREFIX, ME_PATH

TOKEN = "xe_0123456789abcdefghijABCDEFGHIJ-_"
LAB = "https://lab.test"


@pytest.mark.parametrize(
    ("text", "server", "candidates"),
    [
        (f"{LAB}/workers/join/#{TOKEN}", "", (LAB, f"{LAB}/workers", f"{LAB}/workers/join")),
        (f"Hi! Join with <{LAB}/#{TOKEN}> please.", "", (LAB,)),
        (f"{LAB}:8000/join/{TOKEN}/?x=1", "", (f"{LAB}:8000", f"{LAB}:8000/join")),
        (f"python3 dev.py worker --server {LAB} --enrol {TOKEN}", "", (LAB,)),
        (f"~/x/bin/xeenet-worker --enrol '{TOKEN}' --server='{LAB}'", "", (LAB,)),
        (f"see http://other.test/a\nxeenet-worker --server {LAB} --enrol {TOKEN}", "", (LAB,)),
        (TOKEN, "", ()),
        (TOKEN, "lab.test", (LAB,)),
        (TOKEN, "http://[::1]:80", ("http://[::1]:80",)),
        (f"{LAB}/#{TOKEN}", "http://10.0.0.5:8000", ("http://10.0.0.5:8000",)),
        (f"https://u:p@lab.test/#{TOKEN}", "", (LAB,)),
        (f"ftp://lab.test javascript:alert(1) http://x:y {TOKEN}", "", ()),
    ],
)
def test_what_people_paste(text: str, server: str, candidates: tuple[str, ...]) -> None:
    invitation = read_invitation(text, server)
    assert invitation.token == TOKEN
    assert invitation.candidates == candidates


def test_a_text_without_an_invitation_and_a_very_long_one() -> None:
    assert read_invitation("xe_short, xp_0123456789abcdefghijabcdef").token == ""
    assert read_invitation("x" * 10_000 + TOKEN).token == ""


# The test of the server.


class Elsewhere(AgentServer):
    """Answers like a XeeNet server below /lab alone, as an other program does elsewhere."""

    def handle(self, method: str, path: str, body: Any, authorization: str) -> Reply:
        assert authorization == ""
        assert body is None
        below, _, rest = path.partition(API_PREFIX)
        self.requests.append((method, path, body))
        if below == "/lab" and rest == ME_PATH:
            return error(401, "no_credentials")
        return Reply(404, b"<html>nothing here</html>")


def test_the_server_of_a_link_is_found_and_gets_no_token(tmp_path: Path) -> None:
    with running_server(Elsewhere) as server:
        link = f"{server.url}/lab/workers/join/#{TOKEN}"
        ticks = iter([9.0, 0.0, 0.5, 1.0, 1.02, 2.0, 2.03])
        test = try_server(read_invitation(link).candidates, seconds=lambda: next(ticks))
        assert test == ServerTest(f"{server.url}/lab", pytest.approx(30.0), "")
        assert TOKEN not in str(server.requests)
        other = try_server([server.url])
    assert "not the answer of a XeeNet server" in other.problem
    assert not other.server_url
    gone = try_server([server.url, f"{server.url}/lab"])
    assert not gone.is_reachable
    assert try_server([]).problem == "That is no web address."
    assert try_server(["http://bad host/"]).problem


# Joining.


class Bench:
    """A first start whose server answers at once, and its page."""

    def __init__(self, root: Path) -> None:
        self.agent = FakeAgent(root)
        self.tried: list[tuple[str, ...]] = []
        self.test = ServerTest(LAB, 23.4)
        self.start = FirstStart(
            self.agent,
            lambda: "no such invitation",
            attempt=self.attempt,
            host_name=lambda: "attic",
        )
        self.welcome = Welcome(self.start, on_begun=lambda: None)
        self.token = ""

    def attempt(self, candidates: Sequence[str]) -> ServerTest:
        self.tried.append(tuple(candidates))
        return self.test

    def ask(self, path: str, body: Any = None, **headers: str) -> PageReply:
        values = {"host": self.welcome.host}
        if self.token:
            values["authorization"] = f"Bearer {self.token}"
        method, content = "GET", b""
        if body is not None:
            method, content = "POST", json.dumps(body).encode()
            values |= {"origin": f"http://{self.welcome.host}", "content-type": "application/json"}
        return self.welcome.answer(Request(method, path, "", values | headers, content))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.welcome.stop()


def test_from_a_pasted_link_to_the_agents_own_page(bench: Bench) -> None:
    start, agent = bench.start, bench.agent
    assert start.begin()["name"] == "attic"
    text = f"{LAB}/#{TOKEN}"
    answer = start.check(text, "")
    assert (answer["host"], answer["milliseconds"], answer["has_token"]) == ("lab.test", 23, True)
    assert agent.started == []  # nothing is joined by pasting
    assert start.join(text, LAB, " attic ")["step"] == "joining"
    words, secrets = agent.started[0]
    assert words == ["--server", LAB, "--name", "attic"]
    assert secrets == {ENROLMENT_VARIABLE: TOKEN}  # and never on a command line
    agent.says("checks torch and the sandbox")
    assert start.progress().text == "checks torch and the sandbox"
    with pytest.raises(Refused, match="joining already"):
        start.join(text, LAB, "attic")
    agent.says("", name="attic")
    assert start.progress().step == "joining"  # its page is not there yet
    assert not start.has_joined
    agent.page = "http://127.0.0.1:1/#ticket"
    assert start.progress().as_dict() == {
        "step": "joined",
        "text": "joined lab.test",
        "address": agent.page,
    }
    assert start.has_joined


def test_a_refused_invitation_says_why_and_may_be_replaced(bench: Bench) -> None:
    bench.start.check(f"{LAB}/#{TOKEN}", "")
    bench.start.join(f"{LAB}/#{TOKEN}", LAB, "")
    assert bench.agent.started[0][0] == ["--server", LAB]
    bench.agent.end(4)
    assert bench.start.progress().as_dict()["text"] == "no such invitation"
    bench.start.join(f"{LAB}/#{TOKEN}x", LAB, "")
    assert bench.start.progress().step == "joining"


def test_an_agent_that_has_ended_says_why_and_is_started_again(tmp_path: Path) -> None:
    agent = FakeAgent(tmp_path)
    agent.end(4)
    start = FirstStart(agent, lambda: "the server does not accept this worker", is_enrolled=True)
    begun = start.begin()
    assert (begun["is_enrolled"], begun["step"]) == (True, "failed")
    assert begun["text"] == "the server does not accept this worker"
    assert start.again()["step"] == "joining"
    assert agent.started == [([], {})]
    for other in (start, FirstStart(FakeAgent(tmp_path), str)):
        with pytest.raises(Refused, match="nothing to start"):
            other.again()


def test_the_invitation_goes_to_no_server_that_was_not_tried(bench: Bench) -> None:
    text = f"{LAB}/#{TOKEN}"
    for server, name, why in (
        (LAB, "", "Try the server first"),
        ("https://evil.test", "", "Try the server first"),
        (LAB, "a\nb", "in one line"),
        (LAB, "a" * 101, "at most 100"),
    ):
        with pytest.raises(Refused, match=why):
            bench.start.join(text, server, name)
        bench.start.check(text, "")
    with pytest.raises(Refused, match="begins with xe_"):
        bench.start.join("hello", LAB, "")
    bench.test = ServerTest(problem="no route", is_reachable=False)
    answer = bench.start.check("http://gone.test", "")
    assert (answer["problem"], answer["host"], answer["server"]) == ("no route", "gone.test", "")
    assert bench.start.check("hello", "")["host"] == ""
    assert bench.agent.started == []


def test_only_the_page_with_its_token_may_ask(bench: Bench) -> None:
    body = {"text": f"{LAB}/#{TOKEN}", "server": LAB, "name": "x"}
    for path, content in (("/api/begin", None), ("/api/check", body), ("/api/join", body)):
        assert bench.ask(path, content).status == HTTPStatus.UNAUTHORIZED
    ticket = bench.welcome.open().partition("#")[2]
    bench.token = json.loads(bench.ask("/api/session", {"ticket": ticket}).content)["token"]
    assert bench.ask("/api/session", {"ticket": ticket}).status == HTTPStatus.FORBIDDEN
    assert bench.ask("/api/session", {"ticket": 7}).status == HTTPStatus.FORBIDDEN
    assert bench.ask("/api/check", body, host="evil.test").status == HTTPStatus.MISDIRECTED_REQUEST
    assert bench.ask("/api/check", body, origin="http://evil.test").status == HTTPStatus.FORBIDDEN
    assert bench.tried == []
    assert bench.agent.started == []
    assert bench.ask("/api/join", body).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert bench.ask("/api/check", body).status == HTTPStatus.OK
    assert bench.ask("/api/join", body).status == HTTPStatus.OK
    assert json.loads(bench.ask("/api/progress").content)["step"] == "joining"
    assert bench.ask("/api/nothing").status == HTTPStatus.NOT_FOUND
    assert bench.ask("/../first_start.py").status == HTTPStatus.NOT_FOUND
    assert b"<!doctype html>" in bench.ask("/").content
    with pytest.raises(BadRequest):
        bench.ask("/api/check", ["no object"])
