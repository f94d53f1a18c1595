"""``manage.py check_experiment``: each rule of the contract, with small scripts that break it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.scripts import contract, steering, workbench
from campaigns.scripts.workbench import Run
from experiments import catalog
from experiments.metrics import bits_per_byte

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DATASET = catalog.get_dataset("english_like")

# Keeps every rule without torch, so that a check takes seconds.
HONEST = """
import argparse, json, math, signal, sys, time
DESCRIBE = {"cost": "2e-3 * lr", "other": "lr"}
KNOWN = {"lr", "seed", "time_budget_seconds", "max_steps", "dataset", "dataset_sha256"}
parser = argparse.ArgumentParser()
parser.add_argument("--config-file", required=True)
parser.add_argument("--describe", action="store_true")
arguments = parser.parse_args()
config = json.load(open(arguments.config_file))
if unknown := set(config) - KNOWN:
    sys.exit(print("unknown keys:", unknown, file=sys.stderr) or 2)
if arguments.describe:
    sys.exit(print(json.dumps({"cost": 2e-3 * config["lr"], "other": config["lr"]})))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if "max_steps" not in config:
    time.sleep(0.5 * config["time_budget_seconds"])
nats = 200_000.0 + config["seed"]
print("working", file=sys.stderr)
print(json.dumps({
    "val_bpb": nats / (99_999 * math.log(2)), "train_loss": 2.0, "eval_nll_nats": nats,
    "eval_bytes": 99_999, "eval_tokens": 99_999, "steps_completed": config.get("max_steps", 9),
    "tokens_trained": 9, "wall_time_seconds": 0.1, "model_params": 1, "device_used": "cpu",
    "seed": config["seed"], "dataset_sha256": config["dataset_sha256"], "stop_reason": "time",
}))
"""


@pytest.fixture(autouse=True)
def light_torch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the warm run import an empty torch: the real one takes seconds each time."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "torch.py").write_text("__version__ = '0'\ndef set_num_threads(_): pass\n")
    monkeypatch.setattr(workbench, "_IMPORT_THREADS", {"PYTHONPATH": str(folder)})


def ended(stdout: str = "", exit_code: int | None = 0, wall_seconds: float = 1.0) -> Run:
    return Run(exit_code, stdout, "last words\n", wall_seconds)


def line(**changes: Any) -> str:
    eval_bytes = 99_999
    metrics = {
        "val_bpb": bits_per_byte(200_000.0, eval_bytes),
        "train_loss": 2.0,
        "eval_nll_nats": 200_000.0,
        "eval_bytes": eval_bytes,
        "eval_tokens": eval_bytes,
        "steps_completed": 3,
        "tokens_trained": 9,
        "wall_time_seconds": 0.1,
        "model_params": 1,
        "device_used": "cpu",
        "seed": 42,
        "dataset_sha256": DATASET.sha256,
        "stop_reason": "time",
    }
    return json.dumps(metrics | changes) + "\n"


def check(source: str, tmp_path: Path, budget: float = 2.0) -> str:
    """Run the command on a script; return its output and, if it fails, its error."""
    script, params = tmp_path / "script.py", tmp_path / "params.json"
    script.write_text(source)
    params.write_text('{"lr": 0.1}')
    output = StringIO()
    try:
        call_command(
            "check_experiment", str(script), "--params", str(params), budget=budget, stdout=output
        )
    except CommandError as error:
        output.write(str(error))
    return output.getvalue()


def test_a_script_that_keeps_the_contract_is_told_so(tmp_path: Path) -> None:
    output = check(HONEST, tmp_path)
    assert "BROKEN" not in output
    assert output.count("kept") == 11
    assert "starts cold\n" not in output
    assert "keeps every rule" in output


@pytest.mark.parametrize(
    ("warm", "starts_warm"),
    [
        (ended(line()), True),
        (ended(line(train_loss=2.5)), False),
        (ended(line(val_bpb=None)), False),
        (ended(line(), exit_code=1), False),
        (ended(""), False),
    ],
)
def test_only_equal_values_let_a_script_start_warm_and_others_break_no_rule(
    warm: Run, starts_warm: bool
) -> None:
    verdict = contract.judge_warm_start(ended(line()), warm)
    assert (verdict.kept, verdict.starts_warm) == (True, starts_warm)
    assert verdict.detail.endswith(": it starts cold") is not starts_warm


@pytest.mark.django_db
def test_what_was_found_is_recorded_for_the_uploaded_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(HONEST)
    with pytest.raises(CommandError, match="was uploaded to this server"):
        call_command("check_experiment", str(script), "--record")
    experiment = catalog.all()[0].name
    source = HONEST.encode()
    package, _ = steering.upload(None, name="mine", experiment=experiment, source=source, now=NOW)
    assert not package.starts_warm
    for kept, starts_warm in ((True, True), (True, False), (True, True), (False, True)):
        verdict = contract.Verdict("rule", kept, "", starts_warm)
        monkeypatch.setattr(
            "campaigns.management.commands.check_experiment.check_script",
            lambda *_, verdict=verdict, **__: [verdict],
        )
        with contextlib.nullcontext() if kept else pytest.raises(CommandError):
            call_command("check_experiment", str(script), "--record", stdout=StringIO())
        package.refresh_from_db()
        assert package.starts_warm is (kept and starts_warm)


def test_params_are_json_or_a_file_with_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(HONEST)
    output = StringIO()
    command = ("check_experiment", str(script))
    call_command(*command, "--params", ' {"lr": 0.1}', budget=2.0, stdout=output)
    assert "keeps every rule" in output.getvalue()


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ('{"lr": 0.1, "lr": 0.2}', "--params is not usable JSON. Line 1: the key 'lr' is given"),
        ('{"lr": }', "this is not JSON"),
        ('{"lr": NaN}', "NaN is no number of JSON"),
        ("list.json", "must hold a JSON object such as"),
        ("latin.json", "is no text in UTF-8"),
        ("gone.json", "Cannot read"),
    ],
)
def test_params_that_cannot_be_read_are_refused(tmp_path: Path, params: str, sentence: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(HONEST)
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "latin.json").write_bytes(b'{"lr": "\xe9"}')
    given = params if params.startswith("{") else str(tmp_path / params)
    with pytest.raises(CommandError) as refused:
        call_command("check_experiment", str(script), "--params", given)
    assert sentence in str(refused.value)


def test_each_broken_rule_is_named(tmp_path: Path) -> None:
    loud = HONEST.replace('print("working", file=sys.stderr)', 'print("working")')
    fickle = loud.replace("nats = 200_000.0", "nats = 200_000.0 + time.time() % 1")
    output = check(fickle, tmp_path)
    broken = [text for text in output.splitlines() if text.startswith("BROKEN")]
    assert [text.split()[1] for text in broken] == [
        "one",
        "result",
        "names",
        "evaluates",
        "replays:",
    ]
    assert "breaks 5 rule(s)" in output


def test_a_script_that_cannot_even_start_breaks_nearly_everything(tmp_path: Path) -> None:
    output = check("import no_such_package\n", tmp_path)
    assert "imports no_such_package" in output
    assert "ModuleNotFoundError" in output
    assert "breaks 8 rule(s)" in output


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("check_experiment", str(tmp_path / "gone.py"))


def test_imports_beyond_the_standard_library_and_torch_are_named() -> None:
    verdict = contract.judge_source(b"import os, torch.nn\nfrom numpy import array\n")
    assert not verdict.kept
    assert "imports numpy;" in verdict.detail
    assert not contract.judge_source(b"from . import helper\n").kept
    assert not contract.judge_source(b"def broken(\n").kept
    assert contract.judge_source(b"import json, torch\n").kept


@pytest.mark.parametrize(
    ("run", "kept"),
    [
        (ended(exit_code=2), True),
        (ended(exit_code=1), False),
        (ended(exit_code=0), False),
        (ended(line(), exit_code=2), False),
        (Run(2, "", "", 1.0), False),
    ],
)
def test_an_unknown_key_must_be_a_config_error(run: Run, kept: bool) -> None:
    assert contract.judge_unknown_key(run).kept is kept


@pytest.mark.parametrize(
    ("run", "kept"),
    [
        (ended(line(), wall_seconds=7.9), True),
        (ended(line(), wall_seconds=8.1), False),
        (ended(line(), exit_code=1), False),
        (ended(exit_code=None, wall_seconds=23.0), False),
    ],
)
def test_the_budget_is_kept_by_ending_well_and_in_time(run: Run, kept: bool) -> None:
    assert contract.judge_budget(run, 8.0).kept is kept


@pytest.mark.parametrize(
    ("stdout", "kept"),
    [
        (line(), True),
        (line().rstrip("\n"), False),
        (line() + line(), False),
        ("hello\n" + line(), False),
        ("[1]\n", False),
        ("", False),
    ],
)
def test_stdout_is_one_whole_json_object(stdout: str, kept: bool) -> None:
    assert contract.judge_stdout(ended(stdout)).kept is kept


def test_a_value_that_does_not_follow_from_its_counters_is_caught() -> None:
    assert contract.judge_keys(ended(line())).kept
    wrong = contract.judge_keys(ended(line(val_bpb=1.0)))
    assert not wrong.kept
    assert "does not follow" in wrong.detail


def test_no_value_at_all_does_not_show_that_the_rule_is_kept() -> None:
    small = line(val_bpb=None, stop_reason="budget_too_small", eval_bytes=0, eval_tokens=0)
    verdict = contract.judge_keys(ended(small))
    assert not verdict.kept
    assert "larger --budget" in verdict.detail


def test_another_seed_another_data_set_or_another_share_of_it_is_caught() -> None:
    assert contract.judge_identity(ended(line()), DATASET.sha256).kept
    assert not contract.judge_identity(ended(line(seed=1)), DATASET.sha256).kept
    assert not contract.judge_identity(ended(line(dataset_sha256="0")), DATASET.sha256).kept
    assert contract.judge_denominator(ended(line()), DATASET.size_bytes).kept
    assert not contract.judge_denominator(ended(line(eval_bytes=5)), DATASET.size_bytes).kept


def test_a_replay_must_agree_in_every_bit_after_the_asked_steps() -> None:
    same = ended(line())
    assert contract.judge_replay(same, ended(line()), 48.0).kept
    assert not contract.judge_replay(same, ended(line(val_bpb=2.8854)), 48.0).kept
    short = ended(line(steps_completed=2))
    verdict = contract.judge_replay(short, short, 48.0)
    assert not verdict.kept
    assert "2 steps in 1.0 s of 48 s; only the end of its budget" in verdict.detail
    assert not contract.judge_replay(ended(exit_code=2), same, 48.0).kept


DESCRIBED = 'DESCRIBE = {"cost": "2 * lr", "other": "lr"}'


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (ended('{"cost": 0.2, "other": 0.1}\n'), "cost, other"),
        (ended('{"cost": 0.2, "other": 0.11}\n'), "it prints 0.11 as other, its source says 0.1"),
        (ended('{"cost": 0.2, "other": "a"}\n'), "its source says 0.1; the config was {'lr': 0.1}"),
        (ended('{"cost": 0.2}\n'), "it prints cost, its source has cost, other"),
        (ended("{}\n"), "it prints nothing, its source has cost, other"),
        (ended('{"cost": 0.2, "other": 0.1}\n', exit_code=2), "exit code 2"),
        (ended("hello\n"), "not one JSON object on stdout; last words"),
    ],
)
def test_what_a_script_prints_of_its_cost_must_be_what_its_source_says(
    run: Run, words: str
) -> None:
    verdict = contract.judge_description(DESCRIBED.encode(), [{"lr": 0.1}], lambda _config: run)
    assert words in verdict.detail
    assert verdict.kept is (words == "cost, other")


def test_the_catalogs_script_prints_what_the_server_reads_without_torch_and_data(
    tmp_path: Path,
) -> None:
    script = catalog.script_source("train_char_lm")
    bare = workbench.Workbench(script, tmp_path / "bare", {}, bare=True)
    drawn = contract.drawn_configs()
    assert len({config["lr"] for config in drawn}) == contract.DRAWN_CONFIGS
    verdict = contract.judge_description(
        script, drawn, lambda config: bare.run(8.0, "--describe", **config)
    )
    assert verdict.kept, verdict.detail


@pytest.mark.parametrize(
    ("source", "kept", "words"),
    [
        ("", True, "it takes steps, tokens or a time budget"),
        ("DESCRIBE = {'a': 'lr ** 2'}", False, "DESCRIBE, a: only + - * / // %"),
        ("DESCRIBE = {'a': 'width'}", False, "a needs width, which the config does not have"),
    ],
)
def test_a_script_may_say_nothing_of_its_cost_but_nothing_unreadable(
    source: str, kept: bool, words: str
) -> None:
    never = lambda _config: pytest.fail("the script was run")  # noqa: E731
    verdict = contract.judge_description(source.encode(), [{"lr": 0.1}], never)
    assert verdict.kept is kept
    assert words in verdict.detail


def test_a_run_that_outlives_sigterm_is_caught() -> None:
    assert contract.judge_sigterm(ended(line(), exit_code=-15)).kept
    assert not contract.judge_sigterm(ended(exit_code=None)).kept
