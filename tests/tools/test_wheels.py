"""The two wheels: which files are whose, that versions agree, and what a server hands out."""

from __future__ import annotations

import ast
import io
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.processes import ROOT
from workers.agent import AGENT_VERSION
from workers.joining import program

AGENT = ROOT / "packaging" / "worker"
PACKAGES = ("campaigns", "experiments", "templates", "workers", "xeenet_site")


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The agent's wheel, built as `uv tool install`, pipx and pip build it."""
    folder = tmp_path_factory.mktemp("wheels")
    [path] = WheelBuilder(str(AGENT)).build(directory=str(folder), versions=["standard"])
    return zipfile.ZipFile(path)


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def own_files(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def contents(wheel: zipfile.ZipFile) -> dict[str, bytes]:
    """What a wheel installs, without what only its maker is named in."""
    made = ("METADATA", "RECORD", "WHEEL")
    names = [name for name in wheel.namelist() if name.rpartition("/")[2] not in made]
    return {name: wheel.read(name) for name in names}


def described(wheel: zipfile.ZipFile) -> dict[str, Any]:
    """What an installer reads of a wheel, without how it is written."""
    [name] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    message: Message = Parser().parsestr(wheel.read(name).decode())
    requirements = set()
    for words in message.get_all("Requires-Dist", []):
        words, _, marker = words.replace(" ", "").replace('"', "'").partition(";")
        letters = [part for part in words.replace("<", ",<").replace(">", ",>").split(",") if part]
        requirements.add((frozenset(letters), marker))
    return {
        "requirements": requirements,
        "extras": set(message.get_all("Provides-Extra", [])),
        **{key: message[key] for key in ("Name", "Version", "Summary", "Requires-Python")},
    }


def test_each_file_is_in_one_of_the_two_wheels(agents: zipfile.ZipFile) -> None:
    servers = {
        Path(file.distribution_path).as_posix()
        for file in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    assert not servers & own_files(agents)
    everything = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert servers | own_files(agents) == everything


def test_the_agents_wheel_has_all_of_ours_that_it_imports(agents: zipfile.ZipFile) -> None:
    files = own_files(agents)
    wanted = set()
    for name in files:
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(agents.read(name))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                wanted.add(node.module)
                wanted |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name for name in wanted if name.partition(".")[0] in PACKAGES}
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files
    }
    on_disk = {
        name
        for name in ours
        if (ROOT / name.replace(".", "/")).is_dir()
        or (ROOT / name.replace(".", "/")).with_suffix(".py").is_file()
    }
    assert on_disk  # what is left out is a name in a module
    assert on_disk <= modules
    plain = ("processes/guardian.py", "running/torch_probe.py", "page/assets/page.js")
    assert {f"workers/agent/{name}" for name in plain} <= files


def test_the_versions_agree() -> None:
    server, agent = project(ROOT), project(AGENT)
    assert server["version"] == agent["version"] == AGENT_VERSION
    assert server["dependencies"] == [f"xeenet-worker=={AGENT_VERSION}"]
    for extra in ("worker", "desktop"):
        words = [f"xeenet-worker[{extra}]=={AGENT_VERSION}"]
        assert server["optional-dependencies"][extra] == words
        assert extra in agent["optional-dependencies"]
    assert (AGENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_a_server_hands_out_the_same_wheel_from_a_checkout_and_from_an_installation(
    agents: zipfile.ZipFile, tmp_path: Path
) -> None:
    program.program.cache_clear()
    handed_out = program.program()
    served = zipfile.ZipFile(io.BytesIO(handed_out.content))
    assert contents(served) == contents(agents)
    assert described(served) == described(agents)
    agents.extractall(tmp_path)
    compiled = tmp_path / "workers" / "__pycache__" / "protocol.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.touch()
    [folder] = tmp_path.glob("*.dist-info")
    (folder / "INSTALLER").write_text("pip\n")
    with (folder / "RECORD").open("a") as record:
        for name in ("../../../bin/xeenet-worker", compiled.relative_to(tmp_path)):
            record.write(f"{name},,\n")
        record.write(f"{folder.name}/INSTALLER,,\n")
    [installed] = metadata.distributions(path=[str(tmp_path)])
    again = program.from_installed(installed)
    assert again.name == handed_out.name == Path(str(agents.filename)).name
    packed = zipfile.ZipFile(io.BytesIO(again.content))
    assert contents(packed) == contents(agents)
    [name] = [name for name in packed.namelist() if name.endswith("METADATA")]
    assert packed.read(name) == agents.read(name)
