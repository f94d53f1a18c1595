"""The files of a service, whole, with paths that each of their languages reads in its own way."""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from workers.agent.service import startup, systemd
from workers.agent.service.plan import Kind, Plan, Request, ServiceError, plan_for
from workers.agent.service.program import Program, this_program

GOLDEN = Path(__file__).with_name("golden")
# Blanks, letters beyond ASCII, and what means something to systemd, a shell, XML or cmd.
ODD = "Früh & spät/100% it's; $HOME <x>"
ODDER = ODD + '/"q" \\n `id` %h'


def request(kind: Kind, **fields: Any) -> Request:
    if kind is Kind.STARTUP:
        odd = ODD.replace("/", "\\").replace("<x>", "^x!")
        program = Program(
            (f"C:\\{odd}\\python.exe", "-m", "workers.agent"), PureWindowsPath(f"C:\\{odd}\\")
        )
        values: dict[str, Any] = {
            "program": program,
            "state": PureWindowsPath(f"D:\\{odd}\\state"),
            "home": PureWindowsPath("C:\\Users\\ada"),
        }
    else:
        program = Program((f"/opt/{ODD}/python", "-m", "workers.agent"), PurePosixPath(f"/{ODD}"))
        values = {
            "program": program,
            "state": PurePosixPath(f"/home/ada/{ODDER}"),
            "home": PurePosixPath("/home/ada"),
        }
    return Request(kind=kind, user="ada", uid=1000, **(values | fields))


def golden(plan: Plan) -> Iterator[tuple[str, str]]:
    for file in plan.files:
        yield file.path.name, file.text


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        (Kind.SYSTEMD, "/home/ada/.config"),
        (Kind.LAUNCHD, "/home/ada/Library/LaunchAgents"),
        (Kind.STARTUP, "C:\\Users\\ada\\AppData\\Roaming"),
    ],
)
def test_the_files_are_as_recorded(kind: Kind, folder: str) -> None:
    plan = plan_for(request(kind, options=("--drain-seconds", "30"), drain_seconds=30.0))
    for name, text in golden(plan):
        assert text == (GOLDEN / name).read_text(encoding="utf-8"), name
    for file in plan.files:
        assert str(file.path).startswith(folder)
        assert "Written by" in file.text


def test_systemd_reads_the_words_that_were_meant() -> None:
    asked = request(Kind.SYSTEMD, options=("--name", ODDER, "--allow-server-code"))
    text = plan_for(asked).files[0].text
    assert words_of_a_unit(value(text, "ExecStart")) == ["/usr/bin/env", *asked.agent_words]
    assert value(text, "WorkingDirectory").replace("%%", "%") == str(asked.program.folder)
    for word in ("", ";", "a=b", "-", "é", "$$", "\\", '"', "%%"):
        assert words_of_a_unit(systemd.command_line(["/x", word])) == ["/x", word]


def test_a_desktop_reads_the_words_that_were_meant() -> None:
    asked = request(Kind.SYSTEMD)
    text = plan_for(asked).files[1].text
    words = [*asked.program.words, "presence", *asked.state_words]
    assert words_of_an_entry(value(text, "Exec")) == ["/usr/bin/env", *words]
    for word in ("", "`", "$", "\\", '"', "%", "a b"):
        line = systemd.entry_command(["/x", word]).replace("\\", "\\\\")
        assert words_of_an_entry(line) == ["/x", word]


def test_launchd_gets_the_words_as_they_are_and_never_a_failure_that_would_stay() -> None:
    asked = request(Kind.LAUNCHD, drain_seconds=4.5)
    values = plistlib.loads(plan_for(asked).files[0].text.encode())
    words = values["ProgramArguments"]
    assert words[:4] == [*asked.program.words, "supervised"]
    assert words[-2:] == list(asked.state_words)
    assert values["KeepAlive"] == {"SuccessfulExit": False}
    assert values["ExitTimeOut"] == 65


def test_cmd_reads_the_words_that_were_meant() -> None:
    text = plan_for(request(Kind.STARTUP)).files[0].text
    quoted = re.findall(r'"([^"]*)"', text.replace("%%", "%"))
    odd = ODD.replace("/", "\\").replace("<x>", "^x!")
    assert quoted[0] == f"C:\\{odd}"
    assert quoted[2] == f"C:\\{odd}\\pythonw.exe"  # one without a console
    assert quoted[-1] == f"D:\\{odd}\\state"
    assert startup.batch_line(["C:\\", "a\\b"]) == '"C:\\\\" "a\\b"'
    with pytest.raises(ServiceError, match="quotation mark"):
        startup.batch_line(['a"b'])


def test_a_second_worker_and_a_bubblewrap_with_rights_of_its_own() -> None:
    plan = plan_for(
        request(
            Kind.SYSTEMD,
            name="attic",
            presence=False,
            hardened=False,
            variables={"XDG_CONFIG_HOME": "/home/ada/etc"},
        )
    )
    (file,) = plan.files
    assert file.path == PurePath("/home/ada/etc/systemd/user/attic.service")
    assert "NoNewPrivileges" not in file.text
    assert any("set-user-id" in note for note in plan.notes)
    with pytest.raises(ServiceError, match="control character"):
        plan_for(request(Kind.SYSTEMD, options=("--name", "a\nExecStart=/bin/false")))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit_and_finds_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "Früh & spät/100% $HOME <x> ;"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    program = Program((str(folder / "python"), "-m", "workers.agent"), folder)
    plan = plan_for(request(Kind.SYSTEMD, program=program, options=("--drain-seconds", "3")))
    unit = tmp_path / "xeenet-worker.service"
    unit.write_text(plan.files[0].text)
    command = ["systemd-analyze", "--user", "--man=no", "verify", str(unit)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    about = [line for line in verified.stderr.splitlines() if "xeenet-worker" in line]
    assert about == []
    (folder / "python").unlink()  # that it looked at all
    broken = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "python" in broken.stderr


def test_a_checkout_is_started_in_its_folder(tmp_path: Path) -> None:
    program = this_program(tmp_path)
    assert program.words[0] == sys.executable
    assert Path(program.folder, "workers", "agent", "cli.py").is_file()


def value(text: str, key: str) -> str:
    (line,) = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return str(line)


def words_of_a_unit(line: str) -> list[str]:
    """Split as systemd.service(5) says; the first word is no place for variables."""
    words = [
        re.sub(r'\\([\\"])', r"\1", quoted or plain).replace("%%", "%")
        for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', line)
    ]
    return [words[0], *(word.replace("$$", "$") for word in words[1:])]


def words_of_an_entry(line: str) -> list[str]:
    """Split as the Desktop Entry Specification says."""
    command = line.replace("\\\\", "\\")
    return [
        re.sub(r'\\([\\"`$])', r"\1", quoted or plain).replace("%%", "%")
        for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', command)
    ]
