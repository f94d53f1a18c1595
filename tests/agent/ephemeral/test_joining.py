"""Which token, which machine and which options an ephemeral worker joins with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.server import AgentServer, error, running_server
from tests.agent.status.samples import NOW
from tests.agent.test_cli import ABLE, options
from workers.agent import cli, enrolment, exits
from workers.agent.card.layout import Space, rows
from workers.agent.connection.client import Client, FleetFull
from workers.agent.ephemeral.lifetime import Lifetime
from workers.agent.ephemeral.machine_key import MACHINE_VARIABLE, machine_key
from workers.agent.ephemeral.token import fleet_token
from workers.agent.exits import StartError
from workers.agent.options import why_not_ephemeral
from workers.agent.page.view import view
from workers.agent.secrecy import ENROLMENT_VARIABLE, FLEET_VARIABLE, TOKEN_VARIABLE
from workers.agent.service.command import service_command
from workers.agent.state import Credentials, StateFolder
from workers.agent.status.board import StatusBoard
from workers.protocol import ErrorCode

URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TOKEN_VARIABLE, ENROLMENT_VARIABLE, FLEET_VARIABLE, MACHINE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--token", "xw_a"], "--token"),
        (["--enrol", "xe_a"], "--enrol"),
        (["--name", "mine"], "--name"),
        (["--state-dir", "state"], "no token that is stored in one"),
        (["--rotate-token"], "--rotate-token"),
        (["--keep-failed"], "--keep-failed"),
        (["--yes"], "xeenet-worker setup"),
    ],
)
def test_options_of_a_worker_that_stays_are_refused(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ["--ephemeral", "--server", URL, *words]
    assert problem in why_not_ephemeral(options(*given))
    assert cli.main(given) == exits.EXIT_USAGE


def test_a_server_is_needed_and_a_fleet_token_needs_an_ephemeral_worker() -> None:
    assert "add --server URL" in why_not_ephemeral(options("--ephemeral"))
    assert "add --ephemeral" in why_not_ephemeral(options("--fleet-token-file", "token"))
    assert why_not_ephemeral(options("--ephemeral", "--check")) == ""
    assert why_not_ephemeral(options("--exit-after-idle", "5", "--max-lifetime", "60")) == ""


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "soon"])
@pytest.mark.parametrize("option", ["--exit-after-idle", "--max-lifetime"])
def test_times_are_numbers_above_zero(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        options(option, value)
    assert end.value.code == exits.EXIT_USAGE
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--ephemeral"],
        ["--fleet-token-file", "token"],
        ["--exit-after-idle", "5"],
        ["--max-lifetime", "60"],
    ],
)
def test_no_service_starts_an_agent_for_one_job(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["install", "--print", "--state-dir", str(tmp_path), "--kind", "systemd", "--", *words]
    assert service_command(given) == exits.EXIT_CANNOT_RUN
    assert f"{words[0]}: A service" in capsys.readouterr().err


@pytest.mark.parametrize("variable", [TOKEN_VARIABLE, ENROLMENT_VARIABLE])
def test_another_token_in_the_environment_is_refused(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(FLEET_VARIABLE, "xf_cluster")
    monkeypatch.setenv(variable, "xw_mine")
    with pytest.raises(StartError, match=f"joins by a fleet token.*{variable}"):
        enrolment.find_credentials(options("--ephemeral", "--server", URL), state, ABLE)


@pytest.mark.parametrize("option", ["--token", "--enrol"])
def test_a_fleet_token_in_the_wrong_place_says_where_it_belongs(
    state: StateFolder, option: str
) -> None:
    with pytest.raises(StartError, match="use it with --ephemeral"):
        enrolment.find_credentials(options("--server", URL, option, "xf_a"), state, ABLE)


def test_a_fleet_token_without_the_option_is_named(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLEET_VARIABLE, "xf_cluster")
    with pytest.raises(StartError, match=f"{FLEET_VARIABLE} is set: --ephemeral uses it"):
        enrolment.find_credentials(options("--server", URL), state, ABLE)


def test_the_token_comes_from_its_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounted").write_text("xf_of_file\n")
    file = tmp_path / "token"
    file.symlink_to("mounted")  # as Kubernetes mounts it
    monkeypatch.setenv(FLEET_VARIABLE, "xf_of_environment")
    assert fleet_token(file) == "xf_of_file"
    monkeypatch.setenv(FLEET_VARIABLE, "xf_of_environment")
    assert fleet_token(None) == "xf_of_environment"
    with pytest.raises(StartError, match=FLEET_VARIABLE):  # it was taken out
        fleet_token(None)
    file.write_text("xw_worker")
    with pytest.raises(StartError, match="one word that begins with xf_"):
        fleet_token(file)
    with pytest.raises(StartError, match="cannot be read"):
        fleet_token(tmp_path / "missing")
    with pytest.raises(StartError, match="cannot be read"):
        fleet_token(tmp_path)


def test_joining_stores_nothing_and_does_not_read_a_stored_token(
    server: AgentServer, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.store_credentials(Credentials(server.url, "xw_stored", "old"))
    monkeypatch.setenv(FLEET_VARIABLE, "xf_cluster")
    given = options("--ephemeral", "--server", server.url)
    joined = enrolment.find_credentials(given, state, ABLE)
    assert joined.name == "fleet-1"
    stored = state.load_credentials()
    assert stored is not None
    assert stored.token == "xw_stored"


def test_a_refused_fleet_token_ends_the_start(
    server: AgentServer, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLEET_VARIABLE, "xf_revoked")
    server.scripted["enrol"] = [error(403, ErrorCode.ENROLMENT_REFUSED, "It is revoked.")]
    given = options("--ephemeral", "--server", server.url)
    with pytest.raises(StartError, match=r"It is revoked\. Ask an operator") as end:
        enrolment.find_credentials(given, state, ABLE)
    assert end.value.exit_code == exits.EXIT_NOT_AUTHENTICATED


def test_waiting_for_a_place_in_the_fleet_counts_as_idle(
    server: AgentServer, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLEET_VARIABLE, "xf_cluster")
    full = error(409, ErrorCode.FLEET_FULL, "Its 2 workers live already.", Retry_After="3600")
    server.scripted["enrol"] = [full] * 3
    board = StatusBoard()
    given = options("--ephemeral", "--server", server.url)
    with pytest.raises(StartError, match="nothing ran here for 1 s") as end:
        enrolment.find_credentials(given, state, ABLE, board, lifetime=Lifetime(idle_seconds=1.0))
    assert end.value.exit_code == exits.EXIT_OK
    assert len(server.calls("enrol")) == 1  # Retry-After holds
    assert board.status.setting_up == "waits for a place in its fleet"
    (trouble,) = board.status.troubles
    assert "it asks again every 1 h: Its 2 workers live already." in trouble.text


def test_a_full_fleet_is_no_refusal(server: AgentServer) -> None:
    server.scripted["enrol"] = [error(409, ErrorCode.FLEET_FULL, "Full.", Retry_After="7")]
    client = Client(server.url)
    with pytest.raises(FleetFull) as full:
        client.enrol({"enrolment_token": "xf_a", "machine_key": "k" * 32})
    client.close()
    assert full.value.retry_after_seconds == 7.0


# The machine's key.


def test_the_key_is_that_of_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "machine-id"
    file.write_text("0123456789abcdef" * 2 + "\n")
    key = machine_key({}, machine_id_file=file, container_marks=())
    assert key == machine_key({}, machine_id_file=file, container_marks=())
    assert key.origin == f"from {file} and the host name"
    assert "0123456789abcdef" not in key.text
    file.write_text("f123456789abcdef" * 2)
    assert machine_key({}, machine_id_file=file, container_marks=()).text != key.text


def test_in_a_container_the_id_of_the_image_does_not_count(tmp_path: Path) -> None:
    file, mark = tmp_path / "machine-id", tmp_path / "mark"
    file.write_text("0123456789abcdef" * 2)
    mark.touch()
    outside = machine_key({}, machine_id_file=file, container_marks=())
    inside = machine_key({}, machine_id_file=file, container_marks=(mark,))
    in_pod = machine_key({"KUBERNETES_SERVICE_HOST": "::1"}, machine_id_file=file)
    assert inside == in_pod
    assert inside.text != outside.text
    assert MACHINE_VARIABLE in inside.origin


def test_a_given_key_outranks_the_machines(tmp_path: Path) -> None:
    first, second = (machine_key({MACHINE_VARIABLE: name}) for name in ("node-1", "node-2"))
    assert first.text != second.text
    assert first.origin == f"from {MACHINE_VARIABLE}"
    assert machine_key({MACHINE_VARIABLE: "node-1"}) == first


# What people see.


@pytest.mark.parametrize("ephemeral", [True, False])
def test_card_and_page_say_that_a_worker_is_ephemeral(*, ephemeral: bool) -> None:
    board = StatusBoard()
    board.identify(name="fleet-1", server=URL, tier="T0", ephemeral=ephemeral)
    card = "\n".join(row.plain for row in rows(board.status, Space(100), NOW))
    assert ("·  ephemeral" in card) is ephemeral
    page = view(board.status, NOW, has_worker=True)
    assert page["about"] == ["127.0.0.1:9", "no sandbox", *["ephemeral"] * ephemeral]
