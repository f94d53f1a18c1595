"""The training script, really run: contract, clock, data, reproducibility.

Every run is a process of its own, as an agent starts it. The data is the generated corpus, so
nothing is fetched from outside.
"""

import hashlib
import http.server
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import catalog, english_like_corpus
from experiments.config_generators import CharLMConfigGenerator
from workers.protocol import bits_per_byte, metrics_problems

SCRIPT = catalog.get("train_char_lm").script_path
CORPUS = catalog.get_dataset("english_like")
SMALL: dict[str, Any] = {
    "lr": 0.01,
    "lr_schedule": "cosine",
    "n_layers": 1,
    "n_heads": 2,
    "d_model": 32,
    "d_ff": 64,
    "batch_size": 16,
    "context_length": 32,
    "seed": 42,
    "time_budget_seconds": 30,
    "threads": 1,
    "device": "cpu",
    "dataset": CORPUS.name,
    "dataset_sha256": CORPUS.sha256,
}
LARGEST = {
    "n_layers": 6,
    "n_heads": 4,
    "d_model": 256,
    "d_ff": 512,
    "batch_size": 128,
    "context_length": 256,
}
SLOW_SECONDS = 2.0

pytestmark = pytest.mark.long

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that already holds the corpus."""
    folder = tmp_path_factory.mktemp("data")
    name = catalog.dataset_cache_name(CORPUS.name, CORPUS.sha256)
    (folder / name).write_bytes(english_like_corpus.generate())
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A local web server of one file, /corpus.txt (slow with ?slow); yields its address."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "corpus.txt").write_bytes(english_like_corpus.generate())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            if self.path.endswith("?slow"):
                time.sleep(SLOW_SECONDS)  # a slow line is what is shown here
            super().do_GET()

        def log_message(self, *args: Any) -> None:
            """Keep the test output quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def start(
    folder: Path, data: Path, config: dict[str, Any], *options: str, script: Path = SCRIPT
) -> subprocess.Popen[str]:
    """Start the script on a config, with nothing else in its environment than the data folder."""
    folder.mkdir(exist_ok=True)
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(config))
    return subprocess.Popen(
        [sys.executable, str(script), "--config-file", str(config_file), *options],
        env={"XEENET_DATA_DIR": str(data), "PATH": ""},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Run:
    """Wait for the script and return exit code, stdout and stderr."""
    try:
        stdout, stderr = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def result_of(run: Run) -> dict[str, Any]:
    """Return the result line; asserts exit code 0 and exactly one line on stdout."""
    assert run.returncode == 0, run.stderr
    (line,) = run.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def train(folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    """Run the small config with some changes and return its result."""
    return result_of(finish(start(folder, data, SMALL | changes)))


# --- The contract ------------------------------------------------------------------------------


def test_a_run_learns_and_prints_one_honest_line_inside_its_budget(
    tmp_path: Path, data_dir: Path
) -> None:
    began = time.monotonic()
    run = finish(start(tmp_path, data_dir, SMALL | {"time_budget_seconds": 8}))
    seconds = time.monotonic() - began
    result = result_of(run)

    assert metrics_problems(result) == []
    assert result["wall_time_seconds"] < 8
    assert seconds < 9  # the interpreter starts before the script's clock
    assert result["stop_reason"] == "time_budget"
    assert result["val_bpb"] == pytest.approx(
        bits_per_byte(result["eval_nll_nats"], result["eval_bytes"])
    )
    # Untrained it is 5.8, the logarithm of the vocabulary; a busy machine does few steps.
    assert 1.0 < result["val_bpb"] < 4.0
    allowed = catalog.get("train_char_lm").eval_bytes_allowed(CORPUS.size_bytes)
    assert result["eval_bytes"] in allowed.values()
    assert result["eval_tokens"] == result["eval_bytes"]
    assert result["tokens_trained"] == result["steps_completed"] * 16 * 32
    assert (result["dataset"], result["dataset_sha256"]) == (CORPUS.name, CORPUS.sha256)
    assert (result["threads"], result["seed"], result["device_used"]) == (1, 42, "cpu")
    assert not result["diverged"]
    parts = result["setup_seconds"] + result["train_seconds"] + result["eval_seconds"]
    assert parts == pytest.approx(result["wall_time_seconds"], abs=0.2)
    assert result["peak_memory_mb"] is None or 50 < result["peak_memory_mb"] < 2_000


def test_progress_lines_on_stderr_are_json_with_rising_steps(
    tmp_path: Path, data_dir: Path
) -> None:
    run = finish(start(tmp_path, data_dir, SMALL | {"max_steps": 40}))
    lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    assert len(lines) >= 5
    assert {line["event"] for line in lines} == {"progress"}
    keys = {"event", "elapsed_seconds", "step", "tokens", "train_loss", "val_bpb"}
    assert all(line.keys() == keys for line in lines)
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert any(line["val_bpb"] is not None for line in lines)


def test_the_script_runs_alone_in_a_strange_folder(tmp_path: Path, data_dir: Path) -> None:
    copy = tmp_path / "elsewhere" / "script.py"
    copy.parent.mkdir()
    shutil.copyfile(SCRIPT, copy)
    run = finish(start(tmp_path / "run", data_dir, SMALL | {"max_steps": 2}, script=copy))
    assert result_of(run)["steps_completed"] == 2


def test_every_config_of_the_generator_is_understood(tmp_path: Path, data_dir: Path) -> None:
    for seed in (0, 7):
        config = SMALL | CharLMConfigGenerator().generate(seed) | {"seed": seed}
        run = finish(start(tmp_path, data_dir, config, "--prepare"))
        assert (run.returncode, run.stdout) == (0, "")


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


def test_a_device_that_is_not_here_ends_with_code_2(tmp_path: Path, data_dir: Path) -> None:
    absent = "cuda" if sys.platform == "darwin" else "mps"
    run = finish(start(tmp_path, data_dir, SMALL | {"device": absent}))
    assert run.returncode == 2
    assert f"device {absent} is not available" in run.stderr


# --- The data ----------------------------------------------------------------------------------


def cached_file(folder: Path) -> Path:
    return folder / catalog.dataset_cache_name(CORPUS.name, CORPUS.sha256)


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
    source.write_bytes(english_like_corpus.generate())
    cached_file(tmp_path).write_bytes(b"half a file")
    config = SMALL | {"dataset_urls": [str(source)]}
    assert finish(start(tmp_path, tmp_path, config, "--prepare")).returncode == 0
    assert cached_file(tmp_path).read_bytes() == source.read_bytes()


def test_wrong_content_is_refused_with_code_3_and_never_cached(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(english_like_corpus.generate() + b"!")
    data = tmp_path / "cache"
    run = finish(start(tmp_path, data, SMALL | {"dataset_urls": [str(source)]}))
    assert (run.returncode, run.stdout) == (3, "")
    assert "sha256 differs" in run.stderr
    assert not data.exists()


def test_unreachable_data_ends_with_code_3_saying_what_was_tried_and_what_to_do(
    tmp_path: Path,
) -> None:
    data = tmp_path / "cache"
    # Port 9 (discard) of this machine: refused at once.
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


# --- Reproducibility ---------------------------------------------------------------------------


def test_the_same_seed_and_steps_give_the_identical_number_and_others_do_not(
    tmp_path: Path, data_dir: Path
) -> None:
    first = train(tmp_path, data_dir, max_steps=20)
    assert (first["stop_reason"], first["steps_completed"]) == ("max_steps", 20)
    assert first["eval_bytes"] == 99_999  # all of the last tenth but its first byte
    again = train(tmp_path, data_dir, max_steps=20)
    assert again["val_bpb"] == first["val_bpb"]
    assert again["train_loss"] == first["train_loss"]
    others = [
        train(tmp_path, data_dir, max_steps=20, **change)["val_bpb"]
        for change in ({"seed": 43}, {"lr_schedule": "linear"})
    ]
    assert len({first["val_bpb"], *others}) == 3


def test_the_same_seed_under_a_time_budget_repeats_within_five_hundredths(
    tmp_path: Path, data_dir: Path
) -> None:
    # With two bytes of context the model is near its best after a second, so that the number of
    # steps, which time decides, matters little. Both at once, to find the machine equally busy.
    tiny = {"d_model": 8, "context_length": 2, "batch_size": 64, "lr": 0.03}
    config = SMALL | tiny | {"time_budget_seconds": 8}
    both = [start(tmp_path / name, data_dir, config) for name in ("a", "b")]
    first, second = (result_of(finish(process)) for process in both)
    assert first["val_bpb"] == pytest.approx(second["val_bpb"], abs=0.05)


# --- The clock ---------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_the_largest_shape_answers_inside_ten_seconds_on_a_busy_machine(
    tmp_path: Path, data_dir: Path, threads: int
) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        changes = LARGEST | {"time_budget_seconds": 10, "threads": threads}
        began = time.monotonic()
        result = train(tmp_path, data_dir, **changes)
        seconds = time.monotonic() - began
    finally:
        busy.kill()
        busy.wait()
    # Where importing torch alone takes the budget (a machine gone to its knees), the answer comes
    # right after it: nothing can be promised before there is a program.
    budget = max(10.0, result["setup_seconds"] + 0.5)
    assert result["wall_time_seconds"] < budget
    assert seconds < budget + 1.0  # the interpreter starts before the script's clock
    assert metrics_problems(result) == []
    allowed = catalog.get("train_char_lm").eval_bytes_allowed(CORPUS.size_bytes)
    if result["val_bpb"] is None:  # not a step, or no time to evaluate it
        assert (result["stop_reason"], result["eval_bytes"]) == ("budget_too_small", 0)
    else:
        assert result["eval_bytes"] in allowed.values()


def test_a_first_batch_that_does_not_fit_is_cut_short_and_counted(
    tmp_path: Path, data_dir: Path
) -> None:
    huge = SMALL | {"batch_size": 500_000, "time_budget_seconds": 8.0}
    result = train(tmp_path, data_dir, **huge)
    assert result["stop_reason"] == "time_budget"
    assert result["steps_completed"] == 1
    assert 0 < result["tokens_trained"] < 500_000 * SMALL["context_length"]
    assert result["wall_time_seconds"] < max(8.0, result["setup_seconds"] + 0.5)
    assert metrics_problems(result) == []


def test_a_budget_without_room_for_a_step_is_answered_honestly(
    tmp_path: Path, data_dir: Path
) -> None:
    result = train(tmp_path, data_dir, **LARGEST, time_budget_seconds=1.0)
    assert result["stop_reason"] == "budget_too_small"
    assert result["val_bpb"] is None
    assert (result["steps_completed"], result["eval_bytes"], result["diverged"]) == (0, 0, False)
    assert metrics_problems(result) == []


def test_a_loss_that_is_not_finite_is_a_finding(tmp_path: Path, data_dir: Path) -> None:
    result = train(tmp_path, data_dir, lr=1e38, max_steps=50)
    assert result["diverged"]
    assert (result["val_bpb"], result["eval_nll_nats"]) == (None, None)
    assert result["stop_reason"] == "diverged"
    assert result["steps_completed"] < 50
    assert metrics_problems(result) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM to catch")
def test_sigterm_ends_the_training_and_the_result_is_still_printed(
    tmp_path: Path, data_dir: Path
) -> None:
    process = start(tmp_path, data_dir, SMALL | {"time_budget_seconds": 90})
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith('{"event": "progress"'):
            break
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    result = result_of(finish(process))
    assert time.monotonic() - began < 6
    assert result["stop_reason"] == "terminated"
    assert result["steps_completed"] > 0
    assert metrics_problems(result) == []


# --- Inside the script -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module (torch remarks that numpy is absent; the script needs none)."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from experiments import train_char_lm
    return train_char_lm


def test_script_and_catalog_share_their_rules(script: Any) -> None:
    info = catalog.get_dataset("tinyshakespeare")
    assert info.sha256 == script.TINYSHAKESPEARE_SHA256
    assert list(info.urls) == script.TINYSHAKESPEARE_URLS
    path = script.cache_path("some", "0123456789abcdef")
    assert path.name == catalog.dataset_cache_name("some", "0123456789abcdef")
    parameters = catalog.get("train_char_lm").default_search_space["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert names | {"seed", "time_budget_seconds"} == script.REQUIRED


@pytest.mark.parametrize("size", [200, 5_000, 163_840, 163_860, 1_000_000])
@pytest.mark.parametrize("context", [32, 100, 256])
def test_what_is_evaluated_does_not_depend_on_the_context_length(
    script: Any, size: int, context: int
) -> None:
    text = english_like_corpus.generate()[:size]
    run = script.Run(SMALL | {"context_length": context}, text, time.monotonic())
    allowed = catalog.get("train_char_lm").eval_bytes_allowed(size)
    predicted = {
        name: [byte for first, length in part for byte in range(first, first + length)]
        for name, part in (("full", run.whole_split), ("subset", run.subset))
    }
    assert {name: len(part) for name, part in predicted.items()} == allowed
    assert all(len(set(part)) == len(part) for part in predicted.values())
    assert all(0 <= byte < len(run.val_tokens) - 1 for byte in predicted["subset"])


def test_an_untrained_model_scores_about_the_logarithm_of_the_vocabulary(script: Any) -> None:
    text = english_like_corpus.generate()
    run = script.Run(SMALL, text, time.monotonic())
    nats, count = run.evaluate(run.subset, deadline=math.inf)
    assert nats / count == pytest.approx(math.log(len(set(text))), abs=0.05)


def test_an_evaluation_that_would_pass_its_deadline_gives_nothing(script: Any) -> None:
    run = script.Run(SMALL, english_like_corpus.generate(), time.monotonic())
    nats, count = run.evaluate(run.whole_split, deadline=-1.0)
    assert math.isnan(nats)
    assert count == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])  # each has its own attention
def test_the_model_cannot_see_the_future(script: Any, dtype: str) -> None:
    torch = script.torch
    config = SMALL | {"n_layers": 2}
    weights = {
        name: (torch.randn(matrix.shape) * 0.3).to(getattr(torch, dtype))
        for name, matrix in script.initial_weights(config, 20).items()
    }
    tokens = torch.randint(20, (1, 32))
    changed = tokens.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % 20
    one, two = (script.forward(weights, t, config) for t in (tokens, changed))
    assert torch.allclose(one[0, :20], two[0, :20], atol=1e-5)
    assert not torch.allclose(one[0, 20], two[0, 20], atol=1e-3)


def test_both_ways_of_attention_agree_to_the_precision_of_bfloat16(script: Any) -> None:
    torch = script.torch
    torch.manual_seed(1)
    qkv = torch.randn(3, 16, 3 * 32).bfloat16()
    plain = script.attention(qkv, 4).float()
    fused = script.attention(qkv.float(), 4)
    assert torch.allclose(fused, plain, atol=0.03)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "step_decay"])
