"""The state folder of a worker for one job: made at its start, gone at its end.

Data sets and scripts lie beside it, in a cache that all such workers of a user share.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from workers.agent.disk import TEMPORARY_PREFIX, remove_folder
from workers.agent.processes.process_tree import kill_tagged
from workers.agent.state import (
    CACHE_FOLDER,
    LOCK_FILE,
    StateFolder,
    StateFolderError,
    default_state_folder,
)

PREFIX: Final = "xeenet-ephemeral-"
# Below this age an agent may be about to lock its folder.
_FRESH_SECONDS: Final = 60.0
# No download takes so long.
_STALE_DOWNLOAD_SECONDS: Final = 24 * 3600.0

log = logging.getLogger("xeenet.agent")


@contextlib.contextmanager
def scratch_state() -> Iterator[StateFolder]:
    """Give a locked state folder below TMPDIR, and remove it afterwards, also after an error.

    Raises `StateFolderError` where none can be made.
    """
    remove_leftovers()
    try:
        root = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise StateFolderError(
            f"There is no room for an ephemeral worker's scratch folder: {error}. Let TMPDIR name "
            "a folder that it can write to."
        ) from error
    try:
        home = _home()
        cache = None if home is None else _shared_cache(home)
        with StateFolder(root, home=home, cache=cache).locked() as state:
            log.info("ephemeral: its state is in %s until it ends", root)
            yield state
    finally:
        if not remove_folder(root):
            log.warning("%s cannot be removed; the next ephemeral worker tries it again", root)


def remove_leftovers() -> None:
    """Remove what ephemeral workers left that were killed: processes, then their folders."""
    for root in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, StateFolderError):  # another user's, or one that works
            if time.time() - (root / LOCK_FILE).stat().st_mtime < _FRESH_SECONDS:
                continue
            with StateFolder(root).locked() as state:
                _, survivors = kill_tagged(state.tag_prefix)
                if not survivors and remove_folder(root):
                    log.warning("removed %s of an ephemeral worker that was killed", root)


def _home() -> Path | None:
    """Return the usual state folder; None for a user without a home, as containers have them."""
    try:
        return default_state_folder().expanduser().absolute()
    except RuntimeError as error:
        log.info("data sets and scripts are not kept for later jobs: %s", error)
        return None


def _shared_cache(home: Path) -> Path | None:
    """Return where ephemeral workers keep data sets and scripts; None where nothing can be kept."""
    cache = home / CACHE_FOLDER
    try:
        for name in ("data", "packages"):
            (cache / name).mkdir(parents=True, exist_ok=True)
            _remove_stale_downloads(cache / name)
    except OSError as error:
        log.info("data sets and scripts are not kept for later jobs: %s", error)
        return None
    return cache


def _remove_stale_downloads(folder: Path) -> None:
    """Remove downloads that broke off; younger ones may be under way in another job."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE_DOWNLOAD_SECONDS:
                remove_folder(path)
