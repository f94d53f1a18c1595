"""Files that a script may have swapped: opened without waiting, read with a bound, written anew."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from workers.agent.files import NotARegularFile, open_regular, read_regular, write_new

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")


def test_a_plain_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(path, 4)


@posix_only
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_anything_else_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as unix_socket:
                unix_socket.bind(str(path))
        case _:
            path = Path("/dev/zero")
    for follow_links in (False, True):
        with pytest.raises(OSError) as raised:  # noqa: PT011 (a socket cannot be opened at all)
            open_regular(path, follow_links=follow_links)
        assert isinstance(raised.value, NotARegularFile) or kind == "socket"


@posix_only
def test_a_link_is_followed_only_where_the_caller_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="link"):
        open_regular(tmp_path / "link")
    with open_regular(tmp_path / "link", follow_links=True) as file:
        assert file.read() == b"1"


@posix_only
def test_a_new_file_is_written_into_nothing_that_was_there(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(victim)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path / "new"):
        write_new(path, "text", mode=0o600)
        assert stat.S_ISREG(path.lstat().st_mode)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert path.read_text() == "text"
    assert victim.read_text() == "kept"
