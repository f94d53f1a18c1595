"""Disk space: scripts that fill the disk are killed, and the agent's folders stay bounded."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.agent.runs import MIB, Run, in_both_tiers, linux_only
from workers.agent import disk as disk_module
from workers.agent.disk import folder_usage, remove_folder, trim_folder
from workers.agent.running import execution as execution_module
from workers.agent.running.execution import Ending, Execution, Limits
from workers.agent.tasks.judgement import judge
from workers.protocol import FailureClass, IsolationTier

WRITE_FOREVER = """
import itertools, pathlib, time
for number in itertools.count():
    pathlib.Path(f"part-{number}").write_bytes(bytes(1 << 20))
    time.sleep(0.01)
"""


NOBODY = 65534
posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")


@contextlib.contextmanager
def ordinary_user() -> Iterator[Path]:
    """Drop root's right to read everything during the block; yield a folder of that user."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() != 0:
            yield Path(name)
            return
        os.chown(name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


def failure_class(execution: Execution) -> FailureClass | None:
    return judge(execution, Limits(1.0, 1.0, 1, disk_bytes=1)).get("failure_class")


@in_both_tiers
def test_a_script_that_fills_its_folder_is_killed(tmp_path: Path, tier: IsolationTier) -> None:
    run = Run(tmp_path, WRITE_FOREVER, tier)
    execution = run.execute(time_budget_seconds=20.0, disk_bytes=20 * MIB)
    assert execution.ending is Ending.DISK
    assert execution.wall_time_seconds < 30
    assert failure_class(execution) is FailureClass.DISK_FULL
    assert run.leftovers() == []


@linux_only
def test_a_single_file_cannot_outgrow_the_limit_between_two_looks(tmp_path: Path) -> None:
    source = 'open("big", "wb").write(bytes(50 << 20))'
    execution = Run(tmp_path, source).execute(time_budget_seconds=60.0, disk_bytes=20 * MIB)
    assert (tmp_path / "big").stat().st_size <= 20 * MIB
    assert execution.ending is Ending.EXITED
    assert failure_class(execution) is FailureClass.DISK_FULL


@linux_only
def test_a_script_that_crashes_leaves_no_core_file(tmp_path: Path) -> None:
    source = (
        "import resource; print('{\"core\": %d}' % resource.getrlimit(resource.RLIMIT_CORE)[1])"
    )
    execution = Run(tmp_path, source).execute(time_budget_seconds=60.0)
    assert execution.result == {"core": 0}


def test_a_script_that_runs_while_the_disk_runs_full_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with files that were unlinked while open: they are in no folder but still on the disk.
    monkeypatch.setattr(execution_module, "MIN_FREE_BYTES", 2**60)
    execution = Run(tmp_path, "import time; time.sleep(30)").execute(time_budget_seconds=15.0)
    assert execution.ending is Ending.DISK
    assert execution.wall_time_seconds < 30


def test_a_folder_of_too_many_files_is_too_much_whatever_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "MAX_FILES", 10)
    (tmp_path / "deep").mkdir()
    for number in range(9):
        (tmp_path / "deep" / str(number)).touch()
    assert folder_usage(tmp_path, MIB) == (folder_usage(tmp_path, MIB)[0], False)
    (tmp_path / "one-more").touch()
    assert folder_usage(tmp_path, MIB)[1]


def test_a_link_counts_as_itself_and_a_sparse_file_as_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100 * MIB)
    used, too_much = folder_usage(tmp_path, 10 * MIB)
    assert used < MIB
    assert not too_much


def test_the_oldest_entries_give_way_to_the_bounds(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "middle", "old", "oldest")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(b"x" * MIB)
        os.utime(folder, (1_000 - age, 1_000 - age))
    trim_folder(tmp_path, most_bytes=10 * MIB, most_entries=3)
    assert {path.name for path in tmp_path.iterdir()} == {"newest", "middle", "old"}
    trim_folder(tmp_path, most_bytes=int(2.5 * MIB), most_entries=3)
    assert {path.name for path in tmp_path.iterdir()} == {"newest", "middle"}
    trim_folder(tmp_path, most_bytes=0, most_entries=3)
    assert {path.name for path in tmp_path.iterdir()} == {"newest"}


