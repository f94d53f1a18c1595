"""The parts of the demo: its data set, account, worker and campaign, and the check at its end."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import os
import re
import secrets
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from campaigns import lifecycle
from campaigns.datasets import store_dataset, store_dataset_file
from campaigns.lifecycle import CampaignSpec
from campaigns.models import BudgetKind, Campaign, CampaignState, Dataset, TaskState, WorkUnit
from campaigns.standings import headline
from campaigns.standings.progress import campaign_progress
from experiments import catalog, english_like_corpus
from workers import lifecycle as worker_lifecycle
from workers.models import Worker, WorkerState

USERNAME: Final = "demo"
EXPERIMENT: Final = "train_char_lm"
DATASET: Final = "tinyshakespeare"
STAND_IN: Final = "english_like"
# The demo waits at most this long for a download, however many addresses there are.
DOWNLOAD_SECONDS: Final = 8.0
_CONNECT_SECONDS: Final = 3.0
INVENTED: Final = "All values are invented: this machine has no torch, so nothing is trained."
INSTALL_TORCH: Final = "Install it (python -m pip install torch) and start again to measure."
# Arms of about the same small size: an evaluation takes a second or two.
RACE_SPACE: Final[dict[str, Any]] = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-3, "high": 3e-2, "log": True, "decimals": 6},
        {"name": "lr_schedule", "type": "choice", "values": ["cosine", "linear", "step_decay"]},
        {"name": "n_layers", "type": "choice", "values": [2]},
        {"name": "n_heads", "type": "choice", "values": [2, 4]},
        {"name": "d_model", "type": "choice", "values": [64]},
        {"name": "d_ff", "type": "choice", "values": [256, 512]},
        {"name": "batch_size", "type": "choice", "values": [32]},
        {"name": "context_length", "type": "choice", "values": [128]},
    ]
}


@dataclass(frozen=True)
class DatasetChoice:
    """The data set of a demo, and a sentence that says where it comes from."""

    dataset: Dataset
    sentence: str


def store_file(path: Path) -> Dataset:
    """Store a file as a data set, under a name that scripts accept. Raises CommandError."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).lstrip("_.-") or "text"
    try:
        return store_dataset_file(path, name)
    except OSError as error:
        raise CommandError(
            f"Cannot read the data set {path}: {error.strerror}. Give a readable text file."
        ) from error
    except ValueError as error:
        raise CommandError(f"Cannot use {path}: {error}") from error


def choose_dataset(
    file: Path | None, cache_folder: Path, *, download_seconds: float = DOWNLOAD_SECONDS
) -> DatasetChoice:
    """Return the data set of the demo.

    That is `file` if given. Otherwise it is TinyShakespeare if that is stored, cached or can be
    downloaded, with generated text as the fallback. The data set is stored on the server, so that
    agents need no other source. Raises CommandError for a file that cannot be read.
    """
    info = catalog.get_dataset(DATASET)
    if file is not None:
        dataset = store_file(file)
        return DatasetChoice(
            dataset, f"Data set: {dataset.name}, {dataset.size_bytes:,} bytes from {file.name}."
        )
    stored = Dataset.objects.filter(sha256=info.sha256).exclude(file="").first()
    if stored is not None and stored.file.storage.exists(str(stored.file.name)):
        return DatasetChoice(stored, f"Data set: {info.title}, stored on this server before.")
    cached = cache_folder / catalog.dataset_cache_name(info.name, info.sha256)
    if cached.is_file() and _has_sha256(cached.read_bytes(), info.sha256):
        return DatasetChoice(store_file(cached), f"Data set: {info.title}, found in the cache.")
    data, source = _download(info, download_seconds)
    if data is not None:
        return DatasetChoice(
            store_dataset(info.name, data), f"Data set: {info.title}, downloaded from {source}."
        )
    stand_in = store_dataset(STAND_IN, english_like_corpus.generate())
    return DatasetChoice(
        stand_in,
        f"Data set: generated English-like text, because {info.title} is neither stored, cached "
        f"nor reachable ({source}). Values on it cannot be compared with values on "
        f"{info.title}; give a copy with --dataset-file.",
    )


def default_cache_folder() -> Path:
    """Return the folder where training scripts cache data sets when they are started by hand."""
    if folder := os.environ.get("XEENET_DATA_DIR"):
        return Path(folder)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "xeenet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "xeenet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xeenet"


def _has_sha256(data: bytes, sha256: str) -> bool:
    return hashlib.sha256(data).hexdigest() == sha256


