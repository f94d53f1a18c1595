"""The generated corpus has pinned bytes and real structure."""

import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

from experiments import english_like_corpus
from tests.processes import ROOT


def test_the_corpus_has_its_pinned_hash_and_size() -> None:
    data = english_like_corpus.generate()
    assert len(data) == english_like_corpus.SIZE_BYTES
    assert hashlib.sha256(data).hexdigest() == english_like_corpus.SHA256


def test_the_command_writes_the_corpus_and_says_its_hash(tmp_path: Path) -> None:
    out = tmp_path / "corpus.txt"
    # With another hash seed: the order of sets and dicts must not change the text.
    run = subprocess.run(
        [sys.executable, "-m", "experiments.english_like_corpus", str(out)],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "1234"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert hashlib.sha256(out.read_bytes()).hexdigest() == english_like_corpus.SHA256
    assert english_like_corpus.SHA256 in run.stdout


def test_the_corpus_is_text_with_structure_but_no_endless_repetition() -> None:
    data = english_like_corpus.generate()
    assert set(data) <= set(range(32, 127)) | {10}
    paragraphs = data.split(b"\n\n")
    assert len(set(paragraphs)) == len(paragraphs) > 1_000
    assert 0.15 < len(zlib.compress(data)) / len(data) < 0.5
