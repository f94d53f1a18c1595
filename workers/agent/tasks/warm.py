"""Which tasks may start warm, and how the script of a spare gets its data set."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from workers.agent.attempt import Attempt
from workers.agent.grants import Grant
from workers.agent.running.execution import Execution, Limits
from workers.agent.running.spare import Spare, SpareFailed, SpareRecipe
from workers.agent.running.spares import Spares, SpareSettings
from workers.agent.state import StateFolder
from workers.agent.tasks.datasets import cached_dataset_path
from workers.agent.tasks.outcomes import log_step
from workers.agent.tasks.scripts import runnable_scripts
from workers.protocol import Lease

# A larger data set is not copied into the folder of a spare: its task starts cold.
MOST_COPIED_BYTES: Final = 256 * 1024 * 1024
_FOLDER: Final = "data"

log = logging.getLogger("xeenet.runner")

Recipe = Callable[[Grant | None], SpareRecipe | None]


@dataclass
class Place:
    """Where a task runs: its folder, and the spare that becomes its script, None for none."""

    folder: Path
    tag: str
    spare: Spare | None = None


class WarmStarts:
    """The spares of a runner, and how its tasks use them. ``spares`` is None where it keeps none.

    ``recipe`` says what a spare for a task with this grant is made of, None: for one of now.
    """

    def __init__(self, state: StateFolder, recipe: Recipe | None) -> None:
        self.spares: Spares | None = None
        self._recipe = recipe
        if recipe is not None:
            now = functools.partial(recipe, None)
            self.spares = Spares(SpareSettings(state.work, state.tag_prefix, now))

    def take_spare(self, attempt: Attempt, place: Place, data_folder: Path) -> None:
        """Let the task run in a spare, where there is one for it."""
        if self.spares is None or self._recipe is None or not may_start_warm(attempt.lease):
            return
        recipe = self._recipe(attempt.grant)
        if recipe is None:
            return
        dataset = attempt.lease["dataset"]
        data = cached_dataset_path(data_folder, dataset)
        fits = functools.partial(can_have, data=data, size_bytes=dataset["size_bytes"])
        spare = self.spares.take(recipe, fits, attempt.stop)
        if spare is not None:
            place.folder, place.tag, place.spare = spare.folder, spare.tag, spare

    def run(
        self,
        attempt: Attempt,
        place: Place,
        words: Sequence[str],
        *,
        data: Path,
        environment: Callable[[Path], Mapping[str, str]],
        limits: Limits,
        begin: Callable[[], None],
    ) -> Execution | None:
        """Hand the script, the first of ``words``, over to the task's spare.

        ``environment`` is that of a script whose data lies in a folder. None when the task has no
        spare, or when that took nothing: the task can still start cold, in the same folder.
        """
        spare, grant = place.spare, attempt.grant or Grant()
        if spare is None:
            return None
        log_step(attempt, 4, "hand the script over to a spare, which has imported torch")
        try:
            data_folder, copied_bytes = place_data(spare, data)
            begin()
            return spare.run(
                words,
                environment=environment(data_folder),
                threads=grant.threads,
                limits=replace(limits, disk_bytes=limits.disk_bytes + copied_bytes),
                stop=attempt.stop,
                progress=attempt.progress,
            )
        except (SpareFailed, OSError) as problem:
            log.debug("%s: started cold: %s", attempt.label, problem)
            self.give_up(place, keeps_folder=True)
            return None

    def give_up(self, place: Place, *, keeps_folder: bool = False) -> None:
        """End the spare of a task if it ran nothing."""
        if self.spares is not None and place.spare is not None:
            self.spares.end(place.spare, keeps_folder=keeps_folder)


def may_start_warm(lease: Lease) -> bool:
    """Return whether the lease's script gives the same values warm as cold.

    Those of this installation's catalog and of its releases do; of others the server says whether
    `check_experiment` found it so.
    """
    return lease["code_sha256"] in runnable_scripts() or lease.get("starts_warm") is True


def can_have(spare: Spare, data: Path, size_bytes: int) -> bool:
    """Return whether a spare can get at this data set.

    One that was started for another task of another data set must not be used: it could read both.
    """
    if spare.recipe.sandbox is None:
        return True
    return spare.data == data if spare.data is not None else size_bytes <= MOST_COPIED_BYTES


def place_data(spare: Spare, data: Path) -> tuple[Path, int]:
    """Give a spare its data set; return the folder where it is, and the bytes of a copy.

    A sandbox that was made before its task was known holds no data set. It gets a copy of this one
    file: the cache stays closed to it, and through a link a script could change the cache. Raises
    OSError.
    """
    if spare.recipe.sandbox is None or spare.data == data:
        return data.parent, 0
    folder = spare.folder / _FOLDER
    folder.mkdir()
    copy = folder / data.name
    shutil.copyfile(data, copy)
    return folder, copy.stat().st_size