@posix_only
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o400], ids=oct)
def test_what_a_script_closed_is_looked_into_all_the_same(mode: int) -> None:
    with ordinary_user() as folder:
        (folder / "closed").mkdir()
        (folder / "closed" / "file").write_bytes(bytes(2 * MIB))
        (folder / "closed").chmod(mode)
        assert not folder_usage(folder, 10 * MIB)[1]
        (folder / "closed").chmod(mode)
        folder.chmod(mode)
        used, too_much = folder_usage(folder, MIB)
    assert used > MIB
    assert too_much


@posix_only
def test_what_cannot_be_looked_into_is_too_much(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a folder that an ordinary user cannot read")
    tmp_path.chmod(0o700)
    with ordinary_user() as folder:
        (folder / "closed").symlink_to(tmp_path)
        assert folder_usage(folder / "closed", MIB) == (0, True)


@posix_only
def test_a_closed_folder_is_removed_and_a_link_out_of_it_is_not_followed() -> None:
    with ordinary_user() as parent:
        (parent / "precious").mkdir(mode=0o500)
        folder = parent / "task"
        (folder / "closed" / "inner").mkdir(parents=True)
        (folder / "link").symlink_to(parent / "precious")
        (folder / "closed").chmod(0)
        folder.chmod(0)
        assert remove_folder(folder)
        assert not folder.exists()
        assert (parent / "precious").stat().st_mode & 0o777 == 0o500


# A script that swaps a folder for a link while the agent looks into it.


@contextlib.contextmanager
def swapped_when_opened(name: str, target: Path) -> Iterator[None]:
    """Put a link to ``target`` in the place of a closed folder, right after it was seen closed."""
    original = os.open

    def open_and_swap(path: str, *arguments: Any, dir_fd: int | None = None) -> int:
        try:
            return original(path, *arguments, dir_fd=dir_fd)
        except PermissionError:
            if path != name or dir_fd is None:
                raise
            os.rmdir(path, dir_fd=dir_fd)
            os.symlink(target, path, dir_fd=dir_fd)
            raise

    with mock.patch.object(os, "open", open_and_swap):
        yield


@posix_only
def test_a_link_that_is_swapped_in_for_a_closed_folder_is_not_followed() -> None:
    with ordinary_user() as parent:
        precious = parent / "precious"
        precious.mkdir(mode=0o750)
        (precious / "file").write_bytes(bytes(2 * MIB))
        folder = parent / "task"
        (folder / "closed").mkdir(parents=True)
        (folder / "closed").chmod(0)
        with swapped_when_opened("closed", precious):
            used, too_much = folder_usage(folder, MIB)
        assert (folder / "closed").is_symlink()
        assert precious.stat().st_mode & 0o777 == 0o750
        assert used < MIB
        assert not too_much


@posix_only
def test_a_link_that_is_swapped_in_during_the_clean_up_is_not_followed() -> None:
    with ordinary_user() as parent:
        precious = parent / "precious"
        precious.mkdir(mode=0o750)
        (precious / "file").touch()
        folder = parent / "task"
        (folder / "closed").mkdir(parents=True)
        (folder / "closed").chmod(0)
        with swapped_when_opened("closed", precious):
            remove_folder(folder)
        assert (precious / "file").exists()
        assert precious.stat().st_mode & 0o777 == 0o750


@posix_only
def test_a_task_folder_that_became_a_link_is_too_much_and_is_left_alone() -> None:
    with ordinary_user() as parent:
        (parent / "precious").mkdir(mode=0o500)
        (parent / "task").symlink_to(parent / "precious")
        assert folder_usage(parent / "task", MIB) == (0, True)
        assert (parent / "precious").stat().st_mode & 0o777 == 0o500


@posix_only
def test_a_pipe_in_the_task_folder_does_not_hold_the_agent_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "inner").mkdir()
    os.mkfifo(tmp_path / "inner" / "pipe")
    assert not folder_usage(tmp_path, MIB)[1]
    assert remove_folder(tmp_path)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@posix_only
@pytest.mark.parametrize(("depth", "too_deep"), [(20, False), (3_000, True)])
def test_folders_nested_deeper_than_any_path_are_seen_and_removed(
    tmp_path: Path, depth: int, too_deep: bool
) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    current = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=current)
        inner = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(current)
    before = open_files()
    assert folder_usage(folder, MIB * 100)[1] is too_deep
    assert remove_folder(folder)
    assert not folder.exists()
    assert open_files() == before
