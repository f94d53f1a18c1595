"""Bundles: a zip file with all that is needed to repeat a task's run on any machine."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Final

from campaigns.models import Dataset, Result, Task
from experiments import catalog, english_like_corpus
from experiments.metrics import MetricSpec
from workers.protocol import API_PREFIX, DATASET_PATH

# A replay repeats a number of steps. The larger budget lets a slower machine finish them.
REPLAY_BUDGET_FACTOR: Final = 10
_DATA_FOLDER: Final = "data"
# A fixed time, so that the same task gives the same bytes. Times of zip files begin in 1980.
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)


def task_bundle(task: Task, result: Result | None, *, server_url: str) -> bytes:
    """Return a zip file with the script, its configs, and a README with the commands to type.

    `task` must have its campaign, package and dataset loaded. The README fetches a data set that
    only this server has from `server_url`, which has no slash at its end.
    """
    script = f"{task.campaign.experiment}.py"
    replay = replay_config(task, result)
    files = {
        script: bytes(task.campaign.package.source),
        "config-original.json": _json(_original(task, result)),
    }
    if replay is not None:
        files["config.json"] = _json(replay)
    else:
        files["config.json"] = files["config-original.json"]
    if _is_generated(task.campaign.dataset):
        generator = Path(english_like_corpus.__file__)
        files[generator.name] = generator.read_bytes()
    files["README.txt"] = _readme(task, result, script, replay, server_url).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{bundle_name(task)}/{name}", _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def bundle_name(task: Task) -> str:
    """Return the name of the bundle and of the folder in it."""
    return f"campaign-{task.campaign_id}-task-{task.number}"


def replay_config(task: Task, result: Result | None) -> dict[str, Any] | None:
    """Return the config that repeats the measured run's number of steps instead of its seconds.

    None if there is no measured result, or it has no step.
    """
    if result is None or result.simulated or not result.steps_completed:
        return None
    original = _original(task, result)
    budget = original["time_budget_seconds"] * REPLAY_BUDGET_FACTOR
    return original | {"max_steps": result.steps_completed, "time_budget_seconds": budget}


def _original(task: Task, result: Result | None) -> dict[str, Any]:
    """Return the config of the attempt that brought the result; without one that of the task."""
    seconds = None if result is None else result.attempt.time_budget_seconds
    return task.config | ({} if seconds is None else {"time_budget_seconds": seconds})


def _is_generated(dataset: Dataset) -> bool:
    return dataset.sha256 == catalog.get_dataset("english_like").sha256


def _json(config: dict[str, Any]) -> bytes:
    return (json.dumps(config, indent=2) + "\n").encode()


def _readme(
    task: Task, result: Result | None, script: str, replay: dict[str, Any] | None, server_url: str
) -> str:
    campaign = task.campaign
    title = f"Task {task.name} of the campaign {_one_line(campaign.name)}"
    parts = [
        title + "\n" + "=" * min(len(title), 78),
        _measured(campaign.metric_spec, result),
        f"Script\n  {script}, sha256 {campaign.package_id}",
        _configs(task, result, replay),
        "Data set\n" + _data_set(campaign.dataset, server_url),
        _commands(result, script),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(spec: MetricSpec, result: Result | None) -> str:
    if result is None:
        return "This task has no result yet."
    value = "no value"
    if result.value is not None:
        # More decimals than pages show, so that a repeated run can be compared with it.
        value = f"{spec.name} {result.value:.{spec.decimals + 2}f} {spec.unit}"
    if result.simulated:
        return f"Its result ({value}) was invented by a worker without torch, not measured."
    metrics = result.metrics
    facts = {
        "device": result.device_used,
        "steps": result.steps_completed,
        "tokens": result.tokens_trained,
        "torch": metrics.get("torch_version"),
        "threads": metrics.get("threads"),
        "dtype": metrics.get("dtype"),
    }
    lines = [f"  {name:<8}{_one_line(fact)}" for name, fact in facts.items() if fact is not None]
    evaluated = "a fixed subset" if result.eval_is_subset else "the whole"
    head = f"Measured: {value}, on {evaluated} of the validation split, with"
    if result.implausible:
        head = f"Implausible, not counted. {head}"
    return "\n".join([head, *lines])


def _configs(task: Task, result: Result | None, replay: dict[str, Any] | None) -> str:
    seconds = f"{_original(task, result)['time_budget_seconds']:g} s"
    kept = f"fixed time: {seconds}"
    if task.max_steps is not None:
        kept = f"fixed work: {task.max_steps} steps within at most {seconds}"
    original = f"  config-original.json   {kept}, as the worker got it"
    if replay is None:
        return f"Configs\n{original}\n  config.json            the same"
    if task.max_steps is not None:
        return f"""Configs
  config.json            the same steps with more time, for slower machines
{original}
  So expect the same value but for its last digits, on any machine of the same kind."""
    return f"""Configs
  config.json            fixed work: the {replay["max_steps"]} steps that were measured, however
                         long they take (up to {replay["time_budget_seconds"]:g} s)
{original}
  Fixed work follows the learning-rate schedule by steps instead of seconds, and has time for the
  whole validation split. So expect a value close to the measured one, but not the same digits. Two
  runs of config.json on one machine give the same digits."""


def _data_set(dataset: Dataset, server_url: str) -> str:
    name = catalog.dataset_cache_name(dataset.name, dataset.sha256)
    facts = f"  {_one_line(dataset.name)}, {dataset.size_bytes} bytes, sha256 {dataset.sha256}\n"
    path = f"{_DATA_FOLDER}/{name}"
    if _is_generated(dataset):
        return facts + (
            "  Generated text. Make it with:\n"
            f"    mkdir -p {_DATA_FOLDER}\n"
            f"    python3 english_like_corpus.py {path}"
        )
    known = next((info for info in catalog.all_datasets() if info.sha256 == dataset.sha256), None)
    if known is not None and known.urls:
        addresses = "\n".join(f"    {url}" for url in known.urls)
        return facts + (
            "  The script downloads it at its first run and checks its hash. Without internet,\n"
            f"  put a copy at {path}. It comes from:\n{addresses}"
        )
    url = server_url + API_PREFIX + DATASET_PATH.format(sha256=dataset.sha256)
    return facts + (
        f"  Put a copy at {path}. The server has it, for people with a personal token:\n"
        f"    mkdir -p {_DATA_FOLDER}\n"
        f'    curl -f -H "Authorization: Bearer $XEENET_TOKEN" -o {path} \\\n      {url}'
    )


def _commands(result: Result | None, script: str) -> str:
    version = (result.metrics.get("torch_version") if result else None) or ""
    # Leave out the local part of "2.13.0+cpu": the package index does not have such builds.
    release = str(version).partition("+")[0]
    pinned = f"torch=={release}" if release.replace(".", "").isdecimal() else "torch"
    return f"""Run, in this folder
  python3 -m venv venv && venv/bin/pip install {pinned}
  XEENET_DATA_DIR={_DATA_FOLDER} venv/bin/python {script} --config-file config.json
The last line is the result as JSON. The lines before it (stderr) are progress. The script needs
Python 3.11 or newer and torch, nothing else. It reads only this folder."""


def _one_line(text: object) -> str:
    """Return a text from a person or a script as a single line of limited length."""
    return " ".join(str(text).split())[:200]
