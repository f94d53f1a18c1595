"""Containerfile: what it copies, starts and checks is in the repository, and nobody is root."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shlex
import subprocess
import tomllib
from typing import Final

import pytest

from tests.images import building, containerfile
from tests.images.containerfile import Stage
from tests.images.names import AGENT_VARIABLES, server_variables
from tests.processes import ROOT
from tests.running.test_units import options
from workers.agent import cli
from workers.agent.options import parser, why_not_ephemeral
from xeenet_site.running import probe, serving

STAGES: Final = containerfile.stages()
TARGETS: Final = {"server": STAGES["server"], "worker": STAGES["worker"]}
# What the images' programs set for themselves.
_OF_PYTHON: Final = {"PATH", "PYTHONUNBUFFERED"}


def copied(stage: Stage) -> list[str]:
    """The paths of this repository that a stage copies."""
    lists = [copy.words() for copy in stage.all("COPY")]
    return [path for words in lists if not words[0].startswith("--") for path in words[:-1]]


def environment(stage: Stage) -> dict[str, str]:
    words = [word for instruction in stage.all("ENV") for word in instruction.words()]
    return dict(word.split("=", 1) for word in words)


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through; the last pattern that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        sends, pattern = pattern.startswith("!"), pattern.lstrip("!").removeprefix("**/")
        parts = path.split("/")
        heads = ["/".join(parts[: place + 1]) for place in range(len(parts))]
        if any(fnmatch.fnmatch(name, pattern) for name in [*heads, *parts]):
            sent = sends
    return sent


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_copies_files_of_git_that_reach_the_builder(name: str) -> None:
    for path in copied(STAGES[name]):
        tracked = subprocess.run(
            ["git", "ls-files", "--", path], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert tracked.stdout, path
        assert is_sent(path), path


@pytest.mark.parametrize(
    "path", [".env", ".git/config", "secrets/secret_key", ".xeenet/secret_key", "tests/once.py"]
)
def test_secrets_and_local_data_never_reach_the_builder(path: str) -> None:
    assert not is_sent(path)
    assert is_sent("campaigns/urls.py")
    assert not is_sent("campaigns/__pycache__/urls.pyc")


def test_the_server_has_every_folder_of_its_wheel_and_the_worker_every_file_of_its() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(table["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(
        copied(STAGES["server"])
    )
    definition = ROOT / "packaging/worker/pyproject.toml"
    wheel = tomllib.loads(definition.read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    sources = [path.removeprefix("../../") for path in wheel["force-include"]]
    tops = {path.split("/")[0] for path in sources}
    for stage in (STAGES["server"], STAGES["worker-packages"]):
        assert {*tops, "packaging/worker"} <= set(copied(stage))


@pytest.mark.parametrize("name", TARGETS)
def test_an_image_is_not_root_and_has_a_check_that_needs_no_shell(name: str) -> None:
    stage = TARGETS[name]
    assert stage.last("USER").text == f"{building.UID}:{building.UID}"
    below = STAGES[stage.base].all("RUN") if stage.base in STAGES else []
    steps = [step.text for step in (*below, *stage.all("RUN"))]
    assert any(f"useradd --uid {building.UID}" in step for step in steps)
    assert "CMD [" in stage.last("HEALTHCHECK").text


def test_the_servers_check_asks_a_path_that_the_probe_knows() -> None:
    check = TARGETS["server"].last("HEALTHCHECK").text
    words = containerfile.Instruction("CMD", check[check.index("[") :]).words()
    assert words[:2] == ["python", "-m"]
    assert importlib.util.find_spec(words[2]) is not None
    assert words[3] in probe.PATHS


def test_the_worker_starts_and_checks_by_a_program_that_its_wheel_has() -> None:
    worker = TARGETS["worker"]
    program = worker.last("ENTRYPOINT").words()
    project = tomllib.loads((ROOT / "packaging/worker/pyproject.toml").read_text())["project"]
    assert program == ["xeenet-worker"] == list(project["scripts"])
    assert parser().parse_args(worker.last("CMD").words()).no_simulate
    check = worker.last("HEALTHCHECK").text
    words = containerfile.Instruction("CMD", check[check.index("[") :]).words()
    assert words[0] == program[0]
    assert words[1] in cli._COMMANDS


def test_the_image_starts_the_web_server_with_the_options_of_serve() -> None:
    image = TARGETS["server"].last("CMD").words()
    ours = serving.web_command("0.0.0.0", 8000, workers=2)
    threads = {"--blocking-threads": ""}  # as many as the cores of the machine that asks
    assert options(image) | threads == options(ours) | threads
    assert image[-1] == ours[-1]


@pytest.mark.parametrize("name", TARGETS)
def test_the_variables_of_an_image_are_known(name: str) -> None:
    known = _OF_PYTHON | (server_variables() if name == "server" else AGENT_VARIABLES)
    assert set(environment(TARGETS[name])) <= known


def test_the_server_is_one_of_production_with_its_files_collected() -> None:
    variables = environment(TARGETS["server"])
    assert variables["XEENET_ENV"] == "production"
    assert "SECRET_KEY" not in containerfile.FILE.read_text()
    collects = [step for step in TARGETS["server"].all("RUN") if "collectstatic" in step.text]
    assert collects
    assert "rm -r /tmp/build" in collects[0].text


def test_bases_can_be_chosen_and_torch_is_that_of_the_lock() -> None:
    arguments = containerfile.arguments()
    assert arguments["BASE"].startswith("python:3.")
    assert arguments["WORKER_BASE"] == "${BASE}"
    assert arguments["TORCH"] == "cpu"
    bases = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert bases == {"${BASE}", "${WORKER_BASE}"}
    assert "requirements/server.txt" in copied(STAGES["server-packages"])
    assert "requirements/worker.txt" in copied(STAGES["worker-packages"])


def test_the_documented_starts_of_a_worker_have_options_and_variables_that_it_knows() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text().replace("\\\n", " ")
    starts = [shlex.split(line) for line in text.splitlines() if line.startswith("docker run ")]
    ephemeral = set()
    for words in starts:
        given = parser().parse_args(words[words.index("xeenet-worker") + 1 :])
        assert why_not_ephemeral(given) == ""
        assert {"--read-only", "--init"} <= set(words)
        assert set(re.findall(r"--env (\w+)", " ".join(words))) <= AGENT_VARIABLES
        ephemeral.add(given.ephemeral)
    assert ephemeral == {True, False}