def _download(info: catalog.DatasetInfo, seconds: float) -> tuple[bytes | None, str]:
    """Return the verified bytes and their host, or None and the reasons for the failure.

    The download runs in a daemon thread that is abandoned after `seconds`: the timeouts of sockets
    do not cover the look-up of a name.
    """
    downloads: list[tuple[bytes, str]] = []
    problems: list[str] = []

    def fetch() -> None:
        for url in info.urls:
            host = urlsplit(url).hostname or url
            try:
                reply = httpx2.get(url, timeout=_CONNECT_SECONDS, follow_redirects=True)
                reply.raise_for_status()
            except httpx2.HTTPError as error:
                problems.append(f"{host}: {type(error).__name__}")
                continue
            if _has_sha256(reply.content, info.sha256):
                downloads.append((reply.content, host))
                return
            problems.append(f"{host}: other content")

    thread = threading.Thread(target=fetch, name="data-set-download", daemon=True)
    thread.start()
    thread.join(seconds)
    if downloads:
        return downloads[0]
    if thread.is_alive():
        problems.append(f"given up after {seconds:g} s")
    return None, ", ".join(problems)


def ensure_user() -> tuple[User, str]:
    """Return the demo's administrator and its new random password. Only the hash is stored."""
    password = secrets.token_urlsafe(9)
    user, _ = User.objects.get_or_create(
        username=USERNAME, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save(update_fields=["password"])
    return user, password


def ensure_worker(name: str, *, now: dt.datetime) -> str:
    """Return a new token of the worker with this name, which may claim tasks again."""
    worker = Worker.objects.filter(name=name).first()
    if worker is None:
        return worker_lifecycle.register(name, now=now)[1]
    if worker.state != WorkerState.ACTIVE or worker.paused_until is not None:
        worker_lifecycle.resume(worker)
    return worker_lifecycle.rotate_token(worker)


def pause_leftovers(owner: User, *, now: dt.datetime) -> int:
    """Pause campaigns that an interrupted demo left running, and return their number.

    Agents would run their tasks first, because they are older than those of the new campaign.
    """
    leftovers = list(Campaign.objects.filter(owner=owner, state=CampaignState.ACTIVE))
    for campaign in leftovers:
        lifecycle.pause(
            campaign, now=now, reason="Paused when a new demo started; resume any time."
        )
    return len(leftovers)


def launch_campaign(
    choice: DatasetChoice,
    *,
    owner: User,
    tasks: int,
    budget_seconds: float,
    now: dt.datetime,
    races: bool = False,
    simulates: bool = False,
) -> Campaign:
    """Create and launch the demo's campaign.

    With `races` its arms are small, get equal work (`budget_seconds` of the reference), and race at
    the end. With `simulates` workers may invent its values. Raises CommandError for impossible
    numbers.
    """
    number = Campaign.objects.filter(owner=owner, name__startswith="Demo ").count() + 1
    spec = CampaignSpec(
        name=f"Demo {number}",
        description=f"Made by the demo command. {choice.sentence}",
        experiment=EXPERIMENT,
        dataset=choice.dataset.sha256,
        task_count=tasks,
        base_seed=42,
        allow_simulated=simulates,
        **_work(budget_seconds) if races else {"time_budget_seconds": budget_seconds},
    )
    try:
        campaign = lifecycle.create_campaign(spec, owner=owner, now=now)
        lifecycle.launch(campaign, now=now)
    except lifecycle.InvalidCampaign as error:
        raise CommandError(f"The campaign cannot be made: {error}") from error
    return campaign


def _work(seconds: float) -> dict[str, Any]:
    """Return the fields of a description for equal work, and a space whose runs are short."""
    return {
        "budget_kind": BudgetKind.WORK,
        "work_unit": WorkUnit.SECONDS,
        "work_amount": seconds,
        "search_space": RACE_SPACE,
    }


def has_torch() -> bool:
    """Return whether agents that this Python starts can train."""
    return importlib.util.find_spec("torch") is not None


def verdict(campaign: Campaign, *, now: dt.datetime) -> str:
    """Return what may be claimed at the end: the sentence above the figures of the page."""
    sentence = headline.sentence(campaign, campaign_progress(campaign, now=now), now=now)
    if campaign.results.filter(simulated=True).exists():
        sentence = f"{INVENTED} {sentence}"
    return sentence


def shortcomings(campaign: Campaign, *, simulates: bool = False) -> list[str]:
    """Return sentences on what is missing for "every task has a measured, distinct result".

    Where workers had to invent the values (`simulates`), they need not be measured.
    """
    problems = []
    states = Counter(campaign.tasks.values_list("state", flat=True))
    completed = states.pop(TaskState.COMPLETED, 0)
    if states:
        rest = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        problems.append(f"{completed} of {campaign.task_count} tasks completed ({rest})")
    results = list(campaign.results.values_list("is_ranked", "simulated", "value"))
    simulated = sum(is_simulated for _, is_simulated, _ in results)
    if simulated and not simulates:
        problems.append(f"{simulated} results are simulated, not measured")
    if unranked := sum(
        not is_ranked and not is_simulated for is_ranked, is_simulated, _ in results
    ):
        problems.append(
            f"{unranked} results have no value: the loss diverged, or the machine was too slow or "
            "too busy for one training step (then try a larger --budget)"
        )
    values = Counter(value for is_ranked, _, value in results if is_ranked)
    if repeated := sum(number - 1 for number in values.values()):
        problems.append(f"{repeated} results repeat the value of another one")
    return problems
