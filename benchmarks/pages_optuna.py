"""The same results as an Optuna study on SQLite, for `optuna-dashboard` to show."""

from pathlib import Path
from typing import Any

from campaigns.models import Campaign, Result

STUDY_ID = 1  # SQLite numbers from 1, and each file holds one study
STUDY_PATH = f"/api/studies/{STUDY_ID}"


def write_study(campaign: Campaign, file: Path) -> int:
    """Write every result of a campaign as a trial, by Optuna's own storage; return how many."""
    import optuna
    from sqlalchemy import event

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    # Ten thousand commits to a disk would measure the disk; reading is what is measured here.
    event.listen(storage.engine, "connect", _forget_durability)
    storage.engine.dispose()
    study = optuna.create_study(storage=storage, study_name=campaign.name, direction="minimize")
    distributions = {one["name"]: _distribution(one) for one in campaign.search_space["parameters"]}
    results = campaign.results.select_related("task", "attempt").order_by("task__number")
    written = 0
    for result in results.iterator(chunk_size=1000):
        study.add_trial(_trial(result, distributions))
        written += 1
    storage.engine.dispose()
    return written


def _forget_durability(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=MEMORY")


def _distribution(parameter: dict[str, Any]) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if parameter["type"] == "choice":
        return CategoricalDistribution(parameter["values"])
    low, high, log = parameter["low"], parameter["high"], parameter.get("log", False)
    if parameter["type"] == "int":
        return IntDistribution(low, high, log=log, step=parameter.get("step", 1))
    return FloatDistribution(low, high, log=log)


def _trial(result: Result, distributions: dict[str, Any]) -> Any:
    """Return a frozen trial: complete with its value, or failed where the run diverged."""
    from optuna.trial import FrozenTrial, TrialState

    state = TrialState.FAIL if result.val_bpb is None else TrialState.COMPLETE
    return FrozenTrial(
        number=-1,  # the storage gives it
        trial_id=-1,
        state=state,
        value=result.val_bpb,
        values=None,
        datetime_start=result.attempt.started_at.replace(tzinfo=None),
        datetime_complete=result.created_at.replace(tzinfo=None),
        params=result.task.params,
        distributions=distributions,
        user_attrs={"device": result.device_used, "steps": result.steps_completed},
        system_attrs={},
        intermediate_values={},
    )
