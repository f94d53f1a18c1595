"""campaigns.scripts.source: an upload is one plain Python file in which nothing is hidden."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from campaigns.scripts.source import MAX_SCRIPT_BYTES, name_problem, source_problems
from experiments import catalog

SOUND = b'import json, torch\n\nprint(json.dumps({"val_bpb": 3.0}))  # K\xc3\xb6ln\n'


# An archive's last record: with it at its end, any file is a zip file.
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def packed_as_zip(text: bytes = SOUND) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", text)
    return buffer.getvalue()


def packed_as_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/cron.d/x"))
    return buffer.getvalue()


def test_the_catalogs_own_scripts_and_plain_python_pass() -> None:
    assert source_problems(SOUND) == []
    for experiment in catalog.all():
        assert source_problems(catalog.script_source(experiment.name)) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b" \n\t\n", "empty", id="white space"),
        pytest.param(b"#" * (MAX_SCRIPT_BYTES + 1), "larger than 256 KiB", id="too large"),
        pytest.param(packed_as_zip(), "a zip file", id="zip"),
        pytest.param(gzip.compress(SOUND), "a gzip file", id="gzip"),
        pytest.param(bz2.compress(SOUND), "a bzip2 file", id="bzip2"),
        pytest.param(lzma.compress(SOUND), "an xz file", id="xz"),
        pytest.param(packed_as_tar(), "a tar file", id="tar"),
        pytest.param(b"\x7fELF\x02\x01", "a program", id="program"),
        # Python would run the archive instead of the text before it.
        pytest.param(SOUND + EMPTY_ZIP, "U+0005, which a reader cannot see", id="glued zip"),
        pytest.param(b"x = '\xff'\n", "not UTF-8", id="Latin-1"),
        pytest.param(b"\xef\xbb\xbfx = 1\n", "U+FEFF", id="byte order mark"),
        pytest.param(b"x = 1\n\x00", "Line 2 holds U+0000", id="NUL"),
        pytest.param(b"x = 1 # \x1b[2K\n", "U+001B", id="terminal escape"),
        pytest.param("x = 1 # \u202e\n".encode(), "U+202E", id="text turned around"),
        pytest.param("x = 1 # \u2066\n".encode(), "U+2066", id="isolate"),
        pytest.param("x = 1 # a\u200bb\n".encode(), "U+200B", id="zero width"),
        pytest.param("x = 1 # \u2028y = 2\n".encode(), "U+2028", id="line separator"),
        pytest.param(b"# coding: utf-7\nx = 1\n", "encoding line says utf-7", id="utf-7"),
        pytest.param(b"# coding: no-such\nx = 1\n", "encoding line is wrong", id="no encoding"),
        pytest.param(b"x = 1" + b" " * 600 + b"; y = 2\n", "Line 1 is longer", id="out of sight"),
        pytest.param(b"def broken(\n", "Line 1 is not Python", id="syntax"),
        pytest.param(b"return 1\n", "not Python: 'return' outside", id="return"),
        pytest.param(b"x = (" + b"-\n" * 50_000 + b"1)", "cannot compile", id="deep"),
        pytest.param(b"x = (a" + b".\nb" * 50_000 + b")", "cannot compile", id="long chain"),
        pytest.param(b"import numpy.random, os\n", "imports numpy;", id="foreign import"),
        pytest.param(b"x = 1\rimport numpy\n", "imports numpy;", id="after a lone return"),
        pytest.param(b"def f():\n    from requests import get\n", "requests", id="inner import"),
        pytest.param(b"from . import helper\n", "imports .;", id="relative import"),
        pytest.param("s\u0435ed = 1\n".encode(), "names are ASCII", id="Cyrillic e"),
        pytest.param("\uff4fs = 1\n".encode(), "names are ASCII", id="wide o"),
    ],
)
def test_what_a_reader_could_not_judge_is_refused_with_the_reason(
    source: bytes, reason: str
) -> None:
    (sentence,) = source_problems(source)

    assert reason in sentence


def test_two_reasons_are_told_at_once_where_both_can_be_seen() -> None:
    assert len(source_problems("import numpy\n\u0435 = 1\n".encode())) == 2


def test_a_warning_of_python_about_the_script_is_no_reason_to_refuse_it() -> None:
    assert source_problems(b"x = 'a\\d'\nassert x is 'b'\n") == []


@pytest.mark.parametrize("name", ["wider", "wider-2 (lr)", "Größe", "a" * 100, "v1.2"])
def test_a_plain_name_passes(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", " a", "a ", "a" * 101, "../x", "/etc/passwd", "a/b", "C:\\x", ".hidden", ".."),
        *("a\0b", "a\nb", "a\u202eyp.exe", "a\u200bb", "\x1b[31m"),
    ],
)
def test_a_name_that_is_a_path_or_hides_something_is_refused(name: str) -> None:
    assert name_problem(name)
