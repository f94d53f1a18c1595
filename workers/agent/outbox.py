"""Keeps finished results on disk until the server has taken them, so that none gets lost.

Each submission is one file, written and synced before it is first sent. A thread delivers them,
oldest first; the files of a former start are delivered like new ones. A submission that is not
delivered within 14 days is dropped. The outbox is full at 1,000 submissions or 256 MiB, and while
the disk does not take a submission; the agent then claims nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from workers.agent.attempt import SAFE_NAME
from workers.agent.backoff import Backoff
from workers.agent.client import (
    Client,
    NotAuthenticated,
    RequestRefused,
    ServerError,
    ServerUnavailable,
)
from workers.agent.disk import trim_folder
from workers.agent.judgement import failure
from workers.protocol import FailureClass, Submission

MAX_ENTRIES: Final = 1_000
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_REJECTED_ENTRIES: Final = 200
MAX_REJECTED_BYTES: Final = 16 * 1024 * 1024
MAX_AGE_SECONDS: Final = 14 * 24 * 3600.0
_TOKEN_RETRY_SECONDS: Final = 60.0

log = logging.getLogger("xeenet.outbox")


@dataclass
class _Entry:
    lease_id: str
    submission: Submission
    stored_at: float  # Unix time, because it must survive restarts
    corrected: bool  # replaced once already, because the server could not read it
    size_bytes: int = 0
    on_disk: bool = True


class Outbox:
    """The undelivered submissions in ``folder``. Thread-safe; one agent per folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rejected = folder / "rejected"
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._changed = threading.Event()
        self._load()

    def put(self, lease_id: str, submission: Submission) -> None:
        """Store a submission durably; it is sent after the next `wake`.

        When the disk does not take it, that is logged, and the submission is sent from memory.
        """
        entry = _Entry(lease_id, submission, time.time(), corrected=False)
        self._store(entry)
        with self._lock:
            self._entries[lease_id] = entry

    def pending_lease_ids(self) -> list[str]:
        """Return the leases whose submissions the server has not taken yet, oldest first."""
        with self._lock:
            return list(self._entries)

    def is_full(self) -> bool:
        """Return whether too much waits for delivery, so that no new task should be claimed."""
        with self._lock:
            entries = list(self._entries.values())
        size_bytes = sum(entry.size_bytes for entry in entries)
        if len(entries) >= MAX_ENTRIES or size_bytes >= MAX_BYTES:
            return True
        return not all(entry.on_disk for entry in entries)

    def deliver_until(self, client: Client, stop: threading.Event) -> None:
        """Deliver present and new entries until ``stop`` is set. The delivery thread's body."""
        backoff = Backoff()
        while True:
            self._changed.clear()
            if stop.is_set():  # checked after the clear, so that no wake is lost
                return
            wait = self._deliver_pending(client, stop, backoff)
            if wait is None:
                self._changed.wait()
            else:
                stop.wait(wait)

    def wake(self) -> None:
        """Make the delivery thread check for new submissions and check its stop event."""
        self._changed.set()

    def _deliver_pending(
        self, client: Client, stop: threading.Event, backoff: Backoff
    ) -> float | None:
        """Send all entries once; return the seconds until the next try, None when all are gone."""
        for lease_id in self.pending_lease_ids():
            if stop.is_set():
                return 0.0
            entry = self._entries[lease_id]
            if not entry.on_disk:
                self._store(entry)
            try:
                self._deliver(client, entry)
                backoff.reset()
            except ServerError as error:
                # Judged after a failed try: when the clock was wrong at storing time, the age is
                # wrong too, and that must not cost a result.
                if time.time() - entry.stored_at > MAX_AGE_SECONDS:
                    log.error("lease %s: result dropped, undelivered for 14 days", lease_id[:8])  # noqa: TRY400 (for people)
                    self._remove(entry)
                    continue
                if not isinstance(error, ServerUnavailable):  # 401 or 403: a person has to act
                    log.error("results kept, this worker is refused: %s", error)  # noqa: TRY400 (for people)
                    return _TOKEN_RETRY_SECONDS
                wait = backoff.next_wait(error.retry_after_seconds)
                waiting = len(self.pending_lease_ids())
                log.warning("%d result(s) wait: %s; next try in %.0f s", waiting, error, wait)
                return wait
        return None

    def _deliver(self, client: Client, entry: _Entry) -> None:
        """Send one entry and act on the answer. Raises `ServerError` when the entry has to wait."""
        label = f"lease {entry.lease_id[:8]}"
        while True:
            try:
                reply = client.submit(entry.lease_id, entry.submission)
            except NotAuthenticated:
                raise
            except RequestRefused as refused:
                if refused.status == 403:
                    raise
                if refused.status in (404, 409, 422):
                    log.warning(
                        "%s: not taken (%s %s): %s", label, refused.status, refused.code, refused
                    )
                    self._remove(entry)
                    return
                if entry.corrected:
                    log.warning("%s: refused twice, set aside: %s", label, refused)
                    self._set_aside(entry)
                    return
                log.warning("%s: the server cannot read this result: %s", label, refused)
                self._correct(entry, str(refused))
            else:
                log.info("%s: submitted, %s. %s", label, reply["verdict"], reply.get("message", ""))
                self._remove(entry)
                return

    def _correct(self, entry: _Entry, reason: str) -> None:
        """Replace a submission that the server cannot read by a failure that says so."""
        self._copy_to_rejected(entry)
        message = f"the server could not read the result: {reason}"
        entry.submission = failure(FailureClass.INVALID_RESULT, message)
        entry.corrected = True
        self._store(entry)

    def _set_aside(self, entry: _Entry) -> None:
        self._copy_to_rejected(entry)
        self._remove(entry)

    def _copy_to_rejected(self, entry: _Entry) -> None:
        with contextlib.suppress(OSError):
            self._rejected.mkdir(parents=True, exist_ok=True)
            (self._rejected / f"{entry.lease_id}.json").write_text(_encode(entry))
        self._trim_rejected()

    def _trim_rejected(self) -> None:
        trim_folder(
            self._rejected, most_bytes=MAX_REJECTED_BYTES, most_entries=MAX_REJECTED_ENTRIES
        )

    def _store(self, entry: _Entry) -> None:
        """Write the whole entry durably before returning; a failed write is logged, not raised."""
        text = _encode(entry)
        entry.size_bytes = len(text)
        path = self._path(entry)
        temporary = path.with_suffix(".tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(self._folder)
            entry.on_disk = True
        except OSError as error:
            entry.on_disk = False
            log.error("result not stored on disk: %s", error)  # noqa: TRY400 (for people)

    def _remove(self, entry: _Entry) -> None:
        with self._lock:
            self._entries.pop(entry.lease_id, None)
        with contextlib.suppress(OSError):
            self._path(entry).unlink(missing_ok=True)

    def _path(self, entry: _Entry) -> Path:
        return self._folder / f"{entry.lease_id}.json"

    def _load(self) -> None:
        """Load the entries of a former start, oldest first; set unreadable files aside."""
        entries = []
        for path in self._folder.glob("*.json"):
            try:
                entries.append(_decode(path.read_text()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("%s set aside: %s", path.name, error)  # noqa: TRY400 (for people)
                self._rejected.mkdir(parents=True, exist_ok=True)
                path.replace(self._rejected / path.name)
                self._trim_rejected()
        for entry in sorted(entries, key=lambda entry: entry.stored_at):
            self._entries[entry.lease_id] = entry
        if entries:
            log.info("%d result(s) of a former start wait for delivery", len(entries))


def _encode(entry: _Entry) -> str:
    return json.dumps(
        {
            "lease_id": entry.lease_id,
            "stored_at": entry.stored_at,
            "corrected": entry.corrected,
            "submission": entry.submission,
        }
    )


def _decode(text: str) -> _Entry:
    """Return the entry in ``text``. Raises ValueError, KeyError or TypeError for other text."""
    data: dict[str, Any] = json.loads(text)
    if not SAFE_NAME.fullmatch(data["lease_id"]) or not isinstance(data["submission"], dict):
        raise ValueError("not an outbox entry")
    return _Entry(
        lease_id=data["lease_id"],
        submission=cast(Submission, data["submission"]),
        stored_at=float(data["stored_at"]),
        corrected=bool(data["corrected"]),
        size_bytes=len(text),
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable; Windows cannot open folders and needs no such call."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
