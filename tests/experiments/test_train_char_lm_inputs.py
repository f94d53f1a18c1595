"""The training script, really run: wrong configs, and data that it has to fetch."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.work.describe import read_description
from tests.english_like import corpus
from tests.experiments.training_runs import (
    CORPUS,
    SCRIPT,
    SMALL,
    cached_file,
    fill_cache,
    finish,
    result_of,
    start,
)

SLOW_SECONDS = 2.0

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that already holds the corpus."""
    return fill_cache(tmp_path_factory.mktemp("data"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A local web server of one file, /corpus.txt (slow with ?slow); yields its address."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "corpus.txt").write_bytes(corpus())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            if self.path.endswith("?slow"):
                time.sleep(SLOW_SECONDS)  # simulates a slow connection
            super().do_GET()

        def log_message(self, *args: Any) -> None:
            """Keep the test output quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


# --- Wrong configs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": None}, "lr must be a finite number above 0"),
        ({"lr": True}, "lr must be"),
        ({"lr": 0}, "lr must be"),
        ({"lr": float("nan")}, "lr must be"),
        ({"lr": "0.1"}, "lr must be"),
        ({"time_budget_seconds": float("inf")}, "time_budget_seconds must be"),
        ({"n_layers": 2.0}, "n_layers must be a whole number above 0"),
        ({"batch_size": True}, "batch_size must be"),
        ({"max_steps": 0}, "max_steps must be"),
        ({"threads": -1}, "threads must be"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"lr_schedule": "sine"}, "lr_schedule must be of the form cosine|linear"),
        ({"device": "tpu"}, "device must be of the form auto|cpu|cuda|mps"),
        ({"dataset": "../secret"}, "dataset must be"),
        ({"dataset_sha256": "ABC"}, "dataset_sha256 must be"),
        ({"dataset_urls": "http://x"}, "dataset_urls must be a list"),
        ({"n_heads": 3}, "d_model must be divisible by n_heads"),
        ({"warmup": 5}, "warmup is unknown"),
        ({"context_length": 900_000}, "too short for context_length"),
    ],
)
def test_a_wrong_value_ends_with_code_2_and_one_line(
    tmp_path: Path, data_dir: Path, changes: dict[str, Any], words: str
) -> None:
    run = finish(start(tmp_path, data_dir, SMALL | changes))
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert words in line


def test_all_missing_keys_are_named_at_once(tmp_path: Path, data_dir: Path) -> None:
    run = finish(start(tmp_path, data_dir, {"n_heads": 2}))
    assert run.returncode == 2
    for key in SMALL.keys() - {"n_heads", "threads", "device", "dataset", "dataset_sha256"}:
        assert f"{key} is missing" in run.stderr


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"', "\x00"])
def test_a_config_file_that_is_no_json_object_ends_with_code_2(tmp_path: Path, text: str) -> None:
    config_file = tmp_path / "config.json"
    config_file.write_text(text)
    command = [sys.executable, str(SCRIPT), "--config-file", str(config_file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert str(config_file) in run.stderr


def test_a_device_that_is_not_here_ends_with_code_4(tmp_path: Path, data_dir: Path) -> None:
    absent = "cuda" if sys.platform == "darwin" else "mps"
    run = finish(start(tmp_path, data_dir, SMALL | {"device": absent}))
    assert run.returncode == 4
    assert f"device {absent} is not available" in run.stderr


@pytest.mark.parametrize(
    "torch",
    ["raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", "import _no_library"],
    ids=["missing", "broken"],
)
def test_without_torch_the_script_ends_with_code_4_and_one_line(
    tmp_path: Path, data_dir: Path, torch: str
) -> None:
    script = with_torch(tmp_path, torch)
    run = finish(start(tmp_path / "run", data_dir, SMALL, script=script))
    assert (run.returncode, run.stdout) == (4, "")
    (line,) = run.stderr.splitlines()
    assert "No module named" in line
    assert "pip install torch" in line


# --- Without torch -----------------------------------------------------------------------------


def with_torch(folder: Path, torch: str) -> Path:
    """Return a copy of the script in a folder where `import torch` runs this instead."""
    script = folder / "alone" / "script.py"
    script.parent.mkdir()
    script.write_bytes(SCRIPT.read_bytes())
    (script.parent / "torch.py").write_text(torch)  # where Python looks first
    return script


def test_what_a_step_costs_is_printed_without_torch_and_data_as_a_server_reads_it(
    tmp_path: Path,
) -> None:
    script = with_torch(tmp_path, "raise SystemExit('imported')")
    run = finish(start(tmp_path / "run", tmp_path / "none", SMALL, "--describe", script=script))
    description = read_description(SCRIPT.read_bytes())
    assert description is not None
    assert result_of(run) == description.amounts(SMALL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_while_torch_is_imported_ends_the_run_with_143_and_a_line(
    tmp_path: Path, data_dir: Path
) -> None:
    terminated = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\n"
    script = with_torch(tmp_path, f"{terminated}except BaseException:\n    pass\n")
    run = finish(start(tmp_path / "run", data_dir, SMALL, script=script))
    assert (run.returncode, run.stdout) == (143, "")
    (line,) = run.stderr.splitlines()
    assert "ended by SIGTERM before there was anything to evaluate" in line


# --- The data ----------------------------------------------------------------------------------


def test_two_processes_at_once_download_and_leave_one_whole_file(
    tmp_path: Path, server: str
) -> None:
    data = tmp_path / "cache"
    config = SMALL | {"dataset_urls": [f"{server}/absent.txt", f"{server}/corpus.txt"]}
    both = [start(tmp_path / name, data, config, "--prepare") for name in ("a", "b")]
    for process in both:
        run = finish(process)
        assert (run.returncode, run.stdout) == (0, ""), run.stderr
    assert list(data.iterdir()) == [cached_file(data)]
    assert hashlib.sha256(cached_file(data).read_bytes()).hexdigest() == CORPUS.sha256


def test_a_spoilt_cache_file_is_replaced_from_a_file_path(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(corpus())
    cached_file(tmp_path).write_bytes(b"half a file")
    config = SMALL | {"dataset_urls": [str(source)]}
    assert finish(start(tmp_path, tmp_path, config, "--prepare")).returncode == 0
    assert cached_file(tmp_path).read_bytes() == source.read_bytes()


def test_wrong_content_is_refused_with_code_3_and_never_cached(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(corpus() + b"!")
    data = tmp_path / "cache"
    run = finish(start(tmp_path, data, SMALL | {"dataset_urls": [str(source)]}))
    assert (run.returncode, run.stdout) == (3, "")
    assert "sha256 differs" in run.stderr
    assert not data.exists()


def test_unreachable_data_ends_with_code_3_saying_what_was_tried_and_what_to_do(
    tmp_path: Path,
) -> None:
    data = tmp_path / "cache"
    # Port 9 (discard) of this machine refuses the connection at once.
    config = SMALL | {"dataset_urls": ["http://127.0.0.1:9/corpus.txt", "http://[bad"]}
    run = finish(start(tmp_path, data, config))
    assert (run.returncode, run.stdout) == (3, "")
    for words in ("http://127.0.0.1:9/corpus.txt", "http://[bad", str(cached_file(data))):
        assert words in run.stderr
    assert "XEENET_DATA_DIR" in run.stderr


def test_a_download_is_not_charged_to_the_budget(tmp_path: Path, server: str) -> None:
    config = SMALL | {"dataset_urls": [f"{server}/corpus.txt?slow"], "max_steps": 2}
    began = time.monotonic()
    result = result_of(finish(start(tmp_path, tmp_path / "cache", config)))
    assert time.monotonic() - began > result["wall_time_seconds"] + SLOW_SECONDS