def test_the_learning_rate_warms_up_and_then_only_falls(script: Any, schedule: str) -> None:
    config = {"lr": 1.0, "lr_schedule": schedule}
    rates = [script.learning_rate(config, step / 100) for step in range(101)]
    assert rates[0] < 0.1
    assert max(rates) > 0.9
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] <= 0.1


def test_adamw_takes_the_textbook_step(script: Any) -> None:
    torch = script.torch
    weights = torch.tensor([1.0, -2.0])
    optimiser = script.AdamW(weights)
    optimiser.step(torch.tensor([0.3, -0.4]), lr=0.1)
    # First step: mean and square are unbiased to g and g*g, so each weight moves by lr * sign(g).
    decayed = torch.tensor([1.0, -2.0]) * (1 - 0.1 * script.WEIGHT_DECAY)
    assert torch.allclose(weights, decayed - 0.1 * torch.tensor([1.0, -1.0]), atol=1e-4)


def test_the_gradient_is_clipped_to_norm_one(script: Any) -> None:
    torch = script.torch
    optimiser = script.AdamW(torch.zeros(2))
    optimiser.step(torch.tensor([300.0, -400.0]), lr=0.1)
    expected = (1 - script.BETA1) * torch.tensor([0.6, -0.8])
    assert torch.allclose(optimiser.mean, expected, atol=1e-6)


def test_the_script_imports_the_standard_library_and_torch_alone() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    names = re.findall(r"^\s*(?:import|from) (\w+)", source, flags=re.MULTILINE)
    assert set(names) - sys.stdlib_module_names == {"torch"}
